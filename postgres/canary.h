/* Our own small writes at a primary: the canary row, the schema it lives in, and the checkpoint after a promotion.
 * Decides nothing; an error carries what the server said. */
#ifndef COORD_POSTGRES_CANARY_H
#define COORD_POSTGRES_CANARY_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/ids.h"
#include "base/status.h"

struct canary_request {
    const char *conninfo;
    node_id node; /* the row's key: each node has its own */
    epoch_t epoch;
    bool
        wait_for_standby; /* synchronous_commit = on instead of local: acknowledged only with the standby's, where the server is synchronous */
    uint32_t timeout_ms;
};

struct canary_result {
    char sqlstate[6];  /* of a refusal; also set when err is */
    bool guard_closed; /* lease_guard refused it: not a dead database */
    int64_t rtt_us;    /* of the write alone */
};

/* err == NULL: acknowledged. `result` is never NULL. */
typedef void (*canary_cb)(void *ctx, const struct canary_result *result, const struct error *err);

struct canary; /* frees itself after `done` */

/* Each copies its request; the returned operation is valid until `done` returns and is never NULL. */

/* Writes one row, with a deadline of ours. STATUS_UNKNOWN or STATUS_TIMED_OUT: it may have been written. */
struct canary *canary_begin(uv_loop_t *loop, const struct canary_request *request, canary_cb done, void *ctx);

/* Makes schema coord and table coord.canary where they are missing (`node`, `epoch` are not used). Refused by a standby. */
struct canary *canary_setup_begin(uv_loop_t *loop, const struct canary_request *request, canary_cb done, void *ctx);

/* CHECKPOINT: after it the control file holds the new timeline, without which pg_rewind goes wrong silently. */
struct canary *canary_checkpoint_begin(uv_loop_t *loop, const struct canary_request *request, canary_cb done,
                                       void *ctx);

void canary_cancel(struct canary *c);

#endif
