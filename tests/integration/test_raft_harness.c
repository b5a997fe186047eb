#include "test_raft_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/receipt.h"
#include "tls_fixture.h"

int64_t cluster_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    if (status != 0)
        fail_msg("'%s' ended with %d", command, status);
}

bool cluster_own_network(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && system("ip link set lo up") == 0;
}

void cluster_certificate(unsigned id, const char *name, const char *authority)
{
    char uri[32];
    snprintf(uri, sizeof uri, "coord:node:%u", id);
    tls_fixture_certificate(name, &(struct tls_fixture_certificate){ .authority = authority, .uris = { uri } });
}

void cluster_make(struct cluster *c)
{
    static char names[CLUSTER_NODES + 1][8];
    unsigned place = (unsigned)getpid();
    memset(c, 0, sizeof *c);
    strcpy(c->dir, "/tmp/test-raft-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    for (unsigned id = 1; id <= CLUSTER_NODES; id++) {
        struct cluster_node *n = &c->nodes[id];
        snprintf(n->dir, sizeof n->dir, "%s/n%u", c->dir, id);
        snprintf(n->address, sizeof n->address, "127.%u.%u.%u:7400", 128 + (place >> 8) % 100, place % 250, id);
        snprintf(names[id], sizeof names[id], "node%u", id);
        n->certificate = names[id];
        cluster_certificate(id, names[id], "ca");
    }
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* argv[0] is filled in. Returns the pid; stderr goes to the node's own file. */
static pid_t peer_spawn(struct cluster *c, unsigned id, char **argv, int *in, int *out)
{
    int to[2], from[2];
    char log[300];
    snprintf(log, sizeof log, "%s/stderr%u", c->dir, id);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    argv[0] = (char *)(uintptr_t)RAFT_PEER_PATH;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(to[0], 0);
        dup2(from[1], 1);
        dup2(err, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    *in = to[1];
    *out = from[0];
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void cluster_bootstrap_node(struct cluster *c, unsigned id)
{
    char number[8];
    int in, out;
    snprintf(number, sizeof number, "%u", id);
    char verb[] = "bootstrap";
    char *argv[] = {
        NULL, verb, c->nodes[id].dir, number, c->nodes[1].address, c->nodes[2].address, c->nodes[3].address, NULL
    };
    pid_t pid = peer_spawn(c, id, argv, &in, &out);
    assert_int_equal(wait_for(pid), 0);
    close(in);
    close(out);
}

void cluster_bootstrap(struct cluster *c)
{
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        cluster_bootstrap_node(c, id);
}

static void show_stderr(struct cluster *c, unsigned id)
{
    char command[400];
    snprintf(command, sizeof command, "tail -n 60 %s/stderr%u >&2", c->dir, id);
    if (system(command) != 0)
        print_message("no stderr of node %u\n", id);
    int status = 0;
    if (c->nodes[id].pid > 0 && waitpid(c->nodes[id].pid, &status, WNOHANG) > 0) {
        print_message("node %u has ended: %x\n", id, (unsigned)status);
        c->nodes[id].pid = 0;
    }
}

static void node_forget(struct cluster_node *n)
{
    close(n->in);
    close(n->out);
    n->pid = 0;
    n->used = 0;
}

void cluster_remove(struct cluster *c)
{
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        if (c->nodes[id].pid != 0) {
            kill(c->nodes[id].pid, SIGKILL);
            wait_for(c->nodes[id].pid);
            node_forget(&c->nodes[id]);
        }
    shell("rm -rf %s", c->dir);
    tls_fixture_close();
}

static void start(struct cluster *c, unsigned id)
{
    struct cluster_node *n = &c->nodes[id];
    char verb[] = "run";
    char none[] = "0";
    char *argv[9] = { NULL, verb, n->dir, c->threshold != NULL ? (char *)(uintptr_t)c->threshold : none,
                      c->trailing != NULL ? (char *)(uintptr_t)c->trailing : none };
    if (n->certificate != NULL) {
        argv[5] = (char *)(uintptr_t)tls_fixture_path(n->certificate, "crt");
        argv[6] = (char *)(uintptr_t)tls_fixture_path(n->certificate, "key");
        argv[7] = (char *)(uintptr_t)tls_fixture_path("ca", "crt");
    }
    assert_int_equal(n->pid, 0);
    n->pid = peer_spawn(c, id, argv, &n->in, &n->out);
    n->used = 0;
}

void cluster_start(struct cluster *c, unsigned id)
{
    char rest[64];
    start(c, id);
    cluster_hear(c, id, "running ", rest, sizeof rest);
    assert_int_equal((unsigned)atoi(rest), id);
}

void cluster_start_all(struct cluster *c)
{
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        start(c, id);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        cluster_hear(c, id, "running ", NULL, 0);
}

void cluster_kill(struct cluster *c, unsigned id)
{
    struct cluster_node *n = &c->nodes[id];
    int status = 0;
    assert_true(n->pid > 0);
    if (waitpid(n->pid, &status, WNOHANG) != 0) {
        n->pid = 0;
        fail_msg("node %u had ended by itself, status %x; see its stderr", id, (unsigned)status);
    }
    kill(n->pid, SIGKILL);
    assert_int_equal(wait_for(n->pid), 128 + SIGKILL);
    node_forget(n);
}

int cluster_ended(struct cluster *c, unsigned id)
{
    struct cluster_node *n = &c->nodes[id];
    int status = 0;
    for (int64_t end = cluster_now_ms() + WAIT_MS; cluster_now_ms() < end; pause_ms(50)) {
        if (waitpid(n->pid, &status, WNOHANG) == 0)
            continue;
        node_forget(n);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    fail_msg("node %u goes on", id);
    return -1;
}

int cluster_quit(struct cluster *c, unsigned id)
{
    struct cluster_node *n = &c->nodes[id];
    cluster_tell(c, id, "quit");
    int status = wait_for(n->pid);
    node_forget(n);
    if (status != 0)
        show_stderr(c, id);
    return status;
}

int cluster_start_refused(struct cluster *c, unsigned id, char *text, size_t capacity)
{
    char log[300];
    snprintf(log, sizeof log, "%s/stderr%u", c->dir, id);
    unlink(log);
    start(c, id);
    if (cluster_hear_within(c, id, "running ", NULL, 0, 1500))
        fail_msg("node %u started although it must not", id);
    int status = wait_for(c->nodes[id].pid);
    node_forget(&c->nodes[id]);
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = read(fd, text, capacity - 1);
    text[got > 0 ? got : 0] = '\0';
    close(fd);
    return status;
}

void cluster_tell(struct cluster *c, unsigned id, const char *format, ...)
{
    char line[200];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    line[length++] = '\n';
    if (write(c->nodes[id].in, line, (size_t)length) != length)
        fail_msg("node %u does not take '%.*s'", id, length - 1, line);
}

/* The first line that begins with `begin`; the others stay, for whoever waits for them. */
static bool take_line(struct cluster_node *n, const char *begin, char *rest, size_t capacity)
{
    char *line = n->line;
    for (char *end; (end = memchr(line, '\n', n->used - (size_t)(line - n->line))) != NULL; line = end + 1) {
        size_t length = (size_t)(end - line), skip = strlen(begin);
        if (length < skip || memcmp(line, begin, skip) != 0)
            continue;
        if (rest != NULL)
            snprintf(rest, capacity, "%.*s", (int)(length - skip), line + skip);
        n->used -= length + 1;
        memmove(line, end + 1, n->used - (size_t)(line - n->line));
        return true;
    }
    return false;
}

bool cluster_hear_within(struct cluster *c, unsigned id, const char *begin, char *rest, size_t capacity, int ms)
{
    struct cluster_node *n = &c->nodes[id];
    int64_t deadline = cluster_now_ms() + ms;
    for (;;) {
        if (take_line(n, begin, rest, capacity))
            return true;
        int64_t left = deadline - cluster_now_ms();
        struct pollfd p = { .fd = n->out, .events = POLLIN };
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        assert_true(n->used < sizeof n->line);
        ssize_t got = read(n->out, n->line + n->used, sizeof n->line - n->used);
        if (got <= 0)
            return false;
        n->used += (size_t)got;
    }
}

void cluster_hear(struct cluster *c, unsigned id, const char *begin, char *rest, size_t capacity)
{
    if (cluster_hear_within(c, id, begin, rest, capacity, WAIT_MS))
        return;
    show_stderr(c, id);
    fail_msg("node %u never said '%s'", id, begin);
}

static unsigned leader_seen_by(struct cluster *c, unsigned id)
{
    char rest[100], role[20];
    unsigned long long term = 0;
    unsigned leader = 0;
    cluster_tell(c, id, "leader");
    cluster_hear(c, id, "leader ", rest, sizeof rest);
    assert_int_equal(sscanf(rest, "%19s %llu %u", role, &term, &leader), 3);
    if (leader == id && strcmp(role, "leader") != 0)
        fail_msg("node %u calls itself leader as %s", id, role);
    return leader;
}

unsigned cluster_leader(struct cluster *c)
{
    for (int64_t end = cluster_now_ms() + WAIT_MS; cluster_now_ms() < end; pause_ms(50)) {
        unsigned leader = 0;
        bool agreed = true;
        for (unsigned id = 1; id <= CLUSTER_NODES; id++) {
            if (c->nodes[id].pid == 0)
                continue;
            unsigned seen = leader_seen_by(c, id);
            agreed = agreed && seen != 0 && (leader == 0 || leader == seen);
            leader = seen;
        }
        if (agreed && leader != 0 && c->nodes[leader].pid != 0)
            return leader;
    }
    fail_msg("no leader");
    return 0;
}

uint64_t cluster_put(struct cluster *c, unsigned id, unsigned number)
{
    for (int64_t end = cluster_now_ms() + WAIT_MS; cluster_now_ms() < end; pause_ms(50)) {
        char begin[40], rest[100], status[20];
        unsigned long long index = 0, count = 0;
        snprintf(begin, sizeof begin, "put %u ", number);
        cluster_tell(c, id, "put %u", number);
        cluster_hear(c, id, begin, rest, sizeof rest);
        assert_int_equal(sscanf(rest, "%19s %llu %llu", status, &index, &count), 3);
        if (strcmp(status, "ok") == 0) {
            assert_true(index > 0 && count > 0);
            return count;
        }
    }
    fail_msg("number %u was never acknowledged", number);
    return 0;
}

void cluster_receipt(struct cluster *c, unsigned id)
{
    char path[300];
    struct receipt_content told = { 0 };
    snprintf(path, sizeof path, "%s/node/receipt", c->nodes[id].dir);
    for (int64_t end = cluster_now_ms() + WAIT_MS; cluster_now_ms() < end; pause_ms(50)) {
        char rest[40];
        unsigned long long last = 0;
        cluster_tell(c, id, "log");
        cluster_hear(c, id, "log ", rest, sizeof rest);
        assert_int_equal(sscanf(rest, "%llu", &last), 1);
        if (receipt_read(path, &told, NULL) == STATUS_OK && told.last_index == last)
            return;
    }
    fail_msg("the receipt of node %u stays at %llu", id, (unsigned long long)told.last_index);
}

static uint64_t applied(struct cluster *c, unsigned id, char *hash, size_t capacity)
{
    char rest[100], text[20];
    unsigned long long count = 0;
    cluster_tell(c, id, "count");
    cluster_hear(c, id, "count ", rest, sizeof rest);
    assert_int_equal(sscanf(rest, "%llu %19s", &count, text), 2);
    if (hash != NULL)
        snprintf(hash, capacity, "%s", text);
    return count;
}

bool cluster_applied_within(struct cluster *c, unsigned id, uint64_t count, int ms)
{
    int64_t end = cluster_now_ms() + ms;
    while (applied(c, id, NULL, 0) < count) {
        if (cluster_now_ms() > end)
            return false;
        pause_ms(50);
    }
    return true;
}

void cluster_expect_all(struct cluster *c, uint64_t count)
{
    char first[20] = "", hash[20], rest[40];
    for (unsigned id = 1; id <= CLUSTER_NODES; id++) {
        if (c->nodes[id].pid == 0)
            continue;
        if (!cluster_applied_within(c, id, count, WAIT_MS))
            fail_msg("node %u has only %llu of %llu", id, (unsigned long long)applied(c, id, NULL, 0),
                     (unsigned long long)count);
        assert_int_equal(applied(c, id, hash, sizeof hash), count);
        if (first[0] == '\0')
            strcpy(first, hash);
        assert_string_equal(hash, first);
        cluster_tell(c, id, "missing 0 %llu", (unsigned long long)count);
        cluster_hear(c, id, "missing ", rest, sizeof rest);
        assert_string_equal(rest, "0");
    }
}
