/* At a standby's site: the WAL receiver ends and stays off, and the frozen position is reported; and the way back. */
#include <inttypes.h>

#include "exec/steps.h"
#include "postgres/sever.h"

static void take_position(struct step_attempt *a, const struct wal_position *frozen)
{
    uint64_t primary_lsn = a->env->last_primary_lsn != NULL ? a->env->last_primary_lsn(a->env->ctx, a->service) : 0;
    struct position *p = &a->result.position;

    p->known = true;
    p->timeline = frozen->timeline;
    p->lsn = frozen->lsn;
    p->gap_known = primary_lsn != 0;
    p->gap_bytes = primary_lsn > frozen->lsn ? primary_lsn - frozen->lsn : 0;
}

static void on_severed(void *ctx, const struct server_state *state, const struct error *err)
{
    struct step_attempt *a = ctx;

    a->self = NULL;
    if (err != NULL) {
        step_end_failed(a, "%s", err->text);
        return;
    }
    take_position(a, &state->position);
    if (a->result.position.gap_known)
        step_end_ok(a, "severed at %" PRIX32 "/%" PRIX32 " timeline %" PRIu32 ", gap %" PRIu64 " bytes",
                    (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline,
                    a->result.position.gap_bytes);
    else
        step_end_ok(a,
                    "severed at %" PRIX32 "/%" PRIX32 " timeline %" PRIu32
                    ", gap not known: this node has not seen the primary's position",
                    (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline);
}

static void on_reconnected(void *ctx, const struct server_state *state, const struct error *err)
{
    struct step_attempt *a = ctx;

    a->self = NULL;
    if (err != NULL)
        step_end_failed(a, "%s", err->text);
    else
        step_end_ok(a, "the WAL receiver may run again, from %" PRIX32 "/%" PRIX32 " timeline %" PRIu32 "%s",
                    (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline,
                    state->receiver_streaming ? ": it streams" : "");
}

static struct sever_request request_of(const struct step_attempt *a)
{
    return (struct sever_request){ .conninfo = a->local->conninfo,
                                   .saved_path = a->saved_path,
                                   .timeout_ms = step_left_ms(a) };
}

static void sever_step_begin(struct step_attempt *a)
{
    struct sever_request request;

    if (!step_has_local(a))
        return;
    request = request_of(a);
    step_waits(a, "the WAL receiver of %s to end and its position to be read", a->site_name);
    a->self = sever_begin(a->env->loop, &request, on_severed, a);
}

static void reconnect_step_begin(struct step_attempt *a)
{
    struct sever_request request;

    if (!step_has_local(a))
        return;
    request = request_of(a);
    step_waits(a, "PostgreSQL at %s to take its WAL receiver's settings back", a->site_name);
    a->self = unsever_begin(a->env->loop, &request, on_reconnected, a);
}

static void cancel(struct step_attempt *a)
{
    sever_cancel(a->self);
}

const struct step_method step_sever = { .begin = sever_step_begin, .cancel = cancel };
const struct step_method step_reconnect = { .begin = reconnect_step_begin, .cancel = cancel };
