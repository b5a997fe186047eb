/* Happy path: a look joins the queue of a line (one connection) → the line connects when it must → the query goes out for every look that
 * waits → the answer ends them all. A look that came after the query went out waits for the next one, so an answer never tells of a time
 * before its look.
 *
 * The first look in the queue has the earliest deadline, and each connect or query gets what is left of it. When that passes, the
 * look has failed, the connection is given up, and the others go on over a new one. */
#include "probe/probe_postgres.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"
#include "io/pg.h"
#include "probe/postgres_answer.h"
#include "probe/probe_looks.h"

#define TIMER_STEP_MS 2
#define PLAIN_READS 8 /* reads without the canary table before it is looked for again */

struct line;

/* What a look's owner is given; the view behind it is found through probe_postgres_view. */
struct postgres_result {
    struct probe_result result; /* first */
    struct postgres_view view;
};

struct postgres_probe_look {
    struct probe_look look; /* first: freed as this */
    struct line *line;
    struct postgres_probe_look *after; /* the next in the line's queue */
    int64_t begun_us;
    uint32_t timeout_ms;
    bool asked; /* the query under way is its own */
    bool canceled;
};

/* One connection and the looks that wait for it. A persistent look's line lives as long as the probe, a fresh look's as long as the look. */
struct line {
    struct probe_postgres *probe;
    struct pg *pg;
    struct postgres_probe_look *queue;
    bool reused; /* the query under way is on a connection from before */
    bool plain;  /* and reads no canary */
    bool ending; /* owners are being told: what they begin waits for the step that follows */
    int64_t sent_us;
    epoch_t epoch;
    char options[96];
};

struct probe_postgres {
    struct probe_looks looks; /* first: freed as this */
    uv_loop_t *loop;
    enum postgres_look kind;
    node_id node;
    epoch_t epoch;
    char *conninfo;
    struct line *persistent; /* NULL for fresh looks */
    uint32_t lines_open;
    uint32_t plain_reads; /* how many more go without the canary table */
    void (*closed)(void *ctx);
    void *closed_ctx;
    bool closing;
};

static void line_step(struct line *line);
static void postgres_cancel(struct probe_look *look);

static struct line *line_create(struct probe_postgres *p)
{
    struct line *line = calloc(1, sizeof *line);

    ASSERT(line != NULL);
    line->probe = p;
    line->pg = pg_create(p->loop);
    ASSERT(line->pg != NULL);
    p->lines_open++;
    return line;
}

static void on_probe_closed(void *ctx)
{
    struct probe_postgres *p = ctx;

    free(p->conninfo);
    p->closed(p->closed_ctx);
}

static void on_line_closed(void *ctx)
{
    struct line *line = ctx;
    struct probe_postgres *p = line->probe;

    free(line);
    p->lines_open--;
    if (p->closing && p->lines_open == 0)
        probe_looks_close(&p->looks, postgres_cancel, on_probe_closed, p);
}

static void line_destroy(struct line *line)
{
    pg_destroy(line->pg, on_line_closed, line);
}

/* A line without looks: a fresh one ends, and so do all when the probe is closed. */
static void line_idle(struct line *line)
{
    struct probe_postgres *p = line->probe;

    if (line == p->persistent && !p->closing)
        return;
    if (line == p->persistent)
        p->persistent = NULL;
    line_destroy(line);
}

static uint32_t left_ms(const struct line *line)
{
    return (uint32_t)clock_left_ms(line->queue->begun_us, line->queue->timeout_ms);
}

/* Takes the look out of the queue and tells its owner, who may begin another one. */
static void look_end(struct postgres_probe_look *look, struct postgres_result *r)
{
    struct line *line = look->line;
    struct postgres_probe_look **place = &line->queue;

    while (*place != look)
        place = &(*place)->after;
    *place = look->after;
    if (look->canceled) {
        probe_looks_finish(&look->look, NULL);
        return;
    }
    r->result.rtt_us = clock_now_us() - look->begun_us;
    probe_looks_finish(&look->look, &r->result);
}

/* libuv's timers count whole milliseconds and may be early by one. */
static bool is_expired(const struct postgres_probe_look *look)
{
    return clock_left_ms(look->begun_us, look->timeout_ms) <= TIMER_STEP_MS;
}

/* The first in the queue that `which` names, or NULL. The queue is read anew each time: telling an owner may change it. */
enum which { ASKED, CANCELED, EXPIRED, ANY };

static struct postgres_probe_look *look_find(const struct line *line, enum which which)
{
    struct postgres_probe_look *look = line->queue;

    for (; look != NULL; look = look->after)
        if (which == ANY || look->canceled || (which == ASKED && look->asked) || (which == EXPIRED && is_expired(look)))
            return look;
    return NULL;
}

static void looks_end(struct line *line, enum which which, struct postgres_result *r)
{
    struct postgres_probe_look *look;

    line->ending = true;
    while ((look = look_find(line, which)) != NULL)
        look_end(look, r);
    line->ending = false;
}

/* The connection or the query failed. */
static void line_failed(struct line *line, const char *sqlstate, const struct error *err)
{
    struct postgres_result r = { .result.outcome = PROBE_FAILED };
    bool lost = err->status == STATUS_UNKNOWN || err->status == STATUS_UNREACHABLE;

    r.view.started_us = line->sent_us;
    r.view.epoch = line->epoch;
    (void)text_copy(r.result.detail, sizeof r.result.detail, err->text);
    if (err->status == STATUS_CANCELED) {
        looks_end(line, CANCELED, &r);
    } else if (err->status == STATUS_TIMED_OUT) {
        looks_end(line, EXPIRED, &r);
    } else if (line->reused && lost) {
        line->reused = false; /* it broke at some time in the past: a new connection tells how it is now */
    } else {
        r.result.outcome = postgres_answer_error(err, sqlstate, &r.view);
        looks_end(line, pg_is_open(line->pg) ? ASKED : ANY, &r);
    }
    line_step(line);
}

static void on_answer(void *ctx, const struct pg_result *result, const struct error *err)
{
    struct line *line = ctx;
    struct probe_postgres *p = line->probe;
    struct postgres_result r = { .result.outcome = PROBE_OK };

    r.view.started_us = line->sent_us;
    r.view.epoch = line->epoch;
    if (err != NULL && p->kind != POSTGRES_CANARY && !line->plain && postgres_answer_no_canary(result->sqlstate)) {
        p->plain_reads = PLAIN_READS;
        line_step(line);
        return; /* the same looks ask again, without it */
    }
    if (err != NULL) {
        line_failed(line, result->sqlstate, err);
        return;
    }
    if (p->kind != POSTGRES_CANARY && !postgres_answer_read(result, !line->plain, &r.view)) {
        r.result.outcome = PROBE_FAILED;
        (void)snprintf(r.result.detail, sizeof r.result.detail, "the answer is not PostgreSQL's");
    } else if (p->kind == POSTGRES_CANARY) {
        (void)snprintf(r.result.detail, sizeof r.result.detail, "canary acknowledged in %" PRId64 " ms, epoch %" PRIu64,
                       (clock_now_us() - line->sent_us) / 1000, line->epoch);
    } else {
        (void)snprintf(r.result.detail, sizeof r.result.detail, "%s answered in %" PRId64 " ms",
                       r.view.in_recovery == 1 ? "standby" : "primary", (clock_now_us() - line->sent_us) / 1000);
    }
    line->reused = true; /* from here on the connection is one from before */
    looks_end(line, ASKED, &r);
    line_step(line);
}

static void ask(struct line *line)
{
    struct probe_postgres *p = line->probe;
    char node[24];
    char epoch[24];
    char written[24];
    const char *params[3] = { node, epoch, written };
    bool canary = p->kind == POSTGRES_CANARY;

    (void)snprintf(node, sizeof node, "%" PRIu64, p->node);
    (void)snprintf(epoch, sizeof epoch, "%" PRIu64, p->epoch);
    (void)snprintf(written, sizeof written, "%" PRId64, clock_wall_ms());
    for (struct postgres_probe_look *look = line->queue; look != NULL; look = look->after)
        look->asked = true;
    line->epoch = p->epoch;
    line->plain = !canary && p->plain_reads > 0;
    if (line->plain)
        p->plain_reads--;
    line->sent_us = clock_now_us();
    pg_query_begin(line->pg,
                   canary        ? postgres_canary_sql
                   : line->plain ? postgres_read_plain_sql
                                 : postgres_read_sql,
                   params, canary ? 3 : 1, left_ms(line), on_answer, line);
}

static void on_connected(void *ctx, const char *sqlstate, const struct error *err)
{
    struct line *line = ctx;

    if (err != NULL)
        line_failed(line, sqlstate, err);
    else
        line_step(line);
}

/* A statement of ours that hangs ends at the server too, where it would hold a connection and, for the canary, the row. */
static void connect_begin(struct line *line)
{
    struct probe_postgres *p = line->probe;
    uint32_t timeout_ms = line->queue->timeout_ms;

    (void)snprintf(line->options, sizeof line->options, "-c statement_timeout=%" PRIu32 "%s", timeout_ms,
                   p->kind == POSTGRES_CANARY ? " -c synchronous_commit=local" : "");
    line->reused = false;
    pg_connect_begin(line->pg, p->conninfo, line->options, left_ms(line), on_connected, line);
}

static void line_step(struct line *line)
{
    if (line->queue == NULL) {
        line_idle(line);
        return;
    }
    if (line->queue->canceled || is_expired(line->queue)) {
        struct postgres_result r = { .result.outcome = PROBE_FAILED };

        (void)snprintf(r.result.detail, sizeof r.result.detail, "no answer in time");
        looks_end(line, EXPIRED, &r);
        line_step(line);
    } else if (pg_is_open(line->pg)) {
        ask(line);
    } else {
        connect_begin(line);
    }
}

static struct probe_look *postgres_begin(void *self, uint32_t timeout_ms, probe_cb done, void *ctx)
{
    struct probe_postgres *p = self;
    struct postgres_probe_look *look = calloc(1, sizeof *look);
    struct postgres_probe_look **place;

    ASSERT(look != NULL);
    ASSERT(!p->closing && timeout_ms > TIMER_STEP_MS);
    look->begun_us = clock_now_us();
    look->timeout_ms = timeout_ms;
    look->line = p->kind == POSTGRES_FRESH ? line_create(p) : p->persistent;
    probe_looks_add(&p->looks, &look->look, done, ctx);
    for (place = &look->line->queue; *place != NULL; place = &(*place)->after)
        ;
    *place = look;
    if (!pg_is_busy(look->line->pg) && !look->line->ending)
        line_step(look->line);
    return &look->look;
}

static void postgres_cancel(struct probe_look *look)
{
    struct postgres_probe_look *l = (struct postgres_probe_look *)look;

    l->canceled = true;
    pg_cancel(l->line->pg); /* its end tells; looks that wait with this one go on over a new connection */
}

static void postgres_close(void *self, void (*closed)(void *ctx), void *ctx)
{
    struct probe_postgres *p = self;

    ASSERT(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    for (struct probe_look *look = p->looks.first; look != NULL; look = look->next)
        postgres_cancel(look);
    if (p->persistent != NULL && p->persistent->queue == NULL && !p->persistent->ending)
        line_idle(p->persistent);
    else if (p->lines_open == 0)
        probe_looks_close(&p->looks, postgres_cancel, on_probe_closed, p);
}

static const struct probe_method probe_postgres_methods[] = {
    [POSTGRES_READ] = { .name = "postgres_read",
                        .begin = postgres_begin,
                        .cancel = postgres_cancel,
                        .close = postgres_close },
    [POSTGRES_FRESH] = { .name = "postgres_fresh",
                         .begin = postgres_begin,
                         .cancel = postgres_cancel,
                         .close = postgres_close },
    [POSTGRES_CANARY] = { .name = "postgres_canary",
                          .begin = postgres_begin,
                          .cancel = postgres_cancel,
                          .close = postgres_close },
};

struct probe probe_postgres_create(uv_loop_t *loop, const struct probe_postgres_config *config)
{
    struct probe_postgres *p = calloc(1, sizeof *p);

    ASSERT(p != NULL);
    probe_looks_init(&p->looks, loop);
    p->loop = loop;
    p->kind = config->look;
    p->node = config->node;
    p->conninfo = strdup(config->conninfo);
    ASSERT(p->conninfo != NULL);
    if (p->kind != POSTGRES_FRESH)
        p->persistent = line_create(p);
    return (struct probe){ .method = &probe_postgres_methods[p->kind], .self = p };
}

void probe_postgres_set_epoch(struct probe probe, epoch_t epoch)
{
    struct probe_postgres *p = probe.self;

    p->epoch = epoch;
}

const struct postgres_view *probe_postgres_view(const struct probe_result *result)
{
    return &((const struct postgres_result *)result)->view;
}
