/* The rules of docs/safety.md about grant, renewal, revocation and expiry, one by one: on the lease alone and through the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core_rig.h"

static const struct enforcement enforced = { .enforcing = true, .instance = INSTANCE_A };

static struct lease granted(void)
{
    struct lease l = { 0 };

    assert_null(lease_grant(&l, SITE_A, NODE_A, 5, 100, 2000, enforced));
    return l;
}

static void a_grant_is_refused_while_the_old_holder_may_be_live(void **unused)
{
    struct lease l = granted();

    (void)unused;
    assert_non_null(lease_grant(&l, SITE_B, NODE_B, 6, 101, 2000, enforced));
    assert_int_equal(l.site, SITE_A);
    assert_int_equal(l.epoch, 5);
}

static void the_epoch_rises_with_each_grant(void **unused)
{
    struct lease l = granted();

    (void)unused;
    assert_null(lease_revoke(&l, 5, 101));
    assert_non_null(lease_grant(&l, SITE_A, NODE_A, 5, 102, 2000, enforced));
    assert_non_null(lease_grant(&l, SITE_A, NODE_A, 4, 102, 2000, enforced));
    assert_null(lease_grant(&l, SITE_A, NODE_A, 6, 102, 2000, enforced));
}

static void a_renewal_moves_the_index_that_an_expiry_must_name(void **unused)
{
    struct lease l = granted();

    (void)unused;
    assert_null(lease_renew(&l, NODE_A, 5, 110, 2000, enforced));
    assert_non_null(lease_expire(&l, 5, 100, 111));
    assert_true(lease_live(&l));
    assert_null(lease_expire(&l, 5, 110, 111));
    assert_int_equal(l.state, LEASE_EXPIRED);
    assert_int_equal(l.ended_index, 111);
}

static void nothing_extends_a_lease_that_has_ended(void **unused)
{
    struct lease revoked = granted();
    struct lease expired = granted();

    (void)unused;
    assert_null(lease_revoke(&revoked, 5, 101));
    assert_non_null(lease_renew(&revoked, NODE_A, 5, 102, 2000, enforced));
    assert_int_equal(revoked.renewed_index, 100);
    assert_null(lease_expire(&expired, 5, 100, 101));
    assert_non_null(lease_renew(&expired, NODE_A, 5, 102, 2000, enforced));
    assert_int_equal(expired.state, LEASE_EXPIRED);
}

static void the_count_runs_on_after_a_revocation(void **unused)
{
    struct lease l = granted();

    (void)unused;
    assert_null(lease_revoke(&l, 5, 101));
    assert_null(lease_expire(&l, 5, 100, 150));
    assert_int_equal(l.state, LEASE_EXPIRED);
}

static void another_epoch_or_another_node_neither_renews_nor_ends_it(void **unused)
{
    struct lease l = granted();

    (void)unused;
    assert_non_null(lease_renew(&l, NODE_A, 4, 101, 2000, enforced));
    assert_non_null(lease_renew(&l, NODE_B, 5, 101, 2000, enforced));
    assert_non_null(lease_revoke(&l, 4, 101));
    assert_non_null(lease_expire(&l, 6, 100, 101));
    assert_true(lease_live(&l));
    assert_int_equal(l.renewed_index, 100);
}

static void every_server_that_was_opened_is_remembered_and_the_list_has_an_end(void **unused)
{
    struct lease l = granted();
    struct enforcement report = enforced;

    (void)unused;
    for (unsigned i = 1; i < INSTANCES_MAX; i++) {
        report.instance = INSTANCE_A + i;
        assert_null(lease_renew(&l, NODE_A, 5, 101 + i, 2000, report));
        assert_null(lease_renew(&l, NODE_A, 5, 101 + i, 2000, report));
    }
    assert_int_equal(l.instance_count, INSTANCES_MAX);
    report.instance = 0xffff;
    assert_non_null(lease_renew(&l, NODE_A, 5, 200, 2000, report));
    assert_int_not_equal(l.renewed_index, 200);
}

static void a_new_ttl_counts_from_the_renewal_that_carries_it(void **unused)
{
    struct lease l = granted();

    (void)unused;
    assert_null(lease_renew(&l, NODE_A, 5, 101, 9000, enforced));
    assert_int_equal(l.ttl_ms, 9000);
}

static void the_first_grant_goes_where_the_configuration_says_and_only_when_the_others_are_standbys(void **unused)
{
    struct rig *r = rig_create();

    (void)unused;
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_REFUSED); /* nobody has looked at site-b */
    rig_opinion(r, NODE_B, SITE_B, OPINION_UP, 0);
    assert_int_equal(rig_grant(r, SITE_B, NODE_B), STATUS_REFUSED);
    assert_int_equal(rig_grant(r, SITE_A, NODE_B), STATUS_REFUSED); /* not its executor */
    rig_heard(r, NODE_B, false);
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_REFUSED);
    rig_heard(r, NODE_B, true);
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_OK);
    assert_int_equal(r->outcome.value, 1);
    rig_destroy(r);
}

static void a_late_duplicate_of_a_grant_is_refused(void **unused)
{
    struct rig *r = rig_create_live();
    epoch_t epoch = rig_service(r)->lease.epoch;

    (void)unused;
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_OK);
    assert_int_equal(rig_service(r)->lease.epoch, epoch + 1);
    assert_int_equal(rig_expire(r), STATUS_OK);
    (void)rig_next(r, COMMAND_GRANT);
    r->command.grant =
        (struct command_grant){ .service = SERVICE, .site = SITE_A, .node = NODE_A, .last_epoch = epoch };
    assert_int_equal(rig_apply(r), STATUS_REFUSED);
    rig_destroy(r);
}

static void a_healthy_primary_that_lost_its_lease_gets_it_again(void **unused)
{
    struct rig *r = rig_create_live();

    (void)unused;
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_int_equal(rig_grant(r, SITE_B, NODE_B), STATUS_REFUSED); /* only a promotion moves the right */
    assert_int_equal(rig_grant(r, SITE_A, NODE_A), STATUS_OK);
    rig_destroy(r);
}

static void a_report_from_before_a_disarm_says_nothing_after_it(void **unused)
{
    struct rig *r = rig_create_live();
    uint64_t before = rig_service(r)->enforced_index;
    epoch_t epoch = rig_service(r)->lease.epoch;

    (void)unused;
    assert_true(rig_service(r)->lease.enforcement.enforcing);
    assert_int_equal(rig_set(r, SERVICE_DISARM), STATUS_OK);
    assert_false(rig_service(r)->lease.enforcement.enforcing);
    assert_int_equal(rig_set(r, SERVICE_ARM), STATUS_OK);
    assert_false(rig_service(r)->lease.enforcement.enforcing);
    (void)rig_next(r, COMMAND_RENEW); /* it was on its way all the time; the guard may be open by now */
    r->command.renew = (struct command_renew){ SERVICE, epoch, NODE_A, 2000, { true, INSTANCE_A, before } };
    assert_int_equal(rig_apply(r), STATUS_OK);
    assert_false(rig_service(r)->lease.enforcement.enforcing);
    assert_int_equal(rig_expire(r), STATUS_OK);
    assert_false(certificate_any(&rig_service(r)->proof, &rig_service(r)->lease, NULL));
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_is_refused_while_the_old_holder_may_be_live),
        cmocka_unit_test(the_epoch_rises_with_each_grant),
        cmocka_unit_test(a_renewal_moves_the_index_that_an_expiry_must_name),
        cmocka_unit_test(nothing_extends_a_lease_that_has_ended),
        cmocka_unit_test(the_count_runs_on_after_a_revocation),
        cmocka_unit_test(another_epoch_or_another_node_neither_renews_nor_ends_it),
        cmocka_unit_test(every_server_that_was_opened_is_remembered_and_the_list_has_an_end),
        cmocka_unit_test(a_new_ttl_counts_from_the_renewal_that_carries_it),
        cmocka_unit_test(the_first_grant_goes_where_the_configuration_says_and_only_when_the_others_are_standbys),
        cmocka_unit_test(a_late_duplicate_of_a_grant_is_refused),
        cmocka_unit_test(a_healthy_primary_that_lost_its_lease_gets_it_again),
        cmocka_unit_test(a_report_from_before_a_disarm_says_nothing_after_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
