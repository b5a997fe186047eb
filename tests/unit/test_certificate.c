/* Proof: when it counts, what voids it, and that PROMOTE is refused without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/plan.h"
#include "tests/unit/core_rig.h"

static struct lease lease_in(enum lease_state state, bool enforcing)
{
    return (struct lease){ .state = state, .epoch = 7, .enforcement = { .enforcing = enforcing } };
}

static bool certified(struct rig *r)
{
    return certificate_any(&rig_service(r)->proof, &rig_service(r)->lease, NULL);
}

static void a_certificate_counts_for_its_epoch_only_and_never_while_the_lease_is_live(void **unused)
{
    struct proof proof = { 0 };
    struct lease live = lease_in(LEASE_LIVE, true);
    struct lease revoked = lease_in(LEASE_REVOKED, true);
    struct lease next = revoked;

    (void)unused;
    next.epoch = 8;
    certificate_give(&proof, CERT_AGENT, 7, 100);
    assert_false(certificate_counts(&proof, CERT_AGENT, &live));
    assert_true(certificate_counts(&proof, CERT_AGENT, &revoked));
    assert_false(certificate_counts(&proof, CERT_AGENT, &next));
    assert_false(certificate_counts(&proof, CERT_EXPIRED, &revoked));
    certificate_void_all(&proof);
    assert_false(certificate_any(&proof, &revoked, NULL));
}

static void an_expiry_is_proof_only_where_an_enforcing_guard_was_reported(void **unused)
{
    struct lease expired = lease_in(LEASE_EXPIRED, true);
    struct lease unguarded = lease_in(LEASE_EXPIRED, false);
    struct lease revoked = lease_in(LEASE_REVOKED, true);

    (void)unused;
    assert_true(certificate_expiry_is_proof(&expired));
    assert_false(certificate_expiry_is_proof(&unguarded));
    assert_false(certificate_expiry_is_proof(&revoked));
}

static void a_sighting_voids_the_expiry_and_what_was_proven_before_it(void **unused)
{
    struct proof proof = { 0 };
    struct lease expired = lease_in(LEASE_EXPIRED, true);

    (void)unused;
    certificate_give(&proof, CERT_EXPIRED, 7, 100);
    certificate_give(&proof, CERT_AGENT, 7, 101);
    proof.veto = (struct veto){ .epoch = 7, .index = 102, .seen_by = NODE_C };
    assert_false(certificate_any(&proof, &expired, NULL));
    certificate_give(&proof, CERT_AGENT, 7, 103); /* somebody looked at the server itself since */
    assert_true(certificate_counts(&proof, CERT_AGENT, &expired));
    assert_false(certificate_counts(&proof, CERT_EXPIRED, &expired));
}

static void promote_is_refused_without_a_certificate(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    for (node_id node = NODE_A; node <= NODE_C; node++)
        rig_opinion(r, node, SITE_A, OPINION_FAILED, 1u << KIND_DATABASE);
    assert_int_equal(rig_start(r, OPERATION_FAILOVER, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_service(r)->lease.state, LEASE_REVOKED);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    assert_int_equal(rig_service(r)->primary, SITE_A);
    assert_int_equal(rig_expire(r), STATUS_OK); /* the count runs on, and the guard was enforcing */
    assert_true(certified(r));
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.certificate, CERT_EXPIRED);
    rig_destroy(r);
}

static void promote_is_refused_without_a_candidate(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK); /* by hand the proof comes first */
    assert_int_equal(rig_promote(r, SITE_A), STATUS_REFUSED);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED); /* a late duplicate */
    rig_destroy(r);
}

static void the_fence_must_speak_of_every_server_of_the_epoch(void **unused)
{
    struct rig *r = rig_create_live();
    epoch_t epoch = rig_service(r)->lease.epoch;

    (void)unused;
    assert_int_equal(rig_renew(r, NODE_A, epoch, INSTANCE_A + 1, true), STATUS_OK); /* the server was restarted */
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_assign(r, STEP_FENCE, SITE_A, NODE_A), STATUS_OK);
    (void)rig_next(r, COMMAND_STEP_RESULT);
    r->command.step_result = (struct command_step_result){
        .operation = rig_service(r)->operation.id, .run = 1, .attempt = 1, .epoch = epoch, .node = NODE_A
    };
    r->command.step_result.result.ok = true;
    r->command.step_result.result.instance_count = 1;
    r->command.step_result.result.instances[0] = INSTANCE_A + 1;
    assert_int_equal(rig_apply(r), STATUS_OK); /* noted as failed */
    assert_false(certified(r));
    assert_int_equal(operation_run(&rig_service(r)->operation, STEP_FENCE, SITE_A)->state, RUN_PENDING);
    r->now_ms += 1000;
    assert_int_equal(rig_do(r, STEP_FENCE, SITE_A, NODE_A), STATUS_OK);
    assert_true(certified(r));
    rig_destroy(r);
}

static void a_promotion_grants_the_next_epoch_and_deletes_every_certificate(void **unused)
{
    struct rig *r = rig_create_live();
    epoch_t epoch = rig_service(r)->lease.epoch;

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_assign(r, STEP_SEVER, SITE_B, NODE_B),
                     STATUS_REFUSED); /* it receives until nothing more is acknowledged */
    assert_int_equal(rig_do(r, STEP_FENCE, SITE_A, NODE_A), STATUS_OK);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    assert_int_equal(rig_service(r)->lease.epoch, epoch + 1);
    assert_int_equal(rig_service(r)->lease.site, SITE_B);
    assert_int_equal(rig_service(r)->lease.holder, NODE_B);
    assert_true(lease_live(&rig_service(r)->lease));
    assert_false(certified(r));
    assert_int_equal(rig_renew(r, NODE_A, epoch, INSTANCE_A, true), STATUS_REFUSED);
    assert_int_equal(rig_abort(r), STATUS_REFUSED);
    rig_destroy(r);
}

static void an_abort_voids_the_certificates_and_reconnects_what_was_severed(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_true(certified(r));
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_abort(r), STATUS_OK);
    assert_false(certified(r));
    assert_int_equal(rig_service(r)->operation.state, OPERATION_UNDOING);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    assert_int_equal(rig_do(r, STEP_RECONNECT, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.state, OPERATION_ABORTED);
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_OK);
    rig_destroy(r);
}

static void a_sighting_counts_only_when_the_look_began_after_the_expiry(void **unused)
{
    struct rig *r = rig_create_live();
    epoch_t epoch = rig_service(r)->lease.epoch;
    uint64_t before = r->state.applied_index;

    (void)unused;
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    (void)rig_next(r, COMMAND_SIGHTING);
    r->command.sighting = (struct command_sighting){ SERVICE, SITE_A, epoch, NODE_C, before };
    assert_int_equal(rig_apply(r), STATUS_REFUSED);
    (void)rig_next(r, COMMAND_SIGHTING);
    r->command.sighting =
        (struct command_sighting){ SERVICE, SITE_A, epoch, NODE_C, rig_service(r)->lease.ended_index };
    assert_int_equal(rig_apply(r), STATUS_OK);
    assert_false(certified(r));
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    (void)rig_next(r, COMMAND_OPERATOR_CERTIFICATE); /* approve --fenced */
    r->command.operator_certificate.operation = rig_service(r)->operation.id;
    assert_int_equal(rig_apply(r), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    assert_int_equal(rig_service(r)->operation.certificate, CERT_OPERATOR);
    rig_destroy(r);
}

static void a_person_cannot_vouch_while_waiting_gives_proof(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    (void)rig_next(r, COMMAND_OPERATOR_CERTIFICATE);
    assert_int_equal(rig_apply(r), STATUS_REFUSED); /* no operation waits */
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    (void)rig_next(r, COMMAND_OPERATOR_CERTIFICATE);
    r->command.operator_certificate.operation = rig_service(r)->operation.id;
    assert_int_equal(rig_apply(r), STATUS_REFUSED); /* the lease is running out */
    rig_destroy(r);
}

static void an_unguarded_expiry_gives_no_proof_but_a_person_may(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    assert_int_equal(rig_renew(r, NODE_A, rig_service(r)->lease.epoch, INSTANCE_A, false), STATUS_OK);
    assert_int_equal(rig_start(r, OPERATION_PROMOTE, SITE_B, 0), STATUS_OK);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_false(certified(r));
    assert_int_equal(rig_promote(r, SITE_B), STATUS_REFUSED);
    (void)rig_next(r, COMMAND_OPERATOR_CERTIFICATE);
    r->command.operator_certificate.operation = rig_service(r)->operation.id;
    assert_int_equal(rig_apply(r), STATUS_OK);
    assert_int_equal(rig_do(r, STEP_SEVER, SITE_B, NODE_B), STATUS_OK);
    assert_int_equal(rig_promote(r, SITE_B), STATUS_OK);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_counts_for_its_epoch_only_and_never_while_the_lease_is_live),
        cmocka_unit_test(an_expiry_is_proof_only_where_an_enforcing_guard_was_reported),
        cmocka_unit_test(a_sighting_voids_the_expiry_and_what_was_proven_before_it),
        cmocka_unit_test(promote_is_refused_without_a_certificate),
        cmocka_unit_test(promote_is_refused_without_a_candidate),
        cmocka_unit_test(the_fence_must_speak_of_every_server_of_the_epoch),
        cmocka_unit_test(a_promotion_grants_the_next_epoch_and_deletes_every_certificate),
        cmocka_unit_test(an_abort_voids_the_certificates_and_reconnects_what_was_severed),
        cmocka_unit_test(a_sighting_counts_only_when_the_look_began_after_the_expiry),
        cmocka_unit_test(a_person_cannot_vouch_while_waiting_gives_proof),
        cmocka_unit_test(an_unguarded_expiry_gives_no_proof_but_a_person_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
