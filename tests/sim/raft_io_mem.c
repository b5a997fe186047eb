/* Writes: one queue per disk, completed in order by one worker with a latency each. A snapshot of our own waits for the writes before
 * it, then is written beside later ones; an installed snapshot holds up the queue until it is there. Term and vote are written at once.
 * Messages are turned into bytes when they are sent and back into libraft's structures, in the receiver's arena, when they arrive. */
#include "tests/sim/raft_io_mem.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/raft_message.h"

#define SNAPSHOT_WRITE_FACTOR 20 /* a snapshot takes this many times as long as an append */
#define CAPACITY_KIB 32768       /* what libraft believes to be free; it refuses entries below 4096 */
#define PARTIAL_WRITE_PPM 500000

enum operation_kind { OPERATION_APPEND, OPERATION_TRUNCATE, OPERATION_SNAPSHOT };

struct operation {
    enum operation_kind kind;
    struct operation *next;
    raft_index index; /* truncate: from here on */
    struct raft_io_append *append;
    const struct raft_entry *entries;
    unsigned entry_count;
    struct raft_io_snapshot_put *put;
    const struct raft_snapshot *snapshot;
    unsigned trailing;
};

struct raft_io_mem {
    struct raft_io *io;
    struct raft_io_mem_setup setup;
    enum raft_io_mem_fault fault;
    int64_t tick_us;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_index next_index; /* of the next entry appended */
    struct operation *first;
    struct operation *last;
    struct operation *own_snapshot; /* being written beside the queue */
    struct send_done *sends;        /* sent, not yet told; the newest first */
    bool working;
    bool closing;
    unsigned pending_count;
};

struct send_done {
    struct raft_io_mem *m;
    struct send_done *next;
    struct raft_io_send *send;
    int status;
};

struct get_done {
    struct raft_io_mem *m;
    struct raft_io_snapshot_get *get;
};

static struct sim_process *process_of(const struct raft_io_mem *m)
{
    return m->setup.peers->list[m->setup.self].process;
}

static int64_t latency_us(struct raft_io_mem *m)
{
    return sim_between(m->setup.sim, m->setup.disk->latency_min_us, m->setup.disk->latency_max_us);
}

static void schedule(struct raft_io_mem *m, int64_t delay_us, sim_fn fire, void *ctx)
{
    sim_after(m->setup.sim, delay_us, process_of(m), fire, NULL, ctx);
}

/* libraft 0.22 queues the callbacks of finished requests, and its own backends fire them when it is at rest. The queue's layout is the
 * public part of it: `legacy.requests` and RAFT__REQUEST in <raft.h>. */
static void fire_request(struct raft_apply *request)
{
    if (request->type == RAFT_COMMAND)
        request->cb(request, request->status, request->result);
    else if (request->type == RAFT_BARRIER)
        ((struct raft_barrier *)request)->cb((struct raft_barrier *)request, request->status);
    else if (request->type == RAFT_CHANGE)
        ((struct raft_change *)request)->cb((struct raft_change *)request, request->status);
    else
        ((struct raft_transfer *)request)->cb((struct raft_transfer *)request);
}

static void fire_requests(struct raft_io_mem *m)
{
    struct raft *r = m->io->data;

    while (!m->closing && r->legacy.requests[0] != (void *)&r->legacy.requests) {
        void **first = r->legacy.requests[0];
        void **next = first[0];
        r->legacy.requests[0] = next;
        next[1] = &r->legacy.requests;
        fire_request((struct raft_apply *)(void *)((char *)first - offsetof(struct raft_apply, queue)));
    }
}

static int mem_init(struct raft_io *io, raft_id id, const char *address)
{
    struct raft_io_mem *m = io->impl;

    ASSERT(m->setup.peers->list[m->setup.self].id == id);
    ASSERT(strcmp(m->setup.peers->list[m->setup.self].address, address) == 0);
    m->setup.peers->list[m->setup.self].io = m;
    return 0;
}

static struct raft_snapshot *load_snapshot(const struct disk_snapshot *from)
{
    struct raft_snapshot *s = raft_calloc(1, sizeof(*s));
    struct raft_buffer configuration = { .base = from->configuration, .len = from->configuration_bytes };

    s->index = from->index;
    s->term = from->term;
    s->configuration_index = from->configuration_index;
    ASSERT(raft_configuration_decode(&configuration, &s->configuration) == 0);
    s->bufs = raft_calloc(1, sizeof(*s->bufs));
    s->n_bufs = 1;
    s->bufs[0].len = from->size_bytes;
    s->bufs[0].base = raft_malloc(from->size_bytes);
    memcpy(s->bufs[0].base, from->data, from->size_bytes);
    return s;
}

static int mem_load(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
                    raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
    struct raft_io_mem *m = io->impl;
    struct disk *d = m->setup.disk;
    size_t batch_bytes = 0;
    char *batch;

    *term = d->term;
    *voted_for = d->vote;
    *snapshot = d->snapshot.index > 0 ? load_snapshot(&d->snapshot) : NULL;
    *start_index = d->first_index;
    *n_entries = d->entry_count;
    *entries = NULL;
    m->next_index = disk_last_index(d) + 1;
    if (d->entry_count == 0)
        return 0;
    for (size_t i = 0; i < d->entry_count; i++)
        batch_bytes += (d->entries[i].size_bytes + 7) & ~(size_t)7;
    *entries = raft_calloc(d->entry_count, sizeof(struct raft_entry));
    batch = raft_malloc(batch_bytes > 0 ? batch_bytes : 8);
    for (size_t i = 0, used = 0; i < d->entry_count; i++) {
        const struct disk_entry *from = &d->entries[i];
        (*entries)[i] = (struct raft_entry){ .term = from->term,
                                             .type = (enum raft_entry_type)from->type,
                                             .buf = { .base = batch + used, .len = from->size_bytes },
                                             .batch = batch };
        memcpy(batch + used, from->data, from->size_bytes);
        used += (from->size_bytes + 7) & ~(size_t)7;
    }
    return 0;
}

static void on_tick(void *ctx)
{
    struct raft_io_mem *m = ctx;

    if (m->closing)
        return;
    arena_enter(m->setup.arena);
    schedule(m, sim_clock_span_us(m->setup.clock, m->tick_us), on_tick, m);
    m->tick(m->io);
    fire_requests(m);
}

static int mem_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct raft_io_mem *m = io->impl;

    ((struct raft *)io->data)->tracer = NULL; /* libraft formats its messages also when nobody reads them */
    m->tick = tick;
    m->recv = recv;
    m->tick_us = (int64_t)msecs * SIM_US_PER_MS;
    schedule(m, sim_clock_span_us(m->setup.clock, m->tick_us), on_tick, m);
    return 0;
}

static int mem_bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    struct raft_io_mem *m = io->impl;
    struct disk *d = m->setup.disk;
    struct raft_buffer encoded;

    if (d->term != 0 || d->entry_count > 0 || d->snapshot.index > 0)
        return RAFT_CANTBOOTSTRAP;
    ASSERT(raft_configuration_encode(conf, &encoded) == 0);
    d->term = 1;
    d->vote = 0;
    disk_append(d, 1, RAFT_CHANGE, encoded.base, encoded.len);
    raft_free(encoded.base);
    return 0;
}

static int mem_recover(struct raft_io *io, const struct raft_configuration *conf)
{
    struct raft_io_mem *m = io->impl;
    struct disk *d = m->setup.disk;
    struct raft_buffer encoded;

    ASSERT(raft_configuration_encode(conf, &encoded) == 0);
    disk_append(d, d->term, RAFT_CHANGE, encoded.base, encoded.len);
    raft_free(encoded.base);
    return 0;
}

static int mem_set_term(struct raft_io *io, raft_term term)
{
    struct raft_io_mem *m = io->impl;

    if (m->fault == RAFT_IO_MEM_TERM_FAILS)
        return RAFT_IOERR;
    ASSERT(term >= m->setup.disk->term);
    m->setup.disk->term = term;
    m->setup.disk->vote = 0;
    return 0;
}

static int mem_set_vote(struct raft_io *io, raft_id server_id)
{
    struct raft_io_mem *m = io->impl;

    if (m->fault == RAFT_IO_MEM_TERM_FAILS)
        return RAFT_IOERR;
    m->setup.disk->vote = server_id;
    return 0;
}

static void write_entries(struct raft_io_mem *m, const struct operation *o, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct raft_entry *e = &o->entries[i];
        disk_append(m->setup.disk, e->term, (int)e->type, e->buf.base, e->buf.len);
    }
}

static void write_snapshot(struct raft_io_mem *m, const struct operation *o)
{
    const struct raft_snapshot *from = o->snapshot;
    struct disk_snapshot s = { .index = from->index,
                               .term = from->term,
                               .configuration_index = from->configuration_index };
    struct raft_buffer encoded;
    size_t used = 0;

    for (unsigned i = 0; i < from->n_bufs; i++)
        s.size_bytes += from->bufs[i].len;
    ASSERT(raft_configuration_encode(&from->configuration, &encoded) == 0);
    s.configuration = malloc(encoded.len);
    s.configuration_bytes = encoded.len;
    s.data = malloc(s.size_bytes + 1);
    ASSERT(s.configuration != NULL && s.data != NULL);
    memcpy(s.configuration, encoded.base, encoded.len);
    raft_free(encoded.base);
    for (unsigned i = 0; i < from->n_bufs; i++) {
        memcpy((char *)s.data + used, from->bufs[i].base, from->bufs[i].len);
        used += from->bufs[i].len;
    }
    disk_put_snapshot(m->setup.disk, &s, o->trailing);
}

static void work_next(struct raft_io_mem *m);

static void finish_snapshot(struct raft_io_mem *m, struct operation *o)
{
    struct raft_io_snapshot_put *put = o->put;
    bool fails = m->fault == RAFT_IO_MEM_APPEND_FAILS;

    if (!fails)
        write_snapshot(m, o);
    raft_free(o);
    m->pending_count--;
    put->cb(put, fails ? RAFT_IOERR : 0);
}

static void on_own_snapshot_written(void *ctx)
{
    struct raft_io_mem *m = ctx;
    struct operation *o = m->own_snapshot;

    arena_enter(m->setup.arena);
    m->own_snapshot = NULL;
    finish_snapshot(m, o);
    fire_requests(m);
}

static void on_operation_done(void *ctx)
{
    struct raft_io_mem *m = ctx;
    struct operation *o = m->first;
    struct raft_io_append *append = o->append;

    arena_enter(m->setup.arena);
    m->first = o->next;
    if (m->first == NULL)
        m->last = NULL;
    m->working = false;
    if (o->kind == OPERATION_SNAPSHOT && o->trailing > 0) {
        ASSERT(m->own_snapshot == NULL);
        m->own_snapshot = o;
        schedule(m, latency_us(m) * SNAPSHOT_WRITE_FACTOR, on_own_snapshot_written, m);
    } else if (o->kind == OPERATION_SNAPSHOT) {
        finish_snapshot(m, o);
    } else if (o->kind == OPERATION_TRUNCATE) {
        disk_truncate(m->setup.disk, o->index);
        raft_free(o);
        m->pending_count--;
    } else {
        bool fails = m->fault == RAFT_IO_MEM_APPEND_FAILS;
        write_entries(m, o, fails ? 0 : o->entry_count);
        raft_free(o);
        m->pending_count--;
        append->cb(append, fails ? RAFT_IOERR : 0);
    }
    work_next(m);
    fire_requests(m);
}

static void work_next(struct raft_io_mem *m)
{
    int64_t delay_us;

    if (m->working || m->first == NULL)
        return;
    if (m->first->kind == OPERATION_APPEND && m->fault == RAFT_IO_MEM_APPEND_HANGS)
        return;
    m->working = true;
    delay_us = m->first->kind == OPERATION_TRUNCATE ? 0 : latency_us(m);
    if (m->first->kind == OPERATION_SNAPSHOT)
        delay_us = m->first->trailing > 0 ? 0 : delay_us * SNAPSHOT_WRITE_FACTOR;
    schedule(m, delay_us, on_operation_done, m);
}

static void enqueue(struct raft_io_mem *m, const struct operation *model)
{
    struct operation *o = raft_malloc(sizeof(*o));

    *o = *model;
    if (m->last != NULL)
        m->last->next = o;
    else
        m->first = o;
    m->last = o;
    m->pending_count++;
    work_next(m);
}

static int mem_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
                      raft_io_append_cb cb)
{
    struct raft_io_mem *m = io->impl;

    req->cb = cb;
    m->next_index += n;
    enqueue(m, &(struct operation){ .kind = OPERATION_APPEND, .append = req, .entries = entries, .entry_count = n });
    return 0;
}

static int mem_truncate(struct raft_io *io, raft_index index)
{
    struct raft_io_mem *m = io->impl;

    if (index >= m->next_index)
        return 0;
    m->next_index = index;
    enqueue(m, &(struct operation){ .kind = OPERATION_TRUNCATE, .index = index });
    return 0;
}

static int mem_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                            const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct raft_io_mem *m = io->impl;

    req->cb = cb;
    if (trailing == 0)
        m->next_index = snapshot->index + 1;
    enqueue(m,
            &(struct operation){ .kind = OPERATION_SNAPSHOT, .put = req, .snapshot = snapshot, .trailing = trailing });
    return 0;
}

static void on_snapshot_loaded(void *ctx)
{
    struct get_done *g = ctx;
    struct raft_io_snapshot_get *get = g->get;
    struct raft_io_mem *m = g->m;

    arena_enter(m->setup.arena);
    raft_free(g);
    get->cb(get, load_snapshot(&m->setup.disk->snapshot), 0);
    fire_requests(m);
}

static int mem_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb)
{
    struct raft_io_mem *m = io->impl;
    struct get_done *g = raft_malloc(sizeof(*g));

    ASSERT(m->setup.disk->snapshot.index > 0);
    req->cb = cb;
    *g = (struct get_done){ .m = m, .get = req };
    schedule(m, latency_us(m) * SNAPSHOT_WRITE_FACTOR, on_snapshot_loaded, g);
    return 0;
}

static void forget_send(struct send_done *s)
{
    struct send_done **at = &s->m->sends;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    raft_free(s);
}

static void on_sent(void *ctx)
{
    struct send_done *s = ctx;
    struct raft_io_mem *m = s->m;
    struct raft_io_send *send = s->send;
    int status = s->status;

    arena_enter(m->setup.arena);
    forget_send(s);
    send->cb(send, status);
    fire_requests(m);
}

static void on_message(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct raft_io_peer *self = receiver;
    struct raft_io_mem *m = self->io;
    const char *address = NULL;
    struct raft_message message;

    (void)from;
    if (m == NULL || m->recv == NULL || m->closing)
        return;
    memcpy(&message, data, sizeof message);
    for (unsigned i = 0; i < m->setup.peers->count; i++)
        if (m->setup.peers->list[i].id == message.server_id)
            address = m->setup.peers->list[i].address;
    if (address == NULL)
        return; /* that id is gone for good, and its connections with it */
    arena_enter(m->setup.arena);
    raft_message_decode(&message, data, size_bytes);
    message.server_address = address;
    m->recv(m->io, &message);
    fire_requests(m);
}

static bool transmit(struct raft_io_mem *m, const struct raft_message *message)
{
    struct raft_io_peers *peers = m->setup.peers;
    struct raft_io_peer *self = &peers->list[m->setup.self];

    for (unsigned i = 0; i < peers->count; i++) {
        struct raft_io_peer *to = &peers->list[i];
        size_t size_bytes;
        void *bytes;
        bool sent;

        if (to->id != message->server_id)
            continue;
        bytes = raft_message_encode(message, self->id, &size_bytes);
        sent = net_send_stream(m->setup.net, self->host, to->host, to->process, on_message, to, bytes, size_bytes);
        free(bytes);
        return sent && to->io != NULL;
    }
    return false;
}

static int mem_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                    raft_io_send_cb cb)
{
    struct raft_io_mem *m = io->impl;
    struct send_done *done = raft_malloc(sizeof(*done));

    req->cb = cb;
    *done = (struct send_done){
        .m = m, .next = m->sends, .send = req, .status = transmit(m, message) ? 0 : RAFT_NOCONNECTION
    };
    m->sends = done;
    schedule(m, 0, on_sent, done);
    return 0;
}

static raft_time mem_time(struct raft_io *io)
{
    struct raft_io_mem *m = io->impl;

    return (raft_time)(sim_clock_now_us(m->setup.sim, m->setup.clock) / SIM_US_PER_MS);
}

static int mem_random(struct raft_io *io, int min, int max)
{
    return (int)sim_between(((struct raft_io_mem *)io->impl)->setup.sim, min, max);
}

static void cancel_operation(struct operation *o)
{
    if (o->kind == OPERATION_APPEND)
        o->append->cb(o->append, RAFT_CANCELED);
    else if (o->kind == OPERATION_SNAPSHOT)
        o->put->cb(o->put, RAFT_CANCELED);
    raft_free(o);
}

/* A clean stop, in one go: what is under way is canceled. Reads of a snapshot are left to the arena. */
static void mem_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct raft_io_mem *m = io->impl;

    m->closing = true;
    m->setup.peers->list[m->setup.self].io = NULL;
    while (m->first != NULL) {
        struct operation *o = m->first;
        m->first = o->next;
        cancel_operation(o);
    }
    if (m->own_snapshot != NULL)
        cancel_operation(m->own_snapshot);
    while (m->sends != NULL) {
        struct raft_io_send *send = m->sends->send;
        forget_send(m->sends);
        send->cb(send, RAFT_CANCELED);
    }
    m->last = NULL;
    m->own_snapshot = NULL;
    if (cb != NULL)
        cb(io);
}

void raft_io_mem_init(struct raft_io *io, const struct raft_io_mem_setup *setup)
{
    struct raft_io_mem *m = raft_calloc(1, sizeof(*m));

    m->io = io;
    m->setup = *setup;
    *io = (struct raft_io){ .version = 2,
                            .capacity = CAPACITY_KIB,
                            .impl = m,
                            .init = mem_init,
                            .close = mem_close,
                            .load = mem_load,
                            .start = mem_start,
                            .bootstrap = mem_bootstrap,
                            .recover = mem_recover,
                            .set_term = mem_set_term,
                            .set_vote = mem_set_vote,
                            .send = mem_send,
                            .append = mem_append,
                            .truncate = mem_truncate,
                            .snapshot_put = mem_snapshot_put,
                            .snapshot_get = mem_snapshot_get,
                            .time = mem_time,
                            .random = mem_random };
}

void raft_io_mem_crash(struct raft_io *io)
{
    struct raft_io_mem *m = io->impl;

    for (struct operation *o = m->first; o != NULL; o = o->next) { /* nothing is written behind a write that failed */
        if (m->fault == RAFT_IO_MEM_APPEND_FAILS || o->kind == OPERATION_SNAPSHOT ||
            !sim_chance(m->setup.sim, PARTIAL_WRITE_PPM))
            break;
        if (o->kind == OPERATION_TRUNCATE) {
            disk_truncate(m->setup.disk, o->index);
        } else {
            unsigned written = (unsigned)sim_random(m->setup.sim, o->entry_count + 1);
            write_entries(m, o, written);
            if (written < o->entry_count)
                break;
        }
    }
    m->setup.peers->list[m->setup.self].io = NULL;
}

void raft_io_mem_set_fault(struct raft_io *io, enum raft_io_mem_fault fault)
{
    struct raft_io_mem *m = io->impl;

    m->fault = fault;
    work_next(m);
}

unsigned raft_io_mem_pending_count(const struct raft_io *io)
{
    return ((const struct raft_io_mem *)io->impl)->pending_count;
}
