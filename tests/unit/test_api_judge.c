/* The one line about a service: what it says when something is wrong, and that it names a way out. */
#include "core_fixture.h"

#include "api/api_internal.h"

static const struct api_judgement *judge(struct core *k)
{
    static struct api_judgement out;

    api_judge(&k->state, APP, k->now_ms, &out);
    return &out;
}

static void a_ready_pair_is_ok_and_needs_no_way_out(void **state)
{
    struct core *k = *state;

    assert_int_equal(judge(k)->health, API_OK);
    assert_string_equal(judge(k)->way_out, "");
}

static void a_primary_whose_lease_has_ended_writes_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_int_equal(judge(k)->health, API_CRITICAL);
    assert_non_null(strstr(judge(k)->summary, "nothing is written until it is granted again"));
}

static void a_primary_that_was_never_promoted_is_named_with_both_ways_out(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_int_equal(judge(k)->health, API_CRITICAL);
    assert_string_equal(judge(k)->summary,
                        "primary site-a is still a standby and its lease is expired: nothing is written anywhere");
    assert_non_null(strstr(judge(k)->way_out, "pg_ctl promote at site-a"));
    assert_non_null(strstr(judge(k)->way_out, "coordctl promote SITE -s app"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ready_pair_is_ok_and_needs_no_way_out),
        TEST(a_primary_whose_lease_has_ended_writes_nothing),
        TEST(a_primary_that_was_never_promoted_is_named_with_both_ways_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
