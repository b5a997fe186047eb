/* Happy path in: accept, read the hello within HELLO_TIMEOUT_MS, judge it, answer, hand the stream on. Out: libraft or messages ask, dial does it.
 * Failure modes: no hello, a refused one, too many at once: closed and counted; the other side tries again.
 *
 * `open` counts what must close before this object may go: listener, hellos, sockets being closed, inbound streams, dials. */
#include "raft/transport.h"

#include "base/check.h"
#include "io/address.h"
#include "io/clock.h"
#include "io/log.h"
#include "raft/inbound.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DIALS_MAX (2 * NODES_MAX) /* libraft keeps one per peer; a removed peer's may be among them */
#define BACKLOG 64
#define REFUSAL_LOG_US (10 * 1000 * 1000) /* a refused node comes back four times a second */

struct incoming {
    struct transport *transport;
    uv_tcp_t *tcp;
    uv_timer_t timer;
    uint8_t hello[HELLO_BYTES];
    size_t used;
};

struct raft_dial {
    struct transport *transport;
    struct raft_uv_connect *request; /* NULL: free slot */
    struct dial *dial;
    node_id to;
};

struct peer_note {
    node_id id;
    enum status status; /* of the last dial: only changes are logged */
};

struct transport {
    struct transport_config config;
    char address[ADDRESS_MAX_BYTES];
    struct sockaddr_storage listen;
    struct raft_uv_transport raft;
    raft_uv_accept_cb accept_cb;
    uv_tcp_t listener;
    struct incoming *incoming[TRANSPORT_HELLOS_MAX];
    struct inbound *inbound[TRANSPORT_INBOUND_MAX];
    node_id inbound_from[TRANSPORT_INBOUND_MAX];
    struct raft_dial dials[DIALS_MAX];
    struct peer_note notes[NODES_MAX + 1];
    int64_t refusal_logged_us[HELLO_VERDICT_COUNT];
    unsigned open;
    bool closing;
    raft_uv_transport_close_cb closed_raft;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct transport_counters counters;
};

static void part_closed(struct transport *t)
{
    ASSERT(t->open > 0);
    if (--t->open > 0)
        return;
    ASSERT(t->closing);
    if (t->closed_raft != NULL)
        t->closed_raft(&t->raft);
    else
        t->closed(t->closed_ctx);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct transport *t = handle->data;
    raft_free(handle);
    part_closed(t);
}

static void tcp_drop(struct transport *t, uv_tcp_t *tcp)
{
    tcp->data = t;
    t->open++;
    uv_close((uv_handle_t *)tcp, on_tcp_closed);
}

/* ---- in ---- */

static void on_incoming_timer_closed(uv_handle_t *handle)
{
    struct incoming *in = handle->data;
    struct transport *t = in->transport;
    free(in);
    part_closed(t);
}

/* Gives its socket; NULL if it has been given already. */
static uv_tcp_t *incoming_end(struct incoming *in)
{
    struct transport *t = in->transport;
    uv_tcp_t *tcp = in->tcp;
    in->tcp = NULL;
    for (size_t i = 0; i < TRANSPORT_HELLOS_MAX; i++)
        if (t->incoming[i] == in)
            t->incoming[i] = NULL;
    if (tcp != NULL) {
        uv_read_stop((uv_stream_t *)tcp);
        uv_close((uv_handle_t *)&in->timer, on_incoming_timer_closed);
    }
    return tcp;
}

static void incoming_drop(struct incoming *in)
{
    struct transport *t = in->transport;
    uv_tcp_t *tcp = incoming_end(in);
    if (tcp != NULL)
        tcp_drop(t, tcp);
}

static void on_incoming_timeout(uv_timer_t *timer)
{
    struct incoming *in = timer->data;
    in->transport->counters.hello_timeouts++;
    incoming_drop(in);
}

static void log_refusal(struct transport *t, const struct incoming *in, const struct hello *h,
                        enum hello_verdict verdict)
{
    struct sockaddr_storage peer = { 0 };
    int length = sizeof peer;
    char text[ADDRESS_TEXT_MAX] = "?";
    int64_t now_us = clock_now_us();
    t->counters.refused++;
    if (t->refusal_logged_us[verdict] != 0 && now_us - t->refusal_logged_us[verdict] < REFUSAL_LOG_US)
        return;
    t->refusal_logged_us[verdict] = now_us;
    if (uv_tcp_getpeername(in->tcp, (struct sockaddr *)&peer, &length) == 0)
        address_text(&peer, true, text, sizeof text);
    log_event(LOG_LEVEL_WARNING, "connection_refused", "peer=%s node=%" PRIu64 " address=%s reason=%s refused=%" PRIu64,
              text, h->from, h->from_address, hello_verdict_text(verdict), t->counters.refused);
}

static void on_inbound_closed(void *ctx, struct inbound *in, const struct error *err)
{
    struct transport *t = ctx;
    for (size_t i = 0; i < TRANSPORT_INBOUND_MAX; i++)
        if (t->inbound[i] == in) {
            if (err != NULL) {
                t->counters.bad_raft_messages++;
                log_event(LOG_LEVEL_ERROR, "raft_stream_refused", "node=%" PRIu64 " reason=%s", t->inbound_from[i],
                          err->text);
            }
            t->inbound[i] = NULL;
        }
    part_closed(t);
}

static size_t inbound_slot(struct transport *t)
{
    size_t i = 0;
    while (i < TRANSPORT_INBOUND_MAX && t->inbound[i] != NULL)
        i++;
    return i;
}

static void accept_raft(struct transport *t, node_id from, uv_tcp_t *tcp)
{
    struct inbound_config config = { .loop = t->config.loop,
                                     .from = from,
                                     .snapshot_bytes_max = t->config.snapshot_bytes_max,
                                     .ctx = t,
                                     .closed = on_inbound_closed };
    struct error err;
    uv_stream_t *stream = NULL;
    size_t slot = inbound_slot(t);
    ASSERT(slot < TRANSPORT_INBOUND_MAX);
    for (size_t i = 0; i < TRANSPORT_INBOUND_MAX;
         i++) /* a peer has one outgoing stream: a new one means that the old one is dead */
        if (t->inbound[i] != NULL && t->inbound_from[i] == from)
            inbound_cancel(t->inbound[i]);
    struct inbound *in = inbound_begin(&config, tcp, &stream, &err);
    if (in == NULL) {
        log_event(LOG_LEVEL_ERROR, "raft_stream_failed", "node=%" PRIu64 " reason=%s", from, err.text);
        return;
    }
    t->open++;
    t->inbound[slot] = in;
    t->inbound_from[slot] = from;
    /* libraft compares addresses by their bytes: it is given the member list's. */
    t->accept_cb(&t->raft, from, t->config.member_address(t->config.ctx, from), stream);
}

static void on_hello(struct incoming *in)
{
    struct transport *t = in->transport;
    struct hello h = { 0 };
    enum hello_verdict verdict = HELLO_MALFORMED;
    uint8_t answer[HELLO_ANSWER_BYTES];
    if (hello_decode(in->hello, &h) == STATUS_OK)
        verdict = hello_judge(&h, t->config.cluster, t->config.id, t->address,
                              t->config.member_address(t->config.ctx, h.from));
    else
        h = (struct hello){ 0 };
    if (verdict == HELLO_ACCEPTED && h.kind == HELLO_RAFT &&
        (t->accept_cb == NULL || inbound_slot(t) == TRANSPORT_INBOUND_MAX))
        verdict = HELLO_FULL;
    if (verdict != HELLO_ACCEPTED)
        log_refusal(t, in, &h, verdict);
    hello_answer_encode(verdict, answer);
    uv_buf_t buf = uv_buf_init((char *)answer, sizeof answer);
    /* The first bytes on an empty socket: they fit, or the peer is gone. */
    int written = uv_try_write((uv_stream_t *)in->tcp, &buf, 1);
    uv_tcp_t *tcp = incoming_end(in);
    if (verdict != HELLO_ACCEPTED || written != (int)sizeof answer) {
        tcp_drop(t, tcp);
        return;
    }
    t->counters.accepted++;
    if (h.kind == HELLO_RAFT)
        accept_raft(t, h.from, tcp);
    else
        t->config.on_messages(t->config.ctx, h.from, tcp);
}

static void on_incoming_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct incoming *in = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)in->hello + in->used, (unsigned)(sizeof in->hello - in->used));
}

static void on_incoming_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct incoming *in = stream->data;
    (void)buf;
    if (n < 0) {
        incoming_drop(in);
        return;
    }
    in->used += (size_t)n;
    if (in->used == sizeof in->hello)
        on_hello(in);
}

static void incoming_begin(struct transport *t, struct incoming **slot, uv_tcp_t *tcp)
{
    struct error err;
    struct incoming *in = calloc(1, sizeof *in);
    if (in == NULL || dial_socket_options(tcp, &err) != STATUS_OK) {
        free(in);
        tcp_drop(t, tcp);
        return;
    }
    in->transport = t;
    in->tcp = tcp;
    in->timer.data = in;
    tcp->data = in;
    int rv = uv_timer_init(t->config.loop, &in->timer);
    ASSERT(rv == 0);
    t->open++;
    *slot = in;
    rv = uv_timer_start(&in->timer, on_incoming_timeout, HELLO_TIMEOUT_MS, 0);
    ASSERT(rv == 0);
    if (uv_read_start((uv_stream_t *)tcp, on_incoming_alloc, on_incoming_read) != 0)
        incoming_drop(in);
}

static void on_connection(uv_stream_t *listener, int uv_status)
{
    struct transport *t = listener->data;
    if (uv_status != 0 || t->closing)
        return;
    uv_tcp_t *tcp = raft_calloc(1, sizeof *tcp);
    if (tcp == NULL)
        return;
    int rv = uv_tcp_init(t->config.loop, tcp);
    ASSERT(rv == 0);
    if (uv_accept(listener, (uv_stream_t *)tcp) != 0) {
        tcp_drop(t, tcp);
        return;
    }
    size_t i = 0;
    while (i < TRANSPORT_HELLOS_MAX && t->incoming[i] != NULL)
        i++;
    if (i == TRANSPORT_HELLOS_MAX) {
        t->counters.hello_overflows++;
        tcp_drop(t, tcp);
        return;
    }
    incoming_begin(t, &t->incoming[i], tcp);
}

/* ---- out ---- */

struct dial *transport_dial(struct transport *t, enum hello_kind kind, node_id to, const char *address, dial_cb done,
                            void *ctx)
{
    struct dial_request request = { .loop = t->config.loop, .resolver = t->config.resolver, .source = t->listen };
    request.hello = (struct hello){ .kind = kind, .cluster = t->config.cluster, .from = t->config.id, .to = to };
    if (strlen(address) >= ADDRESS_MAX_BYTES)
        return NULL;
    strcpy(request.hello.from_address, t->address);
    strcpy(request.hello.to_address, address);
    t->counters.dials++;
    return dial_begin(&request, done, ctx);
}

static void note_dial(struct transport *t, node_id to, const struct error *err)
{
    struct peer_note *note = &t->notes[0];
    for (size_t i = 0; i < sizeof t->notes / sizeof t->notes[0]; i++)
        if (t->notes[i].id == to || t->notes[i].id == 0) {
            note = &t->notes[i];
            break;
        }
    enum status status = err != NULL ? err->status : STATUS_OK;
    bool news = note->id != to || note->status != status;
    *note = (struct peer_note){ .id = to, .status = status };
    if (err != NULL)
        t->counters.dials_failed++;
    if (!news || status == STATUS_CANCELED)
        return;
    if (err != NULL)
        log_event(LOG_LEVEL_WARNING, "raft_peer_unreachable", "node=%" PRIu64 " reason=%s", to, err->text);
    else
        log_event(LOG_LEVEL_INFO, "raft_peer_connected", "node=%" PRIu64, to);
}

static void on_raft_dialed(void *ctx, uv_tcp_t *stream, const struct error *err)
{
    struct raft_dial *d = ctx;
    struct transport *t = d->transport;
    struct raft_uv_connect *request = d->request;
    int rv = 0;
    if (err != NULL)
        rv = err->status == STATUS_CANCELED ? RAFT_CANCELED : RAFT_NOCONNECTION;
    note_dial(t, d->to, err);
    d->request = NULL;
    d->dial = NULL;
    request->cb(request, (struct uv_stream_s *)stream, rv);
    part_closed(t);
}

static int raft_transport_init(struct raft_uv_transport *raft, raft_id id, const char *address)
{
    struct transport *t = raft->impl;
    return id == t->config.id && strcmp(address, t->address) == 0 ? 0 : RAFT_INVALID;
}

static int raft_transport_listen(struct raft_uv_transport *raft, raft_uv_accept_cb cb)
{
    struct transport *t = raft->impl;
    t->accept_cb = cb;
    return 0;
}

static int raft_transport_connect(struct raft_uv_transport *raft, struct raft_uv_connect *request, raft_id id,
                                  const char *address, raft_uv_connect_cb cb)
{
    struct transport *t = raft->impl;
    if (t->closing)
        return RAFT_CANCELED;
    for (size_t i = 0; i < DIALS_MAX; i++) {
        struct raft_dial *d = &t->dials[i];
        if (d->request != NULL)
            continue;
        request->cb = cb;
        *d = (struct raft_dial){ .transport = t, .request = request, .to = id };
        d->dial = transport_dial(t, HELLO_RAFT, id, address, on_raft_dialed, d);
        if (d->dial == NULL) {
            d->request = NULL;
            return RAFT_NOMEM;
        }
        t->open++;
        return 0;
    }
    return RAFT_TOOMANY;
}

static void on_listener_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void close_begin(struct transport *t)
{
    ASSERT(!t->closing);
    t->closing = true;
    uv_close((uv_handle_t *)&t->listener, on_listener_closed);
    for (size_t i = 0; i < TRANSPORT_HELLOS_MAX; i++)
        if (t->incoming[i] != NULL)
            incoming_drop(t->incoming[i]);
    for (size_t i = 0; i < TRANSPORT_INBOUND_MAX; i++)
        if (t->inbound[i] != NULL)
            inbound_cancel(t->inbound[i]);
    for (size_t i = 0; i < DIALS_MAX; i++)
        if (t->dials[i].dial != NULL)
            dial_cancel(t->dials[i].dial);
}

static void raft_transport_close(struct raft_uv_transport *raft, raft_uv_transport_close_cb cb)
{
    struct transport *t = raft->impl;
    t->closed_raft = cb;
    close_begin(t);
}

void transport_close(struct transport *t, void (*closed)(void *ctx), void *ctx)
{
    t->closed = closed;
    t->closed_ctx = ctx;
    close_begin(t);
}

/* ---- life ---- */

struct transport *transport_create(const struct transport_config *config, struct error *err)
{
    const char *listen = config->listen != NULL ? config->listen : config->address;
    char host[HOST_TEXT_MAX];
    uint16_t port = 0;
    struct sockaddr_storage address;
    if (address_split(listen, 0, host, &port, err) != STATUS_OK)
        return NULL;
    if (port == 0 || !address_parse(host, port, &address)) {
        error_set(err, STATUS_INVALID, "listen: '%s' is no numeric address with a port", listen);
        return NULL;
    }
    struct transport *t = calloc(1, sizeof *t);
    if (t == NULL) {
        error_set(err, STATUS_FAILED, "out of memory");
        return NULL;
    }
    t->config = *config;
    t->listen = address;
    strcpy(t->address, config->address);
    t->config.address = t->address;
    int rv = uv_tcp_init(config->loop, &t->listener);
    ASSERT(rv == 0);
    t->listener.data = t;
    t->open = 1;
#ifdef RAFT_VERSION_NUMBER
    t->raft.version = 1;
#endif
    t->raft.impl = t;
    t->raft.init = raft_transport_init;
    t->raft.listen = raft_transport_listen;
    t->raft.connect = raft_transport_connect;
    t->raft.close = raft_transport_close;
    return t;
}

enum status transport_listen(struct transport *t, struct error *err)
{
    char text[ADDRESS_TEXT_MAX];
    int rv = uv_tcp_bind(&t->listener, (const struct sockaddr *)&t->listen, 0);
    if (rv == 0)
        rv = uv_listen((uv_stream_t *)&t->listener, BACKLOG, on_connection);
    if (rv != 0)
        return error_set(err, STATUS_FAILED, "cannot listen at %s: %s",
                         address_text(&t->listen, true, text, sizeof text), uv_strerror(rv));
    return STATUS_OK;
}

struct raft_uv_transport *transport_raft(struct transport *t)
{
    return &t->raft;
}

struct transport_counters transport_counters(const struct transport *t)
{
    return t->counters;
}

void transport_destroy(struct transport *t)
{
    if (t == NULL)
        return;
    ASSERT(t->closing && t->open == 0);
    free(t);
}
