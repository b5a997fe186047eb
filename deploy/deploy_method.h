/* How an application is started (or changed) at a site after the promotion. Runs where the site's executor runs.
 * A method must tolerate a late duplicate: it is given the epoch and the operation to pass on. */
#ifndef DEPLOY_DEPLOY_METHOD_H
#define DEPLOY_DEPLOY_METHOD_H

#include <stdint.h>

#include "base/ids.h"
#include "base/status.h"

struct deploy_request {
    const char *service;
    const char *site;
    epoch_t epoch;
    operation_id operation;
    int64_t t0_us; /* clock_now_us() from which the deadline counts */
    uint32_t deadline_ms;
};

/* `err` is NULL for success. STATUS_FAILED: it ran and failed, with the exit code and the end of its output; STATUS_NOT_FOUND: it
 * cannot be executed; STATUS_TIMED_OUT, STATUS_CANCELED: its whole process group is dead. */
typedef void (*deploy_cb)(void *ctx, const struct error *err);

struct deploy_method {
    const char *name;
    /* One at a time for each `self`. `done` fires exactly once, later. Copies `request`. */
    void (*begin)(void *self, const struct deploy_request *request, deploy_cb done, void *ctx);
    /* `done` still fires, with STATUS_CANCELED. */
    void (*cancel)(void *self);
};

#endif
