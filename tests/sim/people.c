/* People: what they command at bad moments, and what they do in the end. */
#include "tests/sim/faults_internal.h"

#include "base/text.h"
#include "core/gates.h"
#include "tests/sim/simnode.h"

void people_rebuild(struct world *w)
{
    struct server *primary = world_server(w, w->primary);
    const struct service *svc = world_service(w);

    if (primary != NULL && primary->switched_off && svc->operation.state != OPERATION_RUNNING &&
        svc->primary == w->primary && !primary->host_dead) {
        primary->switched_off = false; /* nothing came of it: it is the primary still */
        server_start(primary);
    }
    if (primary != NULL && primary->running && primary->break_glass && sim_chance(w->sim, 300000)) {
        server_kill(primary); /* it was meant for an hour, and is over */
        server_start(primary);
    }
    if (primary == NULL || !primary->running || primary->in_recovery || primary->process.paused ||
        operation_active(&svc->operation) || svc->primary != w->primary)
        return;
    for (unsigned i = 0; i < w->server_count; i++) {
        struct server *s = &w->servers[i];
        if (s == primary || s->host_dead || (!s->running && !s->switched_off) || s->process.paused)
            continue;
        if (!s->in_recovery || s->switched_off || !wal_follows(&s->wal, &primary->wal)) {
            sim_note(w->sim, "people rebuild the server of site %u from site %u", i, primary->site);
            server_rebuild(s, primary);
        } else if (s->severed) {
            s->severed = false;
        }
    }
}

/* An operation that was given up after its point of no return leaves a primary site whose server was never promoted: `pg_ctl promote` there. */
static void people_promote(struct world *w)
{
    struct server *s = world_server(w, w->primary);

    if (s != NULL && s->running && s->in_recovery && !operation_active(&world_service(w)->operation)) {
        sim_note(w->sim, "people promote the server of site %u by hand", s->site);
        server_promote(s);
    }
}

void people_move_the_service(struct world *w)
{
    const struct service *svc = world_service(w);
    struct command *c = w->scratch;

    command_clear(c, COMMAND_OPERATION_START);
    c->operation_start = (struct command_operation_start){ .service = WORLD_SERVICE,
                                                           .kind = OPERATION_PROMOTE,
                                                           .from = svc->primary,
                                                           .to = (site_id)sim_random(w->sim, w->server_count),
                                                           .epoch = svc->lease.epoch };
    if (sim_chance(w->sim, 500000))
        c->operation_start.overrides = 1u << GATE_READY | 1u << GATE_OPERATION;
    (void)world_operator(w);
}

static void operator_id(struct world *w, enum command_kind kind)
{
    struct command *c = w->scratch;

    command_clear(c, kind);
    c->operation_abort.operation = world_service(w)->operation.id;
    text_set(c->operation_abort.reason, DETAIL_MAX_BYTES, "simulated");
    (void)world_operator(w);
}

void people_abort(struct world *w)
{
    operator_id(w, COMMAND_OPERATION_ABORT);
}

static void operator_set(struct world *w, enum service_change change)
{
    command_clear(w->scratch, COMMAND_SERVICE_SET);
    w->scratch->service_set.service = WORLD_SERVICE;
    w->scratch->service_set.change = change;
    (void)world_operator(w);
}

static void operator_ttl(struct world *w, uint32_t ttl_ms)
{
    w->options.timing.ttl_ms = ttl_ms;
    sim_note(w->sim, "ttl %u ms", ttl_ms);
    (void)world_configure(w);
}

/* Raised, then lowered while answers are being lost; the guard may be open for the longer one when the site is lost. */
void people_change_ttl(struct world *w)
{
    operator_ttl(w, sim_chance(w->sim, 500000) ? 6000 : 3000);
    world_run(w, sim_between(w->sim, 400, 2000) * SIM_US_PER_MS);
    faults_degrade(w, NET_HOSTS_MAX, sim_chance(w->sim, 700000) ? 300000 : 0, 0);
    operator_ttl(w, 2000);
    world_run(w, sim_between(w->sim, 1, 700) * SIM_US_PER_MS);
    if (sim_chance(w->sim, 800000))
        faults_lose_primary_site(w);
    faults_degrade(w, NET_HOSTS_MAX, 0, 0);
}

/* A person restarts the primary with broken glass, since writes matter more to them than the proof; later without it. */
void people_break_glass(struct world *w)
{
    struct server *s = world_server(w, w->primary);

    if (s == NULL || !s->running || s->process.paused || s->in_recovery)
        return;
    faults_degrade(w, s->host, 0,
                   sim_chance(w->sim, 700000) ? 400000 : 0); /* a renewal of its last life may be on its way */
    world_run(w, sim_between(w->sim, 1, 700) * SIM_US_PER_MS);
    if (s->running)
        server_kill(s);
    server_start_with_broken_glass(s);
    world_run(w, sim_between(w->sim, 1, 2500) * SIM_US_PER_MS);
    if (sim_chance(w->sim, 700000))
        faults_lose_primary_site(w);
    faults_degrade(w, NET_HOSTS_MAX, 0, 0);
}

/* Long enough for a snapshot of the time in which nothing was enforced; with it the site comes back, cut off, after the failover. */
void people_toggle_before_the_site_returns(struct world *w)
{
    operator_set(w, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
    world_run(w, sim_between(w->sim, 500, 8000) * SIM_US_PER_MS);
    operator_set(w, SERVICE_ARM);
    operator_set(w, SERVICE_RESUME);
    world_run(w, sim_between(w->sim, 500, 3000) * SIM_US_PER_MS);
    faults_primary_site_returns_cut_off(w);
}

/* Enforcement is switched off and on again, and the primary's site is lost between the two or soon after. */
void people_toggle_and_lose(struct world *w)
{
    bool between = sim_chance(w->sim, 500000);

    operator_set(w, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
    world_run(w, sim_between(w->sim, 1, 1500) * SIM_US_PER_MS);
    if (between)
        faults_lose_primary_site(w);
    operator_set(w, SERVICE_ARM);
    operator_set(w, SERVICE_RESUME);
    world_run(w, sim_between(w->sim, 1, 400) * SIM_US_PER_MS);
    if (!between)
        faults_lose_primary_site(w);
}

/* An honest person: the old primary's host is dead, and is rebuilt before it comes back. */
static void operator_vouch(struct world *w)
{
    const struct service *svc = world_service(w);
    struct server *s = world_server(w, svc->primary);

    if (svc->operation.state != OPERATION_RUNNING || s == NULL)
        return;
    if (s->running)
        server_kill(s);
    operator_id(w, COMMAND_OPERATOR_CERTIFICATE);
    s->switched_off = true;
}

void people_act(struct world *w)
{
    switch (sim_random(w->sim, 12)) {
    case 10:
    case 11:
        people_toggle_and_lose(w);
        return;
    case 0:
    case 1:
    case 2:
        people_move_the_service(w);
        return;
    case 3:
    case 4:
        operator_id(w, COMMAND_OPERATION_ABORT);
        return;
    case 5:
        operator_id(w, COMMAND_OPERATION_APPROVE);
        return;
    case 6:
        operator_set(w, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
        return;
    case 7:
        operator_vouch(w);
        return;
    default:
        operator_set(w, SERVICE_ARM);
        operator_set(w, SERVICE_RESUME);
    }
}

static void operator_skip(struct world *w, enum step step)
{
    command_clear(w->scratch, COMMAND_STEP_SKIP);
    w->scratch->step_skip.operation = world_service(w)->operation.id;
    w->scratch->step_skip.step = step;
    (void)world_operator(w);
}

/* What people do in the end: arm and resume; and, where the report says that it waits for a person, abort. */
void people_help(struct world *w, bool abort)
{
    const struct service *svc = world_service(w);

    people_rebuild(w);
    people_promote(w);
    if (!svc->armed || svc->paused) {
        operator_set(w, SERVICE_ARM);
        operator_set(w, SERVICE_RESUME);
    }
    if (abort && svc->operation.state == OPERATION_UNDOING)
        operator_skip(w, STEP_RECONNECT); /* of a standby that is gone */
    if (svc->operation.state == OPERATION_PROPOSED || (abort && svc->operation.state == OPERATION_RUNNING))
        operator_id(w, COMMAND_OPERATION_ABORT);
}
