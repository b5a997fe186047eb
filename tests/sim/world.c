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
                               .node_count = 3,
                               .mode = MODE_AUTO,
                               .profile = PROFILE_METRO,
                               .timing = timing_of(PROFILE_METRO),
                               .max_lag_bytes = 1000000,
                               .snapshot_threshold = 1024,
                               .snapshot_trailing = 8192,
                               .clock_ppm_max = 500 };

    o.timing.lockout_ms = 0;
    return o;
}

struct world *world_create(struct sim *sim, const struct world_options *options)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned sites = options->data_sites + 1;

    ASSERT(w != NULL && options->node_count >= sites && options->node_count <= NODES_MAX);
    w->sim = sim;
    w->options = *options;
    w->primary = SITE_NONE;
    w->dns.site = SITE_NONE;
    w->timeline = 1;
    w->scratch = malloc(sizeof(struct command));
    w->digests = calloc(WORLD_INDEX_MAX, sizeof(uint64_t));
    ASSERT(w->scratch != NULL && w->digests != NULL);
    net_init(&w->net, sim, NET_HOSTS_MAX, NET_DELAY_MIN_US, NET_DELAY_MAX_US);
    for (unsigned i = 0; i < NET_HOSTS_MAX; i++)
        for (unsigned j = 0; j < NET_HOSTS_MAX; j++)
            w->net.links[i][j].ordered = i == j;
    w->server_count = options->data_sites;
    for (unsigned i = 0; i < options->data_sites; i++) {
        server_init(&w->servers[i], w, (site_id)i, i);
        w->servers[i].in_recovery = i > 0;
        w->servers[i].wal.lsn = 1000;
    }
    for (unsigned i = 0; i < options->node_count; i++) {
        site_id site = (site_id)(i < sites ? i : sites - 1);
        w->nodes[i] = simnode_create(w, i, site, i, i < options->data_sites ? &w->servers[i] : NULL);
    }
    return w;
}

void world_destroy(struct world *w)
{
    for (unsigned i = 0; i < w->server_count; i++)
        if (w->servers[i].running)
            server_kill(&w->servers[i]);
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

const struct service *world_service(const struct world *w)
{
    return &world_state(w)->services[WORLD_SERVICE];
}

struct server *world_server(struct world *w, site_id site)
{
    return site < w->server_count ? &w->servers[site] : NULL;
}

bool world_settled(struct world *w)
{
    const struct service *svc = world_service(w);
    struct server *s = world_server(w, w->primary);

    return s != NULL && svc->present && !operation_active(&svc->operation) && svc->primary == w->primary &&
           lease_live(&svc->lease) && server_passes(s);
}

static bool initialised(struct world *w)
{
    return world_state(w)->cluster_id != 0;
}

static bool configured(struct world *w)
{
    return world_service(w)->present;
}

static bool armed(struct world *w)
{
    return world_service(w)->armed;
}

static bool ready(struct world *w)
{
    const struct service *svc = world_service(w);

    if (!world_settled(w) || !svc->lease.enforcement.enforcing)
        return false;
    for (unsigned i = 1; i < w->server_count; i++)
        if (!svc->views[i].opinions[i].ready || svc->views[i].verdict != VERDICT_UP)
            return false;
    return svc->views[0].verdict == VERDICT_UP;
}

static void fill_config(struct world *w, struct service_config *c)
{
    text_set(c->name, sizeof c->name, "app");
    c->profile = PROFILE_METRO;
    c->mode = w->options.mode;
    c->tier = 1;
    c->primary = 0;
    c->accept_vm_pause = true;
    c->max_lag_bytes = w->options.max_lag_bytes;
    c->max_lag_ms = 10000;
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
    w->scratch->config_apply.service_count = 1;
    fill_config(w, &w->scratch->config_apply.services[0]);
    return world_operator(w);
}

static void expect(struct world *w, bool (*done)(struct world *w), const char *what)
{
    if (!world_run_until(w, done, BOOT_MAX_US))
        sim_fail(w->sim, "boot: %s did not happen", what);
}

void world_boot(struct world *w)
{
    for (unsigned i = 0; i < w->server_count; i++)
        server_start(&w->servers[i]);
    w->servers[0].application = true;
    w->dns.site = 0;
    for (unsigned i = 0; i < w->options.node_count; i++)
        simnode_start(w->nodes[i]);
    expect(w, initialised, "the cluster's initialisation");
    for (unsigned i = 0; !w->sim->failed && !configured(w) && i < 10; i++) {
        (void)world_configure(w);
        (void)world_run_until(w, configured, 4 * SIM_US_PER_S);
    }
    expect(w, configured, "the configuration");
    for (unsigned i = 0; !w->sim->failed && !armed(w) && i < 10; i++) {
        command_clear(w->scratch, COMMAND_SERVICE_SET);
        w->scratch->service_set.service = WORLD_SERVICE;
        w->scratch->service_set.change = SERVICE_ARM;
        (void)world_operator(w);
        (void)world_run_until(w, armed, 4 * SIM_US_PER_S);
    }
    if (w->options.mode == MODE_SHADOW)
        expect(w, world_settled, "the first acknowledged write");
    else
        expect(w, ready, "a primary that writes and a standby that is ready");
}
