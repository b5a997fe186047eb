/* probe_postgres against a real server: running, stopped as a whole or in its postmaster alone, refusing, gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "io/clock.h"
#include "probe/probe_postgres.h"
#include "tests/integration/pg_fixture.h"

#define PATIENCE_MS 20000
#define SHORT_MS 400

static uv_loop_t loop;
static struct pg_server server;

struct seen {
    bool ended;
    bool canceled;
    enum probe_outcome outcome;
    char detail[PROBE_DETAIL_MAX];
    int64_t rtt_us;
    struct postgres_view view;
    int *order; /* counts the looks that ended before */
    int place;
};

static void on_look(void *ctx, const struct probe_result *result, const struct error *err)
{
    struct seen *seen = ctx;

    assert_false(seen->ended);
    seen->ended = true;
    if (seen->order != NULL)
        seen->place = (*seen->order)++;
    if (err != NULL) {
        assert_int_equal(err->status, STATUS_CANCELED);
        assert_null(result);
        seen->canceled = true;
        return;
    }
    seen->outcome = result->outcome;
    seen->rtt_us = result->rtt_us;
    (void)snprintf(seen->detail, sizeof seen->detail, "%s", result->detail);
    seen->view = *probe_postgres_view(result);
}

static struct probe probe_of(enum postgres_look look, const char *conninfo)
{
    return probe_postgres_create(&loop,
                                 &(struct probe_postgres_config){ .conninfo = conninfo, .look = look, .node = 2 });
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_probe(struct probe probe)
{
    bool closed = false;

    probe.method->close(probe.self, on_closed, &closed);
    loop_until(&loop, &closed);
}

static struct seen look(struct probe probe, uint32_t timeout_ms)
{
    struct seen seen = { .ended = false };

    (void)probe.method->begin(probe.self, timeout_ms, on_look, &seen);
    assert_false(seen.ended);
    loop_until(&loop, &seen.ended);
    return seen;
}

static void expect(struct seen seen, enum probe_outcome outcome)
{
    if (seen.outcome != outcome)
        print_error("outcome %d: %s\n", (int)seen.outcome, seen.detail);
    assert_int_equal(seen.outcome, outcome);
    assert_true(seen.detail[0] != '\0');
}

static void make_canary_table(void)
{
    (void)pg_server_sql(&server, "CREATE SCHEMA IF NOT EXISTS coord AUTHORIZATION coord");
    (void)pg_server_sql(&server, "CREATE TABLE IF NOT EXISTS coord.canary (node bigint PRIMARY KEY,"
                                 " epoch bigint NOT NULL, written_at timestamptz NOT NULL)");
    (void)pg_server_sql(&server, "ALTER TABLE coord.canary OWNER TO coord");
}

static void a_read_tells_the_role_also_without_a_canary_table(void **state)
{
    struct probe kept = probe_of(POSTGRES_READ, server.tcp_conninfo);
    struct probe fresh = probe_of(POSTGRES_FRESH, server.socket_conninfo);
    struct probe both[2] = { kept, fresh };

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct seen seen = look(both[i % 2], PATIENCE_MS);

        expect(seen, PROBE_OK);
        assert_int_equal(seen.view.in_recovery, 0);
        assert_int_equal(seen.view.timeline, 1);
        assert_true(seen.view.current_lsn > 0 && seen.view.system_identifier != 0);
        assert_false(seen.view.canary_seen);
    }
    close_probe(kept);
    close_probe(fresh);
}

static void a_canary_without_a_table_says_nothing_about_the_server(void **state)
{
    struct probe probe = probe_of(POSTGRES_CANARY, server.tcp_conninfo);

    (void)state;
    expect(look(probe, PATIENCE_MS), PROBE_NEUTRAL);
    close_probe(probe);
}

static void a_canary_is_acknowledged_and_seen_by_reads(void **state)
{
    struct probe canary = probe_of(POSTGRES_CANARY, server.tcp_conninfo);
    struct probe fresh = probe_of(POSTGRES_FRESH, server.tcp_conninfo);
    int64_t before_ms = clock_wall_ms();
    struct seen seen;

    (void)state;
    make_canary_table();
    probe_postgres_set_epoch(canary, 41);
    seen = look(canary, PATIENCE_MS);
    expect(seen, PROBE_OK);
    assert_int_equal(seen.view.epoch, 41);
    seen = look(fresh, PATIENCE_MS);
    expect(seen, PROBE_OK);
    assert_true(seen.view.canary_seen);
    assert_int_equal(seen.view.canary_epoch, 41);
    assert_true(seen.view.canary_own_written_ms >= before_ms);
    assert_int_equal(seen.view.canary_own_written_ms, seen.view.canary_written_ms);
    close_probe(canary);
    close_probe(fresh);
}

static void a_refusal_by_the_guard_is_not_a_dead_database(void **state)
{
    struct probe probe = probe_of(POSTGRES_CANARY, server.tcp_conninfo);
    struct seen seen;

    (void)state;
    (void)pg_server_sql(&server, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                                 " $$BEGIN RAISE EXCEPTION 'no lease' USING ERRCODE = 'LG001'; END$$");
    (void)pg_server_sql(&server, "CREATE TRIGGER refuse BEFORE INSERT ON coord.canary EXECUTE FUNCTION refuse()");
    seen = look(probe, PATIENCE_MS);
    expect(seen, PROBE_NEUTRAL);
    assert_true(seen.view.guard_closed);
    assert_string_equal(seen.view.sqlstate, "LG001");
    (void)pg_server_sql(&server, "DROP TRIGGER refuse ON coord.canary");
    expect(look(probe, PATIENCE_MS), PROBE_OK);
    (void)pg_server_sql(&server, "ALTER ROLE coord SET default_transaction_read_only = on");
    close_probe(probe);
    probe = probe_of(POSTGRES_CANARY, server.tcp_conninfo);
    seen = look(probe, PATIENCE_MS);
    expect(seen, PROBE_NEUTRAL);
    assert_string_equal(seen.view.sqlstate, "25006");
    (void)pg_server_sql(&server, "ALTER ROLE coord RESET default_transaction_read_only");
    close_probe(probe);
}

static void a_broken_kept_connection_is_renewed_within_the_look(void **state)
{
    struct probe probe = probe_of(POSTGRES_READ, server.tcp_conninfo);

    (void)state;
    expect(look(probe, PATIENCE_MS), PROBE_OK);
    (void)pg_server_sql(&server,
                        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'coord'");
    expect(look(probe, PATIENCE_MS), PROBE_OK);
    close_probe(probe);
}

static void our_own_mistakes_are_neutral(void **state)
{
    char conninfo[300];
    struct probe probe;

    (void)state;
    (void)snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%u user=nobody_here dbname=postgres", server.port);
    probe = probe_of(POSTGRES_FRESH, conninfo);
    expect(look(probe, PATIENCE_MS), PROBE_NEUTRAL);
    close_probe(probe);
    probe = probe_of(POSTGRES_FRESH, "host=db.example.test user=coord");
    expect(look(probe, PATIENCE_MS), PROBE_NEUTRAL);
    close_probe(probe);
}

static void a_refused_port_fails(void **state)
{
    char conninfo[300];
    struct probe probe;

    (void)state;
    (void)snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%u user=coord", pg_fixture_free_port());
    probe = probe_of(POSTGRES_READ, conninfo);
    expect(look(probe, PATIENCE_MS), PROBE_FAILED);
    close_probe(probe);
}

static void a_stopped_postmaster_shows_on_a_fresh_connection_only(void **state)
{
    struct probe kept = probe_of(POSTGRES_READ, server.tcp_conninfo);
    struct probe fresh = probe_of(POSTGRES_FRESH, server.tcp_conninfo);
    struct probe canary = probe_of(POSTGRES_CANARY, server.tcp_conninfo);

    (void)state;
    expect(look(kept, PATIENCE_MS), PROBE_OK);
    expect(look(canary, PATIENCE_MS), PROBE_OK);
    assert_int_equal(kill(server.postmaster, SIGSTOP), 0);
    expect(look(kept, PATIENCE_MS), PROBE_OK);
    expect(look(canary, PATIENCE_MS), PROBE_OK);
    expect(look(fresh, SHORT_MS), PROBE_FAILED);
    assert_int_equal(kill(server.postmaster, SIGCONT), 0);
    expect(look(fresh, PATIENCE_MS), PROBE_OK);
    close_probe(kept);
    close_probe(fresh);
    close_probe(canary);
}

static void on_tick(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void on_tick_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

static void pause_ms(uint64_t ms)
{
    static uv_timer_t timer;
    bool over = false;
    bool closed = false;

    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &over;
    uv_update_time(&loop);
    assert_int_equal(uv_timer_start(&timer, on_tick, ms, 0), 0);
    loop_until(&loop, &over);
    timer.data = &closed;
    uv_close((uv_handle_t *)&timer, on_tick_closed);
    loop_until(&loop, &closed);
}

/* Looks at a stopped server start while earlier ones hang, and each ends by its own deadline, in order. */
static void hanging_looks_delay_nothing(enum postgres_look kind)
{
    struct probe probe = probe_of(kind, server.tcp_conninfo);
    struct seen seen[4] = { { .ended = false } };
    int order = 0;

    expect(look(probe, PATIENCE_MS), PROBE_OK);
    pg_server_signal_all(&server, SIGSTOP);
    for (int i = 0; i < 4; i++) {
        seen[i].order = &order;
        (void)probe.method->begin(probe.self, SHORT_MS, on_look, &seen[i]);
        assert_false(seen[0].ended); /* all four are in flight together */
        if (i < 3)
            pause_ms(SHORT_MS / 8);
    }
    loop_until(&loop, &seen[3].ended);
    for (int i = 0; i < 4; i++) {
        expect(seen[i], PROBE_FAILED);
        assert_int_equal(seen[i].place, i);
        assert_true(seen[i].rtt_us >= (SHORT_MS - 5) * 1000);
        print_message("  look %d: given up after %" PRId64 " ms: %s\n", i, seen[i].rtt_us / 1000, seen[i].detail);
    }
    pg_server_signal_all(&server, SIGCONT);
    expect(look(probe, PATIENCE_MS), PROBE_OK);
    close_probe(probe);
}

static void hanging_reads_delay_nothing(void **state)
{
    (void)state;
    hanging_looks_delay_nothing(POSTGRES_READ);
}

static void hanging_fresh_reads_delay_nothing(void **state)
{
    (void)state;
    hanging_looks_delay_nothing(POSTGRES_FRESH);
}

static void hanging_canaries_delay_nothing(void **state)
{
    (void)state;
    hanging_looks_delay_nothing(POSTGRES_CANARY);
}

static void canceled_looks_end_once_and_others_go_on(void **state)
{
    struct probe probe = probe_of(POSTGRES_READ, server.tcp_conninfo);
    struct seen first = { .ended = false };
    struct seen second = { .ended = false };
    struct probe_look *look_first;

    (void)state;
    look_first = probe.method->begin(probe.self, PATIENCE_MS, on_look, &first);
    (void)probe.method->begin(probe.self, PATIENCE_MS, on_look, &second);
    probe.method->cancel(look_first);
    assert_false(first.ended);
    loop_until(&loop, &second.ended);
    assert_true(first.ended && first.canceled);
    expect(second, PROBE_OK);
    close_probe(probe);
}

static void closing_ends_the_looks_in_flight(void **state)
{
    static const enum postgres_look kinds[] = { POSTGRES_READ, POSTGRES_FRESH, POSTGRES_CANARY };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct probe probe = probe_of(kinds[i], server.tcp_conninfo);
        struct seen seen[2] = { { .ended = false } };

        (void)probe.method->begin(probe.self, PATIENCE_MS, on_look, &seen[0]);
        (void)probe.method->begin(probe.self, PATIENCE_MS, on_look, &seen[1]);
        close_probe(probe);
        assert_true(seen[0].canceled && seen[1].canceled);
    }
}

static void on_look_and_again(void *ctx, const struct probe_result *result, const struct error *err)
{
    struct seen *seen = ctx;
    struct probe *probe = (void *)seen->order;

    (void)err;
    assert_non_null(result);
    seen->order = NULL;
    (void)probe->method->begin(probe->self, PATIENCE_MS, on_look, seen);
}

/* What is begun while an answer is told must not be ended by that same answer. */
static void a_look_begun_within_an_answer_gets_its_own(void **state)
{
    struct probe probe = probe_of(POSTGRES_READ, server.tcp_conninfo);
    struct seen again = { .order = (int *)(void *)&probe };
    struct seen second = { .ended = false };

    (void)state;
    (void)probe.method->begin(probe.self, PATIENCE_MS, on_look_and_again, &again);
    (void)probe.method->begin(probe.self, PATIENCE_MS, on_look, &second);
    loop_until(&loop, &again.ended);
    assert_true(second.ended);
    expect(again, PROBE_OK);
    assert_true(again.view.started_us > second.view.started_us);
    close_probe(probe);
}

static int create(void **state)
{
    (void)state;
    pg_server_create(&server, "server", "");
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
        cmocka_unit_test(a_read_tells_the_role_also_without_a_canary_table),
        cmocka_unit_test(a_canary_without_a_table_says_nothing_about_the_server),
        cmocka_unit_test(a_canary_is_acknowledged_and_seen_by_reads),
        cmocka_unit_test(a_refusal_by_the_guard_is_not_a_dead_database),
        cmocka_unit_test(a_broken_kept_connection_is_renewed_within_the_look),
        cmocka_unit_test(our_own_mistakes_are_neutral),
        cmocka_unit_test(a_refused_port_fails),
        cmocka_unit_test(a_stopped_postmaster_shows_on_a_fresh_connection_only),
        cmocka_unit_test(hanging_reads_delay_nothing),
        cmocka_unit_test(hanging_fresh_reads_delay_nothing),
        cmocka_unit_test(hanging_canaries_delay_nothing),
        cmocka_unit_test(canceled_looks_end_once_and_others_go_on),
        cmocka_unit_test(closing_ends_the_looks_in_flight),
        cmocka_unit_test(a_look_begun_within_an_answer_gets_its_own),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
