/* Happy path: bytes from the socket -> io/tls -> the owner; the owner's bytes -> io/tls -> one uv_write. One read's bytes are delivered in one
 * piece: a record that was incomplete before can make them more than were read, by TLS_RECORD_MAX_BYTES at most.
 * Failure modes: whatever fails is told once by `ended`; TLS's own last word to the peer is written before the close. */
#include "raft/channel.h"

#include "base/check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define USER_TIMEOUT_MS 3000
#define KEEPALIVE_IDLE_S 1
#define KEEPALIVE_INTERVAL_S 1
#define KEEPALIVE_PROBES 3
#define READ_BYTES (32 * 1024)

struct channel {
    uv_tcp_t tcp;
    struct tls *tls; /* NULL: plain */
    struct channel_events events;
    bool ready, over, closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t read[READ_BYTES];
    uint8_t plain[READ_BYTES + TLS_RECORD_MAX_BYTES];
};

struct channel_write {
    uv_write_t write;
    struct channel *channel;
    uint8_t bytes[];
};

struct channel *channel_create(uv_loop_t *loop, unsigned family, struct error *err)
{
    struct channel *c = malloc(sizeof *c);
    if (c == NULL) {
        error_set(err, STATUS_FAILED, "out of memory");
        return NULL;
    }
    memset(c, 0, offsetof(struct channel, read));
    int rv = uv_tcp_init_ex(loop, &c->tcp, family);
    if (rv != 0) {
        error_set(err, STATUS_FAILED, "socket: %s", uv_strerror(rv));
        free(c);
        return NULL;
    }
    c->tcp.data = c;
    return c;
}

uv_tcp_t *channel_tcp(struct channel *c)
{
    return &c->tcp;
}

enum status channel_options(struct channel *c, struct error *err)
{
    int fd = -1;
    const unsigned user_timeout = USER_TIMEOUT_MS;
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) != 0)
        return error_set(err, STATUS_FAILED, "socket options: %m");
    return STATUS_OK;
}

static void end(struct channel *c, const struct error *err)
{
    if (c->over || c->closing)
        return;
    c->over = true;
    uv_read_stop((uv_stream_t *)&c->tcp);
    c->events.ended(c->events.ctx, err);
}

static void end_by_uv(struct channel *c, int uv_status)
{
    struct error err;
    error_set(&err, STATUS_UNREACHABLE, "%s", uv_strerror(uv_status));
    end(c, uv_status == UV_EOF ? NULL : &err);
}

/* ---- out ---- */

static void on_written(uv_write_t *write, int uv_status)
{
    struct channel_write *w = (struct channel_write *)(void *)write; /* the first member */
    struct channel *c = w->channel;
    free(w);
    if (c->over || c->closing)
        return;
    if (uv_status != 0)
        end_by_uv(c, uv_status);
    else if (c->events.drained != NULL && channel_queue_bytes(c) == 0)
        c->events.drained(c->events.ctx);
}

/* Writes what TLS has put out; without TLS, `bytes`. */
static enum status put_out(struct channel *c, const uint8_t *bytes, size_t length)
{
    if (c->tls != NULL)
        length = tls_output_bytes(c->tls);
    if (length == 0)
        return STATUS_OK;
    struct channel_write *w = malloc(sizeof *w + length);
    if (w == NULL)
        return STATUS_FAILED;
    w->channel = c;
    if (c->tls != NULL)
        ASSERT(tls_output(c->tls, w->bytes, length) == length);
    else
        memcpy(w->bytes, bytes, length);
    uv_buf_t buf = uv_buf_init((char *)w->bytes, (unsigned)length);
    if (uv_write(&w->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) == 0)
        return STATUS_OK;
    free(w);
    return STATUS_UNREACHABLE;
}

enum status channel_write(struct channel *c, const uint8_t *bytes, size_t length)
{
    struct error err;
    if (c->over || c->closing)
        return STATUS_UNREACHABLE;
    ASSERT(c->ready);
    if (c->tls != NULL && tls_write(c->tls, bytes, length, &err) != STATUS_OK)
        return err.status;
    return put_out(c, bytes, length);
}

size_t channel_queue_bytes(const struct channel *c)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
}

/* ---- in ---- */

/* All plain bytes that there are; the error comes after what was good before it. */
static enum status decrypt(struct channel *c, size_t received, size_t *length, struct error *err)
{
    size_t got = 0;
    *length = 0;
    if (tls_receive(c->tls, c->read, received, err) != STATUS_OK)
        return err->status;
    do {
        ASSERT(*length < sizeof c->plain);
        if (tls_read(c->tls, c->plain + *length, sizeof c->plain - *length, &got, err) != STATUS_OK)
            return err->status;
        *length += got;
    } while (got > 0);
    return STATUS_OK;
}

static void on_read_tls(struct channel *c, size_t received)
{
    struct error err = ERROR_NONE;
    size_t length = 0;
    bool was_ready = c->ready;
    enum status status = decrypt(c, received, &length, &err);
    enum status sent = put_out(c, NULL, 0); /* the handshake's next message, or why there is none */
    c->ready = tls_established(c->tls);
    if (c->ready && !was_ready)
        c->events.ready(c->events.ctx);
    if (length > 0 && !c->over && !c->closing)
        c->events.bytes(c->events.ctx, c->plain, length);
    if (status != STATUS_OK)
        end(c, &err);
    else if (sent != STATUS_OK)
        end_by_uv(c, UV_EPIPE);
    else if (tls_ended(c->tls))
        end(c, NULL);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct channel *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->read, sizeof c->read);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct channel *c = stream->data;
    (void)buf;
    if (n < 0)
        end_by_uv(c, (int)n);
    else if (n > 0 && c->tls != NULL)
        on_read_tls(c, (size_t)n);
    else if (n > 0)
        c->events.bytes(c->events.ctx, c->read, (size_t)n);
}

void channel_pause(struct channel *c)
{
    uv_read_stop((uv_stream_t *)&c->tcp);
}

enum status channel_resume(struct channel *c)
{
    if (c->over || c->closing || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        return STATUS_UNREACHABLE;
    return STATUS_OK;
}

/* ---- life ---- */

enum status channel_begin(struct channel *c, struct tls_context *tls, const struct tls_options *options,
                          const struct channel_events *events, struct error *err)
{
    ASSERT(c->tls == NULL && !c->closing);
    c->events = *events;
    c->ready = tls == NULL;
    if (tls != NULL) {
        c->tls = tls_create(tls, options, err);
        if (c->tls == NULL)
            return err->status;
    }
    int rv = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (rv != 0)
        return error_set(err, STATUS_UNREACHABLE, "%s", uv_strerror(rv));
    return put_out(c, NULL, 0) == STATUS_OK ? STATUS_OK : error_set(err, STATUS_UNREACHABLE, "cannot write");
}

void channel_set_events(struct channel *c, const struct channel_events *events)
{
    c->events = *events;
}

const struct tls_identity *channel_peer(const struct channel *c)
{
    return c->tls != NULL ? tls_peer(c->tls) : NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct channel *c = handle->data;
    void (*closed)(void *) = c->closed;
    void *ctx = c->closed_ctx;
    tls_destroy(c->tls);
    free(c);
    closed(ctx);
}

void channel_close(struct channel *c, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!c->closing);
    c->closed = closed;
    c->closed_ctx = ctx;
    if (c->tls != NULL && !c->over) {
        tls_end(c->tls);
        (void)put_out(c, NULL, 0); /* a courtesy */
    }
    c->closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}
