/* The one line about a service: what it says when something is wrong, and that it names a way out. */
#include "core_fixture.h"

#include "api/api_internal.h"

static const struct api_judgement *judge(struct core *k)
{
    static struct api_judgement out;
    static const struct api_promises nothing;

    api_judge(&k->state, APP, &nothing, k->now_ms, &out);
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

static void a_holder_that_was_replaced_and_proves_nothing_is_named_with_the_way_out(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    assert_accepted(core_renew(k, false), k); /* it enforced nothing */
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_accepted(core_executor(k, A, 15), k);
    assert_int_equal(judge(k)->health, API_CRITICAL);
    assert_non_null(strstr(judge(k)->summary, "nothing proves that its server is closed"));
    assert_non_null(
        strstr(judge(k)->way_out, "then coordctl disarm app, wait until its lease is live, and coordctl arm app"));
}

static void without_a_leader_what_this_node_does_is_the_news(void **state)
{
    static const struct {
        enum api_promised what;
        enum api_health health;
        const char *says;
    } rows[] = {
        { API_PROMISED_SERVING, API_WARNING, "primary site-a goes on by the promises of b1, for 12 s" },
        { API_PROMISED_CLOSED, API_CRITICAL, "primary site-a has stopped writing, for 12 s" },
        { API_PROMISED_GIVEN, API_WARNING, "this node has promised b1 not to take over, for 12345 ms yet" },
    };
    struct core *k = *state;
    struct api_judgement out;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_promises promises = { .what = rows[i].what, .ms = 12345, .nodes = "b1", .missing = "c1, c2" };

        api_judge(&k->state, APP, &promises, k->now_ms, &out);
        assert_int_equal(out.health, rows[i].health);
        if (strstr(out.summary, rows[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", out.summary, rows[i].says);
        assert_string_equal(out.way_out, "start coordinators until a majority runs: c1, c2");
    }
}

static void a_disk_is_judged_by_what_is_free(void **state)
{
    static const struct {
        struct space space;
        enum api_health health;
        const char *summary, *way_out;
    } rows[] = {
        { { SPACE_ENOUGH, 256u << 20 }, API_OK, "", "" },
        { { SPACE_LOW, 255u << 20 },
          API_WARNING,
          "255 MiB free on the disk of /d: a full disk ends this node",
          "make room there: at least 256 MiB" },
        { { SPACE_SHORT, 3u << 20 },
          API_CRITICAL,
          "3 MiB free on the disk of /d: this node would not start again",
          "make room there: at least 256 MiB" },
    };
    struct api_judgement out;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        api_judge_disk(&(struct api_node){ .space = rows[i].space, .data_dir = "/d" }, &out);
        assert_int_equal(out.health, rows[i].health);
        assert_string_equal(out.summary, rows[i].summary);
        assert_string_equal(out.way_out, rows[i].way_out);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ready_pair_is_ok_and_needs_no_way_out),
        TEST(a_primary_whose_lease_has_ended_writes_nothing),
        TEST(a_primary_that_was_never_promoted_is_named_with_both_ways_out),
        TEST(a_holder_that_was_replaced_and_proves_nothing_is_named_with_the_way_out),
        TEST(without_a_leader_what_this_node_does_is_the_news),
        cmocka_unit_test(a_disk_is_judged_by_what_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
