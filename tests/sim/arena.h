/* The memory of one simulated libraft node. libraft has one allocator for the whole process; ours keeps a list per node, so that a
 * crashed node is freed as a whole, whatever it was doing. Every block is a block of malloc: the sanitizers see overruns and stale use. */
#ifndef COORD_SIM_ARENA_H
#define COORD_SIM_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t block_count;
};

void arena_init(struct arena *a);
/* What raft_malloc and its family use from now on; gives the previous one (NULL at first). Installs itself at the first call. */
struct arena *arena_enter(struct arena *a);
/* Frees all that is left in it. */
void arena_clear(struct arena *a);

#endif
