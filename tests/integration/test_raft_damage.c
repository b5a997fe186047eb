/* A table: what happened to a directory that a real node wrote -> what coordd does with it. Two directories are written once and copied for each
 * row: one with a log in closed and open files of a node that was killed, one with snapshots. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/storage_files.h"
#include "test_raft_dir.h"
#include "test_raft_harness.h"

#define ENTRIES 60u

static struct cluster cluster;
/* ---- what is done ---- */

static void nothing(void) {}
static void identity_flipped(void)
{
    char path[400];
    snprintf(path, sizeof path, "%s/node/identity", row_dir);
    file_flip(path, 20);
}
static void identity_newer(void)
{
    identity_patch(STORAGE_FORMAT + 1);
}
static void identity_old_without_receipt(void)
{
    identity_patch(1);
    shell("rm %s/node/receipt", row_dir);
}
static void receipt_deleted(void)
{
    shell("rm %s/node/receipt", row_dir);
}
static void receipt_emptied(void)
{
    shell(": > %s/node/receipt", row_dir);
}
static void receipt_slots_flipped(void)
{
    char path[400];
    snprintf(path, sizeof path, "%s/node/receipt", row_dir);
    file_flip(path, 20);
    file_flip(path, 4096 + 20);
}
/* What a crash in the middle of the write to it leaves. */
static void receipt_newer_slot_torn(void)
{
    char path[400];
    uint8_t bytes[RECEIPT_FILE_BYTES];
    struct reader a, b;
    snprintf(path, sizeof path, "%s/node/receipt", row_dir);
    assert_int_equal(file_read(path, bytes, sizeof bytes), sizeof bytes);
    reader_init(&a, bytes + 8, 8);
    reader_init(&b, bytes + 4096 + 8, 8);
    file_flip(path, reader_u64(&a) > reader_u64(&b) ? 20 : 4096 + 20);
}
static void term_flipped(void)
{
    char path[400];
    uint64_t version;
    metadata_newer(path, sizeof path, &version);
    file_flip(path, 16);
}
static void vote_flipped(void)
{
    char path[400];
    uint64_t version;
    metadata_newer(path, sizeof path, &version);
    file_flip(path, 24);
}
static void metadata_newer_deleted(void)
{
    char path[400];
    uint64_t version;
    metadata_newer(path, sizeof path, &version);
    assert_int_equal(unlink(path), 0);
}
static void metadata_newer_emptied(void)
{
    char path[400];
    uint64_t version;
    metadata_newer(path, sizeof path, &version);
    assert_int_equal(truncate(path, 0), 0);
}
static void metadata_deleted(void)
{
    shell("rm %s/node/raft/metadata*", row_dir);
}
static void metadata_zeroed(void)
{
    static const uint8_t zeros[32];
    char path[400];
    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof path, "%s/node/raft/metadata%d", row_dir, i);
        file_patch(path, 0, zeros, sizeof zeros);
    }
}
static void metadata_too_long(void)
{
    char path[400];
    uint64_t version;
    metadata_newer(path, sizeof path, &version);
    assert_int_equal(truncate(path, 40), 0);
}
static void metadata_one_ahead(void)
{
    metadata_step(1, 1);
}
static void metadata_jumped(void)
{
    metadata_step(1u << 31, 1);
}
static void metadata_three_ahead(void)
{
    metadata_step(1, 3);
}

static void open_flipped(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    file_flip(path, 60);
}
static void open_last_entry_flipped(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    file_flip(path, end_of(path) - 20);
}
static void open_cut(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    assert_int_equal(truncate(path, end_of(path) - 10), 0);
}
static void open_five_bytes(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    assert_int_equal(truncate(path, 5), 0);
}
static void open_deleted(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    assert_int_equal(unlink(path), 0);
}
static void open_zeroed(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, 8 << 20), 0);
}
/* The next write, of which a power loss left some blocks. */
static void open_torn(void)
{
    char path[400];
    uint8_t noise[100];
    file_find("open-", false, path, sizeof path);
    memset(noise, 0x5a, sizeof noise);
    file_patch(path, end_of(path), noise, sizeof noise);
    file_patch(path, end_of(path) + 8192, noise, sizeof noise);
}
static void next_open_first_block_missing(void)
{
    char path[400];
    uint8_t noise[100];
    file_find("open-", true, path, sizeof path);
    memset(noise, 0x5a, sizeof noise);
    file_patch(path, 4096, noise, sizeof noise);
}
static void open_copied_behind_itself(void)
{
    char path[400];
    file_find("open-", false, path, sizeof path);
    shell("cp %s %s/node/raft/open-99", path, row_dir);
}
static void open_torn_and_gone_on_behind(void)
{
    open_copied_behind_itself();
    open_torn();
}
static void closed_find(char *path, size_t capacity)
{
    file_find("0000000000000002-", false, path, capacity);
}
static void closed_flipped(void)
{
    char path[400];
    closed_find(path, sizeof path);
    file_flip(path, 100);
}
static void closed_cut(void)
{
    char path[400];
    closed_find(path, sizeof path);
    assert_int_equal(truncate(path, 200), 0);
}
static void closed_emptied(void)
{
    char path[400];
    closed_find(path, sizeof path);
    assert_int_equal(truncate(path, 0), 0);
}
static void closed_deleted(void)
{
    char path[400];
    closed_find(path, sizeof path);
    assert_int_equal(unlink(path), 0);
}
static void closed_renamed(void)
{
    char path[400];
    closed_find(path, sizeof path);
    shell("mv %s %s/node/raft/0000000000000002-0000000000000003", path, row_dir);
}
static void first_closed_deleted(void)
{
    shell("rm %s/node/raft/0000000000000001-*", row_dir);
}
static void truncation_not_finished(void)
{
    char path[400];
    closed_find(path, sizeof path);
    shell("head -c 300 %s > %s/node/raft/0000000000000002-0000000000000005", path, row_dir);
}
static void unconnected_beyond_the_end(void)
{
    char path[400];
    closed_find(path, sizeof path);
    shell("cp %s %s/node/raft/0000000000000500-0000000000000529 && rm %s/node/raft/open-*", path, row_dir, row_dir);
    receipt_lowered(10);
}
static void raft_deleted(void)
{
    shell("rm -r %s/node/raft", row_dir);
}
static void node_deleted(void)
{
    shell("rm -r %s/node", row_dir);
}
static void stray_file(void)
{
    shell("echo x > %s/node/raft/README", row_dir);
}
static void condemned(void)
{
    shell("echo it forgot entry 7 > %s/node/condemned", row_dir);
}
static void snapshot_flipped(void)
{
    char path[400];
    file_find("snapshot-", true, path, sizeof path);
    file_flip(path, 100);
}
static void snapshot_cut(void)
{
    char path[400];
    file_find("snapshot-", true, path, sizeof path);
    assert_int_equal(truncate(path, 1000), 0);
}
static void snapshot_meta_flipped(void)
{
    char path[400];
    file_find("snapshot-", true, path, sizeof path);
    strcat(path, ".meta");
    file_flip(path, 40);
}
static void snapshot_meta_emptied(void)
{
    char path[400];
    file_find("snapshot-", true, path, sizeof path);
    strcat(path, ".meta");
    assert_int_equal(truncate(path, 0), 0);
}
static void snapshots_deleted(void)
{
    shell("rm %s/node/raft/snapshot-*", row_dir);
}
/* A snapshot from the leader was stored, and the old log was not yet removed when the power went. */
static void log_behind_the_snapshot(void)
{
    char path[400];
    unsigned long long index = 0;
    shell("cd %s/node/raft && rm 0* open-*", row_dir);
    shell("cp %s/log/0* %s/node/raft/", cluster.dir, row_dir);
    file_find("snapshot-", true, path, sizeof path);
    assert_int_equal(sscanf(strrchr(path, '/'), "/snapshot-%*u-%llu-", &index), 1);
    receipt_lowered(index);
}

enum template { LOG, SNAPSHOTS, TEMPLATE_COUNT };

#define LOST "quarantine -c FILE"

static const struct row {
    const char *what;
    enum template from;
    void (*happened)(void);
    enum status wanted;
    const char *says; /* all of these words, separated by '|' */
} rows[] = {
    { "nothing", LOG, nothing, STATUS_OK, "" },
    { "nothing, with snapshots", SNAPSHOTS, nothing, STATUS_OK, "" },
    { "identity flipped", LOG, identity_flipped, STATUS_CORRUPT, "node/identity is damaged|" LOST },
    { "identity of a newer format", LOG, identity_newer, STATUS_INVALID, "format 3|newer coordd" },
    { "format 1", LOG, identity_old_without_receipt, STATUS_OK, "" },
    { "format 1, with snapshots", SNAPSHOTS, identity_old_without_receipt, STATUS_OK, "" },
    { "receipt deleted", LOG, receipt_deleted, STATUS_CORRUPT, "node/receipt|" LOST },
    { "receipt emptied", LOG, receipt_emptied, STATUS_CORRUPT, "node/receipt is damaged|" LOST },
    { "both slots of the receipt flipped", LOG, receipt_slots_flipped, STATUS_CORRUPT,
      "node/receipt is damaged|" LOST },
    { "the newer slot of the receipt torn", LOG, receipt_newer_slot_torn, STATUS_OK, "" },
    { "term flipped", LOG, term_flipped, STATUS_CORRUPT, "metadata|term and vote|" LOST },
    { "vote flipped", LOG, vote_flipped, STATUS_CORRUPT, "metadata|term and vote|" LOST },
    { "newer metadata deleted", LOG, metadata_newer_deleted, STATUS_CORRUPT, "lost its term and vote|" LOST },
    { "newer metadata emptied", LOG, metadata_newer_emptied, STATUS_CORRUPT, "lost its term and vote|" LOST },
    { "metadata deleted", LOG, metadata_deleted, STATUS_CORRUPT, "lost its term and vote|" LOST },
    { "metadata zeroed", LOG, metadata_zeroed, STATUS_CORRUPT, "metadata1 (term and vote) is damaged|" LOST },
    { "metadata too long", LOG, metadata_too_long, STATUS_CORRUPT, "(term and vote) is damaged|" LOST },
    { "metadata one version ahead (killed between two writes)", LOG, metadata_one_ahead, STATUS_OK, "" },
    { "metadata one version and 2^31 terms ahead", LOG, metadata_jumped, STATUS_CORRUPT,
      "is damaged: it says term|" LOST },
    { "metadata three versions ahead", LOG, metadata_three_ahead, STATUS_CORRUPT, "do not follow each other|" LOST },
    { "open file flipped", LOG, open_flipped, STATUS_CORRUPT, "open-|which this node has acknowledged|" LOST },
    { "last entry flipped", LOG, open_last_entry_flipped, STATUS_CORRUPT,
      "open-|which this node has acknowledged|" LOST },
    { "open file cut inside an entry", LOG, open_cut, STATUS_CORRUPT, "open-|ends inside an entry|" LOST },
    { "open file of five bytes", LOG, open_five_bytes, STATUS_CORRUPT, "open-|ends inside an entry|" LOST },
    { "open file deleted", LOG, open_deleted, STATUS_CORRUPT, "the log ends at entry|" LOST },
    { "open file zeroed", LOG, open_zeroed, STATUS_CORRUPT, "the log ends at entry|" LOST },
    { "the write that was under way torn", LOG, open_torn, STATUS_OK, "" },
    { "first write to the next file torn", LOG, next_open_first_block_missing, STATUS_OK, "" },
    { "open file twice", LOG, open_copied_behind_itself, STATUS_CORRUPT, "open-99|belongs elsewhere|" LOST },
    { "torn, and the next file goes on", LOG, open_torn_and_gone_on_behind, STATUS_CORRUPT, "open-99|" LOST },
    { "closed file flipped", LOG, closed_flipped, STATUS_CORRUPT, "0000000000000002-|is damaged at byte|" LOST },
    { "closed file cut", LOG, closed_cut, STATUS_CORRUPT, "0000000000000002-|is damaged at byte|" LOST },
    { "closed file emptied", LOG, closed_emptied, STATUS_CORRUPT, "0000000000000002-|is damaged at byte|" LOST },
    { "closed file deleted", LOG, closed_deleted, STATUS_CORRUPT, "open-|belongs elsewhere|" LOST },
    { "closed file renamed", LOG, closed_renamed, STATUS_CORRUPT, "not as many entries|" LOST },
    { "first closed file deleted", LOG, first_closed_deleted, STATUS_CORRUPT, "entries 1 to 1 are missing|" LOST },
    { "killed in a truncation", LOG, truncation_not_finished, STATUS_OK, "" },
    { "killed in a truncation over several files", LOG, unconnected_beyond_the_end, STATUS_OK, "" },
    { "raft/ deleted", LOG, raft_deleted, STATUS_CORRUPT, "node/raft: No such file|" LOST },
    { "node/ deleted", LOG, node_deleted, STATUS_NOT_FOUND, "never bootstrapped, or its directory was emptied|new id" },
    { "a file of somebody else's", LOG, stray_file, STATUS_INVALID, "README|move it out" },
    { "condemned by its leader", LOG, condemned, STATUS_CORRUPT, "node/condemned: it forgot entry 7|" LOST },
    { "snapshot flipped", SNAPSHOTS, snapshot_flipped, STATUS_CORRUPT, "snapshot-|fails its checksum|" LOST },
    { "snapshot cut", SNAPSHOTS, snapshot_cut, STATUS_CORRUPT, "snapshot-|is damaged|" LOST },
    { "member list of a snapshot flipped", SNAPSHOTS, snapshot_meta_flipped, STATUS_CORRUPT,
      ".meta (the member list|" LOST },
    { "member list of a snapshot emptied", SNAPSHOTS, snapshot_meta_emptied, STATUS_CORRUPT,
      ".meta (the member list|" LOST },
    { "snapshots deleted", SNAPSHOTS, snapshots_deleted, STATUS_CORRUPT, "are missing|" LOST },
    { "killed while a snapshot replaced the log", SNAPSHOTS, log_behind_the_snapshot, STATUS_OK, "" },
};

/* ---- the directories ---- */

static void put(unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++)
        cluster_put(&cluster, 3, n);
}

static int setup(void **state)
{
    (void)state;
    cluster_make(&cluster);
    cluster_bootstrap(&cluster);
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    put(0, ENTRIES / 2);
    cluster_expect_all(&cluster, ENTRIES / 2);
    cluster_kill(&cluster, 2); /* its log becomes a closed file at the next start */
    cluster_start(&cluster, 2);
    put(ENTRIES / 2, ENTRIES / 2);
    cluster_expect_all(&cluster, ENTRIES);
    cluster_receipt(&cluster, 2);
    cluster_kill(&cluster, 2);
    shell("mkdir %s/log && cp %s/node/raft/0* %s/log", cluster.dir, cluster.nodes[2].dir, cluster.dir);
    cluster_kill(&cluster, 1);
    cluster.threshold = "20";
    cluster.trailing = "5";
    cluster_start(&cluster, 1);
    put(ENTRIES, ENTRIES);
    assert_true(cluster_applied_within(&cluster, 1, ENTRIES * 2, WAIT_MS));
    cluster_receipt(&cluster, 1);
    cluster_kill(&cluster, 1);
    cluster_kill(&cluster, 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_remove(&cluster);
    return 0;
}

static bool says(const char *text, const char *words)
{
    char word[200];
    for (const char *p = words; *p != '\0';) {
        size_t length = strcspn(p, "|");
        snprintf(word, sizeof word, "%.*s", (int)length, p);
        if (strstr(text, word) == NULL)
            return false;
        p += length + (p[length] == '|');
    }
    return true;
}

static void each_damage_has_its_outcome(void **state)
{
    static const unsigned node_of[TEMPLATE_COUNT] = { [LOG] = 2, [SNAPSHOTS] = 1 };
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct storage_uv storage;
        struct error err = ERROR_NONE;
        snprintf(row_dir, sizeof row_dir, "%s/row%zu", cluster.dir, i);
        shell("cp -a --sparse=always %s %s", cluster.nodes[node_of[rows[i].from]].dir, row_dir);
        rows[i].happened();
        enum status status = storage_uv_open(&storage, row_dir, &err);
        if (status == STATUS_OK)
            storage_uv_close(&storage);
        if (status != rows[i].wanted || !says(err.text, rows[i].says)) {
            wrong++;
            print_error("%s: %s, not %s: %s\n", rows[i].what, status_word(status), status_word(rows[i].wanted),
                        err.text);
        }
        /* The outcome stays: a second look finds the same. */
        if (storage_uv_open(&storage, row_dir, &err) == STATUS_OK)
            storage_uv_close(&storage);
        if (err.status != status && rows[i].wanted != STATUS_OK)
            fail_msg("%s: a second look says %s: %s", rows[i].what, status_word(err.status), err.text);
        shell("rm -r %s", row_dir);
    }
    assert_int_equal(wrong, 0);
}

/* Rows that continue, on real nodes: what was acknowledged is all there, and libraft takes the directory as it was left. */
static void what_continues_loses_nothing(void **state)
{
    static void (*const happened[])(void) = { open_torn, next_open_first_block_missing, metadata_one_ahead,
                                              receipt_newer_slot_torn, truncation_not_finished };
    (void)state;
    cluster.threshold = cluster.trailing = NULL;
    for (size_t i = 0; i < sizeof happened / sizeof happened[0]; i++) {
        snprintf(row_dir, sizeof row_dir, "%s", cluster.nodes[2].dir);
        happened[i]();
        cluster_start(&cluster, 2);
        cluster_start(&cluster, 3);
        cluster_leader(&cluster);
        cluster_put(&cluster, 2, ENTRIES * 2 + (unsigned)i);
        cluster_expect_all(&cluster, ENTRIES * 2 + i + 1);
        cluster_kill(&cluster, 2);
        cluster_kill(&cluster, 3);
    }
    snprintf(row_dir, sizeof row_dir, "%s", cluster.nodes[1].dir);
    log_behind_the_snapshot();
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    cluster_expect_all(&cluster, ENTRIES * 2 + sizeof happened / sizeof happened[0]);
}

static void a_quarantined_directory_is_kept_and_out_of_the_way(void **state)
{
    struct storage_identity identity;
    struct storage_uv storage;
    struct error err = ERROR_NONE;
    char moved[4096], dir[300];
    (void)state;
    snprintf(dir, sizeof dir, "%s/aside", cluster.dir);
    shell("cp -a --sparse=always %s %s", cluster.nodes[2].dir, dir);
    assert_int_equal(storage_uv_open(&storage, dir, &err), STATUS_OK);
    assert_int_equal(storage_uv_quarantine(dir, &identity, moved, sizeof moved, &err), STATUS_REFUSED);
    storage_uv_close(&storage);
    assert_int_equal(storage_uv_quarantine(dir, &identity, moved, sizeof moved, &err), STATUS_OK);
    assert_int_equal(identity.id, 2);
    shell("test -e %s/identity && test -e %s/raft/metadata1 && test ! -e %s/node", moved, moved, dir);
    assert_int_equal(storage_uv_open(&storage, dir, &err), STATUS_NOT_FOUND);
    assert_int_equal(storage_uv_quarantine(dir, &identity, moved, sizeof moved, &err), STATUS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_damage_has_its_outcome),
        cmocka_unit_test(a_quarantined_directory_is_kept_and_out_of_the_way),
        cmocka_unit_test(what_continues_loses_nothing),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, setup, teardown);
}
