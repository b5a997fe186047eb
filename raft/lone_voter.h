/* libraft makes the only voter of a list leader at its start, in the term that it led before: entries of that term which were sent but are not
 * on its own disk would get a second meaning at the others. So such a node begins a new term first. Decides whether a log says so. */
#ifndef COORD_RAFT_LONE_VOTER_H
#define COORD_RAFT_LONE_VOTER_H

#include "base/ids.h"

#include <stdarg.h>

#include <raft.h>

#include <stdbool.h>

/* Is `self` the only voter of the newest member list in what was loaded? `snapshot` may be NULL. A list that cannot be read says no. */
bool lone_voter(node_id self, const struct raft_snapshot *snapshot, const struct raft_entry *entries, size_t count);

#endif
