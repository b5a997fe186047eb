/* The leader's hand on the member list: brings Raft's list in line with the state's (core/membership.h decides what comes next).
 * A leader change in the middle leaves nothing behind: the next leader compares again. */
#ifndef COORD_RAFT_RNODE_MEMBERS_H
#define COORD_RAFT_RNODE_MEMBERS_H

#include "core/membership.h"
#include "raft/rnode.h"

/* To be called on each tick of a node whose state is applied up to now. True when a change was begun, or refused (`err` is not OK then);
 * `step` says which. Does nothing unless this node leads and no change is under way. */
bool rnode_members_follow(struct rnode *node, const struct state *s, node_id self, struct membership_step *step,
                          struct error *err);

#endif
