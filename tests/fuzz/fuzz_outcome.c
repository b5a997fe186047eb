/* core: an outcome, as it comes back from the leader. */
#include "core/command.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[COMMAND_OUTCOME_MAX_BYTES];
    struct outcome outcome;
    size_t length = 0;

    if (outcome_decode(&outcome, data, size) != STATUS_OK)
        return 0;
    ASSERT((unsigned)outcome.status < STATUS_COUNT);
    ASSERT(outcome_encode(&outcome, bytes, sizeof bytes, &length) == STATUS_OK);
    ASSERT(length == size);
    ASSERT(memcmp(bytes, data, size) == 0);
    return 0;
}
