/* The lease on its holder's side: only an answer of the log to a transmission that is open opens the guard, counted from its own sample. */
#include "holder_fixture.h"

static void a_renewal_is_sampled_sent_and_opens_the_guard(void **state)
{
    struct core *k = *state;
    uint64_t token = holder_transmit(k);
    const struct effect *sent = holder_last(SUBMITTED);

    assert_int_equal(sent->command, COMMAND_RENEW);
    assert_int_equal(sent->token, token);
    assert_int_equal(sent->renew.epoch, holder_epoch(k));
    assert_int_equal(sent->renew.node, NODE_A);
    assert_int_equal(sent->renew.ttl_ms, 2000);
    assert_true(sent->renew.enforcement.enforcing);
    assert_int_equal(sent->renew.enforcement.instance, INSTANCE);
    assert_int_equal(sent->renew.enforcement.known_index, k->state.applied_index);
    assert_int_equal(holder_count(OPENED), 0); /* not before the log has answered */
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 1);
    assert_int_equal(holder_last(OPENED)->instance, INSTANCE);
    assert_int_equal(holder_last(OPENED)->epoch, holder_epoch(k));
    assert_int_equal(holder_last(OPENED)->t0_us, 900); /* the server's own clock, before anything was sent */
    assert_int_equal(holder_last(OPENED)->hold_ms, 1800);
}

static void a_refused_renewal_opens_nothing(void **state)
{
    struct core *k = *state;

    holder_on_outcome(&holder, APP, holder_transmit(k), HOLDER_REFUSED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 0);
}

static void an_answer_with_an_unknown_token_opens_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = holder_transmit(k);

    holder_on_outcome(&holder, APP, token + 1, HOLDER_ACCEPTED, holder_epoch(k));
    holder_on_outcome(&holder, APP, 0, HOLDER_ACCEPTED, holder_epoch(k));
    holder_on_outcome(&holder, APP + 1, token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 0);
}

static void a_duplicate_of_an_answer_opens_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = holder_transmit(k);

    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k));
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 1);
}

static void an_answer_to_an_earlier_life_opens_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = holder_transmit(k);

    holder_begin(NODE_A);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 0);
}

static void an_answer_of_another_epoch_opens_nothing(void **state)
{
    struct core *k = *state;

    holder_on_outcome(&holder, APP, holder_transmit(k), HOLDER_ACCEPTED, holder_epoch(k) + 1);
    assert_int_equal(holder_count(OPENED), 0);
}

static void an_answer_before_the_submission_opens_nothing(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    holder_on_outcome(&holder, APP, holder_last(ASKED)->token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 0);
    holder_on_guard(&holder, &k->state, APP, holder_last(ASKED)->token, &guard); /* and ends nothing */
    assert_int_equal(holder_count(SUBMITTED), 1);
}

static void what_is_opened_is_what_was_sent_whatever_is_configured_since(void **state)
{
    struct core *k = *state;
    uint64_t token = holder_transmit(k);

    core_app(k)->config.timing.ttl_ms = 30000;
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_last(OPENED)->hold_ms, 1800);
}

static void a_guard_that_does_not_answer_is_not_renewed(void **state)
{
    struct core *k = *state;
    uint64_t token;

    (void)holder_tick(&holder, &k->state, now_us);
    token = holder_last(ASKED)->token;
    holder_on_guard(&holder, &k->state, APP, token, NULL);
    holder_on_guard(&holder, &k->state, APP, token, &guard); /* that transmission is over */
    assert_int_equal(holder_count(SUBMITTED), 0);
    guard.instance = 0;
    (void)holder_transmit(k);
    assert_int_equal(holder_count(SUBMITTED), 0);
}

static void a_second_answer_of_the_guard_is_not_sent(void **state)
{
    struct core *k = *state;
    uint64_t token = holder_transmit(k);

    guard.now_us = 99999;
    holder_on_guard(&holder, &k->state, APP, token, &guard);
    holder_on_guard(&holder, &k->state, APP, token + 7, &guard);
    assert_int_equal(holder_count(SUBMITTED), 1);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_last(OPENED)->t0_us, 900);
}

static void an_older_transmission_than_the_ring_holds_is_forgotten(void **state)
{
    struct core *k = *state;
    uint64_t first = holder_transmit(k);

    for (unsigned i = 0; i < HOLDER_SAMPLES_MAX; i++)
        (void)holder_transmit(k);
    holder_on_outcome(&holder, APP, first, HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(OPENED), 0);
}

static void the_token_of_a_free_slot_is_never_given(void **state)
{
    struct core *k = *state;

    holder.last_token = UINT64_MAX;
    assert_int_not_equal(holder_transmit(k), 0);
}

/* --- when --- */

static void renewals_are_sent_each_interval_and_no_more_often(void **state)
{
    struct core *k = *state;

    assert_int_equal(holder_tick(&holder, &k->state, now_us), now_us + 300000);
    (void)holder_tick(&holder, &k->state, now_us + 299999);
    assert_int_equal(holder_count(ASKED), 1);
    (void)holder_tick(&holder, &k->state, now_us + 300000);
    assert_int_equal(holder_count(ASKED), 2);
}

static void a_new_epoch_is_renewed_at_once(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_grant(k, A, true), k);
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(holder_count(ASKED), 2);
}

static void only_the_executor_with_a_server_here_acts(void **state)
{
    struct core *k = *state;

    holder_set_local(&holder, APP, false);
    (void)holder_tick(&holder, &k->state, now_us);
    holder_begin(NODE_C); /* no database there */
    (void)holder_tick(&holder, &k->state, now_us);
    holder_begin(99); /* no member */
    (void)holder_tick(&holder, &k->state, now_us);
    holder_begin(NODE_A);
    core_app(k)->views[A].executor = 15;
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(holder_count(ASKED), 0);
}

static void nothing_is_done_before_an_entry_of_this_life(void **state)
{
    struct core *k = *state;

    holder_act_from(&holder, 0); /* it has started from a snapshot, and has written nothing yet */
    (void)holder_tick(&holder, &k->state, now_us);
    holder_act_from(&holder,
                    k->state.applied_index + 1); /* written, not applied: the state is older than what it did before */
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(effect_count, 0);
    assert_accepted(core_heard(k, NODE_A, true), k);
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(holder_count(ASKED), 1);
}

static void an_answer_of_the_guard_before_an_entry_of_this_life_is_dropped(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    holder_act_from(&holder, k->state.applied_index + 1);
    holder_on_guard(&holder, &k->state, APP, holder_last(ASKED)->token, &guard);
    assert_int_equal(effect_count, 1);
}

static void a_lease_that_was_lost_meanwhile_is_not_renewed(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    holder_on_guard(&holder, &k->state, APP, holder_last(ASKED)->token, &guard);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(SUBMITTED), 0); /* another site is primary */
    assert_int_equal(holder_count(BYPASSED), 0);
}

static void an_answer_of_the_guard_to_a_removed_service_is_dropped(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    core_app(k)->present = false;
    holder_on_guard(&holder, &k->state, APP, holder_last(ASKED)->token, &guard);
    assert_int_equal(effect_count, 1);
}

/* --- asking for a grant --- */

static void the_primarys_node_asks_again_after_an_expiry(void **state)
{
    struct core *k = *state;
    uint64_t token;

    assert_accepted(core_expire(k), k);
    token = holder_transmit(k);
    assert_int_equal(holder_last(SUBMITTED)->command, COMMAND_GRANT);
    assert_int_equal(holder_last(SUBMITTED)->grant.last_epoch, holder_epoch(k));
    assert_int_equal(holder_last(SUBMITTED)->grant.site, A);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k) + 1);
    assert_int_equal(holder_count(OPENED), 0); /* a grant opens nothing: its first renewal does */
}

static void a_server_in_recovery_asks_for_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    guard.in_recovery = true;
    (void)holder_transmit(k);
    assert_int_equal(holder_count(SUBMITTED), 0);
}

static void a_server_in_recovery_keeps_the_lease_that_it_was_given(void **state)
{
    struct core *k = *state;

    guard.in_recovery = true; /* promoted by the log, and not yet by PostgreSQL */
    (void)holder_transmit(k);
    assert_int_equal(holder_last(SUBMITTED)->command, COMMAND_RENEW);
}

static void nothing_is_asked_while_an_operation_ends_the_epoch(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(SUBMITTED), 0);
    assert_accepted(core_abort(k), k);
    (void)holder_transmit(k);
    assert_int_equal(holder_last(SUBMITTED)->command, COMMAND_GRANT);
}

/* --- what is enforced --- */

static void a_sample_from_before_a_switch_is_dropped(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    holder_on_guard(&holder, &k->state, APP, holder_last(ASKED)->token, &guard);
    assert_int_equal(holder_count(SUBMITTED), 0);
}

static void first_the_entry_then_the_bypass(void **state)
{
    struct core *k = *state;

    (void)holder_transmit(k);
    assert_int_equal(holder_count(BYPASSED), 0);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    (void)holder_transmit(k);
    assert_true(holder_last(BYPASSED)->on);
    assert_int_equal(holder_last(BYPASSED)->epoch, holder_epoch(k));
    assert_int_equal(holder_last(BYPASSED)->instance, INSTANCE);
    guard.bypass = true;
    guard.enforcing = false;
    (void)holder_transmit(k);
    assert_int_equal(holder_count(BYPASSED), 1); /* it is so */
}

static void first_the_end_of_the_bypass_then_a_report_of_it(void **state)
{
    struct core *k = *state;

    guard.bypass = true; /* from before, and the service is armed */
    (void)holder_transmit(k);
    assert_false(holder_last(BYPASSED)->on);
    assert_false(holder_last(SUBMITTED)->renew.enforcement.enforcing);
    guard.bypass = false;
    (void)holder_transmit(k);
    assert_true(holder_last(SUBMITTED)->renew.enforcement.enforcing);
    assert_int_equal(holder_count(BYPASSED), 1);
}

static void the_bypass_is_followed_without_a_lease_too(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    (void)holder_transmit(k);
    assert_true(holder_last(BYPASSED)->on);
}

static void a_guard_in_bypass_never_counts_as_enforcing(void **state)
{
    struct core *k = *state;

    guard.bypass = true;
    guard.enforcing = true;
    (void)holder_transmit(k);
    assert_false(holder_last(SUBMITTED)->renew.enforcement.enforcing);
}

static void a_site_that_is_not_the_primary_has_no_bypass(void **state)
{
    struct core *k = *state;

    holder_begin(NODE_B);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(BYPASSED), 0);
    guard.bypass = true; /* left from when it was one */
    (void)holder_transmit(k);
    assert_false(holder_last(BYPASSED)->on);
    assert_int_equal(holder_count(SUBMITTED), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, holder_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_renewal_is_sampled_sent_and_opens_the_guard),
        TEST(a_refused_renewal_opens_nothing),
        TEST(an_answer_with_an_unknown_token_opens_nothing),
        TEST(a_duplicate_of_an_answer_opens_nothing),
        TEST(an_answer_to_an_earlier_life_opens_nothing),
        TEST(an_answer_of_another_epoch_opens_nothing),
        TEST(an_answer_before_the_submission_opens_nothing),
        TEST(what_is_opened_is_what_was_sent_whatever_is_configured_since),
        TEST(a_guard_that_does_not_answer_is_not_renewed),
        TEST(a_second_answer_of_the_guard_is_not_sent),
        TEST(an_older_transmission_than_the_ring_holds_is_forgotten),
        TEST(the_token_of_a_free_slot_is_never_given),
        TEST(renewals_are_sent_each_interval_and_no_more_often),
        TEST(a_new_epoch_is_renewed_at_once),
        TEST(only_the_executor_with_a_server_here_acts),
        TEST(nothing_is_done_before_an_entry_of_this_life),
        TEST(an_answer_of_the_guard_before_an_entry_of_this_life_is_dropped),
        TEST(a_lease_that_was_lost_meanwhile_is_not_renewed),
        TEST(an_answer_of_the_guard_to_a_removed_service_is_dropped),
        TEST(the_primarys_node_asks_again_after_an_expiry),
        TEST(a_server_in_recovery_asks_for_nothing),
        TEST(a_server_in_recovery_keeps_the_lease_that_it_was_given),
        TEST(nothing_is_asked_while_an_operation_ends_the_epoch),
        TEST(a_sample_from_before_a_switch_is_dropped),
        TEST(first_the_entry_then_the_bypass),
        TEST(first_the_end_of_the_bypass_then_a_report_of_it),
        TEST(the_bypass_is_followed_without_a_lease_too),
        TEST(a_guard_in_bypass_never_counts_as_enforcing),
        TEST(a_site_that_is_not_the_primary_has_no_bypass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
