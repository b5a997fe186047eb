#include "raft/member_list.h"

#include "base/bytes.h"
#include "base/text.h"

size_t member_list_from(const struct raft_configuration *list, struct rnode_member *out, size_t capacity)
{
    size_t count = 0;
    for (unsigned i = 0; i < list->n && count < capacity; i++, count++) {
        out[count].id = list->servers[i].id;
        out[count].voter = list->servers[i].role == RAFT_VOTER;
        out[count].spare = list->servers[i].role == RAFT_SPARE;
        text_copy(out[count].address, sizeof out[count].address, list->servers[i].address);
    }
    return count;
}

static bool server_read(struct reader *r, struct rnode_member *out)
{
    size_t length = 0;
    *out = (struct rnode_member){ .id = reader_u64(r) };
    for (uint8_t c = reader_u8(r); c != 0; c = reader_u8(r)) {
        if (length + 1 == sizeof out->address)
            return false;
        out->address[length++] = (char)c;
    }
    uint8_t role = reader_u8(r);
    out->voter = role == RAFT_VOTER;
    out->spare = role == RAFT_SPARE;
    return reader_ok(r) && (role == RAFT_STANDBY || out->voter || out->spare);
}

enum status member_list_decode(const uint8_t *bytes, size_t length, struct rnode_member out[MEMBER_LIST_MAX],
                               size_t *count)
{
    struct reader r;
    *count = 0;
    reader_init(&r, bytes, length);
    uint8_t format = reader_u8(&r);
    uint64_t servers = reader_u64(&r);
    if (!reader_ok(&r) || format != 1 || servers > MEMBER_LIST_MAX)
        return STATUS_CORRUPT;
    for (uint64_t i = 0; i < servers; i++)
        if (!server_read(&r, &out[i]))
            return STATUS_CORRUPT;
    *count = (size_t)servers;
    return STATUS_OK;
}
