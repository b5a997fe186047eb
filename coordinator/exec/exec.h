/* Runs the steps that the applied state assigns to this node, through the adapters, and reports how each ended.
 * Decides nothing about an operation: which step runs where and when is core/plan's, what a result means is core/fsm's.
 *
 * Happy path: exec_on_state() finds a run that is assigned to this node with an attempt that is not under way, begins its step, and when
 * the step ends submits COMMAND_STEP_RESULT until the applied state no longer shows that attempt assigned.
 * When it fails: a step past its deadline is cancelled and reported as failed, with what it waited for; an attempt that the state no longer
 * shows (superseded, aborted, reassigned) is cancelled at once and not reported; after a restart an assigned attempt begins anew, since
 * every step is idempotent. A new attempt of a run waits until the cancelled one has ended. */
#ifndef COORD_EXEC_EXEC_H
#define COORD_EXEC_EXEC_H

#include "core/command.h"
#include "exec/step.h"

/* `status` is what forward_submit's callback has: OK: applied, `outcome` says how (borrowed); else `outcome` is NULL: it may (UNKNOWN) or
 * may not be in the log. Both are alike here: a result is idempotent. */
typedef void (*exec_submitted_cb)(void *ctx, enum status status, const struct outcome *outcome);

struct exec_config {
    uv_loop_t *loop; /* borrowed until closed, like the two below */
    struct resolver *resolver;
    struct http_client *http;
    struct child_config child; /* copied */
    node_id self;
    const char *state_dir;           /* of this node: what severed standbys had configured is saved here */
    const struct exec_local *locals; /* copied */
    unsigned local_count;
    const struct step_table *steps; /* NULL: the real ones, step_table_real; tests put their own */

    void *ctx;                               /* of the callbacks below */
    const struct state *(*state)(void *ctx); /* as applied now */
    /* Borrows `command` (static, large) until it returns. `done` fires exactly once; it may fire before submit returns. */
    void (*submit)(void *ctx, const struct command *command, exec_submitted_cb done, void *done_ctx);
    /* What this node has promised the old primary's node, or may have promised before it started, still holds (holder/promise.h). NULL: never. */
    bool (*promises_hold)(void *ctx, service_id service);
    /* The last WAL position that this node's prober saw at the service's primary; 0: not known. */
    uint64_t (*last_primary_lsn)(void *ctx, service_id service);
};

struct exec; /* opaque */

/* Copies `config`. NULL and `err` without memory, or INVALID. */
struct exec *exec_create(const struct exec_config *config, struct error *err);

/* The applied state changed (an entry or a snapshot). Cheap when nothing here is concerned. */
void exec_on_state(struct exec *e);

/* How many attempts are under way or not yet reported. */
unsigned exec_busy(const struct exec *e);

/* Cancels what is under way; nothing is submitted any more. `closed` (may be NULL) fires once, later, when every step has ended and every
 * submission's `done` has come: the owner ends those of its forward after this call. */
void exec_close(struct exec *e, void (*closed)(void *ctx), void *ctx);

#endif
