/* The first acknowledged write at the target, under the new epoch. The guard opens with the holder's first renewal, which may still be on
 * its way: the write is repeated until it is acknowledged. The table is made where it is missing. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "exec/steps.h"
#include "io/clock.h"
#include "postgres/canary.h"

#define PAUSE_MS 20
#define WRITE_TIMEOUT_MS                                                                                               \
    2000 /* of one try: a hung one must not use up the attempt, whose own deadline ends the last one */

struct canary_step {
    struct step_attempt *a;
    struct canary *canary; /* NULL: a pause is under way, or it ends */
    struct step_pause pause;
    uint32_t try_count;
    bool cancelled;
};

static void write_again(struct step_attempt *a);

static void on_closed(struct step_attempt *a)
{
    free(a->self);
    step_end(a);
}

static void end(struct canary_step *c)
{
    step_pause_close(&c->pause, on_closed);
}

static struct canary_request request_of(const struct step_attempt *a)
{
    return (struct canary_request){
        .conninfo = a->local->conninfo, .node = a->env->self, .epoch = a->epoch, .timeout_ms = WRITE_TIMEOUT_MS
    };
}

/* Cancelled while it could still be retried: nothing more to say than what it waited for. */
static void again_or_end(struct canary_step *c)
{
    if (c->cancelled) {
        step_failed(c->a, "canceled");
        end(c);
    } else {
        step_pause_begin(&c->pause, PAUSE_MS, write_again);
    }
}

/* What the next try waits for. */
static void note(struct canary_step *c, const char *what, const struct canary_result *result, const struct error *err)
{
    struct step_attempt *a = c->a;

    if (result->guard_closed)
        step_waits(a, "lease_guard of %s to be opened for epoch %" PRIu64 " by the holder's first renewal",
                   a->site_name, a->epoch);
    else if (err != NULL && !c->cancelled)
        step_waits(a, "%s at %s: %.90s", what, a->site_name, err->text);
}

static void on_setup(void *ctx, const struct canary_result *result, const struct error *err)
{
    struct canary_step *c = ctx;

    c->canary = NULL;
    note(c, "table coord.canary", result, err);
    again_or_end(c);
}

static void on_write(void *ctx, const struct canary_result *result, const struct error *err)
{
    struct canary_step *c = ctx;
    struct step_attempt *a = c->a;
    /* undefined_table, invalid_schema_name */
    bool no_table = strcmp(result->sqlstate, "42P01") == 0 || strcmp(result->sqlstate, "3F000") == 0;

    c->canary = NULL;
    if (err == NULL) {
        step_ok(a,
                "acknowledged at %s in %" PRId64 " ms under epoch %" PRIu64 ", after %" PRId64 " ms and %" PRIu32 " %s",
                a->site_name, result->rtt_us / 1000, a->epoch, (clock_now_us() - a->t0_us) / 1000, c->try_count,
                c->try_count == 1 ? "try" : "tries");
        end(c);
        return;
    }
    if (no_table && !c->cancelled) {
        struct canary_request request = request_of(a);

        c->canary = canary_setup_begin(a->env->loop, &request, on_setup, c);
        return; /* on_setup continues */
    }
    note(c, "an acknowledged write", result, err);
    again_or_end(c);
}

static void write_again(struct step_attempt *a)
{
    struct canary_step *c = a->self;
    struct canary_request request = request_of(a);

    c->try_count++;
    c->canary = canary_begin(a->env->loop, &request, on_write, c);
}

static void begin(struct step_attempt *a)
{
    struct canary_step *c;

    if (!step_has_local(a))
        return;
    c = step_memory(sizeof *c);
    c->a = a;
    a->self = c;
    step_pause_init(&c->pause, a);
    step_waits(a, "an acknowledged write at %s", a->site_name);
    write_again(a);
}

static void cancel(struct step_attempt *a)
{
    struct canary_step *c = a->self;

    c->cancelled = true;
    if (c->canary != NULL)
        canary_cancel(c->canary); /* its callback ends */
    else if (step_pause_stop(&c->pause))
        again_or_end(c);
}

const struct step_method step_canary = { .begin = begin, .cancel = cancel };
