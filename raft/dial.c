#include "raft/dial.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define TLS_ALERT 0x15 /* the first byte of a TLS record that ends a connection */

enum dial_phase { DIAL_START, DIAL_RESOLVING, DIAL_CONNECTING, DIAL_SECURING, DIAL_READING, DIAL_CLOSING };

struct dial {
    enum hello_verdict verdict;
    struct dial_request request;
    struct sockaddr_storage source;
    struct sockaddr_storage peer;
    uint16_t port;
    enum dial_phase phase;
    struct resolve *resolve;
    struct channel *channel; /* NULL before and after */
    uv_timer_t timer;
    uv_connect_t connect;
    uint8_t hello[HELLO_BYTES];
    uint8_t answer[HELLO_ANSWER_BYTES];
    size_t answered;
    unsigned handles_open;
    struct error err;
    dial_cb done;
    void *ctx;
};

static void dial_step(struct dial *d);

static void on_closed(uv_handle_t *handle)
{
    struct dial *d = handle->data;
    d->handles_open--;
    dial_step(d);
}

static void on_channel_closed(void *ctx)
{
    struct dial *d = ctx;
    d->handles_open--;
    dial_step(d);
}

static void drop_channel(struct dial *d)
{
    struct channel *channel = d->channel;
    d->channel = NULL;
    if (channel != NULL) {
        d->handles_open++;
        channel_close(channel, on_channel_closed, d);
    }
}

/* The end, good or bad; later calls change nothing but a success into a failure. */
static void finish(struct dial *d, const struct error *err)
{
    if (err != NULL && d->err.status == STATUS_OK)
        d->err = *err;
    if (d->err.status != STATUS_OK)
        drop_channel(d);
    if (d->phase == DIAL_CLOSING)
        return;
    d->phase = DIAL_CLOSING;
    if (d->resolve != NULL)
        resolve_cancel(d->resolve); /* on_resolved still comes */
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

static void fail(struct dial *d, enum status status, const char *what, const char *why)
{
    struct error err;
    error_set(&err, status, "node %llu at %s: %s: %s", (unsigned long long)d->request.hello.to,
              d->request.hello.to_address, what, why);
    finish(d, &err);
}

static void on_timeout(uv_timer_t *timer)
{
    struct dial *d = timer->data;
    static const char *const doing[] = { [DIAL_START] = "start",
                                         [DIAL_RESOLVING] = "name resolution",
                                         [DIAL_CONNECTING] = "connecting",
                                         [DIAL_SECURING] = "TLS handshake",
                                         [DIAL_READING] = "waiting for its answer",
                                         [DIAL_CLOSING] = "closing" };
    fail(d, STATUS_TIMED_OUT, doing[d->phase], uv_strerror(UV_ETIMEDOUT));
}

static void on_ready(void *ctx)
{
    struct dial *d = ctx;
    if (d->phase == DIAL_SECURING)
        dial_step(d);
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    struct dial *d = ctx;
    if (d->phase != DIAL_READING)
        return;
    if (length > sizeof d->answer - d->answered) {
        fail(d, STATUS_REFUSED, "answer", "what listens there is no node of ours");
        return;
    }
    memcpy(d->answer + d->answered, bytes, length);
    d->answered += length;
    if (d->answered == sizeof d->answer)
        dial_step(d);
}

static void on_ended(void *ctx, const struct error *err)
{
    struct dial *d = ctx;
    if (d->request.tls == NULL && d->answered > 0 && d->answer[0] == TLS_ALERT)
        fail(d, STATUS_REFUSED, "it takes TLS only", "this node is set to plain TCP (insecure_loopback: true)");
    else if (err != NULL)
        fail(d, err->status == STATUS_CORRUPT ? STATUS_REFUSED : err->status,
             d->phase == DIAL_READING ? "answer" : "TLS", err->text);
    else
        fail(d, STATUS_UNREACHABLE, d->phase == DIAL_READING ? "answer" : "TLS", "it hung up");
}

static void on_connected(uv_connect_t *connect, int uv_status)
{
    struct dial *d = connect->data;
    if (d->phase != DIAL_CONNECTING)
        return;
    if (uv_status != 0)
        fail(d, STATUS_UNREACHABLE, "connect", uv_strerror(uv_status));
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
    d->channel = channel_create(d->request.loop, d->peer.ss_family, err);
    if (d->channel == NULL || channel_options(d->channel, err) != STATUS_OK)
        return err->status;
    if (d->source.ss_family == d->peer.ss_family) {
        int rv = uv_tcp_bind(channel_tcp(d->channel), (const struct sockaddr *)&d->source, 0);
        if (rv != 0)
            return error_set(err, STATUS_FAILED, "bind to the address that we listen on: %s", uv_strerror(rv));
    }
    d->connect.data = d;
    int rv = uv_tcp_connect(&d->connect, channel_tcp(d->channel), (const struct sockaddr *)&d->peer, on_connected);
    if (rv != 0)
        return error_set(err, STATUS_UNREACHABLE, "node %llu at %s: %s", (unsigned long long)d->request.hello.to,
                         d->request.hello.to_address, uv_strerror(rv));
    return STATUS_OK;
}

static enum status secure(struct dial *d, struct error *err)
{
    struct tls_options options = { .side = TLS_CLIENT, .peer_kind = TLS_NODE, .peer_id = d->request.hello.to };
    struct channel_events events = { .ctx = d, .ready = on_ready, .bytes = on_bytes, .ended = on_ended };
    return channel_begin(d->channel, d->request.tls, &options, &events, err);
}

static void read_verdict(struct dial *d)
{
    struct error err;
    enum hello_verdict verdict;
    channel_pause(d->channel);
    if (hello_answer_decode(d->answer, &verdict) != STATUS_OK) {
        error_set(&err, STATUS_REFUSED, "what listens at %s is no node of ours", d->request.hello.to_address);
        finish(d, &err);
    } else if (verdict != HELLO_ACCEPTED) {
        d->verdict = verdict;
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
    case DIAL_CONNECTING: /* on_ready continues, or at once without TLS */
        d->phase = DIAL_SECURING;
        if (secure(d, &err) != STATUS_OK) {
            finish(d, &err);
            return;
        }
        if (d->request.tls != NULL)
            return;
        /* fall through */
    case DIAL_SECURING: /* on_bytes continues */
        d->phase = DIAL_READING;
        if (channel_write(d->channel, d->hello, sizeof d->hello) != STATUS_OK)
            fail(d, STATUS_UNREACHABLE, "hello", "cannot write");
        return;
    case DIAL_READING: /* on_closed continues */
        read_verdict(d);
        return;
    case DIAL_CLOSING:
        if (d->handles_open > 0 || d->resolve != NULL)
            return; /* the next one of them continues */
        d->done(d->ctx, d->channel, error_or_null(&d->err));
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

enum hello_verdict dial_verdict(const struct dial *d)
{
    return d->verdict;
}
