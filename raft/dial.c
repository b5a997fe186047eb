#include "raft/dial.h"

#include "base/check.h"

#include <stdarg.h>

#include <raft.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define USER_TIMEOUT_MS 3000
#define KEEPALIVE_IDLE_S 1
#define KEEPALIVE_INTERVAL_S 1
#define KEEPALIVE_PROBES 3

enum dial_phase { DIAL_START, DIAL_RESOLVING, DIAL_CONNECTING, DIAL_WRITING, DIAL_READING, DIAL_CLOSING };

struct dial {
    struct dial_request request;
    struct sockaddr_storage source;
    struct sockaddr_storage peer;
    uint16_t port;
    enum dial_phase phase;
    struct resolve *resolve;
    uv_tcp_t *tcp; /* NULL before and after */
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    uint8_t hello[HELLO_BYTES];
    uint8_t answer[HELLO_ANSWER_BYTES];
    size_t answered;
    unsigned handles_open;
    struct error err;
    dial_cb done;
    void *ctx;
};

enum status dial_socket_options(uv_tcp_t *tcp, struct error *err)
{
    int fd = -1;
    const unsigned user_timeout = USER_TIMEOUT_MS;
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    if (uv_fileno((uv_handle_t *)tcp, &fd) != 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) != 0)
        return error_set(err, STATUS_FAILED, "socket options: %m");
    return STATUS_OK;
}

static void dial_step(struct dial *d);

static void on_closed(uv_handle_t *handle)
{
    struct dial *d = handle->data;
    d->handles_open--;
    dial_step(d);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct dial *d = handle->data;
    raft_free(handle);
    d->handles_open--;
    dial_step(d);
}

static void drop_tcp(struct dial *d)
{
    uv_tcp_t *tcp = d->tcp;
    d->tcp = NULL;
    if (tcp != NULL) {
        d->handles_open++;
        uv_close((uv_handle_t *)tcp, on_tcp_closed);
    }
}

/* The end, good or bad; later calls change nothing but a success into a failure. */
static void finish(struct dial *d, const struct error *err)
{
    if (err != NULL && d->err.status == STATUS_OK)
        d->err = *err;
    if (d->err.status != STATUS_OK)
        drop_tcp(d);
    if (d->phase == DIAL_CLOSING)
        return;
    d->phase = DIAL_CLOSING;
    if (d->resolve != NULL)
        resolve_cancel(d->resolve); /* on_resolved still comes */
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

static void fail(struct dial *d, enum status status, const char *what, int uv_status)
{
    struct error err;
    error_set(&err, status, "node %llu at %s: %s: %s", (unsigned long long)d->request.hello.to,
              d->request.hello.to_address, what, uv_strerror(uv_status));
    finish(d, &err);
}

static void on_timeout(uv_timer_t *timer)
{
    struct dial *d = timer->data;
    static const char *const doing[] = {
        [DIAL_START] = "start",   [DIAL_RESOLVING] = "name resolution",      [DIAL_CONNECTING] = "connecting",
        [DIAL_WRITING] = "hello", [DIAL_READING] = "waiting for its answer", [DIAL_CLOSING] = "closing"
    };
    fail(d, STATUS_TIMED_OUT, doing[d->phase], UV_ETIMEDOUT);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct dial *d = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)d->answer + d->answered, (unsigned)(sizeof d->answer - d->answered));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct dial *d = stream->data;
    (void)buf;
    if (d->phase != DIAL_READING || n == 0)
        return;
    if (n < 0) {
        fail(d, STATUS_UNREACHABLE, "it hung up instead of answering", (int)n);
        return;
    }
    d->answered += (size_t)n;
    if (d->answered == sizeof d->answer)
        dial_step(d);
}

static void on_written(uv_write_t *write, int uv_status)
{
    struct dial *d = write->data;
    if (d->phase != DIAL_WRITING)
        return;
    if (uv_status != 0)
        fail(d, STATUS_UNREACHABLE, "hello", uv_status);
    else
        dial_step(d);
}

static void on_connected(uv_connect_t *connect, int uv_status)
{
    struct dial *d = connect->data;
    if (d->phase != DIAL_CONNECTING)
        return;
    if (uv_status != 0)
        fail(d, STATUS_UNREACHABLE, "connect", uv_status);
    else
        dial_step(d);
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct dial *d = ctx;
    d->resolve = NULL;
    if (d->phase != DIAL_RESOLVING) {
        dial_step(d);
    } else if (err != NULL) {
        finish(d, err);
    } else {
        /* One address per attempt, another one the next time: the attempts are repeated anyway. */
        d->peer = result->addresses[uv_hrtime() % result->address_count];
        address_set_port(&d->peer, d->port);
        dial_step(d);
    }
}

static enum status resolve_peer(struct dial *d, struct error *err)
{
    char host[HOST_TEXT_MAX];
    enum status status = address_split(d->request.hello.to_address, 0, host, &d->port, err);
    if (status != STATUS_OK)
        return status;
    if (d->port == 0)
        return error_set(err, STATUS_INVALID, "address %s has no port", d->request.hello.to_address);
    if (address_parse(host, d->port, &d->peer)) {
        d->phase = DIAL_CONNECTING;
        return STATUS_OK;
    }
    if (d->request.resolver == NULL)
        return error_set(err, STATUS_INVALID, "address %s is not numeric", d->request.hello.to_address);
    d->resolve = resolve_begin(d->request.resolver, host, HELLO_TIMEOUT_MS, on_resolved, d);
    return STATUS_OK;
}

static enum status connect_peer(struct dial *d, struct error *err)
{
    d->tcp = raft_calloc(1, sizeof *d->tcp);
    if (d->tcp == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    int rv = uv_tcp_init_ex(d->request.loop, d->tcp, d->peer.ss_family);
    if (rv != 0) {
        raft_free(d->tcp);
        d->tcp = NULL;
        return error_set(err, STATUS_FAILED, "socket: %s", uv_strerror(rv));
    }
    d->tcp->data = d;
    if (dial_socket_options(d->tcp, err) != STATUS_OK)
        return err->status;
    if (d->source.ss_family == d->peer.ss_family) {
        rv = uv_tcp_bind(d->tcp, (const struct sockaddr *)&d->source, 0);
        if (rv != 0)
            return error_set(err, STATUS_FAILED, "bind to the address that we listen on: %s", uv_strerror(rv));
    }
    d->connect.data = d;
    rv = uv_tcp_connect(&d->connect, d->tcp, (const struct sockaddr *)&d->peer, on_connected);
    if (rv != 0)
        return error_set(err, STATUS_UNREACHABLE, "node %llu at %s: %s", (unsigned long long)d->request.hello.to,
                         d->request.hello.to_address, uv_strerror(rv));
    return STATUS_OK;
}

static void read_verdict(struct dial *d)
{
    struct error err;
    enum hello_verdict verdict;
    uv_read_stop((uv_stream_t *)d->tcp);
    if (hello_answer_decode(d->answer, &verdict) != STATUS_OK) {
        error_set(&err, STATUS_REFUSED, "what listens at %s is no node of ours", d->request.hello.to_address);
        finish(d, &err);
    } else if (verdict != HELLO_ACCEPTED) {
        error_set(&err, STATUS_REFUSED, "node %llu at %s refuses us: %s", (unsigned long long)d->request.hello.to,
                  d->request.hello.to_address, hello_verdict_text(verdict));
        finish(d, &err);
    } else {
        finish(d, NULL);
    }
}

static void dial_step(struct dial *d)
{
    struct error err;
    uv_buf_t hello = uv_buf_init((char *)d->hello, sizeof d->hello);
    int rv = 0;
    switch (d->phase) {
    case DIAL_START: /* on_resolved continues, or at once */
        d->phase = DIAL_RESOLVING;
        if (resolve_peer(d, &err) != STATUS_OK) {
            finish(d, &err);
            return;
        }
        if (d->phase == DIAL_RESOLVING)
            return;
        /* fall through */
    case DIAL_RESOLVING: /* on_connected continues */
        d->phase = DIAL_CONNECTING;
        if (connect_peer(d, &err) != STATUS_OK)
            finish(d, &err);
        return;
    case DIAL_CONNECTING: /* on_written continues */
        d->phase = DIAL_WRITING;
        d->write.data = d;
        rv = uv_write(&d->write, (uv_stream_t *)d->tcp, &hello, 1, on_written);
        if (rv != 0)
            fail(d, STATUS_UNREACHABLE, "hello", rv);
        return;
    case DIAL_WRITING: /* on_read continues */
        d->phase = DIAL_READING;
        rv = uv_read_start((uv_stream_t *)d->tcp, on_alloc, on_read);
        if (rv != 0)
            fail(d, STATUS_UNREACHABLE, "answer", rv);
        return;
    case DIAL_READING: /* on_closed continues */
        read_verdict(d);
        return;
    case DIAL_CLOSING:
        if (d->handles_open > 0 || d->resolve != NULL)
            return; /* the next one of them continues */
        d->done(d->ctx, d->tcp, error_or_null(&d->err));
        free(d);
        return;
    }
}

struct dial *dial_begin(const struct dial_request *request, dial_cb done, void *ctx)
{
    ASSERT(done != NULL);
    struct dial *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->request = *request;
    d->source = request->source;
    if (d->source.ss_family != AF_UNSPEC)
        address_set_port(&d->source, 0);
    d->done = done;
    d->ctx = ctx;
    hello_encode(&request->hello, d->hello);
    int rv = uv_timer_init(request->loop, &d->timer);
    ASSERT(rv == 0);
    d->timer.data = d;
    d->handles_open = 1;
    rv = uv_timer_start(&d->timer, on_timeout, HELLO_TIMEOUT_MS, 0);
    ASSERT(rv == 0);
    dial_step(d);
    return d;
}

void dial_cancel(struct dial *d)
{
    struct error err;
    error_set(&err, STATUS_CANCELED, "canceled");
    finish(d, &err);
}
