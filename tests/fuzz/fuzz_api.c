/* The local API over the real state machine. The input's first line is method and target, the rest the body. Every request is answered, JSON
 * where it says so; what it submits can be written to the log and read from it, and the state's invariants hold after it. */
#include "api/api_internal.h"
#include "core/fsm.h"
#include "core/version.h"
#include "io/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_http.h"
#include "tests/fuzz/live.h"

static uv_loop_t loop;
static struct api *api;
static struct state state, begin;
static api_submitted waiting;
static void *waiting_ctx;
static enum status waiting_status;
static struct outcome outcome;
static bool head;

static const struct state *hook_state(void *ctx)
{
    (void)ctx;
    return &state;
}

static void hook_node(void *ctx, struct api_node *out)
{
    (void)ctx;
    *out = (struct api_node){ .id = 3, .name = "c1", .site = "site-c", .role = "leader", .term = 7, .leader = 3 };
}

static void hook_submit(void *ctx, const struct command *command, unsigned deadline_ms, api_submitted done,
                        void *done_ctx)
{
    static uint8_t bytes[ENTRY_MAX_BYTES];
    static struct command decoded;
    struct error err = ERROR_NONE;
    size_t length = 0;

    (void)ctx;
    ASSERT(deadline_ms > 0 && waiting == NULL);
    waiting = done;
    waiting_ctx = done_ctx;
    waiting_status = command_encode(command, program_version, bytes, sizeof bytes, &length);
    ASSERT(waiting_status == STATUS_OK || (waiting_status == STATUS_FULL && command->kind == COMMAND_CONFIG_APPLY));
    if (waiting_status != STATUS_OK)
        return;
    ASSERT(command_stamp(bytes, length, state.now_ms) == STATUS_OK);
    ASSERT(command_decode(&decoded, bytes, length, &err) == STATUS_OK);
    fsm_apply(&state, state.applied_index + 1, &decoded, &outcome);
    if (state_check(&state, &err) != STATUS_OK)
        check_failed(err.text, __FILE__, __LINE__);
}

static void answer_submission(void)
{
    api_submitted done = waiting;

    waiting = NULL;
    if (done != NULL)
        done(waiting_ctx, waiting_status, waiting_status == STATUS_OK ? &outcome : NULL);
    api_applied(api);
}

static bool no_head(unsigned number)
{
    (void)number;
    return false;
}

static void apply(void *ctx, struct command *c)
{
    (void)ctx;
    c->at_ms = 1000000;
    fsm_apply(&state, state.applied_index + 1, c, &outcome);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct api_hooks hooks = { .state = hook_state, .node = hook_node, .submit = hook_submit };

    (void)argc;
    (void)argv;
    state_init(&state);
    live_begin(&state, apply, NULL);
    begin = state;
    ASSERT(uv_loop_init(&loop) == 0);
    api = api_create(&loop, &hooks);
    return 0;
}

static void check(const struct fuzz_answers *answers, bool followed)
{
    struct error err = ERROR_NONE;
    struct json_t *body;

    if (followed)
        return; /* a stream that was cut by its reader */
    ASSERT(answers->count == 1 && answers->whole && answers->code >= 200 && answers->code <= 599);
    if (!answers->json)
        return;
    body = json_read(answers->body, answers->body_bytes, &err);
    if (body == NULL)
        check_failed(err.text, __FILE__, __LINE__);
    if (answers->code >= 400)
        ASSERT(json_look_text(body, "status") != NULL && json_look_text(body, "message") != NULL);
    json_free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    char *line = fuzz_line(&in);
    size_t capacity = strlen(line) + in.left + 128;
    char *request = malloc(capacity);
    struct fuzz_peer peer;
    struct fuzz_answers answers;
    int length;
    bool followed;

    ASSERT(request != NULL);
    state = begin;
    head = strncmp(line, "HEAD ", 5) == 0;
    length =
        snprintf(request, capacity, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", line, in.left);
    ASSERT(length > 0 && (size_t)length + in.left < capacity);
    if (in.left > 0)
        memcpy(request + length, in.at, in.left);
    fuzz_peer_open(&peer, &loop, api->http);
    fuzz_peer_send(&peer, request, (size_t)length + in.left);
    answer_submission();
    followed = api->followers != NULL;
    fuzz_peer_end(&peer);
    ASSERT(api->held == NULL && api->followers == NULL);
    if (!head) { /* of a HEAD nobody can tell whether it was refused before it was read: with a body, then */
        answers = fuzz_peer_answers(&peer, no_head);
        /* A line that is no request line may look like the beginning of a longer one. */
        if (answers.count > 0 || followed)
            check(&answers, followed);
    }
    fuzz_peer_close(&peer);
    free(request);
    free(line);
    return 0;
}
