/* Each fault ends by an event of its own, drawn when it begins. */
#include "tests/sim/faults.h"

#include <inttypes.h>

#include "base/check.h"
#include "tests/sim/faults_internal.h"
#include "tests/sim/simnode.h"

#define LEADER_AWAY_MS 3000
#define WORST_MOMENT_PPM 60000
#define WORST_MOMENT_MAX_US 20000
#define WIPE_PPM 200000 /* of the times that it is drawn */
#define REBUILD_EVERY_US (2 * SIM_US_PER_S)
#define CALM_MAX_US (120 * (int64_t)SIM_US_PER_S)
#define CALM_SERVICE_US (4 * (int64_t)SIM_US_PER_S) /* more for each, since one is moved at a time */
#define CALM_HELP_US (40 * (int64_t)SIM_US_PER_S)   /* then a person aborts what waits for one */

static bool at_site(const struct simnode *n, site_id site)
{
    return n->site == site;
}

void site_kill(struct world *w, site_id site)
{
    sim_note(w->sim, "site %u dies", site);
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (at_site(w->nodes[i], site) && w->nodes[i]->up)
            simnode_crash(w->nodes[i]);
    for (unsigned i = 0; i < w->service_count; i++) {
        struct server *s = world_server(&w->services[i], site);
        if (s == NULL)
            continue;
        s->host_dead = true;
        if (s->running)
            server_kill(s);
    }
}

void site_start(struct world *w, site_id site)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (at_site(w->nodes[i], site) && !w->nodes[i]->up)
            simnode_start(w->nodes[i]);
    for (unsigned i = 0; i < w->service_count; i++) {
        struct server *s = world_server(&w->services[i], site);
        if (s == NULL)
            continue;
        s->host_dead = false;
        if (!s->running && !s->switched_off)
            server_start(s);
    }
}

void site_pause(struct world *w, site_id site, bool pause)
{
    sim_note(w->sim, "site %u %s", site, pause ? "is paused" : "goes on");
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (at_site(w->nodes[i], site) && w->nodes[i]->up && w->nodes[i]->process.paused != pause) {
            if (pause)
                sim_process_pause(&w->nodes[i]->process);
            else
                sim_process_resume(w->sim, &w->nodes[i]->process);
        }
    for (unsigned i = 0; i < w->service_count; i++) {
        struct server *s = world_server(&w->services[i], site);
        if (s == NULL || !s->running || s->process.paused == pause)
            continue;
        if (pause)
            server_pause(s);
        else
            server_resume(s);
    }
}

void faults_end(struct world *w)
{
    sim_note(w->sim, "faults end");
    w->options.step_strange_ppm = 0;
    for (unsigned i = 0; i < NET_HOSTS_MAX; i++)
        for (unsigned j = 0; j < NET_HOSTS_MAX; j++)
            if (i != j)
                w->net.links[i][j] = (struct net_link){ .ordered = true, .delay_min_us = 200, .delay_max_us = 3000 };
    for (unsigned i = 0; i < w->site_count; i++) {
        site_pause(w, (site_id)i, false);
        site_start(w, (site_id)i);
    }
    for (unsigned i = 0; i < w->options.node_count; i++)
        disk_heal(&w->nodes[i]->disk);
    for (unsigned i = 0; i < w->service_count; i++)
        for (unsigned j = 0; j < w->server_count; j++)
            w->services[i].servers[j].lagging = false;
}

/* --- drawn faults --- */

struct undo {
    struct world *world;
    enum undo_kind kind;
    unsigned a; /* node, site, or server: service * WORLD_DATA_SITES_MAX + site */
};

static void on_undo(void *ctx)
{
    struct undo *u = ctx;
    struct world *w = u->world;
    struct simnode *n = u->a < w->options.node_count ? w->nodes[u->a] : NULL;
    struct server *s = &w->services[u->a / WORLD_DATA_SITES_MAX].servers[u->a % WORLD_DATA_SITES_MAX];

    switch (u->kind) {
    case UNDO_NODE_DOWN:
        if (!n->up)
            simnode_start(n);
        break;
    case UNDO_NODE_PAUSE:
        if (n->process.paused)
            simnode_resume(n);
        break;
    case UNDO_SERVER_DOWN:
        if (!s->running && !s->host_dead && !s->switched_off)
            server_start(s);
        break;
    case UNDO_SERVER_PAUSE:
        if (s->process.paused)
            server_resume(s);
        break;
    case UNDO_SITE_DOWN:
        site_start(w, (site_id)u->a);
        break;
    case UNDO_SITE_PAUSE:
        site_pause(w, (site_id)u->a, false);
        break;
    case UNDO_DISK:
        disk_heal(&n->disk);
        break;
    case UNDO_LAG:
        s->lagging = false;
        break;
    case UNDO_NET:
        net_heal(&w->net);
        sim_note(w->sim, "network heals");
        break;
    }
    sim_free(u);
}

void faults_later(struct world *w, enum undo_kind kind, unsigned a, int64_t most_ms)
{
    struct undo *u = sim_alloc(sizeof(*u));

    *u = (struct undo){ .world = w, .kind = kind, .a = a };
    sim_after(w->sim, sim_between(w->sim, 50, most_ms) * SIM_US_PER_MS, NULL, on_undo, sim_free, u);
}

unsigned faults_server_number(const struct server *s)
{
    return (unsigned)s->service->number * WORLD_DATA_SITES_MAX + s->site;
}

struct world_service *faults_service(struct world *w)
{
    return &w->services[sim_random(w->sim, w->service_count)];
}

site_id faults_primary_site(struct world *w)
{
    const struct world_service *ws = faults_service(w);

    return ws->primary < w->server_count ? ws->primary : 0;
}

static void fault_node(struct world *w)
{
    unsigned i = (unsigned)sim_random(w->sim, w->options.node_count);
    struct simnode *n = w->nodes[i];

    if (!n->up || n->process.paused)
        return;
    if (sim_chance(w->sim, 500000)) {
        simnode_crash(n);
        faults_later(w, UNDO_NODE_DOWN, i, 8000);
    } else {
        simnode_pause(n);
        faults_later(w, UNDO_NODE_PAUSE, i, 6000);
    }
}

static void fault_server(struct world *w)
{
    struct world_service *ws = faults_service(w);
    struct server *s = &ws->servers[sim_random(w->sim, w->server_count)];
    unsigned i = faults_server_number(s);

    if (!s->running || s->process.paused)
        return;
    if (sim_chance(w->sim, 500000)) {
        server_kill(s);
        faults_later(w, UNDO_SERVER_DOWN, i, 10000);
    } else {
        sim_note(w->sim, "server %u of service %u is paused", s->site, ws->number);
        server_pause(s);
        faults_later(w, UNDO_SERVER_PAUSE, i, 8000);
    }
}

/* Half of the time it hits the primary's site: that is where failovers come from. */
static void fault_site(struct world *w)
{
    site_id site = sim_chance(w->sim, 500000) ? faults_primary_site(w) : (site_id)sim_random(w->sim, w->site_count);

    switch (sim_random(w->sim, 3)) {
    case 0:
        site_kill(w, site);
        faults_later(w, UNDO_SITE_DOWN, site, 15000);
        return;
    case 1:
        site_pause(w, site, true);
        faults_later(w, UNDO_SITE_PAUSE, site, 8000);
        return;
    default:
        sim_note(w->sim, "site %u is cut off", site);
        for (unsigned i = 0; i < w->options.node_count; i++)
            if (at_site(w->nodes[i], site))
                net_partition(&w->net, 1u << w->nodes[i]->host, true);
        faults_later(w, UNDO_NET, 0, 12000);
    }
}

static void fault_net(struct world *w, bool sites)
{
    struct sim *s = w->sim;
    unsigned hosts = w->options.node_count;

    switch (sim_random(s, sites ? 3 : 2)) {
    case 0: { /* quality, everywhere but on the hosts themselves */
        uint32_t loss_ppm = sim_chance(s, 500000) ? (uint32_t)sim_random(s, 300000) : 0;
        uint32_t duplicate_ppm = sim_chance(s, 300000) ? (uint32_t)sim_random(s, 200000) : 0;
        uint32_t straggler_ppm = sim_chance(s, 500000) ? 20000 : 0;
        int64_t delay_max_us = sim_chance(s, 300000) ? sim_between(s, 1, 250) * SIM_US_PER_MS : 3000;
        for (unsigned i = 0; i < NET_HOSTS_MAX; i++)
            for (unsigned j = 0; j < NET_HOSTS_MAX; j++)
                if (i != j)
                    w->net.links[i][j] = (struct net_link){ .cut = w->net.links[i][j].cut,
                                                            .ordered = sim_chance(s, 700000),
                                                            .loss_ppm = loss_ppm,
                                                            .duplicate_ppm = duplicate_ppm,
                                                            .straggler_ppm = straggler_ppm,
                                                            .delay_min_us = 200,
                                                            .delay_max_us = delay_max_us };
        sim_note(s, "network: loss %u ppm, duplicates %u ppm, delay up to %" PRId64 " us", loss_ppm, duplicate_ppm,
                 delay_max_us);
        return;
    }
    case 1: { /* one direction */
        unsigned from = (unsigned)sim_random(s, hosts);
        unsigned to = (unsigned)sim_random(s, hosts);
        if (from == to)
            return;
        sim_note(s, "cut %u -> %u", from, to);
        net_cut(&w->net, from, to, true);
        break;
    }
    default: {
        uint32_t side = (uint32_t)sim_random(s, UINT64_C(1) << hosts);
        sim_note(s, "partition %x", side);
        net_partition(&w->net, side, true);
        break;
    }
    }
    faults_later(w, UNDO_NET, 0, 12000);
}

void faults_primary_site_returns_cut_off(struct world *w)
{
    site_id site = faults_primary_site(w);

    site_kill(w, site);
    faults_later(w, UNDO_SITE_DOWN, site, 5000);
    sim_note(w->sim, "site %u is cut off", site);
    net_partition(&w->net, 1u << w->nodes[site]->host, true);
    faults_later(w, UNDO_NET, 0, 10000);
}

/* Its coordinator is paused or dies while its server goes on alone; or it is cut off; or it dies and comes back cut off. */
void faults_lose_primary_site(struct world *w)
{
    site_id site = faults_primary_site(w);
    struct simnode *n = w->nodes[site];

    switch (sim_random(w->sim, 4)) {
    case 0:
        if (n->up && !n->process.paused) {
            simnode_pause(n);
            faults_later(w, UNDO_NODE_PAUSE, site, 10000);
        }
        return;
    case 1:
        if (n->up) {
            simnode_crash(n);
            faults_later(w, UNDO_NODE_DOWN, site, 10000);
        }
        return;
    case 2:
        faults_primary_site_returns_cut_off(w);
        return;
    default:
        sim_note(w->sim, "site %u is cut off", site);
        net_partition(&w->net, 1u << n->host, true);
        faults_later(w, UNDO_NET, 0, 10000);
    }
}

void faults_degrade(struct world *w, unsigned from, uint32_t loss_ppm, uint32_t straggler_ppm)
{
    for (unsigned i = 0; i < NET_HOSTS_MAX; i++)
        for (unsigned j = 0; j < NET_HOSTS_MAX; j++)
            if (i != j && (from == NET_HOSTS_MAX || from == i)) {
                w->net.links[i][j].loss_ppm = loss_ppm;
                w->net.links[i][j].straggler_ppm = straggler_ppm;
                w->net.links[i][j].ordered = straggler_ppm == 0;
            }
}

static void pause_primary_site(struct world *w)
{
    site_id site = faults_primary_site(w);

    site_pause(w, site, true);
    faults_later(w, UNDO_SITE_PAUSE, site, 6000);
}

/* What the policy of acknowledged loss is for. */
static void lag_and_lose(struct world *w)
{
    faults_lag(w);
    world_run(w, sim_between(w->sim, 100, 4000) * SIM_US_PER_MS);
    faults_lose_primary_site(w);
}

/* What failovers are made of: the primary's site is lost, or a person moves the service while it lives. */
static void draw_focused(struct world *w)
{
    switch (sim_random(w->sim, 13)) {
    case 12:
        lag_and_lose(w);
        return;
    case 11:
        faults_freeze_the_last_lease(w);
        return;
    case 10:
        people_toggle_before_the_site_returns(w);
        return;
    case 8:
        people_change_ttl(w);
        return;
    case 9:
        people_break_glass(w);
        return;
    case 0:
    case 1:
        faults_lose_primary_site(w);
        return;
    case 2:
        pause_primary_site(w);
        return;
    case 3:
        people_toggle_and_lose(w);
        return;
    case 4:
        fault_net(w, false);
        return;
    case 5:
        people_abort(w);
        return;
    default:
        people_move_the_service(w);
    }
}

static void draw(struct world *w, const struct faults_options *o)
{
    if (o->focused && sim_chance(w->sim, 800000)) {
        draw_focused(w);
        return;
    }
    switch (sim_random(w->sim, 15)) {
    case 0:
    case 1:
    case 2:
        fault_node(w);
        return;
    case 10:
        faults_disk(w);
        return;
    case 11:
        faults_wall_clock(w);
        return;
    case 12:
        faults_lag(w);
        return;
    case 13:
        faults_cut_two_sites(w);
        return;
    case 14:
        if (sim_chance(w->sim, WIPE_PPM))
            faults_wipe(w);
        return;
    case 3:
    case 4:
        if (o->servers)
            fault_server(w);
        return;
    case 5:
    case 6:
        if (o->sites)
            fault_site(w);
        return;
    case 7:
        if (o->people)
            people_act(w);
        return;
    default:
        fault_net(w, o->sites);
    }
}

static void restart_fatal(struct world *w)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (w->nodes[i]->up && w->nodes[i]->fatal) {
            simnode_crash(w->nodes[i]);
            simnode_start(w->nodes[i]);
        }
}

static bool service_calm(struct world_service *ws)
{
    const struct service *svc = world_service(ws);

    return world_service_settled(ws) && svc->armed && !svc->paused &&
           svc->lease.enforcement.enforcing == service_enforced(svc);
}

static bool calm(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++)
        if (!service_calm(&w->services[i]))
            return false;
    return true;
}

static void rebuild_all(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++)
        people_rebuild(&w->services[i]);
}

static void help_all(struct world *w, bool patience_is_over)
{
    for (unsigned i = 0; i < w->service_count; i++)
        if (!service_calm(&w->services[i]))
            people_help(&w->services[i], patience_is_over);
}

static void note_node(const struct simnode *n)
{
    if (n->up)
        sim_note(n->world->sim, "node %u: applied %" PRIu64 ", %s%s%s", n->number, n->state->applied_index,
                 rnode_role_word(rnode_leadership(n->rnode).role), simnode_acts(n) ? "" : ", does not act",
                 n->process.paused ? ", paused" : "");
    else
        sim_note(n->world->sim, "node %u is down%s", n->number, n->wiped ? ", for good" : "");
}

static void fail_unsettled(struct world *w, int64_t waited_us)
{
    for (unsigned i = 0; !calm(w) && i < w->options.node_count; i++)
        note_node(w->nodes[i]);
    for (unsigned i = 0; i < w->service_count; i++) {
        struct world_service *ws = &w->services[i];
        const struct service *svc = world_service(ws);
        if (!service_calm(ws))
            sim_fail(w->sim,
                     "%d s after the faults service %u is not settled: operation %s, lease %s, primary %d, site %s",
                     (int)(waited_us / SIM_US_PER_S), i, operation_state_word(svc->operation.state),
                     lease_state_word(svc->lease.state), (int)ws->primary,
                     ws->primary < w->server_count && server_passes(&ws->servers[ws->primary]) ? "writes"
                                                                                               : "does not write");
    }
}

/* The faults are over: in the end, and not after people had to wait for ever, every service is served. */
static void calm_down(struct world *w)
{
    struct sim *s = w->sim;
    int64_t begin_us = s->now_us;
    int64_t limit_us = CALM_MAX_US + CALM_SERVICE_US * (int64_t)w->service_count;

    faults_end(w);
    while (s->now_us < begin_us + limit_us && !s->failed && !calm(w)) {
        (void)world_run_until(w, calm, 2 * SIM_US_PER_S);
        restart_fatal(w);
        help_all(w, s->now_us > begin_us + CALM_HELP_US);
    }
    if (!s->failed)
        fail_unsettled(w, limit_us);
}

/* All coordinators stand still for less than a lease; the servers go on. Time asleep is not counted: no lease ends of it. */
static void stall_everybody(struct world *w)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (w->nodes[i]->up && !w->nodes[i]->process.paused)
            simnode_pause(w->nodes[i]);
    world_run(w, sim_between(w->sim, w->options.timing.ttl_ms / 2, w->options.timing.ttl_ms) * SIM_US_PER_MS);
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (w->nodes[i]->up && w->nodes[i]->process.paused)
            simnode_resume(w->nodes[i]);
    world_run(w, LEADER_AWAY_MS * SIM_US_PER_MS);
}

/* Kills or pauses whoever leads, unless that is at a primary's site: there a healthy service would lose its lease. */
static void fault_leader(struct world *w)
{
    if (sim_chance(w->sim, 300000)) {
        stall_everybody(w);
        return;
    }
    for (unsigned i = 0; i < w->options.node_count; i++) {
        struct simnode *n = w->nodes[i];
        if (!simnode_leads(n) || n->process.paused || n->site < w->server_count)
            continue;
        if (sim_chance(w->sim, 500000)) {
            simnode_crash(n);
            faults_later(w, UNDO_NODE_DOWN, i, LEADER_AWAY_MS);
        } else {
            simnode_pause(n);
            faults_later(w, UNDO_NODE_PAUSE, i, LEADER_AWAY_MS);
        }
        world_run(w, 2 * LEADER_AWAY_MS * SIM_US_PER_MS); /* one at a time */
        return;
    }
}

static void on_moment(void *ctx)
{
    people_at_the_worst_moment(ctx);
}

/* Right after what decides. */
static void on_entry(struct world *w, uint64_t index, const struct command *command, const struct state *state)
{
    (void)index;
    (void)state;
    if (command->kind != COMMAND_OPERATION_START && command->kind != COMMAND_LEASE_EXPIRED &&
        command->kind != COMMAND_PROMOTE && command->kind != COMMAND_STEP_RESULT && command->kind != COMMAND_GRANT)
        return;
    if (sim_chance(w->sim, WORST_MOMENT_PPM))
        sim_after(w->sim, sim_between(w->sim, 0, WORST_MOMENT_MAX_US), NULL, on_moment, NULL, w);
}

void faults_run(struct world *w, const struct faults_options *o)
{
    struct sim *s = w->sim;
    int64_t end_us = s->now_us + o->span_us;
    int64_t rebuild_us = s->now_us + REBUILD_EVERY_US;

    if (o->people)
        w->on_entry = on_entry;

    while (s->now_us < end_us && !s->failed) {
        world_run(w, sim_between(s, 1000, o->every_max_us));
        restart_fatal(w);
        if (w->options.leaders_only)
            fault_leader(w);
        else
            draw(w, o);
        if (s->now_us >= rebuild_us) {
            rebuild_us = s->now_us + REBUILD_EVERY_US;
            rebuild_all(w);
        }
    }
    w->on_entry = NULL;
    calm_down(w);
}
