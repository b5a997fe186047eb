/* A complete Raft node on a uv loop and a real disk: storage, transport, rnode, messages and forward wired together. What coordd uses.
 * Decides nothing of its own. */
#ifndef COORD_RAFT_NODE_UV_H
#define COORD_RAFT_NODE_UV_H

#include "raft/forward.h"
#include "raft/message_link.h"
#include "raft/rnode.h"
#include "raft/space.h"
#include "raft/storage_uv.h"
#include "raft/transport.h"

#include <uv.h>

struct node_uv; /* opaque */
struct resolver;

enum node_standing {
    NODE_NOT_KNOWN, /* no such id was given yet, as far as is known here */
    NODE_MEMBER,
    NODE_REMOVED, /* it was a member once */
};

struct node_uv_config {
    uv_loop_t *loop;
    struct resolver *resolver; /* io/resolve.h; NULL: numeric addresses only */
    struct tls_context
        *tls; /* of a node's certificate; NULL: plain TCP. Borrowed for this object's life; may be reloaded */
    const char *data_dir; /* bootstrapped before */
    const char *listen;   /* "127.10.1.1:7400", "[::1]:7400"; NULL: the node's own address of the member list */
    struct rnode_timing timing;
    struct rnode_fsm fsm;
    void *ctx; /* of the callbacks below */
    void (*on_leadership)(void *ctx, const struct rnode_leadership *now);
    void (*on_tick)(void *ctx);                   /* each heartbeat; may be NULL */
    message_receive_cb on_message;                /* types >= MESSAGE_APPLICATION */
    void (*fatal)(void *ctx, const char *reason); /* log it and _exit(42): the supervisor starts the node again */
    /* What the applied state knows of a node that Raft's own list does not have. */
    enum node_standing (*standing)(void *ctx, node_id id);
    void (*on_removed)(void *ctx, node_id told_by); /* a member says that this node was removed: it must end */
    enum status (*admit)(void *ctx, node_id from, uint8_t *bytes, size_t *length,
                         size_t capacity); /* see forward.h; may be NULL */
};

/* Opens and locks the directory and prepares everything. On failure NULL and `err`: the process must end, the loop may hold handles. */
struct node_uv *node_uv_create(const struct node_uv_config *config, struct error *err);
/* Listens, loads the log (fsm.restore, then apply of what is committed later) and begins. After a failure the process must end. */
enum status node_uv_start(struct node_uv *n, struct error *err);
/* `closed` fires later, when every handle is closed; then node_uv_destroy. */
void node_uv_close(struct node_uv *n, void (*closed)(void *ctx), void *ctx);
void node_uv_destroy(struct node_uv *n);

struct rnode *node_uv_rnode(struct node_uv *n);
struct forward *node_uv_forward(struct node_uv *n);
const struct message_link *node_uv_link(struct node_uv *n);
node_id node_uv_id(const struct node_uv *n); /* from the directory's identity */
uint64_t node_uv_cluster(const struct node_uv *n);
const struct storage_generation *node_uv_generation(const struct node_uv *n);
/* Is there a connection for messages to that node now? */
bool node_uv_connected(const struct node_uv *n, node_id to);

struct transport_counters node_uv_counters(const struct node_uv *n);
struct space
node_uv_space(const struct node_uv *n); /* on the disk of the log, seconds ago at most while the disk answers */

/* libuv's thread pool carries libraft's disk work only, but must never be short: sets UV_THREADPOOL_SIZE=8 unless it is set. Call first in main. */
void node_uv_prepare_process(void);

#endif
