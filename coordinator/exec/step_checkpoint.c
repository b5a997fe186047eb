/* A checkpoint on the new timeline: without it a later pg_rewind of the old primary goes wrong silently. */
#include <inttypes.h>

#include "exec/steps.h"
#include "postgres/canary.h"

static void on_checkpoint(void *ctx, const struct canary_result *result, const struct error *err)
{
    struct step_attempt *a = ctx;

    a->self = NULL;
    if (err != NULL)
        step_end_failed(a, "%s", err->text);
    else
        step_end_ok(a, "checkpoint at %s in %" PRId64 " ms", a->site_name, result->rtt_us / 1000);
}

static void begin(struct step_attempt *a)
{
    struct canary_request request;

    if (!step_has_local(a))
        return;
    request = (struct canary_request){ .conninfo = a->local->conninfo, .timeout_ms = step_left_ms(a) };
    step_waits(a, "CHECKPOINT at %s", a->site_name);
    a->self = canary_checkpoint_begin(a->env->loop, &request, on_checkpoint, a);
}

static void cancel(struct step_attempt *a)
{
    canary_cancel(a->self);
}

const struct step_method step_checkpoint = { .begin = begin, .cancel = cancel };
