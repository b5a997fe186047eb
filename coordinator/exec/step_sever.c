/* At a standby's site: the WAL receiver ends and stays off, and the frozen position is reported; and the way back.
 * When the old primary was proven closed while it lives, the standby first receives what was written there until then: at most half of the
 * attempt's time, since a primary that stopped sending is no reason to wait longer. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "exec/steps.h"
#include "io/clock.h"
#include "postgres/sever.h"

#define CATCH_UP_LOOK_MS 20

struct sever_step {
    struct step_attempt *a;
    struct sever *sever;            /* NULL: not under way */
    struct position_query *looking; /* NULL: likewise */
    uv_timer_t pause;
    bool cancelled;
    char refusal[DETAIL_MAX_BYTES]; /* why the server was not severed; an old primary's is none */
};

static void on_closed(uv_handle_t *handle)
{
    struct sever_step *v = handle->data;
    struct step_attempt *a = v->a;

    free(v);
    step_end(a);
}

static void end(struct sever_step *v)
{
    uv_close((uv_handle_t *)&v->pause, on_closed);
}

/* The most that is known of the old primary's WAL: what this node saw of it last, or where it was proven closed. */
static uint64_t primary_lsn(const struct step_attempt *a)
{
    uint64_t seen = a->env->last_primary_lsn != NULL ? a->env->last_primary_lsn(a->env->ctx, a->service) : 0;

    return seen > a->fenced_lsn ? seen : a->fenced_lsn;
}

static void take_position(struct step_attempt *a, const struct wal_position *frozen)
{
    uint64_t primary = primary_lsn(a);
    struct position *p = &a->result.position;

    p->known = true;
    p->timeline = frozen->timeline;
    p->lsn = frozen->lsn;
    p->gap_known = primary != 0;
    p->gap_bytes = primary > frozen->lsn ? primary - frozen->lsn : 0;
}

static void on_old_primary(void *ctx, const struct server_state *state, const struct error *err)
{
    struct sever_step *v = ctx;
    struct step_attempt *a = v->a;

    v->looking = NULL;
    if (err != NULL || state->in_recovery) {
        step_failed(a, "%s", err != NULL ? err->text : v->refusal);
        end(v);
        return;
    }
    take_position(a, &state->position);
    step_ok(a, "no standby: an old primary at %" PRIX32 "/%" PRIX32 " timeline %" PRIu32,
            (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline);
    end(v);
}

static void on_severed(void *ctx, const struct server_state *state, const struct error *err)
{
    struct sever_step *v = ctx;
    struct step_attempt *a = v->a;

    v->sever = NULL;
    if (err != NULL && err->status == STATUS_REFUSED && !v->cancelled) {
        text_set(v->refusal, sizeof v->refusal, "%s", err->text);
        v->looking = position_begin(a->env->loop, a->local->conninfo, step_left_ms(a), on_old_primary, v);
        return; /* it receives nothing: an old primary, promoted by force, has its position all the same */
    }
    if (err != NULL) {
        step_failed(a, "%s", err->text);
        end(v);
        return;
    }
    take_position(a, &state->position);
    if (a->result.position.gap_known)
        step_ok(a, "severed at %" PRIX32 "/%" PRIX32 " timeline %" PRIu32 ", gap %" PRIu64 " bytes",
                (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline,
                a->result.position.gap_bytes);
    else
        step_ok(a,
                "severed at %" PRIX32 "/%" PRIX32 " timeline %" PRIu32
                ", gap not known: this node has not seen the primary's position",
                (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline);
    end(v);
}

static void on_reconnected(void *ctx, const struct server_state *state, const struct error *err)
{
    struct sever_step *v = ctx;

    v->sever = NULL;
    if (err != NULL)
        step_failed(v->a, "%s", err->text);
    else
        step_ok(v->a, "the WAL receiver may run again, from %" PRIX32 "/%" PRIX32 " timeline %" PRIu32 "%s",
                (uint32_t)(state->position.lsn >> 32), (uint32_t)state->position.lsn, state->position.timeline,
                state->receiver_streaming ? ": it streams" : "");
    end(v);
}

static struct sever_request request_of(const struct step_attempt *a)
{
    return (struct sever_request){ .conninfo = a->local->conninfo,
                                   .saved_path = a->saved_path,
                                   .timeout_ms = step_left_ms(a) };
}

static void sever_now(struct sever_step *v)
{
    struct sever_request request = request_of(v->a);

    step_waits(v->a, "the WAL receiver of %s to end and its position to be read", v->a->site_name);
    v->sever = sever_begin(v->a->env->loop, &request, on_severed, v);
}

static void catch_up(struct sever_step *v);

static void on_pause(uv_timer_t *pause)
{
    struct sever_step *v = pause->data;

    if (v->cancelled) {
        step_failed(v->a, "canceled");
        end(v);
    } else {
        catch_up(v);
    }
}

static void on_look(void *ctx, const struct server_state *state, const struct error *err)
{
    struct sever_step *v = ctx;
    struct step_attempt *a = v->a;
    bool late = clock_now_us() - a->t0_us > (int64_t)a->deadline_ms * 500; /* half of it, in microseconds */

    v->looking = NULL;
    if (!v->cancelled && (err != NULL || late || !state->in_recovery || state->position.lsn >= a->fenced_lsn)) {
        sever_now(v); /* what is wrong with the server, sever says itself */
        return;
    }
    (void)uv_timer_start(&v->pause, on_pause, v->cancelled ? 0 : CATCH_UP_LOOK_MS, 0); /* fails only when closing */
}

static void catch_up(struct sever_step *v)
{
    step_waits(v->a, "%s to receive what the old primary wrote before it was closed", v->a->site_name);
    v->looking = position_begin(v->a->env->loop, v->a->local->conninfo, step_left_ms(v->a), on_look, v);
}

static struct sever_step *sever_step_create(struct step_attempt *a)
{
    struct sever_step *v = step_memory(sizeof *v);

    v->a = a;
    v->pause.data = v;
    (void)uv_timer_init(a->env->loop, &v->pause); /* never fails */
    a->self = v;
    return v;
}

static void sever_step_begin(struct step_attempt *a)
{
    struct sever_step *v;

    if (!step_has_local(a))
        return;
    v = sever_step_create(a);
    if (a->fenced_lsn != 0 && a->attempt == 1) /* a second attempt may have found it severed already */
        catch_up(v);
    else
        sever_now(v);
}

static void reconnect_step_begin(struct step_attempt *a)
{
    struct sever_request request;
    struct sever_step *v;

    if (!step_has_local(a))
        return;
    v = sever_step_create(a);
    request = request_of(a);
    step_waits(a, "PostgreSQL at %s to take its WAL receiver's settings back", a->site_name);
    v->sever = unsever_begin(a->env->loop, &request, on_reconnected, v);
}

static void cancel(struct step_attempt *a)
{
    struct sever_step *v = a->self;

    v->cancelled = true;
    if (v->sever != NULL)
        sever_cancel(v->sever);
    else if (v->looking != NULL)
        position_cancel(v->looking);
}

const struct step_method step_sever = { .begin = sever_step_begin, .cancel = cancel };
const struct step_method step_reconnect = { .begin = reconnect_step_begin, .cancel = cancel };
