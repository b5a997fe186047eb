/* A connection is in one phase at a time: HANDSHAKING (under TLS only) -> IDLE -> RECEIVING (first byte) -> ANSWERING (the handler has the request) -> WRITING ->
 * IDLE; a stream is STREAMING from its first line to its end. CLOSING is for good. Bytes that arrive while a request is being
 * answered wait in `ahead`, up to one read; then the kernel's buffer, and with it the peer, has to wait.
 *
 * Failure modes: a malformed or oversized request is answered and the connection closed; a slow one runs into the timer; a peer that
 * vanishes closes the connection, its exchange is told (stream) or its answer dropped (plain). */
#include "io/http_server_connection.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything of one request with what no callback counts: chunk sizes and extensions, empty lines. */
#define REQUEST_MAX_BYTES (HTTP_TARGET_MAX_BYTES + HTTP_HEADERS_MAX_BYTES + HTTP_BODY_MAX_BYTES + 65536)

static void connection_next(struct connection *c);

static void exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;

    if (x->connection != NULL)
        x->connection->exchange = NULL;
    free(x);
    s->exchange_count--;
    http_server_maybe_closed(s);
}

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct http_server *s = c->server;
    struct connection **link = &s->connections;
    struct http_exchange *stream = c->exchange;

    if (--c->handles_open > 0)
        return;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    c->listener->connection_count--;
    http_transport_free(c);
    free(c->body);
    free(c->ahead);
    free(c);
    if (stream != NULL) { /* a stream whose owner does not know yet */
        void (*on_gone)(void *ctx) = stream->on_gone;
        void *ctx = stream->ctx;
        stream->connection = NULL;
        s->exchange_count--;
        free(stream);
        on_gone(ctx);
    }
    s->connection_count--;
    http_server_maybe_closed(s);
}

void http_connection_close(struct connection *c)
{
    if (c->phase == CLOSING)
        return;
    if (c->phase == ANSWERING && c->exchange != NULL) { /* its answer will be dropped */
        c->exchange->connection = NULL;
        c->exchange = NULL;
    }
    c->phase = CLOSING;
    uv_close(&c->peer.handle, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer);

void http_connection_timer(struct connection *c, uint32_t after_ms)
{
    c->queue_bytes = http_transport_queue_bytes(c);
    if (after_ms == 0)
        ASSERT(uv_timer_stop(&c->timer) == 0);
    else
        ASSERT(uv_timer_start(&c->timer, on_timer, after_ms, 0) == 0);
}

static void refuse(struct connection *c, int code, const char *message);

static void on_timer(uv_timer_t *timer)
{
    struct connection *c = timer->data;
    size_t queue_bytes = http_transport_queue_bytes(c);

    if (c->phase == HANDSHAKING)
        http_server_refused(c->server, c->address, "it did not end its handshake in time");
    if (c->phase == RECEIVING)
        refuse(c, 408, "the request was not complete in time");
    else if ((c->phase == WRITING || c->phase == STREAMING) && queue_bytes < c->queue_bytes)
        http_connection_timer(c, c->server->options.write_timeout_ms); /* slow, but it takes */
    else
        http_connection_close(c);
}

/* ---- writing ---- */

void http_connection_written(struct connection *c, bool last)
{
    if (last && (!c->keep_alive || c->peer_ended))
        http_connection_close(c);
    else if (last)
        connection_next(c);
    else if (c->phase == STREAMING && http_transport_queue_bytes(c) == 0)
        http_connection_timer(c, 0);
}

static void write_parts(struct connection *c, bool last, const char *first, size_t first_bytes, const void *second,
                        size_t second_bytes, const char *third, size_t third_bytes)
{
    uv_buf_t parts[3] = { uv_buf_init((char *)(uintptr_t)first, (unsigned)first_bytes),
                          uv_buf_init((char *)(uintptr_t)second, (unsigned)second_bytes),
                          uv_buf_init((char *)(uintptr_t)third, (unsigned)third_bytes) };

    http_transport_write(c, last, parts, 3);
    if (c->phase != CLOSING && (!uv_is_active((uv_handle_t *)&c->timer) || last))
        http_connection_timer(c, c->server->options.write_timeout_ms);
}

/* The whole answer of this connection's request. */
static void answer(struct connection *c, int code, const char *content_type, const void *body, size_t body_bytes,
                   bool head)
{
    char header[512];
    int length = snprintf(header, sizeof header,
                          "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
                          "X-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
                          code, http_reason(code), content_type, body_bytes, c->keep_alive ? "keep-alive" : "close");

    ASSERT(length > 0 && (size_t)length < sizeof header);
    c->phase = WRITING;
    write_parts(c, true, header, (size_t)length, body, head ? 0 : body_bytes, NULL, 0);
}

/* Our own no; what the peer sends after it cannot be trusted to begin a request. */
static void refuse(struct connection *c, int code, const char *message)
{
    char body[256];

    http_refusal_body(code, message, body, sizeof body);
    c->keep_alive = false;
    (void)uv_read_stop(&c->peer.stream);
    answer(c, code, "application/json", body, strlen(body), c->head);
}

/* ---- parsing ---- */

static bool unknown(const struct connection *c);

static int parser_refuse(struct connection *c, int code, const char *text)
{
    c->refusal = code;
    c->refusal_text = text;
    return HPE_USER;
}

static int on_message_begin(llhttp_t *parser)
{
    struct connection *c = parser->data;

    c->target_bytes = c->header_bytes = c->body_bytes = 0;
    c->request_complete = c->head = false;
    return HPE_OK;
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;

    c->head = parser->method == HTTP_HEAD;
    if (c->target_bytes + length > HTTP_TARGET_MAX_BYTES)
        return parser_refuse(c, 414, "the path and query are too long");
    memcpy(c->target.text + c->target_bytes, at, length);
    c->target_bytes += length;
    return HPE_OK;
}

static int on_header_bytes(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;

    (void)at;
    c->header_bytes += length + 2; /* what stands between field and value, and the line's end */
    if (c->header_bytes > HTTP_HEADERS_MAX_BYTES)
        return parser_refuse(c, 431, "the header is too long");
    return HPE_OK;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;

    if (parser->content_length > HTTP_BODY_MAX_BYTES)
        return parser_refuse(c, 413, "the body is too long");
    return HPE_OK;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;

    if (c->body_bytes + length > HTTP_BODY_MAX_BYTES)
        return parser_refuse(c, 413, "the body is too long");
    if (c->body_bytes + length > c->body_capacity) {
        c->body_capacity = c->body_bytes + length > 4096 ? HTTP_BODY_MAX_BYTES : 4096;
        c->body = realloc(c->body, c->body_capacity + 1);
        ASSERT(c->body != NULL);
    }
    memcpy(c->body + c->body_bytes, at, length);
    c->body_bytes += length;
    return HPE_OK;
}

static int on_message_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;

    c->request_complete = true;
    c->keep_alive = llhttp_should_keep_alive(parser) != 0 && !unknown(c);
    return HPE_PAUSED; /* what follows belongs to the next request */
}

static const llhttp_settings_t *parser_settings(void)
{
    static const llhttp_settings_t settings = { .on_message_begin = on_message_begin,
                                                .on_url = on_url,
                                                .on_header_field = on_header_bytes,
                                                .on_header_value = on_header_bytes,
                                                .on_headers_complete = on_headers_complete,
                                                .on_body = on_body,
                                                .on_message_complete = on_message_complete };
    return &settings;
}

/* Hands the complete request to the handler, which may answer at once. */
static void dispatch(struct connection *c)
{
    struct http_exchange *x;

    c->target.text[c->target_bytes] = '\0';
    if (strlen(c->target.text) != c->target_bytes || !http_target_parse(&c->target)) {
        refuse(c, 400, "the path or query is malformed");
        return;
    }
    x = calloc(1, sizeof *x);
    ASSERT(x != NULL);
    x->server = c->server;
    x->connection = c;
    x->chunked = c->parser.http_major > 1 || (c->parser.http_major == 1 && c->parser.http_minor >= 1);
    x->head = c->head;
    c->server->exchange_count++;
    c->exchange = x;
    c->phase = ANSWERING;
    http_connection_timer(c, 0); /* the handler's patience is its own */
    if (c->body != NULL)
        c->body[c->body_bytes] = '\0';
    c->request.method = llhttp_method_name((llhttp_method_t)c->parser.method);
    c->request.path = c->target.path;
    c->request.parameters = c->target.parameters;
    c->request.parameter_count = c->target.parameter_count;
    c->request.body = c->body != NULL ? c->body : "";
    c->request.body_bytes = c->body_bytes;
    c->server->handler(c->server->ctx, x, &c->request);
}

/* Parses up to the end of one request. Returns how many bytes were used. */
static size_t parse(struct connection *c, const char *bytes, size_t length)
{
    enum llhttp_errno result;
    size_t used = length;

    if (c->phase == IDLE) {
        c->phase = RECEIVING;
        c->request_bytes = 0;
        http_connection_timer(c, c->server->options.request_timeout_ms);
    }
    result = llhttp_execute(&c->parser, bytes, length);
    if (result == HPE_PAUSED && c->request_complete) {
        used = (size_t)(llhttp_get_error_pos(&c->parser) - bytes);
        llhttp_resume(&c->parser);
        dispatch(c);
        return used;
    }
    c->request_bytes += length;
    if (result != HPE_OK)
        refuse(c, c->refusal != 0 ? c->refusal : 400,
               c->refusal != 0 ? c->refusal_text : "the request is no well-formed HTTP");
    else if (c->request_bytes > REQUEST_MAX_BYTES)
        refuse(c, 413, "the request is too long");
    return used;
}

bool http_connection_wants(const struct connection *c)
{
    return c->phase == IDLE || c->phase == RECEIVING;
}

/* Every byte from the peer comes through here, whatever carried it. */
void http_connection_bytes(struct connection *c, const char *bytes, size_t length)
{
    while (length > 0 && http_connection_wants(c)) {
        size_t used = parse(c, bytes, length);
        bytes += used;
        length -= used;
    }
    if (length == 0 || c->phase == CLOSING)
        return;
    if (c->phase == STREAMING) { /* nothing can follow a stream */
        http_connection_close(c);
        return;
    }
    if (c->ahead == NULL)
        c->ahead = malloc(READ_BYTES);
    ASSERT(c->ahead != NULL);
    ASSERT(c->ahead_bytes + length <= READ_BYTES);
    memmove(c->ahead + c->ahead_bytes, bytes, length);
    c->ahead_bytes += length;
    if (c->ahead_bytes > 0)
        (void)uv_read_stop(&c->peer.stream); /* one read ahead is enough */
}

void http_connection_ended(struct connection *c)
{
    if (c->phase == ANSWERING || c->phase == WRITING) {
        c->peer_ended = true; /* it has said all it wanted and still waits for the answer */
        (void)uv_read_stop(&c->peer.stream);
    } else {
        http_connection_close(c);
    }
}

/* The answer is out: the next request may have arrived already. */
static void connection_next(struct connection *c)
{
    size_t waiting = c->ahead_bytes;
    char *bytes = c->ahead;

    c->phase = IDLE;
    http_connection_timer(c, c->server->options.idle_timeout_ms);
    if (waiting > 0) {
        c->ahead = NULL; /* parsing may put what is left into a fresh one */
        c->ahead_bytes = 0;
        http_connection_bytes(c, bytes, waiting);
        free(bytes);
    }
    if (c->phase != CLOSING && (c->keep_alive || c->phase == STREAMING) && c->ahead_bytes == 0)
        http_transport_read(c);
}

/* ---- accepting ---- */

/* On the port, without a certificate: whoever can reach the port can be this one. */
static bool unknown(const struct connection *c)
{
    return c->listener->way != HTTP_LOCAL && c->request.identity.kind == TLS_NOBODY;
}

void http_connection_begin(struct connection *c)
{
    c->phase = IDLE;
    http_connection_timer(c, unknown(c) ? c->server->options.request_timeout_ms : c->server->options.idle_timeout_ms);
}

/* The oldest unknown connection gives way to a new one: strangers who hold connections open, or make many, keep no operator out. False: there is none. */
static bool make_room(struct http_listener *l)
{
    struct connection *oldest = NULL;

    for (struct connection *c = l->server->connections->next; c != NULL;
         c = c->next) /* newest first; the first is the new one */
        if (c->listener == l && c->phase != CLOSING && unknown(c))
            oldest = c;
    if (oldest == NULL)
        return false;
    http_server_refused(l->server, oldest->address, "it made room for a newer connection");
    http_connection_close(oldest);
    return true;
}

void http_connection_accept(struct http_listener *l)
{
    struct connection *c = calloc(1, sizeof *c);
    struct http_server *s = l->server;

    ASSERT(c != NULL);
    c->server = s;
    c->listener = l;
    c->keep_alive = true;
    c->handles_open = 2;
    if (l->way == HTTP_LOCAL)
        ASSERT(uv_pipe_init(s->loop, &c->peer.pipe, 0) == 0);
    else
        ASSERT(uv_tcp_init(s->loop, &c->peer.tcp) == 0);
    ASSERT(uv_timer_init(s->loop, &c->timer) == 0);
    c->peer.handle.data = c;
    c->timer.data = c;
    c->next = s->connections;
    s->connections = c;
    s->connection_count++;
    l->connection_count++;
    llhttp_init(&c->parser, HTTP_REQUEST, parser_settings());
    c->parser.data = c;
    if (uv_accept(&l->socket.stream, &c->peer.stream) != 0) {
        http_connection_close(c);
        return;
    }
    if (!http_transport_begin(c))
        return;
    if (l->connection_count > HTTP_CONNECTIONS_MAX && !make_room(l)) {
        if (l->way != HTTP_LOCAL)
            http_server_refused(s, c->address, "too many connections are open");
        http_connection_close(c);
        return;
    }
    if (c->tls != NULL)
        http_connection_timer(c, s->options.handshake_timeout_ms);
    else
        http_connection_begin(c);
    http_transport_read(c);
}

/* ---- answering ---- */

void http_answer(struct http_exchange *exchange, int code, const char *content_type, const void *body,
                 size_t body_bytes)
{
    struct connection *c = exchange->connection;
    bool head = exchange->head;

    ASSERT(code >= 100 && code <= 599);
    if (c != NULL) {
        ASSERT(c->phase == ANSWERING);
        answer(c, code, content_type, body, body_bytes, head);
    }
    exchange_free(exchange);
}

void http_stream_begin(struct http_exchange *exchange, int code, const char *content_type, void (*on_gone)(void *ctx),
                       void *ctx)
{
    struct connection *c = exchange->connection;
    char header[512];
    int length =
        snprintf(header, sizeof header,
                 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\nConnection: close\r\n%s\r\n",
                 code, http_reason(code), content_type, exchange->chunked ? "Transfer-Encoding: chunked\r\n" : "");

    ASSERT(length > 0 && (size_t)length < sizeof header);
    ASSERT(c != NULL); /* begun by the handler itself, before anything could be lost */
    ASSERT(c->phase == ANSWERING);
    exchange->on_gone = on_gone;
    exchange->ctx = ctx;
    c->keep_alive = false;
    c->phase = STREAMING;
    write_parts(c, false, header, (size_t)length, NULL, 0, NULL, 0);
}

void http_stream_write(struct http_exchange *exchange, const void *data, size_t data_bytes)
{
    struct connection *c = exchange->connection;
    char size[24];

    if (c->phase == CLOSING || data_bytes == 0)
        return; /* on_gone is on its way */
    if (http_transport_queue_bytes(c) + data_bytes > HTTP_BACKLOG_MAX_BYTES) {
        http_connection_close(c);
        return;
    }
    (void)snprintf(size, sizeof size, "%zx\r\n", data_bytes);
    if (exchange->chunked)
        write_parts(c, false, size, strlen(size), data, data_bytes, "\r\n", 2);
    else
        write_parts(c, false, "", 0, data, data_bytes, NULL, 0);
}

void http_stream_end(struct http_exchange *exchange)
{
    struct connection *c = exchange->connection;

    if (c->phase != CLOSING) {
        if (exchange->chunked)
            write_parts(c, true, "0\r\n\r\n", 5, NULL, 0, NULL, 0);
        else
            write_parts(c, true, "", 0, NULL, 0, NULL, 0);
        if (c->phase != CLOSING)
            c->phase = WRITING;
    }
    exchange_free(exchange);
}
