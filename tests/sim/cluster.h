/* A simulated Raft cluster with a trivial state machine: the list of values applied so far. Checks while it runs that every node has
 * the same list as far as it has one, that a term has one leader, and at the end that what was acknowledged is there.
 * A node is either plain libraft on raft_io_mem, or our rnode (with its guard) on it. */
#ifndef COORD_SIM_CLUSTER_H
#define COORD_SIM_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/raft_io_mem.h"

enum cluster_kind { CLUSTER_PLAIN, CLUSTER_RNODE };

struct cluster_options {
    enum cluster_kind kind;
    unsigned node_count;
    unsigned first_count; /* of these the first members; the others are absent until they join; 0: all */
    unsigned heartbeat_ms;
    unsigned election_ms;
    unsigned snapshot_threshold;
    unsigned snapshot_trailing;
};

struct cluster_node; /* opaque */

struct cluster {
    struct sim *sim;
    struct net net;
    struct cluster_options options;
    struct raft_io_peers peers;
    struct cluster_node *nodes[RAFT_IO_MEM_NODES_MAX];
    uint64_t *chain; /* hash of the list after n values, 0 while nobody has n */
    uint8_t *acked;  /* per value */
    uint64_t value_count;
    uint64_t acked_count;
    uint64_t highest_count;     /* longest list that any node had */
    uint64_t term_leader[4096]; /* its raft id */
    uint64_t restored_count;    /* snapshots restored */
    uint64_t crash_count;
};

/* Bootstraps every disk; all nodes are down. */
struct cluster *cluster_create(struct sim *sim, const struct cluster_options *options);
void cluster_destroy(struct cluster *c);

void cluster_start(struct cluster *c, unsigned node);
void cluster_start_all(struct cluster *c);
/* A power cut: the node is gone, its disk has what was synced and some of what was not. */
void cluster_crash(struct cluster *c, unsigned node);
void cluster_pause(struct cluster *c, unsigned node);
void cluster_resume(struct cluster *c, unsigned node);
bool cluster_up(const struct cluster *c, unsigned node);
/* An absent node has no life: neither chaos nor cluster_start_all starts it. */
bool cluster_absent(const struct cluster *c, unsigned node);
void cluster_leave(struct cluster *c, unsigned node);
/* The absent node comes with an empty disk, a raft id that was never used, and an empty log: it is down. */
void cluster_join(struct cluster *c, unsigned node, uint64_t id);
uint64_t cluster_id_of(const struct cluster *c, unsigned node);
/* Its memory is entered: what libraft allocates from here on is its. */
struct rnode *cluster_rnode(struct cluster *c, unsigned node);
/* The guard gave up (rnode only): crash it and start it again. */
bool cluster_fatal(const struct cluster *c, unsigned node);
bool cluster_paused(const struct cluster *c, unsigned node);
/* Does this node, as far as it knows, lead? */
bool cluster_leads(const struct cluster *c, unsigned node);
/* It has won an election; its first entry may be nowhere else yet. */
bool cluster_elected(const struct cluster *c, unsigned node);
/* The leader of the highest term among those that are up and not paused; node_count when there is none. */
unsigned cluster_leader(const struct cluster *c);
/* Proposes the next value at that node; gives its number, 0 when it was refused. */
uint64_t cluster_propose(struct cluster *c, unsigned node);
uint64_t cluster_applied_count(const struct cluster *c, unsigned node);
bool cluster_has(const struct cluster *c, unsigned node, uint64_t value);
struct disk *cluster_disk(struct cluster *c, unsigned node);
struct raft_io *cluster_io(struct cluster *c, unsigned node);
/* Runs until `node` leads or the time is over. */
bool cluster_run_until_leads(struct cluster *c, unsigned node, int64_t limit_us);
/* Runs until some node leads. Gives it, or node_count. */
unsigned cluster_run_until_leader(struct cluster *c, int64_t limit_us);
/* All nodes up and joined, some time given: same list everywhere, everything acknowledged in it. */
void cluster_check_converged(struct cluster *c);

#endif
