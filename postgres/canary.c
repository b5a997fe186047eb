#include "postgres/canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"
#include "postgres/session.h"

#define GUARD_SQLSTATE "LG001" /* lease_guard's refusal of a commit */

enum canary_kind { WRITE, SETUP, CHECKPOINT };

/* What the next step begins with; the answer to the one before it is in. */
enum canary_phase { FIRST, SECOND, THIRD, LAST };

struct canary {
    struct session session;
    enum canary_kind kind;
    enum canary_phase phase;
    node_id node;
    epoch_t epoch;
    bool wait_for_standby;
    int64_t sent_us;
    struct canary_result result;
    canary_cb done;
    void *ctx;
};

static void on_closed(void *operation)
{
    struct canary *c = operation;

    (void)text_copy(c->result.sqlstate, sizeof c->result.sqlstate, c->session.sqlstate);
    c->result.guard_closed = strcmp(c->result.sqlstate, GUARD_SQLSTATE) == 0;
    c->done(c->ctx, &c->result, error_or_null(&c->session.err));
    free(c);
}

static void write_begin(struct canary *c)
{
    char node[24];
    char epoch[24];
    char written[24];
    const char *params[3] = { node, epoch, written };

    (void)snprintf(node, sizeof node, "%" PRIu64, c->node);
    (void)snprintf(epoch, sizeof epoch, "%" PRIu64, c->epoch);
    (void)snprintf(written, sizeof written, "%" PRId64, clock_wall_ms());
    c->sent_us = clock_now_us();
    session_query(&c->session,
                  "INSERT INTO coord.canary (node, epoch, written_at)"
                  " VALUES ($1::bigint, $2::bigint, to_timestamp($3::bigint / 1000.0))"
                  " ON CONFLICT (node) DO UPDATE SET epoch = EXCLUDED.epoch, written_at = EXCLUDED.written_at",
                  params, 3);
}

static void step_write(struct canary *c)
{
    if (c->phase == FIRST) {
        c->phase = LAST;
        write_begin(c);
        return; /* the answer continues */
    }
    c->result.rtt_us = clock_now_us() - c->sent_us;
    /* A canceled wait for the standby is reported as success, with a warning. */
    if (c->wait_for_standby && c->session.result != NULL && c->session.result->warned)
        (void)error_set(&c->session.err, STATUS_UNKNOWN, "committed here, but the wait for the standby was canceled");
    session_close(&c->session, on_closed);
}

static void step_setup(struct canary *c)
{
    struct session *s = &c->session;

    switch (c->phase) {
    case FIRST:
        c->phase = SECOND;
        session_query(s, "SELECT to_regclass('coord.canary') IS NOT NULL", NULL, 0);
        return;
    case SECOND:
        if (session_flag(s, 0, 0)) {
            session_close(s, on_closed);
            return; /* there already */
        }
        c->phase = THIRD;
        session_query(s, "CREATE SCHEMA IF NOT EXISTS coord", NULL, 0);
        return;
    case THIRD:
        c->phase = LAST;
        session_query(s,
                      "CREATE TABLE IF NOT EXISTS coord.canary (node bigint PRIMARY KEY, epoch bigint NOT NULL,"
                      " written_at timestamptz NOT NULL) WITH (fillfactor = 10)",
                      NULL, 0);
        return;
    case LAST:
        session_close(s, on_closed);
        return;
    }
}

static void step_checkpoint(struct canary *c)
{
    if (c->phase == FIRST) {
        c->phase = LAST;
        c->sent_us = clock_now_us();
        session_query(&c->session, "CHECKPOINT", NULL, 0);
        return; /* the answer continues */
    }
    c->result.rtt_us = clock_now_us() - c->sent_us;
    session_close(&c->session, on_closed);
}

static void canary_step(void *operation)
{
    struct canary *c = operation;

    if (c->session.err.status != STATUS_OK) {
        session_close(&c->session, on_closed);
        return; /* on_closed continues */
    }
    switch (c->kind) {
    case WRITE:
        step_write(c);
        return;
    case SETUP:
        step_setup(c);
        return;
    case CHECKPOINT:
        step_checkpoint(c);
        return;
    }
}

static struct canary *begin(uv_loop_t *loop, enum canary_kind kind, const struct canary_request *request,
                            canary_cb done, void *ctx)
{
    struct canary *c = calloc(1, sizeof *c);

    ASSERT(c != NULL); /* a node without memory for one operation is of no use: its peers go on without it */
    c->kind = kind;
    c->node = request->node;
    c->epoch = request->epoch;
    c->wait_for_standby = request->wait_for_standby;
    c->done = done;
    c->ctx = ctx;
    session_open(&c->session, loop, request->conninfo,
                 request->wait_for_standby ? "-c synchronous_commit=on" : "-c synchronous_commit=local",
                 request->timeout_ms, canary_step, c);
    return c;
}

struct canary *canary_begin(uv_loop_t *loop, const struct canary_request *request, canary_cb done, void *ctx)
{
    return begin(loop, WRITE, request, done, ctx);
}

struct canary *canary_setup_begin(uv_loop_t *loop, const struct canary_request *request, canary_cb done, void *ctx)
{
    return begin(loop, SETUP, request, done, ctx);
}

struct canary *canary_checkpoint_begin(uv_loop_t *loop, const struct canary_request *request, canary_cb done, void *ctx)
{
    return begin(loop, CHECKPOINT, request, done, ctx);
}

void canary_cancel(struct canary *c)
{
    session_cancel(&c->session);
}
