/* Gates, the plan, and the life of an operation through the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/gates.h"
#include "core/plan.h"
#include "tests/unit/core_rig.h"

#define BIT(gate) (1u << (gate))
#define EVIDENCE ((uint8_t)(1u << KIND_DATABASE | 1u << KIND_PATH))

/* Site-a is dead, and everybody has said so. */
static struct rig *down(void)
{
    struct rig *r = rig_create_live();

    rig_heard(r, NODE_A, false);
    rig_opinion(r, NODE_B, SITE_A, OPINION_FAILED, EVIDENCE);
    rig_opinion(r, NODE_C, SITE_A, OPINION_FAILED, EVIDENCE);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(rig_service(r)->views[SITE_A].verdict, VERDICT_DOWN);
    return r;
}

static uint32_t gates(struct rig *r, enum operation_kind kind, uint32_t overrides)
{
    return gates_check(&r->state, SERVICE, SITE_B, kind, overrides, r->now_ms);
}

static void a_failover_of_a_site_that_is_down_passes_every_gate(void **unused)
{
    struct rig *r = down();

    (void)unused;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), 0);
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.state, OPERATION_RUNNING);
    assert_int_equal(r->outcome.value, rig_service(r)->operation.id);
    rig_destroy(r);
}

static void a_failover_of_a_healthy_site_is_refused(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_REFUSED);
    assert_true(lease_live(&rig_service(r)->lease));
    rig_destroy(r);
}

static void each_gate_says_no_for_its_own_reason(void **unused)
{
    struct rig *r = down();
    struct service *svc = rig_service(r);

    (void)unused;
    svc->armed = false;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_ARMED));
    assert_int_equal(gates(r, OPERATION_FAILOVER, UINT32_MAX), BIT(GATE_ARMED)); /* cannot be overridden */
    svc->armed = true;
    svc->paused = true;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_PAUSED));
    svc->paused = false;
    svc->config.mode = MODE_SHADOW;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_MODE));
    assert_int_equal(gates(r, OPERATION_PROMOTE, 0), 0);
    svc->config.mode = MODE_AUTO;
    svc->config.accept_vm_pause = false;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_VM_PAUSE));
    svc->config.accept_vm_pause = true;
    svc->last_failover_ms = r->now_ms - 1000;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_LOCKOUT));
    svc->last_failover_ms = 0;
    svc->config.timing.hold_down_ms = 5000;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_HOLD_DOWN));
    assert_int_equal(gates(r, OPERATION_FAILOVER, BIT(GATE_HOLD_DOWN)), 0);
    svc->config.timing.hold_down_ms = 0;
    svc->views[SITE_B].opinions[1].ready = false;
    assert_int_equal(gates(r, OPERATION_FAILOVER, 0), BIT(GATE_READY));
    assert_int_equal(gates(r, OPERATION_PROMOTE, 0), BIT(GATE_READY));
    assert_int_equal(gates(r, OPERATION_PROMOTE, BIT(GATE_READY)), 0);
    svc->views[SITE_B].opinions[1].ready = true;
    rig_heard(r, NODE_B, false);
    assert_int_equal(gates(r, OPERATION_PROMOTE, 0) & BIT(GATE_TARGET), BIT(GATE_TARGET));
    rig_destroy(r);
}

static void one_operation_at_a_time(void **unused)
{
    struct rig *r = down();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_REFUSED);
    assert_int_equal(rig_set(r, SERVICE_DISARM), STATUS_REFUSED);
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_REFUSED);
    rig_destroy(r);
}

static void mode_propose_touches_nothing_until_it_is_approved(void **unused)
{
    struct rig *r = down();

    (void)unused;
    rig_service(r)->config.mode = MODE_PROPOSE;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.state, OPERATION_PROPOSED);
    assert_int_equal(rig_service(r)->operation.run_count, 0);
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B), STATUS_REFUSED);
    (void)rig_next(r, COMMAND_OPERATION_APPROVE);
    r->command.operation_approve.operation = rig_service(r)->operation.id;
    assert_int_equal(rig_apply(r), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.state, OPERATION_RUNNING);
    rig_destroy(r);
}

static void a_proposal_is_withdrawn_when_the_primary_is_back(void **unused)
{
    struct rig *r = down();

    (void)unused;
    rig_service(r)->config.mode = MODE_PROPOSE;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.state, OPERATION_ABORTED);
    rig_destroy(r);
}

static void stale_results_and_assignments_are_refused(void **unused)
{
    struct rig *r = down();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_assign(r, STEP_PROMOTE, SITE_B, NODE_B),
                     STATUS_REFUSED); /* no such run before the point of no return */
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_C), STATUS_REFUSED); /* not the executor */
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B), STATUS_REFUSED); /* open */
    assert_int_equal(rig_result(r, STEP_SEVER, SITE_B, NODE_C, true), STATUS_REFUSED);
    assert_int_equal(rig_result(r, STEP_SEVER, SITE_B, NODE_B, false), STATUS_OK);
    assert_int_equal(rig_result(r, STEP_SEVER, SITE_B, NODE_B, true),
                     STATUS_REFUSED);                                            /* of an attempt that has ended */
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B), STATUS_REFUSED); /* its pause is not over */
    r->now_ms += 1000;
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(operation_run(&rig_service(r)->operation, STEP_SEVER, SITE_B)->attempt, 2);
    rig_destroy(r);
}

static void a_safety_step_cannot_be_skipped_and_dns_can(void **unused)
{
    struct rig *r = down();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    (void)rig_next(r, COMMAND_STEP_SKIP);
    r->command.step_skip.operation = rig_service(r)->operation.id;
    r->command.step_skip.step = STEP_FENCE;
    assert_int_equal(rig_apply(r), STATUS_REFUSED);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    (void)rig_next(r, COMMAND_STEP_SKIP);
    r->command.step_skip.operation = rig_service(r)->operation.id;
    r->command.step_skip.step = STEP_DNS;
    assert_int_equal(rig_apply(r), STATUS_OK);
    assert_int_equal(operation_run(&rig_service(r)->operation, STEP_DNS, SITE_B)->state, RUN_SKIPPED);
    rig_destroy(r);
}

static void a_failover_runs_to_its_end(void **unused)
{
    static const enum step rest[] = { STEP_PROMOTE, STEP_CHECKPOINT, STEP_CANARY, STEP_DNS, STEP_DEPLOY, STEP_VERIFY };
    struct rig *r = down();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    assert_int_equal(rig_assign(r, STEP_DNS, SITE_B, NODE_B), STATUS_REFUSED); /* it needs the canary */
    for (unsigned i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        assert_int_equal(rig_service(r)->operation.state, OPERATION_PROMOTED);
        assert_int_equal(rig_do(r, rest[i], SITE_B, NODE_B), STATUS_OK);
    }
    assert_int_equal(rig_service(r)->operation.state, OPERATION_DONE);
    assert_int_equal(r->state.incident_count, 1);
    assert_int_equal(r->state.incidents[0].id, rig_service(r)->operation.id);
    assert_int_equal(rig_service(r)->primary, SITE_B);
    rig_destroy(r);
}

static void a_candidate_that_lacks_more_than_the_policy_allows_waits_for_a_person(void **unused)
{
    struct rig *r = down();
    char why[DETAIL_MAX_BYTES];

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_result(r, STEP_SEVER, SITE_B, NODE_B, true), STATUS_OK);
    rig_service(r)->operation.runs[0].position.gap_known = true;
    rig_service(r)->operation.runs[0].position.gap_bytes = 1001; /* max_lag is 1000 */
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    assert_int_equal(plan_candidate(&r->state, &rig_service(r)->operation, why, sizeof why), SITE_NONE);
    assert_true(why[0] != '\0');
    rig_service(r)->operation.runs[0].position.gap_bytes = 1000;
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    rig_destroy(r);
}

static void a_refused_command_changes_nothing_but_index_and_time(void **unused)
{
    struct rig *r = rig_create_live();
    static uint8_t before[SNAPSHOT_MAX_BYTES / 8], after[SNAPSHOT_MAX_BYTES / 8];
    size_t before_bytes, after_bytes;
    uint64_t index = r->state.applied_index;
    int64_t now_ms = r->state.now_ms;

    (void)unused;
    assert_int_equal(snapshot_encode(&r->state, before, sizeof before, &before_bytes), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_REFUSED);
    assert_int_equal(rig_abort(r), STATUS_REFUSED);
    assert_int_equal(rig_grant(r, SITE_B, NODE_B), STATUS_REFUSED);
    assert_int_equal(rig_renew(r, NODE_B, 1, 0, true), STATUS_REFUSED);
    r->state.applied_index = index;
    r->state.now_ms = now_ms;
    assert_int_equal(snapshot_encode(&r->state, after, sizeof after, &after_bytes), STATUS_OK);
    assert_int_equal(before_bytes, after_bytes);
    assert_memory_equal(before, after, before_bytes);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failover_of_a_site_that_is_down_passes_every_gate),
        cmocka_unit_test(a_failover_of_a_healthy_site_is_refused),
        cmocka_unit_test(each_gate_says_no_for_its_own_reason),
        cmocka_unit_test(one_operation_at_a_time),
        cmocka_unit_test(mode_propose_touches_nothing_until_it_is_approved),
        cmocka_unit_test(a_proposal_is_withdrawn_when_the_primary_is_back),
        cmocka_unit_test(stale_results_and_assignments_are_refused),
        cmocka_unit_test(a_safety_step_cannot_be_skipped_and_dns_can),
        cmocka_unit_test(a_failover_runs_to_its_end),
        cmocka_unit_test(a_candidate_that_lacks_more_than_the_policy_allows_waits_for_a_person),
        cmocka_unit_test(a_refused_command_changes_nothing_but_index_and_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
