/* guard_client against a server of our own that answers what it is told to, also what no real one would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "fencing/guard_client.h"

#define PATIENCE_MS 20000

/* One connection at a time; reads lines, sends the next scripted text for each. */
struct fake {
    uv_pipe_t listener;
    uv_pipe_t peer;
    bool peer_open;
    const char *answers[8]; /* NULL: silence; "!": hang up */
    int next;
    int connections;
    char received[512];
};

static uv_loop_t loop;
static struct fake fake;
static char path[64];

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char input[512];

    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(input, sizeof input);
}

static void hang_up(void)
{
    if (!fake.peer_open)
        return;
    fake.peer_open = false;
    uv_close((uv_handle_t *)&fake.peer, NULL);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    (void)stream;
    if (length < 0) {
        hang_up();
        return;
    }
    strncat(fake.received, buffer->base, (size_t)length);
    for (ssize_t i = 0; i < length; i++) {
        const char *answer = NULL;
        uv_buf_t out;

        if (buffer->base[i] != '\n')
            continue;
        answer = fake.next < 8 ? fake.answers[fake.next++] : NULL;
        if (answer == NULL)
            continue;
        if (strcmp(answer, "!") == 0) {
            hang_up();
            return;
        }
        out = uv_buf_init((char *)(uintptr_t)answer, (unsigned)strlen(answer));
        assert_int_equal(uv_try_write((uv_stream_t *)&fake.peer, &out, 1), (int)out.len);
    }
}

static void on_connection(uv_stream_t *listener, int uv_status)
{
    assert_int_equal(uv_status, 0);
    assert_false(fake.peer_open);
    assert_int_equal(uv_pipe_init(&loop, &fake.peer, 0), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&fake.peer), 0);
    fake.peer_open = true;
    fake.connections++;
    assert_int_equal(uv_read_start((uv_stream_t *)&fake.peer, on_allocate, on_read), 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    (void)snprintf(path, sizeof path, "/tmp/test-guard-%d.sock", (int)getpid());
    (void)unlink(path);
    if (uv_loop_init(&loop) != 0 || uv_pipe_init(&loop, &fake.listener, 0) != 0 ||
        uv_pipe_bind(&fake.listener, path) != 0)
        return -1;
    return uv_listen((uv_stream_t *)&fake.listener, 8, on_connection);
}

static int tear_down(void **state)
{
    (void)state;
    hang_up();
    uv_close((uv_handle_t *)&fake.listener, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop); /* fails when a handle was left open */
}

struct outcome {
    bool ended;
    struct guard_answer answer;
    struct error err;
};

static void on_answer(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct outcome *o = ctx;

    assert_false(o->ended);
    o->ended = true;
    o->answer = *answer;
    o->err = err != NULL ? *err : ERROR_NONE;
}

static void expect(struct outcome *o, enum status status)
{
    while (!o->ended)
        assert_true(uv_run(&loop, UV_RUN_ONCE) != 0);
    if (o->err.status != status)
        print_error("expected %s, got %s: %s\n", status_word(status), status_word(o->err.status), o->err.text);
    assert_int_equal(o->err.status, status);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void destroy(struct guard_client *g)
{
    bool closed = false;

    guard_client_destroy(g, on_closed, &closed);
    assert_false(closed);
    while (!closed)
        assert_true(uv_run(&loop, UV_RUN_ONCE) != 0);
}

static const char good_status[] =
    "ok instance=00ff00000000000a state=open epoch=18446744073709551615 deadline_us=9000000000 now_us=8999999999"
    " closed_epoch=3 refused=12 in_recovery=0 enforcing=1\n";

static void every_request_is_written_and_its_answer_read(void **state)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct outcome o[5] = { { .ended = false } };

    (void)state;
    fake.answers[0] = "ok instance=00ff00000000000a now_us=123\n";
    fake.answers[1] = "ok deadline_us=456\n";
    fake.answers[2] = "refused reason=closed\n";
    fake.answers[3] = "ok\n";
    fake.answers[4] = good_status;
    guard_now_begin(g, PATIENCE_MS, on_answer, &o[0]);
    guard_open_begin(g, 0xff00000000000a, 7, 123, 1800, PATIENCE_MS, on_answer, &o[1]);
    guard_open_begin(g, 1, 2, 0, 1, PATIENCE_MS, on_answer, &o[2]);
    guard_close_begin(g, 9, PATIENCE_MS, on_answer, &o[3]);
    guard_status_begin(g, PATIENCE_MS, on_answer, &o[4]);
    expect(&o[0], STATUS_OK);
    assert_true(o[0].answer.status.instance == 0xff00000000000a && o[0].answer.status.now_us == 123);
    assert_int_equal(o[0].answer.peer_pid, getpid());
    expect(&o[1], STATUS_OK);
    assert_int_equal(o[1].answer.status.deadline_us, 456);
    expect(&o[2], STATUS_REFUSED);
    assert_string_equal(o[2].answer.reason, "closed");
    expect(&o[3], STATUS_OK);
    expect(&o[4], STATUS_OK);
    assert_int_equal(o[4].answer.status.state, GUARD_OPEN);
    assert_true(o[4].answer.status.epoch == UINT64_MAX && o[4].answer.status.closed_epoch == 3);
    assert_true(o[4].answer.status.enforcing && !o[4].answer.status.in_recovery);
    assert_string_equal(fake.received,
                        "now\nopen instance=00ff00000000000a epoch=7 t0_us=123 hold_ms=1800\n"
                        "open instance=0000000000000001 epoch=2 t0_us=0 hold_ms=1\nclose epoch=9\nstatus\n");
    assert_int_equal(fake.connections, 1);
    destroy(g);
}

static void what_is_not_of_the_protocol_is_refused(void **state)
{
    static const char *const answers[] = {
        "ok instance=00ff00000000000a now_us=123 more=1\n",
        "ok instance=00FF00000000000A now_us=123\n",
        "ok instance=0000000000000000 now_us=123\n",
        "ok instance=ff now_us=123\n",
        "ok now_us=123 instance=00ff00000000000a\n",
        "ok instance=00ff00000000000a now_us=9223372036854775808\n",
        "refused reason=Because I say so\n",
        "\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct guard_client *g = guard_client_create(&loop, path);
        struct outcome o = { .ended = false };
        struct outcome behind = { .ended = false };

        fake.next = 0;
        fake.answers[0] = answers[i];
        guard_now_begin(g, PATIENCE_MS, on_answer, &o);
        guard_now_begin(g, PATIENCE_MS, on_answer, &behind);
        expect(&o, STATUS_CORRUPT);
        expect(&behind, STATUS_UNKNOWN);
        destroy(g);
        while (fake.peer_open)
            (void)uv_run(&loop, UV_RUN_ONCE);
    }
}

static void an_endless_answer_is_refused(void **state)
{
    static char endless[2000];
    struct guard_client *g = guard_client_create(&loop, path);
    struct outcome o = { .ended = false };

    (void)state;
    memset(endless, 'x', sizeof endless - 1);
    fake.answers[0] = endless;
    guard_status_begin(g, PATIENCE_MS, on_answer, &o);
    expect(&o, STATUS_CORRUPT);
    destroy(g);
}

static void silence_ends_at_the_deadline_and_the_next_request_connects_anew(void **state)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct outcome silent = { .ended = false };
    struct outcome behind = { .ended = false };
    struct outcome after = { .ended = false };

    (void)state;
    fake.answers[2] = "ok\n";
    guard_close_begin(g, 1, 50, on_answer, &silent);
    guard_close_begin(g, 1, PATIENCE_MS, on_answer, &behind);
    expect(&silent, STATUS_TIMED_OUT);
    expect(&behind, STATUS_UNKNOWN);
    while (fake.peer_open)
        (void)uv_run(&loop, UV_RUN_ONCE);
    guard_close_begin(g, 1, PATIENCE_MS, on_answer, &after);
    expect(&after, STATUS_OK);
    assert_int_equal(fake.connections, 2);
    destroy(g);
}

static void a_hang_up_before_the_answer_is_unknown(void **state)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct outcome o = { .ended = false };

    (void)state;
    fake.answers[0] = "!";
    guard_close_begin(g, 1, PATIENCE_MS, on_answer, &o);
    expect(&o, STATUS_UNKNOWN);
    destroy(g);
}

static void nobody_listening_is_unreachable(void **state)
{
    struct guard_client *g = guard_client_create(&loop, "/tmp/test-guard-nobody.sock");
    struct outcome o = { .ended = false };

    (void)state;
    guard_now_begin(g, PATIENCE_MS, on_answer, &o);
    assert_false(o.ended);
    expect(&o, STATUS_UNREACHABLE);
    destroy(g);
}

static void too_many_requests_are_refused_and_the_others_answered(void **state)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct outcome o[GUARD_REQUESTS_MAX + 1] = { { .ended = false } };

    (void)state;
    for (int i = 0; i <= GUARD_REQUESTS_MAX; i++)
        guard_now_begin(g, PATIENCE_MS, on_answer, &o[i]);
    expect(&o[GUARD_REQUESTS_MAX], STATUS_FULL);
    guard_client_cancel(g);
    for (int i = 0; i < GUARD_REQUESTS_MAX; i++)
        expect(&o[i], STATUS_CANCELED);
    destroy(g);
}

static void destroying_ends_what_waits(void **state)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct outcome o = { .ended = false };

    (void)state;
    guard_now_begin(g, PATIENCE_MS, on_answer, &o);
    destroy(g);
    assert_true(o.ended);
    assert_int_equal(o.err.status, STATUS_CANCELED);
}

static void a_path_too_long_for_a_socket_is_refused(void **state)
{
    char long_path[200];

    (void)state;
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_null(guard_client_create(&loop, long_path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_request_is_written_and_its_answer_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_of_the_protocol_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_endless_answer_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_ends_at_the_deadline_and_the_next_request_connects_anew, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_hang_up_before_the_answer_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_listening_is_unreachable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many_requests_are_refused_and_the_others_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(destroying_ends_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_too_long_for_a_socket_is_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
