/* What must never happen. The log's truth is taken from whoever applies an entry first; the servers' truth is looked at in simulated real time. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "tests/sim/simnode.h"
#include "tests/sim/world.h"

#define DIGEST_EVERY 8 /* entries between two comparisons of the whole state; a divergence does not heal */
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
static site_id rightful(const struct world *w)
{
    return w->primary == SITE_NONE ? 0 : w->primary;
}

/* What a person has overridden is theirs to answer for. */
static bool overridden(const struct world *w, const struct server *s)
{
    return w->vouched || (s->break_glass && !s->glass_known);
}

void world_on_acknowledged(struct world *w, struct server *s)
{
    if (rightful(w) != s->site && !overridden(w, s))
        sim_fail(w->sim,
                 "SPLIT BRAIN: site %u acknowledges a write (guard epoch %" PRIu64
                 "%s), site %u is primary since epoch %" PRIu64,
                 s->site, s->guard.epoch, s->guard.bypass ? ", bypass" : "", rightful(w), w->epoch);
}

void world_check_instant(struct world *w)
{
    unsigned passing = 0;

    for (unsigned i = 0; i < w->server_count; i++) {
        const struct server *s = &w->servers[i];
        if (!server_passes(s) || overridden(w, s))
            continue;
        passing++;
        if (w->proven)
            sim_fail(w->sim,
                     "site %u would acknowledge although its end is proven (guard epoch %" PRIu64 "%s, epoch %" PRIu64
                     ")",
                     i, s->guard.epoch, s->guard.bypass ? ", bypass" : "", w->epoch);
        if (rightful(w) != s->site)
            sim_fail(w->sim,
                     "site %u would acknowledge (guard epoch %" PRIu64 "), site %u is primary in epoch %" PRIu64, i,
                     s->guard.epoch, rightful(w), w->epoch);
    }
    if (passing > 1)
        sim_fail(w->sim, "SPLIT BRAIN: %u sites would acknowledge at the same instant", passing);
}

/* A grant that was asked for before the glass was broken may come after it: the person who broke it answers for that epoch, too. */
static bool glass_may_explain(const struct world *w)
{
    return w->glass_epoch != 0 && w->epoch <= w->glass_epoch + 1;
}

/* Whoever becomes primary has a prefix of what the last one wrote, and lacks no more than the policy's lag. A standby that missed a promotion
 * and follows a server of the time before it has no prefix: it lacks all that was acknowledged since. */
static void check_candidate(struct world *w, const struct service *svc)
{
    const struct server *from = world_server(w, w->primary);
    const struct server *to = world_server(w, svc->primary);
    int64_t lacks_us;

    if (from == NULL || to == NULL || from == to || svc->operation.overrides != 0 || wal_follows(&to->wal, &from->wal))
        return;
    lacks_us = from->acknowledged_us - w->primary_since_us;
    if (lacks_us > (int64_t)svc->config.max_lag_ms * SIM_US_PER_MS + LAG_SLACK_US)
        sim_fail(w->sim,
                 "site %u is promoted at timeline %u lsn %" PRIu64 " and lacks %" PRId64 " ms of site %u's timeline %u",
                 to->site, to->wal.timeline, to->wal.lsn, lacks_us / SIM_US_PER_MS, from->site, from->wal.timeline);
}

/* The first to apply an entry tells what the log has decided. */
static void on_new_entry(struct world *w, const struct simnode *n, uint64_t index, const struct command *c,
                         bool accepted)
{
    const struct service *svc = &n->state->services[WORLD_SERVICE];

    w->applied_index = index;
    w->entry_count++;
    for (unsigned i = 0; c->kind == COMMAND_RENEW && accepted && i < w->server_count; i++)
        if (w->servers[i].break_glass && w->servers[i].guard.instance == c->renew.enforcement.instance)
            w->servers[i].glass_known = true;
    if (c->kind == COMMAND_SIGHTING && accepted && certificate_expiry_is_proof(&svc->lease) && !glass_may_explain(w))
        sim_fail(w->sim, "node %" PRIu64 " has written at site %u after its lease had expired", c->sighting.node,
                 c->sighting.site);
    if (svc->lease.epoch < w->epoch)
        sim_fail(w->sim, "the epoch goes back from %" PRIu64 " to %" PRIu64, w->epoch, svc->lease.epoch);
    if (svc->lease.epoch > w->epoch) {
        w->vouched =
            w->vouched && svc->operation.certificate == CERT_OPERATOR && svc->operation.new_epoch == svc->lease.epoch;
        sim_note(w->sim, "epoch %" PRIu64 ": site %u is primary (%s, entry %" PRIu64 ")", svc->lease.epoch,
                 svc->primary, command_word(c->kind), index);
        check_candidate(w, svc);
        if (w->primary != svc->primary)
            w->primary_since_us = w->sim->now_us;
        w->epoch = svc->lease.epoch;
        w->primary = svc->primary;
    }
    w->proven = certificate_counts(&svc->proof, CERT_AGENT, &svc->lease) ||
                certificate_counts(&svc->proof, CERT_EXPIRED, &svc->lease);
    if (svc->operation.state != w->operation_state) {
        sim_note(w->sim, "operation %" PRIu64 " is %s (entry %" PRIu64 ", %s by %s)", svc->operation.id,
                 operation_state_word(svc->operation.state), index, command_word(c->kind), c->who);
        w->operation_state = svc->operation.state;
        w->operation_count += w->operation_state == OPERATION_RUNNING;
        w->promoted_count += w->operation_state == OPERATION_PROMOTED;
        if (w->operation_state == OPERATION_RUNNING && !service_enforced(svc) &&
            svc->operation.kind == OPERATION_FAILOVER)
            sim_fail(w->sim, "an automatic operation runs for a service that is not enforced");
    }
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

void world_on_effect(struct world *w, const struct simnode *n, const char *what)
{
    const struct service *svc = &n->state->services[WORLD_SERVICE];

    if (!service_enforced(svc) && svc->operation.state != OPERATION_PROMOTED &&
        svc->operation.kind == OPERATION_FAILOVER)
        sim_fail(w->sim, "step %s touches the world for a service that is not enforced", what);
}
