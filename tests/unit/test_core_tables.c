/* Every lifecycle is a total table: no (state, event) pair is undecided, each cell says why, and a plan's needs can be met. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/gates.h"
#include "core/plan.h"

static void check(struct rule rule, int state, int state_count)
{
    assert_true(rule.verb == MOVE || rule.verb == STAY || rule.verb == REFUSE);
    assert_non_null(rule.why);
    assert_true(rule.why[0] != '\0');
    assert_in_range(rule.next, 0, state_count - 1);
    if (rule.verb != MOVE)
        assert_int_equal(rule.next, state);
}

static void every_pair_of_a_lease_is_decided(void **unused)
{
    (void)unused;
    for (int s = 0; s < LEASE_STATE_COUNT; s++)
        for (int e = 0; e < LEASE_EVENT_COUNT; e++)
            check(lease_rule((enum lease_state)s, (enum lease_event)e), s, LEASE_STATE_COUNT);
}

static void every_pair_of_an_operation_is_decided(void **unused)
{
    (void)unused;
    for (int s = 0; s < OPERATION_STATE_COUNT; s++)
        for (int e = 0; e < OPERATION_EVENT_COUNT; e++)
            check(operation_rule((enum operation_state)s, (enum operation_event)e), s, OPERATION_STATE_COUNT);
}

static void every_pair_of_a_run_is_decided(void **unused)
{
    (void)unused;
    for (int s = 0; s < RUN_STATE_COUNT; s++)
        for (int e = 0; e < RUN_EVENT_COUNT; e++)
            check(run_rule((enum run_state)s, (enum run_event)e), s, RUN_STATE_COUNT);
}

static void a_promoted_operation_is_never_aborted(void **unused)
{
    (void)unused;
    assert_int_equal(operation_rule(OPERATION_PROMOTED, OPERATION_EV_ABORT).verb, REFUSE);
    assert_int_equal(operation_rule(OPERATION_RUNNING, OPERATION_EV_FINISHED).verb, REFUSE);
    assert_int_equal(operation_rule(OPERATION_UNDOING, OPERATION_EV_PROMOTE).verb, REFUSE);
}

static void every_step_says_what_it_waits_for_and_its_needs_have_no_circle(void **unused)
{
    uint32_t ended = 0;

    (void)unused;
    for (int round = 0; round < STEP_COUNT; round++)
        for (int i = 0; i < STEP_COUNT; i++)
            if ((plan_step_of((enum step)i)->needs & ~ended) == 0)
                ended |= 1u << i;
    assert_int_equal(ended, (1u << STEP_COUNT) - 1);
    for (int i = 0; i < STEP_COUNT; i++) {
        assert_non_null(plan_step_of((enum step)i)->what);
        assert_true(plan_step_of((enum step)i)->deadline_ms > 0);
        assert_true(plan_step_of((enum step)i)->retry_ms > 0);
    }
}

static void the_steps_that_safety_rests_on_cannot_be_skipped(void **unused)
{
    (void)unused;
    assert_true(plan_step_of(STEP_SEVER)->safety);
    assert_true(plan_step_of(STEP_FENCE)->safety);
    assert_true(plan_step_of(STEP_PROMOTE)->safety);
    assert_true(plan_step_of(STEP_PROMOTE)->after_promote);
    assert_false(plan_step_of(STEP_DNS)->safety);
}

static void every_gate_has_a_word_of_its_own(void **unused)
{
    (void)unused;
    for (int g = 0; g < GATE_COUNT; g++)
        assert_int_equal(gate_from_word(gate_word((enum gate)g)), g);
    assert_int_equal(gate_from_word("nonsense"), GATE_COUNT);
    assert_false(gate_overridable(GATE_ARMED));
    assert_false(gate_overridable(GATE_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_a_lease_is_decided),
        cmocka_unit_test(every_pair_of_an_operation_is_decided),
        cmocka_unit_test(every_pair_of_a_run_is_decided),
        cmocka_unit_test(a_promoted_operation_is_never_aborted),
        cmocka_unit_test(every_step_says_what_it_waits_for_and_its_needs_have_no_circle),
        cmocka_unit_test(the_steps_that_safety_rests_on_cannot_be_skipped),
        cmocka_unit_test(every_gate_has_a_word_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
