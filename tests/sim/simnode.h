/* One simulated coordinator: what coordinator/daemon*.c wires on a uv loop, wired on simulated time, network and disk. */
#ifndef COORD_SIM_SIMNODE_H
#define COORD_SIM_SIMNODE_H

#include "core/leader.h"
#include "holder/holder.h"
#include "holder/promise.h"
#include "raft/forward.h"
#include "raft/rnode.h"
#include "tests/sim/world.h"

enum simnode_message { MESSAGE_BEAT = MESSAGE_APPLICATION, MESSAGE_PROMISE_ASK, MESSAGE_PROMISE_ANSWER };

#define LOOKS_IN_FLIGHT 8 /* of one node at one server */

struct look_slot { /* one look under way */
    uint64_t number;
    bool open;
    epoch_t epoch;
    uint64_t looked_index;
    bool canary;
};

struct watch { /* one node's looks at one server */
    struct simnode *node;
    service_id service;
    site_id site;
    struct observer observer;
    struct look_slot slots[LOOKS_IN_FLIGHT];
    uint64_t next_number;
    site_id primary; /* as of the last look */
    bool reporting;
    int64_t canary_written_ms; /* at the primary; kept in the watch of the primary's site */
};

struct attempt { /* one step under way at this node */
    service_id service;
    bool open;
    bool ended;
    bool submitting;
    operation_id operation;
    uint8_t run;
    uint32_t attempt;
    enum step step;
    site_id site;
    epoch_t epoch;
    epoch_t old_epoch;
    epoch_t new_epoch;
    int64_t deadline_us;
    struct step_result result;
    uint64_t number;   /* answers to an earlier one are not ours */
    instance_id asked; /* the server's life that was asked; its end breaks the connection; 0: not asked */
};

struct simnode {
    struct world *world;
    unsigned number;
    node_id id;
    site_id site;
    unsigned host;
    bool has_servers; /* on the same host: one of each service */
    bool up;
    bool starting;      /* NODE_STARTED is on its way */
    uint64_t acts_from; /* its index; 0: not known yet */
    bool fatal;
    bool wiped; /* its data directory is gone: it does not start any more */
    int64_t wall_jump_ms;
    struct sim_process process;
    struct sim_clock clock;
    struct disk disk;
    struct arena arena;

    /* one life */
    struct raft_io *io;
    struct rnode *rnode;
    struct forward *forward;
    struct message_link link;
    struct state *state;
    struct state *spare;
    struct leader leader;
    struct holder holder;
    struct watch *watches;    /* by service and site */
    struct attempt *attempts; /* by service and run */
    struct promises promises;
    bool ending_promises[SERVICES_MAX]; /* a PROMISES_ENDED is on its way */
    uint64_t next_attempt;
    int64_t leader_known_us;
    uint64_t contact_term;
    bool warm;
    int64_t transferred_us;
    bool initialising;
    bool wake_due;
};

struct simnode *simnode_create(struct world *w, unsigned number, site_id site, unsigned host);
void simnode_destroy(struct simnode *n);
/* A wiped one does not start: an empty directory is no member's. */
void simnode_start(struct simnode *n);
/* Its data directory is lost with it. */
void simnode_wipe(struct simnode *n);
void simnode_crash(struct simnode *n);
void simnode_pause(struct simnode *n);
void simnode_resume(struct simnode *n);
/* The server of the service on the same host; NULL when there is none. */
struct server *simnode_server(const struct simnode *n, service_id service);
int64_t simnode_now_us(const struct simnode *n);
int64_t simnode_wall_ms(const struct simnode *n);
bool simnode_leads(const struct simnode *n);

typedef void (*simnode_submitted)(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome);
/* `done` fires once, later, unless the node crashes first; `ctx` must then need no freeing. */
void simnode_submit(struct simnode *n, const struct command *c, unsigned deadline_ms, simnode_submitted done,
                    void *ctx);
/* Something changed: look at everything at the next opportunity. */
void simnode_wake(struct simnode *n);
void simnode_drive(struct simnode *n);
void simnode_send(struct simnode *n, node_id to, uint8_t type, const uint8_t *bytes, size_t length);
void simnode_set_name(const struct simnode *n, struct command *c);

/* simnode_log.c */
int64_t simnode_stamp_ms(struct simnode *n);
struct rnode_fsm simnode_fsm(struct simnode *n);
void simnode_on_leadership(void *ctx, const struct rnode_leadership *now);
void simnode_leader_tick(struct simnode *n);

/* simnode_watch.c */
struct watch *simnode_watch(struct simnode *n, service_id service, site_id site);
void simnode_watch_start(struct simnode *n);
void simnode_report(struct simnode *n);
bool simnode_acts(const struct simnode *n);

/* simnode_lease.c */
void simnode_lease_start(struct simnode *n);
void simnode_lease_tick(struct simnode *n);

/* simnode_promise.c */
void simnode_promise_ask(void *ctx, node_id to, const struct promise_ask *ask);
void simnode_promise_receive(struct simnode *n, node_id from, uint8_t type, const uint8_t *bytes, size_t length);
void simnode_promise_start(struct simnode *n);
void simnode_promise_tick(struct simnode *n);

/* simnode_steps.c */
void simnode_steps_start(struct simnode *n);
void simnode_steps_on_state(struct simnode *n);

#endif
