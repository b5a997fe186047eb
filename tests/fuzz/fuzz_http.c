#include "tests/fuzz/fuzz_http.h"

#include <errno.h>
#include <sys/socket.h>

#include "io/http_server_connection.h"
#include "tests/fuzz/fuzz.h"

#define TURNS_MAX 2000

static int accepted_fd = -1;

/* Linked in place of uv_accept: the connection is a pair of sockets. */
int __wrap_uv_accept(uv_stream_t *listener, uv_stream_t *client);
int __wrap_uv_accept(uv_stream_t *listener, uv_stream_t *client)
{
    (void)listener;
    return uv_pipe_open((uv_pipe_t *)client, accepted_fd);
}

void fuzz_peer_open(struct fuzz_peer *p, uv_loop_t *loop, struct http_server *server)
{
    int pair[2];

    *p = (struct fuzz_peer){ .loop = loop, .server = server };
    p->answer = malloc(FUZZ_HTTP_ANSWER_MAX_BYTES);
    ASSERT(p->answer != NULL);
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    p->fd = pair[0];
    accepted_fd = pair[1];
    http_connection_accept(&server->local);
}

/* Takes what the server wrote; true when there was something. */
static bool drain(struct fuzz_peer *p)
{
    ssize_t n = recv(p->fd, p->answer + p->answer_bytes, FUZZ_HTTP_ANSWER_MAX_BYTES - p->answer_bytes, 0);

    if (n > 0)
        p->answer_bytes += (size_t)n;
    ASSERT(p->answer_bytes < FUZZ_HTTP_ANSWER_MAX_BYTES);
    return n > 0;
}

static void turn(struct fuzz_peer *p)
{
    int quiet = 0;

    for (int i = 0; i < TURNS_MAX && quiet < 3; i++) {
        (void)uv_run(p->loop, UV_RUN_NOWAIT);
        quiet = drain(p) ? 0 : quiet + 1;
    }
}

void fuzz_peer_send(struct fuzz_peer *p, const void *bytes, size_t size)
{
    const char *at = bytes;
    int turns = 0;

    while (size > 0 && turns++ < TURNS_MAX) {
        ssize_t n = send(p->fd, at, size, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            return; /* closed on us */
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
        turn(p);
    }
}

void fuzz_peer_end(struct fuzz_peer *p)
{
    (void)shutdown(p->fd, SHUT_WR);
    for (int i = 0; i < TURNS_MAX && p->server->connection_count > 0; i++) {
        (void)uv_run(p->loop, UV_RUN_NOWAIT);
        (void)drain(p);
    }
    ASSERT(p->server->connection_count == 0);
    while (drain(p))
        ;
}

void fuzz_peer_close(struct fuzz_peer *p)
{
    ASSERT(close(p->fd) == 0);
    free(p->answer);
}

struct reading {
    struct fuzz_answers answers;
    bool (*is_head)(unsigned number);
    bool open, type_next;
};

static int on_begin(llhttp_t *parser)
{
    struct reading *r = parser->data;

    r->open = true;
    r->answers.json = false;
    r->answers.body = NULL;
    r->answers.body_bytes = 0;
    return HPE_OK;
}

static int on_field(llhttp_t *parser, const char *at, size_t length)
{
    struct reading *r = parser->data;

    r->type_next = length == strlen("Content-Type") && strncmp(at, "Content-Type", length) == 0;
    return HPE_OK;
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
    struct reading *r = parser->data;

    if (r->type_next)
        r->answers.json = length == strlen("application/json") && strncmp(at, "application/json", length) == 0;
    return HPE_OK;
}

static int on_headers(llhttp_t *parser)
{
    struct reading *r = parser->data;

    r->answers.code = parser->status_code;
    return r->is_head(r->answers.count) ? 1 : 0; /* 1: no body follows */
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct reading *r = parser->data;

    if (r->answers.body == NULL)
        r->answers.body = at;
    r->answers.body_bytes += length; /* one piece, except of a stream */
    return HPE_OK;
}

static int on_complete(llhttp_t *parser)
{
    struct reading *r = parser->data;

    r->open = false;
    r->answers.count++;
    return HPE_OK;
}

struct fuzz_answers fuzz_peer_answers(const struct fuzz_peer *p, bool (*is_head)(unsigned number))
{
    static const llhttp_settings_t settings = { .on_message_begin = on_begin,
                                                .on_header_field = on_field,
                                                .on_header_value = on_value,
                                                .on_headers_complete = on_headers,
                                                .on_body = on_body,
                                                .on_message_complete = on_complete };
    struct reading r = { .is_head = is_head };
    llhttp_t parser;

    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = &r;
    if (p->answer_bytes > 0) {
        enum llhttp_errno result = llhttp_execute(&parser, p->answer, p->answer_bytes);
        /* "Connection: close" was the last; an answer behind it would be an error. */
        ASSERT(result == HPE_OK);
        (void)llhttp_finish(&parser);
    }
    r.answers.whole = !r.open;
    return r.answers;
}
