#include "raft/lone_voter.h"

#include "base/bytes.h"

/* u8 format, u64 count, then per server u64 id, NUL-terminated address, u8 role. */
static bool in_entry(node_id self, const struct raft_buffer *buf)
{
    struct reader r;
    unsigned voters = 0;
    bool votes = false;
    reader_init(&r, buf->base, buf->len);
    if (reader_u8(&r) != 1)
        return false;
    uint64_t count = reader_u64(&r);
    for (uint64_t i = 0; i < count && reader_ok(&r); i++) {
        node_id id = reader_u64(&r);
        while (reader_ok(&r) && reader_u8(&r) != 0)
            ;
        if (reader_u8(&r) != RAFT_VOTER)
            continue;
        voters++;
        votes = votes || id == self;
    }
    return reader_ok(&r) && votes && voters == 1;
}

static bool in_snapshot(node_id self, const struct raft_configuration *list)
{
    unsigned voters = 0;
    bool votes = false;
    for (unsigned i = 0; i < list->n; i++) {
        if (list->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        votes = votes || list->servers[i].id == self;
    }
    return votes && voters == 1;
}

bool lone_voter(node_id self, const struct raft_snapshot *snapshot, const struct raft_entry *entries, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (entries[i - 1].type == RAFT_CHANGE)
            return in_entry(self, &entries[i - 1].buf);
    return snapshot != NULL && in_snapshot(self, &snapshot->configuration);
}
