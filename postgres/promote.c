#include "postgres/promote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "io/clock.h"
#include "postgres/position_query.h"
#include "postgres/session.h"

/* The startup process, when its receiver has just ended, sleeps out wal_retrieve_retry_interval before it looks at the request: 5 s by
 * default. A short one, set before, bounds that; the old value is put back on the new primary. */
#define PROMOTE_RETRY_INTERVAL_MS 100

/* What the next step begins with; the answer to the one before it is in. */
enum promote_phase { LOOK, NAMES, INTERVAL, RELOAD, PROMOTE, ASK, ASKED, RESTORE, RESTORED, POSITION, LAST };

struct promote {
    struct session session;
    enum promote_phase phase;
    char *names; /* NULL: left as it is */
    bool set_names;
    bool set_interval;
    bool requested;    /* pg_promote was sent: from here on the promotion may happen */
    char interval[32]; /* the value to put back */
    int64_t requested_us;
    struct promote_result result;
    char sql[1024];
    promote_cb done;
    void *ctx;
};

static const char look_sql[] =
    "SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names'),"
    " current_setting('wal_retrieve_retry_interval'),"
    " (SELECT setting::int > $1::int FROM pg_settings WHERE name = 'wal_retrieve_retry_interval')";

static void on_closed(void *operation)
{
    struct promote *p = operation;
    const struct error *err = error_or_null(&p->session.err);

    p->done(p->ctx, err == NULL ? &p->result : NULL, err);
    free(p->names);
    free(p);
}

static void alter(struct promote *p, const char *name, const char *value)
{
    if (!session_alter_text(p->sql, sizeof p->sql, name, value)) {
        (void)error_set(&p->session.err, STATUS_FULL, "the value of %s is too long", name);
        session_next(&p->session);
        return;
    }
    session_query(&p->session, p->sql, NULL, 0);
}

static void look_begin(struct promote *p)
{
    char limit[12];
    const char *params[1] = { limit };

    (void)snprintf(limit, sizeof limit, "%d", PROMOTE_RETRY_INTERVAL_MS);
    session_query(&p->session, look_sql, params, 1);
}

/* The answer to LOOK: what must be set before the promotion? */
static void look(struct promote *p)
{
    const struct session *s = &p->session;

    p->result.already_primary = !session_flag(s, 0, 0);
    p->set_names = p->names != NULL && strcmp(p->names, session_cell(s, 0, 1)) != 0;
    p->set_interval = !p->result.already_primary && session_flag(s, 0, 3);
    (void)snprintf(p->interval, sizeof p->interval, "%s", session_cell(s, 0, 2));
}

/* Sets one thing, or goes on without a round trip. */
static void set_or_skip(struct promote *p, bool set, const char *name, const char *value)
{
    if (set)
        alter(p, name, value);
    else
        session_next(&p->session);
}

static void step(struct promote *p)
{
    struct session *s = &p->session;

    switch (p->phase) {
    case LOOK:
        p->phase = NAMES;
        look_begin(p);
        return;
    case NAMES:
        look(p);
        p->phase = INTERVAL;
        set_or_skip(p, p->set_names, "synchronous_standby_names", p->names);
        return;
    case INTERVAL:
        p->phase = RELOAD;
        set_or_skip(p, p->set_interval, "wal_retrieve_retry_interval", "100ms");
        return;
    case RELOAD:
        p->phase = p->result.already_primary ? POSITION : PROMOTE;
        if (p->set_names || p->set_interval)
            session_query(s, "SELECT pg_reload_conf()", NULL, 0);
        else
            session_next(s);
        return;
    case PROMOTE:
        p->phase = ASK;
        p->requested = true;
        p->requested_us = clock_now_us();
        session_query(s, "SELECT pg_promote(false)", NULL, 0);
        return;
    case ASK:
        p->phase = ASKED;
        session_query(s, "SELECT pg_is_in_recovery()", NULL, 0);
        return;
    case ASKED:
        if (session_flag(s, 0, 0)) {
            p->phase = ASK;
            session_wait(s, SESSION_POLL_MS);
            return; /* still in recovery */
        }
        p->result.duration_us = clock_now_us() - p->requested_us;
        p->phase = RESTORE;
        session_next(s);
        return;
    case RESTORE:
        p->phase = RESTORED;
        set_or_skip(p, p->set_interval, "wal_retrieve_retry_interval", p->interval);
        return;
    case RESTORED:
        p->phase = POSITION;
        if (p->set_interval)
            session_query(s, "SELECT pg_reload_conf()", NULL, 0);
        else
            session_next(s);
        return;
    case POSITION:
        p->phase = LAST;
        session_query(s, position_sql, NULL, 0);
        return;
    case LAST:
        if (position_read(s, &p->result.state, &s->err) == STATUS_OK && p->result.state.in_recovery)
            (void)error_set(&s->err, STATUS_FAILED, "the server is in recovery again after its promotion");
        session_close(s, on_closed);
        return;
    }
}

/* Another promotion of the same server was first: pg_promote says "recovery is not in progress" (55000). Asking shows which it is. */
static bool lost_the_race(const struct promote *p)
{
    return p->phase == ASK && p->session.err.status == STATUS_FAILED && strcmp(p->session.sqlstate, "55000") == 0;
}

static void promote_step(void *operation)
{
    struct promote *p = operation;
    struct error *err = &p->session.err;

    if (err->status != STATUS_OK && lost_the_race(p))
        *err = ERROR_NONE;
    if (err->status == STATUS_OK) {
        step(p);
        return; /* the next step continues */
    }
    if (p->requested) {
        (void)error_wrap(err, "promotion was requested and may still happen");
        if (err->status != STATUS_CANCELED)
            err->status = STATUS_UNKNOWN;
    }
    session_close(&p->session, on_closed);
}

struct promote *promote_begin(uv_loop_t *loop, const struct promote_request *request, promote_cb done, void *ctx)
{
    struct promote *p = calloc(1, sizeof *p);

    ASSERT(p != NULL); /* a node without memory for one operation is of no use: its peers go on without it */
    if (request->synchronous_standby_names != NULL) {
        p->names = strdup(request->synchronous_standby_names);
        ASSERT(p->names != NULL);
    }
    p->done = done;
    p->ctx = ctx;
    session_open(&p->session, loop, request->conninfo, NULL, request->timeout_ms, promote_step, p);
    return p;
}

void promote_cancel(struct promote *p)
{
    session_cancel(&p->session);
}
