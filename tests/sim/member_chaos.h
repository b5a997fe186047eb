/* Members come and go, gain and lose their vote and hand over, while everything else that chaos.h knows goes wrong. The member list that
 * shall be is one struct state that all nodes see at once; who carries it over to Raft's list, and how, is the real code. */
#ifndef COORD_SIM_MEMBER_CHAOS_H
#define COORD_SIM_MEMBER_CHAOS_H

#include "tests/sim/chaos.h"

struct member_chaos_counts {
    uint64_t added, removed, promoted, demoted, handed_over, leaders_removed, steps;
};

/* As chaos_run, for a rnode cluster of which some nodes are absent (cluster_options.first_count). At the end Raft's list must be the one
 * that shall be. Adds to `counts`. */
void member_chaos_run(struct cluster *c, const struct chaos_options *options, struct member_chaos_counts *counts);

#endif
