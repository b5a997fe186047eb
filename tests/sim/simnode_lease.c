/* The holder of a simulated node: the real coordinator/holder, over requests to the server beside it, as coordinator/daemon_lease.c.
 * Requests reach the server in the order in which they were sent, also across lives of the node. */
#include "tests/sim/simnode.h"

#include "base/check.h"

enum guard_request_kind { REQUEST_STATUS, REQUEST_OPEN, REQUEST_BYPASS };

struct guard_request {
    enum guard_request_kind kind;
    unsigned node;
    uint32_t node_life;
    service_id service;
    uint64_t token;
    instance_id instance;
    epoch_t epoch;
    int64_t t0_us;
    uint32_t hold_ms;
    bool on;
};

struct guard_reply {
    service_id service;
    uint64_t token;
    bool known;
    struct holder_guard guard;
};

static void on_reply(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct simnode *n = receiver;
    const struct guard_reply *reply = data;

    (void)from;
    (void)size_bytes;
    if (!n->up || n->fatal)
        return;
    arena_enter(&n->arena);
    holder_on_guard(&n->holder, n->state, reply->service, reply->token, reply->known ? &reply->guard : NULL);
}

static void answer_status(struct server *s, struct simnode *n, const struct guard_request *q)
{
    struct guard_reply reply = { .service = q->service, .token = q->token, .known = s->running };

    reply.guard = (struct holder_guard){ .instance = s->guard.instance,
                                         .now_us = server_now_us(s),
                                         .enforcing = !s->guard.bypass && !s->break_glass,
                                         .bypass = s->guard.bypass || s->break_glass,
                                         .in_recovery = s->in_recovery };
    if (n->process.life == q->node_life)
        (void)net_send(&n->world->net, s->host, n->host, &n->process, on_reply, n, &reply, sizeof(reply));
}

static void on_request(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct server *s = receiver;
    const struct guard_request *q = data;
    struct simnode *n = s->world->nodes[q->node];

    (void)from;
    ASSERT(size_bytes == sizeof(*q));
    switch (q->kind) {
    case REQUEST_STATUS:
        answer_status(s, n, q);
        return;
    case REQUEST_OPEN:
        (void)guard_open(s, q->instance, q->epoch, q->t0_us, q->hold_ms);
        return;
    case REQUEST_BYPASS:
        if (guard_bypass(s, q->on, q->instance, q->epoch))
            sim_note(s->world->sim, "server %u of service %u: bypass %s", s->site, q->service, q->on ? "on" : "off");
        return;
    }
}

static void send_request(struct simnode *n, struct guard_request *q)
{
    struct server *s = simnode_server(n, q->service);

    q->node = n->number;
    q->node_life = n->process.life;
    if (s->running)
        (void)net_send(&n->world->net, n->host, s->host, &s->process, on_request, s, q, sizeof(*q));
}

static void guard_status(void *ctx, service_id service, uint64_t token)
{
    send_request(ctx, &(struct guard_request){ .kind = REQUEST_STATUS, .service = service, .token = token });
}

static void holder_guard_open(void *ctx, service_id service, instance_id instance, epoch_t epoch, int64_t t0_us,
                              uint32_t hold_ms)
{
    send_request(ctx, &(struct guard_request){ .kind = REQUEST_OPEN,
                                               .service = service,
                                               .instance = instance,
                                               .epoch = epoch,
                                               .t0_us = t0_us,
                                               .hold_ms = hold_ms });
}

static void holder_guard_bypass(void *ctx, service_id service, bool on, instance_id instance, epoch_t epoch)
{
    send_request(ctx, &(struct guard_request){
                          .kind = REQUEST_BYPASS, .service = service, .on = on, .instance = instance, .epoch = epoch });
}

struct transmission { /* lives in the node's arena: a crash frees it */
    service_id service;
    uint64_t token;
};

static void on_renewed(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    struct transmission *t = ctx;
    enum holder_answer answer = status != STATUS_OK            ? HOLDER_UNREACHED
                                : outcome->status == STATUS_OK ? HOLDER_ACCEPTED
                                                               : HOLDER_REFUSED;

    holder_on_outcome(&n->holder, t->service, t->token, answer, answer == HOLDER_ACCEPTED ? outcome->value : 0);
    raft_free(t);
}

static void submit(void *ctx, service_id service, uint64_t token, const struct command *command)
{
    struct simnode *n = ctx;
    struct command *c = n->world->scratch;
    struct transmission *t = raft_malloc(sizeof(*t));

    *t = (struct transmission){ service, token };
    command_clear(c, command->kind);
    simnode_set_name(n, c);
    if (command->kind == COMMAND_RENEW)
        c->renew = command->renew;
    else
        c->grant = command->grant;
    simnode_submit(n, c, n->state->services[service].config.timing.ttl_ms, on_renewed, t);
}

void simnode_lease_start(struct simnode *n)
{
    struct holder_ops ops = { .ctx = n,
                              .guard_status = guard_status,
                              .guard_open = holder_guard_open,
                              .guard_bypass = holder_guard_bypass,
                              .submit = submit,
                              .ask = simnode_promise_ask };

    holder_init(&n->holder, n->id, sim_random(n->world->sim, UINT64_MAX), &ops);
}

void simnode_lease_tick(struct simnode *n)
{
    if (!n->has_servers)
        return;
    for (unsigned i = 0; i < n->world->service_count; i++)
        holder_set_local(&n->holder, (service_id)i, n->state->services[i].present);
    (void)holder_tick(&n->holder, n->state, simnode_now_us(n));
}
