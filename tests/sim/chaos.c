#include "tests/sim/chaos.h"

#define FAULT_EVERY_MAX_US (600 * SIM_US_PER_MS)
#define SETTLE_STEP_US (100 * SIM_US_PER_MS)
#define SETTLE_MAX_US (60 * (int64_t)SIM_US_PER_S)

static void degrade(struct cluster *c, bool stream)
{
    struct sim *s = c->sim;
    uint32_t loss_ppm = sim_chance(s, 300000) ? (uint32_t)sim_random(s, 300000) : 0;
    uint32_t duplicate_ppm = !stream && sim_chance(s, 300000) ? (uint32_t)sim_random(s, 200000) : 0;
    bool ordered = stream || sim_chance(s, 500000);
    int64_t delay_max_us = sim_chance(s, 200000) ? 100 * SIM_US_PER_MS : 3 * SIM_US_PER_MS;

    for (unsigned i = 0; i < c->net.host_count; i++)
        for (unsigned j = 0; j < c->net.host_count; j++) {
            struct net_link *link = &c->net.links[i][j];
            link->loss_ppm = loss_ppm;
            link->duplicate_ppm = duplicate_ppm;
            link->ordered = ordered;
            link->delay_max_us = delay_max_us;
        }
    sim_note(s, "network: loss %u ppm, duplicates %u ppm, %s", loss_ppm, duplicate_ppm,
             ordered ? "ordered" : "unordered");
}

static void crash_or_pause(struct cluster *c, const struct chaos_options *options)
{
    unsigned node = (unsigned)sim_random(c->sim, c->options.node_count);
    bool crash = options->crashes && (!options->pauses || sim_chance(c->sim, 500000));

    if (cluster_absent(c, node))
        return;
    if (!cluster_up(c, node)) {
        cluster_start(c, node);
    } else if (cluster_paused(c, node)) {
        cluster_resume(c, node);
    } else if (crash) {
        cluster_crash(c, node);
        if (sim_chance(c->sim, 300000))
            cluster_start(c, node);
    } else if (options->pauses) {
        cluster_pause(c, node);
    }
}

void chaos_fault(struct cluster *c, const struct chaos_options *options)
{
    struct sim *s = c->sim;
    unsigned count = c->options.node_count;

    switch (sim_random(s, 8)) {
    case 0:
        degrade(c, options->stream);
        return;
    case 1: {
        uint32_t side = (uint32_t)sim_random(s, 1u << count);
        sim_note(s, "partition %x", side);
        net_partition(&c->net, side, true);
        return;
    }
    case 2: {
        unsigned from = (unsigned)sim_random(s, count);
        unsigned to = (unsigned)sim_random(s, count);
        sim_note(s, "cut %u -> %u", from, to);
        net_cut(&c->net, from, to, from != to);
        return;
    }
    case 3:
    case 4:
        sim_note(s, "network heals");
        net_heal(&c->net);
        return;
    default:
        crash_or_pause(c, options);
    }
}

void chaos_end_faults(struct cluster *c)
{
    sim_note(c->sim, "faults end");
    net_heal(&c->net);
    for (unsigned i = 0; i < c->net.host_count; i++)
        for (unsigned j = 0; j < c->net.host_count; j++) {
            c->net.links[i][j].loss_ppm = 0;
            c->net.links[i][j].duplicate_ppm = 0;
            c->net.links[i][j].delay_max_us = 3 * SIM_US_PER_MS;
            c->net.links[i][j].ordered = true;
        }
    for (unsigned i = 0; i < c->options.node_count; i++) {
        if (cluster_up(c, i) && cluster_paused(c, i))
            cluster_resume(c, i);
        if (!cluster_up(c, i) && !cluster_absent(c, i))
            cluster_start(c, i);
    }
}

bool chaos_equal(const struct cluster *c)
{
    for (unsigned i = 0; i < c->options.node_count; i++)
        if (!cluster_absent(c, i) && cluster_applied_count(c, i) != c->highest_count)
            return false;
    return true;
}

void chaos_restart_fatal(struct cluster *c)
{
    for (unsigned i = 0; i < c->options.node_count; i++)
        if (cluster_fatal(c, i)) {
            cluster_crash(c, i);
            cluster_start(c, i);
        }
}

void chaos_write(struct cluster *c)
{
    for (unsigned i = 0; i < c->options.node_count; i++)
        if (cluster_up(c, i) && !cluster_paused(c, i) && cluster_leads(c, i))
            cluster_propose(c, i);
}

void chaos_run(struct cluster *c, const struct chaos_options *options)
{
    struct sim *s = c->sim;
    int64_t end_us = s->now_us + options->span_us;
    int64_t next_fault_us = s->now_us + FAULT_EVERY_MAX_US;
    uint64_t before;

    for (unsigned i = 0; i < c->net.host_count; i++)
        for (unsigned j = 0; j < c->net.host_count; j++)
            c->net.links[i][j].ordered = options->stream;
    while (s->now_us < end_us && !s->failed) {
        sim_run(s, options->write_every_us);
        chaos_restart_fatal(c);
        chaos_write(c);
        if (s->now_us >= next_fault_us) {
            chaos_fault(c, options);
            next_fault_us = s->now_us + sim_between(s, 0, FAULT_EVERY_MAX_US);
        }
    }
    chaos_end_faults(c);
    before = c->acked_count;
    end_us = s->now_us + SETTLE_MAX_US;
    while (s->now_us < end_us && !s->failed && (!chaos_equal(c) || c->acked_count == before)) {
        sim_run(s, SETTLE_STEP_US);
        chaos_restart_fatal(c);
        if (cluster_leader(c) < c->options.node_count && c->acked_count == before)
            cluster_propose(c, cluster_leader(c));
    }
    if (!s->failed && c->acked_count == before)
        sim_fail(s, "no write is acknowledged after the faults have ended");
    if (!s->failed)
        cluster_check_converged(c);
}
