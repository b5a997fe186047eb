/* Each gate says no for one reason, in words, and yes without it; which of them a person may override. */
#include "core_fixture.h"

#define BIT(gate) (1u << (gate))

static uint32_t automatic(struct core *k, site_id target)
{
    return gates_check(&k->state, APP, target, OPERATION_FAILOVER, 0, k->now_ms);
}

static uint32_t by_hand(struct core *k, site_id target)
{
    return gates_check(&k->state, APP, target, OPERATION_PROMOTE, 0, k->now_ms);
}

static void assert_reason(struct core *k, site_id target, enum gate gate, const char *part)
{
    char why[GATE_TEXT_MAX_BYTES];

    gate_reason(&k->state, APP, target, gate, k->now_ms, why, sizeof why);
    if (strstr(why, part) == NULL)
        fail_msg("gate %s: \"%s\" does not say \"%s\"", gate_word(gate), why, part);
}

/* Both ways of starting hear this no, and a person may or may not override it. */
static void assert_no(struct core *k, enum gate gate, const char *part)
{
    bool lifted = gate_overridable(gate);

    assert_int_equal(automatic(k, B) & BIT(gate), BIT(gate));
    assert_int_equal(by_hand(k, B) & BIT(gate), BIT(gate));
    assert_int_equal(gates_check(&k->state, APP, B, OPERATION_PROMOTE, BIT(gate), k->now_ms) & BIT(gate),
                     lifted ? 0 : BIT(gate));
    assert_reason(k, B, gate, part);
}

/* Only an automatic start hears this no. */
static void assert_automatic_no(struct core *k, enum gate gate, const char *part)
{
    assert_int_equal(automatic(k, B) & BIT(gate), BIT(gate));
    assert_int_equal(by_hand(k, B) & BIT(gate), 0);
    assert_reason(k, B, gate, part);
}

static void every_gate_says_yes_when_the_primary_is_lost(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_int_equal(automatic(k, B), 0);
    assert_int_equal(by_hand(k, B), 0);
}

static void only_an_armed_service_is_moved(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_no(k, GATE_ARMED, "coordctl arm app");
    assert_false(gate_overridable(GATE_ARMED));
}

static void a_paused_service_is_not_moved(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    assert_no(k, GATE_PAUSED, "coordctl resume app");
}

static void the_target_is_another_eligible_site(void **state)
{
    struct core *k = *state;

    assert_int_equal(automatic(k, A) & BIT(GATE_TARGET), BIT(GATE_TARGET));
    assert_reason(k, A, GATE_TARGET, "the primary already");
    assert_int_equal(automatic(k, C) & BIT(GATE_TARGET), BIT(GATE_TARGET));
    assert_reason(k, C, GATE_TARGET, "no eligible site");
    assert_int_equal(by_hand(k, SITE_NONE) & BIT(GATE_TARGET), BIT(GATE_TARGET));
    assert_false(gate_overridable(GATE_TARGET));
}

static void the_target_has_a_node_in_contact(void **state)
{
    struct core *k = *state;

    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_no(k, GATE_TARGET, "not in contact");
}

static void the_target_has_a_standby_that_answers(void **state)
{
    struct core *k = *state;
    uint32_t forced = BIT(GATE_STANDBY);

    assert_accepted(core_opinion(k, NODE_B, B, OPINION_FAILED, ROLE_STANDBY, 1), k);
    assert_int_equal(automatic(k, B) & BIT(GATE_STANDBY), BIT(GATE_STANDBY));
    assert_reason(k, B, GATE_STANDBY, "site-b has no standby that answers: its node sees role standby, failed");
    assert_int_equal(gates_check(&k->state, APP, B, OPERATION_PROMOTE, forced, k->now_ms) & forced, forced);
}

static void an_old_primary_that_answers_is_taken_only_by_force(void **state)
{
    struct core *k = *state;

    assert_accepted(core_opinion(k, NODE_B, B, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_no(k, GATE_STANDBY, "rejoin it as a standby first");
}

static void the_target_was_ready(void **state)
{
    struct core *k = *state;

    assert_accepted(core_ready(k, B, false), k);
    assert_no(k, GATE_READY, "site-b was not ready: role standby, not streaming");
}

static void readiness_is_what_the_targets_own_node_said(void **state)
{
    struct core *k = *state;
    struct command *c = core_command(k, COMMAND_OPINION);

    assert_accepted(core_ready(k, B, false), k);
    c = core_command(k, COMMAND_OPINION);
    c->opinion.node = NODE_C;
    c->opinion.site = B;
    c->opinion.opinion = (struct opinion){ .word = OPINION_UP, .role = ROLE_STANDBY, .ready = true };
    assert_accepted(core_apply(k), k);
    assert_int_equal(automatic(k, B) & BIT(GATE_READY), BIT(GATE_READY));
}

static void shadow_decides_and_does_nothing(void **state)
{
    struct core *k = *state;

    core_app(k)->config.mode = MODE_SHADOW;
    assert_automatic_no(k, GATE_MODE, "mode is shadow");
    core_app(k)->config.mode = MODE_PROPOSE;
    assert_int_equal(automatic(k, B) & BIT(GATE_MODE), 0);
}

static void a_virtual_machine_that_may_be_paused_is_said_to_be_accepted(void **state)
{
    struct core *k = *state;

    core_app(k)->config.accept_vm_pause = false;
    assert_automatic_no(k, GATE_VM_PAUSE, "accept_vm_pause is not true");
}

static void the_verdict_stands_for_hold_down(void **state)
{
    struct core *k = *state;

    core_app(k)->config.timing.hold_down_ms = 20000;
    core_app(k)->config.timing.local_grace_ms = 7000;
    core_lose_a(k);
    core_pass(k, 19999);
    assert_automatic_no(k, GATE_HOLD_DOWN, "19999 ms of 20000 ms (hold_down)");
    core_pass(k, 1);
    assert_int_equal(automatic(k, B), 0);
}

static void a_reachable_site_gets_its_local_grace_too(void **state)
{
    struct core *k = *state;

    core_app(k)->config.timing.hold_down_ms = 20000;
    core_app(k)->config.timing.local_grace_ms = 7000;
    for (node_id n = NODE_A; n <= NODE_C; n++)
        assert_accepted(core_opinion(k, n, A, OPINION_FAILED, ROLE_UNKNOWN, 1), k);
    core_pass(k, 26999);
    assert_automatic_no(k, GATE_HOLD_DOWN, "26999 ms of 27000 ms (hold_down + local_grace)");
    core_pass(k, 1);
    assert_int_equal(automatic(k, B), 0);
}

static void patience_does_not_overflow(void **state)
{
    struct core *k = *state;

    core_app(k)->config.timing.hold_down_ms = UINT32_MAX;
    core_app(k)->config.timing.local_grace_ms = UINT32_MAX;
    for (node_id n = NODE_A; n <= NODE_C; n++)
        assert_accepted(core_opinion(k, n, A, OPINION_FAILED, ROLE_UNKNOWN, 1), k);
    core_pass(k, INT64_C(8589934589));
    assert_int_equal(automatic(k, B), BIT(GATE_HOLD_DOWN));
    core_pass(k, 1);
    assert_int_equal(automatic(k, B), 0);
}

static void a_second_failover_waits_for_the_lockout(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    core_app(k)->last_failover_ms = k->now_ms;
    core_pass(k, 3599999);
    assert_automatic_no(k, GATE_LOCKOUT, "began 3599 s ago; lockout is 3600 s");
    core_pass(k, 1);
    assert_int_equal(automatic(k, B), 0);
}

static void who_aborts_a_failover_gets_time_before_the_next(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_abort(k), k);
    assert_int_equal(core_operation(k)->state, OPERATION_ABORTED);
    core_pass(k, 59999);
    assert_automatic_no(k, GATE_LOCKOUT, "was aborted 59 s ago");
    core_pass(k, 1);
    assert_int_equal(automatic(k, B), 0);
}

static void a_second_kind_of_evidence_can_be_had(void **state)
{
    struct core *k = *state;

    core_app(k)->config.sites[A].health_url[0] = '\0';
    assert_int_equal(automatic(k, B) & BIT(GATE_EVIDENCE), 0); /* its node can fall silent */
    k->state.members[0].site = C;
    assert_automatic_no(k, GATE_EVIDENCE, "configure `health`, or a coordinator");
    text_set(core_app(k)->config.sites[A].health_url, URL_MAX_BYTES, "http://a/");
    assert_int_equal(automatic(k, B) & BIT(GATE_EVIDENCE), 0);
}

static void one_operation_at_a_time(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_int_equal(by_hand(k, B) & BIT(GATE_OPERATION), BIT(GATE_OPERATION));
    assert_int_equal(gates_check(&k->state, APP, B, OPERATION_PROMOTE, BIT(GATE_OPERATION), k->now_ms) &
                         BIT(GATE_OPERATION),
                     BIT(GATE_OPERATION)); /* before the point of no return there is `abort` */
    assert_reason(k, B, GATE_OPERATION, "(running) is active");
    core_operation(k)->state = OPERATION_PROMOTED;
    assert_int_equal(
        gates_check(&k->state, APP, B, OPERATION_PROMOTE, BIT(GATE_OPERATION), k->now_ms) & BIT(GATE_OPERATION), 0);
}

/* A second service, whose operation is in this state. */
static struct operation *other(struct core *k, enum operation_state s)
{
    struct service *svc = &k->state.services[1];

    svc->present = true;
    svc->operation = (struct operation){ .id = 1, .state = s, .service = 1, .started_ms = k->now_ms };
    return &svc->operation;
}

static void one_service_is_moved_at_a_time(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    (void)other(k, OPERATION_RUNNING);
    assert_automatic_no(k, GATE_PARALLEL, "1 other service is being moved; at most 1");
    for (int s = 0; s < OPERATION_STATE_COUNT; s++) {
        (void)other(k, (enum operation_state)s);
        assert_int_equal(automatic(k, B), s == OPERATION_RUNNING || s == OPERATION_PROMOTED ? BIT(GATE_PARALLEL) : 0);
    }
}

static void a_service_that_writes_again_holds_up_no_other(void **state)
{
    struct core *k = *state;
    struct operation *op;

    core_lose_a(k);
    op = other(k, OPERATION_PROMOTED);
    assert_true(operation_add_run(op, STEP_CANARY, B));
    assert_true(operation_add_run(op, STEP_DEPLOY, B)); /* may take minutes, or be retried for ever */
    assert_int_equal(automatic(k, B), BIT(GATE_PARALLEL));
    op->runs[0].state = RUN_DONE;
    assert_int_equal(automatic(k, B), 0);
}

static void a_service_that_waits_for_a_person_holds_up_no_other(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    (void)other(k, OPERATION_RUNNING);
    core_pass(k, 59999);
    assert_int_equal(automatic(k, B), BIT(GATE_PARALLEL));
    core_pass(k, 1);
    assert_int_equal(automatic(k, B), 0);
}

static void words_lead_back_to_their_gates(void **state)
{
    struct core *k = *state;
    char why[GATE_TEXT_MAX_BYTES];

    for (int g = 0; g < GATE_COUNT; g++)
        assert_int_equal(gate_from_word(gate_word((enum gate)g)), g);
    assert_int_equal(gate_from_word("no such gate"), GATE_COUNT);
    assert_string_equal(gate_word(GATE_COUNT), "no_gate");
    assert_false(gate_overridable(GATE_COUNT));
    gate_reason(&k->state, APP, B, GATE_COUNT, 0, why, sizeof why);
    assert_string_equal(why, "no such gate");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_gate_says_yes_when_the_primary_is_lost),
        TEST(only_an_armed_service_is_moved),
        TEST(a_paused_service_is_not_moved),
        TEST(the_target_is_another_eligible_site),
        TEST(the_target_has_a_node_in_contact),
        TEST(the_target_has_a_standby_that_answers),
        TEST(an_old_primary_that_answers_is_taken_only_by_force),
        TEST(the_target_was_ready),
        TEST(readiness_is_what_the_targets_own_node_said),
        TEST(shadow_decides_and_does_nothing),
        TEST(a_virtual_machine_that_may_be_paused_is_said_to_be_accepted),
        TEST(the_verdict_stands_for_hold_down),
        TEST(a_reachable_site_gets_its_local_grace_too),
        TEST(patience_does_not_overflow),
        TEST(a_second_failover_waits_for_the_lockout),
        TEST(who_aborts_a_failover_gets_time_before_the_next),
        TEST(a_second_kind_of_evidence_can_be_had),
        TEST(one_operation_at_a_time),
        TEST(one_service_is_moved_at_a_time),
        TEST(a_service_that_writes_again_holds_up_no_other),
        TEST(a_service_that_waits_for_a_person_holds_up_no_other),
        TEST(words_lead_back_to_their_gates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
