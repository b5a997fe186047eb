#include "raft/lone_voter.h"

#include "raft/member_list.h"

bool lone_voter(node_id self, const struct raft_snapshot *snapshot, const struct raft_entry *entries, size_t count)
{
    struct rnode_member members[MEMBER_LIST_MAX];
    size_t member_count = 0;
    unsigned voters = 0;
    bool votes = false;
    while (count > 0 && entries[count - 1].type != RAFT_CHANGE)
        count--;
    if (count > 0)
        (void)member_list_decode(entries[count - 1].buf.base, entries[count - 1].buf.len, members, &member_count);
    else if (snapshot != NULL)
        member_count = member_list_from(&snapshot->configuration, members, MEMBER_LIST_MAX);
    for (size_t i = 0; i < member_count; i++) {
        voters += members[i].voter;
        votes = votes || (members[i].voter && members[i].id == self);
    }
    return votes && voters == 1;
}
