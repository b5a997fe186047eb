/* Every rule of the guard, broken on purpose through a raft_io of our own. libraft itself does not run here: the test plays its part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/io_guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef RAFT_VERSION_NUMBER
#define INSTALL_SNAPSHOT RAFT_INSTALL_SNAPSHOT
#define APPEND_ENTRIES RAFT_APPEND_ENTRIES
#define REQUEST_VOTE RAFT_REQUEST_VOTE
#else
#define INSTALL_SNAPSHOT RAFT_IO_INSTALL_SNAPSHOT
#define APPEND_ENTRIES RAFT_IO_APPEND_ENTRIES
#define REQUEST_VOTE RAFT_IO_REQUEST_VOTE
#endif

struct rig {
    struct raft_io inner;
    struct raft raft;
    struct io_guard guard;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    int fail; /* what the inner io answers to the next writes */
    unsigned sends, truncates;
    struct raft_io_append *append;
    raft_io_append_cb append_cb;
    struct raft_io_snapshot_put *put;
    raft_io_snapshot_put_cb put_cb;
    /* seen by "libraft" */
    unsigned ticks, messages, last_message;
    int append_status, put_status;
    unsigned appends_done, puts_done, closed;
    /* seen by the owner */
    unsigned after, ticked, stalled, fatals;
    char reason[300];
    int64_t now_us;
};

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

static void lib_put(struct raft_io_snapshot_put *req, int status)
{
    struct rig *r = req->data;
    r->put_status = status;
    r->puts_done++;
}

static void lib_closed(struct raft_io *outer)
{
    rig_of_outer(outer)->closed++;
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

static struct raft_io *outer(struct rig *r)
{
    return &r->guard.outer;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->inner = (struct raft_io){ .version = 2,
                                 .impl = r,
                                 .start = inner_start,
                                 .set_term = inner_set_term,
                                 .set_vote = inner_set_vote,
                                 .truncate = inner_truncate,
                                 .send = inner_send,
                                 .append = inner_append,
                                 .snapshot_put = inner_put,
                                 .close = inner_close };
    r->raft.state = RAFT_FOLLOWER;
    r->now_us = 1000000;
    struct io_guard_config config = { .inner = &r->inner,
                                      .raft = &r->raft,
                                      .heartbeat_ms = 100,
                                      .election_ms = 500,
                                      .ctx = r,
                                      .after = on_after,
                                      .ticked = on_ticked,
                                      .stalled = on_stalled,
                                      .fatal = on_fatal,
                                      .now_us = now_us };
    r->raft.io = outer(r);
    io_guard_init(&r->guard, &config);
    assert_int_equal(outer(r)->start(outer(r), 100, lib_tick, lib_recv), 0);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->closed == 0)
        outer(r)->close(outer(r), lib_closed);
    assert_int_equal(r->closed, 1);
    free(r);
    return 0;
}

static void tick(struct rig *r, int64_t ms)
{
    r->now_us += ms * 1000;
    r->tick(&r->inner);
}

static int append(struct rig *r, struct raft_io_append *req)
{
    req->data = r;
    return outer(r)->append(outer(r), req, NULL, 0, lib_appended);
}

static void receive(struct rig *r, unsigned short type, raft_id from)
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

/* ---- tests ---- */

static void the_owner_looks_after_every_turn_of_the_library(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    tick(r, 100);
    assert_int_equal(r->ticks, 1);
    assert_int_equal(r->after, 1);
    assert_int_equal(r->ticked, 1);
    receive(r, REQUEST_VOTE, 2);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->after, 2);
    assert_int_equal(append(r, &req), 0);
    r->append_cb(r->append, 0);
    r->append = NULL;
    assert_int_equal(r->appends_done, 1);
    assert_int_equal(r->append_status, 0);
    assert_int_equal(r->after, 3);
    assert_int_equal(r->fatals, 0);
}

static void the_time_of_the_last_message_is_kept_per_peer(void **state)
{
    struct rig *r = *state;
    assert_true(io_guard_last_heard_us(&r->guard, 2) == INT64_MIN);
    receive(r, REQUEST_VOTE, 2);
    r->now_us += 5000;
    receive(r, REQUEST_VOTE, 3);
    assert_int_equal(io_guard_last_heard_us(&r->guard, 2), 1000000);
    assert_int_equal(io_guard_last_heard_us(&r->guard, 3), 1005000);
    for (raft_id id = 10; id < 10 + NODES_MAX; id++) { /* more than fit: the longest silence is forgotten */
        r->now_us += 1000;
        receive(r, REQUEST_VOTE, id);
    }
    assert_true(io_guard_last_heard_us(&r->guard, 2) == INT64_MIN);
    assert_int_equal(io_guard_last_heard_us(&r->guard, 10 + NODES_MAX - 1), r->now_us);
}

static void a_snapshot_is_not_installed_while_another_is_being_written(void **state)
{
    struct rig *r = *state;
    struct raft_io_snapshot_put req = { .data = r };
    receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 1);
    assert_int_equal(outer(r)->snapshot_put(outer(r), 8192, &req, NULL, lib_put), 0);
    receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->guard.install_snapshots_dropped, 1);
    receive(r, APPEND_ENTRIES, 1); /* everything else passes */
    assert_int_equal(r->messages, 2);
    r->put_cb(r->put, 0);
    r->put = NULL;
    assert_int_equal(r->puts_done, 1);
    receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 3);
    /* The same while one from the leader (trailing 0) is being written: the library would leak the second. */
    assert_int_equal(outer(r)->snapshot_put(outer(r), 0, &req, NULL, lib_put), 0);
    receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 3);
    r->put_cb(r->put, 0);
    r->put = NULL;
    receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 4);
}

static void expect_dead(struct rig *r, const char *because)
{
    struct raft_io_append req;
    struct raft_io_snapshot_put put = { .data = r };
    struct raft_message m = { 0 };
    struct raft_io_send send;
    unsigned done = r->appends_done, puts = r->puts_done;
    unsigned ticks = r->ticks, messages = r->messages, sends = r->sends, after = r->after;
    assert_int_equal(r->fatals, 1);
    if (strstr(r->reason, because) == NULL)
        fail_msg("'%s' does not say '%s'", r->reason, because);
    r->fail = 0;
    tick(r, 100);
    receive(r, APPEND_ENTRIES, 1);
    receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_not_equal(outer(r)->send(outer(r), &send, &m, NULL), 0);
    assert_int_not_equal(outer(r)->set_vote(outer(r), 2), 0);
    assert_int_equal(append(r, &req), 0);
    assert_int_equal(outer(r)->snapshot_put(outer(r), 10, &put, NULL, lib_put), 0);
    assert_int_equal(r->ticks, ticks);
    assert_int_equal(r->messages, messages);
    assert_int_equal(r->sends, sends);
    assert_int_equal(r->after, after);
    assert_int_equal(r->appends_done, done); /* held back ... */
    outer(r)->close(outer(r), lib_closed);
    assert_true(r->appends_done > done); /* ... until close, as canceled */
    assert_int_equal(r->append_status, RAFT_CANCELED);
    assert_true(r->puts_done > puts);
    assert_int_equal(r->put_status, RAFT_CANCELED);
    assert_int_equal(r->fatals, 1);
    assert_int_equal(r->closed, 1);
}

static void a_term_that_cannot_be_written_is_fatal(void **state)
{
    struct rig *r = *state;
    r->fail = RAFT_IOERR;
    strcpy(r->inner.errmsg, "fdatasync: Input/output error");
    assert_int_equal(outer(r)->set_term(outer(r), 4), RAFT_IOERR);
    expect_dead(r, "term failed: I/O error: fdatasync: Input/output error");
}

static void a_vote_that_cannot_be_written_is_fatal(void **state)
{
    struct rig *r = *state;
    r->fail = RAFT_NOSPACE;
    assert_int_equal(outer(r)->set_vote(outer(r), 4), RAFT_NOSPACE);
    expect_dead(r, "vote failed");
}

static void an_append_that_is_refused_is_fatal_and_looks_pending_to_the_library(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    r->fail = RAFT_IOERR;
    assert_int_equal(append(r, &req), 0); /* an error here makes libraft free its buffers twice */
    expect_dead(r, "log failed");
    assert_int_equal(r->appends_done, 2);
}

static void an_append_that_fails_at_completion_is_fatal_and_never_reported_as_done(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(append(r, &req), 0);
    r->append_cb(r->append, RAFT_IOERR);
    r->append = NULL;
    assert_int_equal(r->appends_done, 0);
    expect_dead(r, "log failed");
}

static void a_truncation_that_fails_is_fatal(void **state)
{
    struct rig *r = *state;
    r->fail = RAFT_IOERR;
    assert_int_equal(outer(r)->truncate(outer(r), 9), 0);
    expect_dead(r, "truncation");
}

static void a_snapshot_that_cannot_be_written_is_fatal(void **state)
{
    struct rig *r = *state;
    struct raft_io_snapshot_put req = { .data = r };
    assert_int_equal(outer(r)->snapshot_put(outer(r), 0, &req, NULL, lib_put), 0);
    r->put_cb(r->put, RAFT_NOSPACE);
    r->put = NULL;
    expect_dead(r, "snapshot failed");
}

static void a_library_that_gave_up_is_fatal(void **state)
{
    struct rig *r = *state;
    r->raft.state = RAFT_UNAVAILABLE;
    tick(r, 100);
    assert_int_equal(r->after, 0);
    expect_dead(r, "gave up");
}

static void a_canceled_write_is_no_failure(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(append(r, &req), 0);
    outer(r)->close(outer(r), lib_closed);
    assert_int_equal(r->append_status, RAFT_CANCELED);
    assert_int_equal(r->fatals, 0);
}

static void a_hung_append_first_ends_leadership_then_the_node(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(append(r, &req), 0);
    for (int i = 0; i < 10; i++)
        tick(r, 100);
    assert_int_equal(r->stalled, 0); /* 1 s = 2 election timeouts is not above them */
    tick(r, 100);
    assert_int_equal(r->stalled, 1);
    for (int i = 0; i < 29; i++)
        tick(r, 100);
    assert_int_equal(r->stalled, 1);
    assert_int_equal(r->fatals, 0);
    tick(r, 100);
    assert_int_equal(r->fatals, 1);
    assert_non_null(strstr(r->reason, "disk hangs or is full"));
}

static void a_process_that_was_stopped_is_not_a_disk_that_hangs(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(append(r, &req), 0);
    tick(r, 60000); /* SIGSTOP for a minute: counts as two heartbeats */
    assert_int_equal(r->stalled, 0);
    assert_int_equal(r->fatals, 0);
    r->append_cb(r->append, 0);
    r->append = NULL;
    for (int i = 0; i < 100; i++)
        tick(r, 100);
    assert_int_equal(r->stalled, 0);
    assert_int_equal(r->fatals, 0);
}

static void progress_of_a_slow_disk_starts_the_count_again(void **state)
{
    struct rig *r = *state;
    struct raft_io_append first, second;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(append(r, &first), 0);
        struct raft_io_append *request = r->append;
        assert_int_equal(append(r, &second), 0);
        for (int k = 0; k < 9; k++)
            tick(r, 100);
        r->append_cb(request, 0);
        for (int k = 0; k < 9; k++)
            tick(r, 100);
        r->append_cb(r->append, 0);
        r->append = NULL;
    }
    assert_int_equal(r->appends_done, 10);
    assert_int_equal(r->stalled, 0);
}

int main(void)
{
#define GUARD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        GUARD_TEST(the_owner_looks_after_every_turn_of_the_library),
        GUARD_TEST(the_time_of_the_last_message_is_kept_per_peer),
        GUARD_TEST(a_snapshot_is_not_installed_while_another_is_being_written),
        GUARD_TEST(a_term_that_cannot_be_written_is_fatal),
        GUARD_TEST(a_vote_that_cannot_be_written_is_fatal),
        GUARD_TEST(an_append_that_is_refused_is_fatal_and_looks_pending_to_the_library),
        GUARD_TEST(an_append_that_fails_at_completion_is_fatal_and_never_reported_as_done),
        GUARD_TEST(a_truncation_that_fails_is_fatal),
        GUARD_TEST(a_snapshot_that_cannot_be_written_is_fatal),
        GUARD_TEST(a_library_that_gave_up_is_fatal),
        GUARD_TEST(a_canceled_write_is_no_failure),
        GUARD_TEST(a_hung_append_first_ends_leadership_then_the_node),
        GUARD_TEST(a_process_that_was_stopped_is_not_a_disk_that_hangs),
        GUARD_TEST(progress_of_a_slow_disk_starts_the_count_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
