/* When a proof counts, and what speaks against it. */
#include "core_fixture.h"

#include "core/certificate.h"

#define EPOCH 5

static struct lease lease_in(enum lease_state s)
{
    return (
        struct lease){ .state = s, .epoch = EPOCH, .promises_ended_index = 1, .enforcement = { .enforcing = true } };
}

static struct proof given(enum certificate_kind kind, epoch_t epoch, uint64_t index)
{
    struct proof p = { .kinds = { { 0 } } };

    certificate_give(&p, kind, epoch, index);
    return p;
}

static void without_a_certificate_nothing_counts(void **state)
{
    struct proof p = { .kinds = { { 0 } } };

    (void)state;
    for (int s = 0; s < LEASE_STATE_COUNT; s++) {
        struct lease l = lease_in((enum lease_state)s);
        assert_false(certificate_any(&p, &l, NULL));
        l.epoch = 0;
        assert_false(certificate_any(&p, &l, NULL));
    }
}

static void a_certificate_does_not_count_while_the_lease_is_live(void **state)
{
    (void)state;
    for (int k = 0; k < CERTIFICATE_KIND_COUNT; k++) {
        struct proof p = given((enum certificate_kind)k, EPOCH, 9);
        struct lease live = lease_in(LEASE_LIVE), revoked = lease_in(LEASE_REVOKED), none = lease_in(LEASE_NONE);

        assert_false(certificate_any(&p, &live, NULL));
        assert_false(certificate_any(&p, &none, NULL));
        assert_true(certificate_any(&p, &revoked, NULL));
    }
}

static void a_certificate_of_another_epoch_does_not_count(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);

    (void)state;
    for (int k = 0; k < CERTIFICATE_KIND_COUNT; k++) {
        struct proof older = given((enum certificate_kind)k, EPOCH - 1, 9);
        struct proof newer = given((enum certificate_kind)k, EPOCH + 1, 9);

        assert_false(certificate_any(&older, &l, NULL));
        assert_false(certificate_any(&newer, &l, NULL));
    }
}

static void the_strongest_kind_is_named(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);
    struct proof p = given(CERT_OPERATOR, EPOCH, 7);
    enum certificate_kind kind = CERT_AGENT;

    (void)state;
    assert_true(certificate_any(&p, &l, &kind));
    assert_int_equal(kind, CERT_OPERATOR);
    certificate_give(&p, CERT_EXPIRED, EPOCH, 8);
    assert_true(certificate_any(&p, &l, &kind));
    assert_int_equal(kind, CERT_EXPIRED);
    certificate_give(&p, CERT_AGENT, EPOCH, 9);
    assert_true(certificate_any(&p, &l, &kind));
    assert_int_equal(kind, CERT_AGENT);
}

static void an_expiry_proves_only_what_was_enforced(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);

    (void)state;
    assert_true(certificate_expiry_is_proof(&l));
    l.enforcement.enforcing = false;
    assert_false(certificate_expiry_is_proof(&l));
    l = lease_in(LEASE_EXPIRED);
    l.promises_ended_index = 0;
    assert_false(certificate_expiry_is_proof(&l));
    for (int s = 0; s < LEASE_STATE_COUNT; s++) {
        l = lease_in((enum lease_state)s);
        assert_true(certificate_expiry_is_proof(&l) == (s == LEASE_EXPIRED));
    }
}

static void the_veto_blocks_expired_and_a_later_agent_lifts_it(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);
    struct proof p = given(CERT_EXPIRED, EPOCH, 10);

    (void)state;
    certificate_give(&p, CERT_AGENT, EPOCH, 11);
    p.veto = (struct veto){ .epoch = EPOCH, .index = 20, .seen_by = 12 };
    assert_false(certificate_any(&p, &l, NULL)); /* the agent looked before the write was seen */
    certificate_give(&p, CERT_EXPIRED, EPOCH, 21);
    assert_false(certificate_any(&p, &l, NULL)); /* time proves nothing there, whenever it is asked */
    certificate_give(&p, CERT_AGENT, EPOCH, 22);
    assert_true(certificate_counts(&p, CERT_AGENT, &l));
    assert_false(certificate_counts(&p, CERT_EXPIRED, &l));
}

static void a_person_who_vouches_after_the_sighting_lifts_the_veto(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);
    struct proof p = given(CERT_OPERATOR, EPOCH, 10);

    (void)state;
    p.veto = (struct veto){ .epoch = EPOCH, .index = 20, .seen_by = 12 };
    assert_false(certificate_any(&p, &l, NULL));
    certificate_give(&p, CERT_OPERATOR, EPOCH, 21);
    assert_true(certificate_any(&p, &l, NULL));
}

static void a_veto_of_an_earlier_epoch_says_nothing(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);
    struct proof p = given(CERT_EXPIRED, EPOCH, 10);

    (void)state;
    p.veto = (struct veto){ .epoch = EPOCH - 1, .index = 20, .seen_by = 12 };
    assert_true(certificate_any(&p, &l, NULL));
}

static void voiding_leaves_the_sighting(void **state)
{
    struct lease l = lease_in(LEASE_EXPIRED);
    struct proof p = given(CERT_AGENT, EPOCH, 10);

    (void)state;
    certificate_give(&p, CERT_EXPIRED, EPOCH, 10);
    certificate_give(&p, CERT_OPERATOR, EPOCH, 10);
    p.veto = (struct veto){ .epoch = EPOCH, .index = 20, .seen_by = 12 };
    certificate_void_all(&p);
    assert_false(certificate_any(&p, &l, NULL));
    assert_int_equal(p.veto.epoch, EPOCH);
    for (int k = 0; k < CERTIFICATE_KIND_COUNT; k++)
        assert_true(certificate_kind_word((enum certificate_kind)k)[0] != '\0');
    assert_string_equal(certificate_kind_word((enum certificate_kind)99), "no_kind");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_certificate_nothing_counts),
        cmocka_unit_test(a_certificate_does_not_count_while_the_lease_is_live),
        cmocka_unit_test(a_certificate_of_another_epoch_does_not_count),
        cmocka_unit_test(the_strongest_kind_is_named),
        cmocka_unit_test(an_expiry_proves_only_what_was_enforced),
        cmocka_unit_test(the_veto_blocks_expired_and_a_later_agent_lifts_it),
        cmocka_unit_test(a_person_who_vouches_after_the_sighting_lifts_the_veto),
        cmocka_unit_test(a_veto_of_an_earlier_epoch_says_nothing),
        cmocka_unit_test(voiding_leaves_the_sighting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
