/* Happy path: begin → libpq's next wait is put on the loop → on_socket → *_step, again and again → finish → done.
 * Every end of an operation runs through finish(), called from the loop only, so `done` never fires before begin returns: what fails
 * inside begin is left in `err` and the timer, set to zero, brings it. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/pg_internal.h"

enum pg_operation { PG_IDLE, PG_CONNECT, PG_QUERY };

/* libpq may replace its socket while it connects, and a uv_poll_t is bound to one descriptor: so each has its own, which frees itself. */
struct pg_watch {
    uv_poll_t poll;
    struct pg *pg;
    int fd;
};

struct pg {
    uv_loop_t *loop;
    uv_timer_t timer; /* the deadline; zero when the operation has already failed */
    struct pg_watch *watch;
    uint32_t handles_open;
    PGconn *conn;
    bool open;
    enum pg_operation operation;
    struct error err; /* of the operation under way */
    char sqlstate[6]; /* of a refused connection */
    union {
        pg_connect_cb connected;
        pg_query_cb answered;
    } done;
    void *done_ctx;
    bool destroying;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct pg_collect collect;
};

static void on_timer(uv_timer_t *timer);
static void on_socket(uv_poll_t *poll, int uv_status, int events);

static void maybe_free(struct pg *pg)
{
    void (*closed)(void *ctx) = pg->closed;
    void *ctx = pg->closed_ctx;

    if (pg->handles_open > 0)
        return; /* the next closed handle continues */
    free(pg);
    if (closed != NULL)
        closed(ctx);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct pg_watch *watch = handle->data;
    struct pg *pg = watch->pg;

    free(watch);
    pg->handles_open--;
    if (pg->destroying && pg->operation == PG_IDLE)
        maybe_free(pg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pg *pg = handle->data;

    pg->handles_open--;
    maybe_free(pg);
}

static void watch_retire(struct pg *pg)
{
    if (pg->watch == NULL)
        return;
    uv_close((uv_handle_t *)&pg->watch->poll, on_watch_closed);
    pg->watch = NULL;
}

/* Before libpq may close its socket: epoll forgets a closed descriptor, libuv does not. */
static void watch_stop(struct pg *pg)
{
    if (pg->watch != NULL)
        (void)uv_poll_stop(&pg->watch->poll);
}

/* Closes the socket at once. libpq's farewell message is sent without waiting: the connection is in nonblocking mode. */
static void drop(struct pg *pg)
{
    watch_retire(pg);
    if (pg->conn != NULL)
        PQfinish(pg->conn);
    pg->conn = NULL;
    pg->open = false;
}

/* Without a watch the operation could never end: the connection is given up. */
static enum status watch_failed(struct pg *pg, const char *why)
{
    drop(pg);
    return error_set(&pg->err, STATUS_FAILED, "cannot watch the connection: %s", why);
}

static enum status watch_start(struct pg *pg, int events)
{
    int fd = PQsocket(pg->conn);
    int failed;

    if (fd < 0)
        return watch_failed(pg, "libpq has no socket");
    if (pg->watch != NULL && pg->watch->fd != fd)
        watch_retire(pg);
    if (pg->watch == NULL) {
        struct pg_watch *watch = malloc(sizeof *watch);

        if (watch == NULL)
            return watch_failed(pg, "out of memory");
        failed = uv_poll_init(pg->loop, &watch->poll, fd);
        if (failed != 0) {
            free(watch);
            return watch_failed(pg, uv_strerror(failed));
        }
        watch->poll.data = watch;
        watch->pg = pg;
        watch->fd = fd;
        pg->handles_open++;
        pg->watch = watch;
    }
    failed = uv_poll_start(&pg->watch->poll, events, on_socket);
    if (failed != 0)
        return watch_failed(pg, uv_strerror(failed));
    return STATUS_OK;
}

static void destroy_now(struct pg *pg)
{
    drop(pg);
    uv_close((uv_handle_t *)&pg->timer, on_timer_closed);
}

/* Ends the operation with what `err` says. Touch nothing after it. */
static void finish(struct pg *pg)
{
    enum pg_operation ended = pg->operation;
    bool destroying = pg->destroying;

    ASSERT(ended != PG_IDLE);
    (void)uv_timer_stop(&pg->timer);
    watch_stop(pg);
    pg->operation = PG_IDLE;
    if (ended == PG_CONNECT) {
        pg->done.connected(pg->done_ctx, pg->sqlstate, error_or_null(&pg->err));
    } else {
        if (pg->err.status != STATUS_OK)
            pg->collect.result.row_count = 0;
        pg->done.answered(pg->done_ctx, &pg->collect.result, error_or_null(&pg->err));
    }
    if (destroying)
        destroy_now(pg);
}

static void timer_set(struct pg *pg, uint32_t after_ms)
{
    int failed = uv_timer_start(&pg->timer, on_timer, after_ms, 0);

    ASSERT(failed == 0); /* only a closing timer does not start */
}

/* Lets the loop call finish() in its next round. */
static void finish_later(struct pg *pg)
{
    watch_stop(pg);
    timer_set(pg, 0);
}

static void begin(struct pg *pg, enum pg_operation operation, uint32_t timeout_ms, void *ctx)
{
    ASSERT(pg->operation == PG_IDLE);
    ASSERT(!pg->destroying);
    pg->operation = operation;
    pg->done_ctx = ctx;
    pg->err = ERROR_NONE;
    memset(pg->sqlstate, 0, sizeof pg->sqlstate);
    pg_collect_reset(&pg->collect);
    uv_update_time(pg->loop); /* a deadline counts from now, not from when the loop last woke */
    timer_set(pg, timeout_ms);
}

static void connect_failed(struct pg *pg)
{
    char line[300];

    pg_first_line(line, sizeof line, PQerrorMessage(pg->conn));
    pg_connect_sqlstate(pg->sqlstate, PQerrorMessage(pg->conn));
    (void)error_set(&pg->err, pg->sqlstate[0] != '\0' ? STATUS_REFUSED : STATUS_UNREACHABLE, "%s", line);
    drop(pg);
}

/* True when the operation has ended. */
static bool connect_step(struct pg *pg)
{
    watch_stop(pg);
    switch (PQconnectPoll(pg->conn)) {
    case PGRES_POLLING_READING:
        return watch_start(pg, UV_READABLE) != STATUS_OK;
    case PGRES_POLLING_WRITING:
        return watch_start(pg, UV_WRITABLE) != STATUS_OK;
    case PGRES_POLLING_OK:
        if (PQsetnonblocking(pg->conn, 1) != 0) {
            connect_failed(pg);
            return true;
        }
        (void)PQsetErrorVerbosity(pg->conn, PQERRORS_DEFAULT);
        pg->open = true;
        return true;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        connect_failed(pg);
        return true;
    }
    return false;
}

static bool query_lost(struct pg *pg)
{
    char line[300];

    pg_first_line(line, sizeof line, PQerrorMessage(pg->conn));
    (void)error_set(&pg->err, STATUS_UNKNOWN, "connection lost before the answer: %s", line);
    drop(pg);
    return true;
}

/* The answer is complete. */
static bool query_ended(struct pg *pg)
{
    pg->err = pg->collect.err;
    if (PQstatus(pg->conn) != CONNECTION_BAD)
        return true;
    /* The server ended the session, perhaps after the statement took effect. */
    if (pg->err.status != STATUS_OK)
        pg->err.status = STATUS_UNKNOWN;
    else
        (void)error_set(&pg->err, STATUS_UNKNOWN, "the server ended the connection");
    drop(pg);
    return true;
}

/* True when the operation has ended. */
static bool query_step(struct pg *pg)
{
    int unsent = PQflush(pg->conn);

    if (unsent < 0 || PQconsumeInput(pg->conn) == 0)
        return query_lost(pg);
    while (PQisBusy(pg->conn) == 0) {
        PGresult *part = PQgetResult(pg->conn);

        if (part == NULL)
            return query_ended(pg);
        pg_collect_add(&pg->collect, part);
        PQclear(part);
        if (pg->collect.err.status != STATUS_OK && pg->collect.err.status != STATUS_FAILED) {
            pg->err = pg->collect.err; /* a limit, or COPY: only a new connection leads out of it */
            drop(pg);
            return true;
        }
    }
    return watch_start(pg, unsent > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE) != STATUS_OK;
}

static bool step(struct pg *pg)
{
    return pg->operation == PG_CONNECT ? connect_step(pg) : query_step(pg);
}

static void on_socket(uv_poll_t *poll, int uv_status, int events)
{
    struct pg *pg = ((struct pg_watch *)poll->data)->pg;

    (void)uv_status; /* libpq reads the socket's error itself */
    (void)events;
    ASSERT(pg->operation != PG_IDLE);
    if (!step(pg))
        return; /* on_socket or on_timer continues */
    if (pg->err.status != STATUS_OK && pg->err.status != STATUS_FAILED)
        drop(pg);
    finish(pg);
}

static void on_timer(uv_timer_t *timer)
{
    struct pg *pg = timer->data;

    ASSERT(pg->operation != PG_IDLE);
    /* After a stall of this process the answer may be waiting in the socket: it came in time, we were late. */
    if (pg->err.status == STATUS_OK && !step(pg))
        (void)error_set(&pg->err, STATUS_TIMED_OUT,
                        pg->operation == PG_CONNECT ? "no connection in time" : "no answer in time");
    if (pg->err.status != STATUS_OK && pg->err.status != STATUS_FAILED)
        drop(pg);
    finish(pg);
}

/* Notices are not errors; that there was a warning is kept. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct pg *pg = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        pg->collect.result.warned = true;
}

struct pg *pg_create(uv_loop_t *loop)
{
    struct pg *pg = calloc(1, sizeof *pg);

    if (pg == NULL)
        return NULL;
    pg->loop = loop;
    if (uv_timer_init(loop, &pg->timer) != 0) {
        free(pg);
        return NULL;
    }
    pg->timer.data = pg;
    pg->handles_open = 1;
    return pg;
}

void pg_connect_begin(struct pg *pg, const char *conninfo, const char *options, uint32_t timeout_ms, pg_connect_cb done,
                      void *ctx)
{
    struct pg_keywords keywords;

    begin(pg, PG_CONNECT, timeout_ms, ctx);
    pg->done.connected = done;
    drop(pg);
    if (pg_keywords_parse(&keywords, conninfo, options, &pg->err) != STATUS_OK) {
        finish_later(pg);
        return; /* on_timer continues */
    }
    pg->conn = PQconnectStartParams(keywords.keywords, keywords.values, 0);
    pg_keywords_free(&keywords);
    if (pg->conn == NULL)
        (void)error_set(&pg->err, STATUS_FAILED, "out of memory");
    else if (PQstatus(pg->conn) == CONNECTION_BAD)
        connect_failed(pg);
    else {
        (void)PQsetErrorVerbosity(pg->conn,
                                  PQERRORS_VERBOSE); /* the only way to the SQLSTATE of a refused connection */
        (void)PQsetNoticeReceiver(pg->conn, on_notice, pg);
        if (watch_start(pg, UV_WRITABLE) == STATUS_OK)
            return; /* on_socket or on_timer continues */
    }
    finish_later(pg);
}

void pg_query_begin(struct pg *pg, const char *sql, const char *const *params, uint32_t param_count,
                    uint32_t timeout_ms, pg_query_cb done, void *ctx)
{
    begin(pg, PG_QUERY, timeout_ms, ctx);
    pg->done.answered = done;
    ASSERT(param_count <= PG_PARAMS_MAX);
    if (!pg->open || PQstatus(pg->conn) == CONNECTION_BAD) {
        (void)error_set(&pg->err, STATUS_UNREACHABLE, "not connected");
        finish_later(pg);
        return; /* on_timer continues */
    }
    if (PQsendQueryParams(pg->conn, sql, (int)param_count, NULL, params, NULL, NULL, 0) == 0 ||
        PQsetSingleRowMode(pg->conn) == 0) {
        char line[300];

        pg_first_line(line, sizeof line, PQerrorMessage(pg->conn));
        (void)error_set(&pg->err, STATUS_UNKNOWN, "the statement was not sent whole: %s", line);
        finish_later(pg);
        return; /* on_timer continues, and drops the connection */
    }
    if (watch_start(pg, UV_READABLE | UV_WRITABLE) != STATUS_OK)
        finish_later(pg);
}

void pg_cancel(struct pg *pg)
{
    if (pg->operation == PG_IDLE)
        return;
    drop(pg);
    (void)error_set(&pg->err, STATUS_CANCELED, "canceled");
    finish_later(pg);
}

bool pg_is_open(const struct pg *pg)
{
    return pg->open;
}

bool pg_is_busy(const struct pg *pg)
{
    return pg->operation != PG_IDLE;
}

void pg_close(struct pg *pg)
{
    ASSERT(pg->operation == PG_IDLE);
    drop(pg);
}

void pg_destroy(struct pg *pg, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!pg->destroying);
    pg->closed = closed;
    pg->closed_ctx = ctx;
    if (pg->operation != PG_IDLE) {
        pg_cancel(pg);
        pg->destroying = true;
        return; /* finish() continues */
    }
    pg->destroying = true;
    destroy_now(pg);
}
