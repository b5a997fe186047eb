/* What http_server.c (the listening sockets, the life), http_server_connection.c (requests and answers of one peer) and http_server_transport.c (its bytes, under TLS
 * or not) share; nobody else includes this. */
#ifndef COORD_IO_HTTP_SERVER_CONNECTION_H
#define COORD_IO_HTTP_SERVER_CONNECTION_H

#include "io/http_server.h"
#include "io/http_server_text.h"

#include <llhttp.h>

#define READ_BYTES 16384

enum phase { HANDSHAKING, IDLE, RECEIVING, ANSWERING, WRITING, STREAMING, CLOSING };

struct http_exchange {
    struct http_server *server;
    struct connection *connection; /* NULL: gone */
    bool chunked;
    bool head; /* HEAD: the header alone */
    void (*on_gone)(void *ctx);
    void *ctx;
};

struct connection {
    struct http_server *server;
    struct http_listener *listener; /* that took it */
    struct connection *next;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } peer;
    uv_timer_t timer;
    unsigned handles_open;
    enum phase phase;
    struct tls *tls; /* NULL: bytes travel as they are */
    char address[HTTP_ADDRESS_MAX_BYTES];
    llhttp_t parser;
    bool request_complete, keep_alive, peer_ended;
    bool head;   /* the request is a HEAD: its answer, a refusal too, is the header alone */
    int refusal; /* HTTP code that a parser callback wants; 0: none */
    const char *refusal_text;
    size_t target_bytes, header_bytes, request_bytes, body_bytes, body_capacity;
    struct http_target target;
    char *body;
    char *ahead; /* READ_BYTES, allocated when needed */
    size_t ahead_bytes;
    size_t queue_bytes; /* not yet taken by the peer, when the timer last looked */
    struct http_exchange *exchange;
    struct http_request request;
    char input[READ_BYTES];
};

struct http_listener {
    struct http_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } socket;
    bool open;
    enum http_way way;
    gid_t group;             /* of the socket's file */
    struct tls_context *tls; /* HTTP_SECURE; borrowed */
    unsigned connection_count;
};

struct http_server {
    uv_loop_t *loop;
    struct http_server_options options;
    http_handler handler;
    void *ctx;
    struct http_listener local, port;
    bool closing;
    char *socket_path;
    struct connection *connections;
    unsigned connection_count, exchange_count;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- http_server.c ---- */

/* Calls `closed` and frees the server when nothing of it is left. */
void http_server_maybe_closed(struct http_server *s);
void http_server_refused(struct http_server *s, const char *address, const char *why);

/* ---- http_server_connection.c ---- */

/* Takes the connection that `listener` has ready. */
void http_connection_accept(struct http_listener *listener);
void http_connection_close(struct connection *c);
void http_connection_timer(struct connection *c, uint32_t after_ms); /* 0: off */
/* The peer is who it is: requests may come. */
void http_connection_begin(struct connection *c);
/* Plain bytes from the peer, at most READ_BYTES. Only while http_connection_wants() or STREAMING. */
void http_connection_bytes(struct connection *c, const char *bytes, size_t length);
bool http_connection_wants(const struct connection *c);
/* It will send nothing more. */
void http_connection_ended(struct connection *c);
/* What http_transport_write was given is out. */
void http_connection_written(struct connection *c, bool last);

/* ---- http_server_transport.c ---- */

/* The accepted stream's TLS, credentials and address; false: the connection was closed. */
bool http_transport_begin(struct connection *c);
void http_transport_free(struct connection *c);
/* Goes on reading; what came already and waits is given first. */
void http_transport_read(struct connection *c);
/* Copies. `last`: of an answer. http_connection_written fires once, later, unless the connection is closed before. */
void http_transport_write(struct connection *c, bool last, const uv_buf_t *parts, unsigned part_count);
size_t http_transport_queue_bytes(const struct connection *c);

#endif
