/* The lease: grant, renewal, revocation and expiry, ordered by the log. */
#include "core_fixture.h"

#include "core/lease.h"

#define HOLDER 11
#define EPOCH 5

static const struct enforcement enforced = { .enforcing = true, .instance = 0xa1, .known_index = 101 };

static struct lease granted(void)
{
    struct lease l = { .state = LEASE_NONE };

    assert_null(lease_grant(&l, A, HOLDER, EPOCH, 100, 2000, enforced));
    return l;
}

static const char *renew(struct lease *l, uint64_t index)
{
    return lease_renew(l, HOLDER, EPOCH, index, 2000, enforced);
}

static void the_table_is_total_and_gives_reasons(void **state)
{
    (void)state;
    for (int s = 0; s < LEASE_STATE_COUNT; s++)
        for (int e = 0; e < LEASE_EVENT_COUNT; e++) {
            struct rule rule = lease_rule((enum lease_state)s, (enum lease_event)e);

            if (rule.verb == UNDECIDED || rule.why == NULL || rule.why[0] == '\0' || rule.next < 0 ||
                rule.next >= LEASE_STATE_COUNT || (rule.verb != MOVE && rule.next != s))
                fail_msg("%s in %s is not decided", lease_event_word((enum lease_event)e),
                         lease_state_word((enum lease_state)s));
        }
    assert_string_equal(lease_state_word((enum lease_state)99), "no_state");
    assert_string_equal(lease_event_word((enum lease_event)99), "no_event");
}

static void a_grant_begins_a_live_lease(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_true(lease_live(&l));
    assert_false(lease_ended(&l));
    assert_int_equal(l.site, A);
    assert_int_equal(l.holder, HOLDER);
    assert_int_equal(l.epoch, EPOCH);
    assert_int_equal(l.renewed_index, 100);
    assert_int_equal(l.instance_count, 1);
    assert_int_equal(l.instances[0], enforced.instance);
}

static void a_grant_over_a_live_lease_is_refused(void **state)
{
    struct lease l = granted(), before = l;

    (void)state;
    assert_non_null(lease_grant(&l, B, 12, EPOCH + 1, 101, 2000, enforced));
    assert_memory_equal(&l, &before, sizeof l);
}

static void a_grant_must_raise_the_epoch(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(lease_revoke(&l, EPOCH, 101));
    assert_non_null(lease_grant(&l, A, HOLDER, EPOCH, 102, 2000, enforced));
    assert_non_null(lease_grant(&l, A, HOLDER, EPOCH - 1, 102, 2000, enforced));
    assert_null(lease_grant(&l, A, HOLDER, EPOCH + 1, 102, 2000, enforced));
}

static void a_renewal_records_its_index_its_ttl_and_its_report(void **state)
{
    struct lease l = granted();
    struct enforcement report = { .enforcing = false, .instance = 0xa1, .known_index = 109 };

    (void)state;
    assert_null(lease_renew(&l, HOLDER, EPOCH, 107, 3000, report));
    assert_int_equal(l.renewed_index, 107);
    assert_int_equal(l.ttl_ms, 3000);
    assert_false(l.enforcement.enforcing);
    assert_int_equal(l.enforcement.known_index, 109);
}

static void a_renewal_of_another_epoch_is_refused(void **state)
{
    struct lease l = granted(), before = l;

    (void)state;
    assert_non_null(lease_renew(&l, HOLDER, EPOCH - 1, 107, 2000, enforced));
    assert_non_null(lease_renew(&l, HOLDER, EPOCH + 1, 107, 2000, enforced));
    assert_memory_equal(&l, &before, sizeof l);
}

static void a_renewal_by_another_node_is_refused(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_non_null(lease_renew(&l, HOLDER + 1, EPOCH, 107, 2000, enforced));
    assert_int_equal(l.renewed_index, 100);
}

static void nothing_extends_a_lease_that_was_revoked(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(lease_revoke(&l, EPOCH, 101));
    assert_true(lease_ended(&l));
    assert_non_null(renew(&l, 107));
    assert_int_equal(l.renewed_index, 100);
    assert_int_equal(l.state, LEASE_REVOKED);
}

static void nothing_extends_a_lease_that_has_expired(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(lease_expire(&l, EPOCH, 100, 101));
    assert_non_null(renew(&l, 107));
    assert_int_equal(l.state, LEASE_EXPIRED);
}

static void a_lease_that_was_never_granted_has_nothing_to_renew(void **state)
{
    struct lease l = { .state = LEASE_NONE };

    (void)state;
    assert_non_null(lease_renew(&l, 0, 0, 7, 2000, enforced));
    assert_non_null(lease_revoke(&l, 0, 7));
    assert_non_null(lease_expire(&l, 0, 0, 7));
    assert_false(lease_runs(&l));
}

static void an_expiry_that_names_an_older_renewal_is_refused(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(renew(&l, 107));
    assert_non_null(lease_expire(&l, EPOCH, 100, 108));
    assert_non_null(lease_expire(&l, EPOCH, 108, 109));
    assert_true(lease_live(&l));
    assert_null(lease_expire(&l, EPOCH, 107, 110));
    assert_int_equal(l.state, LEASE_EXPIRED);
    assert_int_equal(l.ended_index, 110);
}

static void an_expiry_of_another_epoch_is_refused(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_non_null(lease_expire(&l, EPOCH - 1, 100, 101));
    assert_non_null(lease_revoke(&l, EPOCH - 1, 101));
    assert_true(lease_live(&l));
}

static void the_count_runs_on_after_a_revocation(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(renew(&l, 107));
    assert_null(lease_revoke(&l, EPOCH, 108));
    assert_true(lease_runs(&l)); /* its holder may still act until its deadline */
    assert_null(lease_expire(&l, EPOCH, 107, 120));
    assert_false(lease_runs(&l));
}

static void each_server_life_is_remembered_once(void **state)
{
    struct lease l = granted();
    struct enforcement other = { .enforcing = true, .instance = 0xb2, .known_index = 102 };

    (void)state;
    assert_null(renew(&l, 107));
    assert_null(lease_renew(&l, HOLDER, EPOCH, 108, 2000, other));
    assert_null(lease_renew(&l, HOLDER, EPOCH, 109, 2000, other));
    assert_int_equal(l.instance_count, 2);
    assert_int_equal(l.instances[1], 0xb2);
}

static void a_late_renewal_of_an_earlier_server_life_is_refused(void **state)
{
    struct lease l = granted();
    struct enforcement broken_glass = { .enforcing = false, .instance = 0xb2, .known_index = 102 };

    (void)state;
    assert_null(lease_renew(&l, HOLDER, EPOCH, 107, 2000, broken_glass));
    assert_non_null(renew(&l, 108)); /* "enforcing", says what was sent before the server started anew */
    assert_false(l.enforcement.enforcing);
    assert_int_equal(l.renewed_index, 107);
}

/* Its first renewal was under way for so long that the next life, with broken glass, was first. */
static void an_earlier_life_that_is_new_to_the_log_does_not_speak_for_the_next_one(void **state)
{
    struct lease l = granted();
    struct enforcement broken_glass = { .enforcing = false, .instance = 0xc3, .known_index = 105 };
    struct enforcement late = { .enforcing = true, .instance = 0xb2, .known_index = 104 };

    (void)state;
    assert_null(lease_renew(&l, HOLDER, EPOCH, 107, 2000, broken_glass));
    assert_non_null(lease_renew(&l, HOLDER, EPOCH, 108, 2000, late));
    assert_int_equal(l.renewed_index, 107);
    assert_int_equal(l.instance_count, 2);
    late.known_index = 105; /* nothing tells which of them is the later one */
    assert_non_null(lease_renew(&l, HOLDER, EPOCH, 109, 2000, late));
    assert_false(l.enforcement.enforcing);
    late.known_index = 106; /* it is the later one */
    assert_null(lease_renew(&l, HOLDER, EPOCH, 110, 2000, late));
    assert_true(l.enforcement.enforcing);
}

static void a_server_that_cannot_be_remembered_is_not_renewed(void **state)
{
    struct lease l = granted();
    struct enforcement next = { .enforcing = true, .known_index = 102 };

    (void)state;
    for (next.instance = 1; l.instance_count < INSTANCES_MAX; next.instance++, next.known_index++)
        assert_null(lease_renew(&l, HOLDER, EPOCH, 100 + next.instance, 2000, next));
    assert_non_null(lease_renew(&l, HOLDER, EPOCH, 200, 2000, next));
    assert_int_equal(l.instance_count, INSTANCES_MAX);
    assert_int_not_equal(l.renewed_index, 200);
}

static void a_lease_never_gets_shorter_while_it_may_be_acted_on(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(lease_renew(&l, HOLDER, EPOCH, 107, 30000, enforced));
    assert_null(
        lease_renew(&l, HOLDER, EPOCH, 108, 2000, enforced)); /* its answer may be lost; the one before was not */
    assert_int_equal(l.ttl_ms, 30000);
}

static void a_grant_over_a_revoked_lease_inherits_what_may_still_run(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_null(lease_renew(&l, HOLDER, EPOCH, 107, 30000, enforced));
    assert_null(lease_revoke(&l, EPOCH, 108));
    assert_null(lease_grant(&l, A, HOLDER, EPOCH + 1, 109, 2000, enforced));
    assert_int_equal(l.ttl_ms, 30000);
    assert_null(lease_expire(&l, EPOCH + 1, 109, 110));
    assert_null(lease_grant(&l, A, HOLDER, EPOCH + 2, 111, 2000, enforced));
    assert_int_equal(l.ttl_ms, 30000); /* after an expiry a promise may */
    assert_null(lease_expire(&l, EPOCH + 2, 111, 112));
    assert_null(lease_end_promises(&l, EPOCH + 2, 113));
    assert_null(lease_grant(&l, A, HOLDER, EPOCH + 3, 114, 2000, enforced));
    assert_int_equal(l.ttl_ms, 2000);
    assert_null(lease_revoke(&l, EPOCH + 3, 115));
    assert_null(lease_end_promises(&l, EPOCH + 3, 116));
    assert_null(lease_grant(&l, A, HOLDER, EPOCH + 4, 117, 1000, enforced));
    assert_int_equal(l.ttl_ms, 2000); /* without promises, what the log allowed still runs */
}

static void promises_end_once_and_only_under_a_lease_that_is_over(void **state)
{
    struct lease l = { .state = LEASE_NONE };

    (void)state;
    assert_non_null(lease_end_promises(&l, 0, 90));
    l = granted();
    assert_non_null(lease_end_promises(&l, EPOCH, 101));
    assert_null(lease_revoke(&l, EPOCH, 102));
    assert_non_null(lease_end_promises(&l, EPOCH - 1, 103));
    assert_int_equal(l.promises_ended_index, 0);
    assert_null(lease_end_promises(&l, EPOCH, 104));
    assert_non_null(lease_end_promises(&l, EPOCH, 105));
    assert_int_equal(l.promises_ended_index, 104);
    assert_null(lease_grant(&l, A, HOLDER, EPOCH + 1, 106, 2000, enforced));
    assert_int_equal(l.promises_ended_index, 0);
    assert_int_equal(l.enforcement.known_index, 106); /* its holder acts from the grant on */
}

static void a_write_is_forbidden_since_both_ends(void **state)
{
    struct lease l = granted();

    (void)state;
    assert_false(lease_forbids_since(&l, 200));
    assert_null(lease_expire(&l, EPOCH, 100, 110));
    assert_false(lease_forbids_since(&l, 200)); /* a promise may extend it */
    assert_null(lease_end_promises(&l, EPOCH, 120));
    assert_false(lease_forbids_since(&l, 119));
    assert_true(lease_forbids_since(&l, 120));
    l.ended_index = 130; /* in the other order */
    assert_false(lease_forbids_since(&l, 129));
    assert_true(lease_forbids_since(&l, 130));
    l.state = LEASE_REVOKED;
    assert_false(lease_forbids_since(&l, 200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_total_and_gives_reasons),
        cmocka_unit_test(a_grant_begins_a_live_lease),
        cmocka_unit_test(a_grant_over_a_live_lease_is_refused),
        cmocka_unit_test(a_grant_must_raise_the_epoch),
        cmocka_unit_test(a_renewal_records_its_index_its_ttl_and_its_report),
        cmocka_unit_test(a_renewal_of_another_epoch_is_refused),
        cmocka_unit_test(a_renewal_by_another_node_is_refused),
        cmocka_unit_test(nothing_extends_a_lease_that_was_revoked),
        cmocka_unit_test(nothing_extends_a_lease_that_has_expired),
        cmocka_unit_test(a_lease_that_was_never_granted_has_nothing_to_renew),
        cmocka_unit_test(an_expiry_that_names_an_older_renewal_is_refused),
        cmocka_unit_test(an_expiry_of_another_epoch_is_refused),
        cmocka_unit_test(the_count_runs_on_after_a_revocation),
        cmocka_unit_test(each_server_life_is_remembered_once),
        cmocka_unit_test(a_late_renewal_of_an_earlier_server_life_is_refused),
        cmocka_unit_test(an_earlier_life_that_is_new_to_the_log_does_not_speak_for_the_next_one),
        cmocka_unit_test(a_server_that_cannot_be_remembered_is_not_renewed),
        cmocka_unit_test(a_lease_never_gets_shorter_while_it_may_be_acted_on),
        cmocka_unit_test(a_grant_over_a_revoked_lease_inherits_what_may_still_run),
        cmocka_unit_test(promises_end_once_and_only_under_a_lease_that_is_over),
        cmocka_unit_test(a_write_is_forbidden_since_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
