/* core: a command from the log. What is read is written again as the same bytes, and takes the leader's time. */
#include "core/command.h"
#include "core/version.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command decoded, again;
    static uint8_t bytes[ENTRY_MAX_BYTES];
    struct error err = ERROR_NONE;
    size_t length = 0;

    if (size > sizeof bytes)
        return 0;
    if (command_decode(&decoded, data, size, &err) != STATUS_OK) {
        ASSERT(err.status == STATUS_CORRUPT && err.text[0] != '\0');
        return 0;
    }
    ASSERT(command_encode(&decoded, program_version, bytes, sizeof bytes, &length) == STATUS_OK);
    ASSERT(length == size);
    ASSERT(memcmp(bytes, data, size) == 0);
    ASSERT(command_stamp(bytes, length, INT64_C(-5)) == STATUS_OK);
    ASSERT(command_decode(&again, bytes, length, &err) == STATUS_OK);
    ASSERT(again.kind == decoded.kind && again.at_ms == -5);
    return 0;
}
