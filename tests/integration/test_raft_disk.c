/* Three real nodes on disks that lose power, fail, fill up, get read-only and hang (tests/faultfs), under load: what was acknowledged is never
 * lost, a node that must stop says why, and the others go on.
 *
 * Environment: DISK_ROUNDS (power losses; default 6), DISK_SEED (0: by the clock). */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault_disk.h"
#include "test_raft_harness.h"

#define NUMBERS 50000u
#define WINDOW 24u

static struct cluster cluster;
static struct fault_disk disks[CLUSTER_NODES + 1];
static bool acked[NUMBERS];
static unsigned next_number, open_puts, acked_count;
static bool possible;

static int setup(void **state)
{
    (void)state;
    if (!possible)
        return 0;
    cluster_make(&cluster);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        fault_disk_mount(&disks[id], cluster.nodes[id].dir);
    cluster_bootstrap(&cluster);
    memset(acked, 0, sizeof acked);
    next_number = open_puts = acked_count = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!possible)
        return 0;
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        if (disks[id].pid != 0)
            fault_disk_order(&disks[id], NULL, 0, "go"); /* or a process that waits for it cannot end */
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        if (cluster.nodes[id].pid != 0)
            cluster_kill(&cluster, id);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        fault_disk_close(&disks[id]);
    cluster_remove(&cluster);
    return 0;
}

/* ---- load ---- */

/* Proposes through one node for so long, many at once and of all lengths, and notes what it acknowledges. */
static void load(unsigned id, int ms, unsigned *random)
{
    int64_t end = cluster_now_ms() + ms;
    for (;;) {
        char rest[100], status[20];
        unsigned number;
        int64_t left = end - cluster_now_ms();
        while (left > 0 && open_puts < WINDOW && next_number < NUMBERS) {
            *random = *random * 1103515245u + 12345u;
            unsigned bytes = (*random >> 16) % 8 == 0 ? 9000 + (*random >> 8) % 9000 : 4 + (*random >> 16) % 700;
            cluster_tell(&cluster, id, "put %u %u", next_number++, bytes);
            open_puts++;
        }
        if (!cluster_hear_within(&cluster, id, "put ", rest, sizeof rest, left > 0 ? (int)left : 1)) {
            if (left <= 0)
                return;
            continue;
        }
        if (open_puts > 0)
            open_puts--;
        assert_int_equal(sscanf(rest, "%u %19s", &number, status), 2);
        if (strcmp(status, "ok") == 0) {
            acked[number] = true;
            acked_count++;
        } else {
            usleep(2000); /* no leader now: numbers must not run out meanwhile */
        }
    }
}

/* What the leader holds: all that was acknowledged. */
static void expect_acked(void)
{
    unsigned leader = cluster_leader(&cluster);
    for (unsigned n = 0; n < next_number;) {
        char rest[40];
        unsigned first = n;
        while (n < next_number && acked[n])
            n++;
        if (n > first) {
            cluster_tell(&cluster, leader, "missing %u %u", first, n - first);
            cluster_hear(&cluster, leader, "missing ", rest, sizeof rest);
            if (atoi(rest) != 0)
                fail_msg("%s of the acknowledged %u to %u are lost", rest, first, n - 1);
        }
        while (n < next_number && !acked[n])
            n++;
    }
}

static void kill_nodes(unsigned mask)
{
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        if (mask & (1u << id))
            cluster_kill(&cluster, id);
    open_puts = 0; /* what those would have answered is unknown */
}

static void power_losses_lose_nothing_that_was_acknowledged(void **state)
{
    const char *rounds_text = getenv("DISK_ROUNDS"), *seed_text = getenv("DISK_SEED");
    unsigned rounds = rounds_text != NULL ? (unsigned)atoi(rounds_text) : 6;
    unsigned random = seed_text != NULL ? (unsigned)atoi(seed_text) : (unsigned)time(NULL);
    unsigned pages_lost = 0, names_lost = 0;
    (void)state;
    if (!possible)
        skip();
    print_message("seed %u\n", random);
    cluster.threshold = "60"; /* snapshots and removals of the log fall into the load, too */
    cluster.trailing = "30";
    cluster_start_all(&cluster);
    for (unsigned round = 0; round < rounds; round++) {
        unsigned through = cluster_leader(&cluster);
        random = random * 1103515245u + 12345u;
        load(through, 50 + (int)((random >> 16) % 400), &random);
        unsigned mask = (random >> 12) % 3 == 0 ? 1u << (1 + (random >> 20) % CLUSTER_NODES) : 0xeu;
        kill_nodes(mask);
        if (!(mask & (1u << through))) /* the answers that it still owes belong to nobody */
            load(through, 0, &random);
        open_puts = 0;
        for (unsigned id = 1; id <= CLUSTER_NODES; id++) {
            char answer[100];
            unsigned pages = 0, names = 0;
            if (!(mask & (1u << id)))
                continue;
            fault_disk_order(&disks[id], answer, sizeof answer, "power-loss %u", random + id);
            assert_int_equal(sscanf(answer, "lost %u %u", &pages, &names), 2);
            pages_lost += pages;
            names_lost += names;
            cluster_start(&cluster, id);
        }
        expect_acked();
    }
    print_message("%u proposed, %u acknowledged, %u pages and %u names lost in %u power losses\n", next_number,
                  acked_count, pages_lost, names_lost, rounds);
    assert_true(acked_count > rounds && pages_lost > 0);
    char counts[100];
    unsigned long writes = 0, syncs = 0, direct = 0;
    fault_disk_order(&disks[1], counts, sizeof counts, "counts");
    assert_int_equal(sscanf(counts, "counts %lu %lu %lu", &writes, &syncs, &direct), 3);
    assert_true(direct > 0 && syncs > 0); /* libraft's path for real disks was the one that was tried */
}

static void expect_progress(unsigned through, unsigned *random)
{
    unsigned before = acked_count;
    open_puts = 0; /* what other nodes still owe will not be waited for */
    for (int64_t end = cluster_now_ms() + WAIT_MS; acked_count < before + 10;) {
        if (cluster_now_ms() > end)
            fail_msg("nothing is acknowledged any more");
        load(through, 100, random);
    }
}

/* The node on the disk ends with 42 and this text; the others go on; mended, it comes back with everything. */
static void expect_stop(unsigned id, const char *order, const char *says)
{
    char log[300], text[8192];
    unsigned random = id, other = id % CLUSTER_NODES + 1;
    fault_disk_order(&disks[id], NULL, 0, "%s", order);
    cluster_tell(&cluster, id, "transfer 0"); /* followers write, too; either will do */
    for (int64_t end = cluster_now_ms() + 1000; cluster_now_ms() < end;)
        load(other, 100, &random);
    if (strcmp(order, "hang") == 0) { /* a process whose write hangs is gone when the disk lets it go */
        expect_progress(other, &random);
        load(other, 6000, &random);
        fault_disk_order(&disks[id], NULL, 0, "go");
    }
    assert_int_equal(cluster_ended(&cluster, id), 42);
    snprintf(log, sizeof log, "%s/stderr%u", cluster.dir, id);
    FILE *f = fopen(log, "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    const char *fatal = strstr(text, "fatal: ");
    print_message("'%s': %.*s\n", order, fatal != NULL ? (int)strcspn(fatal, "\n") : 0, fatal != NULL ? fatal : "");
    if (strstr(text, says) == NULL || strstr(text, disks[id].dir) == NULL)
        fail_msg("'%s' with '%s' does not say '%s'", order, text, says);
    unlink(log);
    expect_progress(other, &random); /* the others go on */
    fault_disk_order(&disks[id], NULL, 0, "fail 0");
    cluster_start(&cluster, id);
    expect_progress(id, &random);
    expect_acked();
}

static void a_disk_that_fails_ends_its_node_and_no_other(void **state)
{
    char order[40];
    (void)state;
    if (!possible)
        skip();
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    for (unsigned leads = 0; leads < 2; leads++) {
        unsigned leader = cluster_leader(&cluster);
        unsigned id = leads == 1 ? leader : leader % CLUSTER_NODES + 1;
        snprintf(order, sizeof order, "fail %d", EIO);
        expect_stop(id, order, "fatal: ");
    }
    snprintf(order, sizeof order, "fail %d", EROFS);
    expect_stop(1, order, "fatal: ");
    snprintf(order, sizeof order, "fail %d", ENOSPC);
    expect_stop(2, order, "fatal: ");
    expect_stop(cluster_leader(&cluster), "hang", "hangs");
}

static void a_disk_that_cannot_be_read_is_no_damage(void **state)
{
    char text[4096];
    (void)state;
    if (!possible)
        skip();
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    cluster_put(&cluster, 1, 0);
    cluster_kill(&cluster, 1);
    fault_disk_order(&disks[1], NULL, 0, "power-loss 1"); /* nothing is in a cache any more */
    fault_disk_order(&disks[1], NULL, 0, "fail-read %d", EIO);
    assert_int_equal(cluster_start_refused(&cluster, 1, text, sizeof text), 1);
    assert_non_null(strstr(text, "Input/output error"));
    assert_null(strstr(text, "quarantine"));
    fault_disk_order(&disks[1], NULL, 0, "fail-read 0");
    fault_disk_order(&disks[1], NULL, 0, "free 100");
    assert_int_equal(cluster_start_refused(&cluster, 1, text, sizeof text), 1);
    assert_non_null(strstr(text, "100 MiB free; a node needs 128 MiB"));
    fault_disk_order(&disks[1], NULL, 0, "free 200");
    cluster_start(&cluster, 1);
    cluster_expect_all(&cluster, 1);
}

int main(void)
{
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        DISK_TEST(power_losses_lose_nothing_that_was_acknowledged),
        DISK_TEST(a_disk_that_fails_ends_its_node_and_no_other),
        DISK_TEST(a_disk_that_cannot_be_read_is_no_damage),
    };
    signal(SIGPIPE, SIG_IGN);
    possible = cluster_own_network() && fault_disk_possible();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
