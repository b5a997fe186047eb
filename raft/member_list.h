/* libraft's member lists as ours: from its memory, and from the bytes of an entry of the log, which libraft writes: u8 format 1, u64 count,
 * then per server u64 id, address with its NUL, u8 role, and padding (src/configuration.c of libraft 0.22.1). */
#ifndef COORD_RAFT_MEMBER_LIST_H
#define COORD_RAFT_MEMBER_LIST_H

#include "base/status.h"
#include "raft/rnode.h"

#include <stdarg.h>

#include <raft.h>

#define MEMBER_LIST_MAX (2 * NODES_MAX) /* more than a cluster ever has */

/* The first `capacity` of them; returns how many. */
size_t member_list_from(const struct raft_configuration *list, struct rnode_member *out, size_t capacity);
/* CORRUPT: cut short, another format, an unknown role, too long an address, more than MEMBER_LIST_MAX; `count` is 0 then. */
enum status member_list_decode(const uint8_t *bytes, size_t length, struct rnode_member out[MEMBER_LIST_MAX],
                               size_t *count);

#endif
