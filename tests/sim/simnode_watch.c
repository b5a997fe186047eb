/* What a simulated node sees: looks at every server over the network, with a timeout; changes of opinion into the log until the applied state
 * shows them. The observers are the real ones (core/opinion). As coordinator/daemon_watch.c and probe/prober. */
#include "tests/sim/simnode.h"

#include <string.h>

#include "base/check.h"

#define REPORT_DEADLINE_MS 3000u
#define STREAMING_US (2 * SIM_US_PER_S) /* a receiver that got nothing for so long is not connected */

struct look_request {
    unsigned node;
    uint32_t node_life;
    service_id service;
    unsigned site;
    uint64_t number;
    bool canary;
    bool refused; /* answered by the host: nobody listens */
    int64_t wall_ms;
};

struct look_reply {
    struct look_request request;
    enum role role;
    bool streaming;
    bool application;
    enum look_outcome canary;
    int64_t canary_seen_ms;
};

struct look_timeout {
    struct watch *watch;
    uint64_t number;
};

static const struct service *service_of(const struct simnode *n, service_id service)
{
    const struct service *svc = &n->state->services[service];

    return svc->present ? svc : NULL;
}

struct watch *simnode_watch(struct simnode *n, service_id service, site_id site)
{
    return &n->watches[service * n->world->server_count + site];
}

static void on_reported(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    struct watch *watch = ctx;

    (void)n;
    (void)status;
    (void)outcome;
    watch->reporting = false;
}

static void report_one(struct simnode *n, const struct service *svc, struct watch *watch)
{
    site_id site = watch->site;
    struct opinion now = observer_opinion(&watch->observer);
    struct command *c = n->world->scratch;
    int slot = state_member_slot(n->state, n->id);

    if (slot < 0 || watch->reporting)
        return;
    if (!observer_measured(&watch->observer) && now.word != OPINION_FAILED)
        now.ready = svc->views[site].opinions[slot].ready;
    if (opinion_equal(&now, &svc->views[site].opinions[slot]))
        return;
    watch->reporting = true;
    command_clear(c, COMMAND_OPINION);
    simnode_set_name(n, c);
    c->opinion = (struct command_opinion){ n->id, watch->service, site, now };
    simnode_submit(n, c, REPORT_DEADLINE_MS, on_reported, watch);
}

static void on_started(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    (void)ctx;
    n->starting = false;
    if (status != STATUS_OK || outcome->status != STATUS_OK)
        return;
    n->acts_from = outcome->value;
    holder_act_from(&n->holder, n->acts_from);
    simnode_wake(n);
}

bool simnode_acts(const struct simnode *n)
{
    return n->acts_from != 0 && n->state->applied_index >= n->acts_from;
}

static void announce_start(struct simnode *n)
{
    struct command *c = n->world->scratch;

    if (n->starting || n->acts_from != 0)
        return;
    n->starting = true;
    command_clear(c, COMMAND_NODE_STARTED);
    simnode_set_name(n, c);
    c->node_started.node = n->id;
    c->node_started.version = program_version;
    simnode_submit(n, c, REPORT_DEADLINE_MS, on_started, NULL);
}

void simnode_report(struct simnode *n)
{
    announce_start(n);
    for (unsigned i = 0; i < n->world->service_count; i++) {
        const struct service *svc = service_of(n, (service_id)i);
        for (unsigned j = 0; svc != NULL && j < svc->config.site_count; j++)
            report_one(n, svc, simnode_watch(n, (service_id)i, svc->config.sites[j].site));
    }
}

static struct look_slot *slot_of(struct watch *watch, uint64_t number)
{
    struct look_slot *slot = &watch->slots[number % LOOKS_IN_FLIGHT];

    return slot->open && slot->number == number ? slot : NULL;
}

static void look_failed(struct simnode *n, const struct service *svc, struct watch *watch, bool canary)
{
    struct observer *o = &watch->observer;
    const struct timing *t = &svc->config.timing;

    observer_look(o, LOOK_READ_FRESH, LOOK_FAILED, t);
    observer_look(o, LOOK_READ_PERSISTENT, LOOK_FAILED, t);
    observer_look(o, LOOK_TCP, LOOK_FAILED, t);
    if (canary)
        observer_look(o, LOOK_CANARY, LOOK_FAILED, t);
    if (svc->primary == watch->site)
        observer_look(o, LOOK_HTTP, LOOK_FAILED, t);
    report_one(n, svc, watch);
}

/* Still, when a look ends: nobody looks at a canary of a standby again. */
static bool at_primary(const struct watch *watch)
{
    return watch->primary == watch->site;
}

static void on_look_timeout(void *ctx)
{
    struct look_timeout *timeout = ctx;
    struct watch *watch = timeout->watch;
    struct simnode *n = watch->node;
    struct look_slot *slot = slot_of(watch, timeout->number);
    const struct service *svc = service_of(n, watch->service);

    if (slot != NULL) {
        slot->open = false;
        arena_enter(&n->arena);
        if (svc != NULL && !n->fatal)
            look_failed(n, svc, watch, slot->canary && at_primary(watch));
    }
    raft_free(timeout);
}

static void on_sighted(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    (void)n;
    (void)ctx;
    (void)status;
    (void)outcome; /* the next acknowledged write is another sighting */
}

static void sighted(struct simnode *n, const struct service *svc, const struct watch *watch,
                    const struct look_slot *slot)
{
    site_id site = watch->site;
    struct command *c = n->world->scratch;

    if (!simnode_acts(n) || svc->lease.site != site || svc->lease.epoch != slot->epoch ||
        !lease_forbids_since(&svc->lease, slot->looked_index) || !service_enforced(svc))
        return;
    command_clear(c, COMMAND_SIGHTING);
    simnode_set_name(n, c);
    c->sighting = (struct command_sighting){ watch->service, site, slot->epoch, n->id, slot->looked_index };
    simnode_submit(n, c, REPORT_DEADLINE_MS, on_sighted, NULL);
}

static void on_reply(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct simnode *n = receiver;
    const struct look_reply *reply = data;
    site_id site = (site_id)reply->request.site;
    struct watch *watch;
    struct look_slot *slot;
    const struct service *svc;
    const struct timing *t;
    int64_t written_ms = -1;

    (void)from;
    (void)size_bytes;
    if (!n->up || n->fatal)
        return;
    watch = simnode_watch(n, reply->request.service, site);
    slot = slot_of(watch, reply->request.number);
    svc = service_of(n, watch->service);
    if (slot == NULL || svc == NULL)
        return;
    arena_enter(&n->arena);
    slot->open = false;
    if (reply->request.refused) {
        look_failed(n, svc, watch, slot->canary && at_primary(watch));
        return;
    }
    t = &svc->config.timing;
    observer_look(&watch->observer, LOOK_READ_FRESH, LOOK_OK, t);
    observer_look(&watch->observer, LOOK_READ_PERSISTENT, LOOK_OK, t);
    observer_look(&watch->observer, LOOK_TCP, LOOK_OK, t);
    if (slot->canary && at_primary(watch))
        observer_look(&watch->observer, LOOK_CANARY, reply->canary, t);
    if (svc->primary == site)
        observer_look(&watch->observer, LOOK_HTTP, reply->application ? LOOK_OK : LOOK_FAILED, t);
    if (slot->canary && reply->canary == LOOK_OK) {
        watch->canary_written_ms = reply->request.wall_ms;
        sighted(n, svc, watch, slot);
    }
    if (svc->primary < n->world->server_count)
        written_ms = simnode_watch(n, watch->service, svc->primary)->canary_written_ms;
    observer_read(&watch->observer, reply->role, reply->streaming, reply->canary_seen_ms, written_ms,
                  svc->config.max_lag_ms, t);
    report_one(n, svc, watch);
}

static void on_request(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct server *s = receiver;
    struct look_reply reply = { .request = *(const struct look_request *)data };
    struct simnode *n = s->world->nodes[reply.request.node];

    (void)from;
    ASSERT(size_bytes == sizeof(struct look_request));
    reply.role = s->in_recovery ? ROLE_STANDBY : ROLE_PRIMARY;
    reply.streaming = s->in_recovery && s->streamed_us != INT64_MIN && server_now_us(s) - s->streamed_us < STREAMING_US;
    reply.application = s->application;
    reply.canary = LOOK_NEUTRAL;
    if (reply.request.canary && !s->in_recovery) {
        if (server_write(s)) {
            s->wal.canary_ms[reply.request.node] = reply.request.wall_ms;
            reply.canary = LOOK_OK;
        }
    }
    reply.canary_seen_ms = s->wal.canary_ms[reply.request.node];
    if (n->process.life == reply.request.node_life)
        (void)net_send(&s->world->net, s->host, n->host, &n->process, on_reply, n, &reply, sizeof(reply));
}

/* The host answers for a server that does not run. */
static void on_request_unserved(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct server *s = receiver;
    struct look_reply reply = { .request = *(const struct look_request *)data };
    struct simnode *n = s->world->nodes[reply.request.node];

    (void)from;
    (void)size_bytes;
    reply.request.refused = true;
    if (n->process.life == reply.request.node_life && !s->running && !s->host_dead)
        (void)net_send(&s->world->net, s->host, n->host, &n->process, on_reply, n, &reply, sizeof(reply));
}

static void look_begin(struct watch *watch, const struct service *svc)
{
    struct simnode *n = watch->node;
    struct world *w = n->world;
    struct server *s = &w->services[watch->service].servers[watch->site];
    struct look_slot *slot = &watch->slots[watch->next_number % LOOKS_IN_FLIGHT];
    struct look_request q = { .node = n->number,
                              .node_life = n->process.life,
                              .service = watch->service,
                              .site = watch->site,
                              .number = watch->next_number++,
                              .canary = svc->primary == watch->site,
                              .wall_ms = simnode_wall_ms(n) };
    struct look_timeout *timeout = raft_malloc(sizeof(*timeout));

    if (watch->primary != svc->primary) {
        watch->primary = svc->primary;
        observer_forget(&watch->observer, LOOK_CANARY);
        observer_forget(&watch->observer, LOOK_HTTP);
        watch->canary_written_ms = -1;
    }
    *slot = (struct look_slot){ .number = q.number,
                                .open = true,
                                .epoch = svc->lease.epoch,
                                .looked_index = n->state->applied_index,
                                .canary = q.canary };
    *timeout = (struct look_timeout){ .watch = watch, .number = q.number };
    sim_after(w->sim, sim_clock_span_us(&n->clock, (int64_t)svc->config.timing.probe_timeout_ms * SIM_US_PER_MS),
              &n->process, on_look_timeout, NULL, timeout);
    if (s->running)
        (void)net_send(&w->net, n->host, s->host, &s->process, on_request, s, &q, sizeof(q));
    else
        (void)net_send(&w->net, n->host, s->host, NULL, on_request_unserved, s, &q, sizeof(q));
}

static void on_look_due(void *ctx)
{
    struct watch *watch = ctx;
    struct simnode *n = watch->node;
    const struct service *svc = service_of(n, watch->service);
    int64_t interval_us = (int64_t)n->world->options.timing.probe_interval_ms * SIM_US_PER_MS;

    arena_enter(&n->arena);
    if (svc != NULL && !n->fatal)
        look_begin(watch, svc);
    sim_after(n->world->sim, sim_clock_span_us(&n->clock, interval_us), &n->process, on_look_due, NULL, watch);
}

void simnode_watch_start(struct simnode *n)
{
    struct world *w = n->world;
    int64_t interval_us = (int64_t)w->options.timing.probe_interval_ms * SIM_US_PER_MS;

    n->watches = raft_calloc((size_t)w->service_count * w->server_count, sizeof(struct watch));
    for (unsigned i = 0; i < w->service_count; i++) {
        for (unsigned j = 0; j < w->server_count; j++) {
            struct watch *watch = simnode_watch(n, (service_id)i, (site_id)j);
            watch->node = n;
            watch->service = (service_id)i;
            watch->site = (site_id)j;
            watch->primary = SITE_NONE;
            watch->canary_written_ms = -1;
            observer_init(&watch->observer);
            sim_after(w->sim, sim_between(w->sim, 0, interval_us), &n->process, on_look_due, NULL, watch);
        }
    }
}
