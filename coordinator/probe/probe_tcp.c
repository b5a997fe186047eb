#include "probe/probe_tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"
#include "io/tcp_connect.h"
#include "probe/probe_looks.h"

struct probe_tcp {
    struct probe_looks looks; /* first: freed as this */
    uv_loop_t *loop;
    struct resolver *resolver;
    char host[HOST_TEXT_MAX];
    uint16_t port;
};

struct tcp_look {
    struct probe_look look; /* first: freed as this */
    struct tcp_connect *connecting;
    int64_t begun_us;
};

static void on_connected(void *ctx, const struct tcp_connect_result *connected, const struct error *err)
{
    struct tcp_look *look = ctx;
    struct probe_result result = { .outcome = PROBE_OK };
    char peer[ADDRESS_TEXT_MAX];

    if (err != NULL && err->status == STATUS_CANCELED) {
        probe_looks_finish(&look->look, NULL);
        return;
    }
    if (err != NULL) {
        result.outcome = PROBE_FAILED;
        result.rtt_us = clock_now_us() - look->begun_us;
        (void)text_copy(result.detail, sizeof result.detail, err->text);
    } else {
        (void)close(connected->fd);
        result.rtt_us = connected->rtt_us;
        (void)snprintf(result.detail, sizeof result.detail, "connected to %s",
                       address_text(&connected->peer, true, peer, sizeof peer));
    }
    probe_looks_finish(&look->look, &result);
}

static struct probe_look *tcp_begin(void *self, uint32_t timeout_ms, probe_cb done, void *ctx)
{
    struct probe_tcp *p = self;
    struct tcp_look *look = calloc(1, sizeof *look);

    ASSERT(look != NULL);
    look->begun_us = clock_now_us();
    probe_looks_add(&p->looks, &look->look, done, ctx);
    look->connecting = tcp_connect_begin(p->loop, p->resolver, p->host, p->port, timeout_ms, on_connected, look);
    return &look->look;
}

static void tcp_cancel(struct probe_look *look)
{
    tcp_connect_cancel(((struct tcp_look *)look)->connecting);
}

static void tcp_close(void *self, void (*closed)(void *ctx), void *ctx)
{
    probe_looks_close(self, tcp_cancel, closed, ctx);
}

static const struct probe_method probe_tcp_method = {
    .name = "tcp", .begin = tcp_begin, .cancel = tcp_cancel, .close = tcp_close
};

struct probe probe_tcp_create(uv_loop_t *loop, struct resolver *resolver, const struct probe_tcp_config *config)
{
    struct probe_tcp *p = calloc(1, sizeof *p);

    ASSERT(p != NULL);
    probe_looks_init(&p->looks, loop);
    p->loop = loop;
    p->resolver = resolver;
    p->port = config->port;
    ASSERT(text_copy(p->host, sizeof p->host, config->host)); /* the configuration's schema bounds it */
    return (struct probe){ .method = &probe_tcp_method, .self = p };
}
