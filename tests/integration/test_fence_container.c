/* fence_agent and PostgreSQL in different PID and IPC namespaces (two containers that share the data directory and the sockets), where a
 * server that runs looks like none: nothing is proven there, and nothing is ended. Root alone can make them; without root: skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>
#include <uv.h>

#include "fencing/fence_agent.h"
#include "tests/integration/pg_fixture.h"

#define INSTANCE ((instance_id)0x1234)
#define CONTAINER "unshare --pid --fork --ipc --mount-proc --kill-child"

static uv_loop_t loop;
static struct pg_server guarded;
static struct pg_server plain;
static char guard_socket[200];
static char program[300]; /* this one */

struct outcome {
    bool ended;
    struct fence_result result;
    struct error err;
};

static void on_fenced(void *ctx, const struct fence_result *result, const struct error *err)
{
    struct outcome *o = ctx;

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

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

/* A fence (epoch 6; `stop`: it may end the server), or a check when the epoch is 0. */
static struct outcome look(const char *data_dir, const char *socket, epoch_t epoch, bool stop)
{
    struct fence_target target = { .service = "app",
                                   .epoch = epoch,
                                   .instance_count = 1,
                                   .instances = { INSTANCE },
                                   .stop = stop,
                                   .timeout_ms = 1500 };
    struct fence_agent_config config = { .data_dir = data_dir,
                                         .bin_dir = PG_BIN_DIR,
                                         .guard_socket = socket,
                                         .child = { .supervise_path = SUPERVISE, .grace_ms = 100 } };
    struct fence_agent *agent = fence_agent_create(&loop, &config);
    struct outcome o = { .ended = false };
    bool closed = false;

    if (epoch != 0)
        fence_agent_method.begin(agent, &target, on_fenced, &o);
    else
        fence_agent_method.check(agent, target.timeout_ms, on_checked, &o);
    loop_until(&loop, &o.ended);
    fence_agent_destroy(agent, on_closed, &closed);
    loop_until(&loop, &closed);
    (void)fprintf(stderr, "  %s %s: %s\n", epoch != 0 ? "fence" : "check", status_word(o.err.status), o.err.text);
    return o;
}

static bool was_refused(const struct outcome *o)
{
    return o->err.status == STATUS_TIMED_OUT && o->result.proofs[0] == FENCE_UNPROVEN &&
           strstr(o->err.text, "must run in PostgreSQL's PID and IPC namespaces") != NULL;
}

/* This program again, in a container of its own: it looks at a server outside. 0: it was refused. */
static int look_from_inside(const char *data_dir, const char *socket)
{
    struct outcome fenced = look(data_dir, socket, 6, true);
    struct outcome checked = look(data_dir, socket, 0, false);

    return was_refused(&fenced) && was_refused(&checked) ? 0 : 1;
}

/* This program again, in one container with a server, which dies of SIGKILL there: its shared memory is left, so it would be seen. */
static int look_together(void)
{
    struct outcome o;

    pg_server_create(&plain, "plain", "");
    pg_server_signal_all(&plain, SIGKILL);
    pg_server_signal_wait(&plain, SIGKILL);
    o = look(plain.data_dir, "", 6, false);
    return o.err.status == STATUS_OK && o.result.proofs[0] == FENCE_CONFIRMED_STOPPED ? 0 : 1;
}

/* What a server leaves that did not end in order; the fixture's folder stands for its data directory. */
static bool leave_postmaster_pid(int memory_id)
{
    char path[200];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/postmaster.pid", pg_fixture_dir());
    file = fopen(path, "we");
    return file != NULL && fprintf(file, "2147483647\n%s\n0\n5432\n\n\n4711 %d\n", pg_fixture_dir(), memory_id) > 0 &&
           fclose(file) == 0;
}

/* The memory that postmaster.pid names by key and number is here, but somebody else made it: numbers begin anew in each namespace. */
static int look_at_another_ones_memory(void)
{
    int id = shmget(4711, 4096, IPC_CREAT | IPC_EXCL | 0600);
    struct outcome o;

    if (id < 0 || !leave_postmaster_pid(id))
        return 1;
    o = look(pg_fixture_dir(), "", 6, false);
    return was_refused(&o) ? 0 : 1;
}

static int run_in_container(const char *mode, const char *data_dir, const char *socket)
{
    char command[1000];

    (void)snprintf(command, sizeof command, CONTAINER " %s %s '%s' '%s'", program, mode, data_dir, socket);
    return system(command);
}

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

static void a_running_server_outside_the_container_is_not_taken_for_stopped(void **state)
{
    (void)state;
    need_root();
    assert_int_equal(run_in_container("inside", guarded.data_dir, guard_socket), 0);
    assert_int_equal(run_in_container("inside", plain.data_dir, ""), 0);
    assert_string_equal(pg_server_sql(&plain, "SELECT 1"), "1");
}

static void neither_is_a_frozen_one(void **state)
{
    int refused;

    (void)state;
    need_root();
    pg_server_signal_all(&guarded, SIGSTOP);
    refused = run_in_container("inside", guarded.data_dir, guard_socket);
    pg_server_signal_all(&guarded, SIGCONT);
    assert_int_equal(refused, 0);
}

static void a_server_that_died_in_the_same_container_is_proven_stopped(void **state)
{
    (void)state;
    need_root();
    assert_int_equal(run_in_container("together", "", ""), 0);
    assert_int_equal(run_in_container("memory", "", ""), 0);
}

/* No memory is left of it, nor anything else: outside of every container no process is hidden. */
static void after_a_reboot_the_server_is_proven_stopped(void **state)
{
    char path[200];
    char name[64] = "";
    struct outcome o;

    (void)state;
    need_root();
    if (readlink("/proc/self/ns/pid", name, sizeof name - 1) < 0 || strcmp(name, "pid:[4026531836]") != 0)
        skip(); /* the tests themselves run in a container */
    assert_true(leave_postmaster_pid(INT_MAX));
    o = look(pg_fixture_dir(), "", 6, false);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.result.proofs[0], FENCE_CONFIRMED_STOPPED);
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", pg_fixture_dir());
    assert_int_equal(unlink(path), 0);
}

static void start_in_container(struct pg_server *s)
{
    char command[400];

    (void)snprintf(command, sizeof command, "exec " CONTAINER " runuser -u postgres -- %s/postgres -D %s", PG_BIN_DIR,
                   s->data_dir);
    s->postmaster = fork();
    if (s->postmaster == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    for (int i = 0; pg_fixture_run((const char *[]){ "pg_isready", "-q", "-d", s->socket_conninfo, NULL }) != 0; i++) {
        assert_int_not_equal(i, 200);
        (void)usleep(50 * 1000);
    }
}

/* Its processes are seen from outside, but postmaster.pid counts them in another way: they look like orphans. */
static void a_server_inside_a_container_is_neither_proven_nor_ended_from_outside(void **state)
{
    struct outcome o;

    (void)state;
    need_root();
    pg_server_signal_wait(&plain, SIGINT);
    start_in_container(&plain);
    pg_server_signal_all(&plain, SIGSTOP);
    o = look(plain.data_dir, "", 6, true);
    assert_true(was_refused(&o));
    pg_server_signal_all(&plain, SIGCONT);
    assert_string_equal(pg_server_sql(&plain, "SELECT 1"), "1");
    pg_server_signal_all(&plain, SIGKILL);
    pg_server_signal_wait(&plain, SIGKILL);
}

static int create(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    pg_server_create(&plain, "plain", "");
    pg_server_create_guarded(&guarded, "guarded", LEASE_GUARD_SO, guard_socket, sizeof guard_socket);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_server_outside_the_container_is_not_taken_for_stopped),
        cmocka_unit_test(neither_is_a_frozen_one),
        cmocka_unit_test(a_server_that_died_in_the_same_container_is_proven_stopped),
        cmocka_unit_test(after_a_reboot_the_server_is_proven_stopped),
        cmocka_unit_test(a_server_inside_a_container_is_neither_proven_nor_ended_from_outside),
    };
    int failed;

    if (uv_loop_init(&loop) != 0 || readlink("/proc/self/exe", program, sizeof program - 1) <= 0)
        return 1;
    if (argc == 4 && strcmp(argv[1], "inside") == 0)
        failed = look_from_inside(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "together") == 0)
        failed = look_together();
    else if (argc == 4 && strcmp(argv[1], "memory") == 0)
        failed = look_at_another_ones_memory();
    else
        failed = cmocka_run_group_tests(tests, create, NULL);
    return uv_loop_close(&loop) != 0 ? 1 : failed;
}
