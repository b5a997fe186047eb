/* The JSON API (docs/openapi.yaml), on the local socket and on a port: what this node has applied -> JSON; a request -> one command, submitted. Decides nothing about
 * services: the log does. Everything it needs of the process comes through struct api_hooks, so a test gives it a state of its own.
 *
 * Use: api_create, api_listen(socket), api_applied() after each applied entry (or batch of them), api_destroy. */
#ifndef COORD_API_API_H
#define COORD_API_API_H

#include "core/command.h"
#include "io/tls.h"
#include "raft/space.h"
#include "raft/transport_counters.h"

#include <uv.h>

struct api; /* opaque: owns the HTTP server and the streams of events */

struct api_node {
    node_id id;
    char name[NAME_MAX_BYTES]; /* as in the node's own file: right also before the cluster is initialised */
    char site[NAME_MAX_BYTES];
    const char *role; /* leader, follower, candidate, none; constant text */
    uint64_t term;
    uint64_t cluster;      /* of the data directory: what `coordd join` is told */
    uint64_t generation;   /* likewise */
    node_id leader;        /* 0: none known, nothing can enter the log */
    int64_t leaderless_ms; /* for how long already; INT64_MAX: no leader was known in this life of the node */
    bool tls;              /* false: plain TCP between nodes, and no certificate */
    struct tls_validity validity;
    struct transport_counters connections; /* of other nodes */
    struct space space;                    /* on the disk of the log */
    const char *data_dir;                  /* on it; borrowed */
};

/* What this node does about a service without a leader: no state of the cluster, so only this node can tell. */
enum api_promised {
    API_PROMISED_NOTHING,
    API_PROMISED_SERVING, /* its primary goes on here by the promises of other nodes */
    API_PROMISED_CLOSED,  /* its primary has stopped here: neither a leader nor all promises in time */
    API_PROMISED_GIVEN    /* this node has promised the primary's not to take over */
};
struct api_promises {
    enum api_promised what;
    int64_t ms;                               /* for so long; GIVEN: for so long yet */
    char nodes[NODES_MAX * NAME_MAX_BYTES];   /* whose promises; GIVEN: to whom */
    char missing[NODES_MAX * NAME_MAX_BYTES]; /* the other coordinators: of those a majority is to be started */
};

/* STATUS_OK: applied, with its outcome (which may be a refusal). UNKNOWN: it may be applied, now or later; `outcome` is NULL. Anything
 * else: surely not in the log; `outcome` is NULL. */
typedef void (*api_submitted)(void *ctx, enum status status, const struct outcome *outcome);

struct api_seat { /* in Raft's own member list, as this node has it */
    node_id id;
    bool voter;
    bool lag_known; /* at the leader */
    uint64_t lag;   /* entries that the member has not acknowledged */
};

struct api_hooks {
    void *ctx;
    const struct state *(*state)(void *ctx); /* what this node has applied; borrowed for the call */
    void (*node)(void *ctx, struct api_node *out);
    void (*promises)(void *ctx, service_id service, struct api_promises *out); /* NULL: nothing, ever */
    size_t (*seats)(void *ctx, struct api_seat *out, size_t capacity);         /* NULL: not known */
    /* Proposes here or forwards to the leader. `done` exactly once, later (never before this returns), also when nothing was sent. Borrows
     * `command` for the call. at_ms is not set: the leader stamps it. */
    void (*submit)(void *ctx, const struct command *command, unsigned deadline_ms, api_submitted done, void *done_ctx);
};

struct api *api_create(uv_loop_t *loop, const struct api_hooks *hooks);
enum status api_listen(struct api *api, const char *socket_path, struct error *err);
/* The same on a TCP port (numeric, "10.0.0.1:7401"), for those whose certificate `tls` verifies; NULL: in the open, and answering only what needs no role.
 * Borrows `tls` until api_destroy. */
enum status api_listen_tcp(struct api *api, const char *address, struct tls_context *tls, struct error *err);
/* New events go out to those who follow them. */
void api_applied(struct api *api);
/* Closes the socket and every connection; `closed` fires when all is gone, and every submission has been answered (cancel those first,
 * or after: each must still call its `done`). Frees the api before it. */
void api_destroy(struct api *api, void (*closed)(void *ctx), void *ctx);

#endif
