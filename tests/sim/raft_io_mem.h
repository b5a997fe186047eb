/* A complete raft_io over the simulated disk, clock and network: what libraft (with our guard around it) runs on in the simulator.
 * The whole object lives in the node's arena: after a crash nothing of it is closed, the arena is cleared and only the disk remains. */
#ifndef COORD_SIM_RAFT_IO_MEM_H
#define COORD_SIM_RAFT_IO_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include <raft.h>

#include "tests/sim/arena.h"
#include "tests/sim/disk.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define RAFT_IO_MEM_NODES_MAX 10

struct raft_io_mem; /* opaque: one life of one node's I/O */

/* Who stands behind a raft id. Given by the world, the same for all nodes; `io` is NULL while the node is down. */
struct raft_io_peer {
    raft_id id;
    unsigned host;
    struct sim_process *process;
    struct raft_io_mem *io;
    char address[32];
};

struct raft_io_peers {
    struct raft_io_peer list[RAFT_IO_MEM_NODES_MAX];
    unsigned count;
};

struct raft_io_mem_setup {
    struct sim *sim;
    struct net *net;
    struct disk *disk;
    struct arena *arena;
    const struct sim_clock *clock;
    struct raft_io_peers *peers;
    unsigned self; /* index into peers */
};

/* Fills the vtable; the current arena must be the node's. Borrows everything in `setup` for the life of the node. */
void raft_io_mem_init(struct raft_io *io, const struct raft_io_mem_setup *setup);
/* What a power cut leaves on the disk: of the writes that were not confirmed a random number, in order, the last one perhaps in part. */
void raft_io_mem_crash(struct raft_io *io);
/* The write at hand and all later ones fail or never end: for the tests of the guard. */
enum raft_io_mem_fault {
    RAFT_IO_MEM_HEALTHY,
    RAFT_IO_MEM_APPEND_FAILS,
    RAFT_IO_MEM_APPEND_HANGS,
    RAFT_IO_MEM_TERM_FAILS
};
void raft_io_mem_set_fault(struct raft_io *io, enum raft_io_mem_fault fault);
/* How many writes are not confirmed. */
unsigned raft_io_mem_pending_count(const struct raft_io *io);

#endif
