/* Operations as the log moves them: start, approval, abort, steps, what replaces what. */
#include "core_fixture.h"

#define BIT(gate) (1u << (gate))

static bool proven(struct core *k)
{
    return certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL);
}

/* The open attempt's result, to be spoilt in one field. */
static struct command_step_result *result_of(struct core *k, enum step step, site_id site)
{
    uint8_t index = core_run(k, step, site);
    const struct step_run *run = &core_operation(k)->runs[index];
    struct command *c = core_command(k, COMMAND_STEP_RESULT);

    c->step_result = (struct command_step_result){ .operation = core_operation(k)->id,
                                                   .run = index,
                                                   .attempt = run->attempt,
                                                   .epoch = run->epoch,
                                                   .node = run->node };
    c->step_result.result.ok = true;
    c->step_result.result.position = (struct position){ .known = true, .timeline = 1, .lsn = 7 };
    return &c->step_result;
}

/* --- start --- */

static void a_failover_starts_only_on_an_accusation(void **state)
{
    struct core *k = *state;

    assert_refused(core_start(k, OPERATION_FAILOVER, B, 0), k);
    core_expect_reason(k, "not down, failed or gray");
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_int_equal(k->outcome.value, k->state.applied_index);
    assert_int_equal(core_operation(k)->id, k->state.applied_index);
}

static void a_gate_that_says_no_is_named_with_its_reason(void **state)
{
    struct core *k = *state;

    assert_accepted(core_ready(k, B, false), k);
    core_lose_a(k);
    assert_refused(core_start(k, OPERATION_FAILOVER, B, BIT(GATE_READY)), k); /* nobody overrides for the leader */
    core_expect_reason(k, "gate ready of app: site-b was not ready");
    assert_int_equal(k->outcome.value, BIT(GATE_READY));
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, BIT(GATE_READY)), k);
    assert_int_equal(core_operation(k)->overrides, BIT(GATE_READY));
}

static void a_gate_that_cannot_be_forced_says_so(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_refused(core_start(k, OPERATION_PROMOTE, B, ~0u), k);
    core_expect_reason(k, "(cannot be forced)");
    assert_accepted(core_opinion(k, NODE_B, B, OPINION_UNKNOWN, ROLE_UNKNOWN, 0),
                    k); /* a gate before it says no, too */
    assert_refused(core_start(k, OPERATION_PROMOTE, B, 0), k);
    core_expect_reason(k, "coordctl arm app (cannot be forced)");
}

static void a_start_that_the_log_has_overtaken_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c;

    core_lose_a(k);
    c = core_command(k, COMMAND_OPERATION_START);
    c->operation_start =
        (struct command_operation_start){ .service = APP, .from = A, .to = B, .epoch = core_app(k)->lease.epoch - 1 };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "the epoch is over");
    c->operation_start.epoch++;
    c->operation_start.from = B;
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "the primary is another site now");
}

static void a_service_without_a_primary_is_not_moved(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_ARM), k);
    assert_accepted(core_ready(k, B, true), k);
    assert_refused(core_start(k, OPERATION_PROMOTE, B, 0), k);
    core_expect_reason(k, "no primary yet");
}

static void a_start_revokes_the_lease(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED);
    assert_refused(core_renew(k, true), k);
    assert_false(proven(k)); /* which proves nothing yet: the count runs on */
    assert_accepted(core_expire(k), k);
    assert_true(proven(k));
}

static void a_duplicate_start_is_refused(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_start(k, OPERATION_FAILOVER, B, 0), k);
    core_expect_reason(k, "gate operation");
}

/* --- propose and approve --- */

static void propose(struct core *k)
{
    core_app(k)->config.mode = MODE_PROPOSE;
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_int_equal(core_operation(k)->state, OPERATION_PROPOSED);
}

static void a_proposal_touches_nothing(void **state)
{
    struct core *k = *state;

    core_app(k)->config.mode = MODE_PROPOSE;
    for (node_id n = NODE_A; n <= NODE_C; n++)
        assert_accepted(core_opinion(k, n, A, OPINION_GRAY, ROLE_PRIMARY, 1), k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_int_equal(core_operation(k)->run_count, 0);
    assert_true(lease_live(&core_app(k)->lease));
    assert_accepted(core_renew(k, true), k);
    assert_refused(core_promote(k, B), k);
    assert_accepted(core_approve(k), k);
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED);
    assert_int_equal(core_operation(k)->state, OPERATION_RUNNING);
    assert_refused(core_approve(k), k);
}

static void a_promotion_by_hand_is_not_proposed(void **state)
{
    struct core *k = *state;

    core_app(k)->config.mode = MODE_PROPOSE;
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_int_equal(core_operation(k)->state, OPERATION_RUNNING);
}

static void an_approval_asks_the_gates_again(void **state)
{
    struct core *k = *state;

    propose(k);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_refused(core_approve(k), k);
    core_expect_reason(k, "gate armed");
    assert_accepted(core_set(k, SERVICE_ARM), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_refused(core_approve(k), k);
    core_expect_reason(k, "gate target");
    assert_accepted(core_heard(k, NODE_B, true), k);
    assert_accepted(core_approve(k), k);
    assert_false(proven(k)); /* what was enforced before the disarm is not known any more */
}

static void a_withdrawn_proposal_is_kept_as_an_incident(void **state)
{
    struct core *k = *state;

    propose(k);
    assert_accepted(core_abort(k), k);
    assert_int_equal(core_operation(k)->state, OPERATION_ABORTED);
    assert_int_equal(k->state.incident_count, 1);
    assert_refused(core_approve(k), k);
}

/* --- abort --- */

static void abort_voids_certificates_before_anything_is_undone(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_true(proven(k));
    assert_accepted(core_abort(k), k);
    assert_false(proven(k));
    assert_int_equal(core_operation(k)->state, OPERATION_UNDOING);
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_RECONNECT, B)].state, RUN_PENDING);
    assert_refused(core_promote(k, B), k);
    assert_accepted(core_grant(k, A, true), k); /* a healthy primary does not wait for the undoing */
}

static void after_the_point_of_no_return_there_is_no_abort(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    assert_refused(core_abort(k), k);
    core_expect_reason(k, "past the point of no return");
}

static void an_operation_after_an_aborted_one_needs_its_own_proof(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    certificate_give(&core_app(k)->proof, CERT_AGENT, core_app(k)->lease.epoch, k->state.applied_index);
    assert_accepted(core_abort(k), k);
    assert_accepted(core_assign(k, STEP_RECONNECT, B), k);
    assert_accepted(core_done(k, STEP_RECONNECT, B), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_false(certificate_counts(&core_app(k)->proof, CERT_AGENT, &core_app(k)->lease));
    /* The lease ran out under enforcement, and nothing was granted since. */
    assert_true(certificate_counts(&core_app(k)->proof, CERT_EXPIRED, &core_app(k)->lease));
}

static void a_fence_that_ends_after_the_abort_proves_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_abort(k), k);
    assert_refused(core_done(k, STEP_FENCE, A), k);
    assert_false(proven(k));
}

/* --- steps --- */

static void a_stale_step_result_is_refused(void **state)
{
    struct core *k = *state;
    struct command_step_result *r;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    r = result_of(k, STEP_SEVER, B);
    assert_refused(core_apply(k), k); /* nothing is open */
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    r = result_of(k, STEP_SEVER, B);
    r->attempt++;
    assert_refused(core_apply(k), k);
    r = result_of(k, STEP_SEVER, B);
    r->attempt--;
    assert_refused(core_apply(k), k);
    r = result_of(k, STEP_SEVER, B);
    r->epoch++;
    assert_refused(core_apply(k), k);
    r = result_of(k, STEP_SEVER, B);
    r->node = NODE_C;
    assert_refused(core_apply(k), k);
    r = result_of(k, STEP_SEVER, B);
    r->operation++;
    assert_refused(core_apply(k), k);
    r = result_of(k, STEP_SEVER, B);
    r->run = RUNS_MAX - 1;
    assert_refused(core_apply(k), k);
    (void)result_of(k, STEP_SEVER, B);
    assert_accepted(core_apply(k), k);
    (void)result_of(k, STEP_SEVER, B);
    assert_refused(core_apply(k), k); /* a duplicate */
}

static void the_leader_reports_no_success_for_a_silent_node(void **state)
{
    struct core *k = *state;
    struct command_step_result *r;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    r = result_of(k, STEP_SEVER, B);
    r->node = 0;
    assert_refused(core_apply(k), k);
    r = result_of(k, STEP_SEVER, B);
    r->node = 0;
    r->result.ok = false;
    assert_accepted(core_apply(k), k);
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_SEVER, B)].state, RUN_PENDING);
}

static void a_step_is_assigned_to_its_node_once_and_when_due(void **state)
{
    struct core *k = *state;
    struct command *c;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    c = core_command(k, COMMAND_STEP_ASSIGN);
    c->step_assign = (struct command_step_assign){ core_operation(k)->id, core_run(k, STEP_SEVER, B), 1, NODE_C };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "not the executor of site-b");
    c->step_assign.node = 0;
    assert_refused(core_apply(k), k);
    c->step_assign.node = NODE_B;
    c->step_assign.attempt = 2;
    assert_refused(core_apply(k), k);
    c->step_assign.attempt = 1;
    assert_accepted(core_apply(k), k);
    assert_refused(core_apply(k), k); /* a duplicate */
    c->step_assign.attempt = 2;
    assert_refused(core_apply(k), k); /* the first is open */
}

static void a_sever_brings_a_position(void **state)
{
    struct core *k = *state;
    struct command_step_result *r;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    r = result_of(k, STEP_SEVER, B);
    r->result.position.known = false;
    assert_accepted(core_apply(k), k); /* recorded, as a failure */
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_SEVER, B)].state, RUN_PENDING);
    assert_true(core_event_says(k, EVENT_STEP, "it brought no position"));
}

static void agent_certificate_needs_every_instance(void **state)
{
    struct core *k = *state;
    struct command_step_result *r;
    epoch_t epoch = core_app(k)->lease.epoch;

    assert_accepted(core_renew_as(k, NODE_A, epoch, 0xb2, 2000), k); /* the server was started anew */
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    r = result_of(k, STEP_FENCE, A);
    r->result.instance_count = 2;
    r->result.instances[0] = 0xb2;
    r->result.instances[1] = 0xc3;
    assert_accepted(core_apply(k), k);
    assert_false(proven(k));
    assert_true(core_event_says(k, EVENT_STEP, "does not speak of every server"));
    core_pass(k, 60000);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    assert_true(certificate_counts(&core_app(k)->proof, CERT_AGENT, &core_app(k)->lease));
}

static void agent_certificate_is_the_holders_alone(void **state)
{
    struct core *k = *state;
    struct step_run *run;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    run = &core_operation(k)->runs[core_run(k, STEP_FENCE, A)];
    run->node = 15; /* another host of the site: its servers are others */
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    assert_int_equal(run->state, RUN_PENDING);
    assert_false(proven(k));
}

static void safety_steps_cannot_be_skipped(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_skip(k, STEP_SEVER), k);
    core_expect_reason(k, "safety step");
    assert_refused(core_skip(k, STEP_FENCE), k);
    assert_refused(core_skip(k, STEP_PROMOTE), k);
    assert_refused(core_skip(k, STEP_COUNT), k);
    assert_refused(core_skip(k, STEP_DNS), k);
    core_expect_reason(k, "no run of step dns is open");
}

static void carry_to_the_canary(struct core *k)
{
    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    assert_accepted(core_assign(k, STEP_PROMOTE, B), k);
    assert_accepted(core_done(k, STEP_PROMOTE, B), k);
    assert_accepted(core_assign(k, STEP_CANARY, B), k);
    assert_accepted(core_done(k, STEP_CANARY, B), k);
}

static void an_operation_ends_with_its_last_step(void **state)
{
    struct core *k = *state;
    static const enum step rest[] = { STEP_CHECKPOINT, STEP_DNS, STEP_DEPLOY, STEP_VERIFY };

    carry_to_the_canary(k);
    for (unsigned i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        assert_int_equal(core_operation(k)->state, OPERATION_PROMOTED);
        assert_accepted(core_assign(k, rest[i], B), k);
        assert_accepted(core_done(k, rest[i], B), k);
    }
    assert_int_equal(core_operation(k)->state, OPERATION_DONE);
    assert_int_equal(k->state.incident_count, 1);
    assert_int_equal(k->state.incidents[0].id, core_operation(k)->id);
    assert_int_equal(core_app(k)->last_failover_ms, core_operation(k)->started_ms);
}

static void a_skipped_step_counts_as_ended_and_alarms(void **state)
{
    struct core *k = *state;

    carry_to_the_canary(k);
    assert_accepted(core_skip(k, STEP_DNS), k);
    assert_true(core_event_says(k, EVENT_ALARM, "step dns at site-b skipped by test"));
    assert_accepted(core_skip(k, STEP_DEPLOY), k);
    assert_accepted(core_skip(k, STEP_CHECKPOINT), k);
    assert_int_equal(core_operation(k)->state, OPERATION_PROMOTED);
    assert_accepted(core_skip(k, STEP_VERIFY), k);
    assert_int_equal(core_operation(k)->state, OPERATION_DONE);
}

static void a_result_of_a_skipped_attempt_is_refused(void **state)
{
    struct core *k = *state;

    carry_to_the_canary(k);
    assert_accepted(core_assign(k, STEP_DNS, B), k);
    assert_accepted(core_skip(k, STEP_DNS), k);
    assert_refused(core_done(k, STEP_DNS, B), k);
}

static void a_promotion_by_hand_causes_no_lockout(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_accepted(core_done(k, STEP_SEVER, B), k);
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(core_app(k)->last_failover_ms, 0);
}

/* --- what is forced over a dead target --- */

static void a_promotion_whose_target_died_is_given_up_only_by_force(void **state)
{
    struct core *k = *state;
    operation_id first;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    first = core_operation(k)->id;
    assert_accepted(core_assign(k, STEP_PROMOTE, B), k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_accepted(core_heard(k, NODE_A, true), k);
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_refused(core_start(k, OPERATION_PROMOTE, A, BIT(GATE_READY)), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, A, BIT(GATE_READY) | BIT(GATE_OPERATION)), k);
    assert_int_not_equal(core_operation(k)->id, first);
    assert_int_equal(core_operation(k)->from, B);
    assert_int_equal(k->state.incidents[0].id, first);
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED); /* B's: it needs its own proof */
    assert_false(proven(k));
    assert_accepted(core_expire(k), k);
    assert_true(proven(k));
}

static void a_result_of_the_operation_before_is_refused(void **state)
{
    struct core *k = *state;
    struct command *c;
    operation_id first;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    first = core_operation(k)->id;
    assert_accepted(core_assign(k, STEP_PROMOTE, B), k);
    assert_accepted(core_heard(k, NODE_A, true), k);
    assert_accepted(core_opinion(k, NODE_A, A, OPINION_UP, ROLE_STANDBY, 0), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, A, BIT(GATE_READY) | BIT(GATE_OPERATION)), k);
    c = core_command(k, COMMAND_STEP_RESULT);
    c->step_result = (struct command_step_result){ .operation = first, .run = 0, .attempt = 1, .node = NODE_B };
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "there is no active operation");
}

#define BARE(name) cmocka_unit_test_setup_teardown(name, core_setup_bare, core_teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failover_starts_only_on_an_accusation),
        TEST(a_gate_that_says_no_is_named_with_its_reason),
        TEST(a_gate_that_cannot_be_forced_says_so),
        TEST(a_start_that_the_log_has_overtaken_is_refused),
        BARE(a_service_without_a_primary_is_not_moved),
        TEST(a_start_revokes_the_lease),
        TEST(a_duplicate_start_is_refused),
        TEST(a_proposal_touches_nothing),
        TEST(a_promotion_by_hand_is_not_proposed),
        TEST(an_approval_asks_the_gates_again),
        TEST(a_withdrawn_proposal_is_kept_as_an_incident),
        TEST(abort_voids_certificates_before_anything_is_undone),
        TEST(after_the_point_of_no_return_there_is_no_abort),
        TEST(an_operation_after_an_aborted_one_needs_its_own_proof),
        TEST(a_fence_that_ends_after_the_abort_proves_nothing),
        TEST(a_stale_step_result_is_refused),
        TEST(the_leader_reports_no_success_for_a_silent_node),
        TEST(a_step_is_assigned_to_its_node_once_and_when_due),
        TEST(a_sever_brings_a_position),
        TEST(agent_certificate_needs_every_instance),
        TEST(agent_certificate_is_the_holders_alone),
        TEST(safety_steps_cannot_be_skipped),
        TEST(an_operation_ends_with_its_last_step),
        TEST(a_skipped_step_counts_as_ended_and_alarms),
        TEST(a_result_of_a_skipped_attempt_is_refused),
        TEST(a_promotion_by_hand_causes_no_lockout),
        TEST(a_promotion_whose_target_died_is_given_up_only_by_force),
        TEST(a_result_of_the_operation_before_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
