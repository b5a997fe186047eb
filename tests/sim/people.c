/* People: what they command at bad moments, and what they do in the end. */
#include "tests/sim/faults_internal.h"

#include "base/text.h"
#include "core/gates.h"
#include "tests/sim/simnode.h"

#define TTL_CHANGED_MAX_MS 10000                 /* a longer one is there for what its length shows */
#define PATIENCE_US (25 * (int64_t)SIM_US_PER_S) /* with an operation that gets no further */

static void end_of_a_broken_glass(struct world_service *ws, struct server *primary)
{
    if (!primary->running || !primary->break_glass || !sim_chance(ws->world->sim, 300000))
        return;
    server_kill(primary); /* it was meant for an hour, and is over */
    server_start(primary);
}

static void rebuild_others(struct world_service *ws, struct server *primary)
{
    for (unsigned i = 0; i < ws->world->server_count; i++) {
        struct server *s = &ws->servers[i];
        if (s == primary || s->host_dead || (!s->running && !s->switched_off) || s->process.paused)
            continue;
        if (!s->in_recovery || s->switched_off || !server_follows(s, &primary->wal)) {
            sim_note(ws->world->sim, "people rebuild the server of site %u from site %u (service %u)", i, primary->site,
                     ws->number);
            server_rebuild(s, primary);
        } else if (s->severed) {
            s->severed = false;
        }
    }
}

void people_rebuild(struct world_service *ws)
{
    struct server *primary = world_server(ws, ws->primary);
    const struct service *svc = world_service(ws);

    if (primary == NULL)
        return;
    if (primary->switched_off && svc->operation.state != OPERATION_RUNNING && svc->primary == ws->primary &&
        !primary->host_dead) {
        primary->switched_off = false; /* nothing came of it: it is the primary still */
        server_start(primary);
    }
    end_of_a_broken_glass(ws, primary);
    if (primary->running && !primary->in_recovery && !primary->process.paused && !operation_active(&svc->operation) &&
        svc->primary == ws->primary)
        rebuild_others(ws, primary);
}

/* An operation that was given up after its point of no return leaves a primary site whose server was never promoted: `pg_ctl promote` there. */
static void people_promote(struct world_service *ws)
{
    struct server *s = world_server(ws, ws->primary);

    if (s != NULL && s->running && s->in_recovery && !operation_active(&world_service(ws)->operation)) {
        sim_note(ws->world->sim, "people promote the server of site %u by hand (service %u)", s->site, ws->number);
        server_promote(s);
    }
}

void people_move_the_service(struct world *w)
{
    struct world_service *ws = faults_service(w);
    const struct service *svc = world_service(ws);
    struct command *c = w->scratch;

    command_clear(c, COMMAND_OPERATION_START);
    c->operation_start = (struct command_operation_start){ .service = ws->number,
                                                           .kind = OPERATION_PROMOTE,
                                                           .from = svc->primary,
                                                           .to = (site_id)sim_random(w->sim, w->server_count),
                                                           .epoch = svc->lease.epoch };
    if (sim_chance(w->sim, 500000))
        c->operation_start.overrides = 1u << GATE_READY | 1u << GATE_OPERATION;
    (void)world_operator(w);
}

static void operator_id(struct world_service *ws, enum command_kind kind)
{
    struct command *c = ws->world->scratch;

    command_clear(c, kind);
    c->operation_abort.operation = world_service(ws)->operation.id;
    text_set(c->operation_abort.reason, DETAIL_MAX_BYTES, "simulated");
    (void)world_operator(ws->world);
}

void people_abort(struct world *w)
{
    operator_id(faults_service(w), COMMAND_OPERATION_ABORT);
}

static void operator_set(struct world_service *ws, enum service_change change)
{
    struct command *c = ws->world->scratch;

    command_clear(c, COMMAND_SERVICE_SET);
    c->service_set.service = ws->number;
    c->service_set.change = change;
    (void)world_operator(ws->world);
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
    if (w->options.timing.ttl_ms > TTL_CHANGED_MAX_MS)
        return;
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
    struct world_service *ws = faults_service(w);
    struct server *s = world_server(ws, ws->primary);

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

void people_at_the_worst_moment(struct world *w)
{
    struct world_service *ws = faults_service(w);

    switch (sim_random(w->sim, 6)) {
    case 0:
        people_move_the_service(w);
        return;
    case 1:
        operator_id(ws, COMMAND_OPERATION_ABORT);
        return;
    case 2:
        operator_set(ws, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
        return;
    case 3:
        operator_set(ws, sim_chance(w->sim, 500000) ? SERVICE_ARM : SERVICE_RESUME);
        return;
    case 4:
        operator_id(ws, COMMAND_OPERATION_APPROVE);
        return;
    default:
        (void)world_configure(w);
    }
}

/* Long enough for a snapshot of the time in which nothing was enforced; with it the site comes back, cut off, after the failover. */
void people_toggle_before_the_site_returns(struct world *w)
{
    struct world_service *ws = faults_service(w);

    operator_set(ws, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
    world_run(w, sim_between(w->sim, 500, 8000) * SIM_US_PER_MS);
    operator_set(ws, SERVICE_ARM);
    operator_set(ws, SERVICE_RESUME);
    world_run(w, sim_between(w->sim, 500, 3000) * SIM_US_PER_MS);
    faults_primary_site_returns_cut_off(w);
}

/* Enforcement is switched off and on again, and the primary's site is lost between the two or soon after. */
void people_toggle_and_lose(struct world *w)
{
    struct world_service *ws = faults_service(w);
    bool between = sim_chance(w->sim, 500000);

    operator_set(ws, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
    world_run(w, sim_between(w->sim, 1, 1500) * SIM_US_PER_MS);
    if (between)
        faults_lose_primary_site(w);
    operator_set(ws, SERVICE_ARM);
    operator_set(ws, SERVICE_RESUME);
    world_run(w, sim_between(w->sim, 1, 400) * SIM_US_PER_MS);
    if (!between)
        faults_lose_primary_site(w);
}

/* An honest person: the old primary's host is dead, and is rebuilt before it comes back. */
static void operator_vouch(struct world_service *ws)
{
    const struct service *svc = world_service(ws);
    struct server *s = world_server(ws, svc->primary);

    if (svc->operation.state != OPERATION_RUNNING || s == NULL)
        return;
    if (s->running)
        server_kill(s);
    operator_id(ws, COMMAND_OPERATOR_CERTIFICATE);
    s->switched_off = true;
}

void people_act(struct world *w)
{
    struct world_service *ws = faults_service(w);

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
        operator_id(ws, COMMAND_OPERATION_ABORT);
        return;
    case 5:
        operator_id(ws, COMMAND_OPERATION_APPROVE);
        return;
    case 6:
        operator_set(ws, sim_chance(w->sim, 500000) ? SERVICE_PAUSE : SERVICE_DISARM);
        return;
    case 7:
        operator_vouch(ws);
        return;
    default:
        operator_set(ws, SERVICE_ARM);
        operator_set(ws, SERVICE_RESUME);
    }
}

static void operator_skip(struct world_service *ws, enum step step)
{
    struct command *c = ws->world->scratch;

    command_clear(c, COMMAND_STEP_SKIP);
    c->step_skip.operation = world_service(ws)->operation.id;
    c->step_skip.step = step;
    (void)world_operator(ws->world);
}

static bool site_has_node(const struct world *w, site_id site)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (w->nodes[i]->site == site && !w->nodes[i]->wiped)
            return true;
    return false;
}

static void move_from_a_lost_node(struct world_service *ws)
{
    struct world *w = ws->world;
    const struct service *svc = world_service(ws);
    struct command *c = w->scratch;

    for (unsigned i = 0; i < w->server_count; i++) {
        if (i == ws->primary || !site_has_node(w, (site_id)i))
            continue;
        if (ws->servers[i].switched_off &&
            !ws->servers[i].host_dead) { /* an old primary that was vouched for: all that is left */
            ws->servers[i].switched_off = false;
            server_start(&ws->servers[i]);
        }
        command_clear(c, COMMAND_OPERATION_START);
        c->operation_start = (struct command_operation_start){ .service = ws->number,
                                                               .kind = OPERATION_PROMOTE,
                                                               .from = svc->primary,
                                                               .to = (site_id)i,
                                                               .epoch = svc->lease.epoch,
                                                               .overrides = 1u << GATE_READY | 1u << GATE_OPERATION |
                                                                            1u << GATE_STANDBY };
        (void)world_operator(w);
        return;
    }
}

/* The only node of the primary's site is gone for good: nobody renews or fences there. A person vouches for the server, having switched it
 * off, and the service is moved to a site that has a node. */
static void help_past_a_lost_node(struct world_service *ws)
{
    const struct service *svc = world_service(ws);

    if (svc->operation.state == OPERATION_RUNNING)
        operator_vouch(ws);
    else if (svc->operation.state != OPERATION_UNDOING)
        move_from_a_lost_node(ws);
}

/* Another node than the last holder: the holder's is gone. */
static bool executor_waits_for_lease(const struct service *svc)
{
    return svc->primary != SITE_NONE && lease_ended(&svc->lease) &&
           svc->views[svc->primary].executor != svc->lease.holder;
}

/* What people do in the end: arm and resume; and, where the report says that it waits for a person, abort, or move on. Where nothing proves that the
 * last holder's server is closed they look at it (in these worlds it is the same one), disarm, and arm again when the lease is granted. */
void people_help(struct world_service *ws, bool abort)
{
    const struct service *svc = world_service(ws);

    people_rebuild(ws);
    people_promote(ws);
    if (abort && executor_waits_for_lease(svc) && service_enforced(svc)) {
        operator_set(ws, SERVICE_DISARM);
    } else if ((!svc->armed || svc->paused) && !(abort && executor_waits_for_lease(svc))) {
        operator_set(ws, SERVICE_ARM);
        operator_set(ws, SERVICE_RESUME);
    }
    if (abort && !site_has_node(ws->world, ws->primary))
        help_past_a_lost_node(ws);
    if (abort && svc->operation.state == OPERATION_UNDOING)
        operator_skip(ws, STEP_RECONNECT); /* of a standby that is gone */
    if (svc->operation.state == OPERATION_PROPOSED ||
        (abort && svc->operation.state == OPERATION_RUNNING && ws->world->sim->now_us - ws->operation_us > PATIENCE_US))
        operator_id(ws, COMMAND_OPERATION_ABORT);
}
