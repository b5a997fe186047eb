/* fence_agent on real servers: guarded and not, running, stopped, frozen, restarted, and with orphans that outlived their postmaster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "fencing/data_dir.h"
#include "fencing/fence_agent.h"
#include "fencing/guard_client.h"
#include "fencing/preload.h"
#include "io/clock.h"
#include "tests/integration/pg_fixture.h"

#define PATIENCE_MS 20000
#define OTHER ((instance_id)0x1234)

static uv_loop_t loop;
static struct pg_server guarded;
static struct pg_server plain;
static char guard_socket[200];

struct outcome {
    bool ended;
    struct fence_result result;
    struct guard_answer answer;
    struct error err;
};

static void on_fenced(void *ctx, const struct fence_result *result, const struct error *err)
{
    struct outcome *o = ctx;

    assert_false(o->ended);
    o->ended = true;
    o->result = *result;
    o->err = err != NULL ? *err : ERROR_NONE;
}

static void on_checked(void *ctx, const struct error *err)
{
    struct outcome *o = ctx;

    o->ended = true;
    o->err = err != NULL ? *err : ERROR_NONE;
}

static void on_answer(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct outcome *o = ctx;

    o->ended = true;
    o->answer = *answer;
    o->err = err != NULL ? *err : ERROR_NONE;
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void expect(const struct outcome *o, enum status status)
{
    if (o->err.status != status)
        print_error("expected %s, got %s: %s\n", status_word(status), status_word(o->err.status), o->err.text);
    assert_int_equal(o->err.status, status);
}

static struct fence_agent *agent_of(const struct pg_server *s, const char *socket)
{
    struct fence_agent_config config = { .data_dir = s->data_dir,
                                         .bin_dir = PG_BIN_DIR,
                                         .guard_socket = socket,
                                         .child = { .supervise_path = SUPERVISE, .grace_ms = 100 } };
    struct fence_agent *agent = fence_agent_create(&loop, &config);

    assert_non_null(agent);
    return agent;
}

static void agent_gone(struct fence_agent *agent)
{
    bool closed = false;

    fence_agent_destroy(agent, on_closed, &closed);
    loop_until(&loop, &closed);
}

static struct outcome fence(const struct pg_server *s, const char *socket, const struct fence_target *target)
{
    struct fence_agent *agent = agent_of(s, socket);
    struct outcome o = { .ended = false };
    int64_t begun = clock_now_us();

    fence_agent_method.begin(agent, target, on_fenced, &o);
    assert_false(o.ended);
    loop_until(&loop, &o.ended);
    print_message("  fenced or not in %" PRId64 " ms%s%s\n", (clock_now_us() - begun) / 1000,
                  o.err.status == STATUS_OK ? "" : ": ", o.err.text);
    agent_gone(agent);
    return o;
}

static struct outcome check(const struct pg_server *s, const char *socket, uint32_t timeout_ms)
{
    struct fence_agent *agent = agent_of(s, socket);
    struct outcome o = { .ended = false };

    fence_agent_method.check(agent, timeout_ms, on_checked, &o);
    loop_until(&loop, &o.ended);
    agent_gone(agent);
    return o;
}

/* The instance of the running guarded server. */
static struct guard_status guard_status(void)
{
    struct guard_client *g = guard_client_create(&loop, guard_socket);
    bool closed = false;
    struct outcome o;

    for (int i = 0;; i++) { /* its worker may still be starting */
        o = (struct outcome){ .ended = false };
        guard_status_begin(g, PATIENCE_MS, on_answer, &o);
        loop_until(&loop, &o.ended);
        if (o.err.status == STATUS_OK || i == 200)
            break;
        (void)usleep(50 * 1000);
    }
    guard_client_destroy(g, on_closed, &closed);
    loop_until(&loop, &closed);
    expect(&o, STATUS_OK);
    return o.answer.status;
}

static void guard_open(epoch_t epoch)
{
    struct guard_client *g = guard_client_create(&loop, guard_socket);
    struct guard_status now = guard_status();
    struct outcome o = { .ended = false };
    bool closed = false;

    guard_open_begin(g, now.instance, epoch, now.now_us, 60000, PATIENCE_MS, on_answer, &o);
    loop_until(&loop, &o.ended);
    expect(&o, STATUS_OK);
    guard_client_destroy(g, on_closed, &closed);
    loop_until(&loop, &closed);
}

static bool accepts_a_write(const struct pg_server *s)
{
    char conninfo[300];
    PGconn *conn;
    PGresult *result;
    bool ok;

    (void)snprintf(conninfo, sizeof conninfo, "host=%s port=%u user=postgres dbname=postgres", s->socket_dir,
                   (unsigned)s->port);
    conn = PQconnectdb(conninfo);
    result = PQexec(conn, "CREATE TABLE IF NOT EXISTS scratch (i int); INSERT INTO scratch VALUES (1)");
    ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    PQfinish(conn);
    return ok;
}

static void a_running_guarded_server_is_proven_closed(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 5, .instance_count = 2, .timeout_ms = PATIENCE_MS };
    struct outcome o;

    (void)state;
    guard_open(5);
    assert_true(accepts_a_write(&guarded));
    target.instances[0] = OTHER;
    target.instances[1] = guard_status().instance;
    o = fence(&guarded, guard_socket, &target);
    expect(&o, STATUS_OK);
    assert_int_equal(o.result.proofs[0], FENCE_CONFIRMED_STOPPED);
    assert_int_equal(o.result.proofs[1], FENCE_CONFIRMED_CLOSED);
    assert_int_equal(o.result.protected_by, FENCE_GUARD_PRELOADED);
    assert_false(o.result.stopped);
    assert_true(o.result.running == target.instances[1]);
    assert_false(accepts_a_write(&guarded));
    o = fence(&guarded, guard_socket, &target); /* fencing a fenced site succeeds */
    expect(&o, STATUS_OK);
    guard_open(6);
    assert_true(accepts_a_write(&guarded));
}

/* Its server accepts writes: that the older epoch is closed proves nothing about them. */
static void a_guard_that_is_open_under_a_later_epoch_proves_nothing(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 5, .instance_count = 1, .timeout_ms = 500 };
    struct outcome o;

    (void)state;
    target.instances[0] = guard_status().instance;
    assert_int_equal(guard_status().state, GUARD_OPEN);
    o = fence(&guarded, guard_socket, &target);
    expect(&o, STATUS_TIMED_OUT);
    assert_int_equal(o.result.proofs[0], FENCE_UNPROVEN);
    assert_non_null(strstr(o.err.text, "closed up to epoch 5 and open under epoch 6"));
    assert_true(accepts_a_write(&guarded));
}

static void a_check_sees_the_running_server(void **state)
{
    struct outcome o = check(&guarded, guard_socket, PATIENCE_MS);

    (void)state;
    expect(&o, STATUS_OK);
    assert_true(accepts_a_write(&guarded)); /* it changed nothing */
    o = check(&plain, "", PATIENCE_MS);
    expect(&o, STATUS_OK);
    o = check(&guarded, "/tmp/test-nobody.sock", 200);
    expect(&o, STATUS_TIMED_OUT);
}

static void after_a_restart_the_old_instance_is_proven_stopped(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 6, .instance_count = 1, .timeout_ms = PATIENCE_MS };
    struct outcome o;

    (void)state;
    target.instances[0] = guard_status().instance;
    pg_server_signal_wait(&guarded, SIGINT);
    pg_server_start(&guarded, true);
    assert_true(guard_status().instance != target.instances[0]);
    o = fence(&guarded, guard_socket, &target);
    expect(&o, STATUS_OK);
    assert_int_equal(o.result.proofs[0], FENCE_CONFIRMED_STOPPED);
    assert_true(o.result.running == guard_status().instance);
    assert_int_equal(guard_status().closed_epoch, 6);
}

static void a_guard_of_another_directory_proves_nothing(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 9, .instance_count = 1, .timeout_ms = 1500 };
    struct outcome o;

    (void)state;
    target.instances[0] = OTHER;
    o = fence(&plain, guard_socket, &target); /* the guarded server answers there */
    expect(&o, STATUS_TIMED_OUT);
    assert_int_equal(o.result.proofs[0], FENCE_UNPROVEN);
    assert_non_null(strstr(o.err.text, "is not a PostgreSQL server's in"));
    assert_non_null(strstr(o.err.text, "pg_ctl stop -m immediate -D"));
}

static void a_running_server_without_a_guard_is_not_proven(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 9, .instance_count = 1, .timeout_ms = 300 };
    struct outcome o;

    (void)state;
    target.instances[0] = OTHER;
    o = fence(&plain, "", &target);
    expect(&o, STATUS_TIMED_OUT);
    assert_int_equal(o.result.proofs[0], FENCE_UNPROVEN);
    assert_true(accepts_a_write(&plain));
}

static void a_canceled_fence_ends_once(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 9, .timeout_ms = PATIENCE_MS };
    struct fence_agent *agent = agent_of(&plain, guard_socket);
    struct outcome o = { .ended = false };
    struct outcome again = { .ended = false };

    (void)state;
    fence_agent_method.begin(agent, &target, on_fenced, &o);
    fence_agent_method.cancel(agent);
    fence_agent_method.cancel(agent);
    assert_false(o.ended);
    loop_until(&loop, &o.ended);
    expect(&o, STATUS_CANCELED);
    fence_agent_method.begin(agent, &target, on_fenced, &again);
    agent_gone(agent); /* ends it */
    assert_true(again.ended);
    expect(&again, STATUS_CANCELED);
}

/* Frozen for long: connections to it are not even queued any more. `clients` are those that are. */
static int full_listener(const char *path, int clients[2])
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < 2; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(clients[i], (const struct sockaddr *)&address, sizeof address), i == 0 ? 0 : -1);
    }
    assert_int_equal(errno, EAGAIN);
    return listener;
}

static void not_proven_while_a_guard_listens(const char *socket)
{
    struct fence_target target = { .service = "app", .epoch = 6, .instance_count = 1, .timeout_ms = 1500 };
    struct outcome o;

    target.instances[0] = OTHER;
    o = fence(&plain, socket, &target);
    expect(&o, STATUS_TIMED_OUT);
    assert_int_equal(o.result.proofs[0], FENCE_UNPROVEN);
    assert_non_null(strstr(o.err.text, "serves its guard's socket"));
}

/* The wrong directory, an old one after an upgrade, looks like a stopped server. */
static void while_a_guard_listens_an_empty_directory_proves_nothing(void **state)
{
    struct data_dir_state directory;
    struct error err = ERROR_NONE;
    char path[200];
    int clients[2];
    int listener;

    (void)state;
    pg_server_signal_wait(&plain, SIGINT);
    assert_int_equal(data_dir_inspect(plain.data_dir, &directory, &err), STATUS_OK);
    assert_int_equal(directory.life, DATA_DIR_EMPTY);
    not_proven_while_a_guard_listens(guard_socket);
    pg_server_signal_all(&guarded, SIGSTOP);
    not_proven_while_a_guard_listens(guard_socket);
    pg_server_signal_all(&guarded, SIGCONT);
    (void)snprintf(path, sizeof path, "%s/full.sock", plain.socket_dir);
    listener = full_listener(path, clients);
    not_proven_while_a_guard_listens(path);
    for (int i = 0; i < 2; i++)
        (void)close(clients[i]);
    (void)close(listener);
    pg_server_start(&plain, true);
}

static pid_t a_backend_of(PGconn *conn)
{
    PGresult *result = PQexec(conn, "SELECT pg_backend_pid()");
    pid_t pid;

    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    pid = (pid_t)atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return pid;
}

/* The trap: the postmaster is dead, its backend lives (here: it was stopped, so it cannot notice) and would commit when it goes on. */
static void orphans_are_ended_before_anything_is_proven(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 7, .instance_count = 1, .timeout_ms = PATIENCE_MS };
    struct data_dir_state directory;
    struct error err = ERROR_NONE;
    char conninfo[300];
    PGconn *conn;
    pid_t backend;
    struct outcome o;

    (void)state;
    target.instances[0] = guard_status().instance;
    (void)snprintf(conninfo, sizeof conninfo, "host=%s port=%u user=postgres dbname=postgres", guarded.socket_dir,
                   (unsigned)guarded.port);
    conn = PQconnectdb(conninfo);
    backend = a_backend_of(conn);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    pg_server_signal_wait(&guarded, SIGKILL);
    (void)usleep(300 * 1000); /* the others notice and end */
    assert_int_equal(data_dir_inspect(guarded.data_dir, &directory, &err), STATUS_OK);
    assert_int_equal(directory.life, DATA_DIR_ORPHANED);
    assert_int_equal(directory.some_process, backend);
    assert_true(directory.attached_count >= 1);
    o = fence(&guarded, guard_socket, &target);
    expect(&o, STATUS_OK);
    assert_int_equal(o.result.proofs[0], FENCE_CONFIRMED_STOPPED);
    assert_true(o.result.stopped);
    assert_int_equal(o.result.protected_by, FENCE_GUARD_PRELOADED);
    assert_int_equal(data_dir_inspect(guarded.data_dir, &directory, &err), STATUS_OK);
    assert_int_equal(directory.life, DATA_DIR_EMPTY);
    PQfinish(conn);
    pg_server_start(&guarded, true);
    assert_false(accepts_a_write(&guarded)); /* it came up closed */
}

static void a_frozen_server_is_stopped_when_asked(void **state)
{
    struct fence_target target = {
        .service = "app", .epoch = 8, .instance_count = 1, .stop = true, .timeout_ms = PATIENCE_MS
    };
    struct outcome o;

    (void)state;
    target.instances[0] = guard_status().instance;
    pg_server_signal_all(&guarded, SIGSTOP);
    o = fence(&guarded, guard_socket, &target);
    expect(&o, STATUS_OK);
    assert_int_equal(o.result.proofs[0], FENCE_CONFIRMED_STOPPED);
    assert_true(o.result.stopped);
    assert_true((o.result.protected_by & FENCE_TOMBSTONE) != 0);
    pg_server_signal_wait(&guarded, SIGKILL);
    o = fence(&guarded, guard_socket, &target);
    expect(&o, STATUS_OK);
}

static void a_stopped_server_without_a_guard_gets_a_tombstone(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 9, .instance_count = 1, .timeout_ms = PATIENCE_MS };
    struct outcome o;

    (void)state;
    target.instances[0] = OTHER;
    pg_server_signal_wait(&plain, SIGINT);
    o = fence(&plain, "", &target);
    expect(&o, STATUS_OK);
    assert_int_equal(o.result.proofs[0], FENCE_CONFIRMED_STOPPED);
    assert_int_equal(o.result.protected_by, FENCE_TOMBSTONE);
    pg_server_start(&plain, true);
    assert_string_equal(pg_server_sql(&plain, "SELECT pg_is_in_recovery()"), "t");
    assert_false(accepts_a_write(&plain));
}

static void a_running_server_without_a_guard_is_stopped_when_asked(void **state)
{
    struct fence_target target = { .service = "app", .epoch = 9, .stop = true, .timeout_ms = PATIENCE_MS };
    struct outcome o = fence(&plain, "", &target);

    (void)state;
    expect(&o, STATUS_OK);
    assert_true(o.result.stopped);
    assert_true((o.result.protected_by & FENCE_TOMBSTONE) != 0);
    pg_server_signal_wait(&plain, SIGKILL);
}

static void a_missing_directory_is_an_error(void **state)
{
    struct pg_server nowhere = { .data_dir = "/tmp/test-pg-nowhere" };
    struct fence_target target = { .service = "app", .epoch = 9, .instance_count = 1, .timeout_ms = 300 };
    struct outcome o;

    (void)state;
    target.instances[0] = OTHER;
    o = fence(&nowhere, "", &target);
    expect(&o, STATUS_TIMED_OUT);
    assert_int_equal(o.result.proofs[0], FENCE_UNPROVEN);
}

static void the_guard_is_found_among_preloaded_libraries(void **state)
{
    (void)state;
    assert_true(preload_list_has_guard("lease_guard\n"));
    assert_true(preload_list_has_guard("pg_stat_statements, \"/opt/x/lease_guard.so\"\n"));
    assert_true(preload_list_has_guard("$libdir/lease_guard,auto_explain"));
    assert_false(preload_list_has_guard(""));
    assert_false(preload_list_has_guard("lease_guard_2, my_lease_guard, lease_guard.so.old, lease_guard/other"));
}

static int create(void **state)
{
    (void)state;
    pg_server_create(&plain, "plain", "");
    pg_server_create_guarded(&guarded, "guarded", LEASE_GUARD_SO, guard_socket, sizeof guard_socket);
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
        cmocka_unit_test(the_guard_is_found_among_preloaded_libraries),
        cmocka_unit_test(a_running_guarded_server_is_proven_closed),
        cmocka_unit_test(a_guard_that_is_open_under_a_later_epoch_proves_nothing),
        cmocka_unit_test(a_check_sees_the_running_server),
        cmocka_unit_test(after_a_restart_the_old_instance_is_proven_stopped),
        cmocka_unit_test(a_guard_of_another_directory_proves_nothing),
        cmocka_unit_test(a_running_server_without_a_guard_is_not_proven),
        cmocka_unit_test(a_canceled_fence_ends_once),
        cmocka_unit_test(while_a_guard_listens_an_empty_directory_proves_nothing),
        cmocka_unit_test(orphans_are_ended_before_anything_is_proven),
        cmocka_unit_test(a_frozen_server_is_stopped_when_asked),
        cmocka_unit_test(a_stopped_server_without_a_guard_gets_a_tombstone),
        cmocka_unit_test(a_running_server_without_a_guard_is_stopped_when_asked),
        cmocka_unit_test(a_missing_directory_is_an_error),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
