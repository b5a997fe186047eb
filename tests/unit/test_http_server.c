/* A real unix socket, a real client: what is well-formed reaches the handler, what is not never does, and nobody slow or rude holds the
 * server. One thread: the test pumps the loop while it waits for its own bytes. */
#include "io/clock.h"
#include "io/http_server.h"
#include "io/http_unix_client.h"

#include <errno.h>
#include <fcntl.h>
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

#define PATIENCE_US (20 * 1000000ll) /* a bound for a hanging test, never a measurement */

static uv_loop_t loop;
static struct http_server *server;
static char directory[64], path[96];
static struct http_exchange *kept; /* of /later and /stream */
static unsigned handled, gone;
static char seen[512];
static bool peer_seen;
static uint32_t peer_uid;
static int32_t peer_pid;
static size_t body_seen;

static void on_gone(void *ctx)
{
    (void)ctx;
    gone++;
    kept = NULL;
}

static void handler(void *ctx, struct http_exchange *x, const struct http_request *request)
{
    char body[700];
    const char *value = http_parameter(request, "key");
    int length;

    assert_ptr_equal(ctx, &server);
    handled++;
    peer_seen = request->peer_known;
    peer_uid = request->peer_uid;
    peer_pid = request->peer_pid;
    body_seen = request->body_bytes;
    assert_int_equal(request->body[request->body_bytes], '\0');
    (void)snprintf(seen, sizeof seen, "%s %s key=%s body=%.100s", request->method, request->path,
                   value != NULL ? value : "none", request->body);
    if (strcmp(request->path, "/later") == 0) {
        kept = x;
    } else if (strcmp(request->path, "/stream") == 0) {
        kept = x;
        http_stream_begin(x, 200, "application/x-ndjson", on_gone, NULL);
        http_stream_write(x, "one\n", 4);
    } else {
        length = snprintf(body, sizeof body, "{\"saw\":\"%s\"}", seen);
        http_answer(x, 200, "application/json", body, (size_t)length);
    }
}

static void begin(struct http_server_options options)
{
    struct error err = ERROR_NONE;

    handled = gone = 0;
    kept = NULL;
    server = http_server_create(&loop, &options, handler, &server);
    assert_int_equal(http_server_listen(server, path, &err), STATUS_OK);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void end(void)
{
    bool closed = false;
    http_server_destroy(server, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(access(path, F_OK), -1); /* the socket file is gone */
}

static int dial(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Sends all of it, pumping; false when the server closed before everything was taken. */
static bool put(int fd, const char *bytes, size_t length)
{
    int64_t until_us = clock_now_us() + PATIENCE_US;

    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        assert_true(clock_now_us() < until_us);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno != EAGAIN) {
            return false;
        }
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    return true;
}

/* Reads until the server closes, or until `needle` has arrived. */
static char *get_until(int fd, const char *needle)
{
    static char answer[HTTP_BACKLOG_MAX_BYTES * 2];
    size_t used = 0;
    int64_t until_us = clock_now_us() + PATIENCE_US;

    for (;;) {
        ssize_t got = recv(fd, answer + used, sizeof answer - 1 - used, 0);
        assert_true(clock_now_us() < until_us);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        if (got > 0)
            used += (size_t)got;
        answer[used] = '\0';
        if (needle != NULL && strstr(answer, needle) != NULL)
            break;
        if (got < 0) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
            (void)usleep(200);
        }
    }
    answer[used] = '\0';
    return answer;
}

static void pump_until(const bool *flag, const unsigned *counter, unsigned value)
{
    int64_t until_us = clock_now_us() + PATIENCE_US;
    while (flag != NULL ? !*flag : *counter != value) {
        assert_true(clock_now_us() < until_us);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(200);
    }
}

/* One connection, one request, everything that comes back until the server closes. */
static char *whole(const char *request)
{
    int fd = dial();
    char *answer;
    (void)put(fd, request, strlen(request));
    answer = get_until(fd, NULL);
    (void)close(fd);
    return answer;
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    (void)snprintf(directory, sizeof directory, "/tmp/test-http-XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/s", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* a failed test leaves its server: no waiting for that */
    assert_int_equal(uv_loop_close(&loop), 0); /* no handle is left */
    (void)unlink(path);
    return rmdir(directory);
}

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

static void the_socket_is_for_its_owner_and_group(void **state)
{
    struct stat info;
    (void)state;
    begin((struct http_server_options){ 0 });
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
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
    second = http_server_create(&loop, NULL, handler, NULL);
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

static void head_has_no_body_and_http_1_0_no_chunks(void **state)
{
    char *answer;
    (void)state;
    begin((struct http_server_options){ 0 });
    answer = whole("HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
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

static void a_client_without_a_server_says_unreachable(void **state)
{
    struct http_unix_request request = { .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 1000 };
    struct http_unix_answer answer;
    struct error err = ERROR_NONE;
    (void)state;
    assert_int_equal(http_unix_call(&request, &answer, &err), STATUS_UNREACHABLE);
    http_unix_answer_free(&answer);
}

static void a_client_gives_up_at_its_deadline(void **state)
{
    struct http_unix_request request = { .socket_path = path, .method = "GET", .target = "/", .timeout_ms = 50 };
    struct http_unix_answer answer;
    struct error err = ERROR_NONE;
    (void)state;
    begin((struct http_server_options){ 0 }); /* it listens, but nobody pumps */
    assert_int_equal(http_unix_call(&request, &answer, &err), STATUS_TIMED_OUT);
    http_unix_answer_free(&answer);
    end();
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
        T(a_request_reaches_the_handler_with_its_parts_and_its_peer),
        T(the_socket_is_for_its_owner_and_group),
        T(a_left_over_socket_is_taken_and_a_served_one_is_not),
        T(one_connection_carries_many_requests_and_pipelined_ones_in_order),
        T(a_pipelined_request_waits_for_the_answer_before_it),
        T(a_request_in_single_bytes_is_the_same_request),
        T(what_is_no_well_formed_http_never_reaches_the_handler),
        T(every_part_of_a_request_has_a_limit),
        T(a_slow_request_is_given_up),
        T(an_idle_connection_is_closed),
        T(a_peer_that_does_not_read_is_closed),
        T(a_stream_beyond_its_backlog_is_ended),
        T(a_stream_arrives_piece_by_piece_and_ends),
        T(the_owner_of_a_stream_hears_once_that_its_peer_has_gone),
        T(an_answer_to_a_peer_that_has_gone_is_dropped),
        T(a_peer_that_has_said_all_still_gets_its_answer),
        T(head_has_no_body_and_http_1_0_no_chunks),
        T(more_connections_than_the_limit_are_closed_at_once),
        T(closing_the_server_closes_every_connection_and_waits_for_answers),
        T(damaged_requests_never_crash),
        T(a_client_without_a_server_says_unreachable),
        T(a_client_gives_up_at_its_deadline),
        cmocka_unit_test(a_path_segment_is_encoded_whole),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as coordd does: libuv writes to sockets whose peer has gone */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
