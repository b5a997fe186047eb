/* At the old site: every server that may have been opened in the old epoch is proven stopped, or its guard closed for that epoch.
 * A server with a guard is left running, read-only; one without is stopped, since nothing else ends its acknowledgements. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "exec/steps.h"
#include "fencing/fence_agent.h"
#include "postgres/position.h"

#define POSITION_MS_MAX 1000u

_Static_assert(FENCE_INSTANCES_MAX >= INSTANCES_MAX, "each instance of the lease has its proof");

struct fence_step {
    struct step_attempt *a;
    struct fence_agent *agent;
    struct position_query *position; /* NULL: not under way */
    bool ending;
};

static void on_agent_gone(void *ctx)
{
    struct fence_step *f = ctx;
    struct step_attempt *a = f->a;

    free(f);
    step_end(a);
}

static void end(struct fence_step *f)
{
    f->ending = true;
    fence_agent_destroy(f->agent, on_agent_gone, f);
}

/* "epoch 4: guard of instance 3f01... closed, instance 9c22... stopped" */
static void describe(struct step_attempt *a, const struct fence_result *r)
{
    char *out = a->result.detail;
    size_t capacity = sizeof a->result.detail;

    text_set(out, capacity, "epoch %" PRIu64 ":", a->old_epoch);
    for (unsigned i = 0; i < a->instance_count; i++) {
        bool closed = r->proofs[i] == FENCE_CONFIRMED_CLOSED;
        const char *more = i > 0 ? "," : "";

        if (a->instance_count <= 2)
            text_add(out, capacity,
                     closed ? "%s guard of instance %016" PRIx64 " closed" : "%s instance %016" PRIx64 " stopped", more,
                     a->instances[i]);
        else
            text_add(out, capacity, "%s %08" PRIx32 " %s", more, (uint32_t)(a->instances[i] >> 32),
                     closed ? "closed" : "stopped");
    }
    if (a->instance_count == 0 && r->stopped)
        text_add(out, capacity, " no server was opened in it; none runs");
    else if (a->instance_count == 0)
        text_add(out, capacity, " no server was opened in it; guard of instance %016" PRIx64 " closed", r->running);
}

/* Every write that was acknowledged was flushed before, so a standby that has received up to here lacks none of them. */
static void on_position(void *ctx, const struct server_state *state, const struct error *err)
{
    struct fence_step *f = ctx;
    struct position *p = &f->a->result.position;

    f->position = NULL;
    if (err == NULL && !state->in_recovery)
        *p = (struct position){ .known = true, .timeline = state->position.timeline, .lsn = state->position.lsn };
    end(f); /* without it the proof is as good; only nobody can wait for the standby to catch up */
}

static void on_fenced(void *ctx, const struct fence_result *result, const struct error *err)
{
    struct fence_step *f = ctx;
    struct step_attempt *a = f->a;

    if (err != NULL) {
        step_failed(a, "%s", err->text);
        end(f);
        return;
    }
    for (unsigned i = 0; i < a->instance_count && i < result->instance_count; i++)
        if (result->proofs[i] != FENCE_UNPROVEN)
            a->result.instances[a->result.instance_count++] = a->instances[i];
    if (a->result.instance_count < a->instance_count) {
        step_failed(a, "only %u of the %u servers of epoch %" PRIu64 " are proven stopped or closed",
                    a->result.instance_count, a->instance_count, a->old_epoch);
    } else {
        a->result.ok = true;
        describe(a, result);
        if (result->running != 0 && step_left_ms(a) > POSITION_MS_MAX) {
            f->position = position_begin(a->env->loop, a->local->conninfo, POSITION_MS_MAX, on_position, f);
            return; /* on_position continues */
        }
    }
    end(f);
}

static void begin(struct step_attempt *a)
{
    struct fence_agent_config config;
    struct fence_target target;
    struct fence_step *f;
    bool guarded;

    if (!step_has_local(a))
        return;
    guarded = a->local->guard_socket[0] != '\0';
    config = (struct fence_agent_config){ .data_dir = a->local->data_dir,
                                          .bin_dir = a->local->bin_dir,
                                          .guard_socket = a->local->guard_socket,
                                          .child = a->env->child };
    target = (struct fence_target){ .service = a->config.name,
                                    .epoch = a->old_epoch,
                                    .instance_count = a->instance_count,
                                    .stop = !guarded,
                                    .timeout_ms = step_left_ms(a) };
    memcpy(target.instances, a->instances, sizeof a->instances);
    f = step_memory(sizeof *f);
    f->a = a;
    f->agent = fence_agent_create(a->env->loop, &config);
    if (f->agent == NULL) {
        free(f);
        step_end_failed(a, "out of memory");
        return;
    }
    a->self = f;
    step_waits(a, "proof that the servers of %s opened in epoch %" PRIu64 " are stopped or closed", a->site_name,
               a->old_epoch);
    fence_agent_method.begin(f->agent, &target, on_fenced, f);
}

static void cancel(struct step_attempt *a)
{
    struct fence_step *f = a->self;

    if (f->position != NULL)
        position_cancel(f->position);
    else if (!f->ending)
        fence_agent_method.cancel(f->agent);
}

const struct step_method step_fence = { .begin = begin, .cancel = cancel };
