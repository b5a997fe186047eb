/* Leadership, entries, and what a proposer may conclude. */
#include "test_raft_rig.h"

static bool somebody_elected(struct rig *r, unsigned a, unsigned b)
{
    (void)a, (void)b;
    for (unsigned i = 0; i < NODES; i++)
        if (rig_role(r, i) == RNODE_ELECTED)
            return true;
    return false;
}

static void leadership_is_not_published_before_the_first_entry_of_the_term_is_committed(void **state)
{
    struct rig *r = *state;
    unsigned elected = 0;
    assert_true(rig_run_until(r, somebody_elected, 0, 0));
    while (rig_role(r, elected) != RNODE_ELECTED)
        elected++;
    for (unsigned i = 0; i < NODES; i++)
        if (i != elected)
            raft_fixture_saturate(&r->fixture, i, elected); /* it is not told that they stored it */
    assert_int_equal(rnode_leadership(r->nodes[elected].rnode).leader, 0);
    assert_int_equal(rig_propose(r, elected, 1, 0), STATUS_NO_LEADER);
    rig_run_ms(r, 300);
    assert_int_equal(r->nodes[elected].led, 0);
    assert_int_equal(rig_propose(r, elected, 1, 0), STATUS_NO_LEADER);
    rig_isolate(r, elected, false);
    unsigned leader = rig_elect(r);
    assert_int_equal(r->nodes[leader].led, 1);
    assert_true(rnode_leads(r->nodes[leader].rnode, rnode_leadership(r->nodes[leader].rnode).term));
    assert_false(rnode_leads(r->nodes[leader].rnode, rnode_leadership(r->nodes[leader].rnode).term + 1));
}

static bool has_voted_in_new_term(struct rig *r, unsigned voter, unsigned term)
{
    return rnode_leadership(r->nodes[voter].rnode).term > term;
}

/* libraft 0.15 alone: the old leader commits A by counting, the one with the later term wins and overwrites it. */
static void an_entry_that_was_applied_stays_whoever_is_elected_next(void **state)
{
    struct rig *r = *state;
    unsigned s0 = rig_elect(r);
    unsigned s1 = (s0 + 1) % NODES, s2 = (s0 + 2) % NODES;
    unsigned old_term = (unsigned)rnode_leadership(r->nodes[s0].rnode).term;
    rig_isolate(r, s0, true);
    assert_int_equal(rig_propose(r, s0, 77, 0), STATUS_OK); /* A: only in the log of s0 */
    /* One of the others gets the vote of the other, and is cut off before its first entry leaves. */
    assert_true(rig_run_until(r, has_voted_in_new_term, s1, old_term) &&
                rig_run_until(r, has_voted_in_new_term, s2, old_term));
    bool s1_stands = rig_role(r, s1) == RNODE_CANDIDATE;
    if (s1_stands) {
        unsigned swap = s1;
        s1 = s2;
        s2 = swap;
    }
    assert_int_equal(rig_role(r, s2), RNODE_CANDIDATE);
    raft_fixture_saturate(&r->fixture, s2, s1);
    assert_true(rig_run_until(r, somebody_elected, 0, 0));
    assert_int_equal(rig_role(r, s2), RNODE_ELECTED);
    rig_isolate(r, s2, true);
    rig_cut(r, s0, s1, false);
    assert_true(rig_run_until(r, rig_leads, s0, 0)); /* its log is longer than that of s1 */
    assert_true(rig_run_until(r, rig_has_applied, s0, 1) && rig_run_until(r, rig_has_applied, s1, 1));
    assert_int_equal(r->nodes[s1].applied[0], 77);
    assert_int_equal(r->answers[0].times, 1);
    assert_int_equal(r->answers[0].status,
                     STATUS_UNKNOWN); /* it was in between no leader, and did not see it through */
    rig_isolate(r, s0, true);
    rig_cut(r, s1, s2, false);
    assert_true(rig_run_until(r, rig_one_of_leads, s1, s2));
    assert_true(rig_run_until(r, rig_has_applied, s2, 1)); /* A came to s2, and not something else over it */
    assert_int_equal(r->nodes[s2].applied[0], 77);
    rig_isolate(r, s0, false);
    rig_run_ms(r, 5000);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(r->nodes[i].applied_count, 1);
        assert_int_equal(r->nodes[i].fatals, 0);
    }
}

static void a_proposal_of_a_leader_cut_off_is_unknown_and_the_others_go_on(void **state)
{
    struct rig *r = *state;
    unsigned old = rig_elect(r);
    assert_int_equal(rig_propose(r, old, 1, 0), STATUS_OK);
    assert_int_equal(r->answers[0].times, 0); /* never before the call returns */
    assert_true(rig_run_until(r, rig_answered, 0, 0));
    assert_int_equal(r->answers[0].status, STATUS_OK);
    assert_int_equal(r->answers[0].outcome, 10);
    rig_isolate(r, old, true);
    assert_int_equal(rig_propose(r, old, 2, 1), STATUS_OK);
    assert_true(rig_run_until(r, rig_one_of_leads, (old + 1) % NODES, (old + 2) % NODES));
    unsigned next = rig_role(r, (old + 1) % NODES) == RNODE_LEADER ? (old + 1) % NODES : (old + 2) % NODES;
    assert_int_equal(rig_propose(r, next, 3, 2), STATUS_OK);
    assert_true(rig_run_until(r, rig_answered, 2, 0));
    assert_int_equal(r->answers[2].status, STATUS_OK);
    assert_true(rig_run_until(r, rig_answered, 1, 0));
    assert_int_equal(r->answers[1].status, STATUS_UNKNOWN);
    assert_int_equal(r->answers[1].index, r->answers[0].index + 1);
    assert_int_equal(rig_propose(r, old, 4, 3), STATUS_NO_LEADER);
    rig_isolate(r, old, false);
    assert_true(rig_run_until(r, rig_has_applied, old, 2));
    rig_run_ms(r, 3000);
    assert_int_equal(r->nodes[old].applied_count, 2);
    assert_int_equal(r->nodes[old].applied[1], 3); /* 2 was overwritten: unknown was right */
}

static void proposals_are_bounded_in_number_and_size(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r);
    static uint8_t big[RNODE_PAYLOAD_MAX_BYTES + 1];
    assert_int_equal(rnode_propose(r->nodes[leader].rnode, big, sizeof big, rig_on_answer, &r->answers[99]),
                     STATUS_INVALID);
    assert_int_equal(rnode_propose(r->nodes[leader].rnode, big, 0, rig_on_answer, &r->answers[99]), STATUS_INVALID);
    rig_isolate(r, leader, true);
    for (unsigned i = 0; i < RNODE_INFLIGHT_MAX; i++)
        assert_int_equal(rig_propose(r, leader, i, i), STATUS_OK);
    assert_int_equal(rig_propose(r, leader, 999, 99), STATUS_FULL);
    for (unsigned i = 0; i < RNODE_INFLIGHT_MAX; i++)
        assert_true(rig_run_until(r, rig_answered, i, 0));
    assert_int_equal(r->answers[0].status, STATUS_UNKNOWN);
    assert_int_equal(r->answers[99].times, 0);
}

static void an_entry_that_is_not_ours_ends_every_node_that_would_apply_it(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r);
    static struct raft_apply request;
    struct raft_buffer noise = { .base = raft_calloc(1, 64), .len = 64 };
    assert_int_equal(raft_apply(&r->nodes[leader].rnode->raft, &request, &noise, 1, NULL), 0);
    rig_run_ms(r, 2000);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(r->nodes[i].applied_count, 0);
        assert_true(r->nodes[i].fatals <= 1);
    }
    assert_int_equal(r->nodes[leader].fatals, 1);
    assert_non_null(strstr(r->nodes[leader].reason, "cannot apply the log"));
}

static void contact_is_known_by_node(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r);
    unsigned other = (leader + 1) % NODES;
    rig_run_ms(r, 500);
    int64_t now = rig_now_us(&r->nodes[0]);
    assert_true(now - rnode_last_heard_us(r->nodes[leader].rnode, other + 1) < 300000);
    assert_true(rnode_last_heard_us(r->nodes[leader].rnode, 77) == INT64_MIN);
    rig_cut(r, leader, other, true);
    rig_run_ms(r, 350); /* below its election timeout: the leader is not disturbed yet */
    now = rig_now_us(&r->nodes[0]);
    assert_true(now - rnode_last_heard_us(r->nodes[leader].rnode, other + 1) > 300000);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(leadership_is_not_published_before_the_first_entry_of_the_term_is_committed),
        RIG_TEST(an_entry_that_was_applied_stays_whoever_is_elected_next),
        RIG_TEST(a_proposal_of_a_leader_cut_off_is_unknown_and_the_others_go_on),
        RIG_TEST(proposals_are_bounded_in_number_and_size),
        RIG_TEST(an_entry_that_is_not_ours_ends_every_node_that_would_apply_it),
        RIG_TEST(contact_is_known_by_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
