/* Happy path: a sweep finds a member without a connection and dials it; send() frames into it. An accepted stream is read frame by frame.
 * Failure modes: an outgoing connection that ends, errs or is closed by the peer is dropped and dialed again at the next sweep; an incoming
 * one with a broken frame is closed, because nothing behind it can be trusted. */
#include "raft/messages.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "io/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEADER_BYTES 12
#define SWEEP_IDLE_MS 1000 /* when all are connected: how soon a new member is dialed */

struct outgoing {
    struct messages *messages;
    node_id id; /* 0: free slot */
    char address[ADDRESS_MAX_BYTES];
    uv_tcp_t *tcp; /* connected */
    struct dial *dial;
    bool wanted;           /* a member at the last sweep */
    enum status logged;    /* the last result that was logged */
    uint8_t unexpected[8]; /* the peer says nothing here; reading shows when it closes */
};

struct incoming {
    struct messages *messages;
    node_id from;
    uv_tcp_t *tcp;
    size_t used;
    uint8_t frame[FRAME_HEADER_BYTES + MESSAGE_MAX_BYTES];
};

struct message_write {
    uv_write_t write;
    struct messages *messages;
    uint8_t frame[];
};

struct messages {
    struct messages_config config;
    struct message_link link;
    uv_timer_t timer;
    struct outgoing outgoing[NODES_MAX];
    struct incoming *incoming[MESSAGES_INBOUND_MAX];
    unsigned open; /* timer, sockets, dials: what must end before `closed` */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct messages_counters counters;
};

static void part_closed(struct messages *m)
{
    ASSERT(m->open > 0);
    if (--m->open > 0)
        return;
    ASSERT(m->closing);
    void (*closed)(void *) = m->closed;
    void *ctx = m->closed_ctx;
    free(m);
    closed(ctx);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct messages *m = handle->data;
    raft_free(handle);
    part_closed(m);
}

static void tcp_drop(struct messages *m, uv_tcp_t *tcp)
{
    tcp->data = m;
    m->open++;
    uv_close((uv_handle_t *)tcp, on_tcp_closed);
}

/* ---- out ---- */

static void sweep(struct messages *m);

static void on_timer(uv_timer_t *timer)
{
    sweep(timer->data);
}

static void sweep_in(struct messages *m, uint64_t ms)
{
    if (m->closing)
        return;
    int rv = uv_timer_start(&m->timer, on_timer, ms, 0);
    ASSERT(rv == 0);
}

static void outgoing_drop(struct outgoing *o)
{
    uv_tcp_t *tcp = o->tcp;
    o->tcp = NULL;
    if (tcp == NULL)
        return;
    tcp_drop(o->messages, tcp);
    sweep_in(o->messages, MESSAGES_RETRY_MS);
}

static void on_out_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct outgoing *o = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)o->unexpected, sizeof o->unexpected);
}

static struct outgoing *outgoing_of(struct messages *m, const uv_stream_t *stream)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (m->outgoing[i].tcp != NULL && (const uv_stream_t *)m->outgoing[i].tcp == stream)
            return &m->outgoing[i];
    return NULL;
}

static void on_out_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct outgoing *o = stream->data;
    (void)buf;
    if (n != 0)
        outgoing_drop(o);
}

static void on_sent(uv_write_t *write, int uv_status)
{
    struct message_write *w = (struct message_write *)(void *)write; /* the first member */
    struct messages *m = w->messages;
    struct outgoing *o = outgoing_of(m, write->handle);
    free(w);
    if (uv_status != 0 && o != NULL)
        outgoing_drop(o);
}

static void log_dial(struct outgoing *o, const struct error *err)
{
    enum status status = err != NULL ? err->status : STATUS_OK;
    bool news = o->logged != status;
    o->logged = status;
    if (!news || status == STATUS_CANCELED)
        return;
    if (err != NULL)
        log_event(LOG_LEVEL_WARNING, "node_unreachable", "node=%" PRIu64 " reason=%s", o->id, err->text);
    else
        log_event(LOG_LEVEL_INFO, "node_connected", "node=%" PRIu64 " address=%s", o->id, o->address);
}

static void on_dialed(void *ctx, uv_tcp_t *stream, const struct error *err)
{
    struct outgoing *o = ctx;
    struct messages *m = o->messages;
    o->dial = NULL;
    log_dial(o, err);
    if (err == NULL && (m->closing || uv_read_start((uv_stream_t *)stream, on_out_alloc, on_out_read) != 0)) {
        tcp_drop(m, stream);
    } else if (err == NULL) {
        stream->data = o;
        o->tcp = stream;
        m->counters.connections++;
    }
    sweep_in(m, MESSAGES_RETRY_MS);
    part_closed(m);
}

static struct outgoing *outgoing_find(struct messages *m, node_id id)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (m->outgoing[i].id == id)
            return &m->outgoing[i];
    return NULL;
}

static void want(struct messages *m, const struct rnode_member *member)
{
    struct outgoing *o = outgoing_find(m, member->id);
    if (o == NULL)
        o = outgoing_find(m, 0);
    if (o == NULL)
        return; /* a removed member's slot is still closing; the next sweep has it */
    if (o->id == member->id && strcmp(o->address, member->address) != 0)
        outgoing_drop(o);
    o->messages = m;
    o->id = member->id;
    o->wanted = true;
    memcpy(o->address, member->address, sizeof o->address);
    if (o->tcp != NULL || o->dial != NULL)
        return;
    o->dial = transport_dial(m->config.transport, HELLO_MESSAGES, o->id, o->address, on_dialed, o);
    if (o->dial != NULL)
        m->open++;
}

static void sweep(struct messages *m)
{
    struct rnode_member members[NODES_MAX];
    size_t count = m->config.members(m->config.ctx, members, NODES_MAX);
    bool complete = true;
    for (size_t i = 0; i < NODES_MAX; i++)
        m->outgoing[i].wanted = false;
    for (size_t i = 0; i < count; i++)
        want(m, &members[i]);
    for (size_t i = 0; i < NODES_MAX; i++) {
        struct outgoing *o = &m->outgoing[i];
        if (o->id != 0 && !o->wanted) {
            outgoing_drop(o);
            if (o->dial != NULL)
                dial_cancel(o->dial);
            else
                *o = (struct outgoing){ 0 };
        }
        if (o->id != 0 && o->tcp == NULL)
            complete = false;
    }
    sweep_in(m, complete ? SWEEP_IDLE_MS : MESSAGES_RETRY_MS);
}

static enum status link_send(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct messages *m = ctx;
    if (length > MESSAGE_MAX_BYTES)
        return STATUS_INVALID;
    struct outgoing *o = to != 0 ? outgoing_find(m, to) : NULL;
    if (o == NULL || o->tcp == NULL || m->closing) {
        m->counters.dropped_unconnected++;
        return STATUS_UNREACHABLE;
    }
    size_t frame_bytes = FRAME_HEADER_BYTES + length;
    struct message_write *w = NULL;
    if (uv_stream_get_write_queue_size((uv_stream_t *)o->tcp) + frame_bytes <= MESSAGES_QUEUE_MAX_BYTES)
        w = malloc(sizeof *w + frame_bytes);
    if (w == NULL) {
        m->counters.dropped_full++;
        return STATUS_FULL;
    }
    w->messages = m;
    struct writer out;
    writer_init(&out, w->frame, frame_bytes);
    writer_u32(&out, (uint32_t)length);
    writer_u8(&out, type);
    writer_u8(&out, 0);
    writer_u16(&out, 0);
    writer_u32(&out, crc32c(crc32c(0, w->frame, FRAME_HEADER_BYTES - 4), bytes, length));
    writer_bytes(&out, bytes, length);
    ASSERT(writer_ok(&out) && out.used == frame_bytes);
    uv_buf_t buf = uv_buf_init((char *)w->frame, (unsigned)frame_bytes);
    if (uv_write(&w->write, (uv_stream_t *)o->tcp, &buf, 1, on_sent) != 0) {
        free(w);
        outgoing_drop(o);
        return STATUS_UNREACHABLE;
    }
    m->counters.sent++;
    return STATUS_OK;
}

/* ---- in ---- */

static void incoming_drop(struct incoming *in)
{
    struct messages *m = in->messages;
    for (size_t i = 0; i < MESSAGES_INBOUND_MAX; i++)
        if (m->incoming[i] == in)
            m->incoming[i] = NULL;
    tcp_drop(m, in->tcp);
    free(in);
}

static void on_in_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct incoming *in = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)in->frame + in->used, (unsigned)(sizeof in->frame - in->used));
}

/* Delivers the frame at `offset`; returns its length, 0 when it is not complete yet, -1 when it is broken. */
static ssize_t deliver(struct incoming *in, size_t offset)
{
    struct messages *m = in->messages;
    const uint8_t *frame = in->frame + offset;
    size_t available = in->used - offset;
    struct reader r;
    if (available < FRAME_HEADER_BYTES)
        return 0;
    reader_init(&r, frame, FRAME_HEADER_BYTES);
    uint32_t length = reader_u32(&r);
    uint8_t type = reader_u8(&r);
    uint8_t zero = reader_u8(&r);
    uint16_t zeros = reader_u16(&r);
    uint32_t crc = reader_u32(&r);
    if (length > MESSAGE_MAX_BYTES || zero != 0 || zeros != 0)
        return -1;
    if (available < FRAME_HEADER_BYTES + length)
        return 0;
    if (crc != crc32c(crc32c(0, frame, FRAME_HEADER_BYTES - 4), frame + FRAME_HEADER_BYTES, length))
        return -1;
    m->counters.received++;
    m->config.receive(m->config.ctx, in->from, type, frame + FRAME_HEADER_BYTES, length);
    return (ssize_t)(FRAME_HEADER_BYTES + length);
}

static void on_in_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct incoming *in = stream->data;
    struct messages *m = in->messages;
    size_t offset = 0;
    ssize_t taken = 0;
    (void)buf;
    if (n < 0) {
        incoming_drop(in);
        return;
    }
    in->used += (size_t)n;
    do {
        taken = deliver(in, offset);
        if (m->closing)
            return; /* messages_close, called by a receiver, has dropped `in` */
        if (taken > 0)
            offset += (size_t)taken;
    } while (taken > 0);
    if (taken < 0) {
        m->counters.broken_frames++;
        log_event(LOG_LEVEL_ERROR, "broken_message", "node=%" PRIu64 " action=%s", in->from, "connection closed");
        incoming_drop(in);
        return;
    }
    memmove(in->frame, in->frame + offset, in->used - offset);
    in->used -= offset;
}

void messages_accept(struct messages *m, node_id from, uv_tcp_t *stream)
{
    size_t slot = MESSAGES_INBOUND_MAX;
    struct incoming *in = NULL;
    for (size_t i = 0; i < MESSAGES_INBOUND_MAX; i++)
        if (m->incoming[i] != NULL && m->incoming[i]->from == from)
            incoming_drop(m->incoming[i]); /* it dialed again: the old one is dead */
    for (size_t i = 0; i < MESSAGES_INBOUND_MAX && slot == MESSAGES_INBOUND_MAX; i++)
        if (m->incoming[i] == NULL)
            slot = i;
    if (slot < MESSAGES_INBOUND_MAX && !m->closing)
        in = malloc(sizeof *in);
    if (in == NULL) {
        tcp_drop(m, stream);
        return;
    }
    in->messages = m;
    in->from = from;
    in->tcp = stream;
    in->used = 0;
    stream->data = in;
    m->incoming[slot] = in;
    if (uv_read_start((uv_stream_t *)stream, on_in_alloc, on_in_read) != 0)
        incoming_drop(in);
}

/* ---- life ---- */

struct messages *messages_create(const struct messages_config *config)
{
    ASSERT(config->receive != NULL && config->members != NULL);
    struct messages *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->config = *config;
    m->link = (struct message_link){ .ctx = m, .send = link_send };
    int rv = uv_timer_init(config->loop, &m->timer);
    ASSERT(rv == 0);
    m->timer.data = m;
    m->open = 1;
    return m;
}

void messages_start(struct messages *m)
{
    sweep_in(m, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void messages_close(struct messages *m, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!m->closing);
    m->closing = true;
    m->closed = closed;
    m->closed_ctx = ctx;
    uv_close((uv_handle_t *)&m->timer, on_timer_closed);
    for (size_t i = 0; i < NODES_MAX; i++) {
        outgoing_drop(&m->outgoing[i]);
        if (m->outgoing[i].dial != NULL)
            dial_cancel(m->outgoing[i].dial);
    }
    for (size_t i = 0; i < MESSAGES_INBOUND_MAX; i++)
        if (m->incoming[i] != NULL)
            incoming_drop(m->incoming[i]);
}

const struct message_link *messages_link(struct messages *m)
{
    return &m->link;
}

bool messages_connected(const struct messages *m, node_id to)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (m->outgoing[i].id == to && to != 0)
            return m->outgoing[i].tcp != NULL;
    return false;
}

struct messages_counters messages_counters(const struct messages *m)
{
    return m->counters;
}
