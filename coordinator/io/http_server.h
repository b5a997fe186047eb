/* An HTTP/1.1 server on the loop: on a unix socket, and on a TCP port under TLS (a certificate of the client is verified, and may be missing) or, for
 * loopback, in the open. Who is at the other end stands in each request; what they may do is the handler's business.
 * Decides what a well-formed request is and how big and slow one may be; what it means is the handler's business. Every malformed,
 * oversized or slow request is answered here (with the API's error body) and never reaches the handler. Requests of one
 * connection are handed over one by one: a pipelined one waits for the answer to the one before. The process must ignore SIGPIPE: libuv writes to sockets whose peer has gone. */
#ifndef COORD_IO_HTTP_SERVER_H
#define COORD_IO_HTTP_SERVER_H

#include "base/status.h"
#include "io/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define HTTP_TARGET_MAX_BYTES 2048 /* path and query as sent */
#define HTTP_HEADERS_MAX_BYTES (16 * 1024)
#define HTTP_BODY_MAX_BYTES (256 * 1024)
/* On the socket, and as many on the port. Further ones are closed; on the port, the oldest one without a certificate gives way first. */
#define HTTP_CONNECTIONS_MAX 64
#define HTTP_ADDRESS_MAX_BYTES 64
#define HTTP_BACKLOG_MAX_BYTES (1024 * 1024) /* written and not yet taken by the peer; a stream beyond it is ended */
#define HTTP_PARAMETERS_MAX 8

struct http_parameter {
    const char *key, *value; /* decoded; a value left out is "" */
};

/* How a request came. */
enum http_way { HTTP_LOCAL, HTTP_SECURE, HTTP_OPEN };

/* Borrowed until the handler returns. */
struct http_request {
    const char *method; /* "GET" */
    const char *path;   /* percent-decoded, begins with '/', without the query; holds no NUL */
    const struct http_parameter *parameters;
    size_t parameter_count;
    const char *body; /* NUL-terminated for convenience */
    size_t body_bytes;
    enum http_way way;
    const char *address; /* of the peer: "192.0.2.1:50312"; "local" on the socket */
    /* HTTP_LOCAL: the kernel's word about the process at the other end, as it was when it connected. */
    bool peer_known;
    uint32_t peer_uid, peer_gid;
    int32_t peer_pid;
    bool peer_in_group; /* it belongs to the group of the socket's file */
    /* HTTP_SECURE: for whom the peer's certificate speaks; nobody when it showed none, and on the other ways. */
    struct tls_identity identity;
};

/* The value of a query parameter, or NULL. */
const char *http_parameter(const struct http_request *request, const char *key);

struct
    http_exchange; /* one request that waits for its answer; valid until http_answer or http_stream_end, or, for a stream, on_gone */

/* Must answer: now or later, exactly once. If the peer has gone meanwhile, the answer is dropped. */
typedef void (*http_handler)(void *ctx, struct http_exchange *exchange, const struct http_request *request);

struct http_server_options {
    uint32_t request_timeout_ms;   /* from a request's first byte to its last; 0: 10 s */
    uint32_t idle_timeout_ms;      /* between requests; 0: 60 s */
    uint32_t write_timeout_ms;     /* without the peer taking a byte; 0: 30 s */
    uint32_t handshake_timeout_ms; /* TLS; 0: 5 s */
    /* A connection on the port that was closed before it became a request; NULL: nobody wants to know. `ctx` is the handler's. */
    void (*on_refused)(void *ctx, const char *address, const char *why);
};

struct http_server; /* owns its socket, its connections and their timers */

struct http_server *http_server_create(uv_loop_t *loop, const struct http_server_options *options, http_handler handler,
                                       void *ctx);
/* Takes over the socket file of a process that ended; refuses one that is being served. Mode 0660. */
enum status http_server_listen(struct http_server *server, const char *socket_path, struct error *err);
/* The same for a TCP port; `address` is numeric, "127.0.0.1:7401". `tls` NULL: in the open. Borrows `tls` until http_server_destroy; what is reloaded in it holds
 * for new connections. */
enum status http_server_listen_tcp(struct http_server *server, const char *address, struct tls_context *tls,
                                   struct error *err);
/* Stops listening, removes the socket file, closes every connection (streams get on_gone) and calls `closed` when the last handle is
 * closed. `closed` waits for exchanges that are still unanswered and may then be called by http_answer itself. Frees the server before it. */
void http_server_destroy(struct http_server *server, void (*closed)(void *ctx), void *ctx);

/* The whole answer. Copies. `code` 100..599; `content_type` is constant text. */
void http_answer(struct http_exchange *exchange, int code, const char *content_type, const void *body,
                 size_t body_bytes);
/* An answer in pieces. `on_gone` fires once, later, when the peer has gone or was too slow; the exchange is invalid from then on. */
void http_stream_begin(struct http_exchange *exchange, int code, const char *content_type, void (*on_gone)(void *ctx),
                       void *ctx);
void http_stream_write(struct http_exchange *exchange, const void *data, size_t data_bytes);
void http_stream_end(struct http_exchange *exchange);

#endif
