/* Happy path in: accept, TLS and hello within HELLO_TIMEOUT_MS, judge it, answer, hand the channel on. Out: libraft or messages ask, dial does it.
 * Failure modes: a bad certificate, no hello, a refused one, too many at once: closed and counted; the other side tries again.
 *
 * `open` counts what must close before this object may go: listener, hellos, channels being closed, pumps, dials. */
#include "raft/transport.h"

#include "base/check.h"
#include "io/address.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/refusals.h"
#include "raft/pump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DIALS_MAX (2 * NODES_MAX) /* libraft keeps one per peer; a removed peer's may be among them */
#define BACKLOG 64
#define TLS_HANDSHAKE 0x16 /* the first byte of one who begins to speak TLS */

struct incoming {
    struct transport *transport;
    struct channel *channel;
    uv_timer_t timer;
    char peer[ADDRESS_TEXT_MAX]; /* without the port */
    uint8_t hello[HELLO_BYTES];
    size_t used;
    bool talks; /* it has sent more than a hello, and was not answered yet: no node does */
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
    struct raft_stream {
        struct pump *pump; /* NULL: free slot */
        enum pump_direction direction;
        node_id peer;
    } streams[TRANSPORT_PUMPS_MAX];
    struct raft_dial dials[DIALS_MAX];
    struct peer_note notes[NODES_MAX + 1];
    struct refusals refusals;
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

static void on_channel_closed(void *ctx)
{
    part_closed(ctx);
}

static void channel_drop(struct transport *t, struct channel *channel)
{
    t->open++;
    channel_close(channel, on_channel_closed, t);
}

/* ---- Raft's streams ---- */

static void on_pump_closed(void *ctx, struct pump *pump, const struct error *err)
{
    struct transport *t = ctx;
    for (size_t i = 0; i < TRANSPORT_PUMPS_MAX; i++) {
        struct raft_stream *s = &t->streams[i];
        if (s->pump != pump)
            continue;
        s->pump = NULL;
        if (err == NULL)
            continue;
        bool wrong = err->status == STATUS_CORRUPT;
        t->counters.bad_raft_messages += wrong;
        log_event(wrong ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, wrong ? "raft_stream_refused" : "raft_stream_ended",
                  "node=%" PRIu64 " direction=%s reason=%s", s->peer, s->direction == PUMP_IN ? "in" : "out",
                  err->text);
    }
    part_closed(t);
}

static struct raft_stream *free_stream(struct transport *t)
{
    for (size_t i = 0; i < TRANSPORT_PUMPS_MAX; i++)
        if (t->streams[i].pump == NULL)
            return &t->streams[i];
    return NULL;
}

/* Takes the channel in any case. libraft's end; NULL: logged. */
static uv_stream_t *stream_begin(struct transport *t, enum pump_direction direction, node_id peer,
                                 struct channel *channel)
{
    struct pump_config config = { .loop = t->config.loop,
                                  .direction = direction,
                                  .peer = peer,
                                  .snapshot_bytes_max = t->config.snapshot_bytes_max,
                                  .ctx = t,
                                  .closed = on_pump_closed };
    struct raft_stream *s = free_stream(t);
    uv_stream_t *stream = NULL;
    struct error err;
    t->open++;
    if (s == NULL) {
        error_set(&err, STATUS_FULL, "too many streams");
        channel_close(channel, on_channel_closed, t);
    } else {
        s->pump = pump_begin(&config, channel, &stream, on_channel_closed, &err);
    }
    if (s == NULL || s->pump == NULL) {
        log_event(LOG_LEVEL_ERROR, "raft_stream_failed", "node=%" PRIu64 " reason=%s", peer, err.text);
        return NULL;
    }
    s->direction = direction;
    s->peer = peer;
    return stream;
}

static bool perhaps_newer(const struct transport *t, node_id id)
{
    return t->config.perhaps_newer != NULL && t->config.perhaps_newer(t->config.ctx, id);
}

/* Of the member list, or perhaps only not in it yet. */
static bool acceptable(const struct transport *t, node_id id)
{
    return t->config.member_address(t->config.ctx, id) != NULL || perhaps_newer(t, id);
}

void transport_follow_members(struct transport *t)
{
    for (size_t i = 0; i < TRANSPORT_PUMPS_MAX; i++) {
        struct raft_stream *s = &t->streams[i];
        if (s->pump != NULL && !acceptable(t, s->peer))
            pump_cancel(s->pump);
    }
}

/* ---- in ---- */

static void on_incoming_timer_closed(uv_handle_t *handle)
{
    struct incoming *in = handle->data;
    struct transport *t = in->transport;
    free(in);
    part_closed(t);
}

/* Gives its channel; NULL if it has been given already. */
static struct channel *incoming_end(struct incoming *in)
{
    struct transport *t = in->transport;
    struct channel *channel = in->channel;
    in->channel = NULL;
    for (size_t i = 0; i < TRANSPORT_HELLOS_MAX; i++)
        if (t->incoming[i] == in)
            t->incoming[i] = NULL;
    if (channel != NULL) {
        channel_pause(channel);
        uv_close((uv_handle_t *)&in->timer, on_incoming_timer_closed);
    }
    return channel;
}

static void incoming_drop(struct incoming *in)
{
    struct transport *t = in->transport;
    struct channel *channel = incoming_end(in);
    if (channel != NULL)
        channel_drop(t, channel);
}

/* `says`: the hello, where there was one. */
static void log_refusal(struct transport *t, const struct incoming *in, const struct hello *says, const char *reason)
{
    const struct tls_identity nobody = { .kind = TLS_NOBODY };
    const struct tls_identity *shown = channel_peer(in->channel);
    char certificate[TLS_IDENTITY_TEXT_MAX_BYTES];
    uint64_t count = 0;
    if (!refusals_note(&t->refusals, clock_now_us(), in->peer, reason, &count))
        return;
    log_event(LOG_LEVEL_WARNING, "connection_refused",
              "peer=%s certificate=%s node=%" PRIu64 " address=%s reason=%s count=%" PRIu64, in->peer,
              tls_identity_text(shown != NULL ? shown : &nobody, certificate), says != NULL ? says->from : 0,
              says != NULL ? says->from_address : "", reason, count);
}

static void on_incoming_timeout(uv_timer_t *timer)
{
    struct incoming *in = timer->data;
    in->transport->counters.refused_slow++;
    log_refusal(in->transport, in, NULL, "no hello in time");
    incoming_drop(in);
}

static void accept_raft(struct transport *t, const struct hello *h, struct channel *channel)
{
    const char *address = t->config.member_address(t->config.ctx, h->from);
    node_id from = h->from;
    for (size_t i = 0; i < TRANSPORT_PUMPS_MAX;
         i++) { /* it has one outgoing stream: a new one means that the old one is dead */
        struct raft_stream *s = &t->streams[i];
        if (s->pump != NULL && s->direction == PUMP_IN && s->peer == from)
            pump_cancel(s->pump);
    }
    uv_stream_t *stream = stream_begin(t, PUMP_IN, from, channel);
    if (stream != NULL) /* libraft compares addresses by their bytes: it is given the member list's */
        t->accept_cb(&t->raft, from, address != NULL ? address : h->from_address, stream);
}

static enum hello_verdict judge(struct transport *t, const struct incoming *in, struct hello *h)
{
    if (in->hello[0] == TLS_HANDSHAKE && t->config.tls == NULL)
        return HELLO_SPEAKS_TLS;
    if (in->talks || hello_decode(in->hello, h) != STATUS_OK) {
        *h = (struct hello){ 0 };
        return HELLO_MALFORMED;
    }
    struct hello_facts facts = { .cluster = t->config.cluster,
                                 .self = t->config.id,
                                 .self_address = t->address,
                                 .generation = t->config.generation,
                                 .member_address = t->config.member_address(t->config.ctx, h->from),
                                 .perhaps_newer = perhaps_newer(t, h->from),
                                 .certificate = channel_peer(in->channel) };
    enum hello_verdict verdict = hello_judge(h, &facts);
    if (verdict == HELLO_ACCEPTED && h->kind == HELLO_RAFT && (t->accept_cb == NULL || free_stream(t) == NULL))
        return HELLO_FULL;
    return verdict;
}

static void on_hello(struct incoming *in)
{
    struct transport *t = in->transport;
    struct hello h = { 0 };
    uint8_t answer[HELLO_ANSWER_BYTES];
    enum hello_verdict verdict = judge(t, in, &h);
    hello_answer_encode(verdict, answer);
    if (verdict != HELLO_ACCEPTED) {
        t->counters.refused_hello++;
        log_refusal(t, in, &h, hello_verdict_text(verdict));
    }
    /* The first bytes of this side, or nearly: they fit, or the peer is gone. */
    enum status written = channel_write(in->channel, answer, sizeof answer);
    struct channel *channel = incoming_end(in);
    if (verdict != HELLO_ACCEPTED || written != STATUS_OK) {
        channel_drop(t, channel);
        return;
    }
    t->counters.accepted++;
    if (h.kind == HELLO_RAFT)
        accept_raft(t, &h, channel);
    else
        t->config.on_messages(t->config.ctx, h.from, channel);
}

static void on_incoming_ready(void *ctx)
{
    (void)ctx; /* its hello is next, and the time runs on */
}

static void on_incoming_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    struct incoming *in = ctx;
    size_t room = sizeof in->hello - in->used;
    memcpy(in->hello + in->used, bytes, length < room ? length : room);
    in->used += length < room ? length : room;
    in->talks = length > room;
    if (in->used == sizeof in->hello)
        on_hello(in);
}

/* A peer that only knocks (a port check) is neither refused nor logged. */
static void on_incoming_ended(void *ctx, const struct error *err)
{
    struct incoming *in = ctx;
    if (err != NULL && (err->status == STATUS_REFUSED || err->status == STATUS_CORRUPT)) {
        in->transport->counters.refused_certificate++;
        log_refusal(in->transport, in, NULL, err->text);
    }
    incoming_drop(in);
}

static enum status incoming_begin(struct transport *t, struct incoming **slot, struct channel *channel,
                                  struct error *err)
{
    struct tls_options options = { .side = TLS_SERVER, .peer_kind = TLS_NODE };
    struct sockaddr_storage peer = { 0 };
    int length = sizeof peer;
    struct incoming *in = calloc(1, sizeof *in);
    if (in == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    if (uv_tcp_getpeername(channel_tcp(channel), (struct sockaddr *)&peer, &length) == 0)
        address_text(&peer, false, in->peer, sizeof in->peer);
    struct channel_events events = {
        .ctx = in, .ready = on_incoming_ready, .bytes = on_incoming_bytes, .ended = on_incoming_ended
    };
    if (channel_options(channel, err) != STATUS_OK ||
        channel_begin(channel, t->config.tls, &options, &events, err) != STATUS_OK) {
        free(in);
        return err->status;
    }
    in->transport = t;
    in->channel = channel;
    in->timer.data = in;
    int rv = uv_timer_init(t->config.loop, &in->timer);
    ASSERT(rv == 0);
    t->open++;
    *slot = in;
    rv = uv_timer_start(&in->timer, on_incoming_timeout, HELLO_TIMEOUT_MS, 0);
    ASSERT(rv == 0);
    return STATUS_OK;
}

static void on_connection(uv_stream_t *listener, int uv_status)
{
    struct transport *t = listener->data;
    struct error err;
    if (uv_status != 0 || t->closing)
        return;
    struct channel *channel = channel_create(t->config.loop, AF_UNSPEC, &err);
    if (channel == NULL)
        return;
    size_t i = 0;
    while (i < TRANSPORT_HELLOS_MAX && t->incoming[i] != NULL)
        i++;
    if (uv_accept(listener, (uv_stream_t *)channel_tcp(channel)) != 0) {
        channel_drop(t, channel);
    } else if (i == TRANSPORT_HELLOS_MAX) {
        t->counters.refused_full++;
        channel_drop(t, channel);
    } else if (incoming_begin(t, &t->incoming[i], channel, &err) != STATUS_OK) {
        channel_drop(t, channel);
    }
}

/* ---- out ---- */

struct dial *transport_dial(struct transport *t, enum hello_kind kind, node_id to, const char *address, dial_cb done,
                            void *ctx)
{
    struct dial_request request = {
        .loop = t->config.loop, .resolver = t->config.resolver, .tls = t->config.tls, .source = t->listen
    };
    request.hello = (struct hello){
        .kind = kind, .cluster = t->config.cluster, .generation = t->config.generation, .from = t->config.id, .to = to
    };
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

static void on_raft_dialed(void *ctx, struct channel *channel, const struct error *err)
{
    struct raft_dial *d = ctx;
    struct transport *t = d->transport;
    struct raft_uv_connect *request = d->request;
    uv_stream_t *stream = NULL;
    bool removed = err != NULL && dial_verdict(d->dial) == HELLO_UNKNOWN_NODE;
    note_dial(t, d->to, err);
    d->request = NULL;
    d->dial = NULL;
    if (err == NULL)
        stream = stream_begin(t, PUMP_OUT, d->to, channel);
    bool canceled = err != NULL && err->status == STATUS_CANCELED;
    request->cb(request, stream, stream != NULL ? 0 : canceled ? RAFT_CANCELED : RAFT_NOCONNECTION);
    if (removed && !t->closing && t->config.on_removed != NULL)
        t->config.on_removed(t->config.ctx, d->to);
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
    if (!acceptable(t, id))
        return RAFT_NOCONNECTION; /* libraft tries for ever to reach one that was removed */
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
    for (size_t i = 0; i < TRANSPORT_PUMPS_MAX; i++)
        if (t->streams[i].pump != NULL)
            pump_cancel(t->streams[i].pump);
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
