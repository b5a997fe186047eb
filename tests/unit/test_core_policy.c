/* The numbers of the replicated configuration fit each other, or the message says which rule they break and what to change. */
#include "core_fixture.h"

#include "core/policy.h"

static const struct raft_timing metro = { .heartbeat_ms = 60, .election_ms = 300 };

static void assert_says(const struct timing *t, const struct raft_timing *raft, const char *part)
{
    struct error err = ERROR_NONE;

    assert_int_equal(timing_check(t, raft, &err), STATUS_INVALID);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void every_profile_fits_itself(void **state)
{
    (void)state;
    for (int p = 0; p < PROFILE_COUNT; p++) {
        struct timing t = timing_of((enum timing_profile)p);
        struct raft_timing raft = raft_timing_of((enum timing_profile)p);

        assert_int_equal(timing_check(&t, &raft, NULL), STATUS_OK);
        assert_true(t.probe_fall >= 2);
        assert_true(t.margin_ms < t.ttl_ms);
    }
}

static void a_slow_raft_does_not_fit_a_short_ttl(void **state)
{
    struct timing t = timing_of(PROFILE_METRO);
    struct raft_timing raft = raft_timing_of(PROFILE_CAUTIOUS);

    (void)state;
    assert_says(&t, &raft, "ttl - margin (1800 ms) must be at least renew + 4 * election + 2 * RTT (12800 ms");
    assert_says(&t, &raft, "raise ttl or choose a faster node timing");
}

static void the_span_left_after_the_margin_bridges_a_split_vote_exactly(void **state)
{
    struct timing t = timing_of(PROFILE_METRO);

    (void)state;
    t.ttl_ms = t.margin_ms + t.renew_ms + 4 * metro.election_ms + metro.heartbeat_ms;
    assert_int_equal(timing_check(&t, &metro, NULL), STATUS_OK);
    t.ttl_ms--;
    assert_says(&t, &metro, "must be at least");
}

static void a_margin_is_below_the_ttl_and_covers_a_freeze(void **state)
{
    struct timing t = timing_of(PROFILE_METRO);

    (void)state;
    t.margin_ms = t.ttl_ms;
    assert_says(&t, &metro, "margin (2000 ms) must be below ttl (2000 ms)");
    t.margin_ms = MARGIN_MS_MIN - 1;
    assert_says(&t, &metro, "at least 100 ms: it covers a freeze");
}

static void an_opinion_is_never_formed_from_one_look(void **state)
{
    struct timing t = timing_of(PROFILE_METRO);

    (void)state;
    t.probe_fall = 1;
    assert_says(&t, &metro, "fall at least 2");
    t = timing_of(PROFILE_METRO);
    t.probe_rise = 0;
    assert_says(&t, &metro, "above zero");
}

static void a_rise_or_fall_that_is_never_reached_is_refused(void **state)
{
    struct timing t = timing_of(PROFILE_METRO);

    (void)state;
    t.probe_fall = PROBE_LOOKS_MAX + 1;
    assert_says(&t, &metro, "at most 100");
    t = timing_of(PROFILE_METRO);
    t.probe_rise = UINT32_MAX;
    assert_says(&t, &metro, "at most 100");
}

static void numbers_of_zero_are_refused(void **state)
{
    struct timing t;

    (void)state;
    t = timing_of(PROFILE_METRO);
    t.renew_ms = 0;
    assert_says(&t, &metro, "above zero");
    t = timing_of(PROFILE_METRO);
    t.probe_interval_ms = 0;
    assert_says(&t, &metro, "above zero");
    t = timing_of(PROFILE_METRO);
    t.probe_timeout_ms = 0;
    assert_says(&t, &metro, "above zero");
}

static void extreme_numbers_do_not_overflow(void **state)
{
    struct timing t = timing_of(PROFILE_METRO);
    struct raft_timing raft = { .heartbeat_ms = UINT32_MAX, .election_ms = UINT32_MAX };

    (void)state;
    t.ttl_ms = TTL_MS_MAX + 1;
    assert_says(&t, &metro, "at most 600000 ms");
    t.ttl_ms = TTL_MS_MAX;
    t.renew_ms = UINT32_MAX;
    assert_says(&t, &raft, "must be at least");
}

static void the_leader_counts_a_ttl_and_the_drift_and_never_less(void **state)
{
    (void)state;
    assert_int_equal(lease_count_us(2000, 1000), 2002000);
    assert_int_equal(lease_count_us(1, 1), 1001); /* rounded up */
    assert_int_equal(lease_count_us(2000, 0), 2000000);
    assert_int_equal(lease_count_us(TTL_MS_MAX, 1000000), INT64_C(1200000000));
}

static void words_are_never_missing(void **state)
{
    (void)state;
    for (int p = 0; p < PROFILE_COUNT; p++)
        assert_true(timing_profile_word((enum timing_profile)p)[0] != '\0');
    for (int m = 0; m < MODE_COUNT; m++)
        assert_true(mode_word((enum mode)m)[0] != '\0');
    assert_string_equal(timing_profile_word((enum timing_profile)99), "no_profile");
    assert_string_equal(mode_word((enum mode)99), "no_mode");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_profile_fits_itself),
        cmocka_unit_test(a_slow_raft_does_not_fit_a_short_ttl),
        cmocka_unit_test(the_span_left_after_the_margin_bridges_a_split_vote_exactly),
        cmocka_unit_test(a_margin_is_below_the_ttl_and_covers_a_freeze),
        cmocka_unit_test(an_opinion_is_never_formed_from_one_look),
        cmocka_unit_test(a_rise_or_fall_that_is_never_reached_is_refused),
        cmocka_unit_test(numbers_of_zero_are_refused),
        cmocka_unit_test(extreme_numbers_do_not_overflow),
        cmocka_unit_test(the_leader_counts_a_ttl_and_the_drift_and_never_less),
        cmocka_unit_test(words_are_never_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
