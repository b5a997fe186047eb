/* raft: the file that says which life of the cluster a data directory belongs to, and who began it. What is written is read as the same, whatever a
 * person typed. The file itself is included. */
#include "raft/storage_files.c" /* NOLINT: for its format */

#include "tests/fuzz/fuzz.h"

static void line(struct fuzz_input *in, char *out, size_t capacity)
{
    char *text = fuzz_line(in);

    (void)snprintf(out, capacity, "%s", text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    struct storage_generation made, read;
    char *text = fuzz_text(data, size);
    char written[GENERATION_MAX_BYTES];

    if (generation_parse(text, size, &read) == STATUS_OK)
        ASSERT(read.number > 0 && size < GENERATION_MAX_BYTES);
    free(text);
    made.number = fuzz_u64(&in);
    line(&in, made.who, sizeof made.who);
    line(&in, made.reason, sizeof made.reason);
    size = generation_text(&made, written);
    ASSERT((generation_parse(written, size, &read) == STATUS_OK) == (made.number > 0));
    if (made.number > 0)
        ASSERT(read.number == made.number && strcmp(read.who, made.who) == 0 && strcmp(read.reason, made.reason) == 0);
    return 0;
}
