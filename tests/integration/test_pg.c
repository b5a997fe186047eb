/* io/pg against a real server: what comes back, what is refused, and that every end comes once and later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "io/pg.h"
#include "tests/integration/pg_fixture.h"

#define PATIENCE_MS 20000

static uv_loop_t loop;
static struct pg_server server;

struct outcome {
    bool ended;
    struct error err;
    char sqlstate[6];
    uint32_t row_count;
    bool warned;
    char first[128];
    char second[128];
    bool second_null;
};

static void on_connected(void *ctx, const char *sqlstate, const struct error *err)
{
    struct outcome *o = ctx;

    assert_false(o->ended);
    o->ended = true;
    o->err = err != NULL ? *err : ERROR_NONE;
    (void)snprintf(o->sqlstate, sizeof o->sqlstate, "%s", sqlstate);
}

static void on_answer(void *ctx, const struct pg_result *result, const struct error *err)
{
    struct outcome *o = ctx;

    on_connected(ctx, result->sqlstate, err);
    o->row_count = result->row_count;
    o->warned = result->warned;
    if (result->row_count > 0 && result->cells[0][0] != NULL)
        (void)snprintf(o->first, sizeof o->first, "%s", result->cells[0][0]);
    if (result->row_count > 0 && result->column_count > 1) {
        o->second_null = result->cells[0][1] == NULL;
        (void)snprintf(o->second, sizeof o->second, "%s", o->second_null ? "" : result->cells[0][1]);
    }
}

static void expect(const struct outcome *o, enum status status)
{
    if (o->err.status != status)
        print_error("expected %s, got %s: %s\n", status_word(status), status_word(o->err.status), o->err.text);
    assert_int_equal(o->err.status, status);
}

static struct outcome connect_to(struct pg *pg, const char *conninfo, uint32_t timeout_ms, enum status status)
{
    struct outcome o = { .ended = false };

    pg_connect_begin(pg, conninfo, NULL, timeout_ms, on_connected, &o);
    assert_false(o.ended);
    loop_until(&loop, &o.ended);
    expect(&o, status);
    assert_int_equal(pg_is_open(pg), status == STATUS_OK);
    return o;
}

static struct outcome query(struct pg *pg, const char *sql, const char *const *params, uint32_t count,
                            enum status status)
{
    struct outcome o = { .ended = false };

    pg_query_begin(pg, sql, params, count, PATIENCE_MS, on_answer, &o);
    assert_false(o.ended);
    loop_until(&loop, &o.ended);
    expect(&o, status);
    return o;
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void destroy_pg(struct pg *pg)
{
    bool closed = false;

    pg_destroy(pg, on_closed, &closed);
    assert_false(closed);
    loop_until(&loop, &closed);
}

static void parameters_rows_and_nulls_come_back_as_text(void **state)
{
    const char *params[2] = { "it's \\ \"so\"", NULL };
    struct pg *pg = pg_create(&loop);
    struct outcome o;

    (void)state;
    (void)connect_to(pg, server.tcp_conninfo, PATIENCE_MS, STATUS_OK);
    o = query(pg, "SELECT $1::text, $2::int FROM generate_series(1, 3)", params, 2, STATUS_OK);
    assert_int_equal(o.row_count, 3);
    assert_string_equal(o.first, params[0]);
    assert_true(o.second_null);
    destroy_pg(pg);
}

static void an_sql_error_leaves_the_connection_open(void **state)
{
    struct pg *pg = pg_create(&loop);
    struct outcome o;

    (void)state;
    (void)connect_to(pg, server.socket_conninfo, PATIENCE_MS, STATUS_OK);
    o = query(pg, "SELECT 1/0", NULL, 0, STATUS_FAILED);
    assert_string_equal(o.sqlstate, "22012");
    assert_int_equal(o.row_count, 0);
    assert_string_equal(o.err.text, "division by zero [22012]");
    assert_true(pg_is_open(pg));
    o = query(pg, "DO $$BEGIN RAISE WARNING 'careful'; END$$", NULL, 0, STATUS_OK);
    assert_true(o.warned);
    o = query(pg, "SELECT 42", NULL, 0, STATUS_OK);
    assert_string_equal(o.first, "42");
    assert_false(o.warned);
    destroy_pg(pg);
}

static void answers_beyond_the_limits_are_refused(void **state)
{
    static const char *const statements[] = {
        "SELECT generate_series(1, 33)",
        "SELECT repeat('x', 9000), repeat('x', 9000)",
        "SELECT 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25",
    };

    (void)state;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        struct pg *pg = pg_create(&loop);

        (void)connect_to(pg, server.socket_conninfo, PATIENCE_MS, STATUS_OK);
        (void)query(pg, statements[i], NULL, 0, STATUS_FULL);
        assert_false(pg_is_open(pg));
        (void)query(pg, "SELECT 1", NULL, 0, STATUS_UNREACHABLE);
        (void)connect_to(pg, server.socket_conninfo, PATIENCE_MS, STATUS_OK); /* the same object goes on */
        destroy_pg(pg);
    }
}

static void what_could_block_or_leak_is_refused(void **state)
{
    static const char *const conninfos[] = { "host=db.example.test user=coord",
                                             "host=/tmp",
                                             "user=coord",
                                             "service=prod user=coord host=/tmp",
                                             "host=10.0.0.1,db user=coord",
                                             "hostaddr=name user=coord",
                                             "this is not one; password=secret" };
    struct pg *pg = pg_create(&loop);

    (void)state;
    for (size_t i = 0; i < sizeof conninfos / sizeof conninfos[0]; i++) {
        struct outcome o = connect_to(pg, conninfos[i], PATIENCE_MS, STATUS_INVALID);

        assert_null(strstr(o.err.text, "secret"));
    }
    destroy_pg(pg);
}

static void a_refusal_by_the_server_has_its_sqlstate(void **state)
{
    struct pg *pg = pg_create(&loop);
    char conninfo[300];
    struct outcome o;

    (void)state;
    (void)snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%u user=coord dbname=nowhere", server.port);
    o = connect_to(pg, conninfo, PATIENCE_MS, STATUS_REFUSED);
    assert_string_equal(o.sqlstate, "3D000");
    (void)snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%u user=coord", pg_fixture_free_port());
    o = connect_to(pg, conninfo, PATIENCE_MS, STATUS_UNREACHABLE);
    assert_string_equal(o.sqlstate, "");
    assert_non_null(strstr(o.err.text, "refused"));
    destroy_pg(pg);
}

static void a_stopped_server_ends_at_our_deadline(void **state)
{
    struct pg *pg = pg_create(&loop);
    struct pg *other = pg_create(&loop);
    struct outcome o = { .ended = false };

    (void)state;
    (void)connect_to(pg, server.tcp_conninfo, PATIENCE_MS, STATUS_OK);
    pg_server_signal_all(&server, SIGSTOP);
    pg_query_begin(pg, "SELECT 1", NULL, 0, 100, on_answer, &o);
    loop_until(&loop, &o.ended);
    expect(&o, STATUS_TIMED_OUT);
    assert_false(pg_is_open(pg));
    (void)connect_to(other, server.tcp_conninfo, 100, STATUS_TIMED_OUT);
    pg_server_signal_all(&server, SIGCONT);
    destroy_pg(pg);
    destroy_pg(other);
}

static void a_session_ended_by_the_server_is_unknown(void **state)
{
    struct pg *pg = pg_create(&loop);
    struct outcome o;

    (void)state;
    (void)connect_to(pg, server.tcp_conninfo, PATIENCE_MS, STATUS_OK);
    o = query(pg, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, 0, STATUS_UNKNOWN);
    assert_string_equal(o.sqlstate, "57P01");
    assert_false(pg_is_open(pg));
    destroy_pg(pg);
}

static void cancel_and_destroy_end_what_is_under_way(void **state)
{
    struct pg *pg = pg_create(&loop);
    struct outcome connecting = { .ended = false };
    struct outcome asking = { .ended = false };

    (void)state;
    pg_connect_begin(pg, server.tcp_conninfo, NULL, PATIENCE_MS, on_connected, &connecting);
    pg_cancel(pg);
    assert_false(connecting.ended);
    loop_until(&loop, &connecting.ended);
    expect(&connecting, STATUS_CANCELED);
    (void)connect_to(pg, server.tcp_conninfo, PATIENCE_MS, STATUS_OK);
    pg_query_begin(pg, "SELECT pg_sleep(10)", NULL, 0, PATIENCE_MS, on_answer, &asking);
    destroy_pg(pg);
    assert_true(asking.ended);
    expect(&asking, STATUS_CANCELED);
}

/* The loop stands still for longer than the deadline while the answer arrives: it came in time. */
static void an_answer_that_waited_for_us_counts(void **state)
{
    struct pg *pg = pg_create(&loop);
    struct outcome o = { .ended = false };

    (void)state;
    (void)connect_to(pg, server.tcp_conninfo, PATIENCE_MS, STATUS_OK);
    pg_query_begin(pg, "SELECT 7", NULL, 0, 200, on_answer, &o);
    (void)pg_server_sql(&server, "SELECT pg_sleep(0.5)"); /* blocks this thread */
    loop_until(&loop, &o.ended);
    expect(&o, STATUS_OK);
    assert_string_equal(o.first, "7");
    destroy_pg(pg);
}

static void conninfo_parts_are_quoted(void **state)
{
    struct error err = ERROR_NONE;
    char out[PG_CONNINFO_MAX];

    (void)state;
    assert_int_equal(pg_conninfo_format(out, sizeof out, "10.0.0.1", 5432, "o'neil", "", "a\\b c", &err), STATUS_OK);
    assert_string_equal(out, "host='10.0.0.1' port='5432' user='o\\'neil' password='a\\\\b c'");
    assert_int_equal(pg_conninfo_format(out, 20, "10.0.0.1", 5432, "coord", NULL, NULL, &err), STATUS_FULL);
    assert_string_equal(out, "");
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
        cmocka_unit_test(conninfo_parts_are_quoted),
        cmocka_unit_test(parameters_rows_and_nulls_come_back_as_text),
        cmocka_unit_test(an_sql_error_leaves_the_connection_open),
        cmocka_unit_test(answers_beyond_the_limits_are_refused),
        cmocka_unit_test(what_could_block_or_leak_is_refused),
        cmocka_unit_test(a_refusal_by_the_server_has_its_sqlstate),
        cmocka_unit_test(a_stopped_server_ends_at_our_deadline),
        cmocka_unit_test(a_session_ended_by_the_server_is_unknown),
        cmocka_unit_test(cancel_and_destroy_end_what_is_under_way),
        cmocka_unit_test(an_answer_that_waited_for_us_counts),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
