/* The right to accept writes as the log moves it: grant, renewal, expiry, proof, sighting, and the promotion itself. */
#include "core_fixture.h"

static bool proven(struct core *k)
{
    return certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL);
}

/* --- the first grant --- */

static void the_first_grant_goes_to_the_configured_primary(void **state)
{
    struct core *k = *state;

    assert_accepted(core_ready(k, B, true), k);
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_refused(core_grant(k, B, true), k);
    core_expect_reason(k, "the configuration calls primary");
    assert_accepted(core_grant(k, A, true), k);
    assert_int_equal(k->outcome.value, core_app(k)->lease.epoch);
    assert_int_equal(core_app(k)->primary, A);
}

static void the_first_grant_needs_the_others_in_recovery(void **state)
{
    struct core *k = *state;

    assert_refused(core_grant(k, A, true), k); /* nobody has looked */
    core_expect_reason(k, "not seen in recovery");
    assert_accepted(core_opinion(k, NODE_B, B, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_refused(core_grant(k, A, true), k);
    assert_accepted(core_opinion(k, NODE_C, B, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_refused(core_grant(k, A, true), k); /* only its own node counts */
    assert_accepted(core_opinion(k, NODE_B, B, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_refused(core_grant(k, A, true), k); /* and what it says now */
    core_expect_reason(k, "no coordinator in contact");
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_accepted(core_grant(k, A, true), k);
}

/* --- later grants --- */

static void a_grant_needs_the_sites_executor(void **state)
{
    struct core *k = *state;
    struct command *c;

    assert_accepted(core_expire(k), k);
    c = core_command(k, COMMAND_GRANT);
    c->grant = (struct command_grant){
        APP, A, NODE_B, core_app(k)->lease.epoch, { true, INSTANCE, core_app(k)->enforced_index }
    };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "not the site's executor");
    c->grant.node = 0;
    assert_refused(core_apply(k), k);
    c->grant.site = SITE_NONE;
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "no eligible site");
}

static void a_late_duplicate_of_a_grant_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c;
    epoch_t epoch;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_grant(k, A, true), k);
    epoch = core_app(k)->lease.epoch;
    assert_accepted(core_expire(k), k);
    c = core_command(k, COMMAND_GRANT);
    c->grant = (struct command_grant){ APP, A, NODE_A, epoch - 1, { true, INSTANCE, core_app(k)->enforced_index } };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "the log has moved on");
}

static void a_grant_over_a_live_lease_is_refused(void **state)
{
    struct core *k = *state;

    assert_refused(core_grant(k, A, true), k);
    core_expect_reason(k, "a lease is live");
}

static void another_site_is_granted_nothing_without_a_promotion(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_true(proven(k));
    assert_refused(core_grant(k, B, true), k);
    core_expect_reason(k, "only a promotion moves the right");
}

static void a_site_whose_epoch_is_being_ended_is_granted_nothing(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_grant(k, A, true), k);
    core_expect_reason(k, "an operation is ending the old epoch");
}

static void a_server_that_enforces_nothing_is_granted_nothing(void **state)
{
    struct core *k = *state;

    core_app(k)->lease.enforcement.enforcing = false; /* nothing to confess */
    assert_accepted(core_expire(k), k);
    assert_refused(core_grant(k, A, false), k);
    core_expect_reason(k, "lease_guard is not enforcing");
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_accepted(core_grant(k, A, false), k); /* it is not meant to */
    assert_false(core_app(k)->lease.enforcement.enforcing);
}

static void a_grant_voids_every_certificate_and_the_sighting(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_sight(k, NODE_C, k->state.applied_index), k);
    for (int kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++)
        certificate_give(&core_app(k)->proof, (enum certificate_kind)kind, core_app(k)->lease.epoch, 1);
    assert_accepted(core_grant(k, A, true), k);
    for (int kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++)
        assert_int_equal(core_app(k)->proof.kinds[kind].epoch, 0);
    assert_int_equal(core_app(k)->proof.veto.epoch, 0);
}

static void the_epoch_rises_with_each_grant(void **state)
{
    struct core *k = *state;
    epoch_t epoch = core_app(k)->lease.epoch;

    for (unsigned i = 1; i <= 3; i++) {
        assert_accepted(core_expire(k), k);
        assert_accepted(core_grant(k, A, true), k);
        assert_int_equal(core_app(k)->lease.epoch, epoch + i);
    }
}

static void a_site_that_is_back_withdraws_what_was_only_proposed(void **state)
{
    struct core *k = *state;

    core_app(k)->config.mode = MODE_PROPOSE;
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_int_equal(core_operation(k)->state, OPERATION_PROPOSED);
    assert_accepted(core_grant(k, A, true), k);
    assert_int_equal(core_operation(k)->state, OPERATION_ABORTED);
    assert_int_equal(k->state.incident_count, 1);
    assert_int_equal(k->state.incidents[0].state, OPERATION_ABORTED);
}

static void a_site_whose_guard_was_opened_by_break_glass_says_so(void **state)
{
    struct core *k = *state;
    epoch_t epoch = core_app(k)->lease.epoch;

    assert_accepted(core_expire(k), k);
    assert_true(proven(k));
    assert_accepted(core_grant(k, A, false), k);
    assert_int_equal(core_app(k)->lease.epoch, epoch); /* nothing was granted */
    assert_int_equal(core_app(k)->lease.state, LEASE_EXPIRED);
    assert_false(proven(k));
    assert_true(core_event_says(k, EVENT_ALARM, "reports that its lease_guard enforces nothing"));
}

static void a_report_of_an_old_setting_confesses_nothing(void **state)
{
    struct core *k = *state;
    struct command *c;

    assert_accepted(core_expire(k), k);
    c = core_command(k, COMMAND_GRANT);
    c->grant = (struct command_grant){
        APP, A, NODE_A, core_app(k)->lease.epoch, { false, INSTANCE, core_app(k)->enforced_index - 1 }
    };
    assert_refused(core_apply(k), k);
    assert_true(proven(k));
}

/* --- renewal and expiry --- */

static void a_renewal_answers_with_its_epoch(void **state)
{
    struct core *k = *state;

    assert_accepted(core_renew(k, true), k);
    assert_int_equal(k->outcome.value, core_app(k)->lease.epoch);
    assert_int_equal(core_app(k)->lease.renewed_index, k->state.applied_index);
}

static void a_ttl_out_of_bounds_is_refused(void **state)
{
    struct core *k = *state;
    epoch_t epoch = core_app(k)->lease.epoch;

    assert_refused(core_renew_as(k, NODE_A, epoch, INSTANCE, 0), k);
    assert_refused(core_renew_as(k, NODE_A, epoch, INSTANCE, TTL_MS_MAX + 1), k);
    assert_accepted(core_renew_as(k, NODE_A, epoch, INSTANCE, TTL_MS_MAX), k);
}

static void a_renewal_of_another_epoch_or_node_is_refused(void **state)
{
    struct core *k = *state;
    epoch_t epoch = core_app(k)->lease.epoch;

    assert_refused(core_renew_as(k, NODE_A, epoch - 1, INSTANCE, 2000), k);
    assert_refused(core_renew_as(k, NODE_A, epoch + 1, INSTANCE, 2000), k);
    assert_refused(core_renew_as(k, NODE_B, epoch, INSTANCE, 2000), k);
}

static void a_report_from_before_a_disarm_says_nothing_after_it(void **state)
{
    struct core *k = *state;
    struct command *c;
    uint64_t before = k->state.applied_index;

    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    c = core_command(k, COMMAND_RENEW);
    c->renew = (struct command_renew){
        APP, core_app(k)->lease.epoch, NODE_A, 2000, { true, INSTANCE, before }
    }; /* "enforcing", and delayed */
    assert_accepted(core_apply(k), k);
    assert_false(core_app(k)->lease.enforcement.enforcing);
    assert_accepted(core_expire(k), k);
    assert_false(proven(k));
    assert_true(core_event_says(k, EVENT_ALARM, "the expiry proves nothing"));
}

static void a_report_made_while_nothing_is_enforced_is_not_believed(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    assert_accepted(core_renew(k, true), k);
    assert_false(core_app(k)->lease.enforcement.enforcing);
    assert_accepted(core_set(k, SERVICE_RESUME), k);
    assert_false(core_app(k)->lease.enforcement.enforcing);
    assert_accepted(core_renew(k, true), k);
    assert_true(core_app(k)->lease.enforcement.enforcing);
}

static void an_expiry_that_names_an_older_renewal_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c;
    uint64_t older = core_app(k)->lease.renewed_index;

    assert_accepted(core_renew(k, true), k);
    c = core_command(k, COMMAND_LEASE_EXPIRED);
    c->lease_expired = (struct command_lease_expired){ APP, core_app(k)->lease.epoch, older };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "ordered by the log");
    assert_true(lease_live(&core_app(k)->lease));
}

static void an_expiry_after_an_enforced_renewal_is_proof(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_true(certificate_counts(&core_app(k)->proof, CERT_EXPIRED, &core_app(k)->lease));
}

static void only_the_last_renewals_report_counts(void **state)
{
    struct core *k = *state;

    assert_accepted(core_renew(k, false), k);
    assert_true(core_event_says(k, EVENT_ALARM, "NOT enforced"));
    assert_accepted(core_expire(k), k);
    assert_false(proven(k));
}

/* --- sightings --- */

static void a_write_that_began_before_the_expiry_was_applied_is_no_sighting(void **state)
{
    struct core *k = *state;

    assert_refused(core_sight(k, NODE_C, k->state.applied_index), k); /* the lease is live */
    assert_accepted(core_expire(k), k);
    assert_refused(core_sight(k, NODE_C, core_app(k)->lease.promises_ended_index - 1), k);
    assert_accepted(core_sight(k, NODE_C, core_app(k)->lease.promises_ended_index), k);
    assert_int_equal(core_app(k)->proof.veto.seen_by, NODE_C);
    assert_true(core_event_says(k, EVENT_ALARM, "enforcement is broken there"));
}

static void a_write_while_nothing_is_enforced_is_no_sighting(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_accepted(core_expire(k), k);
    assert_refused(core_sight(k, NODE_C, k->state.applied_index), k);
}

static void the_veto_blocks_expired_and_a_later_agent_lifts_it(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_sight(k, NODE_C, core_app(k)->lease.promises_ended_index), k);
    assert_refused(core_promote(k, B), k);
    core_expect_reason(k, "no certificate");
    assert_accepted(core_heard(k, NODE_A, true), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(core_operation(k)->certificate, CERT_AGENT);
}

static void a_sighting_of_an_epoch_that_is_over_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_grant(k, A, true), k);
    assert_accepted(core_expire(k), k);
    c = core_command(k, COMMAND_SIGHTING);
    c->sighting = (struct command_sighting){ APP, A, core_app(k)->lease.epoch - 1, NODE_C, k->state.applied_index };
    assert_refused(core_apply(k), k);
}

/* --- a person vouches --- */

static void a_person_is_not_asked_while_waiting_gives_proof(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_refused(core_vouch(k), k);
    core_expect_reason(k, "waiting for at most 2000 ms gives proof by itself");
    assert_false(proven(k));
}

static void a_person_may_vouch_when_waiting_proves_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(core_renew(k, false), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_refused(core_vouch(k), k);
    core_expect_reason(k, "node b1 has yet to say that its promises are over");
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_accepted(core_vouch(k), k);
    assert_true(certificate_counts(&core_app(k)->proof, CERT_OPERATOR, &core_app(k)->lease));
    assert_true(core_event_says(k, EVENT_ALARM, "test vouches that site-a is fenced"));
}

static void a_person_may_vouch_against_a_sighting(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_sight(k, NODE_C, core_app(k)->lease.promises_ended_index), k);
    assert_false(proven(k));
    assert_accepted(core_vouch(k), k);
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(core_operation(k)->certificate, CERT_OPERATOR);
}

static void nobody_vouches_outside_a_running_operation(void **state)
{
    struct core *k = *state;

    core_app(k)->config.mode = MODE_PROPOSE;
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_vouch(k), k);
    assert_accepted(core_abort(k), k);
    assert_refused(core_vouch(k), k);
}

/* --- the point of no return --- */

static void promote_is_refused_without_a_certificate(void **state)
{
    struct core *k = *state;

    assert_accepted(core_renew(k, false), k); /* its expiry will prove nothing */
    core_ready_to_promote(k);
    assert_refused(core_promote(k, B), k);
    core_expect_reason(k, "no certificate");
    assert_int_equal(core_app(k)->primary, A);
}

static void promote_is_refused_for_another_site_than_the_candidate(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_refused(core_promote(k, C), k);
    assert_refused(core_promote(k, A), k);
    assert_refused(core_promote(k, SITE_NONE), k);
    core_expect_reason(k, "not the candidate");
}

static void promote_is_refused_when_no_candidate_is_severed(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_promote(k, B), k);
    assert_refused(core_promote(k, SITE_NONE), k);
}

static void promote_of_another_epoch_or_operation_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c;

    core_ready_to_promote(k);
    c = core_command(k, COMMAND_PROMOTE);
    c->promote = (struct command_promote){ core_operation(k)->id, core_operation(k)->old_epoch + 1, B };
    assert_refused(core_apply(k), k);
    c->promote = (struct command_promote){ core_operation(k)->id + 1, core_operation(k)->old_epoch, B };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "there is no active operation");
}

static void a_promotion_is_one_entry_with_a_new_epoch_and_its_lease(void **state)
{
    struct core *k = *state;
    epoch_t epoch;

    core_ready_to_promote(k);
    epoch = core_app(k)->lease.epoch;
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(core_app(k)->primary, B);
    assert_true(lease_live(&core_app(k)->lease));
    assert_int_equal(core_app(k)->lease.site, B);
    assert_int_equal(core_app(k)->lease.holder, NODE_B);
    assert_int_equal(core_app(k)->lease.epoch, epoch + 1);
    assert_int_equal(core_app(k)->lease.instance_count, 0); /* nothing is open there yet */
    assert_int_equal(k->outcome.value, epoch + 1);
    assert_int_equal(core_operation(k)->certificate, CERT_EXPIRED);
    for (int kind = 0; kind < CERTIFICATE_KIND_COUNT; kind++)
        assert_int_equal(core_app(k)->proof.kinds[kind].epoch, 0);
    assert_refused(core_promote(k, B), k);                              /* a late duplicate */
    assert_refused(core_renew_as(k, NODE_A, epoch, INSTANCE, 2000), k); /* the old primary's */
    assert_refused(core_grant(k, A, true), k);
}

static void a_target_that_dies_right_after_its_promotion_is_proven_by_its_expiry(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    assert_accepted(core_expire(k), k);
    assert_true(certificate_counts(&core_app(k)->proof, CERT_EXPIRED, &core_app(k)->lease));
}

#define BARE(name) cmocka_unit_test_setup_teardown(name, core_setup_bare, core_teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE(the_first_grant_goes_to_the_configured_primary),
        BARE(the_first_grant_needs_the_others_in_recovery),
        TEST(a_grant_needs_the_sites_executor),
        TEST(a_late_duplicate_of_a_grant_is_refused),
        TEST(a_grant_over_a_live_lease_is_refused),
        TEST(another_site_is_granted_nothing_without_a_promotion),
        TEST(a_site_whose_epoch_is_being_ended_is_granted_nothing),
        TEST(a_server_that_enforces_nothing_is_granted_nothing),
        TEST(a_grant_voids_every_certificate_and_the_sighting),
        TEST(the_epoch_rises_with_each_grant),
        TEST(a_site_that_is_back_withdraws_what_was_only_proposed),
        TEST(a_site_whose_guard_was_opened_by_break_glass_says_so),
        TEST(a_report_of_an_old_setting_confesses_nothing),
        TEST(a_renewal_answers_with_its_epoch),
        TEST(a_ttl_out_of_bounds_is_refused),
        TEST(a_renewal_of_another_epoch_or_node_is_refused),
        TEST(a_report_from_before_a_disarm_says_nothing_after_it),
        TEST(a_report_made_while_nothing_is_enforced_is_not_believed),
        TEST(an_expiry_that_names_an_older_renewal_is_refused),
        TEST(an_expiry_after_an_enforced_renewal_is_proof),
        TEST(only_the_last_renewals_report_counts),
        TEST(a_write_that_began_before_the_expiry_was_applied_is_no_sighting),
        TEST(a_write_while_nothing_is_enforced_is_no_sighting),
        TEST(the_veto_blocks_expired_and_a_later_agent_lifts_it),
        TEST(a_sighting_of_an_epoch_that_is_over_is_refused),
        TEST(a_person_is_not_asked_while_waiting_gives_proof),
        TEST(a_person_may_vouch_when_waiting_proves_nothing),
        TEST(a_person_may_vouch_against_a_sighting),
        TEST(nobody_vouches_outside_a_running_operation),
        TEST(promote_is_refused_without_a_certificate),
        TEST(promote_is_refused_for_another_site_than_the_candidate),
        TEST(promote_is_refused_when_no_candidate_is_severed),
        TEST(promote_of_another_epoch_or_operation_is_refused),
        TEST(a_promotion_is_one_entry_with_a_new_epoch_and_its_lease),
        TEST(a_target_that_dies_right_after_its_promotion_is_proven_by_its_expiry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
