/* The opinions of many observers become one verdict: quorum, evidence kinds, lease. */
#include "core_fixture.h"

#include "core/verdict.h"

#define DATABASE ((uint8_t)(1u << KIND_DATABASE))
#define PATH ((uint8_t)(1u << KIND_PATH))
#define APPLICATION ((uint8_t)(1u << KIND_APPLICATION))

static enum verdict verdict(struct core *k)
{
    return core_app(k)->views[A].verdict;
}

static void says(struct core *k, node_id node, enum opinion_word word, uint8_t kinds)
{
    assert_accepted(core_opinion(k, node, A, word, ROLE_UNKNOWN, kinds), k);
}

static void a_healthy_site_is_up(void **state)
{
    struct core *k = *state;

    assert_int_equal(verdict(k), VERDICT_UP);
    assert_int_equal(core_app(k)->views[A].evidence, 0);
}

static void down_needs_the_lease_to_have_expired(void **state)
{
    struct core *k = *state;

    assert_accepted(core_heard(k, NODE_A, false), k);
    says(k, NODE_B, OPINION_FAILED, DATABASE | PATH);
    says(k, NODE_C, OPINION_FAILED, DATABASE | PATH);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
    assert_accepted(core_expire(k), k);
    assert_int_equal(verdict(k), VERDICT_DOWN);
}

static void a_revoked_lease_is_not_an_expired_one(void **state)
{
    struct core *k = *state;

    assert_accepted(core_heard(k, NODE_A, false), k);
    says(k, NODE_B, OPINION_FAILED, DATABASE | PATH);
    says(k, NODE_C, OPINION_FAILED, DATABASE | PATH);
    core_app(k)->lease.state = LEASE_REVOKED;
    assert_int_equal(verdict_of(&k->state, APP, A, &(uint8_t){ 0 }), VERDICT_DEGRADED);
}

static void one_kind_of_evidence_is_not_enough(void **state)
{
    struct core *k = *state;

    /* Its node is heard, so the database is the only kind that speaks against it. */
    says(k, NODE_A, OPINION_UNKNOWN, 0);
    says(k, NODE_B, OPINION_FAILED, DATABASE);
    says(k, NODE_C, OPINION_FAILED, DATABASE);
    assert_accepted(core_expire(k), k);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
    says(k, NODE_C, OPINION_FAILED, DATABASE | APPLICATION);
    assert_int_equal(verdict(k), VERDICT_DOWN);
}

static void the_silence_of_its_node_is_a_kind_of_evidence(void **state)
{
    struct core *k = *state;

    says(k, NODE_B, OPINION_FAILED, DATABASE);
    says(k, NODE_C, OPINION_FAILED, DATABASE);
    assert_accepted(core_expire(k), k);
    assert_int_not_equal(verdict(k), VERDICT_DOWN);
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_int_equal(verdict(k), VERDICT_DOWN);
    assert_int_equal(core_app(k)->views[A].evidence, DATABASE | 1u << KIND_NODE);
}

static void a_majority_of_the_voters_outside_must_say_so(void **state)
{
    struct core *k = *state;
    unsigned needed, failing;

    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_expire(k), k);
    says(k, NODE_B, OPINION_FAILED, DATABASE | PATH);
    says(k, NODE_C, OPINION_UNKNOWN, 0);
    assert_int_not_equal(verdict(k), VERDICT_DOWN);
    verdict_votes(&k->state, APP, A, &needed, &failing);
    assert_int_equal(needed, 2);
    assert_int_equal(failing, 1);
}

static void absence_of_data_is_not_down(void **state)
{
    struct core *k = *state;

    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_expire(k), k);
    says(k, NODE_B, OPINION_UNKNOWN, 0);
    says(k, NODE_C, OPINION_UNKNOWN, 0);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
}

static void the_opinion_of_a_silent_node_does_not_count(void **state)
{
    struct core *k = *state;

    says(k, NODE_B, OPINION_FAILED, DATABASE | PATH);
    says(k, NODE_C, OPINION_FAILED, DATABASE | PATH);
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_accepted(core_expire(k), k);
    assert_int_not_equal(verdict(k), VERDICT_DOWN);
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_int_equal(verdict(k), VERDICT_DOWN);
}

static void one_that_says_up_outweighs_all_that_say_down(void **state)
{
    struct core *k = *state;

    /* The others cannot reach it, but its own node can: a cut, not a death. */
    says(k, NODE_B, OPINION_FAILED, DATABASE | PATH);
    says(k, NODE_C, OPINION_FAILED, DATABASE | PATH);
    assert_accepted(core_expire(k), k);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
}

static void failed_needs_its_own_node_to_agree(void **state)
{
    struct core *k = *state;

    says(k, NODE_B, OPINION_FAILED, DATABASE);
    says(k, NODE_C, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
    says(k, NODE_A, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(k), VERDICT_FAILED); /* with a live lease: it is about to be revoked */
}

static void failed_needs_a_majority_outside_too(void **state)
{
    struct core *k = *state;

    says(k, NODE_A, OPINION_FAILED, DATABASE);
    says(k, NODE_B, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
}

static void gray_is_when_all_who_object_say_gray(void **state)
{
    struct core *k = *state;

    for (node_id n = NODE_A; n <= NODE_C; n++)
        says(k, n, OPINION_GRAY, DATABASE);
    assert_int_equal(verdict(k), VERDICT_GRAY);
    says(k, NODE_B, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(k), VERDICT_FAILED);
}

static void the_standby_site_is_never_down(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_accepted(core_opinion(k, NODE_A, B, OPINION_FAILED, ROLE_UNKNOWN, DATABASE | PATH), k);
    assert_accepted(core_opinion(k, NODE_C, B, OPINION_FAILED, ROLE_UNKNOWN, DATABASE | PATH), k);
    assert_int_equal(core_app(k)->views[B].verdict, VERDICT_DEGRADED);
}

static void an_accusation_that_changes_its_word_keeps_its_time(void **state)
{
    struct core *k = *state;
    int64_t begun_ms;

    core_pass(k, 500);
    for (node_id n = NODE_A; n <= NODE_C; n++)
        says(k, n, OPINION_GRAY, DATABASE);
    begun_ms = k->now_ms;
    assert_int_equal(core_app(k)->views[A].verdict_ms, begun_ms);
    core_pass(k, 500);
    says(k, NODE_B, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(k), VERDICT_FAILED);
    assert_int_equal(core_app(k)->views[A].verdict_ms, begun_ms);
    core_pass(k, 500);
    says(k, NODE_A, OPINION_UP, 0);
    assert_int_equal(verdict(k), VERDICT_DEGRADED);
    assert_int_equal(core_app(k)->views[A].verdict_ms, begun_ms + 1000);
    core_pass(k, 500);
    says(k, NODE_A, OPINION_GRAY, DATABASE); /* a new accusation begins anew */
    assert_int_equal(core_app(k)->views[A].verdict_ms, begun_ms + 1500);
}

static void a_verdict_that_stands_is_recorded_once(void **state)
{
    struct core *k = *state;
    uint64_t events = k->state.events.last_number;

    assert_accepted(core_renew(k, true), k);
    assert_accepted(core_renew(k, true), k);
    assert_int_equal(k->state.events.last_number, events);
    says(k, NODE_B, OPINION_FAILED, DATABASE);
    assert_true(core_event_says(k, EVENT_VERDICT, "app: site-a is degraded (was up); evidence: database"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_healthy_site_is_up),
        TEST(down_needs_the_lease_to_have_expired),
        TEST(a_revoked_lease_is_not_an_expired_one),
        TEST(one_kind_of_evidence_is_not_enough),
        TEST(the_silence_of_its_node_is_a_kind_of_evidence),
        TEST(a_majority_of_the_voters_outside_must_say_so),
        TEST(absence_of_data_is_not_down),
        TEST(the_opinion_of_a_silent_node_does_not_count),
        TEST(one_that_says_up_outweighs_all_that_say_down),
        TEST(failed_needs_its_own_node_to_agree),
        TEST(failed_needs_a_majority_outside_too),
        TEST(gray_is_when_all_who_object_say_gray),
        TEST(the_standby_site_is_never_down),
        TEST(an_accusation_that_changes_its_word_keeps_its_time),
        TEST(a_verdict_that_stands_is_recorded_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
