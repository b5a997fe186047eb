/* Peers that are slow, silent, gone or too many, and the end of the server in the middle of everything. */
#include "http_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void the_socket_is_for_its_owner_and_group(void **state)
{
    struct stat info;
    (void)state;
    begin((struct http_server_options){ 0 });
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
    end();
}

static void a_slow_request_is_given_up(void **state)
{
    int fd;
    (void)state;
    begin((struct http_server_options){ .request_timeout_ms = 30 });
    fd = dial();
    assert_true(put(fd, "GET / HTTP/1.1\r\nHos", 19));
    assert_non_null(strstr(get_until(fd, NULL), "HTTP/1.1 408 "));
    (void)close(fd);
    fd = dial(); /* chunks that never end */
    assert_true(put(fd, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", 50));
    assert_non_null(strstr(get_until(fd, NULL), "HTTP/1.1 408 "));
    (void)close(fd);
    assert_int_equal(handled, 0);
    end();
}

static void an_idle_connection_is_closed(void **state)
{
    int fd;
    (void)state;
    begin((struct http_server_options){ .idle_timeout_ms = 30 });
    fd = dial();
    assert_string_equal(get_until(fd, NULL), "");
    (void)close(fd);
    end();
}

static void a_peer_that_does_not_read_is_closed(void **state)
{
    char *chunk = calloc(1, 65536);
    int fd;
    (void)state;
    assert_non_null(chunk);
    begin((struct http_server_options){ .write_timeout_ms = 30 });
    fd = dial();
    assert_true(put(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 33));
    pump_until(NULL, &handled, 1);
    for (int i = 0; i < 8 && kept != NULL; i++) /* more than a socket's buffer, less than our backlog */
        http_stream_write(kept, chunk, 65536);
    pump_until(NULL, &gone, 1);
    (void)close(fd);
    free(chunk);
    end();
}

static void a_stream_beyond_its_backlog_is_ended(void **state)
{
    char *chunk = calloc(1, 65536);
    int fd;
    (void)state;
    assert_non_null(chunk);
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 33));
    pump_until(NULL, &handled, 1);
    for (int i = 0; i < 40; i++)
        http_stream_write(kept, chunk, 65536); /* after the end it does nothing, until on_gone */
    assert_int_equal(gone, 0);
    pump_until(NULL, &gone, 1);
    (void)close(fd);
    free(chunk);
    end();
}

static void a_stream_arrives_piece_by_piece_and_ends(void **state)
{
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 33));
    assert_non_null(strstr(get_until(fd, "one\n"), "Transfer-Encoding: chunked\r\n"));
    http_stream_write(kept, "two\n", 4);
    assert_string_equal(get_until(fd, "two\n\r\n"), "4\r\ntwo\n\r\n");
    http_stream_end(kept);
    assert_string_equal(get_until(fd, NULL), "0\r\n\r\n");
    (void)close(fd);
    assert_int_equal(gone, 0);
    end();
}

static void the_owner_of_a_stream_hears_once_that_its_peer_has_gone(void **state)
{
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 33));
    (void)get_until(fd, "one\n");
    (void)close(fd);
    pump_until(NULL, &gone, 1);
    end();
    assert_int_equal(gone, 1);
}

static void an_answer_to_a_peer_that_has_gone_is_dropped(void **state)
{
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", 32));
    pump_until(NULL, &handled, 1);
    (void)close(fd);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    http_answer(kept, 200, "text/plain", "x", 1);
    end();
}

static void a_peer_that_has_said_all_still_gets_its_answer(void **state)
{
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", 32));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    pump_until(NULL, &handled, 1);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    http_answer(kept, 200, "text/plain", "x", 1);
    assert_non_null(strstr(get_until(fd, NULL), "200 OK"));
    (void)close(fd);
    end();
}

static void more_connections_than_the_limit_are_closed_at_once(void **state)
{
    int fds[HTTP_CONNECTIONS_MAX + 1];
    (void)state;
    begin((struct http_server_options){ 0 });
    for (int i = 0; i <= HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = dial();
        for (int j = 0; j < 5; j++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_string_equal(get_until(fds[HTTP_CONNECTIONS_MAX], NULL), "");
    assert_true(put(fds[0], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28));
    assert_non_null(strstr(get_until(fds[0], "saw"), "200 OK"));
    for (int i = 0; i <= HTTP_CONNECTIONS_MAX; i++)
        (void)close(fds[i]);
    end();
}

static void closing_the_server_closes_every_connection_and_waits_for_answers(void **state)
{
    bool closed = false;
    int idle, stream, later;
    (void)state;
    begin((struct http_server_options){ 0 });
    idle = dial();
    stream = dial();
    assert_true(put(stream, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 33));
    pump_until(NULL, &handled, 1);
    later = dial();
    assert_true(put(later, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", 32));
    pump_until(NULL, &handled, 2);
    {
        struct http_exchange *unanswered = kept;
        http_server_destroy(server, on_closed, &closed);
        pump_until(NULL, &gone, 1);
        for (int i = 0; i < 20; i++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_false(closed);
        http_answer(unanswered, 200, "text/plain", "x", 1);
        pump_until(&closed, NULL, 0);
    }
    (void)close(idle);
    (void)close(stream);
    (void)close(later);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_socket_is_for_its_owner_and_group),
        T(a_slow_request_is_given_up),
        T(an_idle_connection_is_closed),
        T(a_peer_that_does_not_read_is_closed),
        T(a_stream_beyond_its_backlog_is_ended),
        T(a_stream_arrives_piece_by_piece_and_ends),
        T(the_owner_of_a_stream_hears_once_that_its_peer_has_gone),
        T(an_answer_to_a_peer_that_has_gone_is_dropped),
        T(a_peer_that_has_said_all_still_gets_its_answer),
        T(more_connections_than_the_limit_are_closed_at_once),
        T(closing_the_server_closes_every_connection_and_waits_for_answers),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as coordd does: libuv writes to sockets whose peer has gone */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
