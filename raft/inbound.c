#include "raft/inbound.h"

#include "base/check.h"
#include "raft/wire_check.h"

#include <stdarg.h>

#include <raft.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES (64 * 1024)
#define OUT_KEPT_BYTES (256 * 1024) /* a larger buffer is returned after the message that needed it */

struct inbound {
    struct inbound_config config;
    struct wire_check check;
    struct wire_bytes out;
    uv_tcp_t *tcp;
    uv_pipe_t local; /* our end; libraft has the other one */
    uv_write_t write;
    unsigned handles_open;
    bool closing;
    struct error err;
    uint8_t chunk[CHUNK_BYTES];
    uint8_t unexpected[8]; /* libraft writes nothing to an incoming stream; reading shows when it closes it */
};

static void on_handle_closed(struct inbound *in)
{
    if (--in->handles_open > 0)
        return;
    wire_check_close(&in->check);
    wire_bytes_close(&in->out);
    if (in->config.closed != NULL)
        in->config.closed(in->config.ctx, in, error_or_null(&in->err));
    free(in);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct inbound *in = handle->data;
    raft_free(handle);
    on_handle_closed(in);
}

static void on_local_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

void inbound_cancel(struct inbound *in)
{
    if (in->closing)
        return;
    in->closing = true;
    uv_close((uv_handle_t *)in->tcp, on_tcp_closed);
    uv_close((uv_handle_t *)&in->local, on_local_closed);
}

static void on_tcp_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct inbound *in = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)in->chunk, sizeof in->chunk);
}

static void on_tcp_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_local_written(uv_write_t *write, int uv_status)
{
    struct inbound *in = write->data;
    if (in->closing)
        return;
    if (in->out.capacity > OUT_KEPT_BYTES)
        wire_bytes_close(&in->out);
    if (uv_status != 0 || uv_read_start((uv_stream_t *)in->tcp, on_tcp_alloc, on_tcp_read) != 0)
        inbound_cancel(in);
}

static void on_tcp_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct inbound *in = stream->data;
    (void)buf;
    if (in->closing || n == 0)
        return;
    if (n < 0) {
        inbound_cancel(in);
        return;
    }
    in->out.used = 0;
    if (wire_check_feed(&in->check, in->chunk, (size_t)n, &in->out, &in->err) != STATUS_OK) {
        inbound_cancel(in);
        return;
    }
    if (in->out.used == 0)
        return; /* a header that is not complete */
    uv_read_stop(stream);
    uv_buf_t out = uv_buf_init((char *)in->out.base, (unsigned)in->out.used);
    in->write.data = in;
    if (uv_write(&in->write, (uv_stream_t *)&in->local, &out, 1, on_local_written) != 0)
        inbound_cancel(in);
}

static void on_local_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct inbound *in = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)in->unexpected, sizeof in->unexpected);
}

static void on_local_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct inbound *in = stream->data;
    (void)buf;
    if (n != 0)
        inbound_cancel(in); /* libraft has closed its end */
}

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

struct inbound *inbound_begin(const struct inbound_config *config, uv_tcp_t *tcp, uv_stream_t **stream,
                              struct error *err)
{
    int pair[2] = { -1, -1 };
    uv_pipe_t *remote = NULL;
    struct inbound *in = calloc(1, sizeof *in);
    if (in == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        error_set(err, STATUS_FAILED, "socket pair for the Raft stream of node %llu: %m",
                  (unsigned long long)config->from);
        goto fail;
    }
    remote = remote_open(config->loop, pair[1]);
    if (remote == NULL) {
        error_set(err, STATUS_FAILED, "no memory or handle for the Raft stream of node %llu",
                  (unsigned long long)config->from);
        goto fail;
    }
    pair[1] = -1;
    in->config = *config;
    wire_check_init(&in->check, config->snapshot_bytes_max);
    int rv = uv_pipe_init(config->loop, &in->local, 0);
    ASSERT(rv == 0);
    in->local.data = in;
    in->tcp = tcp;
    tcp->data = in;
    in->handles_open = 2;
    rv = uv_pipe_open(&in->local, pair[0]);
    if (rv != 0)
        close(pair[0]);
    if (rv != 0 || (rv = uv_read_start((uv_stream_t *)&in->local, on_local_alloc, on_local_read)) != 0 ||
        (rv = uv_read_start((uv_stream_t *)tcp, on_tcp_alloc, on_tcp_read)) != 0)
        error_set(&in->err, STATUS_FAILED, "reading the Raft stream: %s", uv_strerror(rv));
    if (in->err.status != STATUS_OK)
        inbound_cancel(in); /* libraft gets an end of file at once, `closed` says why */
    *stream = (uv_stream_t *)remote;
    return in;
fail:
    if (pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    free(in);
    uv_close((uv_handle_t *)tcp, free_handle);
    return NULL;
}
