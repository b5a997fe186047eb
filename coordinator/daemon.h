/* One node: the rooms wired together on one loop. Knows them all and decides nothing: each decision is core's, each effect an adapter's.
 *
 *   daemon.c        life: create in order, close in reverse order
 *   daemon_log.c    the log's side: apply, snapshot, restore; what the leader proposes; submissions
 *   daemon_watch.c  what this node sees: opinions, sightings, beats to the leader
 *   daemon_lease.c  the holder's effects on the local guards
 *   daemon_promise.c  what this node promises to the holders of leases when no leader is known
 *   daemon_members.c who belongs to the cluster
 *   daemon_setup.c  the canary's table at a new primary
 *   daemon_tls.c    the certificates: read, read again, their end
 *   daemon_notify.c what the service manager is told
 */
#ifndef COORD_DAEMON_H
#define COORD_DAEMON_H

#include "api/api.h"
#include "config.h"
#include "core/fsm.h"
#include "core/leader.h"
#include "exec/exec.h"
#include "fencing/guard_client.h"
#include "holder/holder.h"
#include "holder/promise.h"
#include "io/tls.h"
#include "postgres/canary.h"
#include "probe/prober.h"
#include "raft/node_uv.h"

struct daemon;

typedef void (*daemon_submitted)(void *ctx, enum status status, const struct outcome *outcome);

/* A submission that could not even be sent; its `done` fires from the loop, never from inside submit. The list is empty again after one turn
 * of the loop, so it is as long as what one turn submits, which its callers bound. */
struct daemon_unsent {
    struct daemon_unsent *next;
    enum status status;
    daemon_submitted done;
    void *ctx;
};

enum daemon_message { MESSAGE_BEAT = MESSAGE_APPLICATION, MESSAGE_PROMISE_ASK, MESSAGE_PROMISE_ANSWER };

struct daemon_guard {                         /* one local server's lease_guard, and what the log was told of it */
    struct guard_client *client;              /* NULL: the node's file names no guard socket */
    char silent[ERROR_TEXT_MAX];              /* why it gave no answer; "": it did */
    char refused[16];                         /* why it did not open; "": it did */
    epoch_t held_epoch;                       /* of the lease that this node holds; 0: none */
    int64_t renewed_us;                       /* when that was renewed last */
    bool overdue;                             /* it has not been renewed in time */
    bool asking;                              /* other nodes are asked for promises */
    bool on_promises;                         /* the holder's, as it was logged */
    int64_t on_promises_us;                   /* since when */
    enum promise_verdict answered[NODES_MAX]; /* by member slot, to the last question, as it was logged */
};

struct daemon_promised { /* what this node last answered to a holder, as it was logged */
    enum promise_verdict verdict;
    int64_t at_us;
};

struct daemon_setup { /* one local server's canary table */
    struct canary *running;
    epoch_t epoch, done_epoch;
    uint32_t pause_beats;
    void (*closed)(void *ctx); /* not NULL: the node is closing */
    void *closed_ctx;
};

#define DAEMON_EXIT_DIRECTORY                                                                                          \
    3 /* never start from this data_dir again, or there is none: only a person gets out of that */
#define DAEMON_EXIT_REMOVED 4 /* it was removed from the cluster: likewise */
#define DAEMON_EXIT_FATAL 42  /* what was acknowledged could be lost: the supervisor starts the node again */

struct daemon {
    struct node_config config;
    uv_loop_t loop;
    node_id self;
    uint32_t beat_ms;

    struct state *state;                  /* as applied now */
    struct state *spare;                  /* a snapshot is decoded into it, then they are swapped */
    struct command *applying, *proposing; /* scratch: a command is large */
    uint8_t entry[ENTRY_MAX_BYTES];

    struct node_uv *node, *closing_node;
    struct leader leader;
    uint64_t contact_term;   /* of the leader that became known last */
    bool warm;               /* and the one before it was known not long ago: there was a quorum */
    int64_t leader_known_us; /* clock_now_us() when a leader was last known; -1: never in this life */
    int64_t transferred_us;

    struct holder holder;
    struct promises promises;
    struct daemon_promised promised[SERVICES_MAX];
    bool ending_promises[SERVICES_MAX];       /* a PROMISES_ENDED of ours is on its way */
    struct daemon_guard guards[SERVICES_MAX]; /* by index into config.local */
    struct daemon_setup setups[SERVICES_MAX]; /* likewise */
    struct tls_context *tls;                  /* NULL: plain TCP */
    enum tls_expiry tls_expiry_said;
    struct resolver *resolver;
    struct http_client *http;
    struct prober *prober;
    struct exec *exec;
    struct api *api;

    uv_async_t wake; /* the state changed, or something waits in `unsent` */
    uv_timer_t tick; /* the leader's, and the holder's */
    uv_timer_t beat;
    uv_idle_t tick_idle;   /* keeps the poll from sleeping while a tick is due */
    uv_check_t tick_check; /* a tick is acted on after the network was read */
    bool tick_due;
    bool nudge; /* an entry was applied that some follower must act on */
    uv_signal_t signals[2];
    uv_signal_t hangup;  /* SIGHUP */
    uv_timer_t tls_look; /* at the certificates */
    struct daemon_unsent *unsent;
    struct daemon_patient *patient;          /* commands of people that wait for a leader */
    bool reporting[SERVICES_MAX][SITES_MAX]; /* an OPINION of ours is on its way */
    bool starting;                           /* NODE_STARTED is on its way */
    uint64_t acts_from;                      /* its index: nothing is done on an older state; 0: not known yet */
    uint64_t events_seen;                    /* up to here the cluster's events were logged, or led elsewhere */
    bool start_refused;                      /* NODE_STARTED was, and the log says so */
    epoch_t accused_epoch[SERVICES_MAX];     /* of the last write after an expiry that was logged */
    bool initialising;                       /* CLUSTER_INIT is on its way */
    bool recovering;                         /* RECOVER is */
    int64_t ending_us;                       /* since when leadership is being handed over before closing; 0: not */
    bool directory_lost;                     /* DAEMON_EXIT_DIRECTORY */
    bool removed;                            /* DAEMON_EXIT_REMOVED, once it has closed */
    bool closing;
    int64_t closing_us; /* since when */
    int handles_open;
};

/* Runs until SIGTERM or SIGINT; the process's exit code. */
int daemon_run(const struct node_config *config, const char *supervise_path);

/* daemon_log.c */
struct rnode_fsm daemon_fsm(struct daemon *d);
enum status daemon_admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity);
void daemon_on_leadership(void *ctx, const struct rnode_leadership *now);
void daemon_submit(struct daemon *d, const struct command *c, unsigned deadline_ms, daemon_submitted done, void *ctx);
/* For a person's command: tries again for a moment while no leader is known, or it is just handing over. */
void daemon_submit_patiently(struct daemon *d, const struct command *c, unsigned deadline_ms, daemon_submitted done,
                             void *ctx);
void daemon_retry_patient(struct daemon *d);
void daemon_drive(struct daemon *d);       /* proposes what core/leader wants now */
void daemon_leader_tick(struct daemon *d); /* after the network was read */
/* Hands leadership to another voter, whoever is best; false when there is nothing to hand over or nobody to take it. */
bool daemon_resign(struct daemon *d);
void daemon_flush_unsent(struct daemon *d);

/* daemon_members.c */
void daemon_follow_members(struct daemon *d); /* at the leader: one step towards the member list of the state */
size_t daemon_seats(void *ctx, struct api_seat *out, size_t capacity);
enum node_standing daemon_standing(void *ctx, node_id id);
void daemon_on_removed(void *ctx, node_id told_by);
/* The log was cut off from its cluster by a forced recovery, and does not say so yet: nothing else enters it before. */
bool daemon_recovery_due(const struct daemon *d);
void daemon_recover(struct daemon *d);

/* daemon_watch.c */
struct prober *daemon_prober_create(struct daemon *d);
void daemon_report(struct daemon *d); /* submits each opinion that the applied state does not show yet */
void daemon_beat(struct daemon *d);
/* The applied state is at least as new as this life of the process: its steps and leases may be acted on. */
bool daemon_acts(const struct daemon *d);
void daemon_on_message(void *ctx, node_id from, uint8_t type, const uint8_t *bytes, size_t length);
uint64_t daemon_primary_lsn(void *ctx, service_id service);

/* daemon_lease.c */
void daemon_lease_init(struct daemon *d);
void daemon_lease_follow(struct daemon *d); /* the configuration may have named or removed a service */
void daemon_lease_tick(struct daemon *d);
void daemon_lease_close(struct daemon *d, void (*closed)(void *ctx));

struct daemon_guard *daemon_guard_of(struct daemon *d, service_id service); /* NULL when this host has none */

/* daemon_promise.c */
void daemon_promise_init(struct daemon *d);
void daemon_promise_tick(struct daemon *d);               /* says in the log that promises are over */
bool daemon_promises_hold(void *ctx, service_id service); /* what this node has promised, or may have, still holds */
void daemon_promise_describe(void *ctx, service_id service, struct api_promises *out);
void daemon_promise_ask(void *ctx, node_id to, const struct promise_ask *ask);
void daemon_promise_receive(struct daemon *d, node_id from, uint8_t type, const uint8_t *bytes, size_t length);
void daemon_promise_note(struct daemon *d, service_id service); /* the guard was opened: by the log, or by promises */

/* daemon_notify.c */
void daemon_notify(const char *text); /* "READY=1", "STOPPING=1" */

/* daemon_tls.c: reads the certificates and begins to watch them and for SIGHUP. */
enum status daemon_tls_open(struct daemon *d, struct error *err);

/* daemon_setup.c */
void daemon_setup_beat(struct daemon *d);
void daemon_setup_close(struct daemon *d, void (*closed)(void *ctx));

static inline const char *daemon_name(const struct daemon *d)
{
    return d->config.node;
}

#endif
