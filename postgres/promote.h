/* Promotes a standby and waits until it accepts writes. The caller holds the right to do so (the PROMOTE entry is applied): nothing here
 * asks for it. On a server that is already a primary it succeeds, after setting what it was asked to set. */
#ifndef COORD_POSTGRES_PROMOTE_H
#define COORD_POSTGRES_PROMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "postgres/position.h"

struct promote_request {
    const char *conninfo;
    /* NULL: left as it is. "": asynchronous. Set before the promotion: an inherited name would hang the first write. */
    const char *synchronous_standby_names;
    uint32_t timeout_ms; /* of the whole; at its end the promotion may still complete: STATUS_UNKNOWN */
};

struct promote_result {
    bool already_primary; /* nothing was promoted by this call */
    struct server_state state;
    int64_t duration_us; /* from the promotion's request to the first answer of a primary */
};

/* `result` is NULL when err is set. */
typedef void (*promote_cb)(void *ctx, const struct promote_result *result, const struct error *err);

struct promote; /* frees itself after `done` */

/* Copies the request. Valid until `done` returns. Never NULL. */
struct promote *promote_begin(uv_loop_t *loop, const struct promote_request *request, promote_cb done, void *ctx);
void promote_cancel(struct promote *p);

#endif
