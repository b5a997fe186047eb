/* Without a leader: a healthy primary goes on while the other sites' nodes promise, stops without them, and nothing moves meanwhile. Five nodes:
 * site 0 and site 1 have databases, site 2 has three witnesses. The instant checks of the world run in all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/faults.h"
#include "tests/sim/simnode.h"

#define SEEDS 10
#define WITNESSES 0x1cu /* hosts 2, 3 and 4 */
#define TTL_US (2 * (int64_t)SIM_US_PER_S)
#define LEADER_MAX_US (20 * (int64_t)SIM_US_PER_S)

static struct world *create(uint64_t seed, unsigned data_sites, unsigned node_count)
{
    struct world_options options = world_options_default();

    options.data_sites = data_sites;
    options.witness_sites = 1;
    options.node_count = node_count;
    options.snapshot_threshold = 20;
    return world_create(sim_create(seed, getenv("SIM_VERBOSE") != NULL), &options);
}

static void boot(struct world *w)
{
    world_boot(w);
    if (!w->sim->failed)
        world_run(w, 3 * SIM_US_PER_S);
}

static struct world *begin_with(uint64_t seed, unsigned data_sites, unsigned node_count)
{
    struct world *w = create(seed, data_sites, node_count);

    boot(w);
    return w;
}

static struct world *begin(uint64_t seed)
{
    return begin_with(seed, 2, 5);
}

static void end(struct world *w)
{
    struct sim *s = w->sim;
    bool failed = s->failed;

    if (failed)
        sim_print_failure(s, "test_failsafe");
    world_destroy(w);
    sim_destroy(s);
    assert_false(failed);
}

static struct world_service *service(struct world *w)
{
    return &w->services[0];
}

/* The primary acknowledges at every moment of this time, at most `pause_us` apart. */
static void expect_serving(struct world *w, int64_t span_us, int64_t pause_us)
{
    int64_t end_us = w->sim->now_us + span_us;

    while (!w->sim->failed && w->sim->now_us < end_us) {
        world_run(w, 20 * SIM_US_PER_MS);
        if (w->sim->now_us - service(w)->servers[0].acknowledged_us > pause_us)
            sim_fail(w->sim, "the primary has not acknowledged for %lld ms",
                     (long long)(w->sim->now_us - service(w)->servers[0].acknowledged_us) / 1000);
    }
}

static void expect_closed(struct world *w, int64_t span_us)
{
    uint64_t before = service(w)->servers[0].acknowledged_count;

    world_run(w, span_us);
    if (service(w)->servers[0].acknowledged_count != before)
        sim_fail(w->sim, "the primary acknowledges without promises");
}

static void crash_witnesses(struct world *w)
{
    for (unsigned i = 2; i < 5; i++)
        simnode_crash(w->nodes[i]);
}

static void start_witnesses(struct world *w)
{
    for (unsigned i = 2; i < 5; i++)
        simnode_start(w->nodes[i]);
}

static bool led(struct world *w)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (simnode_leads(w->nodes[i]))
            return true;
    return false;
}

static bool renewed_by_log(struct world *w)
{
    return led(w) && world_settled(w) && !w->nodes[0]->holder.services[0].on_promises;
}

static void expect_nothing_moved(struct world *w)
{
    if (service(w)->operation_count > 0 || service(w)->primary != 0 || !service(w)->servers[1].in_recovery ||
        service(w)->servers[1].severed)
        sim_fail(w->sim, "%u operations ran, the primary is site %u", (unsigned)service(w)->operation_count,
                 service(w)->primary);
}

static void a_primary_goes_on_without_a_quorum_while_the_other_site_promises(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed);
        crash_witnesses(w);
        expect_serving(w, 30 * TTL_US, 100 * SIM_US_PER_MS);
        assert_true(w->nodes[0]->holder.services[0].on_promises);
        start_witnesses(w); /* and back: no gap either */
        expect_serving(w, LEADER_MAX_US, 100 * SIM_US_PER_MS);
        assert_true(renewed_by_log(w));
        expect_nothing_moved(w);
        end(w);
    }
}

static void without_the_promise_it_stops_at_its_deadline_and_opens_again_with_a_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed);
        crash_witnesses(w);
        expect_serving(w, 3 * TTL_US, 100 * SIM_US_PER_MS);
        simnode_crash(w->nodes[1]);
        world_run(w, TTL_US);
        expect_closed(w, 10 * TTL_US);
        expect_nothing_moved(w);
        simnode_start(w->nodes[1]); /* it has written no entry of its own: it promises nothing */
        expect_closed(w, 5 * TTL_US);
        start_witnesses(w);
        assert_true(world_run_until(w, renewed_by_log, LEADER_MAX_US));
        expect_nothing_moved(w);
        end(w);
    }
}

static void a_primary_that_is_cut_off_alone_gets_no_promise_and_is_replaced(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed);
        net_partition(&w->net, 1u << 0, true);
        world_run(w, 20 * SIM_US_PER_S);
        assert_int_equal(service(w)->primary, 1);
        assert_true(world_settled(w));
        end(w);
    }
}

/* Its node reaches the other site's, and no other; that one hands its renewals on to the leader. */
static void a_renewal_is_handed_on_by_the_other_site(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed);
        for (unsigned i = 2; i < 5; i++) {
            net_cut(&w->net, 0, i, true);
            net_cut(&w->net, i, 0, true);
        }
        expect_serving(w, 15 * TTL_US, 100 * SIM_US_PER_MS);
        assert_true(lease_live(&world_service(service(w))->lease));
        expect_nothing_moved(w);
        net_heal(&w->net);
        expect_serving(w, LEADER_MAX_US, 100 * SIM_US_PER_MS);
        expect_nothing_moved(w);
        end(w);
    }
}

/* The two sites on one side, the witnesses on the other: they see its lease expire. Then the standby's site changes sides: it waits for its promise, and only then is the service moved there. */
static void the_promising_site_joins_those_who_saw_the_expiry(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        struct world *w = begin(seed);
        net_partition(&w->net, WITNESSES, true);
        expect_serving(w, 5 * TTL_US, 100 * SIM_US_PER_MS);
        assert_int_equal(world_service(service(w))->lease.state, LEASE_EXPIRED);
        assert_false(service(w)->proven);
        net_heal(&w->net);
        net_partition(&w->net, 1u << 0, true);
        world_run(w, 20 * SIM_US_PER_S);
        assert_int_equal(service(w)->primary, 1);
        assert_true(world_settled(w));
        end(w);
    }
}

/* The same, and the promising node restarts at the worst moments: what it has forgotten, it outwaits. */
static void a_restart_of_the_promising_node_forgets_no_promise(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        struct world *w = begin(seed);
        net_partition(&w->net, WITNESSES, true);
        expect_serving(w, 3 * TTL_US, 100 * SIM_US_PER_MS);
        simnode_crash(w->nodes[1]);
        simnode_start(w->nodes[1]);
        net_heal(&w->net);
        net_partition(&w->net, 1u << 0, true);
        world_run(w, sim_between(w->sim, 0, 2 * TTL_US));
        simnode_crash(w->nodes[1]);
        simnode_start(w->nodes[1]);
        world_run(w, 20 * SIM_US_PER_S);
        assert_int_equal(service(w)->primary, 1);
        end(w);
    }
}

/* A third node comes and goes, time and again: whoever leads for a moment, also a data site's node, nothing is refused. */
static void a_quorum_that_comes_and_goes_makes_no_gap(void **state)
{
    unsigned led_at_data_sites = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed);
        crash_witnesses(w);
        expect_serving(w, 2 * TTL_US, 100 * SIM_US_PER_MS);
        for (unsigned i = 0; i < 10 && !w->sim->failed; i++) {
            simnode_start(w->nodes[2]);
            for (unsigned tries = 0; tries < 200 && !led(w) && !w->sim->failed; tries++)
                expect_serving(w, 20 * SIM_US_PER_MS, 100 * SIM_US_PER_MS);
            led_at_data_sites += simnode_leads(w->nodes[0]) || simnode_leads(w->nodes[1]);
            expect_serving(w, sim_between(w->sim, 0, SIM_US_PER_S), 100 * SIM_US_PER_MS);
            simnode_crash(w->nodes[2]);
            expect_serving(w, sim_between(w->sim, 0, 2 * TTL_US), 100 * SIM_US_PER_MS);
        }
        expect_nothing_moved(w);
        end(w);
    }
    assert_true(led_at_data_sites > 0);
}

static void with_three_databases_every_other_site_must_promise(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin_with(seed, 3, 7); /* site 3 has four witnesses */
        for (unsigned i = 3; i < 7; i++)
            simnode_crash(w->nodes[i]);
        expect_serving(w, 3 * TTL_US, 100 * SIM_US_PER_MS);
        net_cut(&w->net, 2, 0, true); /* its promises do not arrive */
        world_run(w, TTL_US);
        expect_closed(w, 5 * TTL_US);
        net_heal(&w->net);
        world_run(w, TTL_US);
        expect_serving(w, 3 * TTL_US, 100 * SIM_US_PER_MS);
        expect_nothing_moved(w);
        end(w);
    }
}

static void a_server_that_restarts_on_promises_stays_closed_until_the_log_has_seen_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed);
        crash_witnesses(w);
        expect_serving(w, 3 * TTL_US, 100 * SIM_US_PER_MS);
        server_kill(&service(w)->servers[0]);
        server_start(&service(w)->servers[0]);
        expect_closed(w, 5 * TTL_US);
        start_witnesses(w);
        assert_true(world_run_until(w, renewed_by_log, LEADER_MAX_US));
        end(w);
    }
}

static bool moved(struct world *w)
{
    return service(w)->primary == 1 && world_settled(w);
}

/* The old primary comes back to the site that has replaced it, and neither to anybody else: the one knows the new epoch, the other does not. Then
 * the one starts anew, with a snapshot from before: it does not know it any more, and therefore promises nothing. */
static void a_site_that_was_promoted_promises_the_old_primary_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        struct world *w = begin(seed);
        net_partition(&w->net, 1u << 0, true);
        assert_true(world_run_until(w, moved, LEADER_MAX_US));
        net_heal(&w->net);
        net_partition(&w->net, WITNESSES, true);
        if (seed % 2 == 0) {
            simnode_crash(w->nodes[1]);
            simnode_start(w->nodes[1]);
        }
        expect_closed(w, 5 * TTL_US);
        net_heal(&w->net);
        world_run(w, LEADER_MAX_US);
        assert_true(moved(w));
        end(w);
    }
}

/* The promising node and the primary are on one side. On the other the site's second node becomes the executor, who was never asked: the lease has
 * expired, and nobody there can say that no promise extends it. */
static void an_executor_that_was_never_asked_ends_no_promise(void **state)
{
    unsigned tried = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = create(seed, 2, 5);
        w->nodes[4]->site = 1;
        boot(w);
        if (world_service(service(w))->views[1].executor != w->nodes[1]->id) { /* the second node was heard first */
            end(w);
            continue;
        }
        tried++;
        net_partition(&w->net, WITNESSES, true);
        expect_serving(w, 10 * TTL_US, 100 * SIM_US_PER_MS);
        assert_int_equal(world_service(service(w))->views[1].executor, w->nodes[4]->id);
        assert_int_equal(world_service(service(w))->lease.state, LEASE_EXPIRED);
        assert_int_equal(world_service(service(w))->lease.promises_ended_index, 0);
        end(w);
    }
    assert_true(tried > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_primary_goes_on_without_a_quorum_while_the_other_site_promises),
        cmocka_unit_test(without_the_promise_it_stops_at_its_deadline_and_opens_again_with_a_leader),
        cmocka_unit_test(a_primary_that_is_cut_off_alone_gets_no_promise_and_is_replaced),
        cmocka_unit_test(a_renewal_is_handed_on_by_the_other_site),
        cmocka_unit_test(the_promising_site_joins_those_who_saw_the_expiry),
        cmocka_unit_test(a_restart_of_the_promising_node_forgets_no_promise),
        cmocka_unit_test(a_quorum_that_comes_and_goes_makes_no_gap),
        cmocka_unit_test(with_three_databases_every_other_site_must_promise),
        cmocka_unit_test(a_site_that_was_promoted_promises_the_old_primary_nothing),
        cmocka_unit_test(an_executor_that_was_never_asked_ends_no_promise),
        cmocka_unit_test(a_server_that_restarts_on_promises_stays_closed_until_the_log_has_seen_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
