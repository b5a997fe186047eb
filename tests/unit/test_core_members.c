/* Who joins, leaves, votes and leads; what a forced recovery leaves of the rights of before. */
#include "core_leader_fixture.h"

#include "core/membership.h"

static bool add(struct core *k, const char *name, const char *site, const char *address)
{
    struct command *c = core_command(k, COMMAND_MEMBER_ADD);

    text_set(c->member_add.name, NAME_MAX_BYTES, "%s", name);
    text_set(c->member_add.site, NAME_MAX_BYTES, "%s", site);
    text_set(c->member_add.address, ADDRESS_MAX_BYTES, "%s", address);
    c->member_add.voter = true;
    return core_apply(k);
}

static bool leave(struct core *k, node_id node, uint32_t overrides)
{
    struct command *c = core_command(k, COMMAND_MEMBER_REMOVE);

    c->member_remove.node = node;
    c->member_remove.overrides = overrides;
    return core_apply(k);
}

static bool set_vote(struct core *k, node_id node, bool voter)
{
    struct command *c = core_command(k, COMMAND_MEMBER_SET);

    c->member_set.node = node;
    c->member_set.voter = voter;
    return core_apply(k);
}

static bool want_lead(struct core *k, node_id node)
{
    core_command(k, COMMAND_LEAD)->lead.node = node;
    return core_apply(k);
}

static bool recover(struct core *k, uint64_t generation, node_id node)
{
    struct command *c = core_command(k, COMMAND_RECOVER);

    c->recover.generation = generation;
    c->recover.node = node;
    return core_apply(k);
}

/* --- add --- */

static void ids_rise_and_are_never_given_again(void **state)
{
    struct core *k = *state;

    assert_accepted(add(k, "d1", "site-d", "10.0.0.4:7400"), k);
    assert_int_equal(k->outcome.value, NODE_C + 1);
    assert_accepted(leave(k, NODE_C + 1, 0), k);
    assert_true(member_removed(&k->state, NODE_C + 1));
    assert_accepted(add(k, "d1", "site-d", "10.0.0.4:7400"), k);
    assert_int_equal(k->outcome.value, NODE_C + 2);
    assert_false(member_removed(&k->state, NODE_C + 2));
    assert_false(member_removed(&k->state, NODE_C + 3)); /* never given: only not known here yet */
}

static void a_new_site_is_made_and_an_unused_one_gives_its_place(void **state)
{
    struct core *k = *state;

    for (unsigned i = 3; i < SITES_MAX; i++) {
        char name[8], address[24];

        text_set(name, sizeof name, "x%u", i);
        text_set(address, sizeof address, "10.0.0.%u:7400", i);
        assert_accepted(add(k, name, name, address), k);
        assert_int_equal(k->state.members[i].site, i);
    }
    assert_refused(add(k, "y1", "site-y", "10.0.0.9:7400"), k);
    core_expect_reason(k, "sites");
    assert_accepted(leave(k, NODE_C + 2, 0), k);
    assert_accepted(add(k, "y1", "site-y", "10.0.0.9:7400"), k);
    assert_int_equal(state_site(&k->state, "site-y"), 4);
    assert_int_equal(state_site(&k->state, "x4"), SITE_NONE);
}

static void a_name_or_address_that_is_taken_is_refused(void **state)
{
    struct core *k = *state;

    assert_refused(add(k, "a1", "site-d", "10.0.0.4:7400"), k);
    core_expect_reason(k, "coordctl members remove a1");
    assert_accepted(add(k, "d1", "site-d", "10.0.0.4:7400"), k);
    assert_refused(add(k, "d2", "site-d", "10.0.0.4:7400"), k);
    assert_refused(add(k, "", "site-d", "10.0.0.5:7400"), k);
}

static void the_cluster_has_a_most(void **state)
{
    struct core *k = *state;

    for (unsigned i = 3; i < NODES_MAX; i++) {
        char name[8];

        text_set(name, sizeof name, "x%u", i);
        assert_accepted(add(k, name, "site-c", name), k);
    }
    assert_refused(add(k, "one-more", "site-c", "one-more:7400"), k);
}

static void the_place_of_one_that_left_knows_nothing_of_it(void **state)
{
    struct core *k = *state;

    assert_int_equal(core_app(k)->views[B].executor, NODE_B);
    assert_accepted(leave(k, NODE_B, 0), k);
    assert_int_equal(core_app(k)->views[B].executor, 0);
    assert_accepted(add(k, "b2", "site-b", "10.0.0.5:7400"), k);
    assert_int_equal(state_member_slot(&k->state, NODE_C + 1), 1);
    assert_int_equal(core_app(k)->views[A].opinions[1].word, OPINION_UNKNOWN);
    assert_false(k->state.members[1].heard);
    assert_accepted(core_heard(k, NODE_C + 1, true), k);
    assert_accepted(core_executor(k, B, NODE_C + 1), k);
}

/* --- remove and demote --- */

static void a_change_that_leaves_no_heard_majority_is_refused_for_good(void **state)
{
    struct core *k = *state;

    assert_accepted(core_heard(k, NODE_C, false), k);
    assert_refused(leave(k, NODE_B, 1u << MEMBER_GATE_QUORUM), k);
    core_expect_reason(k, "gate quorum: without b1 there are 2 voters, of which 1 are heard");
    assert_refused(set_vote(k, NODE_B, false), k);
    assert_accepted(leave(k, NODE_C, 0), k); /* the silent one is no loss */
}

static void the_last_but_one_voter_stays_unless_a_person_types_it(void **state)
{
    struct core *k = *state;

    assert_accepted(leave(k, NODE_C, 0), k);
    assert_refused(leave(k, NODE_B, 0), k);
    core_expect_reason(k, "gate voters");
    assert_accepted(leave(k, NODE_B, 1u << MEMBER_GATE_VOTERS), k);
    assert_true(core_event_says(k, EVENT_ALARM, "gate voters overridden for node b1"));
}

static void the_holder_of_a_running_lease_stays_unless_a_person_types_it(void **state)
{
    struct core *k = *state;

    assert_refused(leave(k, NODE_A, 0), k);
    core_expect_reason(k, "gate lease: a1 holds the lease of service app");
    assert_accepted(set_vote(k, NODE_A, false), k); /* a member without vote may hold a lease */
    assert_accepted(set_vote(k, NODE_A, true), k);
    assert_accepted(core_expire(k), k);
    assert_accepted(leave(k, NODE_A, 0), k);
}

static void a_node_with_an_open_step_stays(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_refused(leave(k, NODE_B, 0), k);
    core_expect_reason(k, "gate");
    assert_int_equal(member_gates_check(&k->state, NODE_B, true, 0) >> MEMBER_GATE_LEASE & 1, 1);
    assert_int_equal(member_gates_check(&k->state, NODE_C, true, 0) >> MEMBER_GATE_LEASE & 1, 0);
}

static void whoever_has_no_vote_outside_is_no_voice_in_a_verdict(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_int_equal(core_app(k)->views[A].verdict, VERDICT_DOWN);
    assert_accepted(add(k, "d1", "site-d", "10.0.0.4:7400"), k);
    assert_accepted(set_vote(k, NODE_C + 1, false), k);
    assert_accepted(core_heard(k, NODE_C + 1, true), k);
    assert_accepted(core_opinion(k, NODE_B, A, OPINION_UNKNOWN, ROLE_UNKNOWN, 0), k);
    assert_accepted(core_opinion(k, NODE_C + 1, A, OPINION_FAILED, ROLE_UNKNOWN, 1u << KIND_DATABASE), k);
    assert_int_not_equal(core_app(k)->views[A].verdict, VERDICT_DOWN); /* of b1 and c1, one says so */
    assert_accepted(set_vote(k, NODE_C + 1, true), k);
    assert_int_equal(core_app(k)->views[A].verdict, VERDICT_DOWN);
}

static void what_is_unwise_is_said(void **state)
{
    struct core *k = *state;
    char text[300];

    assert_false(member_warning(&k->state, 0, text, sizeof text));
    assert_accepted(add(k, "c2", "site-c", "10.0.0.4:7400"), k);
    assert_true(member_warning(&k->state, 0, text, sizeof text));
    assert_non_null(strstr(text, "4 voters survive the loss of no more nodes than 3"));
    assert_false(member_warning(&k->state, 1, text, sizeof text));
    assert_accepted(add(k, "c3", "site-c", "10.0.0.5:7400"), k);
    assert_true(member_warning(&k->state, 0, text, sizeof text));
    assert_non_null(strstr(text, "site site-c has 3 of 5 voters"));
}

/* --- who leads --- */

static void a_person_s_wish_who_leads_stands_for_a_while(void **state)
{
    struct core *k = *state;

    leader_run(k, 10 * SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
    assert_accepted(want_lead(k, NODE_A), k);
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_A);
    leader_init(&leader, NODE_A, BEAT_MS, TICK_MS); /* a1 leads: it stays, though a witness could */
    leader_lead(k, 2);
    leader_run(k, 10 * SECOND_US);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
    core_pass(k, 600001);
    assert_accepted(core_renew(k, true), k);
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_C);
}

static void only_a_voter_that_is_heard_may_be_asked_to_lead(void **state)
{
    struct core *k = *state;

    assert_refused(want_lead(k, 99), k);
    assert_accepted(set_vote(k, NODE_B, false), k);
    assert_refused(want_lead(k, NODE_B), k);
    assert_accepted(core_heard(k, NODE_C, false), k);
    assert_refused(want_lead(k, NODE_C), k);
}

static void a_leader_that_shall_not_vote_hands_over_at_once(void **state)
{
    struct core *k = *state;

    for (node_id n = NODE_A; n <= NODE_C; n++)
        leader_heard(&leader, &k->state, n, false);
    leader_tick(&leader, &k->state, now_us);
    assert_int_equal(leader_transfer_to(&leader, &k->state), 0);
    assert_accepted(leave(k, NODE_C, 0), k);
    leader_applied(&leader, &k->state);
    assert_int_equal(leader_transfer_to(&leader, &k->state), NODE_B); /* not at the primary's site */
    assert_int_equal(member_successor(&k->state, NODE_A), NODE_B);
}

static void one_in_the_place_of_another_is_not_heard_for_it(void **state)
{
    struct core *k = *state;

    leader_run(k, SECOND_US);
    assert_accepted(leave(k, NODE_B, 0), k);
    assert_accepted(add(k, "b2", "site-b", "10.0.0.5:7400"), k);
    leader_applied(&leader, &k->state);
    assert_false(leader_proposes(k, COMMAND_NODE_HEARD));
    leader_heard(&leader, &k->state, NODE_C + 1, false);
    assert_true(leader_proposes(k, COMMAND_NODE_HEARD));
    assert_int_equal(next.node_heard.node, NODE_C + 1);
}

/* --- Raft's own list --- */

static const struct raft_seat first_seats[4] = { { NODE_A, SEAT_VOTER, true },
                                                 { NODE_B, SEAT_VOTER, true },
                                                 { NODE_C, SEAT_VOTER, true } };
static struct raft_seat seats[4];

static void step_is(struct core *k, size_t count, enum membership_act act, node_id node)
{
    struct membership_step step = membership_next(&k->state, NODE_C, seats, count);

    assert_int_equal(step.act, act);
    assert_int_equal(step.node, node);
}

static void a_new_one_goes_from_spare_to_standby_and_votes_when_it_is_heard(void **state)
{
    struct core *k = *state;
    node_id d = NODE_C + 1;

    memcpy(seats, first_seats, sizeof seats);
    step_is(k, 3, MEMBERSHIP_SETTLED, 0);
    assert_accepted(add(k, "d1", "site-d", "10.0.0.4:7400"), k);
    step_is(k, 3, MEMBERSHIP_ADD, d);
    seats[3] = (struct raft_seat){ d, SEAT_SPARE, true };
    step_is(k, 4, MEMBERSHIP_STANDBY, d);
    seats[3].kind = SEAT_STANDBY;
    step_is(k, 4, MEMBERSHIP_SETTLED, 0);
    assert_accepted(core_heard(k, d, true), k);
    step_is(k, 4, MEMBERSHIP_VOTER, d);
    assert_accepted(set_vote(k, d, false), k);
    step_is(k, 4, MEMBERSHIP_SETTLED, 0);
    seats[3].kind = SEAT_VOTER;
    step_is(k, 4, MEMBERSHIP_STANDBY, d);
    assert_accepted(leave(k, d, 0), k);
    step_is(k, 4, MEMBERSHIP_REMOVE, d);
}

static void the_leader_never_takes_its_own_majority_away(void **state)
{
    struct core *k = *state;

    memcpy(seats, first_seats, sizeof seats);
    assert_accepted(leave(k, NODE_B, 0), k);
    step_is(k, 3, MEMBERSHIP_REMOVE, NODE_B);
    seats[0].heard = false; /* since the entry was applied */
    step_is(k, 3, MEMBERSHIP_SETTLED, 0);
    seats[1].heard = false; /* no more is lost by its leaving than is lost already */
    step_is(k, 3, MEMBERSHIP_SETTLED, 0);
}

static void the_silent_leave_first_and_the_heard_only_when_the_new_ones_vote(void **state)
{
    struct core *k = *state;
    node_id d = NODE_C + 1;

    memcpy(seats, first_seats, sizeof seats);
    assert_accepted(add(k, "d1", "site-d", "10.0.0.4:7400"), k);
    assert_accepted(core_heard(k, d, true), k);
    assert_accepted(leave(k, NODE_B, 0), k);
    seats[3] = (struct raft_seat){ d, SEAT_STANDBY, true };
    step_is(k, 4, MEMBERSHIP_VOTER, d);
    seats[1].heard = false;
    step_is(k, 4, MEMBERSHIP_REMOVE, NODE_B);
    seats[1].heard = true;
    seats[3].kind = SEAT_VOTER;
    step_is(k, 4, MEMBERSHIP_REMOVE, NODE_B);
}

static void the_leader_removes_everybody_but_itself(void **state)
{
    struct core *k = *state;

    memcpy(seats, first_seats, sizeof seats);
    assert_accepted(leave(k, NODE_C, 0), k);
    step_is(k, 3, MEMBERSHIP_SETTLED, 0);
}

/* --- recovery --- */

static void a_recovery_leaves_one_member_and_no_right_of_before(void **state)
{
    struct core *k = *state;
    epoch_t before = k->state.epoch_counter;

    assert_int_equal(k->state.generation, 1);
    assert_refused(recover(k, 1, NODE_A), k);
    assert_refused(recover(k, 2, 99), k);
    assert_accepted(set_vote(k, NODE_A, false), k);
    assert_accepted(recover(k, 2, NODE_A), k);
    assert_int_equal(k->state.generation, 2);
    assert_int_equal(state_member_count(&k->state), 1);
    assert_int_equal(member_voter_count(&k->state), 1);
    assert_true(member_removed(&k->state, NODE_B));
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED);
    assert_refused(core_renew(k, true), k);
    assert_refused(core_grant(k, A, true), k); /* what was lost may have given the right to another site */
    core_expect_reason(k, "it runs out first");
    assert_accepted(core_expire_alone(k), k);
    assert_false(certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL));
    assert_accepted(core_grant(k, A, true), k); /* the site gets its right again, under an epoch above all of before */
    assert_true(core_app(k)->lease.epoch > before + 1000);
    assert_true(core_event_says(k, EVENT_ALARM, "generation 2 begins with node a1 alone: a forced recovery by test"));
}

static void what_had_expired_before_the_recovery_runs_out_anew(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_accepted(recover(k, 2, NODE_A), k);
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED);
    assert_int_equal(core_app(k)->lease.renewed_index, k->state.applied_index);
    assert_refused(core_grant(k, A, true), k);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_grant(k, A, true), k);
}

/* The old holder and all that may have promised it something are given up with the old generation: nobody is left to say that it is over. */
static void a_new_node_at_the_primarys_site_is_granted_after_a_recovery(void **state)
{
    struct core *k = *state;

    assert_accepted(recover(k, 2, NODE_C), k);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(add(k, "a2", "site-a", "10.0.0.9:7400"), k);
    assert_accepted(core_executor(k, A, NODE_C + 1), k);
    assert_accepted(core_grant(k, A, true), k);
}

static void an_expiry_of_before_the_recovery_proves_nothing_after_it(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_true(certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL) ||
                certificate_expiry_is_proof(&core_app(k)->lease));
    assert_accepted(recover(k, 2, NODE_B), k);
    assert_false(certificate_expiry_is_proof(&core_app(k)->lease));
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_false(certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL));
    assert_refused(core_promote(k, B), k);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, leader_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_rise_and_are_never_given_again),
        TEST(a_new_site_is_made_and_an_unused_one_gives_its_place),
        TEST(a_name_or_address_that_is_taken_is_refused),
        TEST(the_cluster_has_a_most),
        TEST(the_place_of_one_that_left_knows_nothing_of_it),
        TEST(a_change_that_leaves_no_heard_majority_is_refused_for_good),
        TEST(the_last_but_one_voter_stays_unless_a_person_types_it),
        TEST(the_holder_of_a_running_lease_stays_unless_a_person_types_it),
        TEST(a_node_with_an_open_step_stays),
        TEST(whoever_has_no_vote_outside_is_no_voice_in_a_verdict),
        TEST(what_is_unwise_is_said),
        TEST(a_person_s_wish_who_leads_stands_for_a_while),
        TEST(only_a_voter_that_is_heard_may_be_asked_to_lead),
        TEST(a_leader_that_shall_not_vote_hands_over_at_once),
        TEST(one_in_the_place_of_another_is_not_heard_for_it),
        TEST(a_new_one_goes_from_spare_to_standby_and_votes_when_it_is_heard),
        TEST(the_leader_never_takes_its_own_majority_away),
        TEST(the_silent_leave_first_and_the_heard_only_when_the_new_ones_vote),
        TEST(the_leader_removes_everybody_but_itself),
        TEST(a_recovery_leaves_one_member_and_no_right_of_before),
        TEST(what_had_expired_before_the_recovery_runs_out_anew),
        TEST(a_new_node_at_the_primarys_site_is_granted_after_a_recovery),
        TEST(an_expiry_of_before_the_recovery_proves_nothing_after_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
