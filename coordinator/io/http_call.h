/* A blocking HTTP request over a unix socket or under TLS, for programs that have nothing else to do (coordctl). Never used by coordd. One request
 * per connection. Every wait is bounded by the caller's deadline. */
#ifndef COORD_IO_HTTP_CALL_H
#define COORD_IO_HTTP_CALL_H

#include "base/status.h"
#include "io/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_CALL_BODY_MAX_BYTES (8 * 1024 * 1024)

struct http_call_request {
    const char *socket_path;
    const char *
        server; /* "host:port": under TLS instead of the socket, with `tls`; the server must be a node of that cluster */
    struct tls_context *tls; /* borrowed */
    const char *method;
    const char *target; /* encoded: "/v1/events?follow=1" */
    const char *body;   /* NULL: none; else JSON */
    int64_t timeout_ms; /* for everything; for a stream: until its headers are there */
    /* NULL: the body is collected. Else it is handed over piece by piece, without a deadline, until false is returned. */
    bool (*on_data)(void *ctx, const char *data, size_t data_bytes);
    void *ctx;
};

struct http_call_answer {
    int code;
    char *body; /* NUL-terminated; also for an error answer to a stream request. Gives: http_call_answer_free */
    size_t body_bytes;
};

/* STATUS_OK for any HTTP answer, whatever its code. UNREACHABLE: nothing was sent. UNKNOWN: it was sent and the connection broke before
 * an answer. TIMED_OUT. CORRUPT: the answer is no HTTP or too long, or no TLS. REFUSED: one side does not accept the other's certificate. */
enum status http_call(const struct http_call_request *request, struct http_call_answer *answer, struct error *err);
void http_call_answer_free(struct http_call_answer *answer);

/* Percent-encodes one path segment or query value. Returns false when it does not fit. */
bool http_encode(const char *text, char *out, size_t capacity_bytes);

#endif
