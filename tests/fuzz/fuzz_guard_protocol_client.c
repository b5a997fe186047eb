#include "tests/fuzz/fuzz_guard_protocol.h"

#include <string.h>

#include "fencing/guard_answer.h"

_Bool fuzz_client_understands(const char *request, const char *answer)
{
    static const char *const words[] = { [GUARD_REQUEST_NOW] = "now",
                                         [GUARD_REQUEST_OPEN] = "open",
                                         [GUARD_REQUEST_CLOSE] = "close",
                                         [GUARD_REQUEST_STATUS] = "status",
                                         [GUARD_REQUEST_BYPASS] = "bypass" };
    struct guard_answer parsed = { .reason = "" };
    struct error err = ERROR_NONE;
    size_t length = strcspn(request, " ");

    for (int kind = 0; kind <= GUARD_REQUEST_BYPASS; kind++)
        if (strlen(words[kind]) == length && strncmp(words[kind], request, length) == 0)
            return guard_answer_parse((enum guard_request_kind)kind, answer, &parsed, &err) != STATUS_CORRUPT;
    return strncmp(answer, "invalid ", 8) == 0;
}
