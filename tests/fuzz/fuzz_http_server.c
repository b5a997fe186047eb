/* io: an HTTP server's connection. The input is what a peer sends, in pieces of the first byte's size. The handler is given only well-formed
 * requests; everything that is answered is HTTP; the connection ends when the peer does, and no exchange stays behind. */
#include "io/http_server_connection.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_http.h"

#define REQUESTS_MAX 4096

static uv_loop_t loop;
static struct http_server *server;
static struct http_exchange *later, *stream;
static unsigned handled;
static bool streamed;
static bool heads[REQUESTS_MAX];
static bool refusal_of_head; /* of a request that the handler never saw, nobody here knows */

static void on_gone(void *ctx)
{
    (void)ctx;
    stream = NULL;
}

static void on_request(void *ctx, struct http_exchange *x, const struct http_request *r)
{
    (void)ctx;
    ASSERT(r->path[0] == '/' && strlen(r->path) <= HTTP_TARGET_MAX_BYTES && r->method[0] != '\0');
    ASSERT(r->body_bytes <= HTTP_BODY_MAX_BYTES && r->body[r->body_bytes] == '\0');
    ASSERT(r->parameter_count <= HTTP_PARAMETERS_MAX);
    for (size_t i = 0; i < r->parameter_count; i++)
        ASSERT(r->parameters[i].key[0] != '\0' || r->parameters[i].value != NULL);
    ASSERT(handled < REQUESTS_MAX);
    heads[handled++] = strcmp(r->method, "HEAD") == 0;
    if (strcmp(r->path, "/later") == 0) {
        ASSERT(later == NULL); /* one by one */
        later = x;
    } else if (strcmp(r->path, "/stream") == 0) {
        stream = x;
        streamed = true;
        http_stream_begin(x, 200, "text/plain", on_gone, NULL);
        http_stream_write(x, "first\n", 6);
    } else {
        http_answer(x, 200, "text/plain", r->body, r->body_bytes);
    }
}

static bool is_head(unsigned number)
{
    return number < handled ? heads[number] : refusal_of_head;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    ASSERT(uv_loop_init(&loop) == 0);
    server = http_server_create(&loop, NULL, on_request, NULL);
    return 0;
}

static void handler_moves(uint8_t how)
{
    struct http_exchange *x = later;

    if (later != NULL && (how & 1) != 0) {
        later = NULL;
        http_answer(x, 202, "text/plain", "late\n", 5);
    }
    if (stream != NULL && (how & 2) != 0)
        http_stream_write(stream, "more\n", 5);
    if (stream != NULL && (how & 4) != 0) {
        http_stream_end(stream);
        stream = NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    size_t chunk = (size_t)fuzz_u8(&in) + 1;
    uint8_t how = fuzz_u8(&in);
    struct fuzz_answers answers;
    struct fuzz_peer peer;

    handled = 0;
    streamed = false;
    fuzz_peer_open(&peer, &loop, server);
    if (in.left / chunk > 64)
        chunk = in.left / 64;
    while (in.left > 0) {
        size_t n = chunk;
        const uint8_t *bytes = fuzz_bytes(&in, &n);

        fuzz_peer_send(&peer, bytes, n);
        handler_moves(how);
    }
    handler_moves(1);
    fuzz_peer_end(&peer);
    handler_moves(1); /* its peer has gone: the answer is dropped */
    ASSERT(later == NULL && stream == NULL);
    ASSERT(server->exchange_count == 0 && server->connections == NULL);
    refusal_of_head = false;
    answers = fuzz_peer_answers(&peer, is_head);
    if (!answers.whole) {
        refusal_of_head = true;
        answers = fuzz_peer_answers(&peer, is_head);
    }
    ASSERT(answers.count <= handled + 1); /* one of our own, the last: a refusal */
    ASSERT(streamed || answers.whole);
    fuzz_peer_close(&peer);
    return 0;
}
