/* A standby that receives nothing while the primary writes is no target, however ready it was. */
#include "core_fixture.h"

#include "core/standby.h"

static bool b_says(struct core *k, bool streaming)
{
    struct command *c = core_command(k, COMMAND_OPINION);

    c->opinion = (struct command_opinion){
        NODE_B, APP, B, { .word = OPINION_UP, .role = ROLE_STANDBY, .ready = true, .streaming = streaming }
    };
    return core_apply(k);
}

static uint32_t no(const struct core *k)
{
    return gates_check(&k->state, APP, B, OPERATION_PROMOTE, 0, k->now_ms) & 1u << GATE_READY;
}

static void pass_lag(struct core *k)
{
    core_pass(k, core_app(k)->config.max_lag_ms + 1);
}

static void what_it_misses_while_the_primary_writes_makes_it_no_target(void **state)
{
    struct core *k = *state;

    assert_accepted(b_says(k, true), k);
    assert_accepted(b_says(k, false), k);
    assert_accepted(core_renew(k, true), k);
    assert_false(no(k));
    pass_lag(k);
    assert_accepted(core_renew(k, true), k);
    assert_true(no(k));
    assert_true(core_event_says(k, EVENT_ALARM, "has received nothing for"));
    core_lose_a(k);
    assert_true(no(k));
    assert_accepted(b_says(k, true), k);
    assert_false(no(k));
}

static void what_it_misses_of_a_dead_primary_is_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(b_says(k, true), k);
    core_lose_a(k);
    assert_accepted(b_says(k, false), k);
    pass_lag(k);
    assert_accepted(core_heard(k, NODE_C, true), k);
    pass_lag(k);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    assert_false(no(k));
}

static void a_short_interruption_costs_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(b_says(k, true), k);
    assert_accepted(b_says(k, false), k);
    core_pass(k, core_app(k)->config.max_lag_ms / 2);
    assert_accepted(b_says(k, true), k);
    pass_lag(k);
    assert_accepted(core_renew(k, true), k);
    assert_false(no(k));
}

/* Its site was cut off from everybody; when it is back, the primary is dead, and what it last said is of long ago. */
static void a_silent_site_must_say_anew_that_it_receives(void **state)
{
    struct core *k = *state;

    assert_accepted(b_says(k, true), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    pass_lag(k);
    assert_accepted(core_renew(k, true), k);
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_true(no(k));
    assert_accepted(b_says(k, false), k);
    assert_true(no(k));
    assert_accepted(b_says(k, true), k);
    assert_false(no(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_misses_while_the_primary_writes_makes_it_no_target, core_setup,
                                        core_teardown),
        cmocka_unit_test_setup_teardown(what_it_misses_of_a_dead_primary_is_nothing, core_setup, core_teardown),
        cmocka_unit_test_setup_teardown(a_short_interruption_costs_nothing, core_setup, core_teardown),
        cmocka_unit_test_setup_teardown(a_silent_site_must_say_anew_that_it_receives, core_setup, core_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
