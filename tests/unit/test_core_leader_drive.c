/* What the leader decides and drives: when a failover starts, how it is carried on, when it is given up. */
#include "core_leader_fixture.h"

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

/* --- decisions --- */

static void lose_a(struct core *k)
{
    core_lose_a(k);
    leader_applied(&leader, &k->state);
}

static void a_failover_is_started_when_every_gate_says_yes(void **state)
{
    struct core *k = *state;

    assert_false(leader_proposes(k, COMMAND_OPERATION_START));
    lose_a(k);
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
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
    assert_false(leader_proposes(k, COMMAND_OPERATION_START));
    assert_true(leader_proposes(k, COMMAND_GATES_NOTED));
    assert_int_equal(next.gates_noted.gates, 1u << GATE_READY);
    carry_on(k);
    assert_false(leader_proposes(k, COMMAND_GATES_NOTED));
    assert_accepted(core_ready(k, B, true), k);
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
}

static void the_target_with_the_fewest_gates_is_chosen(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    assert_accepted(core_ready(k, B, false), k);
    lose_a(k);
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
    assert_int_equal(next.operation_start.to, C);
}

/* --- after a time without quorum --- */

static void hear(struct core *k, node_id node, int64_t span_us)
{
    for (int64_t end_us = now_us + span_us; now_us < end_us;) {
        now_us += TICK_US;
        leader_heard(&leader, &k->state, node, false);
        leader_tick(&leader, &k->state, now_us);
    }
}

/* What the leader proposes is applied. */
static void let_it(struct core *k, enum command_kind kind)
{
    assert_true(leader_proposes(k, kind));
    k->command = next;
    assert_accepted(core_apply(k), k);
    leader_applied(&leader, &k->state);
}

static void a_cold_leader_waits_for_a_site_that_it_never_heard(void **state)
{
    struct core *k = *state;
    char why[GATE_TEXT_MAX_BYTES];

    lose_a(k);
    leader_begin(&leader, 2, true, now_us);
    let_it(k, COMMAND_GATES_NOTED);
    assert_int_equal(next.gates_noted.gates, 1u << GATE_BOOT);
    assert_false(leader_proposes(k, COMMAND_GATES_NOTED)); /* once */
    gate_reason(&k->state, APP, B, GATE_BOOT, k->now_ms, why, sizeof why);
    assert_non_null(strstr(why, "has not heard site-a since"));
    assert_non_null(strstr(why, "coordctl promote site-b -s app"));
    assert_refused(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_false(leader_proposes(k, COMMAND_QUORUM_BACK)); /* another node may know better */
    hear(k, NODE_B, SECOND_US);
    let_it(k, COMMAND_QUORUM_BACK);
    assert_false(leader_proposes(k, COMMAND_QUORUM_BACK));
    core_pass(k, BOOT_GRACE_MS - 1);
    assert_false(leader_proposes(k, COMMAND_OPERATION_START));
    core_pass(k, 1);
    let_it(k, COMMAND_GATES_NOTED);
    assert_int_equal(next.gates_noted.gates, 0);
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
}

static void handing_over_does_not_end_the_grace(void **state)
{
    struct core *k = *state;

    lose_a(k);
    leader_begin(&leader, 2, true, now_us);
    hear(k, NODE_B, 2 * SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0); /* it has not said yet what it does not know */
    let_it(k, COMMAND_QUORUM_BACK);
    leader_begin(&leader, 3, false, now_us);
    leader_applied(&leader, &k->state);
    hear(k, NODE_B, SECOND_US);
    assert_false(leader_proposes(k, COMMAND_OPERATION_START));
    k->state.members[state_member_slot(&k->state, NODE_A)].heard_index = k->state.quorum_index; /* that long ago */
    assert_false(leader_proposes(k, COMMAND_OPERATION_START));
    assert_refused(core_heard(k, 99, true), k);
    assert_accepted(core_heard(k, NODE_A, true), k); /* to an earlier leader, since then */
    assert_accepted(core_heard(k, NODE_A, false), k);
    leader_applied(&leader, &k->state);
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
}

static void silence_is_no_sign_of_life(void **state)
{
    struct core *k = *state;
    struct member *a = &k->state.members[state_member_slot(&k->state, NODE_A)];

    assert_accepted(core_heard(k, NODE_A, true), k);
    leader_begin(&leader, 2, true, now_us);
    hear(k, NODE_B, SECOND_US);
    let_it(k, COMMAND_QUORUM_BACK);
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_true(a->heard_index < k->state.quorum_index);
    assert_accepted(core_heard(k, NODE_A, true), k);
    assert_true(a->heard_index > k->state.quorum_index);
}

static void a_node_that_was_in_contact_tells_a_cold_leader_that_there_was_a_quorum(void **state)
{
    struct core *k = *state;

    lose_a(k);
    leader_begin(&leader, 2, true, now_us);
    leader_heard(&leader, &k->state, NODE_B, false);
    assert_false(leader_proposes(k, COMMAND_OPERATION_START));
    leader_heard(&leader, &k->state, NODE_B, true);
    k->state.quorum_ms = k->now_ms - BOOT_GRACE_MS;
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
}

static void a_cold_leader_acts_at_once_on_a_site_that_it_has_heard(void **state)
{
    struct core *k = *state;

    lose_a(k);
    leader_begin(&leader, 2, true, now_us);
    leader_heard(&leader, &k->state, NODE_A, false);
    assert_true(leader_proposes(k, COMMAND_OPERATION_START));
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
    assert_false(leader_proposes(k, COMMAND_OPERATION_ABORT));
    assert_accepted(core_opinion(k, NODE_B, A, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_true(leader_proposes(k, COMMAND_OPERATION_ABORT));
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
    assert_false(leader_proposes(k, COMMAND_PROMOTE));
}

static void an_attempt_without_a_result_ends_after_its_deadline(void **state)
{
    struct core *k = *state;
    int64_t deadline_us = lease_count_us(plan_step_of(STEP_SEVER)->deadline_ms, k->state.drift_ppm);

    lose_a(k);
    carry_on(k);
    leader_run(k, deadline_us + 2 * SECOND_US); /* time for the result to arrive */
    assert_false(leader_proposes(k, COMMAND_STEP_RESULT));
    leader_run(k, 2 * TICK_US);
    assert_true(leader_proposes(k, COMMAND_STEP_RESULT));
    assert_false(next.step_result.result.ok);
    assert_int_equal(next.step_result.node, 0);
    leader_lead(k, 2); /* the next leader gives the node the whole time again */
    leader_run(k, deadline_us);
    assert_false(leader_proposes(k, COMMAND_STEP_RESULT));
}

/* It may take ten minutes, and a node that is gone would keep its site's executor from being named for so long. */
static void a_checkpoint_of_a_silent_node_is_given_up_soon(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    assert_accepted(core_assign(k, STEP_PROMOTE, B), k);
    assert_accepted(core_done(k, STEP_PROMOTE, B), k);
    assert_accepted(core_assign(k, STEP_CHECKPOINT, B), k);
    core_app(k)->lease.ttl_ms = 60000; /* its end is another matter */
    leader_run(k, 10 * SECOND_US);
    assert_false(leader_proposes(k, COMMAND_STEP_RESULT));
    assert_accepted(core_heard(k, NODE_B, false), k);
    leader_run(k, TICK_US);
    assert_true(leader_proposes(k, COMMAND_STEP_RESULT));
    assert_int_equal(next.step_result.run, core_run(k, STEP_CHECKPOINT, B));
    assert_non_null(strstr(next.step_result.result.detail, "which is silent"));
}

static void a_step_of_a_silent_node_is_not_assigned(void **state)
{
    struct core *k = *state;

    lose_a(k);
    carry_on(k);
    assert_accepted(core_failed(k, STEP_SEVER, B), k);
    core_pass(k, 60000);
    k->state.members[1].heard = false;
    assert_false(leader_proposes(k, COMMAND_STEP_ASSIGN));
    k->state.members[1].heard = true;
    assert_true(leader_proposes(k, COMMAND_STEP_ASSIGN));
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
    leader_run(k, TICK_US);
}

static bool gives_up(struct core *k)
{
    return leader_proposes(k, COMMAND_OPERATION_ABORT);
}

static void an_operation_in_vain_gives_a_living_primary_back(void **state)
{
    struct core *k = *state;

    begin_in_vain(k);
    leader_run(k, GIVE_UP_US - 2 * TICK_US);
    assert_false(gives_up(k));
    leader_run(k, TICK_US);
    assert_true(gives_up(k));
    assert_non_null(strstr(next.operation_abort.reason, "site-b: its coordinator is not in contact"));
    assert_non_null(strstr(next.operation_abort.reason, "site-a answers"));
}

static void an_operation_in_vain_waits_when_the_primary_is_dead(void **state)
{
    struct core *k = *state;

    begin_in_vain(k);
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_FAILED, ROLE_UNKNOWN, 1), k);
    leader_run(k, 10 * GIVE_UP_US);
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
    leader_run(k, GIVE_UP_US - SECOND_US);
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_accepted(core_done(k, STEP_SEVER, B), k); /* a candidate */
    leader_run(k, GIVE_UP_US);
    assert_false(gives_up(k));
}

static void a_promotion_by_hand_is_given_up_by_hand(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    leader_applied(&leader, &k->state);
    leader_run(k, 2 * GIVE_UP_US);
    assert_false(gives_up(k));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, leader_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failover_is_started_when_every_gate_says_yes),
        TEST(a_gate_that_says_no_is_noted_once_and_nothing_starts),
        TEST(the_target_with_the_fewest_gates_is_chosen),
        TEST(a_cold_leader_waits_for_a_site_that_it_never_heard),
        TEST(handing_over_does_not_end_the_grace),
        TEST(silence_is_no_sign_of_life),
        TEST(a_node_that_was_in_contact_tells_a_cold_leader_that_there_was_a_quorum),
        TEST(a_cold_leader_acts_at_once_on_a_site_that_it_has_heard),
        TEST(the_critical_tier_comes_first),
        TEST(a_proposal_whose_reason_is_gone_is_withdrawn),
        TEST(a_failover_is_carried_to_its_point_of_no_return_and_beyond),
        TEST(no_promotion_is_proposed_without_proof),
        TEST(an_attempt_without_a_result_ends_after_its_deadline),
        TEST(a_checkpoint_of_a_silent_node_is_given_up_soon),
        TEST(a_step_of_a_silent_node_is_not_assigned),
        TEST(an_operation_in_vain_gives_a_living_primary_back),
        TEST(an_operation_in_vain_waits_when_the_primary_is_dead),
        TEST(an_operation_that_can_end_is_not_given_up),
        TEST(a_promotion_by_hand_is_given_up_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
