#include "io/http_call_link.h"

#include "io/address.h"
#include "io/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_MS_MAX 5000

/* ---- waiting ---- */

static enum status wait_until(struct http_link *link, short events, int64_t until_us, const char *for_what,
                              struct error *err)
{
    struct pollfd poll_fd = { .fd = link->fd, .events = events };

    for (;;) {
        int64_t left_us = until_us - clock_now_us();
        int result;

        if (!link->endless && left_us <= 0)
            return error_set(err, STATUS_TIMED_OUT, "%s: %s within %lld ms", link->name, for_what,
                             (long long)link->timeout_ms);
        result = poll(&poll_fd, 1, link->endless ? -1 : (int)(left_us / 1000) + 1);
        if (result > 0)
            return STATUS_OK;
        if (result < 0 && errno != EINTR)
            return error_set(err, STATUS_FAILED, "poll: %s", strerror(errno));
        if (result < 0 && link->endless)
            return error_set(err, STATUS_CANCELED, "interrupted");
    }
}

static enum status wait_for(struct http_link *link, short events, struct error *err)
{
    return wait_until(link, events, link->deadline_us, "no answer", err);
}

/* ---- bytes as they are on the wire ---- */

static enum status send_raw(struct http_link *link, const char *bytes, size_t length, struct error *err)
{
    while (length > 0) {
        ssize_t sent = send(link->fd, bytes, length, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
            continue;
        }
        if (errno == EAGAIN) {
            enum status status = wait_for(link, POLLOUT, err);
            if (status != STATUS_OK)
                return status;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return STATUS_OK; /* what it has to say can still be read */
        } else if (errno != EINTR) {
            return error_set(err, STATUS_UNKNOWN, "%s: %s", link->name, strerror(errno));
        }
    }
    return STATUS_OK;
}

static enum status receive_raw(struct http_link *link, char *out, size_t capacity, size_t *length, struct error *err)
{
    for (;;) {
        ssize_t got = recv(link->fd, out, capacity, 0);
        enum status status;

        if (got >= 0) {
            *length = (size_t)got;
            return STATUS_OK;
        }
        if (errno != EAGAIN && errno != EINTR)
            return error_set(err, STATUS_UNKNOWN, "%s: the connection broke: %s", link->name, strerror(errno));
        status = wait_for(link, POLLIN, err);
        if (status != STATUS_OK)
            return status;
    }
}

/* ---- TLS ---- */

static enum status flush(struct http_link *link, struct error *err)
{
    char bytes[4096];
    size_t length;
    enum status status = STATUS_OK;

    while (status == STATUS_OK && (length = tls_output(link->tls, (uint8_t *)bytes, sizeof bytes)) > 0)
        status = send_raw(link, bytes, length, err);
    return status;
}

/* One read of the socket goes into TLS. *ended: the server has closed. */
static enum status feed(struct http_link *link, bool *ended, struct error *err)
{
    struct error ignored = ERROR_NONE;
    char bytes[16384];
    size_t length = 0;
    enum status status = receive_raw(link, bytes, sizeof bytes, &length, err);

    *ended = status == STATUS_OK && length == 0;
    if (status != STATUS_OK || length == 0)
        return status;
    status = tls_receive(link->tls, (const uint8_t *)bytes, length, err);
    if (status != STATUS_OK) {
        (void)flush(link, &ignored); /* why, for its log */
        return error_wrap(err, "%s", link->name);
    }
    return flush(link, err);
}

static enum status handshake(struct http_link *link, struct tls_context *context, struct error *err)
{
    struct tls_options options = { .side = TLS_CLIENT, .peer_kind = TLS_NODE };
    enum status status;
    bool ended = false;

    link->tls = tls_create(context, &options, err);
    if (link->tls == NULL)
        return err->status;
    status = flush(link, err);
    while (status == STATUS_OK && !tls_established(link->tls)) {
        status = feed(link, &ended, err);
        if (ended)
            return error_set(err, STATUS_UNREACHABLE, "%s: it closed the connection during the TLS handshake",
                             link->name);
        if (status == STATUS_UNKNOWN)
            err->status = status = STATUS_UNREACHABLE; /* nothing of the request was sent */
    }
    return status;
}

/* ---- connecting ---- */

static enum status open_unix(struct http_link *link, const char *path, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, STATUS_INVALID, "%.100s...: the path of a socket has at most %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return error_set(err, STATUS_FAILED, "socket: %s", strerror(errno));
    while (connect(link->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        /* EAGAIN: the listener's queue is full; a unix socket gives no event for it. */
        if (errno != EAGAIN && errno != EINTR)
            return error_set(err, STATUS_UNREACHABLE, "%s: %s", path, strerror(errno));
        if (clock_now_us() >= link->deadline_us)
            return error_set(err, STATUS_UNREACHABLE, "%s: the node takes no connection", path);
        (void)poll(NULL, 0, 20);
    }
    return STATUS_OK;
}

/* ---- to a port ---- */

/* No one step of the way to a server that is not there may use up the time for the next server. */
static int64_t step_until_us(const struct http_link *link)
{
    int64_t until_us = clock_now_us() + (int64_t)CONNECT_MS_MAX * 1000;

    return until_us < link->deadline_us ? until_us : link->deadline_us;
}

/* glibc's thread looks the name up and goes on with it when we do not wait any longer: the question is then left to it. */
struct lookup {
    struct gaicb question;
    struct addrinfo hints;
    char host[HOST_TEXT_MAX];
};

static enum status look_up(const struct http_link *link, const char *host, struct addrinfo **found, struct error *err)
{
    struct lookup *l = calloc(1, sizeof *l);
    struct gaicb *list[1];
    int64_t until_us = step_until_us(link);
    int result;

    if (l == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    l->hints = (struct addrinfo){ .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    memcpy(l->host, host, strlen(host) + 1);
    l->question = (struct gaicb){ .ar_name = l->host, .ar_request = &l->hints };
    list[0] = &l->question;
    result = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    while (result == 0 && gai_error(&l->question) == EAI_INPROGRESS) {
        int64_t left_us = until_us - clock_now_us();
        struct timespec left = { .tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000 };

        if (left_us <= 0)
            return error_set(err, STATUS_UNREACHABLE, "%s: no answer from the name servers yet; an address needs none",
                             link->name);
        (void)gai_suspend((const struct gaicb *const *)list, 1, &left);
    }
    if (result == 0)
        result = gai_error(&l->question);
    *found = l->question.ar_result;
    free(l);
    return result == 0 ? STATUS_OK : error_set(err, STATUS_UNREACHABLE, "%s: %s", link->name, gai_strerror(result));
}

static enum status connect_to(struct http_link *link, const struct sockaddr_storage *address, struct error *err)
{
    struct error waited = ERROR_NONE;
    socklen_t length = sizeof(int);
    int why = 0;

    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return error_set(err, STATUS_UNREACHABLE, "%s: socket: %s", link->name, strerror(errno));
    if (connect(link->fd, (const struct sockaddr *)address, address_bytes(address)) == 0)
        return STATUS_OK;
    if (errno != EINPROGRESS)
        return error_set(err, STATUS_UNREACHABLE, "%s: %s", link->name, strerror(errno));
    if (wait_until(link, POLLOUT, step_until_us(link), "", &waited) != STATUS_OK)
        return error_set(err, STATUS_UNREACHABLE, "%s: it does not answer", link->name);
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &why, &length) != 0)
        why = errno;
    return why == 0 ? STATUS_OK : error_set(err, STATUS_UNREACHABLE, "%s: %s", link->name, strerror(why));
}

static enum status connect_by_name(struct http_link *link, const char *host, uint16_t port, struct error *err)
{
    struct addrinfo *found = NULL;
    enum status status = look_up(link, host, &found, err);

    if (status != STATUS_OK)
        return status;
    status = STATUS_UNREACHABLE;
    for (const struct addrinfo *at = found; at != NULL && status != STATUS_OK; at = at->ai_next) {
        struct sockaddr_storage address;

        memset(&address, 0, sizeof address);
        memcpy(&address, at->ai_addr, at->ai_addrlen);
        address_set_port(&address, port);
        status = connect_to(link, &address, err);
    }
    freeaddrinfo(found);
    return status;
}

static enum status open_tcp(struct http_link *link, const char *server, struct error *err)
{
    struct sockaddr_storage address;
    char host[HOST_TEXT_MAX];
    uint16_t port = 0;
    enum status status = address_split(server, 0, host, &port, err);

    if (status == STATUS_OK && port == 0)
        status = error_set(err, STATUS_INVALID, "'%.100s': expected HOST:PORT, with the port of the node's key `api`",
                           server);
    if (status != STATUS_OK)
        return status;
    return address_parse(host, port, &address) ? connect_to(link, &address, err)
                                               : connect_by_name(link, host, port, err);
}

enum status http_link_open(struct http_link *link, const struct http_call_request *request, struct error *err)
{
    enum status status;

    *link = (struct http_link){ .fd = -1,
                                .name = request->server != NULL ? request->server : request->socket_path,
                                .timeout_ms = request->timeout_ms,
                                .deadline_us = clock_now_us() + request->timeout_ms * 1000 };
    if (request->server == NULL)
        return open_unix(link, request->socket_path, err);
    status = open_tcp(link, request->server, err);
    return status == STATUS_OK ? handshake(link, request->tls, err) : status;
}

/* ---- plain bytes ---- */

enum status http_link_send(struct http_link *link, const char *bytes, size_t length, struct error *err)
{
    if (link->tls == NULL)
        return send_raw(link, bytes, length, err);
    if (tls_write(link->tls, (const uint8_t *)bytes, length, err) != STATUS_OK)
        return error_wrap(err, "%s", link->name);
    return flush(link, err);
}

enum status http_link_receive(struct http_link *link, char *out, size_t capacity, size_t *length, struct error *err)
{
    bool ended = false;

    *length = 0;
    if (link->tls == NULL)
        return receive_raw(link, out, capacity, length, err);
    for (;;) {
        enum status status = tls_read(link->tls, (uint8_t *)out, capacity, length, err);
        if (status != STATUS_OK)
            return error_wrap(err, "%s", link->name);
        if (*length > 0 || tls_ended(link->tls))
            return STATUS_OK;
        status = feed(link, &ended, err);
        if (status != STATUS_OK)
            return status;
        if (ended) /* without TLS's own word for it, somebody else may have cut the answer short */
            return error_set(err, STATUS_UNKNOWN, "%s: the connection broke", link->name);
    }
}

void http_link_close(struct http_link *link)
{
    struct error ignored = ERROR_NONE;

    if (link->tls != NULL && link->fd >= 0) {
        tls_end(link->tls);
        (void)flush(link, &ignored);
    }
    tls_destroy(link->tls);
    if (link->fd >= 0)
        (void)close(link->fd);
    link->tls = NULL;
    link->fd = -1;
}
