/* coordctl: an answer of a node that is not what it should be, given to each command that shows one. The HTTP call is linked to a function
 * here. It prints something or says what is wrong, and ends with one of its exit codes. */
#include "ctl/ctl.h"
#include "io/http_call.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t *body;
static size_t body_bytes;
static int code;

enum status __wrap_http_call(const struct http_call_request *request, struct http_call_answer *answer,
                             struct error *err);
enum status __wrap_http_call(const struct http_call_request *request, struct http_call_answer *answer,
                             struct error *err)
{
    (void)err;
    *answer = (struct http_call_answer){ .code = code, .body = fuzz_text(body, body_bytes), .body_bytes = body_bytes };
    if (request->on_data != NULL && code == 200 && body_bytes > 0)
        (void)request->on_data(request->ctx, answer->body, body_bytes);
    return STATUS_OK;
}

static int arm(const struct ctl *ctl)
{
    return ctl_service_action(ctl, "arm");
}

static int abort_operation(const struct ctl *ctl)
{
    return ctl_operation_action(ctl, "abort");
}

static int list_members(const struct ctl *ctl)
{
    struct ctl without_operand = *ctl;

    without_operand.operand_count = 0;
    return ctl_members(&without_operand);
}

/* Whatever a node says, a terminal only shows it. */
static void assert_clean(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char at = (unsigned char)text[i];
        ASSERT(at >= 0x20 || at == '\n' || at == '\t');
        ASSERT(at != 0x7f);
        ASSERT(at != 0xc2 || i + 1 == length || (unsigned char)text[i + 1] >= 0xa0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int (*const commands[])(const struct ctl *ctl) = { ctl_status,      ctl_why,     ctl_events,  ctl_incidents,
                                                              ctl_report,      ctl_config,  ctl_promote, arm,
                                                              abort_operation, list_members };
    static const int codes[] = { 200, 202, 400, 404, 409, 503 };
    struct fuzz_input in = { data, size };
    struct ctl ctl = {
        .socket_path = "/x", .service = "app", .operand_count = 1, .operands = { "app" }, .no_wait = true
    };
    size_t at = fuzz_u8(&in) % (sizeof commands / sizeof commands[0]), out_bytes = 0, err_bytes = 0;
    uint8_t how = fuzz_u8(&in);
    char *out = NULL, *said = NULL;
    int result;

    ctl.json = (how & 1) != 0;
    ctl.color = (how & 2) != 0;
    ctl.follow = (how & 4) != 0;
    code = codes[(how >> 3) % (sizeof codes / sizeof codes[0])];
    body = in.at;
    body_bytes = in.left;
    ctl.out = open_memstream(&out, &out_bytes);
    ctl.err = open_memstream(&said, &err_bytes);
    ASSERT(ctl.out != NULL && ctl.err != NULL);
    result = commands[at](&ctl);
    ASSERT(result >= CTL_OK && result <= CTL_TIMED_OUT);
    ASSERT(fclose(ctl.out) == 0 && fclose(ctl.err) == 0);
    ASSERT(result == CTL_OK || out_bytes + err_bytes > 0);
    if (!ctl.color) {
        assert_clean(out, out_bytes);
        assert_clean(said, err_bytes);
    }
    free(out);
    free(said);
    return 0;
}
