/* What the leader proposes, and when: it counts on its own clock, from its own applies, within one term. */
#include "core_fixture.h"

#include "core/leader.h"

#define TICK_MS 50u
#define TICK_US (TICK_MS * INT64_C(1000))
#define BEAT_MS 250u
#define SECOND_US INT64_C(1000000)

static struct leader leader;
static struct command next;
static int64_t now_us; /* the leader's own clock */

static void begin(struct core *k, uint64_t term)
{
    leader_init(&leader, NODE_C, BEAT_MS, TICK_MS);
    leader_begin(&leader, term, false, now_us);
    leader_applied(&leader, &k->state);
}

static int setup(void **state)
{
    (void)core_setup(state);
    now_us = 77 * SECOND_US;
    begin(*state, 1);
    return 0;
}

static void hear_all(struct core *k)
{
    for (node_id n = NODE_A; n <= NODE_C; n++)
        leader_heard(&leader, &k->state, n);
}

/* Ticks in step for this long, while everybody in `heard` is heard. */
static void run_with(struct core *k, int64_t span_us, bool hear)
{
    for (int64_t end_us = now_us + span_us; now_us < end_us;) {
        now_us += TICK_US;
        if (hear)
            hear_all(k);
        leader_tick(&leader, &k->state, now_us);
    }
}

static void run(struct core *k, int64_t span_us)
{
    run_with(k, span_us, true);
}

/* A command of this kind is proposed now, whatever else is. */
static bool proposes(struct core *k, enum command_kind kind)
{
    struct leader probe = leader; /* asking changes nothing */
    unsigned slot;

    while (leader_next(&probe, &k->state, k->now_ms, &next, &slot))
        if (next.kind == kind)
            return true;
    return false;
}

static bool expires(struct core *k)
{
    return proposes(k, COMMAND_LEASE_EXPIRED);
}

/* Applies what the leader wants until it wants no more; the kind of the first. */
static void carry_on(struct core *k)
{
    unsigned slot;

    while (leader_next(&leader, &k->state, k->now_ms, &k->command, &slot)) {
        (void)core_apply(k);
        leader_applied(&leader, &k->state);
        leader_proposed_done(&leader, slot);
    }
}

static int64_t ttl_us(const struct core *k)
{
    return lease_count_us(k->state.services[APP].lease.ttl_ms, k->state.drift_ppm);
}

static void renew_as(struct core *k, uint32_t ttl_ms)
{
    assert_accepted(core_renew_as(k, NODE_A, core_app(k)->lease.epoch, INSTANCE, ttl_ms), k);
    leader_applied(&leader, &k->state);
}

/* --- expiry --- */

static void an_expiry_is_proposed_after_a_ttl_and_names_its_renewal(void **state)
{
    struct core *k = *state;

    run(k, TICK_US); /* counting starts here */
    run(k, ttl_us(k) - TICK_US);
    assert_false(expires(k));
    run(k, TICK_US);
    assert_true(expires(k));
    assert_int_equal(next.lease_expired.epoch, core_app(k)->lease.epoch);
    assert_int_equal(next.lease_expired.renewed_index, core_app(k)->lease.renewed_index);
}

static void a_renewal_starts_the_count_anew(void **state)
{
    struct core *k = *state;

    run(k, ttl_us(k));
    renew_as(k, 2000);
    run(k, ttl_us(k) - TICK_US);
    assert_false(expires(k));
    run(k, 2 * TICK_US);
    assert_true(expires(k));
}

/* Ticks of any length, renewals of any ttl at any time: whenever an expiry is proposed, each renewal's own span has passed in real time. */
static void an_expiry_is_never_proposed_early(void **state)
{
    struct core *k = *state;
    int64_t over_us = now_us + ttl_us(k); /* when the last of all renewals has run out */
    unsigned proposed = 0;

    srand(4711);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t ttl_ms = 1500 + (uint32_t)(rand() % 4) * 1000;

        now_us += rand() % 10 == 0 ? rand() % (5 * SECOND_US) : rand() % (2 * TICK_US);
        if (rand() % 100 == 0) {
            renew_as(k, ttl_ms);
            if (now_us + lease_count_us(ttl_ms, k->state.drift_ppm) > over_us)
                over_us = now_us + lease_count_us(ttl_ms, k->state.drift_ppm);
        }
        if (rand() % 500 == 0)
            begin(k, i + 2);
        leader_tick(&leader, &k->state, now_us);
        if (expires(k)) {
            proposed++;
            assert_true(now_us >= over_us);
        }
    }
    assert_true(proposed > 100);
}

static void a_shorter_ttl_waits_for_the_longer_one_before_it(void **state)
{
    struct core *k = *state;

    run(k, TICK_US);
    renew_as(k, 10000);
    renew_as(k, 2000); /* the holder may not have received this answer, and then goes by the one before */
    run(k, 9 * SECOND_US);
    assert_false(expires(k));
    run(k, 2 * SECOND_US);
    assert_true(expires(k));
    begin(k, 2);
    run(k, 9 * SECOND_US);
    assert_false(expires(k));
}

static void counts_start_anew_with_a_term(void **state)
{
    struct core *k = *state;

    run(k, ttl_us(k) + TICK_US);
    assert_true(expires(k));
    begin(k, 2);
    run(k, TICK_US);
    assert_false(expires(k));
    run(k, ttl_us(k) - TICK_US);
    assert_false(expires(k));
    run(k, 2 * TICK_US);
    assert_true(expires(k));
}

static void time_asleep_is_not_counted(void **state)
{
    struct core *k = *state;

    run(k, TICK_US);
    now_us += 3600 * SECOND_US;
    leader_tick(&leader, &k->state, now_us);
    assert_false(expires(k));
    assert_int_equal(leader.counted_us, TICK_US + 2 * TICK_US);
    run(k, ttl_us(k) - 3 * TICK_US);
    assert_false(expires(k));
}

static void a_clock_that_goes_back_counts_nothing(void **state)
{
    struct core *k = *state;
    int64_t counted;

    run(k, SECOND_US);
    counted = leader.counted_us;
    now_us -= 3600 * SECOND_US;
    leader_tick(&leader, &k->state, now_us);
    assert_int_equal(leader.counted_us, counted);
    run(k, TICK_US);
    assert_int_equal(leader.counted_us, counted + TICK_US);
}

static void the_count_runs_on_after_a_revocation(void **state)
{
    struct core *k = *state;

    run(k, SECOND_US);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    leader_applied(&leader, &k->state);
    run(k, ttl_us(k) - SECOND_US);
    assert_false(expires(k));
    run(k, 2 * TICK_US);
    assert_true(expires(k));
}

static void what_has_expired_is_not_expired_again(void **state)
{
    struct core *k = *state;

    run(k, ttl_us(k) + TICK_US);
    assert_accepted(core_expire(k), k);
    leader_applied(&leader, &k->state);
    run(k, 10 * SECOND_US);
    assert_false(expires(k));
}

static void a_follower_proposes_nothing(void **state)
{
    struct core *k = *state;

    run(k, 10 * SECOND_US);
    leader_end(&leader);
    assert_false(expires(k));
    leader_tick(&leader, &k->state, now_us + SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void one_proposal_per_service_is_under_way(void **state)
{
    struct core *k = *state;
    unsigned slot = 99, other;

    run(k, ttl_us(k) + TICK_US);
    assert_true(leader_next(&leader, &k->state, k->now_ms, &next, &slot));
    assert_int_equal(slot, APP);
    assert_int_equal(next.at_ms, k->now_ms);
    assert_string_equal(next.who, "leader c1");
    assert_false(leader_next(&leader, &k->state, k->now_ms, &next, &other));
    leader_proposed_done(&leader, slot);
    assert_true(leader_next(&leader, &k->state, k->now_ms, &next, &other));
}

/* --- who is heard --- */

static void a_node_is_silent_after_three_beats_or_two_elections(void **state)
{
    struct core *k = *state; /* three beats are 750 ms, two elections 600 ms */

    run(k, SECOND_US);
    run_with(k, 700000, false); /* and the last beat was a tick ago */
    assert_false(proposes(k, COMMAND_NODE_HEARD));
    run_with(k, TICK_US, false);
    assert_true(proposes(k, COMMAND_NODE_HEARD));
    assert_false(next.node_heard.heard);
    assert_int_equal(next.node_heard.node, NODE_A); /* and never the leader itself */
    k->state.members[0].heard = false;
    k->state.members[1].heard = false;
    assert_false(proposes(k, COMMAND_NODE_HEARD));
    leader_heard(&leader, &k->state, NODE_B);
    assert_true(proposes(k, COMMAND_NODE_HEARD));
    assert_true(next.node_heard.heard);
    assert_int_equal(next.node_heard.node, NODE_B);
}

static void a_new_leader_gives_everybody_the_time_to_be_heard(void **state)
{
    struct core *k = *state;

    run_with(k, 750000, false);
    assert_false(proposes(k, COMMAND_NODE_HEARD));
}

static void nobody_is_heard_by_a_leader_that_did_not_hear_them(void **state)
{
    struct core *k = *state;

    k->state.members[0].heard = false;
    run_with(k, TICK_US, false);
    assert_false(proposes(k, COMMAND_NODE_HEARD)); /* not silent for long, but not heard either */
    leader_heard(&leader, &k->state, 99);
    leader_heard(&leader, &k->state, NODE_A);
    assert_true(proposes(k, COMMAND_NODE_HEARD));
}

static void a_second_node_of_the_site_takes_over_from_a_silent_one(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    k->state.members[0].heard = false;
    run(k, TICK_US);
    assert_false(proposes(k, COMMAND_EXECUTOR_SET)); /* its lease is live */
    core_app(k)->lease.state = LEASE_REVOKED;
    assert_false(proposes(k, COMMAND_EXECUTOR_SET)); /* and may still be acted on */
    core_app(k)->lease.state = LEASE_EXPIRED;
    assert_true(proposes(k, COMMAND_EXECUTOR_SET));
    assert_int_equal(next.executor_set.node, 15);
}

/* --- decisions --- */

static void lose_a(struct core *k)
{
    core_lose_a(k);
    leader_applied(&leader, &k->state);
}

static void a_failover_is_started_when_every_gate_says_yes(void **state)
{
    struct core *k = *state;

    assert_false(proposes(k, COMMAND_OPERATION_START));
    lose_a(k);
    assert_true(proposes(k, COMMAND_OPERATION_START));
    assert_int_equal(next.operation_start.kind, OPERATION_FAILOVER);
    assert_int_equal(next.operation_start.from, A);
    assert_int_equal(next.operation_start.to, B);
    assert_non_null(strstr(next.operation_start.reason, "site-a is down: 2 voters outside say so (2 needed)"));
}

static void a_gate_that_says_no_is_noted_once_and_nothing_starts(void **state)
{
    struct core *k = *state;

    assert_accepted(core_ready(k, B, false), k);
    lose_a(k);
    assert_false(proposes(k, COMMAND_OPERATION_START));
    assert_true(proposes(k, COMMAND_GATES_NOTED));
    assert_int_equal(next.gates_noted.gates, 1u << GATE_READY);
    carry_on(k);
    assert_false(proposes(k, COMMAND_GATES_NOTED));
    assert_accepted(core_ready(k, B, true), k);
    assert_true(proposes(k, COMMAND_OPERATION_START));
}

static void the_target_with_the_fewest_gates_is_chosen(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    assert_accepted(core_ready(k, B, false), k);
    lose_a(k);
    assert_true(proposes(k, COMMAND_OPERATION_START));
    assert_int_equal(next.operation_start.to, C);
}

static void a_cold_leader_waits_for_a_site_that_it_never_heard(void **state)
{
    struct core *k = *state;

    lose_a(k);
    leader_begin(&leader, 2, true, now_us);
    for (unsigned i = 0; i < BOOT_GRACE_US / TICK_US; i++) {
        assert_false(proposes(k, COMMAND_OPERATION_START));
        now_us += TICK_US;
        leader_heard(&leader, &k->state, NODE_B);
        leader_tick(&leader, &k->state, now_us);
    }
    assert_true(proposes(k, COMMAND_OPERATION_START));
}

static void a_cold_leader_acts_at_once_on_a_site_that_it_has_heard(void **state)
{
    struct core *k = *state;

    lose_a(k);
    leader_begin(&leader, 2, true, now_us);
    leader_heard(&leader, &k->state, NODE_A);
    assert_true(proposes(k, COMMAND_OPERATION_START));
}

static void the_critical_tier_comes_first(void **state)
{
    struct core *k = *state;
    unsigned slot;

    k->state.services[3] = *core_app(k);
    core_app(k)->config.tier = 2;
    k->state.services[3].config.tier = 1;
    core_app(k)->lease.state = LEASE_EXPIRED;
    k->state.services[3].lease.state = LEASE_EXPIRED;
    for (unsigned s = 0; s <= 3; s += 3)
        k->state.services[s].views[A].verdict = VERDICT_DOWN;
    assert_true(leader_next(&leader, &k->state, k->now_ms, &next, &slot));
    assert_int_equal(next.kind, COMMAND_OPERATION_START);
    assert_int_equal(next.operation_start.service, 3);
}

static void a_proposal_whose_reason_is_gone_is_withdrawn(void **state)
{
    struct core *k = *state;

    core_app(k)->config.mode = MODE_PROPOSE;
    lose_a(k);
    carry_on(k);
    assert_int_equal(core_operation(k)->state, OPERATION_PROPOSED);
    assert_false(proposes(k, COMMAND_OPERATION_ABORT));
    assert_accepted(core_opinion(k, NODE_B, A, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_true(proposes(k, COMMAND_OPERATION_ABORT));
}

/* --- carrying an operation on --- */

static void a_failover_is_carried_to_its_point_of_no_return_and_beyond(void **state)
{
    struct core *k = *state;

    lose_a(k);
    carry_on(k); /* starts, and assigns the sever; the old site's node is silent */
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_SEVER, B)].state, RUN_ASSIGNED);
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_FENCE, A)].state, RUN_PENDING);
    assert_accepted(core_done(k, STEP_SEVER, B), k);
    carry_on(k);
    assert_int_equal(core_operation(k)->state, OPERATION_PROMOTED);
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_PROMOTE, B)].state, RUN_ASSIGNED);
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_CANARY, B)].state, RUN_PENDING);
}

static void no_promotion_is_proposed_without_proof(void **state)
{
    struct core *k = *state;

    assert_accepted(core_renew(k, false), k);
    lose_a(k);
    carry_on(k);
    assert_accepted(core_done(k, STEP_SEVER, B), k);
    carry_on(k);
    assert_int_equal(core_operation(k)->state, OPERATION_RUNNING);
    assert_false(proposes(k, COMMAND_PROMOTE));
}

static void an_attempt_without_a_result_ends_after_its_deadline(void **state)
{
    struct core *k = *state;
    int64_t deadline_us = lease_count_us(plan_step_of(STEP_SEVER)->deadline_ms, k->state.drift_ppm);

    lose_a(k);
    carry_on(k);
    run(k, deadline_us + 2 * SECOND_US); /* time for the result to arrive */
    assert_false(proposes(k, COMMAND_STEP_RESULT));
    run(k, 2 * TICK_US);
    assert_true(proposes(k, COMMAND_STEP_RESULT));
    assert_false(next.step_result.result.ok);
    assert_int_equal(next.step_result.node, 0);
    begin(k, 2); /* the next leader gives the node the whole time again */
    run(k, deadline_us);
    assert_false(proposes(k, COMMAND_STEP_RESULT));
}

static void a_step_of_a_silent_node_is_not_assigned(void **state)
{
    struct core *k = *state;

    lose_a(k);
    carry_on(k);
    assert_accepted(core_failed(k, STEP_SEVER, B), k);
    core_pass(k, 60000);
    k->state.members[1].heard = false;
    assert_false(proposes(k, COMMAND_STEP_ASSIGN));
    k->state.members[1].heard = true;
    assert_true(proposes(k, COMMAND_STEP_ASSIGN));
    assert_int_equal(next.step_assign.attempt, 2);
}

/* A gray primary that lives, an operation against it whose lease has run out, and a target whose node is lost. */
static void begin_in_vain(struct core *k)
{
    for (node_id n = NODE_A; n <= NODE_C; n++)
        assert_accepted(core_opinion(k, n, A, OPINION_GRAY, ROLE_PRIMARY, 1), k);
    carry_on(k);
    assert_int_equal(core_operation(k)->state, OPERATION_RUNNING);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    leader_applied(&leader, &k->state);
    run(k, TICK_US);
}

static bool gives_up(struct core *k)
{
    return proposes(k, COMMAND_OPERATION_ABORT);
}

static void an_operation_in_vain_gives_a_living_primary_back(void **state)
{
    struct core *k = *state;

    begin_in_vain(k);
    run(k, GIVE_UP_US - 2 * TICK_US);
    assert_false(gives_up(k));
    run(k, TICK_US);
    assert_true(gives_up(k));
    assert_non_null(strstr(next.operation_abort.reason, "site-b: its coordinator is not in contact"));
    assert_non_null(strstr(next.operation_abort.reason, "site-a answers"));
}

static void an_operation_in_vain_waits_when_the_primary_is_dead(void **state)
{
    struct core *k = *state;

    begin_in_vain(k);
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_FAILED, ROLE_UNKNOWN, 1), k);
    run(k, 10 * GIVE_UP_US);
    assert_false(gives_up(k));
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_GRAY, ROLE_PRIMARY, 1), k);
    assert_true(gives_up(k));
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_false(gives_up(k));
}

static void an_operation_that_can_end_is_not_given_up(void **state)
{
    struct core *k = *state;

    core_app(k)->lease.enforcement.enforcing = false; /* its expiry proves nothing: the operation waits for the fence */
    begin_in_vain(k);
    run(k, GIVE_UP_US - SECOND_US);
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_accepted(core_done(k, STEP_SEVER, B), k); /* a candidate */
    run(k, GIVE_UP_US);
    assert_false(gives_up(k));
}

static void a_promotion_by_hand_is_given_up_by_hand(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    leader_applied(&leader, &k->state);
    run(k, 2 * GIVE_UP_US);
    assert_false(gives_up(k));
}

/* --- transfer --- */

static void a_leader_at_a_primarys_site_hands_over_to_the_witness(void **state)
{
    struct core *k = *state;

    leader_init(&leader, NODE_A, BEAT_MS, TICK_MS);
    leader_begin(&leader, 1, false, now_us);
    run(k, SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0); /* it has not led for long */
    run(k, SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_C);
    k->state.members[2].witness = false;
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_B);
}

static void a_leader_hands_over_only_to_one_that_it_hears(void **state)
{
    struct core *k = *state;

    leader_init(&leader, NODE_A, BEAT_MS, TICK_MS);
    leader_begin(&leader, 1, false, now_us);
    run_with(k, 5 * SECOND_US, false);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void a_leader_where_it_should_be_stays(void **state)
{
    struct core *k = *state;

    run(k, 10 * SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void three_stalls_in_a_minute_make_the_leader_hand_over(void **state)
{
    struct core *k = *state;

    run(k, 2 * SECOND_US);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
        now_us += 15 * SECOND_US;
        run(k, SECOND_US);
    }
    assert_int_not_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void stalls_that_are_far_apart_are_forgiven(void **state)
{
    struct core *k = *state;

    run(k, 2 * SECOND_US);
    for (unsigned i = 0; i < 10; i++) {
        now_us += 15 * SECOND_US;
        run(k, 30 * SECOND_US);
    }
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

/* --- display time --- */

#define NOON_MS INT64_C(1700000000000)

static void stamps_follow_the_wall_clock(void **state)
{
    struct core *k = *state;

    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(leader_stamp_ms(&leader, &k->state, NOON_MS + i * 50, now_us), NOON_MS + i * 50);
        now_us += TICK_US;
    }
}

static void a_wall_clock_that_jumps_ahead_does_not_end_a_patience(void **state)
{
    struct core *k = *state;
    int64_t stamp_ms = leader_stamp_ms(&leader, &k->state, NOON_MS, now_us);

    for (unsigned i = 0; i < 20; i++) { /* a second passes, and the wall clock says that a year has */
        now_us += TICK_US;
        stamp_ms = leader_stamp_ms(&leader, &k->state, NOON_MS + INT64_C(31536000000), now_us);
    }
    assert_true(stamp_ms - NOON_MS <= 2000);
}

static void a_wall_clock_that_jumps_back_does_not_stop_time(void **state)
{
    struct core *k = *state;
    int64_t begun_ms = leader_stamp_ms(&leader, &k->state, NOON_MS, now_us), stamp_ms = 0;

    for (unsigned i = 0; i < 20; i++) {
        now_us += TICK_US;
        stamp_ms = leader_stamp_ms(&leader, &k->state, 0, now_us);
    }
    assert_true(stamp_ms - begun_ms >= 500);
}

static void a_leader_whose_clock_is_behind_the_log_goes_on_from_the_log(void **state)
{
    struct core *k = *state;
    int64_t stamp_ms;

    k->state.now_ms = NOON_MS + 1000000;
    stamp_ms = leader_stamp_ms(&leader, &k->state, NOON_MS, now_us);
    assert_int_equal(stamp_ms, k->state.now_ms);
    now_us += SECOND_US;
    assert_true(leader_stamp_ms(&leader, &k->state, NOON_MS + 1000, now_us) >= stamp_ms + 500);
}

static void a_wall_clock_without_sense_gives_a_stamp_in_bounds(void **state)
{
    struct core *k = *state;

    assert_int_equal(leader_stamp_ms(&leader, &k->state, INT64_MIN, now_us), k->state.now_ms);
    begin(k, 2);
    assert_int_equal(leader_stamp_ms(&leader, &k->state, INT64_MAX, now_us), AT_MS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_expiry_is_proposed_after_a_ttl_and_names_its_renewal),
        TEST(a_renewal_starts_the_count_anew),
        TEST(an_expiry_is_never_proposed_early),
        TEST(a_shorter_ttl_waits_for_the_longer_one_before_it),
        TEST(counts_start_anew_with_a_term),
        TEST(time_asleep_is_not_counted),
        TEST(a_clock_that_goes_back_counts_nothing),
        TEST(the_count_runs_on_after_a_revocation),
        TEST(what_has_expired_is_not_expired_again),
        TEST(a_follower_proposes_nothing),
        TEST(one_proposal_per_service_is_under_way),
        TEST(a_node_is_silent_after_three_beats_or_two_elections),
        TEST(a_new_leader_gives_everybody_the_time_to_be_heard),
        TEST(nobody_is_heard_by_a_leader_that_did_not_hear_them),
        TEST(a_second_node_of_the_site_takes_over_from_a_silent_one),
        TEST(a_failover_is_started_when_every_gate_says_yes),
        TEST(a_gate_that_says_no_is_noted_once_and_nothing_starts),
        TEST(the_target_with_the_fewest_gates_is_chosen),
        TEST(a_cold_leader_waits_for_a_site_that_it_never_heard),
        TEST(a_cold_leader_acts_at_once_on_a_site_that_it_has_heard),
        TEST(the_critical_tier_comes_first),
        TEST(a_proposal_whose_reason_is_gone_is_withdrawn),
        TEST(a_failover_is_carried_to_its_point_of_no_return_and_beyond),
        TEST(no_promotion_is_proposed_without_proof),
        TEST(an_attempt_without_a_result_ends_after_its_deadline),
        TEST(a_step_of_a_silent_node_is_not_assigned),
        TEST(an_operation_in_vain_gives_a_living_primary_back),
        TEST(an_operation_in_vain_waits_when_the_primary_is_dead),
        TEST(an_operation_that_can_end_is_not_given_up),
        TEST(a_promotion_by_hand_is_given_up_by_hand),
        TEST(a_leader_at_a_primarys_site_hands_over_to_the_witness),
        TEST(a_leader_hands_over_only_to_one_that_it_hears),
        TEST(a_leader_where_it_should_be_stays),
        TEST(three_stalls_in_a_minute_make_the_leader_hand_over),
        TEST(stalls_that_are_far_apart_are_forgiven),
        TEST(stamps_follow_the_wall_clock),
        TEST(a_wall_clock_that_jumps_ahead_does_not_end_a_patience),
        TEST(a_wall_clock_that_jumps_back_does_not_stop_time),
        TEST(a_leader_whose_clock_is_behind_the_log_goes_on_from_the_log),
        TEST(a_wall_clock_without_sense_gives_a_stamp_in_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
