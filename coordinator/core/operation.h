/* An operation: one failover or one promotion by hand, made of step runs. Decides the life of an operation and of a step run (total tables);
 * which step comes next is core/plan's business, when an operation may start core/gates'. */
#ifndef COORD_CORE_OPERATION_H
#define COORD_CORE_OPERATION_H

#include "base/ids.h"
#include "base/limits.h"
#include "core/certificate.h"
#include "core/rule.h"

#include <stdbool.h>
#include <stdint.h>

#define DETAIL_MAX_BYTES 160
#define WHO_MAX_BYTES 64
#define RUNS_MAX 16
_Static_assert(RUNS_MAX >= 2 * SITES_MAX + 1, "each candidate is severed or reconnected, and the other steps run once");

#define OPERATION_KIND_LIST(X)                                                                                         \
    X(OPERATION_FAILOVER, "failover") /* started by the leader on a verdict */                                         \
    X(OPERATION_PROMOTE, "promote")   /* started by a person: coordctl promote */
#define OPERATION_STATE_LIST(X)                                                                                        \
    X(OPERATION_NONE, "none")                                                                                          \
    X(OPERATION_PROPOSED, "proposed") /* mode propose: waits for coordctl approve; nothing was touched */              \
    X(OPERATION_RUNNING, "running")   /* before the point of no return: can be undone */                               \
    X(OPERATION_PROMOTED, "promoted") /* after it: can only be finished */                                             \
    X(OPERATION_UNDOING, "undoing")   /* aborted: what was severed is being reconnected */                             \
    X(OPERATION_DONE, "done")                                                                                          \
    X(OPERATION_ABORTED, "aborted")
#define OPERATION_EVENT_LIST(X)                                                                                        \
    X(OPERATION_EV_PROPOSE, "propose")                                                                                 \
    X(OPERATION_EV_START, "start") /* also the approval of a proposed one */                                           \
    X(OPERATION_EV_PROMOTE, "promote")                                                                                 \
    X(OPERATION_EV_ABORT, "abort")                                                                                     \
    X(OPERATION_EV_UNDONE, "undone")     /* nothing is left to reverse */                                              \
    X(OPERATION_EV_FINISHED, "finished") /* its last step ended well */
#define STEP_LIST(X)                                                                                                   \
    X(STEP_SEVER, "sever")           /* a candidate's WAL receiver ends and stays off; its position is read */         \
    X(STEP_FENCE, "fence")           /* the old site's executor proves every server of the epoch stopped or closed */  \
    X(STEP_PROMOTE, "promote")       /* pg_promote at the target, behind its closed guard */                           \
    X(STEP_CHECKPOINT, "checkpoint") /* makes the new timeline durable: a later pg_rewind needs it */                  \
    X(STEP_CANARY, "canary")         /* the first acknowledged write at the target */                                  \
    X(STEP_DNS, "dns")                                                                                                 \
    X(STEP_DEPLOY, "deploy")       /* the application is started at the target */                                      \
    X(STEP_VERIFY, "verify")       /* health of the application, DNS at every authority */                             \
    X(STEP_RECONNECT, "reconnect") /* undo of sever */
#define RUN_STATE_LIST(X)                                                                                              \
    X(RUN_PENDING, "pending")                                                                                          \
    X(RUN_ASSIGNED, "assigned")                                                                                        \
    X(RUN_DONE, "done")                                                                                                \
    X(RUN_SKIPPED, "skipped") /* by a person, or no longer needed */
#define RUN_EVENT_LIST(X)                                                                                              \
    X(RUN_EV_ASSIGN, "assign")                                                                                         \
    X(RUN_EV_OK, "ok")                                                                                                 \
    X(RUN_EV_FAILED, "failed")                                                                                         \
    X(RUN_EV_SKIP, "skip")
#define OPERATION_ENUM(name, word) name,
enum operation_kind { OPERATION_KIND_LIST(OPERATION_ENUM) OPERATION_KIND_COUNT };
enum operation_state { OPERATION_STATE_LIST(OPERATION_ENUM) OPERATION_STATE_COUNT };
enum operation_event { OPERATION_EVENT_LIST(OPERATION_ENUM) OPERATION_EVENT_COUNT };
enum step { STEP_LIST(OPERATION_ENUM) STEP_COUNT };
enum run_state { RUN_STATE_LIST(OPERATION_ENUM) RUN_STATE_COUNT };
enum run_event { RUN_EVENT_LIST(OPERATION_ENUM) RUN_EVENT_COUNT };
#undef OPERATION_ENUM

/* A standby's frozen position: timeline first, then max(received, replayed). */
struct position {
    bool known;
    uint32_t timeline;
    uint64_t lsn;
    bool gap_known;     /* the observer had seen the primary's position before */
    uint64_t gap_bytes; /* WAL that the primary was last seen to have and this standby lacks */
};

/* What a step brings back. */
struct step_result {
    bool ok;
    char detail[DETAIL_MAX_BYTES]; /* one line for a person */
    struct position position;      /* sever */
    uint8_t instance_count;        /* fence: the servers that are proven stopped or closed for the epoch */
    instance_id instances[INSTANCES_MAX];
};

struct step_run {
    enum step step;
    site_id site; /* where it acts */
    enum run_state state;
    uint32_t attempt; /* of the assignment that is or was open; 0: never assigned */
    node_id node;
    epoch_t epoch; /* the service's at assignment: goes with every outside effect */
    int64_t assigned_ms, ended_ms;
    int64_t retry_after_ms; /* patience only */
    char detail[DETAIL_MAX_BYTES];
    struct position position;
};

struct operation {
    operation_id id;
    enum operation_kind kind;
    enum operation_state state;
    service_id service;
    site_id from, to;
    epoch_t old_epoch, new_epoch;                            /* new_epoch is 0 before the point of no return */
    enum certificate_kind certificate;                       /* what PROMOTE rested on; valid when new_epoch is not 0 */
    int64_t detected_ms;                                     /* when the verdict that led here began */
    int64_t started_ms, certified_ms, promoted_ms, ended_ms; /* display times; 0: not yet */
    char who[WHO_MAX_BYTES];
    char reason[DETAIL_MAX_BYTES];
    uint32_t overrides; /* bit per gate that was overridden by hand */
    uint8_t run_count;
    struct step_run runs[RUNS_MAX];
};

const char *operation_kind_word(enum operation_kind kind);
const char *operation_state_word(enum operation_state state);
const char *operation_event_word(enum operation_event event);
const char *step_word(enum step step);
const char *run_state_word(enum run_state state);
const char *run_event_word(enum run_event event);
struct rule operation_rule(enum operation_state state, enum operation_event event);
struct rule run_rule(enum run_state state, enum run_event event);

static inline bool operation_active(const struct operation *op)
{
    return op->state == OPERATION_PROPOSED || op->state == OPERATION_RUNNING || op->state == OPERATION_PROMOTED ||
           op->state == OPERATION_UNDOING;
}
static inline bool run_ended(const struct step_run *run)
{
    return run->state == RUN_DONE || run->state == RUN_SKIPPED;
}

/* Moves by its table; NULL when it moved or stayed, else the reason of the refusal. */
const char *operation_move(struct operation *op, enum operation_event event);
const char *run_move(struct step_run *run, enum run_event event);

/* The run of `step` at `site` (SITE_NONE: at any), or NULL. */
const struct step_run *operation_run(const struct operation *op, enum step step, site_id site);
/* The site's executor stays what it is: a step is open there, or only its host knows what was done (a server severed, and how far it had come). */
bool operation_binds_executor(const struct operation *op, site_id site);
/* Adds a pending run; false when RUNS_MAX is reached. */
bool operation_add_run(struct operation *op, enum step step, site_id site);

#endif
