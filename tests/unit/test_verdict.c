/* From looks to an opinion, from opinions to a verdict: quorum, kinds of evidence, and what is never `down`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/verdict.h"
#include "tests/unit/core_rig.h"

#define DATABASE ((uint8_t)(1u << KIND_DATABASE))
#define PATH ((uint8_t)(1u << KIND_PATH))

static enum verdict verdict(struct rig *r)
{
    return rig_service(r)->views[SITE_A].verdict;
}

static void an_opinion_is_never_formed_from_one_look(void **unused)
{
    struct timing t = timing_of(PROFILE_METRO);
    struct observer o;

    (void)unused;
    observer_init(&o);
    assert_int_equal(observer_opinion(&o).word, OPINION_UNKNOWN);
    observer_look(&o, LOOK_READ_FRESH, LOOK_OK, &t);
    assert_int_equal(observer_opinion(&o).word, OPINION_UNKNOWN);
    observer_look(&o, LOOK_READ_FRESH, LOOK_OK, &t);
    assert_int_equal(observer_opinion(&o).word, OPINION_UP);
    for (uint32_t i = 1; i < t.probe_fall; i++) {
        observer_look(&o, LOOK_READ_FRESH, LOOK_FAILED, &t);
        assert_int_equal(observer_opinion(&o).word, OPINION_UP);
    }
    observer_look(&o, LOOK_READ_FRESH, LOOK_FAILED, &t);
    assert_int_equal(observer_opinion(&o).word, OPINION_FAILED);
}

static void a_good_look_between_bad_ones_starts_the_count_anew(void **unused)
{
    struct timing t = timing_of(PROFILE_METRO);
    struct observer o;

    (void)unused;
    observer_init(&o);
    for (unsigned i = 0; i < 20; i++)
        observer_look(&o, LOOK_READ_FRESH, i % t.probe_fall == 0 ? LOOK_OK : LOOK_FAILED, &t);
    assert_int_not_equal(observer_opinion(&o).word, OPINION_FAILED);
}

static void it_is_gray_when_it_reads_and_does_not_write_and_up_when_it_writes(void **unused)
{
    struct timing t = timing_of(PROFILE_METRO);
    struct observer o;

    (void)unused;
    observer_init(&o);
    for (uint32_t i = 0; i < t.probe_fall; i++) {
        observer_look(&o, LOOK_READ_FRESH, LOOK_OK, &t);
        observer_look(&o, LOOK_CANARY, LOOK_FAILED, &t);
    }
    assert_int_equal(observer_opinion(&o).word, OPINION_GRAY);
    observer_look(&o, LOOK_CANARY, LOOK_NEUTRAL, &t); /* a closed guard refuses: it says nothing */
    assert_int_equal(observer_opinion(&o).word, OPINION_GRAY);
    for (uint32_t i = 0; i < t.probe_fall; i++) {
        observer_look(&o, LOOK_READ_FRESH, LOOK_FAILED, &t);
        observer_look(&o, LOOK_CANARY, LOOK_OK, &t);
    }
    assert_int_equal(observer_opinion(&o).word, OPINION_UP);
}

static void an_expired_lease_a_majority_and_two_kinds_make_it_down(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    assert_int_equal(verdict(r), VERDICT_UP);
    rig_heard(r, NODE_A, false);
    rig_opinion(r, NODE_B, SITE_A, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(r), VERDICT_DEGRADED); /* one of two */
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(r), VERDICT_DEGRADED); /* its lease is live */
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(verdict(r), VERDICT_DOWN);
    rig_destroy(r);
}

static void one_kind_of_evidence_is_not_enough(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    rig_opinion(r, NODE_A, SITE_A, OPINION_UNKNOWN, 0); /* its node is heard and knows nothing */
    rig_opinion(r, NODE_B, SITE_A, OPINION_FAILED, DATABASE);
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, DATABASE);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(verdict(r), VERDICT_DEGRADED);
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, DATABASE | PATH);
    assert_int_equal(verdict(r), VERDICT_DOWN);
    rig_destroy(r);
}

static void a_positive_sighting_speaks_against_down(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    rig_opinion(r, NODE_B, SITE_A, OPINION_FAILED, DATABASE | PATH);
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, DATABASE | PATH);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(verdict(r), VERDICT_DEGRADED); /* node A still sees it up */
    rig_destroy(r);
}

static void absence_of_data_is_not_down(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    rig_opinion(r, NODE_B, SITE_A, OPINION_FAILED, DATABASE | PATH);
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, DATABASE | PATH);
    rig_heard(r, NODE_A, false);
    rig_heard(r, NODE_C, false);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_not_equal(verdict(r), VERDICT_DOWN); /* one voice of two */
    rig_destroy(r);
}

static void it_is_failed_when_its_own_node_and_a_majority_outside_agree_whatever_its_lease(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    rig_opinion(r, NODE_A, SITE_A, OPINION_FAILED, DATABASE);
    rig_opinion(r, NODE_B, SITE_A, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(r), VERDICT_DEGRADED);
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, DATABASE);
    assert_int_equal(verdict(r), VERDICT_FAILED);
    assert_true(lease_live(&rig_service(r)->lease));
    for (node_id node = NODE_A; node <= NODE_C; node++)
        rig_opinion(r, node, SITE_A, OPINION_GRAY, DATABASE);
    assert_int_equal(verdict(r), VERDICT_GRAY);
    rig_destroy(r);
}

static void a_standby_is_ready_only_while_it_holds_what_this_observer_wrote(void **unused)
{
    struct timing t = timing_of(PROFILE_METRO);
    struct observer o;

    (void)unused;
    observer_init(&o);
    for (uint32_t i = 0; i < t.probe_rise; i++) {
        observer_look(&o, LOOK_READ_FRESH, LOOK_OK, &t);
        observer_read(&o, ROLE_STANDBY, true, 5000, 6000, 2000, &t);
    }
    assert_true(observer_opinion(&o).ready);
    for (uint32_t i = 0; i < t.probe_fall; i++)
        observer_read(&o, ROLE_STANDBY, true, 5000, 9000, 2000, &t);
    assert_false(observer_opinion(&o).ready);
    for (uint32_t i = 0; i < t.probe_rise; i++)
        observer_read(&o, ROLE_STANDBY, true, 9000, -1, 2000, &t); /* the primary is dead: the last write counts */
    assert_true(observer_opinion(&o).ready);
    for (uint32_t i = 0; i < t.probe_fall; i++)
        observer_read(&o, ROLE_PRIMARY, false, 9000, 9000, 2000, &t);
    assert_false(observer_opinion(&o).ready);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opinion_is_never_formed_from_one_look),
        cmocka_unit_test(a_good_look_between_bad_ones_starts_the_count_anew),
        cmocka_unit_test(it_is_gray_when_it_reads_and_does_not_write_and_up_when_it_writes),
        cmocka_unit_test(an_expired_lease_a_majority_and_two_kinds_make_it_down),
        cmocka_unit_test(one_kind_of_evidence_is_not_enough),
        cmocka_unit_test(a_positive_sighting_speaks_against_down),
        cmocka_unit_test(absence_of_data_is_not_down),
        cmocka_unit_test(it_is_failed_when_its_own_node_and_a_majority_outside_agree_whatever_its_lease),
        cmocka_unit_test(a_standby_is_ready_only_while_it_holds_what_this_observer_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
