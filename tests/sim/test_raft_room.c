/* The raft room (rnode with its guard) on raft_io_mem: the schedule that costs an older libraft a committed entry, chaos with snapshots
 * that are installed all the time, and a disk that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/chaos.h"
#include "tests/sim/cluster.h"
#include "tests/sim/member_chaos.h"

#define SEEDS 1000
#define MEMBER_SEEDS 200

static const struct cluster_options guarded = { .kind = CLUSTER_RNODE,
                                                .node_count = 3,
                                                .heartbeat_ms = 60,
                                                .election_ms = 300,
                                                .snapshot_threshold = 50,
                                                .snapshot_trailing = 10000 };

static struct cluster *begin(uint64_t seed, const struct cluster_options *options)
{
    struct sim *s = sim_create(seed, false);
    struct cluster *c = cluster_create(s, options);

    cluster_start_all(c);
    return c;
}

static void end(struct cluster *c)
{
    struct sim *s = c->sim;
    bool failed = s->failed;

    if (failed)
        sim_print_failure(s, "test_raft_room");
    cluster_destroy(c);
    sim_destroy(s);
    assert_false(failed);
}

static void isolate(struct cluster *c, unsigned node, bool cut)
{
    net_partition(&c->net, 1u << node, cut);
}

static unsigned third(unsigned a, unsigned b)
{
    return 3 - a - b;
}

static unsigned run_until_elected_but(struct cluster *c, unsigned not )
{
    for (;;) {
        for (unsigned i = 0; i < 3; i++)
            if (i != not &&cluster_elected(c, i))
                return i;
        assert_true(sim_step(c->sim));
    }
}

/* S0 leads, is isolated, appends A; S1 elects S2, which is isolated with its own first entry; S0 and S1 meet, S0 leads, A is committed;
 * S0 is isolated, S1 and S2 meet. A has to stay: S2, whose last entry is of a later term than A, must not win. */
static void a_committed_entry_of_an_older_term_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = begin(seed, &guarded);
        unsigned s0 = cluster_run_until_leader(c, 10 * SIM_US_PER_S);
        unsigned s1;
        unsigned s2;
        uint64_t a;
        assert_true(s0 < 3);
        sim_run(c->sim, SIM_US_PER_S);
        isolate(c, s0, true);
        a = cluster_propose(c, s0);
        assert_true(a > 0);
        s2 = run_until_elected_but(c, s0);
        s1 = third(s0, s2);
        isolate(c, s2, true);
        sim_run(c->sim, 3 * SIM_US_PER_S);
        assert_true(disk_last_index(cluster_disk(c, s1)) < disk_last_index(cluster_disk(c, s2)));
        net_cut(&c->net, s0, s1, false);
        net_cut(&c->net, s1, s0, false);
        assert_true(cluster_run_until_leads(c, s0, 20 * SIM_US_PER_S));
        sim_run(c->sim, SIM_US_PER_S);
        assert_true(cluster_has(c, s0, a) && cluster_has(c, s1, a));
        isolate(c, s0, true);
        net_cut(&c->net, s1, s2, false);
        net_cut(&c->net, s2, s1, false);
        assert_true(cluster_run_until_leads(c, s1, 20 * SIM_US_PER_S));
        net_heal(&c->net);
        sim_run(c->sim, 5 * SIM_US_PER_S);
        for (unsigned i = 0; i < 3; i++)
            assert_true(cluster_has(c, i, a));
        cluster_check_converged(c);
        end(c);
    }
}

static void chaos(const struct cluster_options *options, uint64_t first_seed, uint64_t seeds, uint64_t *acked,
                  uint64_t *restored)
{
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        struct cluster_options o = *options;
        struct cluster *c;
        o.node_count = seed % 4 == 0 ? 5 : 3;
        c = begin(seed, &o);
        chaos_run(c, &(struct chaos_options){ .span_us = 10 * SIM_US_PER_S,
                                              .write_every_us = 15 * SIM_US_PER_MS,
                                              .crashes = seed % 3 != 0,
                                              .pauses = seed % 3 != 1,
                                              .stream = seed % 2 == 0 });
        *acked += c->acked_count;
        *restored += c->restored_count;
        end(c);
    }
}

static void nothing_acknowledged_is_lost_in_chaos(void **state)
{
    uint64_t acked = 0;
    uint64_t restored = 0;

    (void)state;
    chaos(&guarded, 1, SEEDS / 2, &acked, &restored);
    assert_true(acked > SEEDS * 10);
}

static void nothing_acknowledged_is_lost_when_snapshots_are_installed_all_the_time(void **state)
{
    struct cluster_options options = guarded;
    uint64_t acked = 0;
    uint64_t restored = 0;

    (void)state;
    options.snapshot_threshold = 12;
    options.snapshot_trailing = 4;
    chaos(&options, SEEDS, SEEDS / 2, &acked, &restored);
    assert_true(acked > SEEDS * 10);
    assert_true(restored > SEEDS);
}

static void nothing_acknowledged_is_lost_while_members_come_and_go(void **state)
{
    struct cluster_options options = guarded;
    struct member_chaos_counts counts = { 0 };
    uint64_t acked = 0;

    (void)state;
    options.first_count = 3;
    options.node_count = 7;
    for (uint64_t seed = 1; seed <= MEMBER_SEEDS; seed++) {
        struct cluster *c;

        options.snapshot_threshold = seed % 2 == 0 ? 12 : 50;
        options.snapshot_trailing = seed % 2 == 0 ? 4 : 10000;
        c = begin(seed, &options);
        member_chaos_run(c,
                         &(struct chaos_options){ .span_us = 20 * SIM_US_PER_S,
                                                  .write_every_us = 20 * SIM_US_PER_MS,
                                                  .crashes = true,
                                                  .pauses = seed % 3 == 0,
                                                  .stream = seed % 4 != 0 },
                         &counts);
        acked += c->acked_count;
        end(c);
    }
    /* A seed in which nothing happens would find nothing. */
    assert_true(acked > MEMBER_SEEDS * 50);
    assert_true(counts.added > 2 * MEMBER_SEEDS && counts.removed > 2 * MEMBER_SEEDS);
    assert_true(counts.promoted > MEMBER_SEEDS / 10 && counts.demoted > MEMBER_SEEDS / 2);
    assert_true(counts.handed_over > MEMBER_SEEDS / 2 && counts.leaders_removed > MEMBER_SEEDS / 4);
    assert_true(counts.steps > counts.added);
}

static void a_node_whose_log_write_fails_stops_and_the_others_go_on(void **state)
{
    struct cluster *c = begin(5, &guarded);
    unsigned leader = cluster_run_until_leader(c, 10 * SIM_US_PER_S);
    unsigned next;

    (void)state;
    assert_true(leader < 3);
    raft_io_mem_set_fault(cluster_io(c, leader), RAFT_IO_MEM_APPEND_FAILS);
    cluster_propose(c, leader);
    sim_run(c->sim, 5 * SIM_US_PER_S);
    assert_true(cluster_fatal(c, leader));
    next = cluster_leader(c);
    assert_true(next < 3 && next != leader);
    assert_true(cluster_propose(c, next) > 0);
    sim_run(c->sim, SIM_US_PER_S);
    assert_true(c->acked_count > 0);
    cluster_crash(c, leader);
    cluster_start(c, leader);
    sim_run(c->sim, 5 * SIM_US_PER_S);
    cluster_check_converged(c);
    end(c);
}

static void a_node_whose_disk_hangs_stops_leading_and_then_stops(void **state)
{
    struct cluster *c = begin(6, &guarded);
    unsigned leader = cluster_run_until_leader(c, 10 * SIM_US_PER_S);

    (void)state;
    assert_true(leader < 3);
    raft_io_mem_set_fault(cluster_io(c, leader), RAFT_IO_MEM_APPEND_HANGS);
    cluster_propose(c, leader);
    sim_run(c->sim, 3 * SIM_US_PER_S);
    assert_false(cluster_leads(c, leader));
    assert_true(cluster_leader(c) < 3);
    sim_run(c->sim, 10 * SIM_US_PER_S);
    assert_true(cluster_fatal(c, leader));
    cluster_crash(c, leader);
    cluster_start(c, leader);
    sim_run(c->sim, 5 * SIM_US_PER_S);
    cluster_check_converged(c);
    end(c);
}

static void a_node_that_cannot_store_its_term_stops(void **state)
{
    struct cluster *c = begin(7, &guarded);
    unsigned leader = cluster_run_until_leader(c, 10 * SIM_US_PER_S);
    unsigned other = (leader + 1) % 3;

    (void)state;
    assert_true(leader < 3);
    raft_io_mem_set_fault(cluster_io(c, other), RAFT_IO_MEM_TERM_FAILS);
    cluster_crash(c, leader);
    sim_run(c->sim, 5 * SIM_US_PER_S);
    assert_true(cluster_fatal(c, other));
    assert_int_equal(cluster_leader(c), 3);
    cluster_crash(c, other);
    cluster_start(c, other);
    cluster_start(c, leader);
    assert_true(cluster_run_until_leader(c, 10 * SIM_US_PER_S) < 3);
    cluster_propose(c, cluster_leader(c));
    sim_run(c->sim, 5 * SIM_US_PER_S);
    cluster_check_converged(c);
    end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_committed_entry_of_an_older_term_stays),
        cmocka_unit_test(nothing_acknowledged_is_lost_in_chaos),
        cmocka_unit_test(nothing_acknowledged_is_lost_when_snapshots_are_installed_all_the_time),
        cmocka_unit_test(nothing_acknowledged_is_lost_while_members_come_and_go),
        cmocka_unit_test(a_node_whose_log_write_fails_stops_and_the_others_go_on),
        cmocka_unit_test(a_node_whose_disk_hangs_stops_leading_and_then_stops),
        cmocka_unit_test(a_node_that_cannot_store_its_term_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
