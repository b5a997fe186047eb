/* One look at one thing. Reports what it saw; whether that means "down" is core/opinion's business, when to look is the prober's.
 * Several looks of one probe may be in flight at once: a hanging look does not delay the next. */
#ifndef COORD_PROBE_PROBE_H
#define COORD_PROBE_PROBE_H

#include <stdint.h>

#include "base/status.h"

#define PROBE_DETAIL_MAX 120

enum probe_outcome {
    PROBE_OK,     /* it answered as a healthy one does */
    PROBE_FAILED, /* it did not, or not in time */
    PROBE_NEUTRAL /* nothing was learned about the target: our own fault or a look that does not apply now */
};

struct probe_result {
    enum probe_outcome outcome;
    int64_t rtt_us; /* until the answer, or until the look was given up */
    char detail
        [PROBE_DETAIL_MAX]; /* the evidence in words, one line: "200 in 3 ms", "connection refused by 192.0.2.1:80" */
};

struct probe_look; /* one look under way; frees itself after `done` */

/* `err` is NULL for every look that came to an outcome, PROBE_FAILED included; STATUS_CANCELED after a cancel, and then `result` is
 * NULL. `result` lives until the callback returns. */
typedef void (*probe_cb)(void *ctx, const struct probe_result *result, const struct error *err);

struct probe_method {
    const char *name; /* "tcp", "http", "postgres_read", ... */
    /* `done` fires exactly once, later, at the latest `timeout_ms` from now. Never NULL. */
    struct probe_look *(*begin)(void *self, uint32_t timeout_ms, probe_cb done, void *ctx);
    /* `done` still fires, with STATUS_CANCELED. The look is valid until `done` returns. */
    void (*cancel)(struct probe_look *look);
    /* Cancels the looks in flight, whose `done` fires first; then `closed` fires once, later, and `self` is gone. */
    void (*close)(void *self, void (*closed)(void *ctx), void *ctx);
};

/* What the constructors of the methods give: a plain value. */
struct probe {
    const struct probe_method *method;
    void *self;
};

#endif
