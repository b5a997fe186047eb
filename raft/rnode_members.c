/* Changes of the member list. libraft keeps the request until it calls back, and may look at an old one: requests live in the node, and one is
 * used again only after RNODE_CHANGES_KEPT others. */
#include "raft/rnode_members.h"

#include "base/check.h"
#include "raft/rnode_internal.h"

#include <inttypes.h>
#include <string.h>

#ifdef RAFT_VERSION_NUMBER
#define COMMITTED_INDEX(node) ((node)->raft.configuration_committed_index)
#else
#define COMMITTED_INDEX(node) ((node)->raft.configuration_index)
#endif

static void on_changed(struct raft_change *request, int status)
{
    struct rnode *node = request->data;
    (void)status; /* the list says what came of it */
    if (request == &node->changes[node->change_number % RNODE_CHANGES_KEPT])
        node->changing = false;
}

static int change_begin(struct rnode *node, struct raft_change *request, enum rnode_change change, node_id id,
                        const char *address)
{
    switch (change) {
    case RNODE_ADD:
        return raft_add(&node->raft, request, id, address, on_changed);
    case RNODE_STANDBY:
        return raft_assign(&node->raft, request, id, RAFT_STANDBY, on_changed);
    case RNODE_VOTER:
        return raft_assign(&node->raft, request, id, RAFT_VOTER, on_changed);
    case RNODE_REMOVE:
        return raft_remove(&node->raft, request, id, on_changed);
    }
    return RAFT_INVALID;
}

enum status rnode_change(struct rnode *node, enum rnode_change change, node_id id, const char *address,
                         struct error *err)
{
    ASSERT(!node->in_fsm);
    if (!rnode_leads(node, node->published.term) || node->transferring)
        return error_set(err, STATUS_NO_LEADER, "this node does not lead, or is handing over");
    if (node->changing)
        return error_set(err, STATUS_FULL, "another change of the members is under way");
    if (id == node->config.id && (change == RNODE_REMOVE || change == RNODE_STANDBY))
        return error_set(err, STATUS_REFUSED, "the leader hands over before it leaves");
    struct raft_change *request = &node->changes[++node->change_number % RNODE_CHANGES_KEPT];
    memset(request, 0, sizeof *request);
    request->data = node;
    node->changing = true;
    int rv = change_begin(node, request, change, id, address);
    if (rv == 0)
        return STATUS_OK;
    node->changing = false;
    if (rv == RAFT_NOTLEADER || rv == RAFT_LEADERSHIPLOST)
        return error_set(err, STATUS_NO_LEADER, "this node does not lead any more");
    if (rv == RAFT_CANTCHANGE || rv == RAFT_NOSPACE)
        return error_set(err, STATUS_FULL, "%s", raft_strerror(rv));
    return error_set(err, STATUS_REFUSED, "node %" PRIu64 ": %s: %s", id, raft_strerror(rv), raft_errmsg(&node->raft));
}

/* When a later leader removes a change from the log, libraft goes back to the last list that it has seen committed. Of two that came before
 * their commitment was known, it has not seen the first: the list would be one too old. What stands in the log is right, so the node starts
 * again, as soon as the log on the disk is without the removed one. */
void rnode_members_at_rest(struct rnode *node)
{
    uint64_t index = node->raft.configuration_uncommitted_index;
    if ((int)raft_state(&node->raft) != RAFT_LEADER)
        node->changing = false;
    if (node->change_index != 0 && index < node->change_index && COMMITTED_INDEX(node) < node->change_index)
        node->change_undone = true;
    node->change_index = index;
    if (node->change_undone && node->guard.oldest == NULL)
        io_guard_fail(&node->guard, "a change of the members that stood in this log was undone by a new leader: this "
                                    "node takes the list from its log again");
}

bool rnode_lag(struct rnode *node, node_id id, uint64_t *entries)
{
#ifdef RAFT_VERSION_NUMBER
    raft_index match = 0;
    if (!rnode_leads(node, node->published.term) || raft_match_index(&node->raft, id, &match) != 0)
        return false;
    uint64_t last = raft_last_index(&node->raft);
    *entries = last > match ? last - match : 0;
    return true;
#else
    (void)node, (void)id, (void)entries;
    return false;
#endif
}

bool rnode_changing(const struct rnode *node)
{
    return node->changing;
}

static size_t seats_of(const struct rnode *node, struct raft_seat *out, size_t capacity)
{
    int64_t since_us = node->config.now_us(node->config.ctx) - 2 * (int64_t)node->config.timing.election_ms * 1000;
    struct rnode_member members[2 * NODES_MAX]; /* one that is to leave may still sit beside its successor */
    size_t count = rnode_members(node, members, sizeof members / sizeof members[0]);
    ASSERT(count <= capacity);
    for (size_t i = 0; i < count; i++)
        out[i] = (struct raft_seat){ .id = members[i].id,
                                     .kind = members[i].voter   ? SEAT_VOTER
                                             : members[i].spare ? SEAT_SPARE
                                                                : SEAT_STANDBY,
                                     .heard = members[i].id == node->config.id ||
                                              rnode_last_heard_us(node, members[i].id) > since_us };
    return count;
}

bool rnode_members_follow(struct rnode *node, const struct state *s, node_id self, struct membership_step *step,
                          struct error *err)
{
    static const enum rnode_change changes[] = { [MEMBERSHIP_ADD] = RNODE_ADD,
                                                 [MEMBERSHIP_STANDBY] = RNODE_STANDBY,
                                                 [MEMBERSHIP_VOTER] = RNODE_VOTER,
                                                 [MEMBERSHIP_REMOVE] = RNODE_REMOVE };
    struct raft_seat seats[2 * NODES_MAX];
    *err = ERROR_NONE;
    if (node->changing || node->transferring || !rnode_leads(node, node->published.term))
        return false;
    *step = membership_next(s, self, seats, seats_of(node, seats, sizeof seats / sizeof seats[0]));
    if (step->act == MEMBERSHIP_SETTLED)
        return false;
    int slot = state_member_slot(s, step->node);
    const char *address = slot >= 0 ? s->members[slot].address : "";
    enum status status = rnode_change(node, changes[step->act], step->node, address, err);
    return status == STATUS_OK || status == STATUS_REFUSED; /* else not now: the next tick asks again */
}
