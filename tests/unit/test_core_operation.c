/* The lives of an operation and of a step run: total tables. */
#include "core_fixture.h"

#include "core/operation.h"

static void assert_decided(struct rule rule, int state, int state_count, const char *event, const char *in)
{
    if (rule.verb == UNDECIDED || rule.why == NULL || rule.why[0] == '\0' || rule.next < 0 ||
        rule.next >= state_count || (rule.verb != MOVE && rule.next != state))
        fail_msg("%s in %s is not decided", event, in);
}

static void the_table_of_operations_is_total_and_gives_reasons(void **state)
{
    (void)state;
    for (int s = 0; s < OPERATION_STATE_COUNT; s++)
        for (int e = 0; e < OPERATION_EVENT_COUNT; e++)
            assert_decided(operation_rule((enum operation_state)s, (enum operation_event)e), s, OPERATION_STATE_COUNT,
                           operation_event_word((enum operation_event)e),
                           operation_state_word((enum operation_state)s));
}

static void the_table_of_runs_is_total_and_gives_reasons(void **state)
{
    (void)state;
    for (int s = 0; s < RUN_STATE_COUNT; s++)
        for (int e = 0; e < RUN_EVENT_COUNT; e++)
            assert_decided(run_rule((enum run_state)s, (enum run_event)e), s, RUN_STATE_COUNT,
                           run_event_word((enum run_event)e), run_state_word((enum run_state)s));
}

static void only_a_running_operation_is_promoted(void **state)
{
    (void)state;
    for (int s = 0; s < OPERATION_STATE_COUNT; s++) {
        struct operation op = { .state = (enum operation_state)s };

        if (s == OPERATION_PROMOTED)
            continue; /* it stays what it is */
        assert_true((operation_move(&op, OPERATION_EV_PROMOTE) == NULL) == (s == OPERATION_RUNNING));
        assert_int_equal(op.state, s == OPERATION_RUNNING ? OPERATION_PROMOTED : s);
    }
}

static void after_the_point_of_no_return_there_is_no_abort(void **state)
{
    struct operation op = { .state = OPERATION_PROMOTED };

    (void)state;
    assert_non_null(operation_move(&op, OPERATION_EV_ABORT));
    assert_int_equal(op.state, OPERATION_PROMOTED);
    assert_null(operation_move(&op, OPERATION_EV_FINISHED));
    assert_int_equal(op.state, OPERATION_DONE);
}

static void an_aborted_operation_is_never_promoted(void **state)
{
    struct operation op = { .state = OPERATION_RUNNING };

    (void)state;
    assert_null(operation_move(&op, OPERATION_EV_ABORT));
    assert_int_equal(op.state, OPERATION_UNDOING);
    assert_non_null(operation_move(&op, OPERATION_EV_PROMOTE));
    assert_non_null(operation_move(&op, OPERATION_EV_START));
    assert_null(operation_move(&op, OPERATION_EV_UNDONE));
    assert_int_equal(op.state, OPERATION_ABORTED);
    assert_non_null(operation_move(&op, OPERATION_EV_PROMOTE));
}

static void a_proposed_operation_touches_nothing_and_is_withdrawn_at_once(void **state)
{
    struct operation op = { .state = OPERATION_NONE };

    (void)state;
    assert_null(operation_move(&op, OPERATION_EV_PROPOSE));
    assert_non_null(operation_move(&op, OPERATION_EV_PROMOTE));
    assert_null(operation_move(&op, OPERATION_EV_ABORT));
    assert_int_equal(op.state, OPERATION_ABORTED);
}

static void one_attempt_is_open_at_a_time(void **state)
{
    struct step_run run = { .state = RUN_PENDING };

    (void)state;
    assert_non_null(run_move(&run, RUN_EV_OK));
    assert_non_null(run_move(&run, RUN_EV_FAILED));
    assert_null(run_move(&run, RUN_EV_ASSIGN));
    assert_non_null(run_move(&run, RUN_EV_ASSIGN));
    assert_null(run_move(&run, RUN_EV_FAILED));
    assert_int_equal(run.state, RUN_PENDING);
    assert_null(run_move(&run, RUN_EV_ASSIGN));
    assert_null(run_move(&run, RUN_EV_OK));
    assert_int_equal(run.state, RUN_DONE);
    assert_true(run_ended(&run));
}

static void what_is_done_or_skipped_stays_so(void **state)
{
    (void)state;
    for (int e = 0; e < RUN_EVENT_COUNT; e++) {
        struct step_run done = { .state = RUN_DONE }, skipped = { .state = RUN_SKIPPED };

        (void)run_move(&done, (enum run_event)e);
        (void)run_move(&skipped, (enum run_event)e);
        assert_int_equal(done.state, RUN_DONE);
        assert_int_equal(skipped.state, RUN_SKIPPED);
    }
}

static void active_is_what_has_begun_and_not_ended(void **state)
{
    (void)state;
    for (int s = 0; s < OPERATION_STATE_COUNT; s++) {
        struct operation op = { .state = (enum operation_state)s };

        assert_true(operation_active(&op) == (s != OPERATION_NONE && s != OPERATION_DONE && s != OPERATION_ABORTED));
    }
}

static void runs_are_bounded_and_found(void **state)
{
    struct operation op = { .id = 1 };

    (void)state;
    assert_null(operation_run(&op, STEP_SEVER, SITE_NONE));
    for (unsigned i = 0; i < RUNS_MAX; i++)
        assert_true(operation_add_run(&op, i % 2 ? STEP_SEVER : STEP_FENCE, (site_id)(i % SITES_MAX)));
    assert_false(operation_add_run(&op, STEP_DNS, B));
    assert_int_equal(op.run_count, RUNS_MAX);
    assert_ptr_equal(operation_run(&op, STEP_SEVER, SITE_NONE), &op.runs[1]);
    assert_ptr_equal(operation_run(&op, STEP_SEVER, 3), &op.runs[3]);
    assert_null(operation_run(&op, STEP_SEVER, 2));
}

static void words_are_never_missing(void **state)
{
    (void)state;
    assert_string_equal(operation_kind_word((enum operation_kind)99), "no_kind");
    assert_string_equal(operation_state_word((enum operation_state)99), "no_state");
    assert_string_equal(operation_event_word((enum operation_event)99), "no_event");
    assert_string_equal(step_word((enum step)99), "no_step");
    assert_string_equal(run_state_word((enum run_state)99), "no_state");
    assert_string_equal(run_event_word((enum run_event)99), "no_event");
    for (int s = 0; s < STEP_COUNT; s++)
        assert_true(step_word((enum step)s)[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_operations_is_total_and_gives_reasons),
        cmocka_unit_test(the_table_of_runs_is_total_and_gives_reasons),
        cmocka_unit_test(only_a_running_operation_is_promoted),
        cmocka_unit_test(after_the_point_of_no_return_there_is_no_abort),
        cmocka_unit_test(an_aborted_operation_is_never_promoted),
        cmocka_unit_test(a_proposed_operation_touches_nothing_and_is_withdrawn_at_once),
        cmocka_unit_test(one_attempt_is_open_at_a_time),
        cmocka_unit_test(what_is_done_or_skipped_stays_so),
        cmocka_unit_test(active_is_what_has_begun_and_not_ended),
        cmocka_unit_test(runs_are_bounded_and_found),
        cmocka_unit_test(words_are_never_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
