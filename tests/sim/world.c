/* Creates, boots and runs the world; people's commands. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "tests/sim/simnode.h"

#define NET_DELAY_MIN_US 200
#define NET_DELAY_MAX_US 3000
#define OPERATOR_DEADLINE_MS 3000u
#define BOOT_MAX_US (30 * (int64_t)SIM_US_PER_S)

struct world_options world_options_default(void)
{
    struct world_options o = { .data_sites = 2,
                               .witness_sites = 1,
                               .node_count = 3,
                               .service_count = 1,
                               .mode = MODE_AUTO,
                               .profile = PROFILE_METRO,
                               .timing = timing_of(PROFILE_METRO),
                               .max_lag_bytes = 1000000,
                               .max_lag_ms = 10000,
                               .snapshot_threshold = 1024,
                               .snapshot_trailing = 8192,
                               .clock_ppm_max = 500 };

    o.timing.lockout_ms = 0;
    return o;
}

int32_t world_draw_ppm(struct world *w)
{
    int32_t most = w->options.clock_ppm_max;

    if (w->options.clock_ppm_extreme)
        return sim_chance(w->sim, 500000) ? most : -most;
    return (int32_t)sim_between(w->sim, -most, most);
}

site_id world_first_primary(const struct world *w, unsigned service)
{
    return (site_id)(service % w->server_count);
}

static void create_service(struct world *w, unsigned number)
{
    struct world_service *ws = &w->services[number];

    ws->world = w;
    ws->number = (service_id)number;
    ws->primary = SITE_NONE;
    ws->dns.site = SITE_NONE;
    ws->timeline_count = 1;
    for (unsigned i = 0; i < w->server_count; i++) {
        server_init(&ws->servers[i], ws, (site_id)i, i);
        ws->servers[i].in_recovery = i != world_first_primary(w, number);
        ws->servers[i].wal.lsn = 1000;
    }
}

static site_id site_of_node(const struct world_options *o, unsigned node)
{
    if (node < o->data_sites)
        return (site_id)node;
    if (o->witness_sites == 0)
        return (site_id)(o->data_sites - 1);
    return (site_id)(o->data_sites + (node - o->data_sites) % o->witness_sites);
}

/* A node without a site of its own shares the host of the one that it stands beside. */
static unsigned host_of_node(const struct world_options *o, unsigned node)
{
    return node >= o->data_sites && o->witness_sites == 0 ? o->data_sites - 1 : node;
}

struct world *world_create(struct sim *sim, const struct world_options *options)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned sites = options->data_sites + options->witness_sites;

    ASSERT(w != NULL && options->node_count >= sites && options->node_count <= NODES_MAX);
    ASSERT(options->data_sites <= WORLD_DATA_SITES_MAX && sites <= SITES_MAX);
    ASSERT(options->service_count > 0 && options->service_count <= SERVICES_MAX);
    w->sim = sim;
    w->options = *options;
    w->thawed_us = INT64_MIN / 2;
    w->scratch = malloc(sizeof(struct command));
    w->digests = calloc(WORLD_INDEX_MAX, sizeof(uint64_t));
    ASSERT(w->scratch != NULL && w->digests != NULL);
    net_init(&w->net, sim, NET_HOSTS_MAX, NET_DELAY_MIN_US, NET_DELAY_MAX_US);
    w->net.streams = true;
    for (unsigned i = 0; i < NET_HOSTS_MAX; i++)
        for (unsigned j = 0; j < NET_HOSTS_MAX; j++)
            w->net.links[i][j].ordered = i == j;
    w->server_count = options->data_sites;
    w->site_count = sites;
    w->service_count = options->service_count;
    for (unsigned i = 0; i < options->service_count; i++)
        create_service(w, i);
    sim_note(sim, "%u nodes at %u data sites and %u witness sites, %u services, mode %s, Raft as in %s",
             options->node_count, options->data_sites, options->witness_sites, options->service_count,
             mode_word(options->mode), timing_profile_word(options->profile));
    for (unsigned i = 0; i < options->node_count; i++)
        w->nodes[i] = simnode_create(w, i, site_of_node(options, i), host_of_node(options, i));
    return w;
}

void world_destroy(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++)
        for (unsigned j = 0; j < w->server_count; j++)
            if (w->services[i].servers[j].running)
                server_kill(&w->services[i].servers[j]);
    for (unsigned i = 0; i < w->options.node_count; i++)
        simnode_destroy(w->nodes[i]);
    free(w->scratch);
    free(w->digests);
    free(w);
}

void world_run(struct world *w, int64_t span_us)
{
    int64_t end_us = w->sim->now_us + span_us;

    while (!w->sim->failed && sim_next_us(w->sim) <= end_us) {
        (void)sim_step(w->sim);
        world_check_instant(w);
    }
    if (!w->sim->failed)
        sim_run(w->sim, end_us - w->sim->now_us);
}

bool world_run_until(struct world *w, bool (*done)(struct world *w), int64_t limit_us)
{
    int64_t end_us = w->sim->now_us + limit_us;

    while (!w->sim->failed && !done(w)) {
        if (w->sim->now_us >= end_us)
            return false;
        world_run(w, 10 * SIM_US_PER_MS);
    }
    return !w->sim->failed;
}

static void on_answered(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    (void)ctx;
    if (status == STATUS_OK && outcome->status != STATUS_OK)
        sim_note(n->world->sim, "operator is refused: %s", outcome->reason);
}

bool world_operator_at(struct world *w, unsigned node)
{
    struct simnode *n = w->nodes[node];

    if (!n->up || n->fatal || n->process.paused)
        return false;
    text_set(w->scratch->who, sizeof w->scratch->who, "operator");
    sim_note(w->sim, "operator: %s at node %u", command_word(w->scratch->kind), node);
    simnode_submit(n, w->scratch, OPERATOR_DEADLINE_MS, on_answered, NULL);
    return true;
}

bool world_operator(struct world *w)
{
    unsigned first = (unsigned)sim_random(w->sim, w->options.node_count);

    for (unsigned i = 0; i < w->options.node_count; i++)
        if (world_operator_at(w, (first + i) % w->options.node_count))
            return true;
    return false;
}

const struct state *world_state(const struct world *w)
{
    const struct state *best = w->nodes[0]->state;

    for (unsigned i = 1; i < w->options.node_count; i++)
        if (w->nodes[i]->state->applied_index > best->applied_index)
            best = w->nodes[i]->state;
    return best;
}

const struct service *world_service(const struct world_service *ws)
{
    return &world_state(ws->world)->services[ws->number];
}

struct server *world_server(struct world_service *ws, site_id site)
{
    return site < ws->world->server_count ? &ws->servers[site] : NULL;
}

bool world_service_settled(struct world_service *ws)
{
    const struct service *svc = world_service(ws);
    struct server *s = world_server(ws, ws->primary);

    return s != NULL && svc->present && !operation_active(&svc->operation) && svc->primary == ws->primary &&
           lease_live(&svc->lease) && server_passes(s);
}

bool world_settled(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++)
        if (!world_service_settled(&w->services[i]))
            return false;
    return true;
}

uint64_t world_operation_count(const struct world *w)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < w->service_count; i++)
        count += w->services[i].operation_count;
    return count;
}

uint64_t world_promoted_count(const struct world *w)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < w->service_count; i++)
        count += w->services[i].promoted_count;
    return count;
}

static bool initialised(struct world *w)
{
    return world_state(w)->cluster_id != 0;
}

static bool configured(struct world *w)
{
    return world_service(&w->services[w->service_count - 1])->present;
}

static bool armed(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++)
        if (!world_service(&w->services[i])->armed)
            return false;
    return true;
}

static bool service_ready(struct world_service *ws)
{
    const struct service *svc = world_service(ws);

    if (!svc->lease.enforcement.enforcing)
        return false;
    for (unsigned i = 0; i < ws->world->server_count; i++)
        if (svc->views[i].verdict != VERDICT_UP || (i != svc->primary && !svc->views[i].opinions[i].ready))
            return false;
    return true;
}

static bool ready(struct world *w)
{
    if (!world_settled(w))
        return false;
    for (unsigned i = 0; i < w->service_count; i++)
        if (!service_ready(&w->services[i]))
            return false;
    return true;
}

static void fill_config(struct world *w, unsigned service, struct service_config *c)
{
    text_set(c->name, sizeof c->name, "app%u", service);
    c->profile = PROFILE_METRO;
    c->mode = w->options.mode;
    c->tier = 1 + service % 3;
    c->primary = world_first_primary(w, service);
    c->accept_vm_pause = true;
    c->max_lag_bytes = w->options.max_lag_bytes;
    c->max_lag_ms = w->options.max_lag_ms;
    c->timing = w->options.timing;
    c->site_count = (uint8_t)w->server_count;
    for (unsigned i = 0; i < w->server_count; i++) {
        c->sites[i].site = (site_id)i;
        c->sites[i].port = 5432;
        text_set(c->sites[i].host, sizeof c->sites[i].host, "host-%u", i);
        text_set(c->sites[i].health_url, sizeof c->sites[i].health_url, "http://host-%u/health", i);
    }
}

bool world_configure(struct world *w)
{
    command_clear(w->scratch, COMMAND_CONFIG_APPLY);
    w->scratch->config_apply.service_count = (uint8_t)w->service_count;
    for (unsigned i = 0; i < w->service_count; i++)
        fill_config(w, i, &w->scratch->config_apply.services[i]);
    return world_operator(w);
}

static void expect(struct world *w, bool (*done)(struct world *w), const char *what)
{
    if (!world_run_until(w, done, BOOT_MAX_US))
        sim_fail(w->sim, "boot: %s did not happen", what);
}

static void start_everybody(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++) {
        struct world_service *ws = &w->services[i];
        for (unsigned j = 0; j < w->server_count; j++)
            server_start(&ws->servers[j]);
        ws->servers[world_first_primary(w, i)].application = true;
        ws->dns.site = world_first_primary(w, i);
    }
    for (unsigned i = 0; i < w->options.node_count; i++)
        simnode_start(w->nodes[i]);
}

static void arm(struct world *w)
{
    for (unsigned i = 0; i < w->service_count; i++) {
        if (world_service(&w->services[i])->armed)
            continue;
        command_clear(w->scratch, COMMAND_SERVICE_SET);
        w->scratch->service_set.service = (service_id)i;
        w->scratch->service_set.change = SERVICE_ARM;
        (void)world_operator(w);
    }
}

void world_boot(struct world *w)
{
    start_everybody(w);
    expect(w, initialised, "the cluster's initialisation");
    for (unsigned i = 0; !w->sim->failed && !configured(w) && i < 10; i++) {
        (void)world_configure(w);
        (void)world_run_until(w, configured, 4 * SIM_US_PER_S);
    }
    expect(w, configured, "the configuration");
    for (unsigned i = 0; !w->sim->failed && !armed(w) && i < 10; i++) {
        arm(w);
        (void)world_run_until(w, armed, 4 * SIM_US_PER_S);
    }
    if (w->options.mode == MODE_SHADOW)
        expect(w, world_settled, "the first acknowledged write");
    else
        expect(w, ready, "a primary that writes and a standby that is ready");
}
