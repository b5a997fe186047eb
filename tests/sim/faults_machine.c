/* Faults of one machine: its disk, its wall clock, its data directory; and a standby that falls behind. */
#include "tests/sim/faults_internal.h"

#include <inttypes.h>

#include "tests/sim/simnode.h"

#define SLOW_DISK_MAX_MS 900
#define FREEZE_APART_US (35 * (int64_t)SIM_US_PER_S) /* longer than any lease here */
#define WALL_JUMP_MAX_MS (36 * INT64_C(3600000))

static struct simnode *any_node(struct world *w)
{
    return w->nodes[sim_random(w->sim, w->options.node_count)];
}

/* Each write takes up to most of a second: at times long enough to be taken for a disk that hangs. */
static void slow_disk(struct world *w, struct simnode *n)
{
    n->disk.latency_max_us = sim_between(w->sim, 20, SLOW_DISK_MAX_MS) * SIM_US_PER_MS;
    sim_note(w->sim, "node %u has a slow disk: up to %" PRId64 " us", n->number, n->disk.latency_max_us);
    faults_later(w, UNDO_DISK, n->number, 10000);
}

static void failing_disk(struct world *w, struct simnode *n)
{
    static const enum raft_io_mem_fault faults[] = { RAFT_IO_MEM_APPEND_FAILS, RAFT_IO_MEM_APPEND_HANGS,
                                                     RAFT_IO_MEM_TERM_FAILS };
    enum raft_io_mem_fault fault = faults[sim_random(w->sim, sizeof faults / sizeof faults[0])];

    if (!n->up || n->fatal)
        return;
    sim_note(w->sim, "node %u has a failing disk (%d)", n->number, (int)fault);
    raft_io_mem_set_fault(n->io, fault); /* until its process has ended, as it must */
}

void faults_disk(struct world *w)
{
    struct simnode *n = any_node(w);

    if (sim_chance(w->sim, 600000))
        slow_disk(w, n);
    else
        failing_disk(w, n);
}

void faults_wall_clock(struct world *w)
{
    struct simnode *n = any_node(w);

    n->wall_jump_ms = sim_chance(w->sim, 300000) ? 0 : sim_between(w->sim, -WALL_JUMP_MAX_MS, WALL_JUMP_MAX_MS);
    sim_note(w->sim, "node %u: its wall clock is %" PRId64 " ms off", n->number, n->wall_jump_ms);
}

static unsigned wiped_count(const struct world *w, bool at_data_sites)
{
    unsigned count = 0;

    for (unsigned i = 0; i < w->options.node_count; i++)
        count += w->nodes[i]->wiped && (w->nodes[i]->has_servers || !at_data_sites);
    return count;
}

/* Never more than the quorum can lose, and of the data sites' nodes only one: without a node nobody promotes a server. */
void faults_wipe(struct world *w)
{
    struct simnode *n = any_node(w);

    if (n->wiped || wiped_count(w, false) + 1 > (w->options.node_count - 1) / 2)
        return;
    if (n->has_servers && wiped_count(w, true) > 0)
        return;
    simnode_wipe(n);
}

/* --- a guest that its hypervisor freezes: nothing runs there, and its clocks stand still, for as long as the margin allows --- */

struct thaw {
    struct world *world;
    unsigned host;
    int64_t frozen_us;
};

static void on_thaw(void *ctx)
{
    struct thaw *thaw = ctx;
    struct world *w = thaw->world;

    for (unsigned i = 0; i < w->options.node_count; i++) {
        struct simnode *n = w->nodes[i];
        if (n->host != thaw->host)
            continue;
        n->clock.offset_us -= thaw->frozen_us;
        if (n->up && n->process.paused)
            simnode_resume(n);
    }
    for (unsigned i = 0; i < w->service_count; i++) {
        struct server *s = &w->services[i].servers[thaw->host];
        s->clock.offset_us -= thaw->frozen_us;
        if (s->running && s->process.paused)
            server_resume(s);
    }
    sim_free(thaw);
}

static bool stands_still(const struct world *w, unsigned host)
{
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (w->nodes[i]->host == host && w->nodes[i]->process.paused)
            return true;
    for (unsigned i = 0; i < w->service_count; i++)
        if (w->services[i].servers[host].process.paused)
            return true;
    return false;
}

/* More than the margin within one lease is what no clock of the guest can tell: docs/safety.md, Limits. */
void faults_freeze(struct world *w, unsigned host)
{
    int64_t margin_us = (int64_t)w->options.timing.margin_ms * SIM_US_PER_MS;
    struct thaw *thaw;

    if (w->sim->now_us < w->thawed_us + FREEZE_APART_US || stands_still(w, host))
        return;
    thaw = sim_alloc(sizeof(*thaw));
    *thaw = (struct thaw){ .world = w,
                           .host = host,
                           .frozen_us = sim_chance(w->sim, 500000) ? margin_us : sim_between(w->sim, 1, margin_us) };
    w->thawed_us = w->sim->now_us + thaw->frozen_us;
    sim_note(w->sim, "host %u is frozen for %" PRId64 " us, with its clocks", host, thaw->frozen_us);
    for (unsigned i = 0; i < w->options.node_count; i++)
        if (w->nodes[i]->host == host && w->nodes[i]->up)
            sim_process_pause(&w->nodes[i]->process);
    for (unsigned i = 0; i < w->service_count; i++)
        if (w->services[i].servers[host].running)
            server_pause(&w->services[i].servers[host]);
    sim_after(w->sim, thaw->frozen_us, NULL, on_thaw, sim_free, thaw);
}

/* The primary's site is cut off, and its host frozen within its last lease. */
void faults_freeze_the_last_lease(struct world *w)
{
    unsigned host = faults_primary_site(w);
    int64_t ttl_ms = w->options.timing.ttl_ms;

    sim_note(w->sim, "site %u is cut off", host);
    net_partition(&w->net, 1u << host, true);
    world_run(w, sim_between(w->sim, 0, ttl_ms / 2) * SIM_US_PER_MS);
    faults_freeze(w, host);
    world_run(w, (ttl_ms + sim_between(w->sim, 0, 500)) * SIM_US_PER_MS);
    faults_later(w, UNDO_NET, 0, 8000);
}

void faults_lag(struct world *w)
{
    struct world_service *ws = faults_service(w);
    struct server *s = &ws->servers[sim_random(w->sim, w->server_count)];

    s->lagging = true;
    sim_note(w->sim, "server %u of service %u falls behind", s->site, ws->number);
    faults_later(w, UNDO_LAG, faults_server_number(s), 25000);
    if (sim_chance(w->sim, 300000)) /* and the clock by which its lag is told is set back */
        w->nodes[s->site]->wall_jump_ms -= sim_between(w->sim, 1, WALL_JUMP_MAX_MS);
}

/* The two sites do not see each other, and the others see both. */
void faults_cut_two_sites(struct world *w)
{
    unsigned a = faults_primary_site(w);
    unsigned b = (a + 1 + (unsigned)sim_random(w->sim, w->server_count - 1)) % w->server_count;

    sim_note(w->sim, "sites %u and %u do not see each other", a, b);
    net_cut(&w->net, a, b, true);
    net_cut(&w->net, b, a, true);
    faults_later(w, UNDO_NET, 0, 30000);
}
