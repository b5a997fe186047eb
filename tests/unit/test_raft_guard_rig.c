#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_raft_guard_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig *rig_of_inner(struct raft_io *inner)
{
    return inner->impl;
}

static int inner_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    (void)msecs;
    rig_of_inner(io)->tick = tick;
    rig_of_inner(io)->recv = recv;
    return 0;
}

/* Term 3, entries 1 to 9. */
static int inner_load(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **loaded,
                      raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
    *term = 3;
    *voted_for = 1;
    *loaded = NULL;
    *start_index = 1;
    *entries = rig_of_inner(io)->loaded;
    *n_entries = RIG_LOADED;
    return 0;
}

static int inner_set_term(struct raft_io *io, raft_term term)
{
    (void)term;
    return rig_of_inner(io)->fail;
}

static int inner_set_vote(struct raft_io *io, raft_id id)
{
    (void)id;
    return rig_of_inner(io)->fail;
}

static int inner_truncate(struct raft_io *io, raft_index index)
{
    (void)index;
    rig_of_inner(io)->truncates++;
    return rig_of_inner(io)->fail;
}

static int inner_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *m, raft_io_send_cb cb)
{
    (void)req, (void)m, (void)cb;
    rig_of_inner(io)->sends++;
    return 0;
}

static int inner_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
                        raft_io_append_cb cb)
{
    struct rig *r = rig_of_inner(io);
    (void)entries, (void)n;
    if (r->fail != 0)
        return r->fail;
    r->append = req;
    r->append_cb = cb;
    return 0;
}

static int inner_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                     const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct rig *r = rig_of_inner(io);
    (void)trailing, (void)snapshot;
    if (r->fail != 0)
        return r->fail;
    r->put = req;
    r->put_cb = cb;
    return 0;
}

static void inner_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct rig *r = rig_of_inner(io);
    if (r->append != NULL)
        r->append_cb(r->append, RAFT_CANCELED);
    if (r->put != NULL)
        r->put_cb(r->put, RAFT_CANCELED);
    cb(io);
}

/* ---- the part of libraft ---- */

static struct rig *rig_of_outer(struct raft_io *outer)
{
    return outer->impl; /* the guard copies it */
}

static void lib_tick(struct raft_io *outer)
{
    rig_of_outer(outer)->ticks++;
}

static void lib_recv(struct raft_io *outer, struct raft_message *m)
{
    rig_of_outer(outer)->messages++;
    rig_of_outer(outer)->last_message = (unsigned)m->type;
}

static void lib_appended(struct raft_io_append *req, int status)
{
    struct rig *r = req->data;
    r->append_status = status;
    r->appends_done++;
}

void lib_put(struct raft_io_snapshot_put *req, int status)
{
    struct rig *r = req->data;
    r->put_status = status;
    r->puts_done++;
}

void lib_closed(struct raft_io *io)
{
    rig_of_outer(io)->closed++;
}

/* ---- the owner ---- */

static void on_after(void *ctx)
{
    ((struct rig *)ctx)->after++;
}

static void on_ticked(void *ctx)
{
    ((struct rig *)ctx)->ticked++;
}

static void on_stalled(void *ctx)
{
    ((struct rig *)ctx)->stalled++;
}

static void on_fatal(void *ctx, const char *reason)
{
    struct rig *r = ctx;
    r->fatals++;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static int64_t now_us(void *ctx)
{
    return ((struct rig *)ctx)->now_us;
}

const struct raft_snapshot rig_snapshot = { .index = 40 };

static void on_forgot(void *ctx, node_id id, uint64_t acknowledged, uint64_t has)
{
    struct rig *r = ctx;
    r->forgot = id;
    r->forgot_acknowledged = acknowledged;
    r->forgot_has = has;
}

static void on_withheld(void *ctx, node_id candidate)
{
    ((struct rig *)ctx)->withheld = candidate;
}

static int on_receipt_term(void *ctx, uint64_t term, node_id vote)
{
    struct rig *r = ctx;
    r->told_term = term;
    r->told_vote = vote;
    return r->receipt_fails;
}

static int on_receipt_lower(void *ctx, uint64_t last_index)
{
    struct rig *r = ctx;
    r->lowered = last_index;
    r->truncates_when_lowered = r->truncates;
    return r->receipt_fails;
}

static void on_receipt_stored(void *ctx, uint64_t last_index)
{
    ((struct rig *)ctx)->stored = last_index;
}

struct raft_io *rig_outer(struct rig *r)
{
    return &r->guard.outer;
}

int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->inner = (struct raft_io){ .version = 2,
                                 .impl = r,
                                 .start = inner_start,
                                 .load = inner_load,
                                 .set_term = inner_set_term,
                                 .set_vote = inner_set_vote,
                                 .truncate = inner_truncate,
                                 .send = inner_send,
                                 .append = inner_append,
                                 .snapshot_put = inner_put,
                                 .close = inner_close };
    r->raft.state = RAFT_FOLLOWER;
    r->now_us = 1000000;
    struct io_guard_config config = {
        .inner = &r->inner,
        .raft = &r->raft,
        .heartbeat_ms = 100,
        .election_ms = 500,
        .ctx = r,
        .after = on_after,
        .ticked = on_ticked,
        .stalled = on_stalled,
        .fatal = on_fatal,
        .now_us = now_us,
        .receipt = { .term = on_receipt_term, .lower = on_receipt_lower, .stored = on_receipt_stored },
        .receipt_ctx = r,
        .forgot = on_forgot,
        .withheld = on_withheld
    };
    r->raft.io = rig_outer(r);
    io_guard_init(&r->guard, &config);
    assert_int_equal(rig_outer(r)->start(rig_outer(r), 100, lib_tick, lib_recv), 0);
    *state = r;
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *r = *state;
    if (r->closed == 0)
        rig_outer(r)->close(rig_outer(r), lib_closed);
    assert_int_equal(r->closed, 1);
    free(r);
    return 0;
}

void rig_tick(struct rig *r, int64_t ms)
{
    r->now_us += ms * 1000;
    r->tick(&r->inner);
}

int rig_append_many(struct rig *r, struct raft_io_append *req, unsigned n)
{
    req->data = r;
    return rig_outer(r)->append(rig_outer(r), req, NULL, n, lib_appended);
}

int rig_append(struct rig *r, struct raft_io_append *req)
{
    return rig_append_many(r, req, 1);
}

void rig_load(struct rig *r)
{
    raft_term term;
    raft_id vote;
    struct raft_snapshot *loaded;
    raft_index start;
    struct raft_entry *entries;
    size_t n;
    assert_int_equal(rig_outer(r)->load(rig_outer(r), &term, &vote, &loaded, &start, &entries, &n), 0);
}

void rig_receive(struct rig *r, unsigned short type, raft_id from)
{
    struct raft_message m;
    memset(&m, 0, sizeof m);
    m.type = type;
    m.server_id = from;
    if (type == INSTALL_SNAPSHOT)
        m.install_snapshot.data = (struct raft_buffer){ .base = raft_malloc(64), .len = 64 };
    if (type == APPEND_ENTRIES) {
        m.append_entries.n_entries = 2;
        m.append_entries.entries = raft_calloc(2, sizeof *m.append_entries.entries);
        m.append_entries.entries[0].batch = m.append_entries.entries[1].batch = raft_malloc(16);
    }
    unsigned before = r->messages;
    r->recv(&r->inner, &m);
    if (r->messages == before)
        return; /* the guard dropped and freed it; the sanitizer sees it if not */
    if (type == INSTALL_SNAPSHOT)
        raft_free(m.install_snapshot.data.base);
    if (type == APPEND_ENTRIES) {
        raft_free(m.append_entries.entries[0].batch);
        raft_free(m.append_entries.entries);
    }
}
