/* What is well-formed reaches the handler, whole and in order; what is not never does. */
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

static void a_request_reaches_the_handler_with_its_parts_and_its_peer(void **state)
{
    char *answer;
    (void)state;
    begin((struct http_server_options){ 0 });
    answer =
        whole("POST /a%20b/c?x&key=1+2%26 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody");
    assert_string_equal(seen, "POST /a b/c key=1 2& body=body");
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\n{\"saw\":"));
    assert_true(peer_seen);
    assert_int_equal(peer_uid, getuid());
    assert_int_equal(peer_pid, getpid());
    end();
}

static void a_left_over_socket_is_taken_and_a_served_one_is_not(void **state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct error err = ERROR_NONE;
    struct http_server *second;
    bool closed = false;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)state;

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd); /* like a process that was killed */
    begin((struct http_server_options){ 0 });
    second = http_server_create(&loop, NULL, NULL, NULL); /* it never serves */
    assert_int_equal(http_server_listen(second, path, &err), STATUS_REFUSED);
    assert_non_null(strstr(err.text, "is served by another process"));
    assert_int_equal(http_server_listen(second, directory, &err), STATUS_REFUSED);
    assert_non_null(strstr(err.text, "is no socket"));
    http_server_destroy(second, on_closed, &closed);
    pump_until(&closed, NULL, 0);
    assert_int_equal(access(path, F_OK), 0);
    end();
}

static void one_connection_carries_many_requests_and_pipelined_ones_in_order(void **state)
{
    static const char two[] =
        "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n";
    char *answer, *first, *second, *third;
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, two, sizeof two - 1));
    answer = get_until(fd, "GET /3");
    first = strstr(answer, "GET /1");
    second = strstr(answer, "POST /2");
    third = strstr(answer, "GET /3");
    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(third);
    assert_true(first < second && second < third);
    assert_int_equal(handled, 3);
    assert_true(put(fd, "GET /4 HTTP/1.1\r\nHost: h\r\n\r\n", 28));
    assert_non_null(strstr(get_until(fd, "GET /4"), "keep-alive"));
    (void)close(fd);
    end();
}

static void a_pipelined_request_waits_for_the_answer_before_it(void **state)
{
    static const char two[] = "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n";
    char *answer;
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    assert_true(put(fd, two, sizeof two - 1));
    pump_until(NULL, &handled, 1);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(handled, 1);
    http_answer(kept, 200, "text/plain", "first", 5);
    answer = get_until(fd, "GET /2");
    assert_non_null(strstr(answer, "first"));
    assert_int_equal(handled, 2);
    (void)close(fd);
    end();
}

static void a_request_in_single_bytes_is_the_same_request(void **state)
{
    static const char request[] =
        "POST /x?key=v HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    int fd;
    (void)state;
    begin((struct http_server_options){ 0 });
    fd = dial();
    for (size_t i = 0; i + 1 < sizeof request; i++)
        assert_true(put(fd, request + i, 1));
    assert_non_null(strstr(get_until(fd, NULL), "200 OK"));
    assert_string_equal(seen, "POST /x key=v body=abcde");
    (void)close(fd);
    end();
}

static void what_is_no_well_formed_http_never_reaches_the_handler(void **state)
{
    static const char *const requests[] = {
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\rHost: h\r\n\r\n",    /* bare CR */
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n", /* space before the colon */
        "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", /* smuggling */
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /?a=%4 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /?a&b&c&d&e&f&g&h&i HTTP/1.1\r\nHost: h\r\n\r\n", /* too many parameters */
        "GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    (void)state;
    begin((struct http_server_options){ 0 });
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        char *answer = whole(requests[i]);
        assert_non_null(strstr(answer, "HTTP/1.1 400 Bad Request\r\n"));
        assert_non_null(strstr(answer, "{\"status\":\"invalid\",\"message\":\""));
        assert_int_equal(handled, 0);
    }
    end();
}

static void every_part_of_a_request_has_a_limit(void **state)
{
    char *big = malloc(HTTP_BODY_MAX_BYTES + 1024);
    char head[256];
    int fd;
    (void)state;
    assert_non_null(big);
    begin((struct http_server_options){ 0 });

    (void)snprintf(big, 8, "GET /");
    memset(big + 5, 'a', HTTP_TARGET_MAX_BYTES + 1);
    (void)snprintf(big + 5 + HTTP_TARGET_MAX_BYTES, 64, " HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(whole(big), "HTTP/1.1 414 "));

    (void)snprintf(big, 64, "GET / HTTP/1.1\r\nX: ");
    memset(big + 19, 'a', HTTP_HEADERS_MAX_BYTES);
    big[19 + HTTP_HEADERS_MAX_BYTES] = '\0';
    assert_non_null(strstr(whole(big), "HTTP/1.1 431 "));

    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n", HTTP_BODY_MAX_BYTES + 1);
    assert_non_null(strstr(whole(head), "HTTP/1.1 413 ")); /* before the body was sent */

    memset(big, 'b', HTTP_BODY_MAX_BYTES + 1);
    fd = dial();
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
                   HTTP_BODY_MAX_BYTES + 1);
    assert_true(put(fd, head, strlen(head)));
    (void)put(fd, big, HTTP_BODY_MAX_BYTES + 1);
    assert_non_null(strstr(get_until(fd, NULL), "HTTP/1.1 413 "));
    (void)close(fd);
    assert_int_equal(handled, 0);

    fd = dial(); /* exactly the limit is fine */
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
                   HTTP_BODY_MAX_BYTES);
    assert_true(put(fd, head, strlen(head)));
    assert_true(put(fd, big, HTTP_BODY_MAX_BYTES));
    assert_non_null(strstr(get_until(fd, NULL), "200 OK"));
    assert_int_equal(body_seen, HTTP_BODY_MAX_BYTES);
    (void)close(fd);
    free(big);
    end();
}

static void head_has_no_body_and_http_1_0_no_chunks(void **state)
{
    char *answer;
    (void)state;
    begin((struct http_server_options){ 0 });
    answer = whole("HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    answer = whole("HEAD /%00 HTTP/1.1\r\nHost: h\r\n\r\n"); /* a refusal is no exception */
    assert_non_null(strstr(answer, "HTTP/1.1 400 "));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    answer = whole("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /%00 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 400 "));
    assert_non_null(strstr(answer, "\r\n\r\n{\"status\":\"invalid\"")); /* of the GET alone */
    answer = whole("GET /x HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    {
        int fd = dial();
        assert_true(put(fd, "GET /stream HTTP/1.0\r\n\r\n", 24));
        answer = get_until(fd, "one\n");
        assert_null(strstr(answer, "chunked"));
        http_stream_end(kept);
        (void)get_until(fd, NULL);
        (void)close(fd);
    }
    end();
}

/* Every prefix of a request, and every request with one byte changed, leaves a server that answers the next one. */
static void damaged_requests_never_crash(void **state)
{
    static const char good[] = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nxy";
    static const char bytes[] = "\r\n\0 :%?/\xff\x01Z9";
    (void)state;
    begin((struct http_server_options){ .request_timeout_ms = 20 });
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (size_t b = 0; b + 1 < sizeof bytes; b++) {
            char request[sizeof good];
            int fd = dial();
            memcpy(request, good, sizeof good);
            request[i] = bytes[b];
            (void)put(fd, request, sizeof good - 1);
            for (int j = 0; j < 3; j++)
                (void)uv_run(&loop, UV_RUN_NOWAIT);
            (void)close(fd);
        }
    assert_non_null(strstr(whole("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "200 OK"));
    end();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_request_reaches_the_handler_with_its_parts_and_its_peer),
        T(a_left_over_socket_is_taken_and_a_served_one_is_not),
        T(one_connection_carries_many_requests_and_pipelined_ones_in_order),
        T(a_pipelined_request_waits_for_the_answer_before_it),
        T(a_request_in_single_bytes_is_the_same_request),
        T(what_is_no_well_formed_http_never_reaches_the_handler),
        T(every_part_of_a_request_has_a_limit),
        T(head_has_no_body_and_http_1_0_no_chunks),
        T(damaged_requests_never_crash),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as coordd does: libuv writes to sockets whose peer has gone */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
