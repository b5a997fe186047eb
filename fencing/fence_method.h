/* How an old primary is proven unable to acknowledge a write: one vtable, one file per method. A method gives proofs and never assumes:
 * what it could not prove is an error that names it and the command that ends the wait. Whether a proof suffices is core/certificate's. */
#ifndef COORD_FENCING_FENCE_METHOD_H
#define COORD_FENCING_FENCE_METHOD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/status.h"

#define FENCE_INSTANCES_MAX                                                                                            \
    8 /* server instances opened under one epoch; a server that restarts more often than that is stopped */

struct fence_target {
    const char *service;                        /* for people */
    epoch_t epoch;                              /* writes of this epoch and of every older one must end */
    instance_id instances[FENCE_INSTANCES_MAX]; /* each that was opened in this epoch */
    uint32_t instance_count;
    bool stop; /* end the server too: tombstone first, then an immediate stop */
    uint32_t timeout_ms;
};

enum fence_proof {
    FENCE_UNPROVEN,
    FENCE_CONFIRMED_STOPPED, /* no process of that instance exists */
    FENCE_CONFIRMED_CLOSED   /* it runs, and its guard refuses the epoch until the instance ends */
};

/* Why the data directory cannot come up read-write; both may hold. */
#define FENCE_GUARD_PRELOADED 1u
#define FENCE_TOMBSTONE 2u

struct fence_result {
    enum fence_proof proofs[FENCE_INSTANCES_MAX]; /* in the target's order */
    uint32_t instance_count;
    uint32_t protected_by; /* FENCE_GUARD_PRELOADED | FENCE_TOMBSTONE */
    bool stopped;          /* no process of the server exists */
    instance_id running;   /* the instance whose guard is closed; 0 when stopped */
};

/* err == NULL: every instance of the target is proven and protected_by is not 0. `result` is never NULL: with an error it holds what
 * was proven until then. */
typedef void (*fence_cb)(void *ctx, const struct fence_result *result, const struct error *err);
typedef void (*fence_check_cb)(void *ctx, const struct error *err);

struct fence_method {
    const char *name;
    /* Borrows `target` until it returns. `done` fires exactly once, later. Fencing a fenced site succeeds. One at a time. */
    void (*begin)(void *self, const struct fence_target *target, fence_cb done, void *ctx);
    void (*cancel)(void *self); /* `done` still fires, with STATUS_CANCELED; what was closed stays closed */
    /* Would begin be able to prove anything? For `doctor` and for arming; changes nothing. Not beside begin. */
    void (*check)(void *self, uint32_t timeout_ms, fence_check_cb done, void *ctx);
};

#endif
