/* HTTP(S) requests by libcurl's multi interface on the loop. Names are resolved by io/resolve and handed to libcurl as addresses, so
 * that it never blocks; the deadline is a timer of ours. No redirect is followed, no proxy of the environment is used. What a status
 * code means is the caller's decision. */
#ifndef COORD_IO_HTTP_CLIENT_H
#define COORD_IO_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "io/resolve.h"

#define HTTP_HEADERS_MAX 16
#define HTTP_BODY_MAX (256 * 1024)

struct http_client; /* opaque: a multi handle, its polls and timer; keeps idle connections */
struct http;        /* opaque: one request; frees itself after `done` */

struct http_request {
    const char *method;         /* "GET", "POST", "HEAD", "PUT", "DELETE" */
    const char *url;            /* http or https */
    const char *const *headers; /* NULL, or NULL-terminated "Name: value" */
    const char *body;           /* NULL: none */
    size_t body_bytes;
    uint32_t timeout_ms;       /* whole request, resolution included */
    size_t response_bytes_max; /* of the body; more is dropped and `body_cut` set. At most HTTP_BODY_MAX */
    bool fresh_connection;     /* neither reuse a connection nor leave one behind */
    const char *ca_file;       /* https: NULL = the system's authorities */
};

struct http_response {
    int status_code;
    const char *body; /* NUL-terminated */
    size_t body_bytes;
    bool body_cut;
    int64_t rtt_us; /* from begin to the last byte */
};

struct http_client *http_client_create(uv_loop_t *loop, struct resolver *resolver, struct error *err);
uv_loop_t *http_client_loop(const struct http_client *client);
/* No request may be open. `closed` fires once, later. */
void http_client_close(struct http_client *client, void (*closed)(void *ctx), void *ctx);

/* `response` is NULL unless `err` is. Any complete HTTP answer is a success here. STATUS_UNREACHABLE, STATUS_TIMED_OUT, STATUS_NOT_FOUND
 * (the name), STATUS_INVALID (the URL), STATUS_FAILED (not HTTP, TLS refused, cut off), STATUS_CANCELED. */
typedef void (*http_cb)(void *ctx, const struct http_response *response, const struct error *err);

/* Copies `request` with all its texts. */
struct http *http_begin(struct http_client *client, const struct http_request *request, http_cb done, void *ctx);
void http_cancel(struct http *h);

#endif
