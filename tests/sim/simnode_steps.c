/* Steps at a simulated node, as coordinator/exec does them: an attempt begins when the applied state assigns it here, is forgotten when the
 * state no longer shows it, and its result is submitted until then. The effect happens in the server's own process, some time later: also
 * when the node has crashed meanwhile, and late when the server was paused. */
#include "tests/sim/simnode.h"

#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "core/plan.h"

#define RESULT_DEADLINE_MS 5000u
#define EFFECT_MAX_US (80 * SIM_US_PER_MS)
#define PROMOTE_MAX_US (400 * SIM_US_PER_MS)
#define CATCH_UP_LOOK_US (20 * SIM_US_PER_MS)
#define DUPLICATE_PPM 100000
#define LATE_REPLY_MAX_MS 40000
#define STRANGE_DEADLINE_MAX_MS 20000 /* an answer that is lost costs a whole deadline */

struct effect { /* from a node to a server or to DNS, and back */
    enum step step;
    unsigned node;
    uint32_t node_life;
    uint64_t number;
    service_id service;
    unsigned index; /* into the node's attempts */
    site_id site;
    epoch_t epoch;
    epoch_t old_epoch;
    uint64_t fenced_lsn; /* sever, first attempt: receive so far before; 0: no need to wait */
    int64_t patience_us; /* for that, of simulated time */
    uint8_t instance_count;
    instance_id instances[INSTANCES_MAX];
    struct step_result result;
};

static const struct step_run *run_shown(const struct simnode *n, const struct attempt *a)
{
    const struct service *svc = &n->state->services[a->service];
    const struct step_run *run = &svc->operation.runs[a->run];

    if (!svc->present || svc->operation.id != a->operation || !operation_active(&svc->operation) ||
        a->run >= svc->operation.run_count)
        return NULL;
    if (run->state != RUN_ASSIGNED || run->node != n->id || run->attempt != a->attempt || run->step != a->step)
        return NULL;
    return run;
}

static bool promotion_stands(const struct simnode *n, const struct attempt *a)
{
    const struct service *svc = &n->state->services[a->service];

    if (svc->operation.certificate == CERT_OPERATOR &&
        simnode_now_us(n) < promises_until_us(&n->promises, n->state, a->service))
        return false;
    return run_shown(n, a) != NULL && svc->operation.state == OPERATION_PROMOTED && svc->primary == a->site &&
           svc->lease.site == a->site && svc->lease.epoch == a->epoch && svc->lease.holder == n->id;
}

static void submit_result(struct simnode *n, struct attempt *a);

static void on_submitted(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    struct attempt *a = &n->attempts[(uintptr_t)ctx];

    (void)status;
    (void)outcome;
    a->submitting = false; /* the next tick submits again while the state still shows it */
}

static void submit_result(struct simnode *n, struct attempt *a)
{
    struct command *c = n->world->scratch;

    a->submitting = true;
    command_clear(c, COMMAND_STEP_RESULT);
    simnode_set_name(n, c);
    c->step_result = (struct command_step_result){ .operation = a->operation,
                                                   .run = a->run,
                                                   .attempt = a->attempt,
                                                   .epoch = a->epoch,
                                                   .node = n->id,
                                                   .result = a->result };
    simnode_submit(n, c, RESULT_DEADLINE_MS, on_submitted, (void *)(uintptr_t)(a - n->attempts));
    if (sim_chance(n->world->sim, DUPLICATE_PPM)) /* a late duplicate */
        simnode_submit(n, c, RESULT_DEADLINE_MS, on_submitted, (void *)(uintptr_t)(a - n->attempts));
}

static void attempt_end(struct simnode *n, struct attempt *a, bool ok, const char *detail)
{
    if (a->ended)
        return;
    a->ended = true;
    a->result.ok = ok;
    text_set(a->result.detail, sizeof a->result.detail, "%s", detail);
    sim_note(n->world->sim, "node %u: service %u: step %s of site %u: %s", n->number, a->service, step_word(a->step),
             a->site, detail);
    submit_result(n, a);
}

static void on_effect_done(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct simnode *n = receiver;
    const struct effect *e = data;
    struct attempt *a = &n->attempts[e->index];

    (void)from;
    (void)size_bytes;
    if (!n->up || n->fatal || !a->open || a->number != e->number || a->ended)
        return;
    arena_enter(&n->arena);
    a->result = e->result;
    attempt_end(n, a, e->result.ok, e->result.detail);
}

/* --- at the server --- */

static void do_sever(struct server *s, struct effect *e)
{
    struct position *p = &e->result.position;

    s->severed = s->in_recovery; /* an old primary receives nothing, and has its position all the same */
    *p = (struct position){ .known = true, .timeline = s->wal.timeline, .lsn = s->wal.lsn };
    if (e->fenced_lsn > s->primary_lsn)
        s->primary_lsn = e->fenced_lsn;
    p->gap_known = s->primary_lsn != 0;
    p->gap_bytes = s->primary_lsn > s->wal.lsn ? s->primary_lsn - s->wal.lsn : 0;
    e->result.ok = true;
}

/* Of the server that runs the guard is closed; every other instance is gone, since there can be only one. */
static void do_fence(struct server *s, struct effect *e)
{
    if (s->running && !guard_close(s, e->old_epoch)) {
        text_set(e->result.detail, DETAIL_MAX_BYTES, "the glass is broken: only the end of the server closes it");
        return;
    }
    if (s->running && !s->in_recovery)
        e->result.position = (struct position){ .known = true, .timeline = s->wal.timeline, .lsn = s->wal.lsn };
    e->result.ok = true;
    for (unsigned i = 0; i < e->instance_count; i++)
        e->result.instances[e->result.instance_count++] = e->instances[i];
}

static void do_promote(struct server *s, struct effect *e)
{
    e->result.ok = true;
    s->severed = false;
    if (s->in_recovery)
        server_promote(s);
}

static void do_effect(struct server *s, struct effect *e)
{
    switch (e->step) {
    case STEP_SEVER:
        do_sever(s, e);
        return;
    case STEP_FENCE:
        do_fence(s, e);
        return;
    case STEP_PROMOTE:
        do_promote(s, e);
        return;
    case STEP_CANARY:
        e->result.ok = server_write(s);
        return;
    case STEP_DEPLOY:
        s->application = true;
        e->result.ok = true;
        return;
    case STEP_RECONNECT:
        s->severed = false;
        e->result.ok = true;
        return;
    case STEP_VERIFY:
        e->result.ok = s->application && s->service->dns.site == s->site;
        return;
    case STEP_CHECKPOINT:
        e->result.ok = true;
        return;
    case STEP_DNS:
    case STEP_COUNT:
        break;
    }
    ASSERT(false);
}

struct late_reply {
    struct world *world;
    unsigned host;
    struct effect effect;
};

static void send_reply(struct world *w, unsigned host, const struct effect *e)
{
    struct simnode *n = w->nodes[e->node];

    if (n->process.life == e->node_life)
        (void)net_send(&w->net, host, n->host, &n->process, on_effect_done, n, e, sizeof(*e));
}

static void on_late_reply(void *ctx)
{
    struct late_reply *late = ctx;

    send_reply(late->world, late->host, &late->effect);
    sim_free(late);
}

/* Long after its deadline, or while a later attempt is under way. */
static void reply_late(struct world *w, unsigned host, const struct effect *e)
{
    struct late_reply *late = sim_alloc(sizeof(*late));

    *late = (struct late_reply){ .world = w, .host = host, .effect = *e };
    sim_after(w->sim, sim_between(w->sim, 1, LATE_REPLY_MAX_MS) * SIM_US_PER_MS, NULL, on_late_reply, sim_free, late);
}

static void reply(struct world *w, unsigned host, struct effect *e)
{
    if (e->result.detail[0] == '\0')
        text_set(e->result.detail, DETAIL_MAX_BYTES, "%s", e->result.ok ? "done" : "did not work");
    if (plan_step_of(e->step)->deadline_ms > STRANGE_DEADLINE_MAX_MS ||
        !sim_chance(w->sim, w->options.step_strange_ppm))
        send_reply(w, host, e);
    else if (sim_chance(w->sim, 700000)) /* else it never answers */
        reply_late(w, host, e);
}

/* A fence that has done nothing, calls it a success, and speaks of a server that nobody knows. */
static void speak_nonsense(struct sim *s, struct effect *e)
{
    e->result.ok = true;
    e->result.instance_count = 1;
    e->result.instances[0] = sim_random(s, UINT64_MAX) + 1;
    text_set(e->result.detail, DETAIL_MAX_BYTES, "\xff\x01 yes\n");
}

static void on_effect(void *receiver, unsigned from, const void *data, size_t size_bytes);

struct wal_wait {
    struct server *server;
    struct effect effect;
};

static void on_look_for_wal(void *ctx)
{
    struct wal_wait *wait = ctx;
    struct effect e = wait->effect;
    struct server *s = wait->server;

    sim_free(wait);
    on_effect(s, s->host, &e, sizeof(e));
}

static void wait_for_wal(struct server *s, const struct effect *e)
{
    struct wal_wait *wait = sim_alloc(sizeof(*wait));

    *wait = (struct wal_wait){ .server = s, .effect = *e };
    wait->effect.patience_us -= CATCH_UP_LOOK_US;
    sim_after(s->world->sim, CATCH_UP_LOOK_US, &s->process, on_look_for_wal, sim_free, wait);
}

static void on_effect(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct server *s = receiver;
    struct effect e = *(const struct effect *)data;

    (void)from;
    ASSERT(size_bytes == sizeof(e));
    if (e.step == STEP_SEVER && s->in_recovery && s->wal.lsn < e.fenced_lsn && e.patience_us > 0) {
        wait_for_wal(s, &e);
        return;
    }
    if (e.step == STEP_FENCE && sim_chance(s->world->sim, s->world->options.step_strange_ppm))
        speak_nonsense(s->world->sim, &e);
    else
        do_effect(s, &e);
    reply(s->world, s->host, &e);
}

static void on_dns(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct world_service *ws = receiver;
    struct effect e = *(const struct effect *)data;

    (void)from;
    (void)size_bytes;
    if (e.epoch >= ws->dns.epoch) {
        ws->dns = (struct dns_register){ .epoch = e.epoch, .site = e.site };
        e.result.ok = true;
    } else {
        text_set(e.result.detail, DETAIL_MAX_BYTES, "the register holds a newer epoch");
    }
    reply(ws->world, WORLD_DNS_HOST, &e);
}

/* --- at the node --- */

struct delayed { /* pg_promote takes a while: the node asks, the server does it later */
    struct simnode *node;
    struct effect effect;
};

static void send_effect(struct simnode *n, const struct effect *e)
{
    struct world *w = n->world;
    struct server *s = simnode_server(n, e->service);

    if (e->step == STEP_DNS)
        (void)net_send(&w->net, n->host, WORLD_DNS_HOST, NULL, on_dns, &w->services[e->service], e, sizeof(*e));
    else if (s->running)
        (void)net_send(&w->net, n->host, s->host, &s->process, on_effect, s, e, sizeof(*e));
}

static void on_effect_due(void *ctx)
{
    struct delayed *d = ctx;
    struct simnode *n = d->node;
    struct attempt *a = &n->attempts[d->effect.index];
    struct server *s = simnode_server(n, a->service);

    arena_enter(&n->arena);
    if (a->open && a->number == d->effect.number && !a->ended) {
        if (a->step == STEP_PROMOTE && !promotion_stands(n, a)) {
            attempt_end(n, a, false, "not primary in this epoch any more: not promoted");
        } else if (a->step == STEP_PROMOTE && s->guard.bypass && service_enforced(&n->state->services[a->service])) {
            attempt_end(n, a, false, "lease_guard is bypassed");
        } else if (a->step != STEP_DNS && !s->running) {
            attempt_end(n, a, false, "no server runs here");
        } else {
            world_on_effect(&n->world->services[a->service], n, step_word(a->step));
            a->asked = a->step == STEP_DNS ? 0 : s->guard.instance;
            send_effect(n, &d->effect);
        }
    }
    raft_free(d);
}

static void attempt_begin(struct simnode *n, struct attempt *a, service_id service, uint8_t run_index)
{
    const struct service *svc = &n->state->services[service];
    struct server *server = simnode_server(n, service);
    const struct step_run *run = &svc->operation.runs[run_index];
    const struct step_run *fence;
    struct sim *s = n->world->sim;
    struct delayed *d = raft_malloc(sizeof(*d));
    int64_t most_us = run->step == STEP_PROMOTE ? PROMOTE_MAX_US : EFFECT_MAX_US;

    *a = (struct attempt){ .service = service,
                           .open = true,
                           .operation = svc->operation.id,
                           .run = run_index,
                           .attempt = run->attempt,
                           .step = run->step,
                           .site = run->site,
                           .epoch = run->epoch,
                           .old_epoch = svc->operation.old_epoch,
                           .number = ++n->next_attempt };
    a->deadline_us = simnode_now_us(n) + (int64_t)plan_step_of(run->step)->deadline_ms * SIM_US_PER_MS;
    *d = (struct delayed){ .node = n,
                           .effect = { .step = run->step,
                                       .node = n->number,
                                       .node_life = n->process.life,
                                       .number = a->number,
                                       .service = service,
                                       .index = (unsigned)(a - n->attempts),
                                       .site = run->site,
                                       .epoch = run->epoch,
                                       .old_epoch = a->old_epoch } };
    fence = operation_run(&svc->operation, STEP_FENCE, svc->operation.from);
    if (fence != NULL && fence->state == RUN_DONE && fence->position.known)
        d->effect.fenced_lsn = fence->position.lsn;
    if (run->attempt == 1) /* a second one may find it severed already */
        d->effect.patience_us = (int64_t)plan_step_of(run->step)->deadline_ms * 500;
    if (svc->lease.epoch == a->old_epoch) {
        d->effect.instance_count = svc->lease.instance_count;
        memcpy(d->effect.instances, svc->lease.instances, sizeof d->effect.instances);
    }
    if (server == NULL || sim_chance(s, n->world->options.step_fails_ppm)) {
        raft_free(d);
        attempt_end(n, a, false, "failed for a reason of its own");
        return;
    }
    if (!server->running && run->step != STEP_DNS && run->step != STEP_FENCE) {
        raft_free(d);
        attempt_end(n, a, false, "no server runs here");
        return;
    }
    if (!server->running && run->step == STEP_FENCE) {
        do_fence(server, &d->effect);
        a->result = d->effect.result;
        raft_free(d);
        attempt_end(n, a, true, "no server runs: every instance is gone");
        return;
    }
    sim_after(s, sim_between(s, 0, most_us), &n->process, on_effect_due, NULL, d);
}

void simnode_steps_start(struct simnode *n)
{
    n->attempts = raft_calloc((size_t)n->world->service_count * RUNS_MAX, sizeof(struct attempt));
}

static void attempt_on_state(struct simnode *n, struct attempt *a)
{
    const struct server *s = simnode_server(n, a->service);

    if (!a->open)
        return;
    if (run_shown(n, a) == NULL)
        a->open = false;
    else if (!a->ended && simnode_now_us(n) > a->deadline_us)
        attempt_end(n, a, false, "not within its deadline");
    else if (!a->ended && a->asked != 0 && s->guard.instance != a->asked)
        attempt_end(n, a, false, "the connection is lost");
    else if (a->ended && !a->submitting)
        submit_result(n, a);
}

void simnode_steps_on_state(struct simnode *n)
{
    for (unsigned i = 0; i < n->world->service_count; i++) {
        const struct service *svc = &n->state->services[i];
        struct attempt *attempts = &n->attempts[i * RUNS_MAX];
        for (unsigned r = 0; r < RUNS_MAX; r++)
            attempt_on_state(n, &attempts[r]);
        for (uint8_t r = 0; svc->present && operation_active(&svc->operation) && r < svc->operation.run_count; r++) {
            const struct step_run *run = &svc->operation.runs[r];
            if (run->state == RUN_ASSIGNED && run->node == n->id && !attempts[r].open)
                attempt_begin(n, &attempts[r], (service_id)i, r);
        }
    }
}
