#include "raft/pump.h"

#include "base/check.h"
#include "raft/wire_check.h"

#include <stdarg.h>

#include <raft.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES (64 * 1024)
#define OUT_KEPT_BYTES (256 * 1024) /* a larger buffer is returned after the message that needed it */

struct pump {
    struct pump_config config;
    struct channel *channel;
    uv_pipe_t local; /* our end; libraft has the other one */
    struct wire_check check;
    struct wire_bytes out; /* in: what libraft is given now */
    uv_write_t write;
    unsigned open; /* channel and local */
    bool closing;
    struct error err;
    uint8_t chunk[CHUNK_BYTES]; /* out: what libraft wrote */
};

static void part_closed(struct pump *p)
{
    if (--p->open > 0)
        return;
    wire_check_close(&p->check);
    wire_bytes_close(&p->out);
    p->config.closed(p->config.ctx, p, error_or_null(&p->err));
    free(p);
}

static void on_channel_closed(void *ctx)
{
    part_closed(ctx);
}

static void on_local_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void pump_cancel(struct pump *p)
{
    if (p->closing)
        return;
    p->closing = true;
    channel_close(p->channel, on_channel_closed, p);
    uv_close((uv_handle_t *)&p->local, on_local_closed);
}

static void on_ended(void *ctx, const struct error *err)
{
    struct pump *p = ctx;
    if (err != NULL)
        p->err = *err;
    pump_cancel(p);
}

/* ---- in: libraft writes nothing; reading shows when it closes its end ---- */

static void on_local_written(uv_write_t *write, int uv_status)
{
    struct pump *p = write->data;
    if (p->closing)
        return;
    if (p->out.capacity > OUT_KEPT_BYTES)
        wire_bytes_close(&p->out);
    if (uv_status != 0 || channel_resume(p->channel) != STATUS_OK)
        pump_cancel(p);
}

static void on_bytes_in(void *ctx, const uint8_t *bytes, size_t length)
{
    struct pump *p = ctx;
    p->out.used = 0;
    if (wire_check_feed(&p->check, bytes, length, &p->out, &p->err) != STATUS_OK) {
        pump_cancel(p);
        return;
    }
    if (p->out.used == 0)
        return; /* a header that is not complete */
    channel_pause(p->channel);
    uv_buf_t out = uv_buf_init((char *)p->out.base, (unsigned)p->out.used);
    p->write.data = p;
    if (uv_write(&p->write, (uv_stream_t *)&p->local, &out, 1, on_local_written) != 0)
        pump_cancel(p);
}

/* ---- out: the peer says nothing here ---- */

static void on_bytes_out(void *ctx, const uint8_t *bytes, size_t length)
{
    struct pump *p = ctx;
    (void)bytes;
    error_set(&p->err, STATUS_CORRUPT, "%zu bytes where none are said", length);
    pump_cancel(p);
}

static void on_local_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct pump *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)p->chunk, sizeof p->chunk);
}

static void on_local_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pump *p = stream->data;
    (void)buf;
    if (n == 0)
        return;
    if (n < 0 || p->config.direction == PUMP_IN || channel_write(p->channel, p->chunk, (size_t)n) != STATUS_OK) {
        pump_cancel(p); /* libraft has closed its end, or the channel takes nothing */
        return;
    }
    uv_read_stop(stream);
}

static void on_drained(void *ctx)
{
    struct pump *p = ctx;
    if (!p->closing && uv_read_start((uv_stream_t *)&p->local, on_local_alloc, on_local_read) != 0)
        pump_cancel(p);
}

/* ---- life ---- */

static void free_handle(uv_handle_t *handle)
{
    raft_free(handle);
}

/* libraft's end of the pair. */
static uv_pipe_t *remote_open(uv_loop_t *loop, int fd)
{
    uv_pipe_t *pipe = raft_calloc(1, sizeof *pipe);
    if (pipe == NULL)
        return NULL;
    int rv = uv_pipe_init(loop, pipe, 0);
    ASSERT(rv == 0);
    if (uv_pipe_open(pipe, fd) == 0)
        return pipe;
    uv_close((uv_handle_t *)pipe, free_handle);
    return NULL;
}

static void start(struct pump *p, int fd)
{
    struct channel_events events = { .ctx = p,
                                     .bytes = p->config.direction == PUMP_IN ? on_bytes_in : on_bytes_out,
                                     .drained = p->config.direction == PUMP_IN ? NULL : on_drained,
                                     .ended = on_ended };
    int rv = uv_pipe_init(p->config.loop, &p->local, 0);
    ASSERT(rv == 0);
    p->local.data = p;
    p->open = 2;
    channel_set_events(p->channel, &events);
    rv = uv_pipe_open(&p->local, fd);
    if (rv != 0)
        close(fd);
    if (rv == 0)
        rv = uv_read_start((uv_stream_t *)&p->local, on_local_alloc, on_local_read);
    if (rv != 0)
        error_set(&p->err, STATUS_FAILED, "reading the Raft stream: %s", uv_strerror(rv));
    else if (channel_resume(p->channel) != STATUS_OK)
        error_set(&p->err, STATUS_UNREACHABLE, "the connection is over");
    if (p->err.status != STATUS_OK)
        pump_cancel(p); /* libraft gets an end of file at once, `closed` says why */
}

struct pump *pump_begin(const struct pump_config *config, struct channel *channel, uv_stream_t **stream,
                        void (*dropped)(void *ctx), struct error *err)
{
    int pair[2] = { -1, -1 };
    uv_pipe_t *remote = NULL;
    struct pump *p = calloc(1, sizeof *p);
    if (p == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        error_set(err, STATUS_FAILED, "socket pair for the Raft stream of node %llu: %m",
                  (unsigned long long)config->peer);
        goto fail;
    }
    remote = remote_open(config->loop, pair[1]);
    if (remote == NULL) {
        error_set(err, STATUS_FAILED, "no memory or handle for the Raft stream of node %llu",
                  (unsigned long long)config->peer);
        goto fail;
    }
    p->config = *config;
    p->channel = channel;
    wire_check_init(&p->check, config->snapshot_bytes_max);
    start(p, pair[0]);
    *stream = (uv_stream_t *)remote;
    return p;
fail:
    if (pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    free(p);
    channel_close(channel, dropped, config->ctx);
    return NULL;
}
