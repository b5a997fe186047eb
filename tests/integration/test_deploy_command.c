/* The site's own command: what it is told, and what its end is taken for. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "deploy/deploy_command.h"
#include "io/clock.h"

#define WAIT_MS 20000

static uv_loop_t loop;
static const struct child_config config = { .supervise_path = SUPERVISE_PATH, .grace_ms = 100 };
static int calls;
static struct error last;

static void on_done(void *ctx, const struct error *err)
{
    (void)ctx;
    calls++;
    last = err != NULL ? *err : ERROR_NONE;
}

static void begin(struct deploy_command **d, const char *script, const char *argument, uint32_t deadline_ms)
{
    const char *argv[] = { "/bin/sh", "-c", script, "appctl", argument, NULL };
    struct deploy_request request = {
        .service = "app", .site = "site-b", .epoch = 7, .operation = 41, .deadline_ms = deadline_ms
    };

    calls = 0;
    assert_int_equal(deploy_command_create(&loop, &config, argv, d, NULL), STATUS_OK);
    request.t0_us = clock_now_us();
    deploy_command_method.begin(*d, &request, on_done, NULL);
    assert_int_equal(calls, 0);
}

static void finish(struct deploy_command *d)
{
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(calls, 1);
    deploy_command_destroy(d);
}

static void the_command_learns_service_site_epoch_and_operation(void **state)
{
    char path[] = "/tmp/test-deploy-XXXXXX", text[128] = "";
    struct deploy_command *d;
    int fd = mkstemp(path);

    (void)state;
    begin(&d, "echo $COORD_SERVICE $COORD_SITE $COORD_EPOCH $COORD_OPERATION > $1", path, WAIT_MS);
    finish(d);
    assert_int_equal(last.status, STATUS_OK);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    assert_string_equal(text, "app site-b 7 41\n");
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_failure_carries_the_exit_code_and_the_last_words(void **state)
{
    struct deploy_command *d;

    (void)state;
    begin(&d, "echo starting; echo 'no such\n  image: app:9' >&2; exit 3", "", WAIT_MS);
    finish(d);
    assert_int_equal(last.status, STATUS_FAILED);
    assert_string_equal(last.text, "/bin/sh: exit code 3: no such image: app:9");
    begin(&d, "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exit 1", "", WAIT_MS);
    finish(d);
    assert_non_null(strstr(last.text, "line 299"));
    assert_null(strstr(last.text, "line 100 "));
    begin(&d, "exit 1", "", WAIT_MS);
    finish(d);
    assert_string_equal(last.text, "/bin/sh: exit code 1 without a word");
}

static void the_deadline_and_a_cancel_end_it(void **state)
{
    struct deploy_command *d;

    (void)state;
    begin(&d, "echo waiting for the image; sleep 600", "", 1000);
    finish(d);
    assert_int_equal(last.status, STATUS_TIMED_OUT);
    assert_non_null(strstr(last.text, "waiting for the image"));
    begin(&d, "sleep 600", "", WAIT_MS);
    deploy_command_method.cancel(d);
    deploy_command_method.cancel(d);
    finish(d);
    assert_int_equal(last.status, STATUS_CANCELED);
    calls = 0;
}

static void wrong_commands_are_refused_at_creation(void **state)
{
    const char *none[] = { NULL };
    const char *empty[] = { "", NULL };
    const char *many[CHILD_ARGS_MAX + 2] = { NULL };
    struct deploy_command *d;

    (void)state;
    assert_int_equal(deploy_command_create(&loop, &config, none, &d, NULL), STATUS_INVALID);
    assert_int_equal(deploy_command_create(&loop, &config, empty, &d, NULL), STATUS_INVALID);
    for (int i = 0; i <= CHILD_ARGS_MAX; i++)
        many[i] = "x";
    assert_int_equal(deploy_command_create(&loop, &config, many, &d, NULL), STATUS_INVALID);
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    return uv_loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_command_learns_service_site_epoch_and_operation),
        cmocka_unit_test(a_failure_carries_the_exit_code_and_the_last_words),
        cmocka_unit_test(the_deadline_and_a_cancel_end_it),
        cmocka_unit_test(wrong_commands_are_refused_at_creation),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
