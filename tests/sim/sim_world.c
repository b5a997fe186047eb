/* sim_world --seeds A..B: each seed is one world with its own options, faults and people. Prints one line at the end, and for a seed that
 * fails its number, what failed, and the last notes.
 *   --seed N --verbose   one seed, with every note as it happens
 *   --seconds N          how long faults happen in each (40)
 *   --keep-going         do not stop at the first seed that fails */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/faults.h"

#define SIM_NODES_MAX 7
#define METRO_SERVICES_MAX 6 /* more of them run at the pace of a region: the same life at a quarter of the events */

struct run_options {
    uint64_t first;
    uint64_t last;
    int64_t seconds;
    bool verbose;
    bool keep_going;
};

struct totals {
    int64_t simulated_us;
    uint64_t events;
    uint64_t entries;
    uint64_t operations;
    uint64_t promotions;
    uint64_t acknowledged;
    uint64_t failures;
};

/* Most clusters are small; of the others a few are as large as they may be. */
static unsigned draw_services(struct sim *s)
{
    uint64_t percent = sim_random(s, 1000);

    if (percent < 760)
        return 1;
    if (percent < 900)
        return 2;
    if (percent < 970)
        return 3 + (unsigned)sim_random(s, 4);
    return percent < 995 ? 7 + (unsigned)sim_random(s, 10) : 17 + (unsigned)sim_random(s, SERVICES_MAX - 16);
}

/* Two to five sites, three to seven nodes. */
static void draw_sites(struct sim *s, struct world_options *o)
{
    unsigned least;

    o->data_sites = sim_chance(s, 300000) ? 3 + (unsigned)sim_random(s, 2) : 2;
    o->witness_sites = sim_chance(s, 40000) ? 0 : 1 + (unsigned)(o->data_sites < 4 && sim_chance(s, 200000));
    least = o->data_sites + (o->witness_sites == 0 ? 1 : o->witness_sites);
    o->node_count = least + (sim_chance(s, 400000) ? (unsigned)sim_random(s, SIM_NODES_MAX - least + 1) : 0);
}

static struct world_options draw_options(struct sim *s)
{
    struct world_options o = world_options_default();

    o.step_fails_ppm = 30000;
    o.step_strange_ppm = sim_chance(s, 500000) ? 150000 : 0;
    o.leaders_only = sim_chance(s, 50000);
    draw_sites(s, &o);
    o.service_count = draw_services(s);
    if (o.service_count > METRO_SERVICES_MAX) {
        o.profile = PROFILE_REGION;
        o.timing = timing_of(PROFILE_REGION);
        o.timing.hold_down_ms = 0;
    }
    o.mode = sim_chance(s, 100000) ? MODE_PROPOSE : sim_chance(s, 60000) ? MODE_SHADOW : MODE_AUTO;
    if (sim_chance(s, 300000)) {
        o.snapshot_threshold = sim_chance(s, 500000) ? 20 : 80;
        o.snapshot_trailing = 5;
    }
    if (o.profile == PROFILE_METRO &&
        sim_chance(
            s,
            600000)) { /* looks that accuse long before a lease runs out: then only the proof holds a promotion back */
        o.timing.probe_interval_ms = 100;
        o.timing.probe_timeout_ms = 200;
        o.timing.probe_fall = 2;
    }
    if (sim_chance(s, 30000)) { /* long enough for the drift of clocks to show */
        o.timing.ttl_ms = 30000;
        o.timing.margin_ms = 1000;
        o.clock_ppm_extreme = true;
    }
    o.timing.local_grace_ms = sim_chance(s, 300000) ? 2000 : 0;
    o.timing.hold_down_ms = sim_chance(s, 300000) ? 1000 : 0;
    o.timing.lockout_ms = sim_chance(s, 100000) ? 20000 : 0;
    o.max_lag_bytes = sim_chance(s, 200000) ? 10 : 1000000;
    o.max_lag_ms = sim_chance(s, 300000) ? 2000 : 10000;
    return o;
}

static bool run_seed(const struct run_options *run, uint64_t seed, struct totals *totals)
{
    struct sim *s = sim_create(seed, run->verbose);
    struct world_options options = draw_options(s);
    struct world *w = world_create(s, &options);
    bool failed;

    world_boot(w);
    if (!s->failed)
        faults_run(w, &(struct faults_options){ .span_us = run->seconds * SIM_US_PER_S,
                                                .every_max_us = sim_between(s, 300, 6000) * SIM_US_PER_MS,
                                                .focused = sim_chance(s, 600000),
                                                .people = !options.leaders_only && sim_chance(s, 700000),
                                                .servers = sim_chance(s, 800000),
                                                .sites = sim_chance(s, 800000) });
    failed = s->failed;
    if (failed)
        sim_print_failure(s, "sim_world");
    totals->simulated_us += s->now_us;
    totals->events += s->event_count;
    totals->entries += w->entry_count;
    totals->operations += world_operation_count(w);
    totals->promotions += world_promoted_count(w);
    for (unsigned i = 0; i < w->service_count; i++)
        for (unsigned j = 0; j < w->server_count; j++)
            totals->acknowledged += w->services[i].servers[j].acknowledged_count;
    totals->failures += failed;
    world_destroy(w);
    sim_destroy(s);
    return !failed;
}

static bool parse_seeds(struct run_options *run, const char *text)
{
    char *end = NULL;

    run->first = strtoull(text, &end, 10);
    run->last = run->first;
    if (end != text && strncmp(end, "..", 2) == 0)
        run->last = strtoull(end + 2, &end, 10);
    return *end == '\0' && run->first > 0 && run->first <= run->last;
}

static bool parse(struct run_options *run, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if ((strcmp(argv[i], "--seeds") == 0 || strcmp(argv[i], "--seed") == 0) && i + 1 < argc) {
            if (!parse_seeds(run, argv[++i]))
                return false;
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            run->seconds = strtoll(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--verbose") == 0) {
            run->verbose = true;
        } else if (strcmp(argv[i], "--keep-going") == 0) {
            run->keep_going = true;
        } else {
            return false;
        }
    }
    return run->seconds > 0;
}

static double elapsed_s(const struct timespec *begin)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
    struct run_options run = { .first = 1, .last = 100, .seconds = 40 };
    struct totals totals = { 0 };
    struct timespec begin;
    uint64_t seeds = 0;

    if (!parse(&run, argc, argv)) {
        fprintf(stderr, "usage: %s [--seeds A..B | --seed N] [--seconds N] [--verbose] [--keep-going]\n", argv[0]);
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t seed = run.first; seed <= run.last; seed++) {
        seeds++;
        if (!run_seed(&run, seed, &totals) && !run.keep_going)
            break;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %.2f simulated hours in %.1f s (%.2f hours/s); %" PRIu64
           " entries, %" PRIu64 " operations, %" PRIu64 " promotions, %" PRIu64 " acknowledged writes, %" PRIu64
           " events\n",
           seeds, totals.failures, (double)totals.simulated_us / 3.6e9, elapsed_s(&begin),
           (double)totals.simulated_us / 3.6e9 / elapsed_s(&begin), totals.entries, totals.operations,
           totals.promotions, totals.acknowledged, totals.events);
    return totals.failures == 0 ? 0 : 1;
}
