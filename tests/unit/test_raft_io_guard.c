/* Every rule of the guard, broken on purpose through a raft_io of our own. libraft itself does not run here: the test plays its part. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "test_raft_guard_rig.h"

static void the_owner_looks_after_every_turn_of_the_library(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    rig_tick(r, 100);
    assert_int_equal(r->ticks, 1);
    assert_int_equal(r->after, 1);
    assert_int_equal(r->ticked, 1);
    rig_receive(r, REQUEST_VOTE, 2);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->after, 2);
    assert_int_equal(rig_append(r, &req), 0);
    r->append_cb(r->append, 0);
    r->append = NULL;
    assert_int_equal(r->appends_done, 1);
    assert_int_equal(r->append_status, 0);
    assert_int_equal(r->after, 3);
    assert_int_equal(r->fatals, 0);
}

static void the_only_voter_begins_a_new_term(void **state)
{
    static uint8_t list[] = { 1, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 'h', 0, RAFT_VOTER };
    struct rig *r = *state;
    rig_load(r);
    assert_int_equal(r->guard.stored_term, 3);
    r->loaded[4] = (struct raft_entry){ .type = RAFT_CHANGE, .buf = { .base = list, .len = sizeof list } };
    r->raft.id = 7;
    rig_load(r);
    assert_int_equal(r->guard.stored_term, 4);
    r->raft.id = 8;
    rig_load(r);
    assert_int_equal(r->guard.stored_term, 3);
}

static void the_time_of_the_last_message_is_kept_per_peer(void **state)
{
    struct rig *r = *state;
    assert_true(io_guard_last_heard_us(&r->guard, 2) == INT64_MIN);
    rig_receive(r, REQUEST_VOTE, 2);
    r->now_us += 5000;
    rig_receive(r, REQUEST_VOTE, 3);
    assert_int_equal(io_guard_last_heard_us(&r->guard, 2), 1000000);
    assert_int_equal(io_guard_last_heard_us(&r->guard, 3), 1005000);
    for (raft_id id = 10; id < 10 + NODES_MAX; id++) { /* more than fit: the longest silence is forgotten */
        r->now_us += 1000;
        rig_receive(r, REQUEST_VOTE, id);
    }
    assert_true(io_guard_last_heard_us(&r->guard, 2) == INT64_MIN);
    assert_int_equal(io_guard_last_heard_us(&r->guard, 10 + NODES_MAX - 1), r->now_us);
}

static void a_snapshot_is_not_installed_while_another_is_being_written(void **state)
{
    struct rig *r = *state;
    struct raft_io_snapshot_put req = { .data = r };
    rig_receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 1);
    assert_int_equal(rig_outer(r)->snapshot_put(rig_outer(r), 8192, &req, NULL, lib_put), 0);
    rig_receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->guard.install_snapshots_dropped, 1);
    rig_receive(r, APPEND_ENTRIES, 1); /* everything else passes */
    assert_int_equal(r->messages, 2);
    r->put_cb(r->put, 0);
    r->put = NULL;
    assert_int_equal(r->puts_done, 1);
    rig_receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 3);
    /* The same while one from the leader (trailing 0) is being written: the library would leak the second. */
    assert_int_equal(rig_outer(r)->snapshot_put(rig_outer(r), 0, &req, &rig_snapshot, lib_put), 0);
    rig_receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_equal(r->messages, 3);
    r->put_cb(r->put, 0);
    r->put = NULL;
    rig_receive(r, INSTALL_SNAPSHOT, 1);
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
    rig_tick(r, 100);
    rig_receive(r, APPEND_ENTRIES, 1);
    rig_receive(r, INSTALL_SNAPSHOT, 1);
    assert_int_not_equal(rig_outer(r)->send(rig_outer(r), &send, &m, NULL), 0);
    assert_int_not_equal(rig_outer(r)->set_vote(rig_outer(r), 2), 0);
    assert_int_equal(rig_append(r, &req), 0);
    assert_int_equal(rig_outer(r)->snapshot_put(rig_outer(r), 10, &put, NULL, lib_put), 0);
    assert_int_equal(r->ticks, ticks);
    assert_int_equal(r->messages, messages);
    assert_int_equal(r->sends, sends);
    assert_int_equal(r->after, after);
    assert_int_equal(r->appends_done, done); /* held back ... */
    rig_outer(r)->close(rig_outer(r), lib_closed);
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
    assert_int_equal(rig_outer(r)->set_term(rig_outer(r), 4), RAFT_IOERR);
    expect_dead(r, "term failed: I/O error: fdatasync: Input/output error");
}

static void a_vote_that_cannot_be_written_is_fatal(void **state)
{
    struct rig *r = *state;
    r->fail = RAFT_NOSPACE;
    assert_int_equal(rig_outer(r)->set_vote(rig_outer(r), 4), RAFT_NOSPACE);
    expect_dead(r, "vote failed");
}

static void an_append_that_is_refused_is_fatal_and_looks_pending_to_the_library(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    r->fail = RAFT_IOERR;
    assert_int_equal(rig_append(r, &req), 0); /* an error here makes libraft free its buffers twice */
    expect_dead(r, "log failed");
    assert_int_equal(r->appends_done, 2);
}

static void an_append_that_fails_at_completion_is_fatal_and_never_reported_as_done(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(rig_append(r, &req), 0);
    r->append_cb(r->append, RAFT_IOERR);
    r->append = NULL;
    assert_int_equal(r->appends_done, 0);
    expect_dead(r, "log failed");
}

static void a_truncation_that_fails_is_fatal(void **state)
{
    struct rig *r = *state;
    r->fail = RAFT_IOERR;
    assert_int_equal(rig_outer(r)->truncate(rig_outer(r), 9), 0);
    expect_dead(r, "truncation");
}

static void a_snapshot_that_cannot_be_written_is_fatal(void **state)
{
    struct rig *r = *state;
    struct raft_io_snapshot_put req = { .data = r };
    assert_int_equal(rig_outer(r)->snapshot_put(rig_outer(r), 0, &req, &rig_snapshot, lib_put), 0);
    r->put_cb(r->put, RAFT_NOSPACE);
    r->put = NULL;
    expect_dead(r, "snapshot failed");
}

static void a_library_that_gave_up_is_fatal(void **state)
{
    struct rig *r = *state;
    r->raft.state = RAFT_UNAVAILABLE;
    rig_tick(r, 100);
    assert_int_equal(r->after, 0);
    expect_dead(r, "gave up");
}

static void a_canceled_write_is_no_failure(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(rig_append(r, &req), 0);
    rig_outer(r)->close(rig_outer(r), lib_closed);
    assert_int_equal(r->append_status, RAFT_CANCELED);
    assert_int_equal(r->fatals, 0);
}

static void a_hung_append_first_ends_leadership_then_the_node(void **state)
{
    static struct raft_io_append req; /* answered by the teardown only */
    struct rig *r = *state;
    assert_int_equal(rig_append(r, &req), 0);
    for (int i = 0; i < 10; i++)
        rig_tick(r, 100);
    assert_int_equal(r->stalled, 0); /* 1 s = 2 election timeouts is not above them */
    rig_tick(r, 100);
    assert_int_equal(r->stalled, 1);
    for (int i = 0; i < 29; i++)
        rig_tick(r, 100);
    assert_int_equal(r->stalled, 1);
    assert_int_equal(r->fatals, 0);
    rig_tick(r, 100);
    assert_int_equal(r->fatals, 1);
    assert_non_null(strstr(r->reason, "disk hangs, fails or is full"));
}

static void a_process_that_was_stopped_is_not_a_disk_that_hangs(void **state)
{
    struct rig *r = *state;
    struct raft_io_append req;
    assert_int_equal(rig_append(r, &req), 0);
    rig_tick(r, 60000); /* SIGSTOP for a minute: counts as two heartbeats */
    assert_int_equal(r->stalled, 0);
    assert_int_equal(r->fatals, 0);
    r->append_cb(r->append, 0);
    r->append = NULL;
    for (int i = 0; i < 100; i++)
        rig_tick(r, 100);
    assert_int_equal(r->stalled, 0);
    assert_int_equal(r->fatals, 0);
}

static void progress_of_a_slow_disk_starts_the_count_again(void **state)
{
    struct rig *r = *state;
    struct raft_io_append first, second;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rig_append(r, &first), 0);
        struct raft_io_append *request = r->append;
        assert_int_equal(rig_append(r, &second), 0);
        for (int k = 0; k < 9; k++)
            rig_tick(r, 100);
        r->append_cb(request, 0);
        for (int k = 0; k < 9; k++)
            rig_tick(r, 100);
        r->append_cb(r->append, 0);
        r->append = NULL;
    }
    assert_int_equal(r->appends_done, 10);
    assert_int_equal(r->stalled, 0);
}

static void the_receipt_hears_of_term_and_vote_before_the_library_goes_on(void **state)
{
    struct rig *r = *state;
    rig_load(r);
    assert_int_equal(rig_outer(r)->set_vote(rig_outer(r), 2), 0); /* in the term that was loaded */
    assert_int_equal(r->told_term, 3);
    assert_int_equal(r->told_vote, 2);
    assert_int_equal(rig_outer(r)->set_term(rig_outer(r), 7), 0);
    assert_int_equal(r->told_term, 7);
    assert_int_equal(r->told_vote, 0);
    r->receipt_fails = EIO;
    assert_int_not_equal(rig_outer(r)->set_vote(rig_outer(r), 1), 0);
    assert_int_equal(r->fatals, 1);
    assert_non_null(strstr(r->reason, "receipt"));
}

static void the_receipt_hears_what_is_stored_and_first_what_is_cut(void **state)
{
    struct rig *r = *state;
    struct raft_io_append one, two, three;
    struct raft_io_snapshot_put put = { .data = r };
    rig_load(r);
    assert_int_equal(rig_append_many(r, &one, 2), 0); /* 10, 11 */
    assert_int_equal(r->stored, 0);
    r->append_cb(r->append, 0);
    assert_int_equal(r->stored, 11);
    assert_int_equal(rig_append_many(r, &two, 3), 0); /* 12 to 14, under way while the log is cut at 13 */
    assert_int_equal(rig_outer(r)->truncate(rig_outer(r), 13), 0);
    assert_int_equal(r->lowered, 12);
    assert_int_equal(r->truncates_when_lowered, 0);
    assert_int_equal(r->truncates, 1);
    r->append_cb(r->append, 0);
    assert_int_equal(r->stored, 12); /* not 14 */
    assert_int_equal(rig_append_many(r, &three, 1), 0);
    r->append_cb(r->append, 0);
    assert_int_equal(r->stored, 13);
    r->append = NULL;
    assert_int_equal(rig_outer(r)->snapshot_put(rig_outer(r), 8192, &put, &rig_snapshot, lib_put),
                     0); /* our own: the log stays */
    r->put_cb(r->put, 0);
    assert_int_equal(r->lowered, 12);
    assert_int_equal(r->stored, 13);
    assert_int_equal(rig_outer(r)->snapshot_put(rig_outer(r), 0, &put, &rig_snapshot, lib_put),
                     0); /* the leader's, at 40 */
    assert_int_equal(r->lowered, 40);
    assert_int_equal(r->stored, 13);
    r->put_cb(r->put, 0);
    r->put = NULL;
    assert_int_equal(r->stored, 40);
}

static void nothing_is_cut_when_the_receipt_cannot_be_lowered(void **state)
{
    struct rig *r = *state;
    rig_load(r);
    r->receipt_fails = EIO;
    assert_int_equal(rig_outer(r)->truncate(rig_outer(r), 5), 0);
    assert_int_equal(r->truncates, 0);
    assert_int_equal(r->fatals, 1);
}

static void answer(struct rig *r, raft_id from, raft_index rejected, raft_index last)
{
    struct raft_message m;
    memset(&m, 0, sizeof m);
    m.type = APPEND_ENTRIES_RESULT;
    m.server_id = from;
    m.append_entries_result.term = r->raft.current_term;
    m.append_entries_result.rejected = rejected;
    m.append_entries_result.last_log_index = last;
    r->recv(&r->inner, &m);
}

static void a_member_that_has_less_than_it_acknowledged_is_heard_no_more(void **state)
{
    struct rig *r = *state;
    r->raft.state = RAFT_LEADER;
    r->raft.current_term = 4;
    answer(r, 2, 0, 100);
    answer(r, 3, 0, 50);
    answer(r, 2, 120, 80);
    answer(r, 2, 120, 80);
    answer(r, 2, 0, 100);  /* those were late */
    answer(r, 3, 120, 50); /* is behind, and has what it said */
    answer(r, 3, 120, 50);
    answer(r, 3, 120, 50);
    assert_int_equal(r->forgot, 0);
    for (int i = 0; i < 10; i++)
        answer(r, 2, 120, 80); /* from an old connection, all at once */
    answer(r, 2, 0, 100);
    r->now_us += 500 * 1000;
    answer(r, 2, 120, 80);
    r->now_us += 100 * 1000;
    answer(r, 2, 0, 80); /* it takes what begins there, and is still short */
    r->now_us += 99 * 1000;
    answer(r, 2, 120, 80);
    assert_int_equal(r->forgot, 0);
    r->now_us += 1000;
    unsigned before = r->messages;
    answer(r, 2, 120, 80);
    assert_int_equal(r->forgot, 2);
    assert_int_equal(r->forgot_acknowledged, 100);
    assert_int_equal(r->forgot_has, 80);
    r->raft.current_term = 9; /* it stays so */
    rig_receive(r, REQUEST_VOTE, 2);
    assert_int_equal(r->messages, before);
    rig_receive(r, REQUEST_VOTE, 3);
    assert_int_equal(r->messages, before + 1);
}

static void another_term_and_a_snapshot_begin_anew(void **state)
{
    struct rig *r = *state;
    struct raft_io_send req;
    struct raft_message m;
    r->raft.state = RAFT_LEADER;
    r->raft.current_term = 4;
    answer(r, 2, 0, 100);
    r->raft.current_term = 5;
    for (int i = 0; i < 5; i++)
        answer(r, 2, 120, 80);
    answer(r, 2, 0, 100);
    memset(&m, 0, sizeof m);
    m.type = INSTALL_SNAPSHOT;
    m.server_id = 2;
    assert_int_equal(rig_outer(r)->send(rig_outer(r), &req, &m, NULL), 0);
    for (int i = 0; i < 5; i++)
        answer(r, 2, 120, 80);
    assert_int_equal(r->forgot, 0);
}

static void a_log_that_is_new_gives_no_vote_to_a_longer_one(void **state)
{
    struct rig *r = *state;
    struct raft_message m;
    memset(&m, 0, sizeof m);
    m.type = REQUEST_VOTE;
    m.server_id = 3;
    m.request_vote.last_log_index = 40;
    r->guard.next_index = 2; /* the first entry alone */
    r->recv(&r->inner, &m);
    assert_int_equal(r->messages, 0);
    assert_int_equal(r->withheld, 3);
    m.request_vote.last_log_index = 1; /* a cluster that begins */
    r->recv(&r->inner, &m);
    assert_int_equal(r->messages, 1);
    m.request_vote.last_log_index = 40;
    r->guard.next_index = 3;
    r->recv(&r->inner, &m);
    assert_int_equal(r->messages, 2);
}

int main(void)
{
#define GUARD_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        GUARD_TEST(the_owner_looks_after_every_turn_of_the_library),
        GUARD_TEST(the_time_of_the_last_message_is_kept_per_peer),
        GUARD_TEST(the_only_voter_begins_a_new_term),
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
        GUARD_TEST(the_receipt_hears_of_term_and_vote_before_the_library_goes_on),
        GUARD_TEST(the_receipt_hears_what_is_stored_and_first_what_is_cut),
        GUARD_TEST(nothing_is_cut_when_the_receipt_cannot_be_lowered),
        GUARD_TEST(a_member_that_has_less_than_it_acknowledged_is_heard_no_more),
        GUARD_TEST(another_term_and_a_snapshot_begin_anew),
        GUARD_TEST(a_log_that_is_new_gives_no_vote_to_a_longer_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
