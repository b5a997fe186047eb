/* One blocking connection to a server: over a unix socket, or over TCP under TLS. Every wait ends at the deadline. For http_call.c; nobody else includes
 * this. */
#ifndef COORD_IO_HTTP_CALL_LINK_H
#define COORD_IO_HTTP_CALL_LINK_H

#include "io/http_call.h"

struct http_link {
    int fd; /* -1: none */
    struct tls *tls;
    const char *name; /* of the server, for messages; borrowed */
    int64_t timeout_ms, deadline_us;
    bool endless; /* no deadline any more */
};

/* Connects; under TLS also checks that the server is a node of the cluster. UNREACHABLE, TIMED_OUT, INVALID (the address); REFUSED, CORRUPT (TLS).
 * Nothing of the request was sent. Close it in any case. */
enum status http_link_open(struct http_link *link, const struct http_call_request *request, struct error *err);

/* OK also when the server has stopped reading: a request that is refused early is answered all the same. */
enum status http_link_send(struct http_link *link, const char *bytes, size_t length, struct error *err);

/* *length 0: the server has ended. UNKNOWN: the connection broke. REFUSED: the server does not accept this side's certificate. */
enum status http_link_receive(struct http_link *link, char *out, size_t capacity, size_t *length, struct error *err);

void http_link_close(struct http_link *link);

#endif
