/* One listening address per node, shared by Raft's streams and our messages, in mutual TLS (plain TCP only where the node's file says so).
 * Decides who may connect (the certificate, then raft/hello.h); refusals are logged and counted. Leaves to libraft when to reconnect, and to
 * raft/messages.h its connections. Raft's streams do not reach libraft as they are: see raft/pump.h. */
#ifndef COORD_RAFT_TRANSPORT_H
#define COORD_RAFT_TRANSPORT_H

#include "raft/dial.h"
#include "raft/hello.h"
#include "raft/transport_counters.h"

#include <stdarg.h>

#include <raft/uv.h>

#include <stdbool.h>

#define TRANSPORT_HELLOS_MAX 32 /* accepted and not yet identified */
#define TRANSPORT_PUMPS_MAX                                                                                            \
    (6 * NODES_MAX) /* Raft streams, both ways; an old one may linger while its successor comes */

struct transport_config {
    uv_loop_t *loop;
    struct resolver *resolver; /* NULL: numeric addresses only */
    struct tls_context *tls;   /* NULL: plain TCP */
    const char *listen;        /* NULL: `address` */
    uint64_t cluster;
    node_id id;
    const char *address;         /* in the member list */
    uint64_t snapshot_bytes_max; /* of one InstallSnapshot */
    void *ctx;
    uint64_t generation;
    const char *(*member_address)(void *ctx, node_id id); /* NULL: no member */
    bool (*perhaps_newer)(
        void *ctx, node_id id); /* of one that is no member: it may be one that is not known here yet; NULL: never */
    void (*on_removed)(void *ctx, node_id told_by); /* a member says that no member has this node's id; may be NULL */
    void (*on_messages)(void *ctx, node_id from, struct channel *channel); /* gives the channel, ready and paused */
};

struct transport; /* opaque */

struct transport *transport_create(const struct transport_config *config, struct error *err);
/* Binds and listens. What comes before libraft's own listen is served once that has happened. */
enum status transport_listen(struct transport *t, struct error *err);
/* What raft_uv_init is given. Its close (by raft_close) closes this whole object but for its memory. */
struct raft_uv_transport *transport_raft(struct transport *t);
/* As dial_begin, in this node's name. */
struct dial *transport_dial(struct transport *t, enum hello_kind kind, node_id to, const char *address, dial_cb done,
                            void *ctx);
/* Ends the streams of nodes that are members no more. */
void transport_follow_members(struct transport *t);
/* Only if it never came to raft_init. `closed` fires later. */
void transport_close(struct transport *t, void (*closed)(void *ctx), void *ctx);
void transport_destroy(struct transport *t);
struct transport_counters transport_counters(const struct transport *t);

#endif
