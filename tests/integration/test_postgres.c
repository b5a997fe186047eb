/* postgres/ against a real streaming pair, as a role without superuser rights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "io/clock.h"
#include "postgres/canary.h"
#include "postgres/position.h"
#include "postgres/promote.h"
#include "postgres/sever.h"
#include "tests/integration/pg_fixture.h"

#define PATIENCE_MS 20000

static uv_loop_t loop;
static struct pg_server primary;
static struct pg_server standby;
static struct pg_server unsevered; /* a second standby, promoted without having been severed */
static char saved_path[160];

struct outcome {
    bool ended;
    struct error err;
    struct server_state state;
    struct promote_result promoted;
    struct canary_result canary;
};

static void end(struct outcome *o, const struct error *err)
{
    assert_false(o->ended);
    o->ended = true;
    o->err = err != NULL ? *err : ERROR_NONE;
}

static void on_state(void *ctx, const struct server_state *state, const struct error *err)
{
    struct outcome *o = ctx;

    assert_true((state == NULL) == (err != NULL));
    if (state != NULL)
        o->state = *state;
    end(o, err);
}

static void on_promoted(void *ctx, const struct promote_result *result, const struct error *err)
{
    struct outcome *o = ctx;

    assert_true((result == NULL) == (err != NULL));
    if (result != NULL)
        o->promoted = *result;
    end(o, err);
}

static void on_canary(void *ctx, const struct canary_result *result, const struct error *err)
{
    struct outcome *o = ctx;

    o->canary = *result;
    end(o, err);
}

static struct outcome wait_for(struct outcome *o, enum status expected)
{
    loop_until(&loop, &o->ended);
    if (o->err.status != expected)
        print_error("expected %s, got %s: %s\n", status_word(expected), status_word(o->err.status), o->err.text);
    assert_int_equal(o->err.status, expected);
    return *o;
}

static struct server_state position_of(const struct pg_server *s)
{
    struct outcome o = { .ended = false };

    (void)position_begin(&loop, s->socket_conninfo, PATIENCE_MS, on_state, &o);
    return wait_for(&o, STATUS_OK).state;
}

static struct server_state sever(const struct pg_server *s, int64_t *duration_us)
{
    struct sever_request request = { .conninfo = s->socket_conninfo,
                                     .saved_path = saved_path,
                                     .timeout_ms = PATIENCE_MS };
    struct outcome o = { .ended = false };
    int64_t begun = clock_now_us();

    (void)sever_begin(&loop, &request, on_state, &o);
    (void)wait_for(&o, STATUS_OK);
    *duration_us = clock_now_us() - begun;
    return o.state;
}

static void unsever(const struct pg_server *s)
{
    struct sever_request request = { .conninfo = s->socket_conninfo,
                                     .saved_path = saved_path,
                                     .timeout_ms = PATIENCE_MS };
    struct outcome o = { .ended = false };

    (void)unsever_begin(&loop, &request, on_state, &o);
    (void)wait_for(&o, STATUS_OK);
}

static void wait_until_sql(const struct pg_server *s, const char *sql, const char *expected)
{
    for (int i = 0; strcmp(pg_server_sql(s, sql), expected) != 0; i++) {
        if (i == 400)
            fail_msg("%s is %s, not %s", sql, pg_server_sql(s, sql), expected);
        (void)usleep(50 * 1000);
    }
}

static struct outcome canary(const struct pg_server *s, bool wait_for_standby, uint32_t timeout_ms,
                             enum status expected)
{
    struct canary_request request = { .conninfo = s->tcp_conninfo,
                                      .node = 3,
                                      .epoch = 7,
                                      .wait_for_standby = wait_for_standby,
                                      .timeout_ms = timeout_ms };
    struct outcome o = { .ended = false };

    (void)canary_begin(&loop, &request, on_canary, &o);
    return wait_for(&o, expected);
}

static void the_canary_table_is_made_once_and_again(void **state)
{
    struct canary_request request = { .conninfo = primary.socket_conninfo, .timeout_ms = PATIENCE_MS };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct outcome o = { .ended = false };

        (void)canary_setup_begin(&loop, &request, on_canary, &o);
        (void)wait_for(&o, STATUS_OK);
    }
    assert_string_equal(pg_server_sql(&primary, "SELECT to_regclass('coord.canary')"), "coord.canary");
}

static void a_canary_is_acknowledged_and_replicated(void **state)
{
    struct outcome o = canary(&primary, false, PATIENCE_MS, STATUS_OK);

    (void)state;
    print_message("canary write: %" PRId64 " us\n", o.canary.rtt_us);
    assert_true(o.canary.rtt_us > 0);
    wait_until_sql(&standby, "SELECT to_regclass('coord.canary') IS NOT NULL", "t");
    wait_until_sql(&standby, "SELECT epoch FROM coord.canary WHERE node = 3", "7");
}

static void a_standby_refuses_the_canary(void **state)
{
    struct outcome o = canary(&standby, false, PATIENCE_MS, STATUS_FAILED);

    (void)state;
    assert_string_equal(o.canary.sqlstate, "25006");
    assert_false(o.canary.guard_closed);
}

static void positions_of_a_pair_agree(void **state)
{
    struct server_state p = position_of(&primary);
    struct server_state s;

    (void)state;
    assert_false(p.in_recovery);
    assert_false(p.receiver_running);
    for (int i = 0; i < 100; i++) {
        s = position_of(&standby);
        if (wal_position_compare(s.position, p.position) >= 0)
            break;
    }
    assert_true(s.in_recovery);
    assert_true(s.receiver_running && s.receiver_streaming);
    assert_int_equal(s.position.timeline, p.position.timeline);
    assert_true(s.position.lsn >= p.position.lsn);
    assert_true(s.system_identifier != 0 && s.system_identifier == p.system_identifier);
}

static void a_severed_standby_stays_where_it_is_until_it_is_reversed(void **state)
{
    struct server_state frozen;
    struct server_state again;
    struct stat file;
    int64_t duration_us;

    (void)state;
    frozen = sever(&standby, &duration_us);
    print_message("sever: %" PRId64 " ms\n", duration_us / 1000);
    assert_false(frozen.receiver_running);
    assert_int_equal(stat(saved_path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    (void)pg_server_sql(&primary, "CREATE TABLE later AS SELECT generate_series(1, 1000)");
    again = sever(&standby, &duration_us);
    assert_int_equal(wal_position_compare(frozen.position, again.position), 0);
    pg_server_signal_wait(&standby, SIGINT); /* it stays severed over a restart, where the received position is gone */
    pg_server_start(&standby, true);
    again = position_of(&standby);
    assert_false(again.receiver_running);
    /* The bytes of a record that did not arrive whole are not counted any more. */
    assert_true(again.position.lsn >= frozen.replayed_lsn && again.position.lsn <= frozen.position.lsn);
    assert_int_equal(again.position.timeline, frozen.position.timeline);
    assert_string_equal(pg_server_sql(&standby, "SELECT to_regclass('later') IS NULL"), "t");
    unsever(&standby);
    wait_until_sql(&standby, "SELECT to_regclass('later') IS NULL", "f");
    wait_until_sql(&standby, "SELECT count(*) FROM later", "1000");
    assert_string_equal(pg_server_sql(&standby, "SHOW wal_retrieve_retry_interval"), "5s");
    assert_int_not_equal(access(saved_path, F_OK), 0);
    unsever(&standby); /* nothing is saved: nothing to do */
}

static void a_primary_is_not_severed(void **state)
{
    struct sever_request request = { .conninfo = primary.socket_conninfo,
                                     .saved_path = saved_path,
                                     .timeout_ms = PATIENCE_MS };
    struct outcome o = { .ended = false };

    (void)state;
    (void)sever_begin(&loop, &request, on_state, &o);
    (void)wait_for(&o, STATUS_REFUSED);
}

static void a_canceled_operation_still_ends_once(void **state)
{
    struct outcome o = { .ended = false };
    struct position_query *p = position_begin(&loop, primary.socket_conninfo, PATIENCE_MS, on_state, &o);

    (void)state;
    position_cancel(p);
    position_cancel(p);
    assert_false(o.ended);
    (void)wait_for(&o, STATUS_CANCELED);
}

static void a_wait_for_a_lost_standby_ends_at_our_deadline(void **state)
{
    (void)state;
    (void)pg_server_sql(&primary, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    (void)pg_server_sql(&primary, "SELECT pg_reload_conf()");
    wait_until_sql(&primary, "SHOW synchronous_standby_names", "nobody");
    (void)canary(&primary, true, 500, STATUS_TIMED_OUT);
    /* The waiting transaction holds node 3's row; another row shows that a local canary does not wait. */
    (void)pg_server_sql(&primary, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    (void)canary(&primary, false, PATIENCE_MS, STATUS_OK);
}

/* The trap: the receiver has just ended because the primary died, and the startup process sleeps for up to 5 s. Inherited synchronous
 * names are the second one. */
static struct outcome promote(const struct pg_server *s, const char *names)
{
    struct promote_request request = { .conninfo = s->socket_conninfo,
                                       .synchronous_standby_names = names,
                                       .timeout_ms = PATIENCE_MS };
    struct outcome o = { .ended = false };

    (void)promote_begin(&loop, &request, on_promoted, &o);
    return wait_for(&o, STATUS_OK);
}

static void a_promotion_right_after_the_primary_died_does_not_wait(void **state)
{
    struct outcome o;
    struct server_state frozen;
    int64_t sever_us;
    int64_t promote_us;
    int64_t begun;

    (void)state;
    (void)pg_server_sql(&standby, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    pg_server_signal_all(&primary, SIGKILL);
    pg_server_signal_wait(&primary, SIGKILL);
    frozen = sever(&standby, &sever_us);
    begun = clock_now_us();
    o = promote(&standby, "");
    promote_us = clock_now_us() - begun;
    print_message("after SIGKILL of the primary: sever %" PRId64 " ms, promote %" PRId64 " ms (of it waiting %" PRId64
                  " ms)\n",
                  sever_us / 1000, promote_us / 1000, o.promoted.duration_us / 1000);
    assert_false(o.promoted.already_primary);
    assert_false(o.promoted.state.in_recovery);
    assert_int_equal(o.promoted.state.position.timeline, frozen.position.timeline + 1);
    assert_true(o.promoted.state.position.lsn >= frozen.position.lsn);
    (void)canary(&standby, true, PATIENCE_MS, STATUS_OK); /* would hang if the inherited name were in force */
}

static void a_promotion_without_a_sever_does_not_wait_either(void **state)
{
    struct outcome o = promote(&unsevered, NULL);

    (void)state;
    print_message("without a sever: waiting %" PRId64 " ms\n", o.promoted.duration_us / 1000);
    assert_false(o.promoted.already_primary);
    assert_int_equal(o.promoted.state.position.timeline, 2);
    wait_until_sql(&unsevered, "SHOW wal_retrieve_retry_interval", "5s"); /* put back */
}

static void promoting_a_primary_succeeds(void **state)
{
    struct outcome o = promote(&standby, "");

    (void)state;
    assert_true(o.promoted.already_primary);
    assert_string_equal(pg_server_sql(&standby, "SHOW synchronous_standby_names"), "");
}

static void a_checkpoint_brings_the_new_timeline_to_the_control_file(void **state)
{
    struct canary_request request = { .conninfo = standby.socket_conninfo, .timeout_ms = PATIENCE_MS };
    struct outcome o = { .ended = false };
    struct server_state s;

    (void)state;
    (void)canary_checkpoint_begin(&loop, &request, on_canary, &o);
    (void)wait_for(&o, STATUS_OK);
    s = position_of(&standby);
    assert_int_equal(s.checkpoint_timeline, s.position.timeline);
}

static void a_dead_server_is_unreachable(void **state)
{
    struct outcome o = { .ended = false };

    (void)state;
    (void)position_begin(&loop, primary.tcp_conninfo, PATIENCE_MS, on_state, &o);
    (void)wait_for(&o, STATUS_UNREACHABLE);
}

static int create(void **state)
{
    (void)state;
    pg_server_create(&primary, "primary", "");
    pg_server_create_standby(&standby, "standby", &primary);
    pg_server_create_standby(&unsevered, "unsevered", &primary);
    (void)snprintf(saved_path, sizeof saved_path, "%s/saved", pg_fixture_dir());
    return uv_loop_init(&loop);
}

static int destroy(void **state)
{
    (void)state;
    return uv_loop_close(&loop); /* fails when a handle was left open */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canary_table_is_made_once_and_again),
        cmocka_unit_test(a_canary_is_acknowledged_and_replicated),
        cmocka_unit_test(a_standby_refuses_the_canary),
        cmocka_unit_test(positions_of_a_pair_agree),
        cmocka_unit_test(a_severed_standby_stays_where_it_is_until_it_is_reversed),
        cmocka_unit_test(a_primary_is_not_severed),
        cmocka_unit_test(a_canceled_operation_still_ends_once),
        cmocka_unit_test(a_wait_for_a_lost_standby_ends_at_our_deadline),
        cmocka_unit_test(a_promotion_right_after_the_primary_died_does_not_wait),
        cmocka_unit_test(a_promotion_without_a_sever_does_not_wait_either),
        cmocka_unit_test(promoting_a_primary_succeeds),
        cmocka_unit_test(a_checkpoint_brings_the_new_timeline_to_the_control_file),
        cmocka_unit_test(a_dead_server_is_unreachable),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
