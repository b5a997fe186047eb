/* The listening socket and the life of the server; what happens on a connection is in http_server_connection.c. */
#include "io/http_server_connection.h"

#include "base/check.h"
#include "io/address.h"
#include "io/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

void http_server_maybe_closed(struct http_server *s)
{
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;

    if (!s->closing || s->local.open || s->port.open || s->connection_count > 0 || s->exchange_count > 0)
        return;
    free(s->socket_path);
    free(s);
    if (closed != NULL)
        closed(ctx);
}

void http_server_refused(struct http_server *s, const char *address, const char *why)
{
    if (s->options.on_refused != NULL)
        s->options.on_refused(s->ctx, address, why);
}

static void on_connection(uv_stream_t *listener, int uv_status)
{
    if (uv_status != 0)
        log_event(LOG_LEVEL_WARNING, "api_accept_failed", "reason=%s", uv_strerror(uv_status));
    else
        http_connection_accept(listener->data);
}

struct http_server *http_server_create(uv_loop_t *loop, const struct http_server_options *options, http_handler handler,
                                       void *ctx)
{
    struct http_server *s = calloc(1, sizeof *s);

    ASSERT(s != NULL);
    s->loop = loop;
    if (options != NULL)
        s->options = *options;
    if (s->options.request_timeout_ms == 0)
        s->options.request_timeout_ms = 10000;
    if (s->options.idle_timeout_ms == 0)
        s->options.idle_timeout_ms = 60000;
    if (s->options.write_timeout_ms == 0)
        s->options.write_timeout_ms = 30000;
    if (s->options.handshake_timeout_ms == 0)
        s->options.handshake_timeout_ms = 5000;
    s->handler = handler;
    s->ctx = ctx;
    s->local.server = s->port.server = s;
    s->local.way = HTTP_LOCAL;
    ASSERT(uv_pipe_init(loop, &s->local.socket.pipe, 0) == 0);
    s->local.socket.handle.data = &s->local;
    s->local.open = true;
    return s;
}

/* Removes a socket file that nobody serves any more; a process that was killed leaves one. */
static enum status clear_stale(const char *path, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat info;
    int fd, result, why;

    if (lstat(path, &info) != 0)
        return STATUS_OK;
    if (!S_ISSOCK(info.st_mode))
        return error_set(err, STATUS_REFUSED, "%s exists and is no socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "socket: %s", strerror(errno));
    result = connect(fd, (struct sockaddr *)&address, sizeof address);
    why = errno;
    (void)close(fd);
    if (result == 0 || why != ECONNREFUSED)
        return error_set(err, STATUS_REFUSED, "%s is served by another process", path);
    if (unlink(path) != 0)
        return error_set(err, STATUS_FAILED, "%s: cannot remove the old socket: %s", path, strerror(errno));
    return STATUS_OK;
}

enum status http_server_listen(struct http_server *server, const char *socket_path, struct error *err)
{
    struct stat info;
    mode_t old;
    int result;

    if (strlen(socket_path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(err, STATUS_INVALID, "%.100s...: the path of a socket has at most %zu bytes", socket_path,
                         sizeof((struct sockaddr_un *)0)->sun_path - 1);
    if (clear_stale(socket_path, err) != STATUS_OK)
        return err != NULL ? err->status : STATUS_REFUSED;
    old = umask(0117); /* 0660 from the first moment */
    result = uv_pipe_bind(&server->local.socket.pipe, socket_path);
    (void)umask(old);
    if (result != 0)
        return error_set(err, STATUS_FAILED, "%s: cannot bind: %s", socket_path, uv_strerror(result));
    server->socket_path = strdup(socket_path);
    ASSERT(server->socket_path != NULL);
    if (stat(socket_path, &info) != 0)
        return error_set(err, STATUS_FAILED, "%s: %s", socket_path, strerror(errno));
    server->local.group = info.st_gid;
    result = uv_listen(&server->local.socket.stream, BACKLOG, on_connection);
    if (result != 0)
        return error_set(err, STATUS_FAILED, "%s: cannot listen: %s", socket_path, uv_strerror(result));
    return STATUS_OK;
}

enum status http_server_listen_tcp(struct http_server *server, const char *address, struct tls_context *tls,
                                   struct error *err)
{
    struct http_listener *l = &server->port;
    struct sockaddr_storage where;
    char host[HOST_TEXT_MAX];
    uint16_t port = 0;
    int result;

    ASSERT(!l->open);
    if (address_split(address, 0, host, &port, err) != STATUS_OK)
        return err->status;
    if (!address_parse(host, port, &where))
        return error_set(err, STATUS_INVALID, "%s: expected a numeric address and port", address);
    ASSERT(uv_tcp_init(server->loop, &l->socket.tcp) == 0);
    l->socket.handle.data = l;
    l->open = true;
    l->way = tls != NULL ? HTTP_SECURE : HTTP_OPEN;
    l->tls = tls;
    result = uv_tcp_bind(&l->socket.tcp, (const struct sockaddr *)&where, 0);
    if (result == 0)
        result = uv_listen(&l->socket.stream, BACKLOG, on_connection);
    if (result != 0)
        return error_set(err, STATUS_FAILED, "%s: cannot listen: %s", address, uv_strerror(result));
    return STATUS_OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *l = handle->data;
    l->open = false;
    http_server_maybe_closed(l->server);
}

void http_server_destroy(struct http_server *server, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!server->closing);
    server->closing = true;
    server->closed = closed;
    server->closed_ctx = ctx;
    uv_close(&server->local.socket.handle, on_listener_closed); /* libuv removes the socket file */
    if (server->port.open)
        uv_close(&server->port.socket.handle, on_listener_closed);
    for (struct connection *c = server->connections; c != NULL; c = c->next)
        http_connection_close(c);
}
