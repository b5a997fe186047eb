#include "postgres/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"

static void on_timer(uv_timer_t *timer);

static uint32_t left_ms(const struct session *s)
{
    uint64_t left = clock_left_ms(s->t0_us, s->timeout_ms);

    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

static void step(struct session *s)
{
    if (s->canceled)
        (void)error_set(&s->err, STATUS_CANCELED, "canceled");
    s->step(s->operation);
}

static void timer_set(struct session *s, uint64_t after_ms)
{
    int failed;

    uv_update_time(s->loop);
    failed = uv_timer_start(&s->timer, on_timer, after_ms, 0);
    ASSERT(failed == 0); /* only a closing timer does not start */
}

bool session_alive(struct session *s)
{
    if (s->canceled)
        (void)error_set(&s->err, STATUS_CANCELED, "canceled");
    else if (s->err.status == STATUS_OK && left_ms(s) == 0)
        (void)error_set(&s->err, STATUS_TIMED_OUT, "not done within %" PRIu32 " ms", s->timeout_ms);
    return s->err.status == STATUS_OK;
}

static void on_timer(uv_timer_t *timer)
{
    struct session *s = timer->data;

    (void)session_alive(s);
    step(s);
}

static void on_connected(void *ctx, const char *sqlstate, const struct error *err)
{
    struct session *s = ctx;

    if (err != NULL) {
        s->err = *err;
        (void)text_copy(s->sqlstate, sizeof s->sqlstate, sqlstate);
        (void)error_wrap(&s->err, "PostgreSQL");
    }
    step(s);
}

static void on_answer(void *ctx, const struct pg_result *result, const struct error *err)
{
    struct session *s = ctx;

    if (err != NULL) {
        s->err = *err;
        (void)text_copy(s->sqlstate, sizeof s->sqlstate, result->sqlstate);
        (void)error_wrap(&s->err, "PostgreSQL");
    }
    s->result = result;
    step(s);
}

void session_open(struct session *s, uv_loop_t *loop, const char *conninfo, const char *options, uint32_t timeout_ms,
                  void (*step_fn)(void *operation), void *operation)
{
    int failed;

    memset(s, 0, sizeof *s);
    s->loop = loop;
    s->options = options;
    s->t0_us = clock_now_us();
    s->timeout_ms = timeout_ms;
    s->step = step_fn;
    s->operation = operation;
    failed = uv_timer_init(loop, &s->timer);
    ASSERT(failed == 0); /* cannot fail on Linux */
    s->timer.data = s;
    s->conninfo = strdup(conninfo);
    s->pg = pg_create(loop);
    s->handles_open = s->pg == NULL ? 1 : 2;
    if (s->pg == NULL || s->conninfo == NULL) {
        (void)error_set(&s->err, STATUS_FAILED, "out of memory");
        session_next(s);
        return; /* on_timer continues */
    }
    pg_connect_begin(s->pg, s->conninfo, options, left_ms(s), on_connected, s);
}

void session_query(struct session *s, const char *sql, const char *const *params, uint32_t param_count)
{
    s->result = NULL;
    pg_query_begin(s->pg, sql, params, param_count, left_ms(s), on_answer, s);
}

void session_wait(struct session *s, uint32_t wait_ms)
{
    uint32_t left = left_ms(s);

    s->result = NULL;
    timer_set(s, wait_ms < left ? wait_ms : left);
}

void session_next(struct session *s)
{
    s->result = NULL;
    timer_set(s, 0);
}

void session_cancel(struct session *s)
{
    if (s->canceled || s->closing)
        return;
    s->canceled = true;
    if (s->pg != NULL && pg_is_busy(s->pg))
        pg_cancel(s->pg);
    else if (uv_is_active((const uv_handle_t *)&s->timer))
        timer_set(s, 0);
    /* Otherwise something outside the session is under way: its callback asks session_alive. */
}

static void handle_closed(struct session *s)
{
    s->handles_open--;
    if (s->handles_open > 0)
        return; /* the next one continues */
    free(s->conninfo);
    s->closed(s->operation);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_pg_closed(void *ctx)
{
    handle_closed(ctx);
}

void session_close(struct session *s, void (*closed)(void *operation))
{
    ASSERT(!s->closing);
    s->closing = true;
    s->closed = closed;
    if (s->pg != NULL)
        pg_destroy(s->pg, on_pg_closed, s);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

const char *session_cell(const struct session *s, uint32_t row, uint32_t column)
{
    const struct pg_result *r = s->result;

    if (r == NULL || row >= r->row_count || column >= r->column_count || r->cells[row][column] == NULL)
        return "";
    return r->cells[row][column];
}

bool session_flag(const struct session *s, uint32_t row, uint32_t column)
{
    return strcmp(session_cell(s, row, column), "t") == 0;
}

bool session_alter_text(char *out, size_t capacity_bytes, const char *name, const char *value)
{
    int written = snprintf(out, capacity_bytes, "ALTER SYSTEM SET %s = E'", name);
    size_t used;

    if (written < 0 || (size_t)written >= capacity_bytes)
        return false;
    for (used = (size_t)written; *value != '\0'; value++) {
        if (used + 4 > capacity_bytes)
            return false;
        if (*value == '\'' || *value == '\\')
            out[used++] = '\\';
        out[used++] = *value;
    }
    if (used + 2 > capacity_bytes)
        return false;
    out[used++] = '\'';
    out[used] = '\0';
    return true;
}
