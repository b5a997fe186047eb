/* Promises between nodes. Decided by holder/promise and the holder; here are the messages, the log entry at their end, and what people are told.
 * A holder asks; a node that knows a leader hands the renewal on to it, one that knows none answers whether it promises. Nobody waits for an
 * answer: the next renewal asks again. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"

#define ENDED_DEADLINE_MS 3000u
#define QUIET_US (60 * INT64_C(1000000)) /* after it the same answer is logged anew */

static bool leader_known(const struct daemon *d)
{
    return rnode_leadership(node_uv_rnode(d->node)).leader != 0;
}

static const char *service_name(const struct daemon *d, service_id service)
{
    return d->state->services[service].config.name;
}

/* --- the end of promises --- */

struct ending {
    struct daemon *daemon;
    service_id service;
};

static void on_ended(void *ctx, enum status status, const struct outcome *outcome)
{
    struct ending *e = ctx;

    (void)status;
    (void)outcome; /* whatever came of it: the next tick looks at the applied state again */
    e->daemon->ending_promises[e->service] = false;
    free(e);
}

static void end_promises(struct daemon *d, service_id service)
{
    struct ending *e = malloc(sizeof *e);
    struct command *c = d->proposing;

    ASSERT(e != NULL);
    *e = (struct ending){ d, service };
    d->ending_promises[service] = true;
    command_clear(c, COMMAND_PROMISES_ENDED);
    text_set(c->who, sizeof c->who, "node %s", daemon_name(d));
    c->promises_ended = (struct command_promises_ended){ service, d->state->services[service].lease.epoch, d->self };
    daemon_submit(d, c, ENDED_DEADLINE_MS, on_ended, e);
}

void daemon_promise_init(struct daemon *d)
{
    promises_init(&d->promises, clock_now_us());
}

void daemon_promise_tick(struct daemon *d)
{
    int64_t now_us = clock_now_us();

    for (unsigned i = 0; i < SERVICES_MAX && daemon_acts(d); i++)
        if (!d->ending_promises[i] && leader_known(d) &&
            promises_end_due(&d->promises, d->state, d->self, (service_id)i, now_us))
            end_promises(d, (service_id)i);
}

bool daemon_promises_hold(void *ctx, service_id service)
{
    const struct daemon *d = ctx;

    return clock_now_us() < promises_until_us(&d->promises, d->state, service);
}

/* --- the holder's side --- */

void daemon_promise_ask(void *ctx, node_id to, const struct promise_ask *ask)
{
    struct daemon *d = ctx;
    struct daemon_guard *guard = daemon_guard_of(d, ask->renew.service);
    const struct message_link *link = node_uv_link(d->node);
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES];
    size_t length = 0;

    if (guard != NULL && !guard->asking)
        log_event(LOG_LEVEL_WARNING, "promise_asked", "service=%s epoch=%" PRIu64 " node=%s reason=%s",
                  service_name(d, ask->renew.service), ask->renew.epoch, state_node_name(d->state, to),
                  leader_known(d) ? "the leader does not answer renewals" : "no leader is known");
    if (guard != NULL)
        guard->asking = true;
    if (promise_ask_encode(ask, bytes, sizeof bytes, &length) == STATUS_OK)
        (void)link->send(link->ctx, to, MESSAGE_PROMISE_ASK, bytes, length); /* a lost one is followed by the next */
}

/* Who must promise (`askees`), or the other coordinators, for whoever is to bring the quorum back. */
static void name_nodes(const struct daemon *d, service_id service, bool askees, char *out, size_t capacity)
{
    const struct service *svc = &d->state->services[service];
    node_id asked[SITES_MAX];
    unsigned count = promise_askees(svc, asked);

    out[0] = '\0';
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &d->state->members[i];
        bool is_asked = false;

        for (unsigned j = 0; j < count; j++)
            is_asked = is_asked || asked[j] == m->id;
        if (m->id != 0 && m->id != d->self && is_asked == askees)
            text_add(out, capacity, "%s%s", out[0] != '\0' ? ", " : "", m->name);
    }
}

void daemon_promise_note(struct daemon *d, service_id service)
{
    struct daemon_guard *guard = daemon_guard_of(d, service);
    bool on_promises = d->holder.services[service].on_promises;
    char nodes[NODES_MAX * NAME_MAX_BYTES];

    if (guard == NULL)
        return;
    guard->renewed_us = clock_now_us();
    guard->asking = guard->asking && on_promises;
    if (guard->on_promises == on_promises)
        return;
    guard->on_promises = on_promises;
    guard->on_promises_us = guard->renewed_us;
    name_nodes(d, service, on_promises, nodes, sizeof nodes);
    if (on_promises)
        log_event(LOG_LEVEL_WARNING, "serving_on_promises", "service=%s epoch=%" PRIu64 " promises_of=%s fix=%s",
                  service_name(d, service), guard->held_epoch, nodes, "start coordinators until a majority runs");
    else
        log_event(LOG_LEVEL_INFO, "renewed_by_log", "service=%s epoch=%" PRIu64, service_name(d, service),
                  guard->held_epoch);
}

static void note_refusal(struct daemon *d, node_id from, const struct promise_answer *answer)
{
    struct daemon_guard *guard = daemon_guard_of(d, answer->service);
    int slot = state_member_slot(d->state, from);

    if (guard == NULL || slot < 0 || guard->answered[slot] == answer->verdict)
        return;
    guard->answered[slot] = answer->verdict;
    if (answer->verdict != PROMISE_GIVEN)
        log_event(LOG_LEVEL_INFO, "promise_answer", "service=%s node=%s answer=%s", service_name(d, answer->service),
                  state_node_name(d->state, from), promise_verdict_word(answer->verdict));
}

static void on_answer(struct daemon *d, node_id from, const struct promise_answer *answer)
{
    note_refusal(d, from, answer);
    if (answer->verdict == PROMISE_GIVEN)
        holder_on_promise(&d->holder, d->state, answer->service, answer->token, from);
    else if (answer->verdict == PROMISE_RENEWED)
        holder_on_outcome(&d->holder, answer->service, answer->token, HOLDER_ACCEPTED, answer->epoch);
}

/* --- the other side --- */

static void send_answer(struct daemon *d, node_id to, const struct promise_answer *answer)
{
    const struct message_link *link = node_uv_link(d->node);
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES];
    size_t length = 0;

    if (promise_answer_encode(answer, bytes, sizeof bytes, &length) == STATUS_OK)
        (void)link->send(link->ctx, to, MESSAGE_PROMISE_ANSWER, bytes, length);
}

struct handed_on {
    struct daemon *daemon;
    node_id from;
    struct promise_answer answer;
};

static void on_handed_on(void *ctx, enum status status, const struct outcome *outcome)
{
    struct handed_on *r = ctx;

    if (status == STATUS_OK && outcome->status == STATUS_OK && !r->daemon->closing)
        send_answer(r->daemon, r->from, &r->answer);
    free(r);
}

/* The holder reaches this node and not the leader. */
static void hand_on(struct daemon *d, node_id from, const struct promise_ask *ask)
{
    struct handed_on *r = malloc(sizeof *r);
    struct command *c = d->proposing;

    ASSERT(r != NULL);
    *r = (struct handed_on){ d, from, { ask->renew.service, ask->token, ask->renew.epoch, PROMISE_RENEWED } };
    command_clear(c, COMMAND_RENEW);
    text_set(c->who, sizeof c->who, "node %s", state_node_name(d->state, from));
    c->renew = ask->renew;
    daemon_submit(d, c, ask->renew.ttl_ms, on_handed_on, r);
}

/* One line per change of the answer, and one now and then. */
static void note_answer(struct daemon *d, node_id to, const struct promise_ask *ask, enum promise_verdict verdict,
                        int64_t now_us)
{
    struct daemon_promised *last = &d->promised[ask->renew.service];
    bool news = last->at_us == 0 || last->verdict != verdict || now_us - last->at_us > QUIET_US;

    last->verdict = verdict;
    last->at_us = now_us;
    if (!news)
        return;
    if (verdict == PROMISE_GIVEN)
        log_event(LOG_LEVEL_INFO, "promise_given", "service=%s node=%s epoch=%" PRIu64 " ttl_ms=%" PRIu32,
                  service_name(d, ask->renew.service), state_node_name(d->state, to), ask->renew.epoch,
                  ask->renew.ttl_ms);
    else
        log_event(LOG_LEVEL_INFO, "promise_refused", "service=%s node=%s epoch=%" PRIu64 " reason=%s",
                  service_name(d, ask->renew.service), state_node_name(d->state, to), ask->renew.epoch,
                  promise_verdict_word(verdict));
}

static void on_ask(struct daemon *d, node_id from, const struct promise_ask *ask)
{
    int64_t now_us = clock_now_us();
    struct promise_answer answer = { ask->renew.service, ask->token, ask->renew.epoch, PROMISE_LEADER_KNOWN };

    answer.verdict = promises_give(&d->promises, d->state, d->self, daemon_acts(d), leader_known(d), from, ask, now_us);
    note_answer(d, from, ask, answer.verdict, now_us);
    send_answer(d, from, &answer);
    if (answer.verdict == PROMISE_LEADER_KNOWN)
        hand_on(d, from, ask);
}

void daemon_promise_receive(struct daemon *d, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct promise_ask ask;
    struct promise_answer answer;

    if (type == MESSAGE_PROMISE_ASK && promise_ask_decode(&ask, bytes, length) == STATUS_OK && ask.renew.node == from)
        on_ask(d, from, &ask);
    else if (type == MESSAGE_PROMISE_ANSWER && promise_answer_decode(&answer, bytes, length) == STATUS_OK)
        on_answer(d, from, &answer);
}

/* --- for people --- */

/* Which of those that were asked has not promised, and what it answered last. */
static void name_refusals(const struct daemon *d, const struct daemon_guard *guard, service_id service, char *out,
                          size_t capacity)
{
    node_id asked[SITES_MAX];
    unsigned count = promise_askees(&d->state->services[service], asked);

    out[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        int slot = state_member_slot(d->state, asked[i]);

        if (slot >= 0)
            text_add(out, capacity, "%s%s: %s", out[0] != '\0' ? ", " : "", state_node_name(d->state, asked[i]),
                     guard->answered[slot] == PROMISE_GIVEN ? "silent" : promise_verdict_word(guard->answered[slot]));
    }
}

void daemon_promise_describe(void *ctx, service_id service, struct api_promises *out)
{
    struct daemon *d = ctx;
    struct daemon_guard *guard = daemon_guard_of(d, service);
    int64_t now_us = clock_now_us();

    name_nodes(d, service, false, out->missing, sizeof out->missing);
    if (guard != NULL && guard->asking && guard->overdue) {
        out->what = API_PROMISED_CLOSED;
        out->ms = (now_us - guard->renewed_us) / 1000;
        name_refusals(d, guard, service, out->nodes, sizeof out->nodes);
    } else if (guard != NULL && guard->on_promises) {
        out->what = API_PROMISED_SERVING;
        out->ms = (now_us - guard->on_promises_us) / 1000;
        name_nodes(d, service, true, out->nodes, sizeof out->nodes);
    } else if (d->promises.given[service].until_us > now_us) {
        out->what = API_PROMISED_GIVEN;
        out->ms = (d->promises.given[service].until_us - now_us) / 1000;
        text_set(out->nodes, sizeof out->nodes, "%s", state_node_name(d->state, d->promises.given[service].to));
    }
}
