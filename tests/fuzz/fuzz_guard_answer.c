/* fencing: a line of lease_guard's answers. What is understood is printed as the server prints it and understood as the same. */
#include "fencing/guard_answer.h"

#include <inttypes.h>

#include "tests/fuzz/fuzz.h"

static void print(enum guard_request_kind kind, const struct guard_status *s, char *out, size_t capacity)
{
    static const char *const states[] = { [GUARD_OPEN] = "open", [GUARD_CLOSED] = "closed", [GUARD_BYPASS] = "bypass" };

    switch (kind) {
    case GUARD_REQUEST_NOW:
        (void)snprintf(out, capacity, "ok instance=%016" PRIx64 " now_us=%" PRId64, s->instance, s->now_us);
        break;
    case GUARD_REQUEST_OPEN:
        (void)snprintf(out, capacity, "ok deadline_us=%" PRId64, s->deadline_us);
        break;
    case GUARD_REQUEST_STATUS:
        (void)snprintf(out, capacity,
                       "ok instance=%016" PRIx64 " state=%s epoch=%" PRIu64 " deadline_us=%" PRId64 " now_us=%" PRId64
                       " closed_epoch=%" PRIu64 " refused=%" PRIu64 " in_recovery=%d enforcing=%d",
                       s->instance, states[s->state], s->epoch, s->deadline_us, s->now_us, s->closed_epoch,
                       s->refused_count, s->in_recovery, s->enforcing);
        break;
    case GUARD_REQUEST_CLOSE:
    case GUARD_REQUEST_BYPASS:
        (void)snprintf(out, capacity, "ok");
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    enum guard_request_kind kind = (enum guard_request_kind)(fuzz_u8(&in) % (GUARD_REQUEST_BYPASS + 1));
    char *line = fuzz_line(&in), printed[400];
    struct guard_answer answer = { .reason = "" }, again = { .reason = "" };
    struct error err = ERROR_NONE;
    enum status status = guard_answer_parse(kind, line, &answer, &err);

    ASSERT(status == STATUS_OK || status == STATUS_REFUSED || status == STATUS_INVALID || status == STATUS_CORRUPT);
    ASSERT(status == err.status);
    if (status == STATUS_REFUSED)
        ASSERT(strlen(line) == strlen("refused reason=") + strlen(answer.reason));
    if (status == STATUS_OK) {
        print(kind, &answer.status, printed, sizeof printed);
        ASSERT(guard_answer_parse(kind, printed, &again, &err) == STATUS_OK);
        ASSERT(memcmp(&answer.status, &again.status, sizeof answer.status) == 0);
    }
    free(line);
    return 0;
}
