/* A peer of an HTTP server on this loop, without a listening socket: what it sends, what it got back, and whether that is HTTP. */
#ifndef COORD_TESTS_FUZZ_HTTP_H
#define COORD_TESTS_FUZZ_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_server;

#define FUZZ_HTTP_ANSWER_MAX_BYTES (4u * 1024 * 1024)

struct fuzz_peer {
    uv_loop_t *loop;
    struct http_server *server;
    int fd;
    char *answer; /* all that came back */
    size_t answer_bytes;
};

struct fuzz_answers {
    unsigned count; /* complete ones */
    bool whole;     /* nothing is left behind the last, and no answer is cut */
    int code;       /* of the last */
    bool json;      /* its type */
    const char *body;
    size_t body_bytes;
};

/* The server takes a new connection from us. */
void fuzz_peer_open(struct fuzz_peer *p, uv_loop_t *loop, struct http_server *server);
/* Sends, and lets the loop turn until nothing moves. */
void fuzz_peer_send(struct fuzz_peer *p, const void *bytes, size_t size);
/* Says that nothing more comes, and reads to the server's end; fails when the server does not close. */
void fuzz_peer_end(struct fuzz_peer *p);
void fuzz_peer_close(struct fuzz_peer *p);

/* What came back, as a client reads it; fails when it is no HTTP. `is_head` says whether the answer of that number is to a HEAD. */
struct fuzz_answers fuzz_peer_answers(const struct fuzz_peer *p, bool (*is_head)(unsigned number));

#endif
