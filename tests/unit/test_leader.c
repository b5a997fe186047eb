/* The leader's counts, silences and handing over: what only it, in this term, knows. Time is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/leader.h"
#include "tests/unit/core_rig.h"

#define BEAT_MS 250
#define TICK_MS 50
#define TICK_US (TICK_MS * INT64_C(1000))

struct lead {
    struct rig *rig;
    struct leader leader;
    int64_t now_us;
};

static void lead_begin(struct lead *l, struct rig *r)
{
    l->rig = r;
    l->now_us = 5000000;
    leader_init(&l->leader, NODE_C, BEAT_MS, TICK_MS);
    leader_begin(&l->leader, 3, false, l->now_us);
    leader_applied(&l->leader, &r->state);
}

static void tick(struct lead *l, int64_t passed_us)
{
    l->now_us += passed_us;
    leader_heard(&l->leader, &l->rig->state, NODE_A);
    leader_heard(&l->leader, &l->rig->state, NODE_B);
    leader_tick(&l->leader, &l->rig->state, l->now_us);
}

/* The next command of this kind, or false when the leader wants something else or nothing. */
static bool wants(struct lead *l, enum command_kind kind)
{
    static struct command c;
    unsigned slot;

    if (!leader_next(&l->leader, &l->rig->state, l->rig->now_ms, &c, &slot))
        return false;
    leader_proposed_done(&l->leader, slot);
    return c.kind == kind;
}

static void a_lease_expires_a_full_ttl_and_drift_after_the_leaders_own_apply(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();
    int64_t ttl_us = lease_count_us(rig_service(r)->lease.ttl_ms, r->state.drift_ppm);
    int64_t counted_us = 0;

    (void)unused;
    assert_int_equal(ttl_us, 2002000); /* 2 s and 1000 ppm */
    lead_begin(&l, r);
    tick(&l, TICK_US); /* the count starts with the first tick */
    while (counted_us + TICK_US < ttl_us) {
        tick(&l, TICK_US);
        counted_us += TICK_US;
        assert_false(wants(&l, COMMAND_LEASE_EXPIRED));
    }
    tick(&l, TICK_US);
    assert_true(wants(&l, COMMAND_LEASE_EXPIRED));
    rig_destroy(r);
}

static void a_renewal_starts_the_count_anew(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();

    (void)unused;
    lead_begin(&l, r);
    for (unsigned i = 0; i < 200; i++) {
        tick(&l, TICK_US);
        assert_false(wants(&l, COMMAND_LEASE_EXPIRED));
        if (i % 30 == 0) {
            assert_int_equal(rig_renew(r, NODE_A, rig_service(r)->lease.epoch, INSTANCE_A, true), STATUS_OK);
            leader_applied(&l.leader, &r->state);
        }
    }
    rig_destroy(r);
}

static void counts_exist_within_one_term(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();

    (void)unused;
    lead_begin(&l, r);
    for (unsigned i = 0; i < 39; i++)
        tick(&l, TICK_US);
    leader_end(&l.leader);
    assert_false(wants(&l, COMMAND_LEASE_EXPIRED));
    leader_begin(&l.leader, 4, false, l.now_us);
    leader_applied(&l.leader, &r->state);
    for (unsigned i = 0; i < 40; i++) {
        tick(&l, TICK_US);
        assert_false(wants(&l, COMMAND_LEASE_EXPIRED));
    }
    rig_destroy(r);
}

static void time_asleep_is_not_counted(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();

    (void)unused;
    lead_begin(&l, r);
    tick(&l, TICK_US);
    tick(&l, 60 * INT64_C(1000000)); /* a minute passed, of which twice the interval counts */
    assert_false(wants(&l, COMMAND_LEASE_EXPIRED));
    assert_int_equal(l.leader.counted_us, 3 * TICK_US);
    tick(&l, -INT64_C(1000000));
    assert_int_equal(l.leader.counted_us, 3 * TICK_US);
    rig_destroy(r);
}

static void three_stalls_in_a_minute_hand_over(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();

    (void)unused;
    lead_begin(&l, r);
    for (unsigned i = 0; i < 40; i++)
        tick(&l, TICK_US);
    assert_int_equal(leader_transfer_to(&l.leader, &r->state), 0); /* a witness stays */
    for (unsigned i = 0; i < 3; i++) {
        assert_false(l.leader.wants_transfer);
        tick(&l, 20 * TICK_US);
    }
    assert_true(l.leader.wants_transfer);
    assert_int_not_equal(leader_transfer_to(&l.leader, &r->state), 0);
    rig_destroy(r);
}

static void leadership_leaves_the_primarys_site_for_the_witness(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();

    (void)unused;
    lead_begin(&l, r);
    leader_init(&l.leader, NODE_A, BEAT_MS, TICK_MS);
    leader_begin(&l.leader, 3, false, l.now_us);
    for (unsigned i = 0; i < 40; i++) {
        leader_heard(&l.leader, &r->state, NODE_C);
        tick(&l, TICK_US);
    }
    assert_int_equal(leader_transfer_to(&l.leader, &r->state), NODE_C);
    rig_destroy(r);
}

static void a_node_is_silent_only_after_a_silence_of_this_term(void **unused)
{
    struct lead l;
    struct rig *r = rig_create_live();
    bool told = false;

    (void)unused;
    lead_begin(&l, r);
    for (unsigned i = 0; i < 40 && !told; i++) {
        l.now_us += TICK_US;
        leader_heard(&l.leader, &r->state, NODE_B);
        leader_tick(&l.leader, &r->state, l.now_us);
        told = wants(&l, COMMAND_NODE_HEARD);
        if (i < 14)
            assert_false(told); /* 3 beats are 750 ms */
    }
    assert_true(told);
    rig_destroy(r);
}

static void a_slot_is_busy_until_its_proposal_has_ended(void **unused)
{
    static struct command c;
    struct lead l;
    struct rig *r = rig_create_live();
    unsigned slot;
    unsigned again;

    (void)unused;
    lead_begin(&l, r);
    for (unsigned i = 0; i < 60; i++)
        tick(&l, TICK_US);
    assert_true(leader_next(&l.leader, &r->state, r->now_ms, &c, &slot));
    assert_int_equal(c.kind, COMMAND_LEASE_EXPIRED);
    assert_int_equal(c.lease_expired.renewed_index, rig_service(r)->lease.renewed_index);
    assert_false(leader_next(&l.leader, &r->state, r->now_ms, &c, &again));
    leader_proposed_done(&l.leader, slot);
    assert_true(leader_next(&l.leader, &r->state, r->now_ms, &c, &again));
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_expires_a_full_ttl_and_drift_after_the_leaders_own_apply),
        cmocka_unit_test(a_renewal_starts_the_count_anew),
        cmocka_unit_test(counts_exist_within_one_term),
        cmocka_unit_test(time_asleep_is_not_counted),
        cmocka_unit_test(three_stalls_in_a_minute_hand_over),
        cmocka_unit_test(leadership_leaves_the_primarys_site_for_the_witness),
        cmocka_unit_test(a_node_is_silent_only_after_a_silence_of_this_term),
        cmocka_unit_test(a_slot_is_busy_until_its_proposal_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
