/* libraft 0.22.1 notes a change of the members that comes to a follower under the index of the first entry of its message, not under its own.
 * If another entry stands before it, its commitment passes unseen: no further change is possible once that node leads, and its snapshots
 * hold an old member list. So a message is cut before a change that is not its first entry; the leader sends the rest again. */
#ifndef COORD_RAFT_APPEND_CUT_H
#define COORD_RAFT_APPEND_CUT_H

#include <stdarg.h>

#include <raft.h>

#include <stdbool.h>

/* Frees what it cuts off. True when it did. */
bool append_cut(struct raft_append_entries *args);

#endif
