/* Messages from node to node beside Raft (see message_link.h): one outgoing connection per member, kept and made again.
 * Decides what is dropped: everything for a node that is not connected, everything above MESSAGES_QUEUE_MAX_BYTES waiting for a slow one.
 *
 * On the wire: u32 payload length, u8 type, u8 zero, u16 zero, u32 CRC-32C of these 8 bytes and the payload, then the payload. */
#ifndef COORD_RAFT_MESSAGES_H
#define COORD_RAFT_MESSAGES_H

#include "raft/message_link.h"
#include "raft/rnode.h"
#include "raft/transport.h"

#define MESSAGES_QUEUE_MAX_BYTES (1u << 20)  /* waiting for one node */
#define MESSAGES_RETRY_MS 150                /* between two attempts to connect */
#define MESSAGES_INBOUND_MAX (2 * NODES_MAX) /* accepted connections; an older one of the same node makes room first */

struct messages; /* opaque */

struct messages_counters {
    uint64_t sent, received, dropped_unconnected, dropped_full, broken_frames, connections;
};

struct messages_config {
    uv_loop_t *loop;
    struct transport *transport; /* dials with its identity; hands over what it accepted by messages_accept */
    void *ctx;
    /* Whom to keep connections to: the current members, asked again every retry interval. */
    size_t (*members)(void *ctx, struct rnode_member *out, size_t capacity);
    message_receive_cb receive;
};

struct messages *messages_create(const struct messages_config *config);
void messages_start(struct messages *m);
/* Takes the channel (ready, paused) of a peer whose hello was accepted. */
void messages_accept(struct messages *m, node_id from, struct channel *channel);
/* `closed` fires later, once; the object is freed then. */
void messages_close(struct messages *m, void (*closed)(void *ctx), void *ctx);

const struct message_link *messages_link(struct messages *m);
bool messages_connected(const struct messages *m, node_id to);
struct messages_counters messages_counters(const struct messages *m);

#endif
