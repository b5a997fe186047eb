/* What a node may start from, what it must refuse, and who may connect to it. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/hello.h"
#include "raft/storage_uv.h"
#include "raft/wire_check.h"
#include "test_raft_harness.h"

static struct cluster cluster;
static bool is_root;
static char mounted[256];

static int setup(void **state)
{
    *state = &cluster;
    cluster_make(&cluster);
    cluster_bootstrap(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (mounted[0] != '\0')
        umount2(mounted, MNT_DETACH);
    mounted[0] = '\0';
    cluster_remove(&cluster);
    return 0;
}

static size_t members(struct rnode_member *out)
{
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        out[i] = (struct rnode_member){ .id = i + 1, .voter = true };
        text_copy(out[i].address, sizeof out[i].address, cluster.nodes[i + 1].address);
    }
    return CLUSTER_NODES;
}

static void expect_refused(unsigned id, const char *because)
{
    char text[4096];
    int status = cluster_start_refused(&cluster, id, text, sizeof text);
    if (status != 1 && status != 42)
        fail_msg("ended with %d instead of a clean refusal: %s", status, text);
    if (strstr(text, because) == NULL)
        fail_msg("'%s' does not say '%s'", text, because);
}

/* The first file in the node's raft/ whose name begins with `begin`. */
static void file_of(unsigned id, const char *begin, char *path, size_t capacity)
{
    char command[600];
    snprintf(command, sizeof command, "ls -d %s/node/raft/%s* | grep -v '[.]meta$' | head -n 1", cluster.nodes[id].dir,
             begin);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    if (fgets(path, (int)capacity, f) == NULL)
        fail_msg("no file %s*", begin);
    pclose(f);
    path[strcspn(path, "\n")] = '\0';
}

static void flip(const char *path, off_t offset)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* ---- bootstrap ---- */

static void a_node_is_bootstrapped_once(void **state)
{
    struct rnode_member list[CLUSTER_NODES];
    struct error err;
    (void)state;
    size_t count = members(list);
    assert_int_equal(storage_uv_bootstrap(cluster.nodes[1].dir, list, count, 1, &err), STATUS_REFUSED);
    assert_non_null(strstr(err.text, "bootstrapped once"));
    shell("rm -rf %s/node/raft", cluster.nodes[1].dir); /* also when its log was lost */
    assert_int_equal(storage_uv_bootstrap(cluster.nodes[1].dir, list, count, 1, &err), STATUS_REFUSED);
    expect_refused(1, "node/raft");
}

static void a_bootstrap_that_was_interrupted_is_done_again_from_the_beginning(void **state)
{
    struct rnode_member list[CLUSTER_NODES];
    struct storage_uv storage;
    struct error err;
    char dir[300];
    (void)state;
    size_t count = members(list);
    snprintf(dir, sizeof dir, "%s/again", cluster.dir);
    shell("mkdir -p %s/node.new/raft && echo noise > %s/node.new/raft/metadata1 && echo noise > %s/node.new/identity",
          dir, dir, dir);
    assert_int_equal(storage_uv_open(&storage, dir, &err), STATUS_NOT_FOUND);
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 2, &err), STATUS_OK);
    assert_int_equal(storage_uv_open(&storage, dir, &err), STATUS_OK);
    assert_int_equal(storage.identity.id, 2);
    assert_string_equal(storage.identity.address, list[1].address);
    storage_uv_close(&storage);
    shell("test ! -e %s/node.new", dir);
}

static void a_bootstrap_killed_anywhere_leaves_nothing_or_a_whole_node(void **state)
{
    struct rnode_member list[CLUSTER_NODES];
    unsigned whole = 0, nothing = 0;
    char dir[300];
    (void)state;
    size_t count = members(list);
    snprintf(dir, sizeof dir, "%s/timed", cluster.dir);
    int64_t begin = cluster_now_ms();
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 3, NULL), STATUS_OK);
    unsigned whole_us = (unsigned)(cluster_now_ms() - begin) * 1000 + 1000;
    for (unsigned i = 0; i < 40; i++) {
        struct storage_uv storage;
        struct error err;
        unsigned us = whole_us / 30 * i;
        snprintf(dir, sizeof dir, "%s/killed%u", cluster.dir, i);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(storage_uv_bootstrap(dir, list, count, 3, NULL) == STATUS_OK ? 0 : 1);
        usleep(us);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        enum status status = storage_uv_open(&storage, dir, &err);
        if (status == STATUS_OK) {
            storage_uv_close(&storage);
            whole++;
        } else {
            assert_int_equal(status, STATUS_NOT_FOUND);
            assert_int_equal(storage_uv_bootstrap(dir, list, count, 3, &err), STATUS_OK);
            nothing++;
        }
    }
    assert_true(nothing > 0);
    print_message("killed before the end: %u, after it: %u\n", nothing, whole);
}

static void the_same_members_make_the_same_cluster_in_any_order(void **state)
{
    struct rnode_member list[CLUSTER_NODES], swap;
    struct storage_uv a, b;
    struct error err;
    char dir[300];
    (void)state;
    size_t count = members(list);
    swap = list[0];
    list[0] = list[2];
    list[2] = swap;
    snprintf(dir, sizeof dir, "%s/order", cluster.dir);
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 1, &err), STATUS_OK);
    assert_int_equal(storage_uv_open(&a, dir, &err), STATUS_OK);
    assert_int_equal(storage_uv_open(&b, cluster.nodes[1].dir, &err), STATUS_OK);
    assert_true(a.identity.cluster == b.identity.cluster && a.identity.cluster != 0);
    storage_uv_close(&a);
    text_copy(list[1].address, sizeof list[1].address, "127.9.9.9:1");
    snprintf(dir, sizeof dir, "%s/other", cluster.dir);
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 1, &err), STATUS_OK);
    assert_int_equal(storage_uv_open(&a, dir, &err), STATUS_OK);
    assert_true(a.identity.cluster != b.identity.cluster);
    storage_uv_close(&a);
    storage_uv_close(&b);
}

static void a_wrong_member_list_is_refused(void **state)
{
    struct rnode_member list[CLUSTER_NODES];
    struct error err;
    char dir[300];
    (void)state;
    size_t count = members(list);
    snprintf(dir, sizeof dir, "%s/wrong", cluster.dir);
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 9, &err), STATUS_INVALID);
    assert_int_equal(storage_uv_bootstrap(dir, list, 0, 1, &err), STATUS_INVALID);
    list[1].id = 1;
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 1, &err), STATUS_INVALID);
    list[1].id = 2;
    text_copy(list[1].address, sizeof list[1].address, list[0].address);
    assert_int_equal(storage_uv_bootstrap(dir, list, count, 1, &err), STATUS_INVALID);
    shell("test ! -e %s", dir);
}

/* ---- start ---- */

static void one_process_per_directory(void **state)
{
    struct rnode_member list[CLUSTER_NODES];
    struct storage_uv storage;
    struct error err;
    (void)state;
    cluster_start(&cluster, 1);
    assert_int_equal(storage_uv_open(&storage, cluster.nodes[1].dir, &err), STATUS_REFUSED);
    assert_non_null(strstr(err.text, "another process"));
    assert_int_equal(storage_uv_bootstrap(cluster.nodes[1].dir, list, members(list), 1, &err), STATUS_REFUSED);
    cluster_kill(&cluster, 1); /* the lock goes with the process */
    assert_int_equal(storage_uv_open(&storage, cluster.nodes[1].dir, &err), STATUS_OK);
    storage_uv_close(&storage);
}

static void a_damaged_or_foreign_directory_is_not_started_from(void **state)
{
    char path[600];
    (void)state;
    snprintf(path, sizeof path, "%s/node/identity", cluster.nodes[1].dir);
    flip(path, 20);
    expect_refused(1, "damaged");
    shell("echo x > %s/node/raft/README", cluster.nodes[2].dir);
    expect_refused(2, "README");
    shell("rm %s/node/raft/README %s/node/raft/metadata*", cluster.nodes[2].dir, cluster.nodes[2].dir);
    expect_refused(2, "lost its term and vote");
    shell("rm -rf %s", cluster.nodes[3].dir);
    expect_refused(3, "never bootstrapped");
}

static void make_snapshots(void)
{
    cluster.threshold = "20";
    cluster.trailing = "5";
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    for (unsigned i = 0; i < 100; i++)
        cluster_put(&cluster, 1, i);
    cluster_expect_all(&cluster, 100);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        assert_int_equal(cluster_quit(&cluster, id), 0);
}

static void a_flipped_byte_in_a_snapshot_or_a_closed_segment_is_refused(void **state)
{
    char path[600];
    (void)state;
    make_snapshots();
    /* libraft 0.22 has no checksum on it, and takes the newer of two. */
    shell("cd %s/node/raft && ls snapshot-*[0-9] | sort -t- -k3 -n | head -n -1 | while read f; do rm $f $f.meta; done",
          cluster.nodes[1].dir);
    file_of(1, "snapshot-", path, sizeof path);
    flip(path, 100);
    expect_refused(1, "checksum");
    file_of(2, "0", path, sizeof path); /* FIRST-LAST */
    flip(path, 60);
    expect_refused(2, "is damaged at byte");
    cluster_start(&cluster, 3);
}

static void a_full_disk_ends_the_node_and_space_brings_it_back(void **state)
{
    char text[4096];
    (void)state;
    if (!is_root)
        skip(); /* mounting a small file system takes root */
    char *dir = cluster.nodes[1].dir;
    shell("mv %s %s.old && mkdir %s && mount -t tmpfs -o size=160m tmpfs %s && cp -a %s.old/. %s", dir, dir, dir, dir,
          dir, dir);
    strcpy(mounted, dir);
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    for (unsigned n = 0; n < 20; n++)
        cluster_put(&cluster, 2, n);
    shell("dd if=/dev/zero of=%s/fill bs=1M count=400 status=none 2>/dev/null || true", dir);
    cluster_tell(&cluster, 2, "burst 20 600 60000"); /* 36 MB: more than its three reserved segments */
    assert_int_equal(cluster_ended(&cluster, 1), 42);
    cluster_hear(&cluster, 2, "burst ", text, sizeof text); /* the others go on */
    assert_int_equal(atoi(text), 600);
    assert_int_equal(cluster_start_refused(&cluster, 1, text, sizeof text), 1);
    assert_non_null(strstr(text, "MiB free"));
    shell("rm %s/fill && mount -o remount,size=400m %s", dir, dir);
    cluster_start(&cluster, 1);
    cluster_expect_all(&cluster, 620);
}

/* ---- strangers ---- */

/* What is said inside of TLS, said without it. */
static int setup_plain(void **state)
{
    int rv = setup(state);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        cluster.nodes[id].certificate = NULL;
    return rv;
}

static int dial(unsigned id)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7400) };
    char host[64];
    snprintf(host, sizeof host, "%.*s", (int)strcspn(cluster.nodes[id].address, ":"), cluster.nodes[id].address);
    assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* What the node sends until it hangs up, within 10 s; -1 when it does not hang up. */
static ssize_t until_closed(int fd, uint8_t *bytes, size_t capacity)
{
    size_t used = 0;
    int64_t end = cluster_now_ms() + 10000;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = end - cluster_now_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return -1;
        ssize_t n = read(fd, bytes + used, capacity - used);
        if (n <= 0)
            return (ssize_t)used;
        used += (size_t)n;
    }
}

static struct hello hello_to(unsigned id)
{
    struct storage_uv storage;
    struct error err;
    struct hello h = { .kind = HELLO_RAFT, .generation = 1, .from = 3, .to = id };
    assert_int_equal(storage_uv_open(&storage, cluster.nodes[3].dir, &err), STATUS_OK); /* node 3 does not run here */
    h.cluster = storage.identity.cluster;
    storage_uv_close(&storage);
    text_copy(h.from_address, sizeof h.from_address, cluster.nodes[3].address);
    text_copy(h.to_address, sizeof h.to_address, cluster.nodes[id].address);
    return h;
}

static void expect_verdict(const struct hello *h, enum hello_verdict wanted)
{
    uint8_t bytes[HELLO_BYTES], answer[64];
    enum hello_verdict verdict;
    int fd = dial(1);
    hello_encode(h, bytes);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(until_closed(fd, answer, sizeof answer), HELLO_ANSWER_BYTES);
    assert_int_equal(hello_answer_decode(answer, &verdict), STATUS_OK);
    assert_int_equal(verdict, wanted);
    close(fd);
}

static void strangers_are_told_why_and_disturb_nobody(void **state)
{
    uint8_t bytes[HELLO_BYTES], answer[64];
    struct hello h;
    (void)state;
    cluster_start(&cluster, 1);
    cluster_start(&cluster, 2);
    cluster_leader(&cluster);
    h = hello_to(1);
    h.cluster++;
    expect_verdict(&h, HELLO_OTHER_CLUSTER);
    h = hello_to(1);
    h.from = 77;
    expect_verdict(&h, HELLO_UNKNOWN_NODE);
    h = hello_to(1);
    h.from = 1;
    expect_verdict(&h, HELLO_MYSELF);
    h = hello_to(1);
    h.to = 2;
    expect_verdict(&h, HELLO_NOT_ME);
    h = hello_to(1);
    h.from_address[0] = '9';
    expect_verdict(&h, HELLO_OTHER_ADDRESS);
    int noise = dial(1), silent = dial(1);
    memset(bytes, 'G', sizeof bytes);
    assert_int_equal(write(noise, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(until_closed(noise, answer, sizeof answer), HELLO_ANSWER_BYTES);
    assert_int_equal(until_closed(silent, answer, sizeof answer), 0); /* its time is limited */
    close(noise);
    close(silent);
    int many[60]; /* more than are taken at once; none of them says anything */
    for (unsigned i = 0; i < 60; i++)
        many[i] = dial(1);
    cluster_put(&cluster, 2, 1);
    for (unsigned i = 0; i < 60; i++)
        close(many[i]);
    cluster_put(&cluster, 2, 2);
    assert_int_equal(cluster_quit(&cluster, 1), 0);
    assert_int_equal(cluster_quit(&cluster, 2), 0);
}

/* A member that speaks Raft wrongly: the header's check ends its stream, and the node lives on. */
static void a_member_that_sends_nonsense_is_cut_off(void **state)
{
    uint8_t bytes[HELLO_BYTES], answer[64], message[16 + 48];
    struct writer w;
    (void)state;
    cluster_start(&cluster, 1);
    cluster_start(&cluster, 2);
    cluster_leader(&cluster);
    for (unsigned kind = HELLO_RAFT; kind < HELLO_KIND_COUNT; kind++) {
        struct hello h = hello_to(1);
        h.kind = (enum hello_kind)kind;
        int fd = dial(1);
        hello_encode(&h, bytes);
        assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(read(fd, answer, HELLO_ANSWER_BYTES), HELLO_ANSWER_BYTES);
        writer_init(&w, message, sizeof message);
        writer_u64(&w, 1); /* AppendEntries; to messages: a frame that is longer than any */
        writer_u64(&w, 48);
        for (int i = 0; i < 4; i++)
            writer_u64(&w, 1);
        writer_u64(&w, 1u << 30); /* so many entries in 8 bytes */
        writer_u64(&w, 0);
        if (kind == HELLO_MESSAGES)
            memset(message, 0xff, sizeof message);
        assert_int_equal(write(fd, message, sizeof message), sizeof message);
        assert_int_equal(until_closed(fd, answer, sizeof answer), 0);
        close(fd);
    }
    cluster_put(&cluster, 1, 1);
    assert_int_equal(cluster_quit(&cluster, 1), 0);
    assert_int_equal(cluster_quit(&cluster, 2), 0);
}

int main(void)
{
#define STORAGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORAGE_TEST(a_node_is_bootstrapped_once),
        STORAGE_TEST(a_bootstrap_that_was_interrupted_is_done_again_from_the_beginning),
        STORAGE_TEST(a_bootstrap_killed_anywhere_leaves_nothing_or_a_whole_node),
        STORAGE_TEST(the_same_members_make_the_same_cluster_in_any_order),
        STORAGE_TEST(a_wrong_member_list_is_refused),
        STORAGE_TEST(one_process_per_directory),
        STORAGE_TEST(a_damaged_or_foreign_directory_is_not_started_from),
        STORAGE_TEST(a_flipped_byte_in_a_snapshot_or_a_closed_segment_is_refused),
        STORAGE_TEST(a_full_disk_ends_the_node_and_space_brings_it_back),
        cmocka_unit_test_setup_teardown(strangers_are_told_why_and_disturb_nobody, setup_plain, teardown),
        cmocka_unit_test_setup_teardown(a_member_that_sends_nonsense_is_cut_off, setup_plain, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    is_root = geteuid() == 0;

    return cmocka_run_group_tests(tests, NULL, NULL);
}
