/* The bytes of one connection: what the socket gives goes, decrypted if need be, to http_connection_bytes; what the connection writes goes out, encrypted if
 * need be. Backpressure: while a request is being answered, what was received stays where it is (encrypted, inside `tls`) and the socket is not read.
 *
 * Failure modes: a peer that TLS refuses, or that does not end its handshake in time, is told why by TLS, counted and closed, and never seen by the rest. */
#include "io/http_server_connection.h"

#include "base/check.h"
#include "base/text.h"
#include "io/address.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define GROUPS_MAX 256

struct writing {
    uv_write_t request;
    struct connection *connection;
    bool last; /* of the answer */
    char bytes[];
};

/* ---- writing ---- */

static void on_written(uv_write_t *request, int uv_status)
{
    struct writing *w = (struct writing *)request;
    struct connection *c = w->connection;
    bool last = w->last;

    free(w);
    if (c->phase == CLOSING)
        return;
    if (uv_status != 0)
        http_connection_close(c);
    else
        http_connection_written(c, last);
}

static struct writing *writing_create(struct connection *c, bool last, size_t bytes)
{
    struct writing *w = malloc(sizeof *w + bytes);

    ASSERT(w != NULL);
    w->connection = c;
    w->last = last;
    return w;
}

static void writing_begin(struct writing *w, size_t bytes)
{
    struct connection *c = w->connection;
    uv_buf_t buffer = uv_buf_init(w->bytes, (unsigned)bytes);

    if (uv_write(&w->request, &c->peer.stream, &buffer, 1, on_written) != 0) {
        free(w);
        http_connection_close(c);
    }
}

/* What TLS wants to say goes out. False: there was nothing. */
static bool flush(struct connection *c, bool last)
{
    size_t bytes = tls_output_bytes(c->tls);
    struct writing *w;

    if (bytes == 0 || c->phase == CLOSING)
        return false;
    w = writing_create(c, last, bytes);
    bytes = tls_output(c->tls, (uint8_t *)w->bytes, bytes);
    writing_begin(w, bytes);
    return true;
}

void http_transport_write(struct connection *c, bool last, const uv_buf_t *parts, unsigned part_count)
{
    struct error err = ERROR_NONE;
    struct writing *w;
    size_t bytes = 0;

    for (unsigned i = 0; i < part_count && c->tls != NULL; i++)
        if (tls_write(c->tls, (const uint8_t *)parts[i].base, parts[i].len, &err) != STATUS_OK) {
            http_connection_close(c);
            return;
        }
    if (c->tls != NULL) {
        if (last && (!c->keep_alive || c->peer_ended))
            tls_end(c->tls);
        if (!flush(c, last) && last)
            http_connection_close(c);
        return;
    }
    for (unsigned i = 0; i < part_count; i++)
        bytes += parts[i].len;
    w = writing_create(c, last, bytes);
    bytes = 0;
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].len > 0)
            memcpy(w->bytes + bytes, parts[i].base, parts[i].len);
        bytes += parts[i].len;
    }
    writing_begin(w, bytes);
}

size_t http_transport_queue_bytes(const struct connection *c)
{
    return uv_stream_get_write_queue_size(&c->peer.stream);
}

/* ---- reading ---- */

/* The peer is refused; TLS tells it why, if it speaks TLS at all. */
static void refuse(struct connection *c, const char *why)
{
    http_server_refused(c->server, c->address, why);
    c->keep_alive = false;
    c->phase = WRITING;
    (void)uv_read_stop(&c->peer.stream);
    http_connection_timer(c, c->server->options.handshake_timeout_ms);
    if (!flush(c, true))
        http_connection_close(c);
}

/* Hands over what is decrypted, as far as it is wanted. */
static void pull(struct connection *c)
{
    struct error err = ERROR_NONE;
    uint8_t plain[READ_BYTES];
    size_t length = 0;

    while (c->phase == STREAMING || http_connection_wants(c)) {
        if (tls_read(c->tls, plain, sizeof plain, &length, &err) != STATUS_OK) {
            (void)flush(
                c, false); /* the alert; what was queued before uv_close is lost with it, and the peer is at fault */
            http_connection_close(c);
            return;
        }
        if (length == 0) {
            if (tls_ended(c->tls))
                http_connection_ended(c);
            return;
        }
        http_connection_bytes(c, (const char *)plain, length);
    }
}

static void take_encrypted(struct connection *c, const uint8_t *bytes, size_t length)
{
    struct error err = ERROR_NONE;

    if (tls_receive(c->tls, bytes, length, &err) != STATUS_OK) {
        if (c->phase == HANDSHAKING)
            refuse(c, err.text);
        else
            http_connection_close(c);
        return;
    }
    if (c->phase == HANDSHAKING) {
        (void)flush(c, false);
        if (c->phase == CLOSING || !tls_established(c->tls))
            return;
        c->request.identity = *tls_peer(c->tls);
        http_connection_begin(c);
    }
    if (c->phase != STREAMING && !http_connection_wants(c))
        (void)uv_read_stop(&c->peer.stream); /* one read ahead is enough */
    else
        pull(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct connection *c = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(c->input, sizeof c->input);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;

    if (c->phase == CLOSING || length == 0)
        return;
    if (length == UV_EOF)
        http_connection_ended(c);
    else if (length < 0)
        http_connection_close(c);
    else if (c->tls != NULL)
        take_encrypted(c, (const uint8_t *)buffer->base, (size_t)length);
    else
        http_connection_bytes(c, buffer->base, (size_t)length);
}

void http_transport_read(struct connection *c)
{
    int result = uv_read_start(&c->peer.stream, on_alloc, on_read);

    if (result != 0 && result != UV_EALREADY)
        http_connection_close(c);
    else if (c->tls != NULL && tls_established(c->tls))
        pull(c);
}

/* ---- who is there ---- */

static bool in_group(int fd, gid_t wanted, gid_t primary)
{
    gid_t groups[GROUPS_MAX];
    socklen_t length = sizeof groups;

    if (primary == wanted)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0)
        return false;
    for (size_t i = 0; i < length / sizeof groups[0]; i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

static void read_credentials(struct connection *c)
{
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    uv_os_fd_t fd;

    if (uv_fileno(&c->peer.handle, &fd) != 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return; /* peer_known stays false */
    c->request.peer_known = true;
    c->request.peer_uid = credentials.uid;
    c->request.peer_gid = credentials.gid;
    c->request.peer_pid = credentials.pid;
    c->request.peer_in_group = in_group(fd, c->listener->group, credentials.gid);
}

static void read_address(struct connection *c)
{
    struct sockaddr_storage address;
    int length = sizeof address;

    memset(&address, 0, sizeof address);
    text_set(c->address, sizeof c->address, "unknown"); /* it has gone already */
    if (uv_tcp_getpeername(&c->peer.tcp, (struct sockaddr *)&address, &length) == 0)
        (void)address_text(&address, true, c->address, sizeof c->address);
}

bool http_transport_begin(struct connection *c)
{
    struct tls_options options = { .side = TLS_SERVER, .certificate_optional = true };
    struct error err = ERROR_NONE;

    c->request.way = c->listener->way;
    c->request.address = c->address;
    if (c->listener->way == HTTP_LOCAL) {
        text_set(c->address, sizeof c->address, "local");
        read_credentials(c);
        return true;
    }
    read_address(c);
    (void)uv_tcp_nodelay(&c->peer.tcp, 1); /* slower without, no less right */
    if (c->listener->way == HTTP_OPEN)
        return true;
    c->tls = tls_create(c->listener->tls, &options, &err);
    if (c->tls != NULL)
        return true;
    http_server_refused(c->server, c->address, err.text);
    http_connection_close(c);
    return false;
}

void http_transport_free(struct connection *c)
{
    tls_destroy(c->tls);
}
