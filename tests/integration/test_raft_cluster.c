/* Three processes on loopback: what was acknowledged is there afterwards, whatever was killed in between. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "test_raft_harness.h"
#include "tls_fixture.h"

static struct cluster cluster;
static bool own_network;

static int setup(void **state)
{
    *state = &cluster;
    cluster_make(&cluster);
    cluster_bootstrap(&cluster);
    return 0;
}

static int setup_small_snapshots(void **state)
{
    setup(state);
    cluster.threshold = "40";
    cluster.trailing = "10";
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (own_network)
        shell("nft flush ruleset");
    cluster_remove(&cluster);
    return 0;
}

static unsigned other_than(unsigned a, unsigned b)
{
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        if (id != a && id != b)
            return id;
    return 0;
}

static void burst_begin(unsigned id, unsigned from, unsigned count)
{
    cluster_tell(&cluster, id, "burst %u %u", from, count);
}

static void burst_end(unsigned id, unsigned count)
{
    char rest[40];
    cluster_hear(&cluster, id, "burst ", rest, sizeof rest);
    assert_int_equal((unsigned)atoi(rest), count);
}

static void every_node_proposes_and_learns_the_outcome_of_its_own_entry(void **state)
{
    char rest[100];
    (void)state;
    cluster_start_all(&cluster);
    cluster_leader(&cluster);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(cluster_put(&cluster, 1 + i % CLUSTER_NODES, i), i + 1);
    assert_int_equal(cluster_put(&cluster, 2, 7),
                     30); /* known already: the outcome is of this entry, not of the first */
    for (unsigned id = 1; id <= CLUSTER_NODES; id++) {
        cluster_tell(&cluster, id, "put 60001"); /* the leader's admit says no; the same at every node */
        cluster_hear(&cluster, id, "put 60001 ", rest, sizeof rest);
        assert_string_equal(rest, "refused 0 0");
    }
    cluster_expect_all(&cluster, 30);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        assert_int_equal(cluster_quit(&cluster, id), 0); /* closes every handle, leaks nothing */
}

static void a_follower_alone_says_that_there_is_no_leader(void **state)
{
    char rest[100];
    (void)state;
    cluster_start(&cluster, 2);
    cluster_tell(&cluster, 2, "put 1");
    cluster_hear(&cluster, 2, "put 1 ", rest, sizeof rest);
    assert_string_equal(rest, "no_leader 0 0");
}

static void nothing_acknowledged_is_lost_when_each_node_is_killed_in_turn(void **state)
{
    unsigned total = 0;
    (void)state;
    cluster_start_all(&cluster);
    for (unsigned round = 0; round < 6; round++) {
        unsigned leader = cluster_leader(&cluster);
        /* By turns the leader under a follower's burst, a follower, and the leader that carries the burst's sibling. */
        unsigned victim = round % 2 == 0 ? leader : other_than(leader, 0);
        unsigned writer = other_than(victim, round % 3 == 0 ? leader : 0);
        burst_begin(writer, total, 600);
        cluster_applied_within(&cluster, writer, total + 100, WAIT_MS);
        cluster_kill(&cluster, victim);
        cluster_applied_within(&cluster, writer, total + 200, WAIT_MS);
        cluster_start(&cluster, victim);
        burst_end(writer, 600);
        total += 600;
    }
    cluster_expect_all(&cluster, total);
}

static void nothing_acknowledged_is_lost_when_all_are_killed_at_once(void **state)
{
    unsigned total = 0;
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        cluster_start_all(&cluster);
        cluster_leader(&cluster);
        for (unsigned i = 0; i < 60; i++, total++)
            cluster_put(&cluster, 1 + total % CLUSTER_NODES, total);
        for (unsigned id = 1; id <= CLUSTER_NODES; id++)
            cluster_kill(&cluster, id);
    }
    cluster_start_all(&cluster);
    cluster_expect_all(&cluster, total);
}

static void a_node_behind_the_log_comes_back_through_a_snapshot_and_nobody_crashes(void **state)
{
    unsigned total = 0, restored = 0;
    (void)state;
    cluster_start_all(&cluster);
    for (unsigned round = 0; round < 6; round++) {
        unsigned leader = cluster_leader(&cluster);
        unsigned victim = round % 2 == 0 ? leader : other_than(leader, 0);
        unsigned writer = other_than(victim, 0);
        char rest[64];
        unsigned snapshots = 0, dropped = 0;
        burst_begin(writer, total, 400);
        cluster_applied_within(&cluster, writer, total + 50, WAIT_MS);
        cluster_kill(&cluster, victim);
        burst_end(writer, 400);
        total += 400;
        cluster_start(&cluster, victim);
        burst_begin(writer, total, 200); /* it writes its own snapshots while the leader's arrive */
        burst_end(writer, 200);
        total += 200;
        cluster_expect_all(&cluster, total);
        cluster_tell(&cluster, victim, "counters");
        cluster_hear(&cluster, victim, "counters ", rest, sizeof rest);
        assert_int_equal(sscanf(rest, "%u %u", &snapshots, &dropped), 2);
        restored += snapshots > 1; /* one at its start, another one from the leader */
    }
    assert_true(restored > 0);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        assert_int_equal(cluster_quit(&cluster, id), 0);
}

static void leadership_goes_where_it_is_sent(void **state)
{
    char rest[40];
    (void)state;
    cluster_start_all(&cluster);
    for (unsigned i = 0; i < 6; i++) {
        unsigned leader = cluster_leader(&cluster);
        unsigned target = 1 + leader % CLUSTER_NODES;
        cluster_tell(&cluster, target, "transfer %u", target);
        cluster_hear(&cluster, target, "transfer ", rest, sizeof rest);
        assert_string_equal(rest, "refused"); /* it does not lead */
        cluster_tell(&cluster, leader, "transfer %u", target);
        cluster_hear(&cluster, leader, "transfer ", rest, sizeof rest);
        assert_string_equal(rest, "ok");
        int64_t end = cluster_now_ms() + WAIT_MS;
        while (cluster_leader(&cluster) != target && cluster_now_ms() < end)
            ;
        assert_int_equal(cluster_leader(&cluster), target);
        cluster_put(&cluster, leader, i);
    }
    cluster_expect_all(&cluster, 6);
}

static void a_stopped_leader_is_replaced_and_follows_when_it_wakes(void **state)
{
    (void)state;
    cluster_start_all(&cluster);
    unsigned leader = cluster_leader(&cluster);
    unsigned writer = other_than(leader, 0);
    cluster_put(&cluster, writer, 0);
    kill(cluster.nodes[leader].pid, SIGSTOP);
    for (unsigned i = 1; i < 20; i++)
        cluster_put(&cluster, writer, i);
    kill(cluster.nodes[leader].pid, SIGCONT);
    cluster_put(&cluster, leader, 20); /* it may not answer from the term that is over */
    assert_int_not_equal(cluster_leader(&cluster), 0);
    cluster_expect_all(&cluster, 21);
}

static void a_healed_partition_is_noticed_by_us_before_tcp_would(void **state)
{
    (void)state;
    if (!own_network)
        skip(); /* dropping packets takes root */
    cluster_start_all(&cluster);
    unsigned leader = cluster_leader(&cluster);
    unsigned cut = other_than(leader, 0);
    char host[64];
    snprintf(host, sizeof host, "%.*s", (int)strcspn(cluster.nodes[cut].address, ":"), cluster.nodes[cut].address);
    shell("nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; "
          "add rule ip t c ip saddr %s drop; add rule ip t c ip daddr %s drop'",
          host, host);
    for (unsigned i = 0; i < 50; i++)
        cluster_put(&cluster, leader, i);
    assert_false(cluster_applied_within(&cluster, cut, 1, 14000)); /* it is cut off, and TCP's next try is 12 s away */
    shell("nft flush ruleset");
    assert_true(cluster_applied_within(&cluster, cut, 50, 8000));
    cluster_put(&cluster, cut, 50); /* messages are connected again, too */
    cluster_expect_all(&cluster, 51);
}

static void reload(unsigned id)
{
    char rest[40];
    cluster_tell(&cluster, id, "reload");
    cluster_hear(&cluster, id, "reload ", rest, sizeof rest);
    assert_string_equal(rest, "ok");
}

static void the_authority_is_replaced_under_a_running_cluster(void **state)
{
    (void)state;
    char ca[200], new_ca[200];
    snprintf(ca, sizeof ca, "%s", tls_fixture_path("ca", "crt"));
    snprintf(new_ca, sizeof new_ca, "%s", tls_fixture_path("new-ca", "crt"));
    cluster_start_all(&cluster);
    uint64_t count = cluster_put(&cluster, cluster_leader(&cluster), 0);
    tls_fixture_authority("new-ca");
    shell("cat %s >> %s", new_ca, ca);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        reload(id);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++) { /* every pair meets, one old and one new */
        cluster_certificate(id, cluster.nodes[id].certificate, "new-ca");
        reload(id);
        cluster_kill(&cluster, other_than(id, 0));
        count = cluster_put(&cluster, cluster_leader(&cluster), id);
        cluster_start(&cluster, other_than(id, 0));
        cluster_expect_all(&cluster, count);
    }
    shell("cat %s > %s", new_ca, ca);
    for (unsigned id = 1; id <= CLUSTER_NODES; id++)
        reload(id);
    cluster_kill(&cluster, cluster_leader(&cluster));
    cluster_expect_all(&cluster, cluster_put(&cluster, cluster_leader(&cluster), 4));
}

static void a_node_without_tls_is_no_part_of_the_cluster(void **state)
{
    (void)state;
    char rest[40];
    unsigned certificate = 0, hello = 0;
    cluster.nodes[3].certificate = NULL;
    cluster_start_all(&cluster);
    cluster_put(&cluster, 1, 0);
    for (int64_t end = cluster_now_ms() + WAIT_MS; certificate == 0 && cluster_now_ms() < end;) {
        cluster_tell(&cluster, 1, "refused");
        cluster_hear(&cluster, 1, "refused ", rest, sizeof rest);
        assert_int_equal(sscanf(rest, "%u %u", &certificate, &hello), 2);
    }
    assert_true(certificate > 0);
    assert_false(cluster_applied_within(&cluster, 3, 1, 1000));
    cluster_tell(&cluster, 3, "put 7");
    cluster_hear(&cluster, 3, "put 7 no_leader", rest, sizeof rest);
}

int main(void)
{
#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(every_node_proposes_and_learns_the_outcome_of_its_own_entry),
        CLUSTER_TEST(a_follower_alone_says_that_there_is_no_leader),
        CLUSTER_TEST(nothing_acknowledged_is_lost_when_each_node_is_killed_in_turn),
        CLUSTER_TEST(nothing_acknowledged_is_lost_when_all_are_killed_at_once),
        cmocka_unit_test_setup_teardown(a_node_behind_the_log_comes_back_through_a_snapshot_and_nobody_crashes,
                                        setup_small_snapshots, teardown),
        CLUSTER_TEST(leadership_goes_where_it_is_sent),
        CLUSTER_TEST(a_stopped_leader_is_replaced_and_follows_when_it_wakes),
        CLUSTER_TEST(the_authority_is_replaced_under_a_running_cluster),
        CLUSTER_TEST(a_node_without_tls_is_no_part_of_the_cluster),
        CLUSTER_TEST(a_healed_partition_is_noticed_by_us_before_tcp_would),
    };
    signal(SIGPIPE, SIG_IGN);
    own_network = cluster_own_network();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
