#include "http_fixture.h"

#include "io/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
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

uv_loop_t loop;
struct http_server *server;
char directory[64], path[96];
struct http_exchange *kept; /* of /later and /stream */
unsigned handled, gone;
char seen[512];
bool peer_seen;
uint32_t peer_uid;
int32_t peer_pid;
size_t body_seen;

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

void begin(struct http_server_options options)
{
    struct error err = ERROR_NONE;

    handled = gone = 0;
    kept = NULL;
    server = http_server_create(&loop, &options, handler, &server);
    assert_int_equal(http_server_listen(server, path, &err), STATUS_OK);
}

void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

void end(void)
{
    bool closed = false;
    http_server_destroy(server, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(access(path, F_OK), -1); /* the socket file is gone */
}

int dial(void)
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
bool put(int fd, const char *bytes, size_t length)
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
char *get_until(int fd, const char *needle)
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

void pump_until(const bool *flag, const unsigned *counter, unsigned value)
{
    int64_t until_us = clock_now_us() + PATIENCE_US;
    while (flag != NULL ? !*flag : *counter != value) {
        assert_true(clock_now_us() < until_us);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(200);
    }
}

/* One connection, one request, everything that comes back until the server closes. */
char *whole(const char *request)
{
    int fd = dial();
    char *answer;
    (void)put(fd, request, strlen(request));
    answer = get_until(fd, NULL);
    (void)close(fd);
    return answer;
}

int setup(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    (void)snprintf(directory, sizeof directory, "/tmp/test-http-XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/s", directory);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_NOWAIT);        /* a failed test leaves its server: no waiting for that */
    assert_int_equal(uv_loop_close(&loop), 0); /* no handle is left */
    (void)unlink(path);
    return rmdir(directory);
}
