/* How one node's layers above Raft reach another node: unordered with respect to Raft's own stream, not acknowledged, may be lost or
 * (after a reconnection) delayed, never corrupted, never duplicated. Implemented by raft/messages.h over TCP and by the simulator's network. */
#ifndef COORD_RAFT_MESSAGE_LINK_H
#define COORD_RAFT_MESSAGE_LINK_H

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX_BYTES (ENTRY_MAX_BYTES + 512) /* payload of one message */

/* Types below MESSAGE_APPLICATION belong to this room. */
enum message_type {
    MESSAGE_FORWARD_REQUEST = 1,
    MESSAGE_FORWARD_ANSWER = 2,
    MESSAGE_FORGOT = 3,       /* u64 acknowledged, u64 has: the leader to a member that has less than it acknowledged */
    MESSAGE_APPLICATION = 64, /* first one for the layers above: opinions, renewals, promises */
    MESSAGE_TYPE_MAX = 255,
};

struct message_link {
    void *ctx;
    /* Copies `bytes`. STATUS_OK: queued for the connection. Otherwise surely not sent: UNREACHABLE (no connection now, or no such
     * member), FULL (too much is queued), INVALID (too long). */
    enum status (*send)(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length);
};

/* A message came in. `bytes` is borrowed for the call. */
typedef void (*message_receive_cb)(void *ctx, node_id from, uint8_t type, const uint8_t *bytes, size_t length);

#endif
