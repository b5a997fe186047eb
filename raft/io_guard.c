/* Happy path: libraft calls outer, outer calls inner; inner calls back into the guard, the guard into libraft, then `after`.
 *
 * Failure: io_guard_fail calls `fatal`. Should it return, `dead` is set: writes are swallowed with success (on an error libraft frees the
 * same buffers twice), their callbacks are held back until close and answered with RAFT_CANCELED then, messages are dropped both ways. */
#include "raft/io_guard.h"
#include "raft/append_cut.h"
#include "raft/io_guard_peers.h"
#include "raft/lone_voter.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#define HUNG_MIN_US (4 * 1000 * 1000) /* below the 5 s after which 0.22.1 retries a failed write on the wrong timer */

struct io_guard_append {
    struct raft_io_append request; /* what inner is given */
    struct io_guard *guard;
    struct raft_io_append *user;
    raft_io_append_cb cb;
    struct io_guard_append *next;
    raft_index last; /* of its entries, as far as they still count */
    bool held;       /* inner is done with it or never had it; libraft has not been told, because the guard is dead */
};

struct io_guard_snapshot {
    struct raft_io_snapshot_put request;
    struct io_guard *guard;
    struct raft_io_snapshot_put *user;
    raft_io_snapshot_put_cb cb;
    struct io_guard_snapshot *next;
    raft_index installed; /* the log goes on behind it; 0: one of our own, the log stays */
};

struct io_guard_load {
    struct raft_io_snapshot_get request;
    struct io_guard *guard;
    struct raft_io_snapshot_get *user;
    raft_io_snapshot_get_cb cb;
};

static struct io_guard *guard_of(struct raft_io *outer)
{
    return (struct io_guard *)(void *)outer; /* outer is the first member */
}

/* libuv's backend takes its io's `data` for the struct raft (it fires the callbacks of requests through it), so the way back goes there. */
static struct io_guard *guard_behind(struct raft_io *inner)
{
    struct raft *raft = inner->data;
    return guard_of(raft->io);
}

void io_guard_fail(struct io_guard *g, const char *format, ...)
{
    char reason[RAFT_ERRMSG_BUF_SIZE + 128];
    va_list args;
    if (g->dead)
        return;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    g->dead = true;
    g->config.fatal(g->config.ctx, reason);
}

static void fail_write(struct io_guard *g, const char *what, int rv)
{
    io_guard_fail(g, "writing the Raft %s failed: %s: %s", what, raft_strerror(rv), g->config.inner->errmsg);
}

static void fail_receipt(struct io_guard *g, int wrong)
{
    if (wrong != 0)
        io_guard_fail(g, "writing the receipt of what this node holds failed: %s", strerror(wrong));
}

static void receipt_term(struct io_guard *g, raft_term term, raft_id vote)
{
    g->stored_term = term;
    if (g->config.receipt.term != NULL)
        fail_receipt(g, g->config.receipt.term(g->config.receipt_ctx, term, vote));
}

/* The log is about to end at `last` and to go on from there with other entries. */
static void receipt_lower(struct io_guard *g, raft_index last)
{
    g->next_index = last + 1;
    for (struct io_guard_append *a = g->oldest; a != NULL; a = a->next)
        if (a->last > last)
            a->last = last;
    if (g->config.receipt.lower != NULL)
        fail_receipt(g, g->config.receipt.lower(g->config.receipt_ctx, last));
}

static void receipt_stored(struct io_guard *g, raft_index last)
{
    if (g->config.receipt.stored != NULL)
        g->config.receipt.stored(g->config.receipt_ctx, last);
}

/* libraft reads errmsg and the reserved capacity from what it was given. */
static void mirror(struct io_guard *g)
{
    memcpy(g->outer.errmsg, g->config.inner->errmsg, sizeof g->outer.errmsg);
#ifdef RAFT_VERSION_NUMBER
    g->outer.capacity = g->config.inner->capacity;
#endif
}

static int mirrored(struct io_guard *g, int rv)
{
    mirror(g);
    return rv;
}

/* libraft has returned: it is at rest. */
static void at_rest(struct io_guard *g)
{
    if (g->dead || g->closing)
        return;
    if ((int)raft_state(g->config.raft) == RAFT_UNAVAILABLE) {
        io_guard_fail(g, "the Raft library gave up: %s", raft_errmsg(g->config.raft));
        return;
    }
    if (g->config.after != NULL)
        g->config.after(g->config.ctx);
}

/* Frees what a message carries when libraft does not get it. */
static void drop_message(struct raft_message *m)
{
    if (m->type == MESSAGE_INSTALL_SNAPSHOT) {
        raft_configuration_close(&m->install_snapshot.conf);
        raft_free(m->install_snapshot.data.base);
    } else if (m->type == MESSAGE_APPEND_ENTRIES) {
        void *batch = NULL;
        for (unsigned i = 0; i < m->append_entries.n_entries; i++)
            if (m->append_entries.entries[i].batch != batch) {
                batch = m->append_entries.entries[i].batch;
                raft_free(batch);
            }
        if (m->append_entries.n_entries > 0)
            raft_free(m->append_entries.entries);
    }
}

/* A pre-vote tells the term of its sender, and libraft neither takes it over nor answers one of a lower term with its own: two nodes of
 * which one has the longer log and the other the higher term refuse each other for ever. So the term is told by a vote request that
 * cannot be granted. Nothing is disturbed by it: there is no leader. */
static void learn_term(struct io_guard *g, const struct raft_message *m)
{
    raft_id leader = 0;
    const char *address = NULL;
    struct raft_message told = *m;
    if (!m->request_vote.pre_vote || m->request_vote.term <= g->config.raft->current_term + 1)
        return;
    raft_leader(g->config.raft, &leader, &address);
    if (leader != 0 || (int)raft_state(g->config.raft) == RAFT_LEADER)
        return;
    told.request_vote.pre_vote = false;
    told.request_vote.term = m->request_vote.term - 1;
    told.request_vote.last_log_index = 0;
    told.request_vote.last_log_term = 0;
    g->recv(&g->outer, &told);
}

static void on_recv(struct raft_io *inner, struct raft_message *m)
{
    struct io_guard *g = guard_behind(inner);
    if (g->dead || g->closing) {
        drop_message(m);
        return;
    }
    io_guard_peer_heard(g, m->server_id);
    if (!io_guard_peer_trusted(g, m)) {
        drop_message(m);
        return;
    }
    if (m->type == MESSAGE_INSTALL_SNAPSHOT && g->snapshots_writing > 0) {
        g->install_snapshots_dropped++;
        drop_message(m);
        return;
    }
    mirror(g);
    if (m->type == MESSAGE_REQUEST_VOTE)
        learn_term(g, m);
    else if (m->type == MESSAGE_APPEND_ENTRIES)
        (void)append_cut(&m->append_entries);
    g->recv(&g->outer, m);
    at_rest(g);
}

/* Time counts at most two heartbeats per tick: a process that was stopped or starved is not a disk that hangs. */
static void watch_appends(struct io_guard *g)
{
    int64_t now = g->config.now_us(g->config.ctx);
    int64_t span_us = now - g->ticked_us;
    int64_t most_us = 2000LL * g->config.heartbeat_ms;
    int64_t patience_us = 2000LL * g->config.election_ms;
    g->ticked_us = now;
    if (g->oldest == NULL)
        return;
    g->waited_us += span_us < most_us ? span_us : most_us;
    if (g->waited_us > patience_us && !g->stall_told) {
        g->stall_told = true;
        if (g->config.stalled != NULL)
            g->config.stalled(g->config.ctx);
    }
    if (g->waited_us > patience_us && g->waited_us > HUNG_MIN_US)
        io_guard_fail(g, "a write to the Raft log has not completed for %lld ms: the disk hangs, fails or is full%s%s",
                      (long long)(g->waited_us / 1000), g->config.inner->errmsg[0] != '\0' ? "; last heard: " : "",
                      g->config.inner->errmsg);
}

static void on_tick(struct raft_io *inner)
{
    struct io_guard *g = guard_behind(inner);
    if (g->dead)
        return;
    mirror(g);
    g->tick(&g->outer);
    at_rest(g);
    if (!g->dead && !g->closing)
        watch_appends(g);
    if (!g->dead && !g->closing && g->config.ticked != NULL)
        g->config.ticked(g->config.ctx);
}

static int guard_start(struct raft_io *outer, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct io_guard *g = guard_of(outer);
    g->tick = tick;
    g->recv = recv;
    g->ticked_us = g->config.now_us(g->config.ctx);
    return mirrored(g, g->config.inner->start(g->config.inner, msecs, on_tick, on_recv));
}

static int guard_init(struct raft_io *outer, raft_id id, const char *address)
{
    struct io_guard *g = guard_of(outer);
    g->config.inner->data = g->config.raft;
    return mirrored(g, g->config.inner->init(g->config.inner, id, address));
}

static int guard_set_term(struct raft_io *outer, raft_term term);

static int guard_load(struct raft_io *outer, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
                      raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
    struct io_guard *g = guard_of(outer);
    int rv =
        mirrored(g, g->config.inner->load(g->config.inner, term, voted_for, snapshot, start_index, entries, n_entries));
    if (rv == 0) {
        g->stored_term = *term;
        g->next_index = *start_index + *n_entries;
    }
    if (rv != 0 || !lone_voter(g->config.raft->id, *snapshot, *entries, *n_entries))
        return rv;
    *voted_for = 0;
    return guard_set_term(outer, ++*term);
}

static int guard_bootstrap(struct raft_io *outer, const struct raft_configuration *conf)
{
    struct io_guard *g = guard_of(outer);
    return mirrored(g, g->config.inner->bootstrap(g->config.inner, conf));
}

static int guard_recover(struct raft_io *outer, const struct raft_configuration *conf)
{
    struct io_guard *g = guard_of(outer);
    return mirrored(g, g->config.inner->recover(g->config.inner, conf));
}

static int guard_set_term(struct raft_io *outer, raft_term term)
{
    struct io_guard *g = guard_of(outer);
    if (g->dead)
        return RAFT_IOERR;
    int rv = mirrored(g, g->config.inner->set_term(g->config.inner, term));
    if (rv != 0)
        fail_write(g, "term", rv);
    else
        receipt_term(g, term, 0);
    return rv == 0 && g->dead ? RAFT_IOERR : rv;
}

static int guard_set_vote(struct raft_io *outer, raft_id id)
{
    struct io_guard *g = guard_of(outer);
    if (g->dead)
        return RAFT_IOERR;
    int rv = mirrored(g, g->config.inner->set_vote(g->config.inner, id));
    if (rv != 0)
        fail_write(g, "vote", rv);
    else
        receipt_term(g, g->stored_term, id);
    return rv == 0 && g->dead ? RAFT_IOERR : rv;
}

static int guard_send(struct raft_io *outer, struct raft_io_send *req, const struct raft_message *m, raft_io_send_cb cb)
{
    struct io_guard *g = guard_of(outer);
    if (g->dead)
        return RAFT_NOCONNECTION; /* a vote or an acknowledgement that rests on a failed write must not leave */
    io_guard_peer_sent(g, m);
    if (m->type == MESSAGE_INSTALL_SNAPSHOT && m->install_snapshot.last_index == g->loaded_index &&
        m->install_snapshot.last_term != g->loaded_term) {
        struct raft_message corrected = *m; /* every inner io turns it into bytes before it returns */
        corrected.install_snapshot.last_term = g->loaded_term;
        return mirrored(g, g->config.inner->send(g->config.inner, req, &corrected, cb));
    }
    return mirrored(g, g->config.inner->send(g->config.inner, req, m, cb));
}

static void append_unlink(struct io_guard_append *a)
{
    struct io_guard *g = a->guard;
    struct io_guard_append *previous = NULL;
    for (struct io_guard_append *p = g->oldest; p != a; p = p->next)
        previous = p;
    if (previous == NULL)
        g->oldest = a->next;
    else
        previous->next = a->next;
    if (g->newest == a)
        g->newest = previous;
    g->waited_us = 0;
    g->stall_told = false;
}

static void append_finish(struct io_guard_append *a, int status)
{
    struct raft_io_append *user = a->user;
    raft_io_append_cb cb = a->cb;
    append_unlink(a);
    raft_free(a);
    cb(user, status);
}

static void on_append(struct raft_io_append *request, int status)
{
    struct io_guard_append *a = request->data;
    struct io_guard *g = a->guard;
    if (status != 0 && status != RAFT_CANCELED)
        fail_write(g, "log", status);
    if (g->dead && !g->closing) {
        a->held = true;
        return;
    }
    mirror(g);
    if (status == 0)
        receipt_stored(g, a->last);
    append_finish(a, g->dead ? RAFT_CANCELED : status);
    at_rest(g);
}

static int guard_append(struct raft_io *outer, struct raft_io_append *req, const struct raft_entry entries[],
                        unsigned n, raft_io_append_cb cb)
{
    struct io_guard *g = guard_of(outer);
    struct io_guard_append *a = raft_malloc(sizeof *a);
    if (a == NULL) {
        io_guard_fail(g, "out of memory while writing the Raft log");
        return RAFT_NOMEM;
    }
    *a = (struct io_guard_append){ .guard = g, .user = req, .cb = cb, .held = g->dead };
    a->request.data = a;
    a->last = g->next_index + n - 1;
    g->next_index += n;
    if (g->newest != NULL)
        g->newest->next = a;
    else
        g->oldest = a;
    g->newest = a;
    if (g->oldest == a)
        g->waited_us = 0;
    if (g->dead)
        return 0;
    int rv = mirrored(g, g->config.inner->append(g->config.inner, &a->request, entries, n, on_append));
    if (rv != 0) {
        a->held = true;
        fail_write(g, "log", rv);
    }
    return 0;
}

static int guard_truncate(struct raft_io *outer, raft_index index)
{
    struct io_guard *g = guard_of(outer);
    if (g->dead)
        return 0;
    receipt_lower(g, index - 1);
    if (g->dead)
        return 0;
    int rv = mirrored(g, g->config.inner->truncate(g->config.inner, index));
    if (rv != 0)
        fail_write(g, "log (truncation)", rv);
    return 0;
}

static void snapshot_finish(struct io_guard_snapshot *s, int status)
{
    struct raft_io_snapshot_put *user = s->user;
    raft_io_snapshot_put_cb cb = s->cb;
    raft_free(s);
    cb(user, status);
}

static void snapshot_hold(struct io_guard_snapshot *s)
{
    s->next = s->guard->held_snapshots;
    s->guard->held_snapshots = s;
}

static void on_snapshot_put(struct raft_io_snapshot_put *request, int status)
{
    struct io_guard_snapshot *s = request->data;
    struct io_guard *g = s->guard;
    g->snapshots_writing--;
    if (status != 0 && status != RAFT_CANCELED)
        fail_write(g, "snapshot", status);
    if (g->dead && !g->closing) {
        snapshot_hold(s);
        return;
    }
    mirror(g);
    if (status == 0 && s->installed > 0)
        receipt_stored(g, s->installed);
    snapshot_finish(s, g->dead ? RAFT_CANCELED : status);
    at_rest(g);
}

static int guard_snapshot_put(struct raft_io *outer, unsigned trailing, struct raft_io_snapshot_put *req,
                              const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct io_guard *g = guard_of(outer);
    struct io_guard_snapshot *s = raft_malloc(sizeof *s);
    if (s == NULL) {
        io_guard_fail(g, "out of memory while writing a snapshot");
        return RAFT_NOMEM;
    }
    *s = (struct io_guard_snapshot){ .guard = g, .user = req, .cb = cb };
    s->request.data = s;
    if (trailing == 0 && !g->dead) {
        s->installed = snapshot->index;
        receipt_lower(g, snapshot->index);
    }
    if (g->dead) {
        snapshot_hold(s);
        return 0;
    }
    g->snapshots_writing++;
    int rv =
        mirrored(g, g->config.inner->snapshot_put(g->config.inner, trailing, &s->request, snapshot, on_snapshot_put));
    if (rv != 0) {
        g->snapshots_writing--;
        snapshot_hold(s);
        fail_write(g, "snapshot", rv);
    }
    return 0;
}

/* libraft sends what was loaded, which may be newer than what it asked for, and corrects the index but not the term. */
static void on_snapshot_loaded(struct raft_io_snapshot_get *request, struct raft_snapshot *snapshot, int status)
{
    struct io_guard_load *load = request->data;
    struct raft_io_snapshot_get *user = load->user;
    raft_io_snapshot_get_cb cb = load->cb;
    if (status == 0) {
        load->guard->loaded_index = snapshot->index;
        load->guard->loaded_term = snapshot->term;
    }
    raft_free(load);
    cb(user, snapshot, status);
}

static int guard_snapshot_get(struct raft_io *outer, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb)
{
    struct io_guard *g = guard_of(outer);
    struct io_guard_load *load;
    if (g->dead)
        return RAFT_IOERR;
    load = raft_malloc(sizeof *load);
    if (load == NULL)
        return RAFT_NOMEM;
    *load = (struct io_guard_load){ .guard = g, .user = req, .cb = cb };
    load->request.data = load;
    int rv = mirrored(g, g->config.inner->snapshot_get(g->config.inner, &load->request, on_snapshot_loaded));
    if (rv != 0)
        raft_free(load);
    return rv;
}

static raft_time guard_time(struct raft_io *outer)
{
    struct io_guard *g = guard_of(outer);
    return g->config.inner->time(g->config.inner);
}

static int guard_random(struct raft_io *outer, int min, int max)
{
    struct io_guard *g = guard_of(outer);
    return g->config.inner->random(g->config.inner, min, max);
}

#ifndef RAFT_VERSION_NUMBER
static int guard_async_work(struct raft_io *outer, struct raft_io_async_work *req, raft_io_async_work_cb cb)
{
    struct io_guard *g = guard_of(outer);
    return mirrored(g, g->config.inner->async_work(g->config.inner, req, cb));
}
#endif

static void on_inner_closed(struct raft_io *inner)
{
    struct io_guard *g = guard_behind(inner);
    if (g->close_cb != NULL)
        g->close_cb(&g->outer);
}

static void guard_close(struct raft_io *outer, raft_io_close_cb cb)
{
    struct io_guard *g = guard_of(outer);
    g->closing = true;
    g->close_cb = cb;
    for (struct io_guard_append *a = g->oldest, *next; a != NULL; a = next) {
        next = a->next;
        if (a->held)
            append_finish(a, RAFT_CANCELED);
    }
    while (g->held_snapshots != NULL) {
        struct io_guard_snapshot *s = g->held_snapshots;
        g->held_snapshots = s->next;
        snapshot_finish(s, RAFT_CANCELED);
    }
    g->config.inner->close(g->config.inner, on_inner_closed);
}

void io_guard_init(struct io_guard *g, const struct io_guard_config *config)
{
    ASSERT(config->inner != NULL && config->raft != NULL && config->fatal != NULL && config->now_us != NULL);
    *g = (struct io_guard){ .config = *config };
    g->outer = *config->inner; /* version, impl and capacity */
    g->config.inner->data = g->config.raft;
    g->outer.init = guard_init;
    g->outer.close = guard_close;
    g->outer.load = guard_load;
    g->outer.start = guard_start;
    g->outer.bootstrap = guard_bootstrap;
    g->outer.recover = guard_recover;
    g->outer.set_term = guard_set_term;
    g->outer.set_vote = guard_set_vote;
    g->outer.send = guard_send;
    g->outer.append = guard_append;
    g->outer.truncate = guard_truncate;
    g->outer.snapshot_put = guard_snapshot_put;
    g->outer.snapshot_get = guard_snapshot_get;
    g->outer.time = guard_time;
    g->outer.random = guard_random;
#ifndef RAFT_VERSION_NUMBER
    g->outer.async_work = guard_async_work;
#endif
}
