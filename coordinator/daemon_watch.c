/* What this node sees, and how the others learn of it: changes of opinion go into the log and are repeated until the applied state shows them;
 * a beat tells the leader that this node lives. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "io/log.h"

#define BEAT_VERSION 1
#define REPORT_DEADLINE_MS 3000u

static const struct state *applied_state(void *ctx)
{
    return ((struct daemon *)ctx)->state;
}

struct report {
    struct daemon *daemon;
    service_id service;
    site_id site;
};

static void on_reported(void *ctx, enum status status, const struct outcome *outcome)
{
    struct report *r = ctx;

    (void)status;
    (void)outcome; /* whatever came of it: the next beat compares with the applied state again */
    r->daemon->reporting[r->service][r->site] = false;
    free(r);
}

static void report_one(struct daemon *d, int slot, service_id service, site_id site)
{
    const struct opinion *known = &d->state->services[service].views[site].opinions[slot];
    struct opinion now;
    bool measured;
    struct report *r;
    struct command *c = d->proposing;

    if (d->reporting[service][site] || !prober_opinion(d->prober, service, site, &now, &measured))
        return;
    if (!measured && now.word != OPINION_FAILED)
        now.ready =
            known->ready; /* not measured in this life, and the primary may be dead: what was true before stands */
    if (opinion_equal(&now, known))
        return;
    r = malloc(sizeof *r);
    ASSERT(r != NULL);
    *r = (struct report){ d, service, site };
    d->reporting[service][site] = true;
    command_clear(c, COMMAND_OPINION);
    text_set(c->who, sizeof c->who, "node %s", daemon_name(d));
    c->opinion = (struct command_opinion){ d->self, service, site, now };
    daemon_submit(d, c, REPORT_DEADLINE_MS, on_reported, r);
}

void daemon_report(struct daemon *d)
{
    int slot = state_member_slot(d->state, d->self);

    if (slot < 0 || d->closing)
        return;
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned j = 0; d->state->services[i].present && j < d->state->services[i].config.site_count; j++)
            report_one(d, slot, (service_id)i, d->state->services[i].config.sites[j].site);
}

static void on_opinion(void *ctx, service_id service, site_id site)
{
    struct daemon *d = ctx;
    int slot = state_member_slot(d->state, d->self);

    if (slot >= 0 && !d->closing)
        report_one(d, slot, service, site);
}

static void on_sighted(void *ctx, enum status status, const struct outcome *outcome)
{
    (void)ctx;
    if (status == STATUS_OK && outcome->status != STATUS_OK)
        log_event(LOG_LEVEL_DEBUG, "sighting_refused", "reason=%s", outcome->reason);
}

/* A write that began after this node had applied the expiry was acknowledged: enforcement is broken at that site. */
static void on_acknowledged(void *ctx, service_id service, site_id site, epoch_t epoch, uint64_t looked_index)
{
    struct daemon *d = ctx;
    const struct service *svc = &d->state->services[service];
    struct command *c = d->proposing;

    if (!daemon_acts(d) || svc->lease.site != site || svc->lease.epoch != epoch ||
        !lease_forbids_since(&svc->lease, looked_index) || !service_enforced(svc))
        return;
    if (d->accused_epoch[service] != epoch)
        log_event(LOG_LEVEL_ERROR, "write_after_expiry", "service=%s site=%s epoch=%" PRIu64 " fix=%s",
                  svc->config.name, state_site_name(d->state, site), epoch,
                  "stop PostgreSQL there and look at its lease_guard: it is not enforced");
    d->accused_epoch[service] = epoch;
    command_clear(c, COMMAND_SIGHTING);
    text_set(c->who, sizeof c->who, "node %s", daemon_name(d));
    c->sighting = (struct command_sighting){ service, site, epoch, d->self, looked_index };
    daemon_submit(d, c, REPORT_DEADLINE_MS, on_sighted, d);
}

bool daemon_acts(const struct daemon *d)
{
    return d->acts_from != 0 && d->state->applied_index >= d->acts_from;
}

static void on_started(void *ctx, enum status status, const struct outcome *outcome)
{
    struct daemon *d = ctx;

    d->starting = false;
    if (status == STATUS_OK && outcome->status != STATUS_OK && d->state->cluster_id != 0 && !d->start_refused) {
        d->start_refused = true;
        log_event(LOG_LEVEL_ERROR, "start_refused", "node=%s reason=%s", daemon_name(d), outcome->reason);
    }
    if (status != STATUS_OK || outcome->status != STATUS_OK)
        return; /* no leader yet, or no member list yet: the next beat tries again */
    d->acts_from = outcome->value;
    log_event(LOG_LEVEL_INFO, "acting", "node=%s from_index=%" PRIu64, daemon_name(d), d->acts_from);
    holder_act_from(&d->holder, d->acts_from);
    (void)uv_async_send(&d->wake);
}

/* What was restored from a snapshot is older than what this node may have acted on before: an entry of its own marks where now is. */
static void announce_start(struct daemon *d)
{
    struct command *c = d->proposing;

    if (d->starting || d->acts_from != 0)
        return;
    d->starting = true;
    command_clear(c, COMMAND_NODE_STARTED);
    text_set(c->who, sizeof c->who, "node %s", daemon_name(d));
    c->node_started.node = d->self;
    c->node_started.version = program_version;
    daemon_submit(d, c, REPORT_DEADLINE_MS, on_started, d);
}

struct prober *daemon_prober_create(struct daemon *d)
{
    struct prober_config config = { .loop = &d->loop,
                                    .resolver = d->resolver,
                                    .http = d->http,
                                    .self = d->self,
                                    .ctx = d,
                                    .state = applied_state,
                                    .on_opinion = on_opinion,
                                    .on_acknowledged = on_acknowledged };

    return prober_create(&config);
}

uint64_t daemon_primary_lsn(void *ctx, service_id service)
{
    return prober_primary_lsn(((struct daemon *)ctx)->prober, service);
}

void daemon_beat(struct daemon *d)
{
    struct rnode_leadership now = rnode_leadership(node_uv_rnode(d->node));
    const struct message_link *link = node_uv_link(d->node);
    uint8_t bytes[2] = { BEAT_VERSION, d->warm ? 1 : 0 };

    if (now.leader != 0 && now.leader != d->self)
        (void)link->send(link->ctx, now.leader, MESSAGE_BEAT, bytes,
                         sizeof bytes); /* a lost beat is followed by the next */
    announce_start(d);
    daemon_report(d);
}

void daemon_on_message(void *ctx, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct daemon *d = ctx;

    if (type == MESSAGE_BEAT && length >= 1 && bytes[0] == BEAT_VERSION)
        leader_heard(&d->leader, d->state, from, length >= 2 && bytes[1] == 1);
    else if (!d->closing)
        daemon_promise_receive(d, from, type, bytes, length);
}
