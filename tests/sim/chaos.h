/* Faults drawn from the seed, against a simulated Raft cluster, with a client that writes without pause. */
#ifndef COORD_SIM_CHAOS_H
#define COORD_SIM_CHAOS_H

#include "tests/sim/cluster.h"

struct chaos_options {
    int64_t span_us; /* how long faults happen */
    int64_t write_every_us;
    bool crashes;
    bool pauses;
    bool
        stream; /* messages of one direction stay in order and come once, as over TCP; otherwise also what TCP never does */
};

/* Runs the faults, ends them, starts everybody, waits until all are equal (a failure of the run otherwise) and checks the result. */
void chaos_run(struct cluster *c, const struct chaos_options *options);

/* Its parts, for runs of another shape. */
void chaos_fault(struct cluster *c, const struct chaos_options *options); /* one, drawn from the seed */
void chaos_end_faults(struct cluster *c);
void chaos_restart_fatal(struct cluster *c);
void chaos_write(struct cluster *c);
bool chaos_equal(const struct cluster *c); /* all that are not absent have applied the same */

#endif
