/* A stopped node's directory after more than half of the voters were lost for good: what it holds, and how it becomes the whole cluster.
 * One survivor only, the one whose log goes furthest: two logs that each got a list of their own would disagree about the same index. */
#ifndef COORD_RAFT_STORAGE_RECOVER_H
#define COORD_RAFT_STORAGE_RECOVER_H

#include "raft/member_list.h"
#include "raft/storage_uv.h"

struct storage_end {
    struct storage_identity identity;
    uint64_t generation;
    uint64_t last_index, last_term; /* of the last entry, or of the snapshot when there is none behind it */
    size_t member_count;            /* as the newest member list in the log says */
    struct rnode_member members[MEMBER_LIST_MAX];
};

/* As storage_uv_open; changes nothing that a start would not. */
enum status storage_uv_end(const char *data_dir, struct storage_end *out, struct error *err);
/* From now on the node is the only member, in the next generation, whose first entry says who did this and why. Safe to be done again when it
 * was interrupted. As storage_uv_open. */
enum status storage_uv_recover(const char *data_dir, const char *who, const char *reason, struct error *err);

#endif
