#include "postgres/sever.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "postgres/position_query.h"
#include "postgres/saved_settings.h"
#include "postgres/session.h"

/* The receiver must be absent in this many looks in a row: the startup process may just have asked for one when the reload reached it,
 * and ends that one too. */
#define GONE_LOOKS 3

#define SEVERED_RETRY_INTERVAL                                                                                         \
    "100ms" /* bounds how long a promotion may sleep after the receiver ended; the default is 5 s */

/* What the next step begins with; the answer to the one before it is in. */
enum sever_phase { LOOK, SAVE, SET_CONNINFO, SET_INTERVAL, RELOAD, GONE, GONE_WAIT, POSITION, LAST };
enum unsever_phase {
    BACK_LOAD,
    BACK_LOOK,
    BACK_CONNINFO,
    BACK_INTERVAL,
    BACK_RELOAD,
    BACK_FORGET,
    BACK_POSITION,
    BACK_LAST
};

enum file_work { FILE_SAVE, FILE_LOAD, FILE_FORGET };

struct sever {
    struct session session;
    bool reverse;
    enum sever_phase phase;
    enum unsever_phase back_phase;
    uint32_t gone_count;
    char *saved_path;
    struct saved_settings saved;
    uv_work_t work; /* reads or writes the saved settings */
    enum file_work work_kind;
    enum status work_status;
    struct error work_err;
    struct server_state state;
    char sql[SAVED_CONNINFO_MAX * 2 + 64];
    sever_cb done;
    void *ctx;
};

static const char look_sql[] = "SELECT pg_is_in_recovery(), current_setting('primary_conninfo'),"
                               " current_setting('wal_retrieve_retry_interval'),"
                               " pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')";
static const char gone_sql[] = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walreceiver')";

static void sever_step(void *operation);

static void on_closed(void *operation)
{
    struct sever *s = operation;
    const struct error *err = error_or_null(&s->session.err);

    s->done(s->ctx, err == NULL ? &s->state : NULL, err);
    memset(&s->saved, 0, sizeof s->saved);
    free(s->saved_path);
    free(s);
}

static void on_work(uv_work_t *work)
{
    struct sever *s = work->data;

    if (s->work_kind == FILE_SAVE)
        s->work_status = saved_settings_write(s->saved_path, &s->saved, &s->work_err);
    else if (s->work_kind == FILE_LOAD)
        s->work_status = saved_settings_read(s->saved_path, &s->saved, &s->work_err);
    else
        s->work_status = saved_settings_remove(s->saved_path, &s->work_err);
}

static void on_worked(uv_work_t *work, int uv_status)
{
    struct sever *s = work->data;

    (void)uv_status; /* work is never canceled */
    if (session_alive(&s->session) && s->work_status != STATUS_OK && s->work_status != STATUS_NOT_FOUND)
        s->session.err = s->work_err;
    sever_step(s);
}

static void work_begin(struct sever *s, enum file_work kind)
{
    int failed;

    s->work.data = s;
    s->work_kind = kind;
    s->work_err = ERROR_NONE;
    failed = uv_queue_work(s->session.loop, &s->work, on_work, on_worked);
    ASSERT(failed == 0); /* fails only without a work function */
}

static void alter(struct sever *s, const char *name, const char *value)
{
    if (!session_alter_text(s->sql, sizeof s->sql, name, value)) {
        (void)error_set(&s->session.err, STATUS_FULL, "the value of %s is too long", name);
        session_next(&s->session);
        return;
    }
    session_query(&s->session, s->sql, NULL, 0);
}

/* The answer to LOOK. True when there is something to save. */
static bool look(struct sever *s)
{
    struct session *session = &s->session;

    if (!session_flag(session, 0, 0)) {
        (void)error_set(&session->err, STATUS_REFUSED, "the server is a primary: only a standby is severed");
        return false;
    }
    if (!session_flag(session, 0, 3)) {
        (void)error_set(&session->err, STATUS_REFUSED,
                        "the role needs pg_monitor: without it a running WAL receiver looks absent");
        return false;
    }
    if (session_cell(session, 0, 1)[0] == '\0')
        return false; /* severed before, or never fed by a receiver */
    if (!text_copy(s->saved.primary_conninfo, sizeof s->saved.primary_conninfo, session_cell(session, 0, 1)) ||
        !text_copy(s->saved.retry_interval, sizeof s->saved.retry_interval, session_cell(session, 0, 2)))
        (void)error_set(&session->err, STATUS_FULL, "primary_conninfo is too long to be saved");
    return true;
}

static void step_sever(struct sever *s)
{
    struct session *session = &s->session;

    switch (s->phase) {
    case LOOK:
        s->phase = SAVE;
        session_query(session, look_sql, NULL, 0);
        return;
    case SAVE:
        s->phase = SET_CONNINFO;
        if (look(s) && session->err.status == STATUS_OK)
            work_begin(s, FILE_SAVE);
        else
            session_next(session);
        return;
    case SET_CONNINFO:
        s->phase = SET_INTERVAL;
        alter(s, "primary_conninfo", "");
        return;
    case SET_INTERVAL:
        s->phase = RELOAD;
        alter(s, "wal_retrieve_retry_interval", SEVERED_RETRY_INTERVAL);
        return;
    case RELOAD:
        s->phase = GONE;
        session_query(session, "SELECT pg_reload_conf()", NULL, 0);
        return;
    case GONE:
        s->phase = GONE_WAIT;
        session_query(session, gone_sql, NULL, 0);
        return;
    case GONE_WAIT:
        s->gone_count = session_flag(session, 0, 0) ? s->gone_count + 1 : 0;
        s->phase = s->gone_count < GONE_LOOKS ? GONE : POSITION;
        session_wait(session, SESSION_POLL_MS);
        return;
    case POSITION:
        s->phase = LAST;
        session_query(session, position_sql, NULL, 0);
        return;
    case LAST:
        if (position_read(session, &s->state, &session->err) == STATUS_OK && s->state.receiver_running)
            (void)error_set(&session->err, STATUS_FAILED,
                            "the WAL receiver came back: something else sets primary_conninfo");
        session_close(session, on_closed);
        return;
    }
}

static void step_unsever(struct sever *s)
{
    struct session *session = &s->session;

    switch (s->back_phase) {
    case BACK_LOAD:
        s->back_phase = BACK_LOOK;
        work_begin(s, FILE_LOAD);
        return;
    case BACK_LOOK:
        /* Nothing saved: nothing to put back. */
        s->back_phase = s->work_status == STATUS_NOT_FOUND ? BACK_POSITION : BACK_CONNINFO;
        session_query(session, look_sql, NULL, 0);
        return;
    case BACK_CONNINFO:
        s->back_phase = BACK_INTERVAL;
        if (session_cell(session, 0, 1)[0] == '\0')
            alter(s, "primary_conninfo", s->saved.primary_conninfo);
        else
            session_next(session); /* somebody has set it since: theirs is newer */
        return;
    case BACK_INTERVAL:
        s->back_phase = BACK_RELOAD;
        alter(s, "wal_retrieve_retry_interval", s->saved.retry_interval);
        return;
    case BACK_RELOAD:
        s->back_phase = BACK_FORGET;
        session_query(session, "SELECT pg_reload_conf()", NULL, 0);
        return;
    case BACK_FORGET:
        s->back_phase = BACK_POSITION;
        work_begin(s, FILE_FORGET);
        return;
    case BACK_POSITION:
        s->back_phase = BACK_LAST;
        session_query(session, position_sql, NULL, 0);
        return;
    case BACK_LAST:
        (void)position_read(session, &s->state, &session->err);
        session_close(session, on_closed);
        return;
    }
}

static void sever_step(void *operation)
{
    struct sever *s = operation;

    if (s->session.err.status != STATUS_OK)
        session_close(&s->session, on_closed);
    else if (s->reverse)
        step_unsever(s);
    else
        step_sever(s);
}

static struct sever *begin(uv_loop_t *loop, const struct sever_request *request, bool reverse, sever_cb done, void *ctx)
{
    struct sever *s = calloc(1, sizeof *s);

    ASSERT(s != NULL); /* a node without memory for one operation is of no use: its peers go on without it */
    s->saved_path = strdup(request->saved_path);
    ASSERT(s->saved_path != NULL);
    s->reverse = reverse;
    s->done = done;
    s->ctx = ctx;
    session_open(&s->session, loop, request->conninfo, NULL, request->timeout_ms, sever_step, s);
    return s;
}

struct sever *sever_begin(uv_loop_t *loop, const struct sever_request *request, sever_cb done, void *ctx)
{
    return begin(loop, request, false, done, ctx);
}

struct sever *unsever_begin(uv_loop_t *loop, const struct sever_request *request, sever_cb done, void *ctx)
{
    return begin(loop, request, true, done, ctx);
}

void sever_cancel(struct sever *s)
{
    session_cancel(&s->session);
}
