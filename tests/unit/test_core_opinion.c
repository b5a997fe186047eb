/* Looks become an opinion by rise and fall, never from one sample; readiness stands still when the primary dies. */
#include "core_fixture.h"

#include "core/opinion.h"

#define LAG_MS 1000u

static struct timing timing; /* rise 2, fall 3 */
static struct observer observer;

static int setup(void **state)
{
    (void)state;
    timing = timing_of(PROFILE_METRO);
    observer_init(&observer);
    return 0;
}

static void looks(enum look look, enum look_outcome outcome, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        observer_look(&observer, look, outcome, &timing);
}

static enum opinion_word word(void)
{
    return observer_opinion(&observer).word;
}

/* One read of a standby that has this node's canary of `seen_ms`, while the primary acknowledged the one of `written_ms`. */
static void read_standby(int64_t seen_ms, int64_t written_ms)
{
    looks(LOOK_READ_FRESH, LOOK_OK, 1);
    observer_read(&observer, ROLE_STANDBY, true, seen_ms, written_ms, LAG_MS, &timing);
}

static void nothing_is_known_before_the_first_looks(void **state)
{
    struct opinion o = observer_opinion(&observer);

    (void)state;
    assert_int_equal(o.word, OPINION_UNKNOWN);
    assert_int_equal(o.kinds_failed, 0);
    assert_int_equal(o.kinds_up, 0);
    assert_false(o.ready);
}

static void failed_needs_fall_looks_in_a_row(void **state)
{
    (void)state;
    looks(LOOK_READ_FRESH, LOOK_FAILED, 2);
    assert_int_equal(word(), OPINION_UNKNOWN);
    looks(LOOK_READ_FRESH, LOOK_OK, 1); /* the row is broken */
    looks(LOOK_READ_FRESH, LOOK_FAILED, 2);
    assert_int_equal(word(), OPINION_UNKNOWN);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 1);
    assert_int_equal(word(), OPINION_FAILED);
}

static void up_needs_rise_looks_in_a_row(void **state)
{
    (void)state;
    looks(LOOK_READ_FRESH, LOOK_FAILED, 3);
    looks(LOOK_READ_FRESH, LOOK_OK, 1);
    assert_int_equal(word(), OPINION_FAILED);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 1);
    looks(LOOK_READ_FRESH, LOOK_OK, 1);
    assert_int_equal(word(), OPINION_FAILED);
    looks(LOOK_READ_FRESH, LOOK_OK, 1);
    assert_int_equal(word(), OPINION_UP);
}

static void the_largest_fall_is_reached(void **state)
{
    (void)state;
    timing.probe_fall = PROBE_LOOKS_MAX;
    looks(LOOK_READ_FRESH, LOOK_FAILED, PROBE_LOOKS_MAX - 1);
    assert_int_equal(word(), OPINION_UNKNOWN);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 1);
    assert_int_equal(word(), OPINION_FAILED);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 1000); /* and the count does not wrap */
    assert_int_equal(word(), OPINION_FAILED);
}

static void one_that_reads_and_does_not_write_is_gray(void **state)
{
    (void)state;
    looks(LOOK_READ_FRESH, LOOK_OK, 2);
    looks(LOOK_CANARY, LOOK_FAILED, 3);
    assert_int_equal(word(), OPINION_GRAY);
    looks(LOOK_CANARY, LOOK_OK, 2);
    assert_int_equal(word(), OPINION_UP);
}

static void a_closed_guard_that_refuses_the_canary_says_nothing(void **state)
{
    (void)state;
    looks(LOOK_READ_FRESH, LOOK_OK, 2);
    looks(LOOK_CANARY, LOOK_FAILED, 2);
    looks(LOOK_CANARY, LOOK_NEUTRAL, 50);
    assert_int_equal(word(), OPINION_UP);
    looks(LOOK_CANARY, LOOK_FAILED, 1); /* neither broken nor prolonged by the neutral looks */
    assert_int_equal(word(), OPINION_GRAY);
}

static void a_primary_that_writes_is_up_whatever_else_fails(void **state)
{
    struct opinion o;

    (void)state;
    looks(LOOK_CANARY, LOOK_OK, 2);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 3);
    looks(LOOK_HTTP, LOOK_FAILED, 3);
    o = observer_opinion(&observer);
    assert_int_equal(o.word, OPINION_UP);
    assert_int_equal(o.kinds_failed, 1u << KIND_DATABASE | 1u << KIND_APPLICATION);
}

static void looks_of_one_kind_are_one_kind_of_evidence(void **state)
{
    struct opinion o;

    (void)state;
    looks(LOOK_READ_FRESH, LOOK_FAILED, 3);
    looks(LOOK_CANARY, LOOK_FAILED, 3);
    o = observer_opinion(&observer);
    assert_int_equal(o.kinds_failed, 1u << KIND_DATABASE);
    looks(LOOK_TCP, LOOK_FAILED, 3);
    looks(LOOK_HTTP, LOOK_OK, 2);
    o = observer_opinion(&observer);
    assert_int_equal(o.kinds_failed, 1u << KIND_DATABASE | 1u << KIND_PATH);
    assert_int_equal(o.kinds_up, 1u << KIND_APPLICATION);
}

static void what_is_forgotten_says_nothing(void **state)
{
    (void)state;
    looks(LOOK_READ_FRESH, LOOK_OK, 2);
    looks(LOOK_CANARY, LOOK_FAILED, 3);
    observer_forget(&observer, LOOK_CANARY);
    assert_int_equal(word(), OPINION_UP);
}

static void a_standby_within_the_lag_becomes_ready_by_rise(void **state)
{
    (void)state;
    read_standby(5000, 6000);
    assert_false(observer_opinion(&observer).ready);
    read_standby(5000, 6000);
    assert_true(observer_opinion(&observer).ready);
}

static void a_standby_beyond_the_lag_is_not_ready(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        read_standby(5000, 5000 + LAG_MS + 1);
    assert_false(observer_opinion(&observer).ready);
}

static void a_primary_is_no_ready_target(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        looks(LOOK_READ_FRESH, LOOK_OK, 1);
        observer_read(&observer, ROLE_PRIMARY, false, 5000, 5000, LAG_MS, &timing);
    }
    assert_false(observer_opinion(&observer).ready);
    assert_int_equal(observer_opinion(&observer).role, ROLE_PRIMARY);
}

/* The row of before says nothing of the lag, and must not be taken for one from the future. */
static void a_wall_clock_that_was_set_back_makes_nobody_ready(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        read_standby(5000, 5000);
    assert_true(observer_opinion(&observer).ready);
    for (unsigned i = 0; i < 10; i++)
        read_standby(5000, 5000 - LAG_MS - 1);
    assert_false(observer_opinion(&observer).ready);
    for (unsigned i = 0; i < 10; i++)
        read_standby(5000 - LAG_MS, 5000 - LAG_MS - 1);
    assert_true(observer_opinion(&observer).ready);
}

static void a_server_that_cannot_be_read_receives_nothing_that_counts(void **state)
{
    (void)state;
    read_standby(5000, 5000);
    assert_true(observer_opinion(&observer).streaming);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 10);
    assert_false(observer_opinion(&observer).streaming);
}

static void readiness_needs_a_measured_lag(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        read_standby(-1, -1);
    assert_false(observer_opinion(&observer).ready);
    for (unsigned i = 0; i < 5; i++)
        read_standby(5000, -1);
    assert_false(observer_opinion(&observer).ready);
}

static void readiness_stands_still_when_the_primary_dies(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        read_standby(5000, 5200);
    for (unsigned i = 0; i < 100; i++) { /* nothing more is written, so nothing more arrives */
        looks(LOOK_READ_FRESH, LOOK_OK, 1);
        observer_read(&observer, ROLE_STANDBY, false, 5000, -1, LAG_MS, &timing);
    }
    assert_true(observer_opinion(&observer).ready);
}

static void one_that_receives_the_dead_primarys_last_write_is_ready(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        read_standby(5000, 9000);
    assert_false(observer_opinion(&observer).ready);
    for (unsigned i = 0; i < 2; i++) /* what was acknowledged to this observer counts, and it has arrived */
        read_standby(9000, -1);
    assert_true(observer_opinion(&observer).ready);
}

static void a_standby_that_falls_behind_is_ready_no_more_by_fall(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        read_standby(5000, 5200);
    read_standby(5000, 9000);
    read_standby(5000, 9000);
    assert_true(observer_opinion(&observer).ready);
    read_standby(5000, 9000);
    assert_false(observer_opinion(&observer).ready);
}

static void a_standby_that_does_not_answer_is_not_ready(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        read_standby(5000, 5200);
    looks(LOOK_READ_FRESH, LOOK_FAILED, 3);
    assert_false(observer_opinion(&observer).ready);
}

static void opinions_differ_in_every_field(void **state)
{
    struct opinion a = { .word = OPINION_UP }, b = a;

    (void)state;
    assert_true(opinion_equal(&a, &b));
    b = a, b.word = OPINION_GRAY;
    assert_false(opinion_equal(&a, &b));
    b = a, b.role = ROLE_STANDBY;
    assert_false(opinion_equal(&a, &b));
    b = a, b.kinds_failed = 1;
    assert_false(opinion_equal(&a, &b));
    b = a, b.kinds_up = 1;
    assert_false(opinion_equal(&a, &b));
    b = a, b.ready = true;
    assert_false(opinion_equal(&a, &b));
    b = a, b.streaming = true;
    assert_false(opinion_equal(&a, &b));
}

static void evidence_is_listed_in_words(void **state)
{
    char text[80], tiny[8];

    (void)state;
    evidence_text(0, text, sizeof text);
    assert_string_equal(text, "");
    evidence_text(1u << KIND_DATABASE | 1u << KIND_NODE, text, sizeof text);
    assert_string_equal(text, "database, node");
    evidence_text(0xff, tiny, sizeof tiny);
    assert_int_equal(strlen(tiny), sizeof tiny - 1);
    assert_string_equal(opinion_word((enum opinion_word)99), "no_opinion");
    assert_string_equal(look_word((enum look)99), "no_look");
    assert_string_equal(role_word((enum role)99), "no_role");
    assert_string_equal(evidence_kind_word((enum evidence_kind)99), "no_kind");
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_known_before_the_first_looks),
        TEST(failed_needs_fall_looks_in_a_row),
        TEST(up_needs_rise_looks_in_a_row),
        TEST(the_largest_fall_is_reached),
        TEST(one_that_reads_and_does_not_write_is_gray),
        TEST(a_closed_guard_that_refuses_the_canary_says_nothing),
        TEST(a_primary_that_writes_is_up_whatever_else_fails),
        TEST(looks_of_one_kind_are_one_kind_of_evidence),
        TEST(what_is_forgotten_says_nothing),
        TEST(a_standby_within_the_lag_becomes_ready_by_rise),
        TEST(a_standby_beyond_the_lag_is_not_ready),
        TEST(a_primary_is_no_ready_target),
        TEST(a_wall_clock_that_was_set_back_makes_nobody_ready),
        TEST(a_server_that_cannot_be_read_receives_nothing_that_counts),
        TEST(readiness_needs_a_measured_lag),
        TEST(readiness_stands_still_when_the_primary_dies),
        TEST(one_that_receives_the_dead_primarys_last_write_is_ready),
        TEST(a_standby_that_falls_behind_is_ready_no_more_by_fall),
        TEST(a_standby_that_does_not_answer_is_not_ready),
        TEST(opinions_differ_in_every_field),
        TEST(evidence_is_listed_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
