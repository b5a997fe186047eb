/* raft_io_mem itself, with plain libraft on it: without our guard, so snapshots are only installed where libraft 0.22.1 can bear it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/chaos.h"
#include "tests/sim/cluster.h"

#define SEEDS 1000

static const struct cluster_options plain = { .kind = CLUSTER_PLAIN,
                                              .node_count = 3,
                                              .heartbeat_ms = 60,
                                              .election_ms = 300,
                                              .snapshot_threshold = 50,
                                              .snapshot_trailing = 10000 };

static void end(struct cluster *c, struct sim *s)
{
    bool failed = s->failed;

    if (failed)
        sim_print_failure(s, "test_raft_io_mem");
    cluster_destroy(c);
    sim_destroy(s);
    assert_false(failed);
}

static void a_leader_is_elected_and_replicates(void **state)
{
    struct sim *s = sim_create(1, false);
    struct cluster *c = cluster_create(s, &plain);

    (void)state;
    cluster_start_all(c);
    assert_true(cluster_run_until_leader(c, 5 * SIM_US_PER_S) < 3);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(cluster_propose(c, cluster_leader(c)) > 0);
        sim_run(s, 20 * SIM_US_PER_MS);
    }
    sim_run(s, SIM_US_PER_S);
    assert_int_equal(c->acked_count, 100);
    cluster_check_converged(c);
    end(c, s);
}

static void everything_acknowledged_survives_a_crash_of_all(void **state)
{
    struct sim *s = sim_create(2, false);
    struct cluster *c = cluster_create(s, &plain);

    (void)state;
    cluster_start_all(c);
    assert_true(cluster_run_until_leader(c, 5 * SIM_US_PER_S) < 3);
    for (unsigned i = 0; i < 30; i++) {
        cluster_propose(c, cluster_leader(c));
        sim_run(s, 2 * SIM_US_PER_MS);
    }
    for (unsigned i = 0; i < 3; i++)
        cluster_crash(c, i);
    cluster_start_all(c);
    assert_true(cluster_run_until_leader(c, 5 * SIM_US_PER_S) < 3);
    sim_run(s, SIM_US_PER_S);
    assert_true(c->acked_count > 0);
    cluster_check_converged(c);
    end(c, s);
}

static void the_unsynced_tail_is_lost_in_a_crash(void **state)
{
    unsigned kept_all = 0;
    unsigned kept_none = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim *s = sim_create(seed, false);
        struct cluster *c = cluster_create(s, &plain);
        unsigned leader;
        uint64_t before;
        cluster_start_all(c);
        leader = cluster_run_until_leader(c, 5 * SIM_US_PER_S);
        assert_true(leader < 3);
        sim_run(s, SIM_US_PER_S);
        before = disk_last_index(cluster_disk(c, leader));
        for (unsigned i = 0; i < 5; i++)
            cluster_propose(c, leader);
        assert_true(raft_io_mem_pending_count(cluster_io(c, leader)) > 0);
        cluster_crash(c, leader);
        assert_true(disk_last_index(cluster_disk(c, leader)) <= before + 5);
        kept_none += disk_last_index(cluster_disk(c, leader)) == before;
        kept_all += disk_last_index(cluster_disk(c, leader)) > before;
        end(c, s);
    }
    assert_true(kept_all > 0 && kept_none > 0);
}

static void a_node_left_behind_gets_a_snapshot(void **state)
{
    struct cluster_options options = plain;
    struct sim *s = sim_create(3, false);
    struct cluster *c;
    unsigned leader;
    unsigned behind;

    (void)state;
    options.snapshot_threshold = 40;
    options.snapshot_trailing = 5;
    c = cluster_create(s, &options);
    cluster_start_all(c);
    leader = cluster_run_until_leader(c, 5 * SIM_US_PER_S);
    behind = (leader + 1) % 3;
    cluster_crash(c, behind);
    for (unsigned i = 0; i < 190; i++) {
        cluster_propose(c, leader);
        sim_run(s, 30 * SIM_US_PER_MS);
    }
    cluster_start(c, behind);
    sim_run(s, 10 * SIM_US_PER_S);
    assert_int_equal(c->acked_count, 190);
    assert_true(c->restored_count > 0);
    assert_true(cluster_disk(c, behind)->snapshot.index > 40);
    cluster_check_converged(c);
    end(c, s);
}

static void the_same_seed_gives_the_same_run(void **state)
{
    uint64_t events[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct sim *s = sim_create(77, false);
        struct cluster *c = cluster_create(s, &plain);
        cluster_start_all(c);
        chaos_run(c, &(struct chaos_options){ .span_us = 5 * SIM_US_PER_S,
                                              .write_every_us = 10 * SIM_US_PER_MS,
                                              .crashes = true,
                                              .stream = true });
        events[i] = s->event_count * 1000003 + c->acked_count;
        end(c, s);
    }
    assert_int_equal(events[0], events[1]);
}

static void nothing_acknowledged_is_lost_in_chaos(void **state)
{
    uint64_t acked = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct cluster_options options = plain;
        struct sim *s = sim_create(seed, false);
        struct cluster *c;
        options.node_count = seed % 4 == 0 ? 5 : 3;
        c = cluster_create(s, &options);
        cluster_start_all(c);
        chaos_run(c, &(struct chaos_options){ .span_us = 10 * SIM_US_PER_S,
                                              .write_every_us = 15 * SIM_US_PER_MS,
                                              .crashes = seed % 3 != 0,
                                              .pauses = seed % 3 != 1,
                                              .stream = seed % 2 == 0 });
        acked += c->acked_count;
        end(c, s);
    }
    assert_true(acked > SEEDS * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_is_elected_and_replicates),
        cmocka_unit_test(everything_acknowledged_survives_a_crash_of_all),
        cmocka_unit_test(the_unsynced_tail_is_lost_in_a_crash),
        cmocka_unit_test(a_node_left_behind_gets_a_snapshot),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(nothing_acknowledged_is_lost_in_chaos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
