/* What a simulated node promises, as coordinator/daemon_promise.c. */
#include "tests/sim/simnode.h"

#include <string.h>

#include "base/check.h"

#define ENDED_DEADLINE_MS 3000u

static void on_ended(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    (void)status;
    (void)outcome;
    n->ending_promises[(uintptr_t)ctx] = false;
}

/* --- the holder's side --- */

void simnode_promise_ask(void *ctx, node_id to, const struct promise_ask *ask)
{
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES];
    size_t length = 0;

    ASSERT(promise_ask_encode(ask, bytes, sizeof bytes, &length) == STATUS_OK);
    simnode_send(ctx, to, MESSAGE_PROMISE_ASK, bytes, length);
}

static void on_answer(struct simnode *n, node_id from, const struct promise_answer *answer)
{
    if (answer->verdict == PROMISE_GIVEN)
        holder_on_promise(&n->holder, n->state, answer->service, answer->token, from);
    else if (answer->verdict == PROMISE_RENEWED)
        holder_on_outcome(&n->holder, answer->service, answer->token, HOLDER_ACCEPTED, answer->epoch);
}

/* --- the other side --- */

struct handed_on {
    node_id from;
    struct promise_answer answer;
};

static void send_answer(struct simnode *n, node_id to, const struct promise_answer *answer)
{
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES];
    size_t length = 0;

    ASSERT(promise_answer_encode(answer, bytes, sizeof bytes, &length) == STATUS_OK);
    simnode_send(n, to, MESSAGE_PROMISE_ANSWER, bytes, length);
}

static void on_handed_on(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    struct handed_on *r = ctx;

    if (status == STATUS_OK && outcome->status == STATUS_OK)
        send_answer(n, r->from, &r->answer);
    raft_free(r);
}

static void hand_on(struct simnode *n, node_id from, const struct promise_ask *ask)
{
    struct handed_on *r = raft_malloc(sizeof *r); /* of the arena: gone with the node's life */
    struct command *c = n->world->scratch;

    *r = (struct handed_on){ from, { ask->renew.service, ask->token, ask->renew.epoch, PROMISE_RENEWED } };
    command_clear(c, COMMAND_RENEW);
    simnode_set_name(n, c);
    c->renew = ask->renew;
    simnode_submit(n, c, ask->renew.ttl_ms, on_handed_on, r);
}

static void on_ask(struct simnode *n, node_id from, const struct promise_ask *ask)
{
    struct promise_answer answer = { ask->renew.service, ask->token, ask->renew.epoch, PROMISE_LEADER_KNOWN };

    answer.verdict = promises_give(&n->promises, n->state, n->id, simnode_acts(n),
                                   rnode_leadership(n->rnode).leader != 0, from, ask, simnode_now_us(n));
    send_answer(n, from, &answer);
    if (answer.verdict == PROMISE_LEADER_KNOWN)
        hand_on(n, from, ask);
}

void simnode_promise_receive(struct simnode *n, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct promise_ask ask;
    struct promise_answer answer;

    if (type == MESSAGE_PROMISE_ASK && promise_ask_decode(&ask, bytes, length) == STATUS_OK && ask.renew.node == from)
        on_ask(n, from, &ask);
    else if (type == MESSAGE_PROMISE_ANSWER && promise_answer_decode(&answer, bytes, length) == STATUS_OK)
        on_answer(n, from, &answer);
    else
        sim_fail(n->world->sim, "message %u of node %u cannot be decoded", type, (unsigned)from);
}

void simnode_promise_start(struct simnode *n)
{
    promises_init(&n->promises, simnode_now_us(n));
    memset(n->ending_promises, 0, sizeof n->ending_promises);
}

static void end_promises(struct simnode *n, service_id service)
{
    struct command *c = n->world->scratch;

    n->ending_promises[service] = true;
    command_clear(c, COMMAND_PROMISES_ENDED);
    simnode_set_name(n, c);
    c->promises_ended = (struct command_promises_ended){ service, n->state->services[service].lease.epoch, n->id };
    simnode_submit(n, c, ENDED_DEADLINE_MS, on_ended, (void *)(uintptr_t)service);
}

void simnode_promise_tick(struct simnode *n)
{
    int64_t now_us = simnode_now_us(n);

    if (!simnode_acts(n) || rnode_leadership(n->rnode).leader == 0)
        return;
    for (unsigned i = 0; i < n->world->service_count; i++)
        if (!n->ending_promises[i] && promises_end_due(&n->promises, n->state, n->id, (service_id)i, now_us))
            end_promises(n, (service_id)i);
}
