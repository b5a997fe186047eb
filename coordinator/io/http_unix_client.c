/* Connect, send, read until the parser has the whole answer; every wait is a poll() until the caller's deadline. The socket never blocks. */
#include "io/http_unix_client.h"

#include "base/check.h"
#include "io/clock.h"

#include <errno.h>
#include <llhttp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct call {
    const struct http_unix_request *request;
    struct http_unix_answer *answer;
    int fd;
    int64_t deadline_us;
    bool headers_complete, complete, stopped, too_long;
    size_t capacity;
};

static enum status wait_for(const struct call *call, short events, struct error *err)
{
    struct pollfd poll_fd = { .fd = call->fd, .events = events };
    bool endless = call->headers_complete && call->request->on_data != NULL;

    for (;;) {
        int64_t left_us = call->deadline_us - clock_now_us();
        int result;

        if (!endless && left_us <= 0)
            return error_set(err, STATUS_TIMED_OUT, "%s: no answer within %lld ms", call->request->socket_path,
                             (long long)call->request->timeout_ms);
        result = poll(&poll_fd, 1, endless ? -1 : (int)(left_us / 1000) + 1);
        if (result > 0)
            return STATUS_OK;
        if (result < 0 && errno != EINTR)
            return error_set(err, STATUS_FAILED, "poll: %s", strerror(errno));
        if (result < 0 && endless) {
            return error_set(err, STATUS_CANCELED, "interrupted");
        }
    }
}

static enum status dial(struct call *call, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = call->request->socket_path;

    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, STATUS_INVALID, "%.100s...: the path of a socket has at most %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (call->fd < 0)
        return error_set(err, STATUS_FAILED, "socket: %s", strerror(errno));
    while (connect(call->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        /* EAGAIN: the listener's queue is full; a unix socket gives no event for it. */
        if (errno != EAGAIN && errno != EINTR)
            return error_set(err, STATUS_UNREACHABLE, "%s: %s", path, strerror(errno));
        if (clock_now_us() >= call->deadline_us)
            return error_set(err, STATUS_UNREACHABLE, "%s: the node takes no connection", path);
        (void)poll(NULL, 0, 20);
    }
    return STATUS_OK;
}

static enum status send_all(struct call *call, const char *bytes, size_t length, struct error *err)
{
    while (length > 0) {
        ssize_t sent = send(call->fd, bytes, length, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
            continue;
        }
        if (errno == EAGAIN) {
            enum status status = wait_for(call, POLLOUT, err);
            if (status != STATUS_OK)
                return status;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return STATUS_OK; /* a request that is refused early is answered all the same: read it */
        } else if (errno != EINTR) {
            return error_set(err, STATUS_UNKNOWN, "%s: %s", call->request->socket_path, strerror(errno));
        }
    }
    return STATUS_OK;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct call *call = parser->data;
    call->answer->code = parser->status_code;
    call->headers_complete = true;
    return HPE_OK;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct call *call = parser->data;
    struct http_unix_answer *answer = call->answer;

    if (call->request->on_data != NULL && answer->code / 100 == 2) {
        if (call->stopped)
            return HPE_OK;
        call->stopped = !call->request->on_data(call->request->ctx, at, length);
        return HPE_OK;
    }
    if (answer->body_bytes + length > HTTP_CLIENT_BODY_MAX_BYTES) {
        call->too_long = true;
        return HPE_USER;
    }
    if (answer->body_bytes + length + 1 > call->capacity) {
        call->capacity = (answer->body_bytes + length + 1) * 2;
        answer->body = realloc(answer->body, call->capacity);
        ASSERT(answer->body != NULL);
    }
    memcpy(answer->body + answer->body_bytes, at, length);
    answer->body_bytes += length;
    answer->body[answer->body_bytes] = '\0';
    return HPE_OK;
}

static int on_message_complete(llhttp_t *parser)
{
    struct call *call = parser->data;
    call->complete = true;
    return HPE_PAUSED;
}

static enum status receive(struct call *call, struct error *err)
{
    static const llhttp_settings_t settings = { .on_headers_complete = on_headers_complete,
                                                .on_body = on_body,
                                                .on_message_complete = on_message_complete };
    llhttp_t parser;
    char bytes[16384];

    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = call;
    while (!call->complete && !call->stopped) {
        ssize_t length = recv(call->fd, bytes, sizeof bytes, 0);
        enum llhttp_errno result;

        if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
            enum status status = wait_for(call, POLLIN, err);
            if (status != STATUS_OK)
                return status;
            continue;
        }
        if (length < 0)
            return error_set(err, STATUS_UNKNOWN, "%s: the connection broke: %s", call->request->socket_path,
                             strerror(errno));
        result = length > 0 ? llhttp_execute(&parser, bytes, (size_t)length) : llhttp_finish(&parser);
        if (call->too_long)
            return error_set(err, STATUS_CORRUPT, "%s: the answer has more than %d bytes", call->request->socket_path,
                             HTTP_CLIENT_BODY_MAX_BYTES);
        if (result != HPE_OK && result != HPE_PAUSED && length > 0)
            return error_set(err, STATUS_CORRUPT, "%s: the answer is no HTTP: %s", call->request->socket_path,
                             llhttp_errno_name(result));
        if (length == 0 && !call->complete)
            return error_set(err, STATUS_UNKNOWN, "%s: the node closed the connection before its answer was complete",
                             call->request->socket_path);
    }
    return STATUS_OK;
}

enum status http_unix_call(const struct http_unix_request *request, struct http_unix_answer *answer, struct error *err)
{
    struct call call = {
        .request = request, .answer = answer, .fd = -1, .deadline_us = clock_now_us() + request->timeout_ms * 1000
    };
    size_t body_bytes = request->body != NULL ? strlen(request->body) : 0;
    char header[4096];
    int length;
    enum status status;

    *answer = (struct http_unix_answer){ .code = 0, .body = calloc(1, 1), .body_bytes = 0 };
    ASSERT(answer->body != NULL);
    call.capacity = 1;
    length = snprintf(header, sizeof header,
                      "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json\r\n"
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                      request->method, request->target, body_bytes);
    if (length < 0 || (size_t)length >= sizeof header)
        return error_set(err, STATUS_INVALID, "the request's path is too long");
    status = dial(&call, err);
    if (status == STATUS_OK)
        status = send_all(&call, header, (size_t)length, err);
    if (status == STATUS_OK && body_bytes > 0)
        status = send_all(&call, request->body, body_bytes, err);
    if (status == STATUS_OK)
        status = receive(&call, err);
    if (call.fd >= 0)
        (void)close(call.fd);
    return status;
}

void http_unix_answer_free(struct http_unix_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

bool http_encode(const char *text, char *out, size_t capacity_bytes)
{
    size_t used = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (used + (plain ? 1u : 3u) >= capacity_bytes)
            return false;
        if (plain)
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, capacity_bytes - used, "%%%02X", c);
    }
    if (capacity_bytes == 0)
        return false;
    out[used] = '\0';
    return true;
}
