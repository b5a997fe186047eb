/* Three rnodes with forward on libraft's own deterministic fixture: schedules that real time does not hit. Runs on every supported libraft.
 *
 * The fixture makes its own struct raft for each server; ours takes its raft_io over (a copy, so that closing ours does not close it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/forward.h"
#include "raft/rnode.h"
#include "raft/rnode_internal.h"

#include <raft/fixture.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define APPLIED_MAX 200
#define MESSAGES_MAX 200
#define ANSWERS_MAX 100

struct rig;

struct rig_node {
    struct rig *rig;
    unsigned self;
    struct raft_io io; /* a copy of the fixture's */
    struct raft_io *real;
    raft_io_close_cb close_cb;
    struct rnode *rnode;
    struct forward *forward;
    struct message_link link;
    uint32_t applied[APPLIED_MAX];
    unsigned applied_count;
    unsigned led; /* how often it was published as leader */
    unsigned randoms;
    unsigned fatals;
    char reason[300];
    bool closed;
};

struct rig_message {
    unsigned from, to;
    uint8_t type;
    size_t length;
    uint8_t bytes[128];
};

struct answer {
    enum status status;
    uint64_t index;
    uint32_t outcome;
    unsigned times;
};

struct rig {
    struct raft_fixture fixture;
    struct raft_fsm no_fsm[NODES];
    struct rig_node nodes[NODES];
    struct rig_message messages[MESSAGES_MAX];
    unsigned message_count;
    bool link_down[NODES][NODES];
    bool link_refuses;
    enum status admit_says;
    node_id admit_from;
    struct answer answers[ANSWERS_MAX];
};

/* ---- the rig ---- */

static size_t on_apply(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length, uint8_t *outcome)
{
    struct rig_node *n = ctx;
    struct reader r;
    struct writer w;
    assert_true(index > 0 && term > 0);
    reader_init(&r, bytes, length);
    uint32_t number = reader_u32(&r);
    assert_true(reader_done(&r));
    assert_true(n->applied_count < APPLIED_MAX);
    n->applied[n->applied_count++] = number;
    writer_init(&w, outcome, OUTCOME_MAX_BYTES);
    writer_u32(&w, number * 10);
    return w.used;
}

static enum status on_snapshot(void *ctx, uint8_t *out, size_t capacity, size_t *used)
{
    (void)ctx, (void)out, (void)capacity;
    *used = 0;
    return STATUS_OK;
}

static enum status on_restore(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length)
{
    (void)ctx, (void)index, (void)term, (void)bytes, (void)length;
    return STATUS_OK;
}

static void on_leadership(void *ctx, const struct rnode_leadership *now)
{
    struct rig_node *n = ctx;
    n->led += now->role == RNODE_LEADER;
    if (n->forward != NULL)
        forward_leadership(n->forward, now);
}

static void on_tick(void *ctx)
{
    struct rig_node *n = ctx;
    if (n->forward != NULL)
        forward_tick(n->forward);
}

static int64_t now_us(void *ctx)
{
    struct rig_node *n = ctx;
    return 1000 * (int64_t)raft_fixture_time(&n->rig->fixture);
}

static void on_fatal(void *ctx, const char *reason)
{
    struct rig_node *n = ctx;
    n->fatals++;
    snprintf(n->reason, sizeof n->reason, "%s", reason);
}

static struct rig_node *node_of_io(struct raft_io *io)
{
    return (struct rig_node *)(void *)((char *)io - offsetof(struct rig_node, io));
}

static int io_random(struct raft_io *io, int min, int max)
{
    struct rig_node *n = node_of_io(io);
    unsigned x = (n->self + 1) * 2654435761u + ++n->randoms * 40503u;
    return min + (int)((x >> 8) % ((unsigned)max - (unsigned)min + 1u));
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    node_of_io(io)->close_cb = cb; /* called when what is under way in the fixture is done */
}

static enum status link_send(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct rig_node *n = ctx;
    struct rig *r = n->rig;
    if (r->link_refuses)
        return STATUS_UNREACHABLE;
    struct rig_message *m = &r->messages[r->message_count];
    assert_true(r->message_count < MESSAGES_MAX && length <= sizeof m->bytes && to >= 1 && to <= NODES);
    if (r->link_down[n->self][to - 1])
        return STATUS_OK; /* lost on the way */
    *m = (struct rig_message){ .from = n->self, .to = (unsigned)to - 1, .type = type, .length = length };
    memcpy(m->bytes, bytes, length);
    r->message_count++;
    return STATUS_OK;
}

static enum status on_admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity)
{
    struct rig_node *n = ctx;
    assert_true(*length == 4 && capacity == RNODE_PAYLOAD_MAX_BYTES);
    n->rig->admit_from = from;
    bytes[3] = 1; /* the leader's stamp */
    return n->rig->admit_says;
}

#define STAMPED(number) ((number) | 1u << 24)

static void node_make(struct rig *r, unsigned i)
{
    struct rig_node *n = &r->nodes[i];
    struct raft *theirs = raft_fixture_get(&r->fixture, i);
    struct error err;
    n->rig = r;
    n->self = i;
    n->real = theirs->io;
    n->io = *n->real;
    n->io.random = io_random;
    n->io.close = io_close;
    struct rnode_config config = {
        .io = &n->io,
        .id = i + 1,
        .address = theirs->address,
        .timing = { .heartbeat_ms = 50, .election_ms = 400 },
        .fsm = { .ctx = n, .apply = on_apply, .snapshot = on_snapshot, .restore = on_restore, .snapshot_bytes_max = 8 },
        .ctx = n,
        .on_leadership = on_leadership,
        .on_tick = on_tick,
        .now_us = now_us,
        .fatal = on_fatal
    };
    n->rnode = rnode_create(&config, &err);
    assert_non_null(n->rnode);
    n->real->data = n->io.data; /* the fixture calls back with its own raft_io */
    n->link = (struct message_link){ .ctx = n, .send = link_send };
    struct forward_config forward = {
        .node = n->rnode, .id = i + 1, .link = &n->link, .ctx = n, .now_us = now_us, .admit = on_admit
    };
    n->forward = forward_create(&forward);
    assert_non_null(n->forward);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct raft_configuration configuration;
    assert_int_equal(raft_fixture_initialize(&r->fixture), 0);
    for (unsigned i = 0; i < NODES; i++) {
        r->no_fsm[i].version = 1;
        assert_int_equal(raft_fixture_grow(&r->fixture, &r->no_fsm[i]), 0);
    }
    assert_int_equal(raft_fixture_configuration(&r->fixture, NODES, &configuration), 0);
    assert_int_equal(raft_fixture_bootstrap(&r->fixture, &configuration), 0);
    raft_configuration_close(&configuration);
    for (unsigned i = 0; i < NODES; i++)
        node_make(r, i);
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(rnode_start(r->nodes[i].rnode, NULL), STATUS_OK);
    *state = r;
    return 0;
}

static void on_closed(void *ctx)
{
    ((struct rig_node *)ctx)->closed = true;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < NODES; i++) {
        forward_destroy(r->nodes[i].forward);
        r->nodes[i].forward = NULL;
        rnode_close(r->nodes[i].rnode, on_closed, &r->nodes[i]);
    }
    raft_fixture_step_until_elapsed(&r->fixture, 1000);
    for (unsigned i = 0; i < NODES; i++) {
        r->nodes[i].close_cb(&r->nodes[i].io);
        assert_true(r->nodes[i].closed);
        rnode_destroy(r->nodes[i].rnode);
        r->nodes[i].real->data = raft_fixture_get(&r->fixture, i);
    }
    raft_fixture_close(&r->fixture);
    for (unsigned i = 0; i < ANSWERS_MAX; i++)
        assert_true(r->answers[i].times <= 1);
    free(r);
    return 0;
}

static void step(struct rig *r)
{
    raft_fixture_step(&r->fixture);
    for (unsigned i = 0; i < r->message_count; i++) { /* answers are added behind while we go */
        struct rig_message m = r->messages[i];
        forward_receive(r->nodes[m.to].forward, m.from + 1, m.type, m.bytes, m.length);
    }
    r->message_count = 0;
}

typedef bool (*condition)(struct rig *r, unsigned a, unsigned b);

static bool run_until(struct rig *r, condition met, unsigned a, unsigned b)
{
    raft_time end = raft_fixture_time(&r->fixture) + 60000;
    while (!met(r, a, b)) {
        if (raft_fixture_time(&r->fixture) > end)
            return false;
        step(r);
    }
    return true;
}

static void run_ms(struct rig *r, unsigned ms)
{
    raft_time end = raft_fixture_time(&r->fixture) + ms;
    while (raft_fixture_time(&r->fixture) < end)
        step(r);
}

static enum rnode_role role(struct rig *r, unsigned i)
{
    return rnode_leadership(r->nodes[i].rnode).role;
}

static bool leads(struct rig *r, unsigned a, unsigned b)
{
    (void)b;
    return role(r, a) == RNODE_LEADER;
}

static bool one_of_leads(struct rig *r, unsigned a, unsigned b)
{
    return role(r, a) == RNODE_LEADER || role(r, b) == RNODE_LEADER;
}

static bool all_know(struct rig *r, unsigned a, unsigned b)
{
    (void)a, (void)b;
    for (unsigned i = 0; i < NODES; i++)
        if (rnode_leadership(r->nodes[i].rnode).leader == 0)
            return false;
    return true;
}

static bool has_applied(struct rig *r, unsigned a, unsigned b)
{
    return r->nodes[a].applied_count >= b;
}

static bool answered(struct rig *r, unsigned a, unsigned b)
{
    (void)b;
    return r->answers[a].times > 0;
}

static void cut(struct rig *r, unsigned a, unsigned b, bool down)
{
    if (down) {
        raft_fixture_saturate(&r->fixture, a, b);
        raft_fixture_saturate(&r->fixture, b, a);
    } else {
        raft_fixture_desaturate(&r->fixture, a, b);
        raft_fixture_desaturate(&r->fixture, b, a);
    }
    r->link_down[a][b] = r->link_down[b][a] = down;
}

static void isolate(struct rig *r, unsigned a, bool down)
{
    for (unsigned b = 0; b < NODES; b++)
        if (b != a)
            cut(r, a, b, down);
}

static unsigned elect(struct rig *r)
{
    assert_true(run_until(r, all_know, 0, 0));
    return (unsigned)rnode_leadership(r->nodes[0].rnode).leader - 1;
}

static void on_answer(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct answer *a = ctx;
    struct reader r;
    reader_init(&r, outcome, length);
    a->status = status;
    a->index = index;
    a->outcome = reader_u32(&r);
    a->times++;
}

static enum status propose(struct rig *r, unsigned node, uint32_t number, unsigned answer)
{
    uint8_t bytes[4];
    struct writer w;
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, number);
    return rnode_propose(r->nodes[node].rnode, bytes, sizeof bytes, on_answer, &r->answers[answer]);
}

static enum status submit(struct rig *r, unsigned node, uint32_t number, unsigned answer)
{
    uint8_t bytes[4];
    struct writer w;
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, number);
    return forward_submit(r->nodes[node].forward, bytes, sizeof bytes, 3000, on_answer, &r->answers[answer]);
}

/* ---- leadership and entries ---- */

static bool somebody_elected(struct rig *r, unsigned a, unsigned b)
{
    (void)a, (void)b;
    for (unsigned i = 0; i < NODES; i++)
        if (role(r, i) == RNODE_ELECTED)
            return true;
    return false;
}

static void leadership_is_not_published_before_the_first_entry_of_the_term_is_committed(void **state)
{
    struct rig *r = *state;
    unsigned elected = 0;
    assert_true(run_until(r, somebody_elected, 0, 0));
    while (role(r, elected) != RNODE_ELECTED)
        elected++;
    for (unsigned i = 0; i < NODES; i++)
        if (i != elected)
            raft_fixture_saturate(&r->fixture, i, elected); /* it is not told that they stored it */
    assert_int_equal(rnode_leadership(r->nodes[elected].rnode).leader, 0);
    assert_int_equal(propose(r, elected, 1, 0), STATUS_NO_LEADER);
    run_ms(r, 300);
    assert_int_equal(r->nodes[elected].led, 0);
    assert_int_equal(propose(r, elected, 1, 0), STATUS_NO_LEADER);
    isolate(r, elected, false);
    unsigned leader = elect(r);
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
    unsigned s0 = elect(r);
    unsigned s1 = (s0 + 1) % NODES, s2 = (s0 + 2) % NODES;
    unsigned old_term = (unsigned)rnode_leadership(r->nodes[s0].rnode).term;
    isolate(r, s0, true);
    assert_int_equal(propose(r, s0, 77, 0), STATUS_OK); /* A: only in the log of s0 */
    /* One of the others gets the vote of the other, and is cut off before its first entry leaves. */
    assert_true(run_until(r, has_voted_in_new_term, s1, old_term) && run_until(r, has_voted_in_new_term, s2, old_term));
    bool s1_stands = role(r, s1) == RNODE_CANDIDATE;
    if (s1_stands) {
        unsigned swap = s1;
        s1 = s2;
        s2 = swap;
    }
    assert_int_equal(role(r, s2), RNODE_CANDIDATE);
    raft_fixture_saturate(&r->fixture, s2, s1);
    assert_true(run_until(r, somebody_elected, 0, 0));
    assert_int_equal(role(r, s2), RNODE_ELECTED);
    isolate(r, s2, true);
    cut(r, s0, s1, false);
    assert_true(run_until(r, leads, s0, 0)); /* its log is longer than that of s1 */
    assert_true(run_until(r, has_applied, s0, 1) && run_until(r, has_applied, s1, 1));
    assert_int_equal(r->nodes[s1].applied[0], 77);
    assert_int_equal(r->answers[0].times, 1);
    assert_int_equal(r->answers[0].status,
                     STATUS_UNKNOWN); /* it was in between no leader, and did not see it through */
    isolate(r, s0, true);
    cut(r, s1, s2, false);
    assert_true(run_until(r, one_of_leads, s1, s2));
    assert_true(run_until(r, has_applied, s2, 1)); /* A came to s2, and not something else over it */
    assert_int_equal(r->nodes[s2].applied[0], 77);
    isolate(r, s0, false);
    run_ms(r, 5000);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(r->nodes[i].applied_count, 1);
        assert_int_equal(r->nodes[i].fatals, 0);
    }
}

static void a_proposal_of_a_leader_cut_off_is_unknown_and_the_others_go_on(void **state)
{
    struct rig *r = *state;
    unsigned old = elect(r);
    assert_int_equal(propose(r, old, 1, 0), STATUS_OK);
    assert_int_equal(r->answers[0].times, 0); /* never before the call returns */
    assert_true(run_until(r, answered, 0, 0));
    assert_int_equal(r->answers[0].status, STATUS_OK);
    assert_int_equal(r->answers[0].outcome, 10);
    isolate(r, old, true);
    assert_int_equal(propose(r, old, 2, 1), STATUS_OK);
    assert_true(run_until(r, one_of_leads, (old + 1) % NODES, (old + 2) % NODES));
    unsigned next = role(r, (old + 1) % NODES) == RNODE_LEADER ? (old + 1) % NODES : (old + 2) % NODES;
    assert_int_equal(propose(r, next, 3, 2), STATUS_OK);
    assert_true(run_until(r, answered, 2, 0));
    assert_int_equal(r->answers[2].status, STATUS_OK);
    assert_true(run_until(r, answered, 1, 0));
    assert_int_equal(r->answers[1].status, STATUS_UNKNOWN);
    assert_int_equal(r->answers[1].index, r->answers[0].index + 1);
    assert_int_equal(propose(r, old, 4, 3), STATUS_NO_LEADER);
    isolate(r, old, false);
    assert_true(run_until(r, has_applied, old, 2));
    run_ms(r, 3000);
    assert_int_equal(r->nodes[old].applied_count, 2);
    assert_int_equal(r->nodes[old].applied[1], 3); /* 2 was overwritten: unknown was right */
}

static void proposals_are_bounded_in_number_and_size(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r);
    static uint8_t big[RNODE_PAYLOAD_MAX_BYTES + 1];
    assert_int_equal(rnode_propose(r->nodes[leader].rnode, big, sizeof big, on_answer, &r->answers[99]),
                     STATUS_INVALID);
    assert_int_equal(rnode_propose(r->nodes[leader].rnode, big, 0, on_answer, &r->answers[99]), STATUS_INVALID);
    isolate(r, leader, true);
    for (unsigned i = 0; i < RNODE_INFLIGHT_MAX; i++)
        assert_int_equal(propose(r, leader, i, i), STATUS_OK);
    assert_int_equal(propose(r, leader, 999, 99), STATUS_FULL);
    for (unsigned i = 0; i < RNODE_INFLIGHT_MAX; i++)
        assert_true(run_until(r, answered, i, 0));
    assert_int_equal(r->answers[0].status, STATUS_UNKNOWN);
    assert_int_equal(r->answers[99].times, 0);
}

static void an_entry_that_is_not_ours_ends_every_node_that_would_apply_it(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r);
    static struct raft_apply request;
    struct raft_buffer noise = { .base = raft_calloc(1, 64), .len = 64 };
    assert_int_equal(raft_apply(&r->nodes[leader].rnode->raft, &request, &noise, 1, NULL), 0);
    run_ms(r, 2000);
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
    unsigned leader = elect(r);
    unsigned other = (leader + 1) % NODES;
    run_ms(r, 500);
    int64_t now = now_us(&r->nodes[0]);
    assert_true(now - rnode_last_heard_us(r->nodes[leader].rnode, other + 1) < 300000);
    assert_true(rnode_last_heard_us(r->nodes[leader].rnode, 77) == INT64_MIN);
    cut(r, leader, other, true);
    run_ms(r, 350); /* below its election timeout: the leader is not disturbed yet */
    now = now_us(&r->nodes[0]);
    assert_true(now - rnode_last_heard_us(r->nodes[leader].rnode, other + 1) > 300000);
}

/* ---- forward ---- */

static void a_follower_s_command_is_admitted_and_proposed_by_the_leader_and_its_outcome_comes_back(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r), follower = (leader + 1) % NODES;
    assert_int_equal(submit(r, follower, 5, 0), STATUS_OK);
    assert_int_equal(submit(r, leader, 6, 1), STATUS_OK);
    assert_int_equal(r->answers[0].times + r->answers[1].times, 0);
    assert_true(run_until(r, answered, 0, 0) && run_until(r, answered, 1, 0));
    assert_int_equal(r->answers[0].status, STATUS_OK);
    assert_int_equal(r->answers[0].outcome, STAMPED(5u) * 10);
    assert_int_equal(r->answers[1].outcome, STAMPED(6u) * 10);
    assert_int_equal(r->admit_from, follower + 1);
    r->admit_says = STATUS_REFUSED;
    assert_int_equal(submit(r, leader, 7, 2), STATUS_REFUSED);
    assert_int_equal(submit(r, follower, 7, 3), STATUS_OK);
    assert_true(run_until(r, answered, 3, 0));
    assert_int_equal(r->answers[3].status, STATUS_REFUSED);
    run_ms(r, 1000);
    assert_int_equal(r->nodes[leader].applied_count, 2);
}

static void a_command_without_a_leader_or_a_connection_surely_was_not_sent(void **state)
{
    struct rig *r = *state;
    assert_int_equal(submit(r, 0, 1, 0), STATUS_NO_LEADER);
    unsigned leader = elect(r), follower = (leader + 1) % NODES;
    r->link_refuses = true;
    assert_int_equal(submit(r, follower, 1, 0), STATUS_UNREACHABLE);
    run_ms(r, 1000);
    assert_int_equal(r->answers[0].times, 0);
    assert_int_equal(r->nodes[leader].applied_count, 0);
}

static void a_lost_answer_is_unknown_at_the_deadline_and_a_late_one_is_ignored(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r), follower = (leader + 1) % NODES;
    r->link_down[leader][follower] = true;
    assert_int_equal(submit(r, follower, 1, 0), STATUS_OK);
    run_ms(r, 2800);
    assert_int_equal(r->nodes[follower].applied_count, 1); /* it happened; the submitter cannot know */
    assert_int_equal(r->answers[0].times, 0);
    run_ms(r, 400);
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

static void a_command_sent_to_a_leader_that_is_replaced_is_unknown_at_once(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r), follower = (leader + 1) % NODES;
    isolate(r, leader, true);
    assert_int_equal(submit(r, follower, 1, 0), STATUS_OK); /* lost on the way; it still believes in the leader */
    raft_time begin = raft_fixture_time(&r->fixture);
    assert_true(run_until(r, answered, 0, 0));
    assert_int_equal(r->answers[0].status, STATUS_UNKNOWN);
    assert_true(raft_fixture_time(&r->fixture) - begin < 3000); /* before its deadline */
}

static void outstanding_commands_are_bounded(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r), follower = (leader + 1) % NODES;
    r->link_down[follower][leader] = true;
    for (unsigned i = 0; i < FORWARD_OUTSTANDING_MAX; i++)
        assert_int_equal(submit(r, follower, i, i), STATUS_OK);
    assert_int_equal(submit(r, follower, 1, 99), STATUS_FULL);
    run_ms(r, 3200);
    for (unsigned i = 0; i < FORWARD_OUTSTANDING_MAX; i++)
        assert_int_equal(r->answers[i].status, STATUS_UNKNOWN);
    r->link_down[follower][leader] = false;
    assert_int_equal(submit(r, follower, 1, 98), STATUS_OK);
    assert_true(run_until(r, answered, 98, 0));
    assert_int_equal(r->answers[98].status, STATUS_OK);
}

static void broken_or_foreign_messages_change_nothing(void **state)
{
    struct rig *r = *state;
    unsigned leader = elect(r), follower = (leader + 1) % NODES, third = (leader + 2) % NODES;
    uint8_t bytes[64] = { 0 };
    struct writer w;
    r->link_down[leader][follower] = true; /* the true answer does not come */
    assert_int_equal(submit(r, follower, 1, 0), STATUS_OK);
    uint64_t request = (uint64_t)now_us(&r->nodes[0]);
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
    run_ms(r, 2500);
    assert_int_equal(r->nodes[leader].applied_count, 1);
    assert_int_equal(r->answers[0].times, 0);
}

int main(void)
{
#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        NODE_TEST(leadership_is_not_published_before_the_first_entry_of_the_term_is_committed),
        NODE_TEST(an_entry_that_was_applied_stays_whoever_is_elected_next),
        NODE_TEST(a_proposal_of_a_leader_cut_off_is_unknown_and_the_others_go_on),
        NODE_TEST(proposals_are_bounded_in_number_and_size),
        NODE_TEST(an_entry_that_is_not_ours_ends_every_node_that_would_apply_it),
        NODE_TEST(contact_is_known_by_node),
        NODE_TEST(a_follower_s_command_is_admitted_and_proposed_by_the_leader_and_its_outcome_comes_back),
        NODE_TEST(a_command_without_a_leader_or_a_connection_surely_was_not_sent),
        NODE_TEST(a_lost_answer_is_unknown_at_the_deadline_and_a_late_one_is_ignored),
        NODE_TEST(a_command_sent_to_a_leader_that_is_replaced_is_unknown_at_once),
        NODE_TEST(outstanding_commands_are_bounded),
        NODE_TEST(broken_or_foreign_messages_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
