/* io: coordctl's reader of HTTP answers. Its system calls are linked to functions here that hand it the input in pieces. What it makes of an
 * answer does not depend on the pieces. */
#include "io/http_call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "tests/fuzz/fuzz.h"

static struct fuzz_input answer;
static size_t chunk;
static bool again;

int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *out, size_t capacity, int flags);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length)
{
    (void)fd;
    (void)to;
    (void)length;
    return 0;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    (void)fd;
    (void)bytes;
    (void)flags;
    return (ssize_t)size;
}

ssize_t __wrap_recv(int fd, void *out, size_t capacity, int flags)
{
    size_t n = chunk < capacity ? chunk : capacity;
    const uint8_t *bytes;

    (void)fd;
    (void)flags;
    again = !again;
    if (again) { /* every other time there is nothing yet */
        errno = EAGAIN;
        return -1;
    }
    bytes = fuzz_bytes(&answer, &n);
    if (n > 0)
        memcpy(out, bytes, n);
    return (ssize_t)n;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)count;
    (void)timeout_ms;
    fds[0].revents = fds[0].events;
    return 1;
}

static bool on_data(void *ctx, const char *data, size_t data_bytes)
{
    size_t *left = ctx;

    ASSERT(data_bytes > 0 && data != NULL);
    *left = *left > data_bytes ? *left - data_bytes : 0;
    return *left > 0;
}

static enum status call(const uint8_t *data, size_t size, size_t pieces, bool stream, struct http_call_answer *out)
{
    size_t wanted = 64;
    struct http_call_request request = { .socket_path = "/x",
                                         .method = "GET",
                                         .target = "/v1/status",
                                         .timeout_ms = 60000,
                                         .on_data = stream ? on_data : NULL,
                                         .ctx = &wanted };
    struct error err = ERROR_NONE;
    enum status status;

    answer = (struct fuzz_input){ data, size };
    chunk = pieces;
    again = false;
    status = http_call(&request, out, &err);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_UNKNOWN);
    ASSERT(status == err.status && (status == STATUS_OK || err.text[0] != '\0'));
    ASSERT(out->body != NULL && out->body[out->body_bytes] == '\0' && out->body_bytes <= size);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    size_t pieces = (size_t)fuzz_u8(&in) + 1;
    struct http_call_answer whole, cut, streamed;
    enum status status = call(in.at, in.left, 1u << 20, false, &whole);

    ASSERT(call(in.at, in.left, pieces, false, &cut) == status);
    if (status == STATUS_OK)
        ASSERT(whole.code == cut.code && whole.body_bytes == cut.body_bytes &&
               memcmp(whole.body, cut.body, whole.body_bytes) == 0);
    (void)call(in.at, in.left, pieces, true, &streamed);
    http_call_answer_free(&whole);
    http_call_answer_free(&cut);
    http_call_answer_free(&streamed);
    return 0;
}
