/* Failovers as sentences: one fault at a time, and what must, or must not, come of it. The instant checks of the world run in all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/faults.h"
#include "tests/sim/simnode.h"

#define FAILOVER_MAX_US (20 * (int64_t)SIM_US_PER_S)
#define SEEDS 10

static struct world *begin(uint64_t seed, const struct world_options *options)
{
    struct world *w = world_create(sim_create(seed, getenv("SIM_VERBOSE") != NULL), options);

    world_boot(w);
    if (!w->sim->failed)
        world_run(w, 3 * SIM_US_PER_S);
    return w;
}

static void end(struct world *w)
{
    struct sim *s = w->sim;
    bool failed = s->failed;

    if (failed)
        sim_print_failure(s, "test_failover");
    world_destroy(w);
    sim_destroy(s);
    assert_false(failed);
}

static struct world_service *service(struct world *w)
{
    return &w->services[0];
}

static unsigned leader(const struct world *w)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (simnode_leads(w->nodes[i]) && !w->nodes[i]->process.paused)
            return i;
    return w->options.node_count;
}

static bool has_leader(struct world *w)
{
    return leader(w) < w->options.node_count;
}

/* The service is at site 1, and the operation that brought it there is done. */
static bool moved(struct world *w)
{
    const struct service *svc = world_service(service(w));

    return service(w)->primary == 1 && svc->operation.state == OPERATION_DONE && world_settled(w) &&
           service(w)->dns.site == 1 && service(w)->servers[1].application && !service(w)->servers[1].in_recovery;
}

static void expect_moved_within(struct world *w, int64_t limit_us)
{
    if (!world_run_until(w, moved, limit_us))
        sim_fail(w->sim, "the service has not moved: operation %s, primary %u",
                 operation_state_word(world_service(service(w))->operation.state), service(w)->primary);
}

static void expect_moved(struct world *w)
{
    expect_moved_within(w, FAILOVER_MAX_US);
}

static void expect_untouched(struct world *w, int64_t span_us)
{
    world_run(w, span_us);
    if (world_operation_count(w) > 0 || service(w)->primary != 0)
        sim_fail(w->sim, "%u operations ran, the primary is site %u", (unsigned)world_operation_count(w),
                 service(w)->primary);
}

static void set(struct world *w, enum service_change change)
{
    command_clear(w->scratch, COMMAND_SERVICE_SET);
    w->scratch->service_set.service = 0;
    w->scratch->service_set.change = change;
    assert_true(world_operator(w));
    world_run(w, 3 * SIM_US_PER_S);
}

static void a_site_dies_and_the_service_moves(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed, &options);
        int64_t begun_us = w->sim->now_us;
        site_kill(w, 0);
        expect_moved(w);
        assert_true(w->sim->now_us - begun_us < 6 * SIM_US_PER_S);
        assert_int_equal(world_operation_count(w), 1);
        site_start(w, 0); /* the old primary by hand: its guard is closed */
        world_run(w, 10 * SIM_US_PER_S);
        assert_int_equal(service(w)->primary, 1);
        end(w);
    }
}

static void a_frozen_site_goes_on_after_the_failover_and_acknowledges_nothing(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed, &options);
        uint64_t before;
        site_pause(w, 0, true);
        expect_moved(w);
        before = service(w)->servers[0].acknowledged_count;
        site_pause(w, 0, false);
        world_run(w, 20 * SIM_US_PER_S);
        assert_int_equal(service(w)->servers[0].acknowledged_count, before);
        end(w);
    }
}

static void a_site_that_is_cut_off_stops_before_the_other_starts(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed, &options);
        net_partition(&w->net, 1u << 0, true);
        expect_moved(w);
        net_heal(&w->net);
        world_run(w, 20 * SIM_US_PER_S);
        assert_int_equal(service(w)->primary, 1);
        end(w);
    }
}

static void postgresql_dies_alone_and_its_own_node_gives_the_proof(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed, &options);
        int64_t begun_us = w->sim->now_us;
        server_kill(&service(w)->servers[0]);
        expect_moved(w);
        assert_true(w->sim->now_us - begun_us < 4 * SIM_US_PER_S);
        end(w);
    }
}

static void a_coordinator_that_dies_moves_nothing(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed, &options);
        for (unsigned i = 0; i < 10; i++) {
            unsigned victim = i % 2 == 0 ? leader(w) : (unsigned)sim_random(w->sim, 3);
            if (victim == 3)
                break;
            simnode_crash(w->nodes[victim]);
            world_run(w, 1500 * SIM_US_PER_MS);
            simnode_start(w->nodes[victim]);
            expect_untouched(w, 3 * SIM_US_PER_S);
        }
        expect_untouched(w, 10 * SIM_US_PER_S);
        assert_true(world_settled(w));
        end(w);
    }
}

static void the_primarys_coordinator_stays_dead_and_nothing_moves(void **state)
{
    struct world_options options = world_options_default();
    struct world *w = begin(3, &options);

    (void)state;
    simnode_crash(w->nodes[0]);
    expect_untouched(w, 30 * SIM_US_PER_S);
    simnode_start(w->nodes[0]);
    expect_untouched(w, 10 * SIM_US_PER_S);
    assert_true(world_settled(w)); /* closed meanwhile, and open again */
    end(w);
}

static void losing_the_witness_or_the_quorum_moves_nothing(void **state)
{
    struct world_options options = world_options_default();
    struct world *w = begin(4, &options);

    (void)state;
    site_kill(w, 2);
    expect_untouched(w, 20 * SIM_US_PER_S);
    assert_true(world_settled(w));
    simnode_crash(w->nodes[1]);
    expect_untouched(w, 20 * SIM_US_PER_S);
    site_start(w, 2);
    simnode_start(w->nodes[1]);
    expect_untouched(w, 20 * SIM_US_PER_S);
    assert_true(world_settled(w));
    end(w);
}

static void disarmed_paused_and_shadow_have_no_effect(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w;
        options.mode = i == 2 ? MODE_SHADOW : MODE_AUTO;
        w = begin(20 + i, &options);
        if (i < 2)
            set(w, i == 0 ? SERVICE_DISARM : SERVICE_PAUSE);
        site_kill(w, 0);
        expect_untouched(w, 30 * SIM_US_PER_S);
        assert_false(service(w)->servers[1].severed);
        assert_true(service(w)->servers[1].in_recovery);
        end(w);
    }
}

static bool waits_for_approval(struct world *w)
{
    return world_service(service(w))->operation.state == OPERATION_PROPOSED;
}

static void mode_propose_waits_for_approval(void **state)
{
    struct world_options options = world_options_default();
    struct world *w;

    (void)state;
    options.mode = MODE_PROPOSE;
    w = begin(5, &options);
    site_kill(w, 0);
    assert_true(world_run_until(w, waits_for_approval, FAILOVER_MAX_US));
    world_run(w, 10 * SIM_US_PER_S);
    assert_true(waits_for_approval(w));
    assert_false(service(w)->servers[1].severed);
    command_clear(w->scratch, COMMAND_OPERATION_APPROVE);
    w->scratch->operation_approve.operation = world_service(service(w))->operation.id;
    assert_true(world_operator(w));
    expect_moved(w);
    end(w);
}

static void a_person_promotes_while_the_primary_lives(void **state)
{
    struct world_options options = world_options_default();

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = begin(seed, &options);
        command_clear(w->scratch, COMMAND_OPERATION_START);
        w->scratch->operation_start = (struct command_operation_start){
            .service = 0, .kind = OPERATION_PROMOTE, .from = 0, .to = 1, .epoch = service(w)->epoch
        };
        assert_true(world_operator(w));
        expect_moved(w);
        assert_int_equal(world_service(service(w))->operation.certificate, CERT_AGENT);
        assert_int_equal(service(w)->timelines[2].begin_lsn,
                         service(w)->servers[0].wal.lsn); /* nothing acknowledged is lost */
        end(w);
    }
}

static void an_aborted_operation_gives_the_right_back(void **state)
{
    struct world_options options = world_options_default();
    struct world *w = begin(9, &options);

    (void)state;
    sim_process_pause(&service(w)->servers[1].process); /* its sever cannot end */
    command_clear(w->scratch, COMMAND_OPERATION_START);
    w->scratch->operation_start = (struct command_operation_start){
        .service = 0, .kind = OPERATION_PROMOTE, .from = 0, .to = 1, .epoch = service(w)->epoch
    };
    assert_true(world_operator(w));
    world_run(w, 2 * SIM_US_PER_S);
    assert_int_equal(world_service(service(w))->operation.state, OPERATION_RUNNING);
    command_clear(w->scratch, COMMAND_OPERATION_ABORT);
    w->scratch->operation_abort.operation = world_service(service(w))->operation.id;
    assert_true(world_operator(w));
    sim_process_resume(w->sim, &service(w)->servers[1].process);
    assert_true(world_run_until(w, world_settled, FAILOVER_MAX_US));
    assert_int_equal(service(w)->primary, 0);
    assert_int_equal(world_service(service(w))->operation.state, OPERATION_ABORTED);
    assert_false(service(w)->servers[1].severed);
    end(w);
}

static struct world_options region(void)
{
    struct world_options options = world_options_default();

    options.profile = PROFILE_REGION;
    options.timing = timing_of(PROFILE_REGION);
    return options;
}

static void thirty_percent_loss_for_five_minutes_moves_nothing(void **state)
{
    struct world_options options = region();

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world *w = begin(seed, &options);
        for (unsigned i = 0; i < 3; i++)
            for (unsigned j = 0; j < 3; j++)
                if (i != j)
                    w->net.links[i][j].loss_ppm = 300000;
        expect_untouched(w, 300 * (int64_t)SIM_US_PER_S);
        end(w);
    }
}

static void stalls_of_one_coordinator_move_nothing(void **state)
{
    struct world_options options = region();

    (void)state;
    for (unsigned node = 0; node < 3; node++) {
        struct world *w = begin(30 + node, &options);
        for (unsigned i = 0; i < 75; i++) {
            simnode_pause(w->nodes[node]);
            world_run(w, 2 * SIM_US_PER_S);
            simnode_resume(w->nodes[node]);
            expect_untouched(w, 2 * SIM_US_PER_S);
        }
        assert_true(world_run_until(w, world_settled, FAILOVER_MAX_US));
        end(w);
    }
}

/* --- kill the leader after every entry --- */

struct killer {
    uint64_t first; /* entries from here on are counted: the site is dead */
    uint64_t after; /* which of them kills the leader; 0: none */
    uint64_t seen;
    bool due;
};

static void on_entry(struct world *w, uint64_t index, const struct command *command, const struct state *state)
{
    struct killer *k = w->test;

    (void)command;
    (void)state;
    if (index <= k->first)
        return;
    k->seen++;
    if (k->seen == k->after)
        k->due = true;
}

static bool due_or_moved(struct world *w)
{
    return ((struct killer *)w->test)->due || moved(w);
}

/* Returns how many entries there were from the death of the site to the end of the operation. */
static uint64_t failover_with_death_of_the_leader_after(uint64_t after, bool all)
{
    struct world_options options = world_options_default();
    struct killer k = { .after = after };
    struct world *w = begin(7, &options);

    k.first = w->applied_index;
    w->test = &k;
    w->on_entry = on_entry;
    site_kill(w, 0);
    (void)world_run_until(w, due_or_moved, FAILOVER_MAX_US);
    if (k.due) {
        unsigned first = all ? 1 : leader(w);
        unsigned last = all ? 2 : first;
        for (unsigned i = first; i <= last && i < 3; i++)
            simnode_crash(w->nodes[i]);
        world_run(w, 700 * SIM_US_PER_MS);
        for (unsigned i = 1; i < 3; i++)
            if (!w->nodes[i]->up)
                simnode_start(w->nodes[i]);
    }
    assert_true(world_run_until(w, has_leader, FAILOVER_MAX_US));
    /* Of a site that was not heard since a cold start nobody says that it is down before the grace is over. */
    expect_moved_within(w, all ? BOOT_GRACE_MS * 1000 + FAILOVER_MAX_US : FAILOVER_MAX_US);
    assert_int_equal(world_operation_count(w), 1);
    assert_int_equal(world_promoted_count(w), 1);
    for (unsigned i = 0; i < world_service(service(w))->operation.run_count; i++)
        assert_true(run_ended(&world_service(service(w))->operation.runs[i]));
    end(w);
    return k.seen;
}

static void the_leader_dies_after_every_entry_of_a_failover_and_the_end_is_the_same(void **state)
{
    uint64_t count = failover_with_death_of_the_leader_after(0, false);

    (void)state;
    assert_true(count > 15);
    for (uint64_t after = 1; after <= count; after++)
        (void)failover_with_death_of_the_leader_after(after, false);
}

static void all_coordinators_restart_after_every_entry_of_a_failover_and_the_end_is_the_same(void **state)
{
    uint64_t count = failover_with_death_of_the_leader_after(0, true);

    (void)state;
    assert_true(count > 10);
    for (uint64_t after = 1; after <= count; after++)
        (void)failover_with_death_of_the_leader_after(after, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_dies_and_the_service_moves),
        cmocka_unit_test(a_frozen_site_goes_on_after_the_failover_and_acknowledges_nothing),
        cmocka_unit_test(a_site_that_is_cut_off_stops_before_the_other_starts),
        cmocka_unit_test(postgresql_dies_alone_and_its_own_node_gives_the_proof),
        cmocka_unit_test(a_coordinator_that_dies_moves_nothing),
        cmocka_unit_test(the_primarys_coordinator_stays_dead_and_nothing_moves),
        cmocka_unit_test(losing_the_witness_or_the_quorum_moves_nothing),
        cmocka_unit_test(disarmed_paused_and_shadow_have_no_effect),
        cmocka_unit_test(mode_propose_waits_for_approval),
        cmocka_unit_test(a_person_promotes_while_the_primary_lives),
        cmocka_unit_test(an_aborted_operation_gives_the_right_back),
        cmocka_unit_test(thirty_percent_loss_for_five_minutes_moves_nothing),
        cmocka_unit_test(stalls_of_one_coordinator_move_nothing),
        cmocka_unit_test(the_leader_dies_after_every_entry_of_a_failover_and_the_end_is_the_same),
        cmocka_unit_test(all_coordinators_restart_after_every_entry_of_a_failover_and_the_end_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
