/* Commands from any node, and what their submitter may conclude. */
#include "test_raft_rig.h"

static void a_follower_s_command_is_admitted_and_proposed_by_the_leader_and_its_outcome_comes_back(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    assert_int_equal(rig_submit(r, follower, 5, 0), STATUS_OK);
    assert_int_equal(rig_submit(r, leader, 6, 1), STATUS_OK);
    assert_int_equal(r->answers[0].times + r->answers[1].times, 0);
    assert_true(rig_run_until(r, rig_answered, 0, 0) && rig_run_until(r, rig_answered, 1, 0));
    assert_int_equal(r->answers[0].status, STATUS_OK);
    assert_int_equal(r->answers[0].outcome, STAMPED(5u) * 10);
    assert_int_equal(r->answers[1].outcome, STAMPED(6u) * 10);
    assert_int_equal(r->admit_from, follower + 1);
    r->admit_says = STATUS_REFUSED;
    assert_int_equal(rig_submit(r, leader, 7, 2), STATUS_REFUSED);
    assert_int_equal(rig_submit(r, follower, 7, 3), STATUS_OK);
    assert_true(rig_run_until(r, rig_answered, 3, 0));
    assert_int_equal(r->answers[3].status, STATUS_REFUSED);
    rig_run_ms(r, 1000);
    assert_int_equal(r->nodes[leader].applied_count, 2);
}

static void a_command_without_a_leader_or_a_connection_surely_was_not_sent(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_submit(r, 0, 1, 0), STATUS_NO_LEADER);
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    r->link_refuses = true;
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_UNREACHABLE);
    rig_run_ms(r, 1000);
    assert_int_equal(r->answers[0].times, 0);
    assert_int_equal(r->nodes[leader].applied_count, 0);
}

static void a_lost_answer_is_unknown_at_the_deadline_and_a_late_one_is_ignored(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    r->link_down[leader][follower] = true;
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_OK);
    rig_run_ms(r, 2800);
    assert_int_equal(r->nodes[follower].applied_count, 1); /* it happened; the submitter cannot know */
    assert_int_equal(r->answers[0].times, 0);
    rig_run_ms(r, 400);
    assert_int_equal(r->answers[0].times, 1);
    assert_int_equal(r->answers[0].status, STATUS_UNKNOWN);
    uint8_t late[21] = { 0 };
    for (uint64_t request = 0; request < 100; request++) {
        struct writer w;
        writer_init(&w, late, sizeof late);
        writer_u64(&w, request);
        forward_receive(r->nodes[follower].forward, leader + 1, MESSAGE_FORWARD_ANSWER, late, sizeof late);
    }
    assert_int_equal(r->answers[0].times, 1);
}

static bool applied_there(struct rig *r, unsigned node, unsigned count)
{
    return r->nodes[node].applied_count == count;
}

static void an_answer_that_the_link_does_not_take_is_kept_until_it_does(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_OK);
    r->link_refuses = true; /* the leader's way to the follower: the request is on its way already */
    assert_true(rig_run_until(r, applied_there, leader, 1));
    rig_run_ms(r, 1000);
    assert_int_equal(r->answers[0].times, 0);
    r->link_refuses = false;
    rig_run_ms(r, 500);
    assert_int_equal(r->answers[0].times, 1);
    assert_int_equal(r->answers[0].status, STATUS_OK);
    assert_int_equal(r->answers[0].outcome, STAMPED(1u) * 10);
    rig_run_ms(r, 5000);
    assert_int_equal(r->answers[0].times, 1);
    assert_int_equal(r->nodes[leader].applied_count, 1);
}

/* So does a refusal: the submitter learns that the command surely is not in the log. */
static void a_refusal_that_the_link_does_not_take_is_kept_too(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    r->admit_says = STATUS_REFUSED;
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_OK);
    r->link_refuses = true;
    rig_run_ms(r, 1000);
    assert_int_equal(r->answers[0].times, 0);
    r->link_refuses = false;
    rig_run_ms(r, 500);
    assert_int_equal(r->answers[0].times, 1);
    assert_int_equal(r->answers[0].status, STATUS_REFUSED);
}

static void an_answer_is_not_kept_for_longer_than_anybody_waits(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_OK);
    r->link_refuses = true;
    assert_true(rig_run_until(r, applied_there, leader, 1));
    rig_run_ms(r, FORWARD_ANSWER_KEPT_MS);
    assert_int_equal(r->answers[0].status, STATUS_UNKNOWN);
    r->link_refuses = false;
    rig_run_ms(r, 500);
    assert_int_equal(r->answers_taken, 0);
}

/* With every slot taken by an answer that is kept: the oldest gives way to the next request. */
static void answers_that_nobody_takes_stand_in_nobody_s_way(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES, third = (leader + 2) % NODES;
    r->admit_says = STATUS_REFUSED;
    for (unsigned i = 0; i < FORWARD_SERVED_MAX; i++)
        assert_int_equal(rig_submit(r, follower, i, i), STATUS_OK);
    r->link_refuses = true;
    rig_run_ms(r, 500);
    r->admit_says = STATUS_OK;
    r->link_refuses = false;
    assert_int_equal(rig_submit(r, third, 7, 98), STATUS_OK);
    r->link_refuses = true;
    rig_run_ms(r, 500);
    r->link_refuses = false;
    rig_run_ms(r, 500);
    assert_int_equal(r->answers[98].times, 1);
    assert_int_equal(r->answers[98].status, STATUS_OK);
    assert_int_equal(r->answers[0].times, 0);
    for (unsigned i = 1; i < FORWARD_SERVED_MAX; i++)
        assert_int_equal(r->answers[i].status, STATUS_REFUSED);
}

static void a_request_for_which_the_leader_has_no_room_is_refused(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES, third = (leader + 2) % NODES;
    for (unsigned i = 0; i < FORWARD_SERVED_MAX; i++)
        assert_int_equal(rig_submit(r, follower, i, i), STATUS_OK);
    assert_int_equal(rig_submit(r, third, 7, 98), STATUS_OK);
    assert_true(rig_run_until(r, rig_answered, 98, 0));
    assert_int_equal(r->answers[98].status, STATUS_FULL);
    assert_true(rig_run_until(r, applied_there, leader, FORWARD_SERVED_MAX));
    rig_run_ms(r, 500);
    for (unsigned i = 0; i < FORWARD_SERVED_MAX; i++)
        assert_int_equal(r->answers[i].status, STATUS_OK);
}

static void a_command_sent_to_a_leader_that_is_replaced_is_unknown_soon(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    rig_isolate(r, leader, true);
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_OK); /* lost on the way; it still believes in the leader */
    raft_time begin = raft_fixture_time(&r->fixture);
    assert_true(rig_run_until(r, rig_answered, 0, 0));
    assert_int_equal(r->answers[0].status, STATUS_UNKNOWN);
    assert_true(raft_fixture_time(&r->fixture) - begin < 3000); /* before its deadline */
}

static void outstanding_commands_are_bounded(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES;
    r->link_down[follower][leader] = true;
    for (unsigned i = 0; i < FORWARD_OUTSTANDING_MAX; i++)
        assert_int_equal(rig_submit(r, follower, i, i), STATUS_OK);
    assert_int_equal(rig_submit(r, follower, 1, 99), STATUS_FULL);
    rig_run_ms(r, 3200);
    for (unsigned i = 0; i < FORWARD_OUTSTANDING_MAX; i++)
        assert_int_equal(r->answers[i].status, STATUS_UNKNOWN);
    r->link_down[follower][leader] = false;
    assert_int_equal(rig_submit(r, follower, 1, 98), STATUS_OK);
    assert_true(rig_run_until(r, rig_answered, 98, 0));
    assert_int_equal(r->answers[98].status, STATUS_OK);
}

static void broken_or_foreign_messages_change_nothing(void **state)
{
    struct rig *r = *state;
    unsigned leader = rig_elect(r), follower = (leader + 1) % NODES, third = (leader + 2) % NODES;
    uint8_t bytes[64] = { 0 };
    struct writer w;
    r->link_down[leader][follower] = true; /* the true answer does not come */
    assert_int_equal(rig_submit(r, follower, 1, 0), STATUS_OK);
    uint64_t request = (uint64_t)rig_now_us(&r->nodes[0]);
    for (uint64_t id = 0; id < request + 10; id += id < 10 || id + 10 > request ? 1 : request - 20) {
        writer_init(&w, bytes, sizeof bytes);
        writer_u64(&w, id);
        writer_u8(&w, STATUS_OK);
        writer_u64(&w, 9);
        writer_u32(&w, 0);
        forward_receive(r->nodes[follower].forward, third + 1, MESSAGE_FORWARD_ANSWER, bytes, w.used);
    }
    assert_int_equal(r->answers[0].times, 0); /* not from whom it asked */
    for (size_t length = 0; length < sizeof bytes; length++) {
        memset(bytes, 0xff, sizeof bytes);
        forward_receive(r->nodes[leader].forward, follower + 1, MESSAGE_FORWARD_REQUEST, bytes, length);
        forward_receive(r->nodes[follower].forward, leader + 1, MESSAGE_FORWARD_ANSWER, bytes, length);
        forward_receive(r->nodes[follower].forward, leader + 1, 77, bytes, length);
    }
    rig_run_ms(r, 2500);
    assert_int_equal(r->nodes[leader].applied_count, 1);
    assert_int_equal(r->answers[0].times, 0);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_follower_s_command_is_admitted_and_proposed_by_the_leader_and_its_outcome_comes_back),
        RIG_TEST(a_command_without_a_leader_or_a_connection_surely_was_not_sent),
        RIG_TEST(a_lost_answer_is_unknown_at_the_deadline_and_a_late_one_is_ignored),
        RIG_TEST(an_answer_that_the_link_does_not_take_is_kept_until_it_does),
        RIG_TEST(an_answer_is_not_kept_for_longer_than_anybody_waits),
        RIG_TEST(a_refusal_that_the_link_does_not_take_is_kept_too),
        RIG_TEST(answers_that_nobody_takes_stand_in_nobody_s_way),
        RIG_TEST(a_request_for_which_the_leader_has_no_room_is_refused),
        RIG_TEST(a_command_sent_to_a_leader_that_is_replaced_is_unknown_soon),
        RIG_TEST(outstanding_commands_are_bounded),
        RIG_TEST(broken_or_foreign_messages_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
