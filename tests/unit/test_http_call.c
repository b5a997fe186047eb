/* The blocking client against a peer that says exactly what the test wants it to say: a child process with a script. */
#include "io/http_call.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], path[96];
static struct http_call_answer answer;
static struct error err;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/test-client-XXXXXX");
    (void)snprintf(path, sizeof path, "%s/s", mkdtemp(directory) != NULL ? directory : "");
    err = ERROR_NONE;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_call_answer_free(&answer);
    (void)unlink(path);
    return rmdir(directory);
}

static int listening(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* A peer that takes one connection, reads one request, says `script` in pieces of one byte when `slowly`, and closes. */
static pid_t peer(const char *script, bool slowly)
{
    int fd = listening();
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char request[4096];
        int connection = accept(fd, NULL, NULL);
        size_t length = strlen(script);
        if (connection < 0 || recv(connection, request, sizeof request, 0) <= 0)
            _exit(1);
        for (size_t at = 0; at < length; at += slowly ? 1 : length)
            (void)send(connection, script + at, slowly ? 1 : length, MSG_NOSIGNAL);
        _exit(0);
    }
    (void)close(fd);
    return pid;
}

static enum status call(const char *script, bool slowly)
{
    struct http_call_request request = { .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 20000 };
    pid_t pid = peer(script, slowly);
    enum status status = http_call(&request, &answer, &err);

    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return status;
}

static void an_answer_is_collected_whatever_its_pieces(void **state)
{
    (void)state;
    assert_int_equal(
        call("HTTP/1.1 409 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", true), STATUS_OK);
    assert_int_equal(answer.code, 409);
    assert_string_equal(answer.body, "abcde");
    assert_int_equal(answer.body_bytes, 5);
}

static void an_answer_without_a_length_ends_with_the_connection(void **state)
{
    (void)state;
    assert_int_equal(call("HTTP/1.1 200 OK\r\n\r\nall of it", false), STATUS_OK);
    assert_string_equal(answer.body, "all of it");
}

static void a_connection_that_breaks_in_the_answer_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(call("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false), STATUS_UNKNOWN);
}

static void a_connection_that_breaks_before_the_answer_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(call("", false), STATUS_UNKNOWN);
}

static void what_is_no_http_is_corrupt(void **state)
{
    (void)state;
    assert_int_equal(call("SSH-2.0-OpenSSH\r\n\r\n", false), STATUS_CORRUPT);
}

static void nobody_there_is_unreachable_nothing_was_sent(void **state)
{
    struct http_call_request request = { .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 1000 };
    (void)state;
    assert_int_equal(http_call(&request, &answer, &err), STATUS_UNREACHABLE);
    http_call_answer_free(&answer);
    (void)close(listening()); /* a socket file whose process has ended */
    assert_int_equal(http_call(&request, &answer, &err), STATUS_UNREACHABLE);
}

static void a_silent_peer_costs_no_more_than_the_deadline(void **state)
{
    struct http_call_request request = { .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 50 };
    int fd = listening();
    (void)state;
    assert_int_equal(http_call(&request, &answer, &err), STATUS_TIMED_OUT);
    (void)close(fd);
}

static bool take_one(void *ctx, const char *data, size_t length)
{
    (void)snprintf(ctx, 32, "%.*s", (int)length, data);
    return false;
}

static void a_stream_is_handed_over_until_it_is_enough(void **state)
{
    char got[32] = "";
    struct http_call_request request = {
        .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 20000, .on_data = take_one, .ctx = got
    };
    pid_t pid = peer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false);
    (void)state;
    assert_int_equal(http_call(&request, &answer, &err), STATUS_OK);
    assert_string_equal(got, "abc");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void an_error_in_place_of_a_stream_is_collected(void **state)
{
    char got[32] = "";
    struct http_call_request request = {
        .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 20000, .on_data = take_one, .ctx = got
    };
    pid_t pid = peer("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", false);
    (void)state;
    assert_int_equal(http_call(&request, &answer, &err), STATUS_OK);
    assert_int_equal(answer.code, 404);
    assert_string_equal(answer.body, "no");
    assert_string_equal(got, "");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_path_segment_is_encoded_whole(void **state)
{
    char out[32];
    (void)state;
    assert_true(http_encode("a-b_c.d~e", out, sizeof out));
    assert_string_equal(out, "a-b_c.d~e");
    assert_true(http_encode("a/b?c d", out, sizeof out));
    assert_string_equal(out, "a%2Fb%3Fc%20d");
    assert_false(http_encode("abc", out, 3));
    assert_false(http_encode("/", out, 3));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_answer_is_collected_whatever_its_pieces),
        T(an_answer_without_a_length_ends_with_the_connection),
        T(a_connection_that_breaks_in_the_answer_is_unknown),
        T(a_connection_that_breaks_before_the_answer_is_unknown),
        T(what_is_no_http_is_corrupt),
        T(nobody_there_is_unreachable_nothing_was_sent),
        T(a_silent_peer_costs_no_more_than_the_deadline),
        T(a_stream_is_handed_over_until_it_is_enough),
        T(an_error_in_place_of_a_stream_is_collected),
        cmocka_unit_test(a_path_segment_is_encoded_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
