/* How much room a node has on the disk of its Raft log. */
#ifndef COORD_RAFT_SPACE_H
#define COORD_RAFT_SPACE_H

#include <stdint.h>

#define SPACE_MIN_BYTES (128ull << 20)   /* no start below: three segments of 8 MiB, snapshots and room to act */
#define SPACE_ALARM_BYTES (256ull << 20) /* say so below */

enum space_level { SPACE_ENOUGH, SPACE_LOW /* below the alarm */, SPACE_SHORT /* below what a start needs */ };

struct space {
    enum space_level level;
    uint64_t free_bytes; /* for programs without privileges */
};

#endif
