/* The end of promises: an expiry proves nothing before somebody whom the holder surely asked says that no promise extends the lease. */
#include "core_fixture.h"

static bool proven(struct core *k)
{
    return certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL);
}

static void an_expiry_proves_nothing_while_a_promise_may_extend_the_lease(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    core_app(k)->lease.promises_ended_index = 0;
    core_app(k)->proof = (struct proof){ 0 };
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_false(proven(k));
    assert_refused(core_assign(k, STEP_SEVER, B), k); /* the standby still receives what is acknowledged */
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_true(certificate_counts(&core_app(k)->proof, CERT_EXPIRED, &core_app(k)->lease));
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
}

static void promises_may_be_over_before_the_lease_has_expired(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k); /* revokes it */
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_false(proven(k));
    assert_accepted(core_expire_alone(k), k);
    assert_true(proven(k));
}

static void only_who_was_surely_asked_ends_promises(void **state)
{
    struct core *k = *state;

    assert_refused(core_promises_ended(k, NODE_B), k);
    core_expect_reason(k, "promises for it may still be given");
    assert_accepted(core_expire_alone(k), k);
    assert_refused(core_promises_ended(k, NODE_A), k); /* the holder itself */
    assert_refused(core_promises_ended(k, NODE_C), k); /* no database there */
    assert_refused(core_promises_ended(k, 0), k);
    core_expect_reason(k, "may go on without a promise");
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_refused(core_promises_ended(k, NODE_B), k);
    core_expect_reason(k, "another node has said so");
}

/* The holder asks whom it knows: a node that became the executor behind its back has promised nothing, and knows of no promise. */
static void an_executor_that_the_holder_may_not_know_ends_no_promises(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = B, .heard = true };
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_accepted(core_executor(k, B, 15), k);
    assert_accepted(core_expire_alone(k), k);
    assert_refused(core_promises_ended(k, 15), k);
    assert_refused(core_promises_ended(k, NODE_B), k); /* nor one that is the executor no more */
    core_expect_reason(k, "may go on without a promise");
    assert_accepted(core_grant(k, A, true), k);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_promises_ended(k, 15), k); /* the holder of that epoch knew it */
}

static void a_site_that_became_eligible_behind_the_holders_back_ends_no_promises(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    assert_accepted(core_expire_alone(k), k);
    assert_refused(core_promises_ended(k, NODE_C), k);
    assert_accepted(core_promises_ended(k, NODE_B), k);
}

static void a_renewal_that_knows_the_new_executor_lets_it_end_promises(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    assert_accepted(core_renew(k, true), k);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_promises_ended(k, NODE_C), k);
}

static void a_renewal_that_knows_the_future_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c = core_command(k, COMMAND_RENEW);

    c->renew = (struct command_renew){
        APP, core_app(k)->lease.epoch, NODE_A, 2000, { true, INSTANCE, k->state.applied_index + 1 }
    };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "which is not before this one");
}

static void a_person_may_vouch_when_nobody_can_end_the_promises(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = B, .heard = true };
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_accepted(core_executor(k, B, 15), k);
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_opinion(k, 15, B, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 1u << GATE_READY), k);
    assert_accepted(core_vouch(k), k);
    assert_true(certificate_counts(&core_app(k)->proof, CERT_OPERATOR, &core_app(k)->lease));
}

/* The node that held the lease may be cut off, and go on with its server by promises of one that is no executor any more. */
static void another_node_at_the_site_is_granted_nothing_before_promises_are_over(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_executor(k, A, 15), k);
    assert_refused(core_grant(k, A, true), k);
    core_expect_reason(k, "the last holder may go on by promises");
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_accepted(core_grant(k, A, true), k);
}

static void the_same_node_is_granted_again_at_once(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_grant(k, A, true), k);
}

/* A second database host at the primary's site: its grant would make the end of *its* lease the proof, and say nothing about the first host. */
static struct member *second_node(struct core *k, site_id site)
{
    k->state.members[4] = (struct member){ .id = 15, .site = site, .heard = true };
    return &k->state.members[4];
}

static void expect_no_grant_to_another_node(struct core *k)
{
    assert_false(proven(k));
    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_executor(k, A, 15), k);
    assert_refused(core_grant(k, A, true), k);
    core_expect_reason(k, "another node held the lease, and nothing proves that its server is closed");
}

static void without_a_proof_no_other_node_of_the_site_is_granted(void **state)
{
    struct core *k = *state;

    (void)second_node(k, A);
    assert_accepted(core_renew(k, false), k); /* break-glass */
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_promises_ended(k, NODE_B), k);
    expect_no_grant_to_another_node(k);
    assert_accepted(core_set(k, SERVICE_DISARM), k); /* the way out that it names */
    assert_accepted(core_grant(k, A, true), k);
}

static void resuming_while_the_holder_is_away_is_no_proof(void **state)
{
    struct core *k = *state;

    (void)second_node(k, A);
    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    assert_accepted(core_renew(k, false), k); /* its guard lets everything pass */
    assert_accepted(core_set(k, SERVICE_RESUME), k);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_promises_ended(k, NODE_B), k);
    expect_no_grant_to_another_node(k);
}

static void a_veto_holds_against_another_node_of_the_site(void **state)
{
    struct core *k = *state;

    (void)second_node(k, A);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_true(proven(k));
    assert_accepted(core_sight(k, NODE_B, k->state.applied_index), k);
    expect_no_grant_to_another_node(k);
}

static void a_site_that_may_have_promised_is_not_dropped(void **state)
{
    struct core *k = *state;
    struct service_config config = core_app(k)->config;

    assert_accepted(core_expire_alone(k), k);
    config.site_count = 1;
    assert_refused(core_configure(k, &config, 1), k);
    core_expect_reason(k, "may go on by promises of a site that is missing");
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_accepted(core_configure(k, &config, 1), k);
}

/* What one host severed, and how far it had come, says nothing about another host's server. */
static void a_severed_server_binds_its_node(void **state)
{
    struct core *k = *state;

    (void)second_node(k, B);
    core_ready_to_promote(k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_refused(core_executor(k, B, 15), k);
    core_expect_reason(k, "was done on its executor's host");
    assert_refused(core_promote(k, B), k);
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(core_app(k)->lease.holder, NODE_B);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_expiry_proves_nothing_while_a_promise_may_extend_the_lease),
        TEST(without_a_proof_no_other_node_of_the_site_is_granted),
        TEST(resuming_while_the_holder_is_away_is_no_proof),
        TEST(a_veto_holds_against_another_node_of_the_site),
        TEST(a_site_that_may_have_promised_is_not_dropped),
        TEST(a_severed_server_binds_its_node),
        TEST(promises_may_be_over_before_the_lease_has_expired),
        TEST(only_who_was_surely_asked_ends_promises),
        TEST(an_executor_that_the_holder_may_not_know_ends_no_promises),
        TEST(a_site_that_became_eligible_behind_the_holders_back_ends_no_promises),
        TEST(a_renewal_that_knows_the_new_executor_lets_it_end_promises),
        TEST(a_renewal_that_knows_the_future_is_refused),
        TEST(a_person_may_vouch_when_nobody_can_end_the_promises),
        TEST(another_node_at_the_site_is_granted_nothing_before_promises_are_over),
        TEST(the_same_node_is_granted_again_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
