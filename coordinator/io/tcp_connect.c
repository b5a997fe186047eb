/* resolve → for each address: socket, connect, wait until writable or its share of the time is over → done. */
#include "io/tcp_connect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"

struct tcp_connect {
    uv_timer_t timer;
    uv_poll_t poll; /* of one address; initialised again for the next */
    bool polling;
    bool poll_closing;
    bool closing;
    int fd;
    struct resolve *resolving;
    char host[HOST_TEXT_MAX];
    uint16_t port;
    uint32_t timeout_ms;
    int64_t begun_us;
    int64_t connect_us;
    struct resolve_result addresses;
    size_t next; /* address to try */
    struct tcp_connect_result result;
    struct error err;
    tcp_connect_cb done;
    void *ctx;
};

static void try_next(struct tcp_connect *c);

static void on_timer_closed(uv_handle_t *handle)
{
    struct tcp_connect *c = handle->data;

    if (c->err.status != STATUS_OK && c->fd >= 0)
        (void)close(c->fd);
    c->done(c->ctx, c->err.status == STATUS_OK ? &c->result : NULL, error_or_null(&c->err));
    free(c);
}

/* The one way out, taken again whenever something that was in the way is gone. */
static void conclude(struct tcp_connect *c)
{
    c->closing = true;
    if (c->resolving != NULL || c->polling || uv_is_closing((uv_handle_t *)&c->timer))
        return;
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct tcp_connect *c = handle->data;

    c->polling = c->poll_closing = false;
    if (c->closing) {
        conclude(c);
        return;
    }
    (void)close(c->fd);
    c->fd = -1;
    try_next(c);
}

static void poll_close(struct tcp_connect *c)
{
    if (c->poll_closing)
        return;
    c->poll_closing = true;
    uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

static enum status fail(struct tcp_connect *c, int reason)
{
    char peer[ADDRESS_TEXT_MAX];

    (void)address_text(&c->addresses.addresses[c->next - 1], true, peer, sizeof peer);
    return error_set(&c->err, STATUS_UNREACHABLE, "%.200s (%s): %s", c->host, peer, strerror(reason));
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct tcp_connect *c = poll->data;
    socklen_t length = sizeof(int);
    int reason = 0;

    (void)events;
    if (c->poll_closing)
        return;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &reason, &length) != 0)
        reason = errno;
    if (reason == 0 && status < 0)
        reason = -status;
    if (reason == 0) {
        c->err = ERROR_NONE;
        c->result.fd = c->fd;
        c->result.peer = c->addresses.addresses[c->next - 1];
        c->result.rtt_us = clock_now_us() - c->connect_us;
        c->closing = true;
    } else {
        (void)fail(c, reason);
    }
    poll_close(c); /* on_poll_closed continues: the end, or the next address */
}

static void on_timer(uv_timer_t *timer)
{
    struct tcp_connect *c = timer->data;

    if (c->closing)
        return;
    error_set(&c->err, STATUS_TIMED_OUT, "%.200s port %u: no connection within %" PRIu32 " ms", c->host, c->port,
              c->timeout_ms);
    if (clock_left_ms(c->begun_us, c->timeout_ms) == 0 || c->next == c->addresses.address_count)
        c->closing = true;
    poll_close(c);
}

/* False: this address is not worth waiting for; the reason is in c->err. */
static bool try_one(struct tcp_connect *c, const struct sockaddr_storage *address)
{
    c->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        (void)fail(c, errno);
        return false;
    }
    c->connect_us = clock_now_us();
    if (connect(c->fd, (const struct sockaddr *)address, address_bytes(address)) != 0 && errno != EINPROGRESS) {
        (void)fail(c, errno);
        (void)close(c->fd);
        c->fd = -1;
        return false;
    }
    ASSERT(uv_poll_init_socket(c->timer.loop, &c->poll, c->fd) == 0);
    c->poll.data = c;
    c->polling = true;
    ASSERT(uv_poll_start(&c->poll, UV_WRITABLE, on_writable) == 0);
    return true;
}

static void try_next(struct tcp_connect *c)
{
    while (c->next < c->addresses.address_count) {
        uint64_t left_ms = clock_left_ms(c->begun_us, c->timeout_ms);
        if (left_ms == 0) {
            error_set(&c->err, STATUS_TIMED_OUT, "%.200s port %u: no connection within %" PRIu32 " ms", c->host,
                      c->port, c->timeout_ms);
            break;
        }
        const struct sockaddr_storage *address = &c->addresses.addresses[c->next++];
        uint64_t share_ms = left_ms / (c->addresses.address_count - c->next + 1);
        if (try_one(c, address)) {
            ASSERT(uv_timer_start(&c->timer, on_timer, share_ms > 0 ? share_ms : 1, 0) == 0);
            return; /* on_writable or on_timer continues */
        }
    }
    conclude(c);
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct tcp_connect *c = ctx;

    c->resolving = NULL;
    if (err != NULL && !c->closing)
        c->err = *err;
    if (err != NULL || c->closing) {
        conclude(c);
        return;
    }
    c->addresses = *result;
    for (size_t i = 0; i < c->addresses.address_count; i++)
        address_set_port(&c->addresses.addresses[i], c->port);
    try_next(c);
}

struct tcp_connect *tcp_connect_begin(uv_loop_t *loop, struct resolver *resolver, const char *host, uint16_t port,
                                      uint32_t timeout_ms, tcp_connect_cb done, void *ctx)
{
    struct tcp_connect *c = calloc(1, sizeof *c);

    ASSERT(c != NULL);
    ASSERT(uv_timer_init(loop, &c->timer) == 0);
    c->timer.data = c;
    c->fd = -1;
    c->port = port;
    c->timeout_ms = timeout_ms;
    c->begun_us = clock_now_us();
    c->done = done;
    c->ctx = ctx;
    (void)text_copy(c->host, sizeof c->host, host); /* too long a name is refused by resolve */
    c->resolving = resolve_begin(resolver, host, timeout_ms, on_resolved, c);
    return c; /* on_resolved continues */
}

void tcp_connect_cancel(struct tcp_connect *c)
{
    error_set(&c->err, STATUS_CANCELED, "%.200s port %u: canceled", c->host, c->port);
    if (c->closing)
        return; /* on_timer_closed continues, and finds the error */
    c->closing = true;
    if (c->resolving != NULL)
        resolve_cancel(c->resolving);
    else
        poll_close(c);
}
