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
    struct channel *channel; /* connected */
    struct dial *dial;
    bool wanted;        /* a member at the last sweep */
    enum status logged; /* the last result that was logged */
};

struct incoming {
    struct messages *messages;
    node_id from;
    struct channel *channel;
    size_t used;
    uint8_t frame[FRAME_HEADER_BYTES + MESSAGE_MAX_BYTES];
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
    uint8_t frame[FRAME_HEADER_BYTES + MESSAGE_MAX_BYTES]; /* scratch: the one being sent */
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

static void on_channel_closed(void *ctx)
{
    part_closed(ctx);
}

static void channel_drop(struct messages *m, struct channel *channel)
{
    m->open++;
    channel_close(channel, on_channel_closed, m);
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
    struct channel *channel = o->channel;
    o->channel = NULL;
    if (channel == NULL)
        return;
    channel_drop(o->messages, channel);
    sweep_in(o->messages, MESSAGES_RETRY_MS);
}

/* The peer says nothing here. */
static void on_out_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    (void)bytes, (void)length;
    outgoing_drop(ctx);
}

static void on_out_ended(void *ctx, const struct error *err)
{
    (void)err; /* the next dial says what is wrong now */
    outgoing_drop(ctx);
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

static void on_dialed(void *ctx, struct channel *channel, const struct error *err)
{
    struct outgoing *o = ctx;
    struct messages *m = o->messages;
    struct channel_events events = { .ctx = o, .bytes = on_out_bytes, .ended = on_out_ended };
    o->dial = NULL;
    log_dial(o, err);
    if (err == NULL)
        channel_set_events(channel, &events);
    if (err == NULL && (m->closing || channel_resume(channel) != STATUS_OK)) {
        channel_drop(m, channel);
    } else if (err == NULL) {
        o->channel = channel;
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
    if (o->channel != NULL || o->dial != NULL)
        return;
    o->dial = transport_dial(m->config.transport, HELLO_MESSAGES, o->id, o->address, on_dialed, o);
    if (o->dial != NULL)
        m->open++;
}

static bool listed(const struct rnode_member *members, size_t count, node_id id)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].id == id)
            return true;
    return false;
}

static void incoming_drop(struct incoming *in)
{
    struct messages *m = in->messages;
    for (size_t i = 0; i < MESSAGES_INBOUND_MAX; i++)
        if (m->incoming[i] == in)
            m->incoming[i] = NULL;
    channel_drop(m, in->channel);
    free(in);
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
        if (o->id != 0 && o->channel == NULL)
            complete = false;
    }
    for (size_t i = 0; i < MESSAGES_INBOUND_MAX; i++)
        if (m->incoming[i] != NULL && !listed(members, count, m->incoming[i]->from))
            incoming_drop(m->incoming[i]); /* no member any more */
    sweep_in(m, complete ? SWEEP_IDLE_MS : MESSAGES_RETRY_MS);
}

static enum status link_send(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct messages *m = ctx;
    if (length > MESSAGE_MAX_BYTES)
        return STATUS_INVALID;
    struct outgoing *o = to != 0 ? outgoing_find(m, to) : NULL;
    if (o == NULL || o->channel == NULL || m->closing) {
        m->counters.dropped_unconnected++;
        return STATUS_UNREACHABLE;
    }
    size_t frame_bytes = FRAME_HEADER_BYTES + length;
    if (channel_queue_bytes(o->channel) + frame_bytes > MESSAGES_QUEUE_MAX_BYTES) {
        m->counters.dropped_full++;
        return STATUS_FULL;
    }
    struct writer out;
    writer_init(&out, m->frame, frame_bytes);
    writer_u32(&out, (uint32_t)length);
    writer_u8(&out, type);
    writer_u8(&out, 0);
    writer_u16(&out, 0);
    writer_u32(&out, crc32c(crc32c(0, m->frame, FRAME_HEADER_BYTES - 4), bytes, length));
    writer_bytes(&out, bytes, length);
    ASSERT(writer_ok(&out) && out.used == frame_bytes);
    if (channel_write(o->channel, m->frame, frame_bytes) != STATUS_OK) {
        outgoing_drop(o); /* also when out of memory: half of a frame may have been encrypted */
        return STATUS_UNREACHABLE;
    }
    m->counters.sent++;
    return STATUS_OK;
}

/* ---- in ---- */

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

/* Delivers each complete frame and keeps the rest. False: `in` is gone. */
static bool deliver_all(struct incoming *in)
{
    struct messages *m = in->messages;
    size_t offset = 0;
    ssize_t taken = 0;
    do {
        taken = deliver(in, offset);
        if (m->closing)
            return false; /* messages_close, called by a receiver, has dropped `in` */
        if (taken > 0)
            offset += (size_t)taken;
    } while (taken > 0);
    if (taken < 0) {
        m->counters.broken_frames++;
        log_event(LOG_LEVEL_ERROR, "broken_message", "node=%" PRIu64 " action=%s", in->from, "connection closed");
        incoming_drop(in);
        return false;
    }
    memmove(in->frame, in->frame + offset, in->used - offset);
    in->used -= offset;
    return true;
}

/* A frame that is not complete leaves room: it is shorter than the buffer. */
static void on_in_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    struct incoming *in = ctx;
    while (length > 0) {
        size_t room = sizeof in->frame - in->used, now = length < room ? length : room;
        ASSERT(now > 0);
        memcpy(in->frame + in->used, bytes, now);
        in->used += now;
        bytes += now;
        length -= now;
        if (!deliver_all(in))
            return;
    }
}

static void on_in_ended(void *ctx, const struct error *err)
{
    (void)err; /* the peer's own log has it: it dials again */
    incoming_drop(ctx);
}

void messages_accept(struct messages *m, node_id from, struct channel *channel)
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
        channel_drop(m, channel);
        return;
    }
    in->messages = m;
    in->from = from;
    in->channel = channel;
    in->used = 0;
    m->incoming[slot] = in;
    channel_set_events(channel, &(struct channel_events){ .ctx = in, .bytes = on_in_bytes, .ended = on_in_ended });
    if (channel_resume(channel) != STATUS_OK)
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
            return m->outgoing[i].channel != NULL;
    return false;
}

struct messages_counters messages_counters(const struct messages *m)
{
    return m->counters;
}
