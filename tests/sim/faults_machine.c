/* Faults of one machine: its disk, its wall clock, its data directory; and a standby that falls behind. */
#include "tests/sim/faults_internal.h"

#include <inttypes.h>

#include "tests/sim/simnode.h"

#define SLOW_DISK_MAX_MS 900
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

void faults_lag(struct world *w)
{
    struct world_service *ws = faults_service(w);
    struct server *s = &ws->servers[sim_random(w->sim, w->server_count)];

    s->lagging = true;
    sim_note(w->sim, "server %u of service %u falls behind", s->site, ws->number);
    faults_later(w, UNDO_LAG, faults_server_number(s), 25000);
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
