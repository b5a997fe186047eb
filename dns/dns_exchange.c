#include "dns/dns_exchange.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "io/address.h"
#include "io/clock.h"

#define ANSWER_BYTES_MAX 4096 /* of what we ask for; a longer answer is refused */

struct dns_exchange {
    uv_timer_t timer;
    uv_udp_t udp;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    int open_count; /* handles that have not said closed */
    bool udp_open, tcp_open, tcp_tried, closing;
    struct sockaddr_storage server;
    char server_text[ADDRESS_TEXT_MAX];
    struct dns_message message;
    uint8_t prefix[2]; /* TCP: the message's length */
    const struct tsig_key *key;
    uint32_t timeout_ms;
    int64_t begun_us;
    uint8_t answer[2 + ANSWER_BYTES_MAX];
    size_t answer_bytes; /* TCP: collected so far */
    struct dns_reply reply;
    struct error err;
    dns_exchange_cb done;
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    struct dns_exchange *x = handle->data;

    if (--x->open_count > 0)
        return;
    x->done(x->ctx, x->err.status == STATUS_OK ? &x->reply : NULL, error_or_null(&x->err));
    free(x);
}

static void udp_close(struct dns_exchange *x)
{
    if (!x->udp_open)
        return;
    x->udp_open = false;
    uv_close((uv_handle_t *)&x->udp, on_closed);
}

static void conclude(struct dns_exchange *x)
{
    if (x->closing)
        return;
    x->closing = true;
    udp_close(x);
    if (x->tcp_open)
        uv_close((uv_handle_t *)&x->tcp, on_closed);
    uv_close((uv_handle_t *)&x->timer, on_closed);
}

static void fail(struct dns_exchange *x, enum status status, int reason)
{
    if (x->closing)
        return;
    error_set(&x->err, status, "DNS server %s: %s", x->server_text, uv_strerror(reason));
    conclude(x);
}

static enum status status_of(int reason)
{
    return reason == UV_ECONNREFUSED || reason == UV_EHOSTUNREACH || reason == UV_ENETUNREACH ? STATUS_UNREACHABLE
                                                                                              : STATUS_TIMED_OUT;
}

static void tcp_start(struct dns_exchange *x);

/* True: this was the answer, or an end. */
static bool take_answer(struct dns_exchange *x, const void *bytes, size_t length, bool by_tcp)
{
    struct error err = ERROR_NONE;
    enum status status = dns_wire_parse(&x->reply, bytes, length, &x->message, x->key, &err);

    if (status == STATUS_NOT_FOUND)
        return false; /* late or forged: the right one may still come */
    if (status != STATUS_OK) {
        error_set(&x->err, status, "DNS server %s: %s", x->server_text, err.text);
        conclude(x);
        return true;
    }
    if (x->reply.truncated && !by_tcp) {
        udp_close(x);
        tcp_start(x); /* on_tcp_connected continues */
        return true;
    }
    conclude(x);
    return true;
}

/* ---- TCP ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buf)
{
    struct dns_exchange *x = handle->data;

    (void)suggested_bytes;
    if (handle == (uv_handle_t *)&x->tcp)
        *buf = uv_buf_init((char *)x->answer + x->answer_bytes, (unsigned)(sizeof x->answer - x->answer_bytes));
    else
        *buf = uv_buf_init((char *)x->answer, ANSWER_BYTES_MAX);
}

static void on_tcp_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct dns_exchange *x = stream->data;
    size_t length;

    (void)buf;
    if (n < 0) {
        fail(x, STATUS_TIMED_OUT, (int)n); /* it was sent: what became of it is unknown */
        return;
    }
    x->answer_bytes += (size_t)n;
    if (x->answer_bytes < 2)
        return;
    length = (size_t)x->answer[0] << 8 | x->answer[1];
    if (length > ANSWER_BYTES_MAX) {
        error_set(&x->err, STATUS_CORRUPT, "DNS server %s: an answer of %zu bytes", x->server_text, length);
        conclude(x);
    } else if (x->answer_bytes >= length + 2 && !take_answer(x, x->answer + 2, length, true)) {
        error_set(&x->err, STATUS_CORRUPT, "DNS server %s answered another question", x->server_text);
        conclude(x);
    }
}

static void on_tcp_written(uv_write_t *write, int status)
{
    if (status != 0)
        fail(write->data, STATUS_TIMED_OUT, status);
}

/* The datagram may have been taken all the same, so its answer is still waited for. */
static void tcp_refused(struct dns_exchange *x, int reason)
{
    if (!x->udp_open) {
        fail(x, STATUS_TIMED_OUT, reason);
        return;
    }
    x->tcp_open = false;
    uv_close((uv_handle_t *)&x->tcp, on_closed);
}

static void on_tcp_connected(uv_connect_t *connect, int status)
{
    struct dns_exchange *x = connect->data;
    uv_buf_t bufs[2];

    if (x->closing)
        return;
    if (status != 0) {
        tcp_refused(x, status);
        return;
    }
    udp_close(x); /* both read into the same buffer */
    x->prefix[0] = (uint8_t)(x->message.length >> 8);
    x->prefix[1] = (uint8_t)x->message.length;
    bufs[0] = uv_buf_init((char *)x->prefix, sizeof x->prefix);
    bufs[1] = uv_buf_init((char *)x->message.bytes, (unsigned)x->message.length);
    x->write.data = x;
    status = uv_write(&x->write, (uv_stream_t *)&x->tcp, bufs, 2, on_tcp_written);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&x->tcp, on_alloc, on_tcp_read);
    if (status != 0)
        fail(x, STATUS_TIMED_OUT, status);
}

static void tcp_start(struct dns_exchange *x)
{
    int failed;

    if (x->tcp_open)
        return;
    if (x->tcp_tried) {
        fail(x, STATUS_TIMED_OUT, UV_ECONNREFUSED);
        return;
    }
    x->tcp_tried = true;
    failed = uv_tcp_init(uv_handle_get_loop((uv_handle_t *)&x->timer), &x->tcp);
    ASSERT(failed == 0);
    x->tcp.data = x;
    x->tcp_open = true;
    x->open_count++;
    x->connect.data = x;
    failed = uv_tcp_connect(&x->connect, &x->tcp, (const struct sockaddr *)&x->server, on_tcp_connected);
    if (failed != 0)
        tcp_refused(x, failed);
}

/* ---- UDP ---- */

static void on_udp_read(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct dns_exchange *x = udp->data;

    if (x->closing || (n == 0 && from == NULL))
        return;
    if (n < 0)
        fail(x, status_of((int)n), (int)n);
    else if ((flags & UV_UDP_PARTIAL) == 0)
        (void)take_answer(x, buf->base, (size_t)n, false);
}

static void udp_start(struct dns_exchange *x)
{
    uv_buf_t buf = uv_buf_init((char *)x->message.bytes, (unsigned)x->message.length);
    int failed = uv_udp_init(uv_handle_get_loop((uv_handle_t *)&x->timer), &x->udp);

    ASSERT(failed == 0);
    x->udp.data = x;
    x->udp_open = true;
    x->open_count++;
    failed = uv_udp_connect(&x->udp, (const struct sockaddr *)&x->server);
    if (failed == 0)
        failed = uv_udp_recv_start(&x->udp, on_alloc, on_udp_read);
    if (failed == 0) {
        int sent = uv_udp_try_send(&x->udp, &buf, 1, NULL);
        failed = sent < 0 ? sent : 0;
    }
    if (failed != 0)
        fail(x, status_of(failed), failed);
}

/* ---- */

static void on_timer(uv_timer_t *timer)
{
    struct dns_exchange *x = timer->data;
    uint64_t left_ms = clock_left_ms(x->begun_us, x->timeout_ms);

    if (x->closing)
        return;
    if (left_ms == 0) {
        error_set(&x->err, STATUS_TIMED_OUT, "DNS server %s: no answer within %" PRIu32 " ms", x->server_text,
                  x->timeout_ms);
        conclude(x);
        return;
    }
    ASSERT(uv_timer_start(&x->timer, on_timer, left_ms, 0) == 0);
    tcp_start(x); /* UDP may be filtered, or the datagram lost; its answer is still welcome */
}

struct dns_exchange *dns_exchange_begin(uv_loop_t *loop, const struct sockaddr_storage *server,
                                        const struct dns_message *message, const struct tsig_key *key,
                                        uint32_t timeout_ms, dns_exchange_cb done, void *ctx)
{
    struct dns_exchange *x = calloc(1, sizeof *x);

    ASSERT(x != NULL);
    ASSERT(uv_timer_init(loop, &x->timer) == 0);
    x->timer.data = x;
    x->open_count = 1;
    x->server = *server;
    (void)address_text(server, true, x->server_text, sizeof x->server_text);
    x->message = *message;
    x->key = key;
    x->timeout_ms = timeout_ms;
    x->begun_us = clock_now_us();
    x->done = done;
    x->ctx = ctx;
    ASSERT(uv_timer_start(&x->timer, on_timer, timeout_ms / 2, 0) == 0);
    udp_start(x);
    return x; /* on_udp_read or on_timer continues */
}

void dns_exchange_cancel(struct dns_exchange *x)
{
    error_set(&x->err, STATUS_CANCELED, "DNS server %s: canceled", x->server_text);
    conclude(x);
}
