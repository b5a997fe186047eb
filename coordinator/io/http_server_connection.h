/* What http_server.c (the socket, its life) and http_server_connection.c (one peer) share; nobody else includes this. */
#ifndef COORD_IO_HTTP_SERVER_CONNECTION_H
#define COORD_IO_HTTP_SERVER_CONNECTION_H

#include "io/http_server.h"
#include "io/http_server_text.h"

#include <llhttp.h>

#define READ_BYTES 16384

enum phase { IDLE, RECEIVING, ANSWERING, WRITING, STREAMING, CLOSING };

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
    struct connection *next;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
    } peer;
    uv_timer_t timer;
    unsigned handles_open;
    enum phase phase;
    llhttp_t parser;
    bool request_complete, keep_alive, peer_ended;
    bool head; /* the request is a HEAD: its answer, a refusal too, is the header alone */
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

struct http_server {
    uv_loop_t *loop;
    struct http_server_options options;
    http_handler handler;
    void *ctx;
    uv_pipe_t listener;
    bool listener_open, closing;
    char *socket_path;
    struct connection *connections;
    unsigned connection_count, exchange_count;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Takes the connection that `listener` has ready. */
void http_connection_accept(struct http_server *s, uv_stream_t *listener);
void http_connection_close(struct connection *c);

/* Calls `closed` and frees the server when nothing of it is left. */
void http_server_maybe_closed(struct http_server *s);

#endif
