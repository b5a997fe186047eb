/* dns: the text of a sentinel record. What is read is printed and read again as the same, and could have been set. */
#include "dns/sentinel.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size), printed[SENTINEL_TEXT_MAX];
    struct sentinel s, again, set;
    struct error err = ERROR_NONE;

    if (sentinel_parse(&s, text) == STATUS_OK) {
        sentinel_format(&s, printed, sizeof printed);
        ASSERT(sentinel_parse(&again, printed) == STATUS_OK);
        ASSERT(memcmp(&s, &again, sizeof s) == 0);
        memset(&set, 0, sizeof set);
        ASSERT(sentinel_set(&set, s.epoch, s.service, s.site, &err) == STATUS_OK);
        ASSERT(memcmp(&s, &set, sizeof s) == 0);
    }
    free(text);
    return 0;
}
