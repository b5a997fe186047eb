/* What must never happen. The log's truth is taken from whoever applies an entry first; the servers' truth is looked at in simulated real time. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "core/plan.h"
#include "tests/sim/simnode.h"
#include "tests/sim/world.h"

#define DIGEST_EVERY 64   /* entries between two comparisons of the whole state; a divergence does not heal */
#define DISPLAY_SLOW 2    /* display time may pass at half the speed, while a wall clock is wrong */
#define WAIT_LOOK_EVERY 4 /* entries */
#define LAG_SLACK_US (3 * SIM_US_PER_S) /* until a lag that is too great is an opinion */
#define ENCODED_MAX (1024 * 1024)

static uint64_t digest_of(const struct state *s, const uint8_t *outcome, size_t outcome_bytes)
{
    static uint8_t encoded[ENCODED_MAX];
    uint32_t crc = crc32c(0, outcome, outcome_bytes);
    size_t used = 0;

    if (s->applied_index % DIGEST_EVERY == 0) {
        ASSERT(snapshot_encode(s, encoded, sizeof encoded, &used) == STATUS_OK);
        crc = crc32c(crc, encoded, used);
    }
    return (uint64_t)crc | UINT64_C(1) << 32;
}

/* Before the first grant the configured primary's guard is open, because nothing is enforced yet. */
static site_id rightful(const struct world_service *ws)
{
    return ws->primary == SITE_NONE ? world_first_primary(ws->world, ws->number) : ws->primary;
}

/* What a person has overridden is theirs to answer for. */
static bool overridden(const struct server *s)
{
    return s->break_glass && !s->glass_known;
}

void world_changed(struct world_service *ws)
{
    ws->changed = true;
    ws->world->changed = true;
}

void world_on_acknowledged(struct world_service *ws, struct server *s)
{
    if (rightful(ws) != s->site && !overridden(s))
        sim_fail(ws->world->sim,
                 "SPLIT BRAIN: site %u acknowledges a write of service %u (guard epoch %" PRIu64
                 "%s), site %u is primary since epoch %" PRIu64,
                 s->site, ws->number, s->guard.epoch, s->guard.bypass ? ", bypass" : "", rightful(ws), ws->epoch);
}

static void check_service(struct world_service *ws)
{
    struct sim *sim = ws->world->sim;
    unsigned passing = 0;

    for (unsigned i = 0; i < ws->world->server_count; i++) {
        const struct server *s = &ws->servers[i];
        if (!server_passes(s) || overridden(s))
            continue;
        passing++;
        if (ws->proven)
            sim_fail(sim,
                     "site %u would acknowledge although its end is proven (service %u, guard epoch %" PRIu64
                     "%s, epoch %" PRIu64 ")",
                     i, ws->number, s->guard.epoch, s->guard.bypass ? ", bypass" : "", ws->epoch);
        if (rightful(ws) != s->site)
            sim_fail(sim,
                     "site %u would acknowledge (service %u, guard epoch %" PRIu64
                     "), site %u is primary in epoch %" PRIu64,
                     i, ws->number, s->guard.epoch, rightful(ws), ws->epoch);
    }
    if (passing > 1)
        sim_fail(sim, "SPLIT BRAIN: %u sites would acknowledge at the same instant (service %u)", passing, ws->number);
}

/* A guard closes with time, but opens only by an event: only then a look is news. */
void world_check_instant(struct world *w)
{
    if (!w->changed)
        return;
    w->changed = false;
    for (unsigned i = 0; i < w->service_count; i++) {
        if (!w->services[i].changed)
            continue;
        w->services[i].changed = false;
        check_service(&w->services[i]);
    }
}

/* A grant that was asked for before the glass was broken may come after it: the person who broke it answers for that epoch, too. */
static bool glass_may_explain(const struct world_service *ws)
{
    return ws->glass_broken && ws->glass_grants <= 1;
}

/* For how long `from` has acknowledged what `to` lacks. A standby that missed a promotion and follows a server of the time before it lacks all
 * that was acknowledged since. */
static int64_t lacks_us(const struct world_service *ws, const struct server *to, const struct server *from)
{
    if (to->wal.timeline == from->wal.timeline)
        return server_acknowledged_us(from, to->wal.lsn);
    if (server_follows(to, &from->wal) || from->acknowledged_us < ws->primary_since_us)
        return 0;
    return from->acknowledged_us - ws->primary_since_us;
}

/* Whoever becomes primary lacks no more than the policy's lag, in bytes as far as they were known, and in time; or a person has typed it. */
static void check_loss(struct world_service *ws, const struct service *svc)
{
    const struct server *from = world_server(ws, ws->primary);
    const struct server *to = world_server(ws, svc->primary);
    int64_t lost_us;

    if (from == NULL || to == NULL || from == to || svc->operation.overrides != 0 || glass_may_explain(ws))
        return;
    if (to->wal.timeline == from->wal.timeline && to->primary_lsn > to->wal.lsn + svc->config.max_lag_bytes)
        sim_fail(ws->world->sim,
                 "site %u is promoted %" PRIu64 " bytes behind, and %" PRIu64 " are allowed (service %u)", to->site,
                 to->primary_lsn - to->wal.lsn, svc->config.max_lag_bytes, ws->number);
    if (!ws->enforced)
        return; /* it was disarmed not long ago: nothing ends its writes in time, and the log knows that */
    lost_us = lacks_us(ws, to, from);
    if (lost_us > (DISPLAY_SLOW * (int64_t)svc->config.max_lag_ms + svc->lease.ttl_ms) * SIM_US_PER_MS + LAG_SLACK_US)
        sim_fail(ws->world->sim,
                 "site %u is promoted at timeline %u lsn %" PRIu64 " and lacks %" PRId64
                 " ms of site %u's timeline %u lsn %" PRIu64 " (service %u)",
                 to->site, to->wal.timeline, to->wal.lsn, lost_us / SIM_US_PER_MS, from->site, from->wal.timeline,
                 from->wal.lsn, ws->number);
}

/* What the log says of the end of an epoch, followed here on its own and not by core/certificate. */
static void follow_ends(struct world_service *ws, const struct service *svc, const struct command *c)
{
    if (c->kind == COMMAND_LEASE_EXPIRED && ws->world->options.leaders_only)
        sim_fail(ws->world->sim, "the lease of service %u ends, and only leaders have changed", ws->number);
    if (c->kind == COMMAND_LEASE_EXPIRED && svc->lease.enforcement.enforcing)
        ws->expired_epoch = c->lease_expired.epoch;
    if (c->kind == COMMAND_SIGHTING)
        ws->expired_epoch = 0; /* it was seen to acknowledge after its end: time proves nothing there */
    if (c->kind == COMMAND_OPERATOR_CERTIFICATE)
        ws->ended_epoch = svc->lease.epoch;
    if (c->kind == COMMAND_STEP_RESULT && c->step_result.result.ok && c->step_result.run < svc->operation.run_count &&
        svc->operation.runs[c->step_result.run].step == STEP_FENCE &&
        svc->operation.runs[c->step_result.run].state == RUN_DONE)
        ws->ended_epoch = svc->lease.epoch;
}

static void check_promotion(struct world_service *ws, const struct service *svc)
{
    if (ws->ended_epoch != ws->epoch && ws->expired_epoch != ws->epoch)
        sim_fail(ws->world->sim,
                 "service %u: site %u is promoted and nothing in the log proves the end of epoch %" PRIu64, ws->number,
                 svc->primary, ws->epoch);
    if (ws->world->options.leaders_only)
        sim_fail(ws->world->sim, "service %u moves to site %u, and only leaders have changed", ws->number,
                 svc->primary);
}

static void on_new_epoch(struct world_service *ws, const struct service *svc, uint64_t index, const struct command *c)
{
    sim_note(ws->world->sim, "service %u: epoch %" PRIu64 ": site %u is primary (%s, entry %" PRIu64 ")", ws->number,
             svc->lease.epoch, svc->primary, command_word(c->kind), index);
    check_loss(ws, svc);
    if (c->kind == COMMAND_PROMOTE)
        check_promotion(ws, svc);
    ws->glass_grants++;
    if (ws->primary != svc->primary)
        ws->primary_since_us = ws->world->sim->now_us;
    ws->epoch = svc->lease.epoch;
    ws->primary = svc->primary;
    world_changed(ws);
}

static void on_operation_moved(struct world_service *ws, const struct service *svc, uint64_t index,
                               const struct command *c)
{
    sim_note(ws->world->sim, "service %u: operation %" PRIu64 " is %s (entry %" PRIu64 ", %s by %s)", ws->number,
             svc->operation.id, operation_state_word(svc->operation.state), index, command_word(c->kind), c->who);
    ws->operation_state = svc->operation.state;
    ws->operation_us = ws->world->sim->now_us;
    ws->operation_count += ws->operation_state == OPERATION_RUNNING;
    ws->promoted_count += ws->operation_state == OPERATION_PROMOTED;
    if (ws->operation_state == OPERATION_RUNNING && !service_enforced(svc) && svc->operation.kind == OPERATION_FAILOVER)
        sim_fail(ws->world->sim, "an automatic operation runs for a service that is not enforced");
}

/* Whatever is under way has a deadline, or names what it waits for and the command that ends it. */
static void check_wait(struct world_service *ws, const struct state *s, const struct service *svc)
{
    struct plan_wait wait;

    plan_wait(s, &svc->operation, &wait);
    if (wait.what[0] != '\0' && wait.way_out[0] == '\0')
        sim_fail(ws->world->sim, "service %u waits for '%s' and no command ends it", ws->number, wait.what);
    if (wait.what[0] != '\0' || svc->operation.state == OPERATION_RUNNING)
        return; /* a running one that waits for nothing is promoted next */
    for (unsigned i = 0; i < svc->operation.run_count; i++)
        if (!run_ended(&svc->operation.runs[i]))
            return; /* the leader proposes it next */
    sim_fail(ws->world->sim, "operation %" PRIu64 " of service %u is %s and waits for nothing", svc->operation.id,
             ws->number, operation_state_word(svc->operation.state));
}

static void follow_service(struct world_service *ws, const struct state *s, uint64_t index, const struct command *c)
{
    const struct service *svc = &s->services[ws->number];
    bool proven;

    if (svc->lease.epoch < ws->epoch)
        sim_fail(ws->world->sim, "the epoch of service %u goes back from %" PRIu64 " to %" PRIu64, ws->number,
                 ws->epoch, svc->lease.epoch);
    if (svc->lease.epoch > ws->epoch)
        on_new_epoch(ws, svc, index, c);
    if (operation_active(&svc->operation) && index % WAIT_LOOK_EVERY == 0)
        check_wait(ws, s, svc);
    proven = certificate_counts(&svc->proof, CERT_AGENT, &svc->lease) ||
             certificate_counts(&svc->proof, CERT_EXPIRED, &svc->lease);
    ws->enforced = svc->lease.enforcement.enforcing;
    if (proven && !ws->proven)
        world_changed(ws);
    ws->proven = proven;
    if (svc->operation.state != ws->operation_state)
        on_operation_moved(ws, svc, index, c);
}

/* The service that an accepted command speaks of; NULL: of none, or not of one alone. */
static struct world_service *service_of(struct world *w, const struct state *s, const struct command *c)
{
    if (c->kind == COMMAND_LEASE_EXPIRED)
        return &w->services[c->lease_expired.service];
    if (c->kind == COMMAND_SIGHTING)
        return &w->services[c->sighting.service];
    if (c->kind != COMMAND_STEP_RESULT && c->kind != COMMAND_OPERATOR_CERTIFICATE)
        return NULL;
    for (unsigned i = 0; i < w->service_count; i++) /* the operation's number stands first in both */
        if (s->services[i].operation.id == c->step_result.operation)
            return &w->services[i];
    return NULL;
}

static void on_renewed(struct world_service *ws, instance_id instance)
{
    for (unsigned i = 0; i < ws->world->server_count; i++)
        if (ws->servers[i].break_glass && ws->servers[i].guard.instance == instance) {
            ws->servers[i].glass_known = true;
            world_changed(ws);
        }
}

/* The first to apply an entry tells what the log has decided. */
static void on_new_entry(struct world *w, const struct simnode *n, uint64_t index, const struct command *c,
                         bool accepted)
{
    struct world_service *about;

    w->applied_index = index;
    w->entry_count++;
    if (c->kind == COMMAND_RENEW && accepted)
        on_renewed(&w->services[c->renew.service], c->renew.enforcement.instance);
    if (c->kind == COMMAND_SIGHTING && accepted &&
        certificate_expiry_is_proof(&n->state->services[c->sighting.service].lease) &&
        !glass_may_explain(&w->services[c->sighting.service]))
        sim_fail(w->sim, "node %" PRIu64 " has written at site %u after its lease had expired", c->sighting.node,
                 c->sighting.site);
    about = accepted ? service_of(w, n->state, c) : NULL;
    if (about != NULL)
        follow_ends(about, &n->state->services[about->number], c);
    for (unsigned i = 0; i < w->service_count; i++)
        follow_service(&w->services[i], n->state, index, c);
    if (w->on_entry != NULL)
        w->on_entry(w, index, c, n->state);
}

static bool outcome_ok(const uint8_t *bytes, size_t length)
{
    struct outcome outcome;

    return outcome_decode(&outcome, bytes, length) == STATUS_OK && outcome.status == STATUS_OK;
}

void world_on_applied(struct world *w, const struct simnode *n, uint64_t index, const struct command *command,
                      const uint8_t *outcome, size_t outcome_bytes)
{
    uint64_t digest = digest_of(n->state, outcome, outcome_bytes);

    ASSERT(index < WORLD_INDEX_MAX);
    if (w->digests[index] != 0 && w->digests[index] != digest)
        sim_fail(w->sim, "node %u differs from others at entry %" PRIu64 " (%s)", n->number, index,
                 command_word(command->kind));
    w->digests[index] = digest;
    if (index > w->applied_index)
        on_new_entry(w, n, index, command, outcome_ok(outcome, outcome_bytes));
}

void world_on_restored(struct world *w, const struct simnode *n)
{
    struct error err = ERROR_NONE;

    if (state_check(n->state, &err) != STATUS_OK)
        sim_fail(w->sim, "the restored state breaks an invariant: %s", err.text);
}

void world_on_effect(struct world_service *ws, const struct simnode *n, const char *what)
{
    const struct service *svc = &n->state->services[ws->number];

    if (!service_enforced(svc) && svc->operation.state != OPERATION_PROMOTED &&
        svc->operation.kind == OPERATION_FAILOVER)
        sim_fail(ws->world->sim, "step %s touches the world for a service that is not enforced", what);
}
