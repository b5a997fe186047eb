/* io/child and coord-supervise with real processes. What is asserted is who is alive and what was reported, never how long it took. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/child.h"
#include "io/clock.h"

#define WAIT_MS 20000 /* longer than any of these takes on a busy machine */

struct outcome {
    int calls;
    struct child_result result;
    char output[CHILD_OUTPUT_MAX + 1];
    char errors[CHILD_OUTPUT_MAX + 1];
    struct error err;
};

static uv_loop_t loop;
static char directory[64];
static struct child_config config = { .supervise_path = SUPERVISE_PATH, .grace_ms = 200 };

static void on_done(void *ctx, const struct child_result *result, const struct error *err)
{
    struct outcome *o = ctx;

    o->calls++;
    o->result = *result;
    strcpy(o->output, result->output);
    strcpy(o->errors, result->errors);
    o->err = err != NULL ? *err : ERROR_NONE;
}

static struct child *begin(struct outcome *o, const char *const *argv, const char *const *env, const char *stdin_text,
                           uint32_t deadline_ms)
{
    struct child_request request = {
        .argv = argv, .env = env, .stdin_text = stdin_text, .t0_us = clock_now_us(), .deadline_ms = deadline_ms
    };

    memset(o, 0, sizeof *o);
    struct child *c = child_begin(&loop, &config, &request, on_done, o);
    assert_int_equal(o->calls, 0);
    return c;
}

static void finish(struct outcome *o)
{
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(o->calls, 1);
}

static void run_shell(struct outcome *o, const char *script, uint32_t deadline_ms)
{
    const char *argv[] = { "/bin/sh", "-c", script, "sh", directory, NULL };

    begin(o, argv, NULL, NULL, deadline_ms);
    finish(o);
}

/* The pid that a script wrote to a file of the test's directory; waits for the file. */
static pid_t pid_from(const char *name)
{
    char path[128];
    int pid = 0;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    for (int i = 0; i < WAIT_MS / 10 && pid == 0; i++) {
        FILE *f = fopen(path, "r");
        if (f != NULL) {
            if (fscanf(f, "%d\n", &pid) != 1)
                pid = 0;
            (void)fclose(f);
        }
        if (pid == 0)
            (void)usleep(10000);
    }
    assert_true(pid > 0);
    return pid;
}

/* A zombie that nobody reaps is dead. */
static bool alive(pid_t pid)
{
    char path[64], line[256], *after;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    after = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    (void)fclose(f);
    return after != NULL && after[2] != 'Z' && after[2] != 'X';
}

static void wait_dead(pid_t pid)
{
    for (int i = 0; i < WAIT_MS / 10 && alive(pid); i++)
        (void)usleep(10000);
    assert_false(alive(pid));
}

static void exit_code_and_output_are_reported(void **state)
{
    struct outcome o;

    (void)state;
    run_shell(&o, "echo out; echo err >&2; printf '\\033x\\n'; exit 7", WAIT_MS);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_true(o.result.started);
    assert_int_equal(o.result.exit_code, 7);
    assert_string_equal(o.output, "out\n?x\n");
    assert_string_equal(o.errors, "err\n");
    assert_false(o.result.output_cut);
}

static void stdin_and_environment_are_passed(void **state)
{
    const char *argv[] = { "sh", "-c", "cat; echo $COORD_X $HOME_X ${PATH:+path}", NULL };
    const char *env[] = { "COORD_X=one two", "HOME_X=new", NULL };
    struct outcome o;

    (void)state;
    assert_int_equal(setenv("HOME_X", "old", 1), 0);
    begin(&o, argv, env, "action=off\nplug=1\n", WAIT_MS);
    finish(&o);
    assert_int_equal(o.result.exit_code, 0);
    assert_string_equal(o.output, "action=off\nplug=1\none two new path\n");
}

static void input_that_is_never_read_does_no_harm(void **state)
{
    static char text[1 << 20];
    const char *argv[] = { "true", NULL };
    struct outcome o;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    begin(&o, argv, NULL, text, WAIT_MS);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.result.exit_code, 0);
}

static void only_the_tail_of_huge_output_is_kept(void **state)
{
    struct outcome o;

    (void)state;
    run_shell(&o, "i=0; while [ $i -lt 200 ]; do printf '%4096d' $i; i=$((i+1)); done; echo; echo the-end", WAIT_MS);
    assert_int_equal(o.result.exit_code, 0);
    assert_true(o.result.output_cut);
    assert_int_equal(strlen(o.output), CHILD_OUTPUT_MAX);
    assert_string_equal(o.output + CHILD_OUTPUT_MAX - 9, "\nthe-end\n");
}

static void a_program_that_cannot_be_run_is_named_with_its_reason(void **state)
{
    const char *missing[] = { "/nonexistent/appctl", "start", NULL };
    const char *not_executable[] = { "/etc/passwd", NULL };
    struct outcome o;

    (void)state;
    begin(&o, missing, NULL, NULL, WAIT_MS);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_NOT_FOUND);
    assert_non_null(strstr(o.err.text, "/nonexistent/appctl"));
    assert_non_null(strstr(o.err.text, "No such file or directory (errno 2)"));
    assert_false(o.result.started);
    begin(&o, not_executable, NULL, NULL, WAIT_MS);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_FAILED);
    assert_non_null(strstr(o.err.text, "/etc/passwd cannot be run: Permission denied (errno 13)"));
}

static void a_missing_supervisor_is_named(void **state)
{
    struct child_config wrong = { .supervise_path = "/nonexistent/coord-supervise" };
    const char *argv[] = { "true", NULL };
    struct child_request request = { .argv = argv, .t0_us = clock_now_us(), .deadline_ms = WAIT_MS };
    struct outcome o = { .calls = 0 };

    (void)state;
    child_begin(&loop, &wrong, &request, on_done, &o);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_NOT_FOUND);
    assert_non_null(strstr(o.err.text, "/nonexistent/coord-supervise"));
    assert_false(o.result.started);
}

static void wrong_requests_and_late_ones_are_not_started(void **state)
{
    const char *none[] = { NULL };
    const char *argv[] = { "true", NULL };
    const char *many[CHILD_ARGS_MAX + 2] = { NULL };
    struct child_request late = { .argv = argv, .t0_us = clock_now_us() - 5000000, .deadline_ms = 4000 };
    struct outcome o;

    (void)state;
    begin(&o, none, NULL, NULL, WAIT_MS);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_INVALID);
    for (int i = 0; i <= CHILD_ARGS_MAX; i++)
        many[i] = "true";
    begin(&o, many, NULL, NULL, WAIT_MS);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_INVALID);
    memset(&o, 0, sizeof o);
    child_begin(&loop, &config, &late, on_done, &o);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    assert_false(o.result.started);
}

static void death_by_a_signal_is_a_failure(void **state)
{
    struct outcome o;

    (void)state;
    run_shell(&o, "kill -SEGV $$", WAIT_MS);
    assert_int_equal(o.err.status, STATUS_FAILED);
    assert_int_equal(o.result.term_signal, SIGSEGV);
    assert_int_equal(o.result.exit_code, -1);
    assert_non_null(strstr(o.err.text, "signal 11"));
}

static void the_deadline_kills_the_group_and_those_who_left_it(void **state)
{
    struct outcome o;

    (void)state;
    run_shell(
        &o,
        "trap '' TERM; echo before; echo $$ > $1/self; (trap '' TERM; sleep 600 & echo $! > $1/grandchild; wait) & "
        "setsid sh -c 'trap \"\" TERM; echo $$ > '$1'/left; sleep 600; sleep 600' & while :; do sleep 1; done",
        1500);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    assert_non_null(strstr(o.err.text, "did not end within 1500 ms"));
    assert_string_equal(o.output, "before\n");
    assert_false(alive(pid_from("self")));
    assert_false(alive(pid_from("grandchild")));
    assert_false(alive(pid_from("left")));
}

static void on_cancel_timer(uv_timer_t *timer)
{
    (void)pid_from("canceled");
    child_cancel(timer->data);
    child_cancel(timer->data);
    uv_close((uv_handle_t *)timer, NULL);
}

static void a_cancel_kills_the_group(void **state)
{
    const char *argv[] = { "sh", "-c",      "trap '' TERM; echo $$ > $1/canceled; while :; do sleep 1; done",
                           "sh", directory, NULL };
    struct outcome o;
    uv_timer_t timer;

    (void)state;
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = begin(&o, argv, NULL, NULL, WAIT_MS);
    assert_int_equal(uv_timer_start(&timer, on_cancel_timer, 50, 0), 0);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_CANCELED);
    assert_false(alive(pid_from("canceled")));
}

static void a_cancel_right_after_the_start_is_clean(void **state)
{
    const char *argv[] = { "sleep", "600", NULL };
    struct outcome o;

    (void)state;
    child_cancel(begin(&o, argv, NULL, NULL, WAIT_MS));
    finish(&o);
    assert_int_equal(o.err.status, STATUS_CANCELED);
}

static void what_a_finished_program_left_in_the_background_lives_on(void **state)
{
    struct outcome o;

    (void)state;
    run_shell(&o, "sleep 600 & echo $! > $1/background; exit 0", WAIT_MS);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.result.exit_code, 0);
    assert_true(alive(pid_from("background")));
    assert_int_equal(kill(pid_from("background"), SIGKILL), 0);
}

/* A process of its own stands for coordd; it is killed or stopped, the program under it must still end. */
static pid_t fork_parent(uint32_t deadline_ms, const char *pid_file)
{
    char script[256];
    pid_t parent = fork();

    assert_true(parent >= 0);
    if (parent > 0)
        return parent;
    (void)snprintf(script, sizeof script, "trap '' TERM; echo $$ > $1/%s; while :; do sleep 1; done", pid_file);
    const char *argv[] = { "sh", "-c", script, "sh", directory, NULL };
    struct outcome o;
    uv_loop_t own;
    struct child_request request = { .argv = argv, .t0_us = clock_now_us(), .deadline_ms = deadline_ms };
    memset(&o, 0, sizeof o);
    if (uv_loop_init(&own) != 0)
        _exit(1);
    child_begin(&own, &config, &request, on_done, &o);
    (void)uv_run(&own, UV_RUN_DEFAULT);
    _exit(0);
}

static void the_program_dies_when_its_parent_is_killed(void **state)
{
    pid_t parent = fork_parent(WAIT_MS * 10, "orphan");
    pid_t program = pid_from("orphan");

    (void)state;
    assert_true(alive(program));
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    wait_dead(program);
}

static void the_deadline_holds_while_the_parent_is_frozen(void **state)
{
    pid_t parent = fork_parent(2000, "frozen");
    pid_t program = pid_from("frozen");

    (void)state;
    assert_int_equal(kill(parent, SIGSTOP), 0);
    wait_dead(program);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
}

static pid_t parent_of(pid_t pid)
{
    char path[64], line[256];
    int parent = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    (void)fclose(f);
    assert_int_equal(sscanf(strrchr(line, ')') + 1, " %*c %d", &parent), 1);
    return parent;
}

static void on_kill_supervisor(uv_timer_t *timer)
{
    (void)kill(parent_of(pid_from("unsupervised")), SIGKILL);
    uv_close((uv_handle_t *)timer, NULL);
}

static void a_killed_supervisor_takes_the_group_along_and_the_result_is_unknown(void **state)
{
    const char *argv[] = { "sh", "-c",      "trap '' TERM; echo $$ > $1/unsupervised; while :; do sleep 1; done",
                           "sh", directory, NULL };
    struct outcome o;
    uv_timer_t timer;

    (void)state;
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    begin(&o, argv, NULL, NULL, WAIT_MS);
    assert_int_equal(uv_timer_start(&timer, on_kill_supervisor, 50, 0), 0);
    finish(&o);
    assert_int_equal(o.err.status, STATUS_UNKNOWN);
    wait_dead(pid_from("unsupervised"));
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    strcpy(directory, "/tmp/test-child-XXXXXX");
    return mkdtemp(directory) == NULL || uv_loop_init(&loop) != 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    return uv_loop_close(&loop) != 0 || system(command) != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_code_and_output_are_reported),
        cmocka_unit_test(stdin_and_environment_are_passed),
        cmocka_unit_test(input_that_is_never_read_does_no_harm),
        cmocka_unit_test(only_the_tail_of_huge_output_is_kept),
        cmocka_unit_test(a_program_that_cannot_be_run_is_named_with_its_reason),
        cmocka_unit_test(a_missing_supervisor_is_named),
        cmocka_unit_test(wrong_requests_and_late_ones_are_not_started),
        cmocka_unit_test(death_by_a_signal_is_a_failure),
        cmocka_unit_test(the_deadline_kills_the_group_and_those_who_left_it),
        cmocka_unit_test(a_cancel_kills_the_group),
        cmocka_unit_test(a_cancel_right_after_the_start_is_clean),
        cmocka_unit_test(what_a_finished_program_left_in_the_background_lives_on),
        cmocka_unit_test(the_program_dies_when_its_parent_is_killed),
        cmocka_unit_test(the_deadline_holds_while_the_parent_is_frozen),
        cmocka_unit_test(a_killed_supervisor_takes_the_group_along_and_the_result_is_unknown),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
