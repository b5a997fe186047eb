/* The leader's counts, whom it hears, when it hands over, and the time that it stamps: on its own clock, within one term. */
#include "core_leader_fixture.h"

static bool expires(struct core *k)
{
    return leader_proposes(k, COMMAND_LEASE_EXPIRED);
}

static int64_t ttl_us(const struct core *k)
{
    return lease_count_us(k->state.services[APP].lease.ttl_ms, k->state.drift_ppm);
}

static void renew_as(struct core *k, uint32_t ttl_ms)
{
    assert_accepted(core_renew_as(k, NODE_A, core_app(k)->lease.epoch, INSTANCE, ttl_ms), k);
    leader_applied(&leader, &k->state);
}

/* --- expiry --- */

static void an_expiry_is_proposed_after_a_ttl_and_names_its_renewal(void **state)
{
    struct core *k = *state;

    leader_run(k, TICK_US); /* counting starts here */
    leader_run(k, ttl_us(k) - TICK_US);
    assert_false(expires(k));
    leader_run(k, TICK_US);
    assert_true(expires(k));
    assert_int_equal(next.lease_expired.epoch, core_app(k)->lease.epoch);
    assert_int_equal(next.lease_expired.renewed_index, core_app(k)->lease.renewed_index);
}

static void a_renewal_starts_the_count_anew(void **state)
{
    struct core *k = *state;

    leader_run(k, ttl_us(k));
    renew_as(k, 2000);
    leader_run(k, ttl_us(k) - TICK_US);
    assert_false(expires(k));
    leader_run(k, 2 * TICK_US);
    assert_true(expires(k));
}

/* Ticks of any length, renewals of any ttl at any time: whenever an expiry is proposed, each renewal's own span has passed in real time. */
static void an_expiry_is_never_proposed_early(void **state)
{
    struct core *k = *state;
    int64_t over_us = now_us + ttl_us(k); /* when the last of all renewals has run out */
    unsigned proposed = 0;

    srand(4711);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t ttl_ms = 1500 + (uint32_t)(rand() % 4) * 1000;

        now_us += rand() % 10 == 0 ? rand() % (5 * SECOND_US) : rand() % (2 * TICK_US);
        if (rand() % 100 == 0) {
            renew_as(k, ttl_ms);
            if (now_us + lease_count_us(ttl_ms, k->state.drift_ppm) > over_us)
                over_us = now_us + lease_count_us(ttl_ms, k->state.drift_ppm);
        }
        if (rand() % 500 == 0)
            leader_lead(k, i + 2);
        leader_tick(&leader, &k->state, now_us);
        if (expires(k)) {
            proposed++;
            assert_true(now_us >= over_us);
        }
    }
    assert_true(proposed > 100);
}

static void a_shorter_ttl_waits_for_the_longer_one_before_it(void **state)
{
    struct core *k = *state;

    leader_run(k, TICK_US);
    renew_as(k, 10000);
    renew_as(k, 2000); /* the holder may not have received this answer, and then goes by the one before */
    leader_run(k, 9 * SECOND_US);
    assert_false(expires(k));
    leader_run(k, 2 * SECOND_US);
    assert_true(expires(k));
    leader_lead(k, 2);
    leader_run(k, 9 * SECOND_US);
    assert_false(expires(k));
}

static void counts_start_anew_with_a_term(void **state)
{
    struct core *k = *state;

    leader_run(k, ttl_us(k) + TICK_US);
    assert_true(expires(k));
    leader_lead(k, 2);
    leader_run(k, TICK_US);
    assert_false(expires(k));
    leader_run(k, ttl_us(k) - TICK_US);
    assert_false(expires(k));
    leader_run(k, 2 * TICK_US);
    assert_true(expires(k));
}

static void time_asleep_is_not_counted(void **state)
{
    struct core *k = *state;

    leader_run(k, TICK_US);
    now_us += 3600 * SECOND_US;
    leader_tick(&leader, &k->state, now_us);
    assert_false(expires(k));
    assert_int_equal(leader.counted_us, TICK_US + 2 * TICK_US);
    leader_run(k, ttl_us(k) - 3 * TICK_US);
    assert_false(expires(k));
}

static void a_clock_that_goes_back_counts_nothing(void **state)
{
    struct core *k = *state;
    int64_t counted;

    leader_run(k, SECOND_US);
    counted = leader.counted_us;
    now_us -= 3600 * SECOND_US;
    leader_tick(&leader, &k->state, now_us);
    assert_int_equal(leader.counted_us, counted);
    leader_run(k, TICK_US);
    assert_int_equal(leader.counted_us, counted + TICK_US);
}

static void the_count_runs_on_after_a_revocation(void **state)
{
    struct core *k = *state;

    leader_run(k, SECOND_US);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    leader_applied(&leader, &k->state);
    leader_run(k, ttl_us(k) - SECOND_US);
    assert_false(expires(k));
    leader_run(k, 2 * TICK_US);
    assert_true(expires(k));
}

static void what_has_expired_is_not_expired_again(void **state)
{
    struct core *k = *state;

    leader_run(k, ttl_us(k) + TICK_US);
    assert_accepted(core_expire(k), k);
    leader_applied(&leader, &k->state);
    leader_run(k, 10 * SECOND_US);
    assert_false(expires(k));
}

static void a_follower_proposes_nothing(void **state)
{
    struct core *k = *state;

    leader_run(k, 10 * SECOND_US);
    leader_end(&leader);
    assert_false(expires(k));
    leader_tick(&leader, &k->state, now_us + SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void one_proposal_per_service_is_under_way(void **state)
{
    struct core *k = *state;
    unsigned slot = 99, other;

    leader_run(k, ttl_us(k) + TICK_US);
    assert_true(leader_next(&leader, &k->state, k->now_ms, &next, &slot));
    assert_int_equal(slot, APP);
    assert_int_equal(next.at_ms, k->now_ms);
    assert_string_equal(next.who, "leader c1");
    assert_false(leader_next(&leader, &k->state, k->now_ms, &next, &other));
    leader_proposed_done(&leader, slot);
    assert_true(leader_next(&leader, &k->state, k->now_ms, &next, &other));
}

/* --- who is heard --- */

static void a_node_is_silent_after_three_beats_or_two_elections(void **state)
{
    struct core *k = *state; /* three beats are 750 ms, two elections 600 ms */

    leader_run(k, SECOND_US);
    leader_run_deaf(k, 700000); /* and the last beat was a tick ago */
    assert_false(leader_proposes(k, COMMAND_NODE_HEARD));
    leader_run_deaf(k, TICK_US);
    assert_true(leader_proposes(k, COMMAND_NODE_HEARD));
    assert_false(next.node_heard.heard);
    assert_int_equal(next.node_heard.node, NODE_A); /* and never the leader itself */
    k->state.members[0].heard = false;
    k->state.members[1].heard = false;
    assert_false(leader_proposes(k, COMMAND_NODE_HEARD));
    leader_heard(&leader, &k->state, NODE_B, false);
    assert_true(leader_proposes(k, COMMAND_NODE_HEARD));
    assert_true(next.node_heard.heard);
    assert_int_equal(next.node_heard.node, NODE_B);
}

static void a_new_leader_gives_everybody_the_time_to_be_heard(void **state)
{
    struct core *k = *state;

    leader_run_deaf(k, 750000);
    assert_false(leader_proposes(k, COMMAND_NODE_HEARD));
}

static void nobody_is_heard_by_a_leader_that_did_not_hear_them(void **state)
{
    struct core *k = *state;

    k->state.members[0].heard = false;
    leader_run_deaf(k, TICK_US);
    assert_false(leader_proposes(k, COMMAND_NODE_HEARD)); /* not silent for long, but not heard either */
    leader_heard(&leader, &k->state, 99, false);
    leader_heard(&leader, &k->state, NODE_A, false);
    assert_true(leader_proposes(k, COMMAND_NODE_HEARD));
}

static void a_second_node_of_the_site_takes_over_from_a_silent_one(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    k->state.members[0].heard = false;
    leader_run(k, TICK_US);
    assert_false(leader_proposes(k, COMMAND_EXECUTOR_SET)); /* its lease is live */
    core_app(k)->lease.state = LEASE_REVOKED;
    assert_false(leader_proposes(k, COMMAND_EXECUTOR_SET)); /* and may still be acted on */
    core_app(k)->lease.state = LEASE_EXPIRED;
    assert_true(leader_proposes(k, COMMAND_EXECUTOR_SET));
    assert_int_equal(next.executor_set.node, 15);
}

/* Else a coordinator without a database would keep the place, and a failover find nothing to promote. */
static void the_first_node_of_the_site_comes_back_to_its_place(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    core_app(k)->lease.state = LEASE_EXPIRED;
    core_app(k)->views[A].executor = 15;
    core_app(k)->views[A].executor_index = k->state.applied_index;
    leader_run(k, TICK_US);
    assert_true(leader_proposes(k, COMMAND_EXECUTOR_SET));
    assert_int_equal(next.executor_set.node, NODE_A);
}

/* --- transfer --- */

static void a_leader_at_a_primarys_site_hands_over_to_the_witness(void **state)
{
    struct core *k = *state;

    leader_init(&leader, NODE_A, BEAT_MS, TICK_MS);
    leader_begin(&leader, 1, false, now_us);
    leader_run(k, SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0); /* it has not led for long */
    leader_run(k, SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_C);
    k->state.members[2].witness = false;
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_B);
}

static void a_leader_hands_over_only_to_one_that_it_hears(void **state)
{
    struct core *k = *state;

    leader_init(&leader, NODE_A, BEAT_MS, TICK_MS);
    leader_begin(&leader, 1, false, now_us);
    leader_run_deaf(k, 5 * SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void a_leader_where_it_should_be_stays(void **state)
{
    struct core *k = *state;

    leader_run(k, 10 * SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void a_leader_that_ends_is_followed_by_the_best_that_is_heard(void **state)
{
    struct core *k = *state;

    leader_run_deaf(k, SECOND_US);
    assert_int_equal(leader_successor(&leader, &k->state), 0);
    leader_run(k, SECOND_US);
    assert_int_equal(leader_successor(&leader, &k->state),
                     NODE_B); /* this is the witness; A is at the primary's site */
    leader_init(&leader, NODE_B, BEAT_MS, TICK_MS);
    leader_begin(&leader, 2, false, now_us);
    leader_run(k, SECOND_US);
    assert_int_equal(leader_successor(&leader, &k->state), NODE_C);
}

static void three_stalls_in_a_minute_make_the_leader_hand_over(void **state)
{
    struct core *k = *state;

    leader_run(k, 2 * SECOND_US);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
        now_us += 15 * SECOND_US;
        leader_run(k, SECOND_US);
    }
    assert_int_not_equal(leader_transfer_to(&leader, &k->state), 0);
}

static void stalls_that_are_far_apart_are_forgiven(void **state)
{
    struct core *k = *state;

    leader_run(k, 2 * SECOND_US);
    for (unsigned i = 0; i < 10; i++) {
        now_us += 15 * SECOND_US;
        leader_run(k, 30 * SECOND_US);
    }
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
}

/* --- display time --- */

#define NOON_MS INT64_C(1700000000000)

static void the_cluster_version_is_moved_when_every_node_knows_a_newer_one(void **state)
{
    struct core *k = *state;

    leader_run(k, SECOND_US);
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (k->state.members[i].id != 0)
            k->state.members[i].version = 3;
    k->state.members[state_member_slot(&k->state, NODE_B)].version = 2;
    assert_true(leader_proposes(k, COMMAND_CLUSTER_VERSION));
    assert_int_equal(next.cluster_version.version, 2);
    k->state.members[state_member_slot(&k->state, NODE_B)].version = 0;
    assert_false(leader_proposes(k, COMMAND_CLUSTER_VERSION));
}

static void stamps_follow_the_wall_clock(void **state)
{
    struct core *k = *state;

    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(leader_stamp_ms(&leader, &k->state, NOON_MS + i * 50, now_us), NOON_MS + i * 50);
        now_us += TICK_US;
    }
}

static void a_wall_clock_that_jumps_ahead_does_not_end_a_patience(void **state)
{
    struct core *k = *state;
    int64_t stamp_ms = leader_stamp_ms(&leader, &k->state, NOON_MS, now_us);

    for (unsigned i = 0; i < 20; i++) { /* a second passes, and the wall clock says that a year has */
        now_us += TICK_US;
        stamp_ms = leader_stamp_ms(&leader, &k->state, NOON_MS + INT64_C(31536000000), now_us);
    }
    assert_true(stamp_ms - NOON_MS <= 2000);
}

static void a_wall_clock_that_jumps_back_does_not_stop_time(void **state)
{
    struct core *k = *state;
    int64_t begun_ms = leader_stamp_ms(&leader, &k->state, NOON_MS, now_us), stamp_ms = 0;

    for (unsigned i = 0; i < 20; i++) {
        now_us += TICK_US;
        stamp_ms = leader_stamp_ms(&leader, &k->state, 0, now_us);
    }
    assert_true(stamp_ms - begun_ms >= 500);
}

static void a_leader_whose_clock_is_behind_the_log_goes_on_from_the_log(void **state)
{
    struct core *k = *state;
    int64_t stamp_ms;

    k->state.now_ms = NOON_MS + 1000000;
    stamp_ms = leader_stamp_ms(&leader, &k->state, NOON_MS, now_us);
    assert_int_equal(stamp_ms, k->state.now_ms);
    now_us += SECOND_US;
    assert_true(leader_stamp_ms(&leader, &k->state, NOON_MS + 1000, now_us) >= stamp_ms + 500);
}

static void a_wall_clock_without_sense_gives_a_stamp_in_bounds(void **state)
{
    struct core *k = *state;

    assert_int_equal(leader_stamp_ms(&leader, &k->state, INT64_MIN, now_us), k->state.now_ms);
    leader_lead(k, 2);
    assert_int_equal(leader_stamp_ms(&leader, &k->state, INT64_MAX, now_us), AT_MS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, leader_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_expiry_is_proposed_after_a_ttl_and_names_its_renewal),
        TEST(a_renewal_starts_the_count_anew),
        TEST(an_expiry_is_never_proposed_early),
        TEST(a_shorter_ttl_waits_for_the_longer_one_before_it),
        TEST(counts_start_anew_with_a_term),
        TEST(time_asleep_is_not_counted),
        TEST(a_clock_that_goes_back_counts_nothing),
        TEST(the_count_runs_on_after_a_revocation),
        TEST(what_has_expired_is_not_expired_again),
        TEST(a_follower_proposes_nothing),
        TEST(one_proposal_per_service_is_under_way),
        TEST(a_node_is_silent_after_three_beats_or_two_elections),
        TEST(a_new_leader_gives_everybody_the_time_to_be_heard),
        TEST(nobody_is_heard_by_a_leader_that_did_not_hear_them),
        TEST(a_second_node_of_the_site_takes_over_from_a_silent_one),
        TEST(the_first_node_of_the_site_comes_back_to_its_place),
        TEST(a_leader_at_a_primarys_site_hands_over_to_the_witness),
        TEST(a_leader_hands_over_only_to_one_that_it_hears),
        TEST(a_leader_where_it_should_be_stays),
        TEST(a_leader_that_ends_is_followed_by_the_best_that_is_heard),
        TEST(three_stalls_in_a_minute_make_the_leader_hand_over),
        TEST(stalls_that_are_far_apart_are_forgiven),
        TEST(the_cluster_version_is_moved_when_every_node_knows_a_newer_one),
        TEST(stamps_follow_the_wall_clock),
        TEST(a_wall_clock_that_jumps_ahead_does_not_end_a_patience),
        TEST(a_wall_clock_that_jumps_back_does_not_stop_time),
        TEST(a_leader_whose_clock_is_behind_the_log_goes_on_from_the_log),
        TEST(a_wall_clock_without_sense_gives_a_stamp_in_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
