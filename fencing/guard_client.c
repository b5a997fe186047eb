/* Happy path: begin → (connect) → the line is written → the answer's line → done.
 * A request leaves the queue in one of two ways: its answer came, or it was failed, and then its own timer, set to zero, brings `done`. */
#include "fencing/guard_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/check.h"
#include "fencing/guard_answer.h"

#define LINE_MAX_BYTES 256
#define INPUT_MAX_BYTES 1024

struct guard_request {
    uv_timer_t timer;
    struct guard_client *client;
    struct guard_request *next;
    enum guard_request_kind kind;
    char line[LINE_MAX_BYTES];
    bool queued; /* waits for its answer; false once it was failed */
    bool sent;
    struct guard_answer answer;
    struct error err;
    guard_cb done;
    void *ctx;
};

/* One connection; frees itself when closed. */
struct guard_link {
    uv_pipe_t pipe;
    uv_connect_t connect;
    struct guard_client *client;
    bool connected;
    bool closing;
    pid_t peer_pid;
    size_t used_bytes;
    char input[INPUT_MAX_BYTES];
};

struct guard_client {
    uv_loop_t *loop;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct guard_link *link;     /* NULL: the next request connects */
    struct guard_request *queue; /* in the order of their answers */
    uint32_t queued_count;
    uint32_t handles_open;
    bool destroying;
    uv_timer_t last; /* only closed: so that `closed` comes later also for a client without a handle */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void on_timer(uv_timer_t *timer);

static void handle_closed(struct guard_client *g)
{
    void (*closed)(void *ctx) = g->closed;
    void *ctx = g->closed_ctx;

    g->handles_open--;
    if (!g->destroying || g->handles_open > 0)
        return; /* the next closed handle continues */
    free(g);
    if (closed != NULL)
        closed(ctx);
}

static void on_link_closed(uv_handle_t *handle)
{
    struct guard_link *link = handle->data;
    struct guard_client *g = link->client;

    free(link);
    handle_closed(g);
}

static void on_request_closed(uv_handle_t *handle)
{
    struct guard_request *r = handle->data;
    struct guard_client *g = r->client;

    free(r);
    handle_closed(g);
}

static void timer_set(struct guard_request *r, uint32_t after_ms)
{
    int failed;

    uv_update_time(r->client->loop);
    failed = uv_timer_start(&r->timer, on_timer, after_ms, 0);
    ASSERT(failed == 0); /* only a closing timer does not start */
}

static void unqueue(struct guard_request *r)
{
    struct guard_client *g = r->client;
    struct guard_request **place = &g->queue;

    if (!r->queued)
        return;
    while (*place != r)
        place = &(*place)->next;
    *place = r->next;
    r->queued = false;
    g->queued_count--;
}

/* Called from the loop alone; the owner may begin, cancel or destroy within `done`. */
static void finish(struct guard_request *r)
{
    unqueue(r);
    uv_close((uv_handle_t *)&r->timer, on_request_closed);
    r->done(r->ctx, &r->answer, error_or_null(&r->err));
}

static void fail_later(struct guard_request *r, enum status status, const char *why)
{
    unqueue(r);
    (void)error_set(&r->err, status, "lease_guard at %s: %s", r->client->path, why);
    timer_set(r, 0);
}

static void link_close(struct guard_client *g)
{
    struct guard_link *link = g->link;

    g->link = NULL;
    if (link == NULL)
        return;
    link->closing = true;
    uv_close((uv_handle_t *)&link->pipe, on_link_closed);
}

/* The connection is of no use any more: what was sent has no answer to come, what was not sent was never done. */
static void link_broken(struct guard_client *g, enum status status_when_sent, const char *why)
{
    link_close(g);
    while (g->queue != NULL)
        fail_later(g->queue, g->queue->sent ? status_when_sent : STATUS_UNREACHABLE, why);
}

static void on_timer(uv_timer_t *timer)
{
    struct guard_request *r = timer->data;
    struct guard_client *g = r->client;

    if (r->queued) {
        bool sent = r->sent;

        unqueue(r);
        (void)error_set(&r->err, STATUS_TIMED_OUT, "lease_guard at %s: no %s in time", g->path,
                        sent ? "answer" : "connection");
        if (sent || g->queue == NULL)
            link_broken(g, STATUS_UNKNOWN, "an earlier request was not answered");
    }
    finish(r);
}

/* A line is far below what an empty socket takes: when it does not go out at once the server has stopped reading. */
static void send_queued(struct guard_client *g)
{
    for (struct guard_request *r = g->queue; r != NULL; r = r->next) {
        uv_buf_t buffer = uv_buf_init(r->line, (unsigned)strlen(r->line));

        if (r->sent)
            continue;
        r->sent = true;
        if (uv_try_write((uv_stream_t *)&g->link->pipe, &buffer, 1) != (int)buffer.len) {
            link_broken(g, STATUS_UNKNOWN, "the request could not be written whole");
            return;
        }
    }
}

static void on_line(struct guard_client *g, const char *line)
{
    struct guard_request *r = g->queue;

    if (r == NULL) {
        link_broken(g, STATUS_CORRUPT, "an answer that nobody asked for");
        return;
    }
    r->answer.peer_pid = g->link->peer_pid;
    if (guard_answer_parse(r->kind, line, &r->answer, &r->err) == STATUS_CORRUPT) {
        unqueue(r);
        link_broken(g, STATUS_UNKNOWN, "an answer that is not of the protocol");
    }
    finish(r);
}

static void on_allocate(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    struct guard_link *link = handle->data;

    (void)suggested_bytes;
    *buffer = uv_buf_init(link->input + link->used_bytes, (unsigned)(sizeof link->input - link->used_bytes));
}

/* Each line may end the link: its `done` can cancel or destroy. The link's memory stays until the loop's next round. */
static void take_lines(struct guard_client *g, struct guard_link *link)
{
    char *newline;

    while (!link->closing && (newline = memchr(link->input, '\n', link->used_bytes)) != NULL) {
        char line[INPUT_MAX_BYTES];
        size_t length = (size_t)(newline - link->input);

        memcpy(line, link->input, length);
        line[length] = '\0';
        link->used_bytes -= length + 1;
        memmove(link->input, newline + 1, link->used_bytes);
        if (strlen(line) != length)
            link_broken(g, STATUS_CORRUPT, "an answer with a zero byte");
        else
            on_line(g, line);
    }
    if (!link->closing && link->used_bytes == sizeof link->input)
        link_broken(g, STATUS_CORRUPT, "an answer that does not end");
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct guard_link *link = stream->data;
    struct guard_client *g = link->client;

    (void)buffer;
    if (length < 0) {
        link_broken(g, STATUS_UNKNOWN,
                    length == UV_EOF ? "the server closed the connection" : uv_strerror((int)length));
        return;
    }
    link->used_bytes += (size_t)length;
    take_lines(g, link);
}

static pid_t peer_of(const uv_pipe_t *pipe)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)pipe, &fd) != 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return 0;
    return peer.pid;
}

static void on_connect(uv_connect_t *connect, int uv_status)
{
    struct guard_link *link = connect->data;
    struct guard_client *g = link->client;

    if (link->closing)
        return;                   /* on_link_closed continues */
    if (uv_status == UV_EAGAIN) { /* somebody listens and takes no connections: that is silence, not absence */
        link_close(g);
        while (g->queue != NULL)
            fail_later(g->queue, STATUS_TIMED_OUT, "its queue of connections is full");
        return;
    }
    if (uv_status == 0)
        uv_status = uv_read_start((uv_stream_t *)&link->pipe, on_allocate, on_read);
    if (uv_status != 0) {
        link_broken(g, STATUS_UNREACHABLE, uv_strerror(uv_status));
        return;
    }
    link->connected = true;
    link->peer_pid = peer_of(&link->pipe);
    send_queued(g);
}

static void connect_begin(struct guard_client *g)
{
    struct guard_link *link = calloc(1, sizeof *link);

    if (link == NULL || uv_pipe_init(g->loop, &link->pipe, 0) != 0) {
        free(link);
        link_broken(g, STATUS_UNREACHABLE, "out of memory");
        return;
    }
    link->client = g;
    link->pipe.data = link;
    link->connect.data = link;
    g->handles_open++;
    g->link = link;
    uv_pipe_connect(&link->connect, &link->pipe, g->path, on_connect);
}

static void begin(struct guard_client *g, enum guard_request_kind kind, uint32_t timeout_ms, const char *line,
                  guard_cb done, void *ctx)
{
    struct guard_request *r = calloc(1, sizeof *r);
    struct guard_request **place = &g->queue;
    int failed;

    ASSERT(r != NULL); /* a node without memory for one request is of no use: its peers go on without it */
    ASSERT(!g->destroying);
    failed = uv_timer_init(g->loop, &r->timer);
    ASSERT(failed == 0); /* cannot fail on Linux */
    g->handles_open++;
    r->timer.data = r;
    r->client = g;
    r->kind = kind;
    (void)snprintf(r->line, sizeof r->line, "%s\n", line);
    r->done = done;
    r->ctx = ctx;
    if (g->queued_count == GUARD_REQUESTS_MAX) {
        fail_later(r, STATUS_FULL, "too many requests are waiting");
        return; /* on_timer continues */
    }
    while (*place != NULL)
        place = &(*place)->next;
    *place = r;
    r->queued = true;
    g->queued_count++;
    timer_set(r, timeout_ms);
    if (g->link == NULL)
        connect_begin(g);
    else if (g->link->connected)
        send_queued(g);
    /* Otherwise on_connect sends it. */
}

struct guard_client *guard_client_create(uv_loop_t *loop, const char *socket_path)
{
    struct guard_client *g = calloc(1, sizeof *g);

    if (g == NULL)
        return NULL;
    if (strlen(socket_path) >= sizeof g->path) {
        free(g);
        return NULL;
    }
    g->loop = loop;
    memcpy(g->path, socket_path, strlen(socket_path) + 1);
    return g;
}

void guard_now_begin(struct guard_client *g, uint32_t timeout_ms, guard_cb done, void *ctx)
{
    begin(g, GUARD_REQUEST_NOW, timeout_ms, "now", done, ctx);
}

void guard_open_begin(struct guard_client *g, instance_id instance, epoch_t epoch, int64_t t0_us, uint32_t hold_ms,
                      uint32_t timeout_ms, guard_cb done, void *ctx)
{
    char line[LINE_MAX_BYTES - 1];

    (void)snprintf(line, sizeof line,
                   "open instance=%016" PRIx64 " epoch=%" PRIu64 " t0_us=%" PRId64 " hold_ms=%" PRIu32, instance, epoch,
                   t0_us, hold_ms);
    begin(g, GUARD_REQUEST_OPEN, timeout_ms, line, done, ctx);
}

void guard_close_begin(struct guard_client *g, epoch_t epoch, uint32_t timeout_ms, guard_cb done, void *ctx)
{
    char line[LINE_MAX_BYTES - 1];

    (void)snprintf(line, sizeof line, "close epoch=%" PRIu64, epoch);
    begin(g, GUARD_REQUEST_CLOSE, timeout_ms, line, done, ctx);
}

void guard_bypass_begin(struct guard_client *g, bool on, instance_id instance, epoch_t epoch, uint32_t timeout_ms,
                        guard_cb done, void *ctx)
{
    char line[LINE_MAX_BYTES - 1] = "bypass off";

    if (on)
        (void)snprintf(line, sizeof line, "bypass on instance=%016" PRIx64 " epoch=%" PRIu64, instance, epoch);
    begin(g, GUARD_REQUEST_BYPASS, timeout_ms, line, done, ctx);
}

void guard_status_begin(struct guard_client *g, uint32_t timeout_ms, guard_cb done, void *ctx)
{
    begin(g, GUARD_REQUEST_STATUS, timeout_ms, "status", done, ctx);
}

void guard_client_cancel(struct guard_client *g)
{
    link_close(g);
    while (g->queue != NULL)
        fail_later(g->queue, STATUS_CANCELED, "canceled");
}

static void on_last_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

void guard_client_destroy(struct guard_client *g, void (*closed)(void *ctx), void *ctx)
{
    int failed;

    ASSERT(!g->destroying);
    guard_client_cancel(g);
    g->destroying = true;
    g->closed = closed;
    g->closed_ctx = ctx;
    failed = uv_timer_init(g->loop, &g->last);
    ASSERT(failed == 0); /* cannot fail on Linux */
    g->last.data = g;
    g->handles_open++;
    uv_close((uv_handle_t *)&g->last, on_last_closed);
}
