/* The looks of one probe that are in flight: what a method needs to close itself while some are. */
#ifndef COORD_PROBE_PROBE_LOOKS_H
#define COORD_PROBE_PROBE_LOOKS_H

#include <uv.h>

#include "probe/probe.h"

/* The first member of each method's look, which is one allocation. */
struct probe_look {
    struct probe_looks *looks;
    struct probe_look *next, *previous;
    probe_cb done;
    void *ctx;
};

/* The first member of each method's self, which is one allocation. */
struct probe_looks {
    uv_timer_t closer; /* never started: its closing is what makes `closed` come later */
    struct probe_look *first;
    void (*closed)(void *ctx); /* NULL until the probe is closed */
    void *closed_ctx;
};

void probe_looks_init(struct probe_looks *looks, uv_loop_t *loop);
void probe_looks_add(struct probe_looks *looks, struct probe_look *look, probe_cb done, void *ctx);

/* Takes the look out, tells its owner (`result` NULL: canceled), frees it, and goes on with a close that waited for it. */
void probe_looks_finish(struct probe_look *look, const struct probe_result *result);

/* Cancels what is in flight; when nothing is left, `closed` fires and `looks` is freed. */
void probe_looks_close(struct probe_looks *looks, void (*cancel)(struct probe_look *look), void (*closed)(void *ctx),
                       void *ctx);

#endif
