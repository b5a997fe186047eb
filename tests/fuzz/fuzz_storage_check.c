/* raft: libraft's directory as it may lie on the disk after whatever happened to it. The input is a list of files: name, length, content. What is
 * accepted reaches as far as the node has told others, and is accepted again: what was removed on the way was not needed. */
#include "raft/storage_check.h"

#include <dirent.h>
#include <errno.h>

#include "io/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"

#define FILES_MAX 6
#define CONTENT_MAX_BYTES 2048

enum { SNAPSHOT = 2, SNAPSHOT_MEMBERS, SEGMENT, NAMES = 9 };
static const char *const names[NAMES] = { "metadata1",
                                          "metadata2",
                                          "snapshot-1-5-9",
                                          "snapshot-1-5-9.meta",
                                          "0000000000000001-0000000000000003",
                                          "0000000000000004-0000000000000006",
                                          "0000000000000006-0000000000000006",
                                          "open-1",
                                          "open-2" };
static char directory[] = "storage-XXXXXX"; /* below the working directory, which is the run's own */

static void no_log(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_set_sink(no_log, NULL);
    ASSERT(mkdtemp(directory) != NULL);
    return 0;
}

/* What fuzzing does not find by itself: versions and checksums. */
static void mend(unsigned name, uint8_t *bytes, size_t size)
{
    struct writer w;

    if (name >= SEGMENT) {
        segment_mend(bytes, size);
        return;
    }
    writer_init(&w, bytes, size);
    if (size >= 8)
        writer_u64(&w, 1);
    if (name != SNAPSHOT_MEMBERS || size < 32)
        return;
    writer_init(&w, bytes + 24, 8);
    writer_u64(&w, size - 32);
    writer_init(&w, bytes + 8, 8);
    writer_u64(&w, segment_crc(0, bytes + 16, size - 16));
}

static void store(struct fuzz_input *in)
{
    uint8_t content[CONTENT_MAX_BYTES];
    uint8_t which = fuzz_u8(in), how = fuzz_u8(in);
    size_t length = (size_t)(how & 0x7f) << 4;
    const uint8_t *bytes;
    char path[128];
    FILE *file;

    length += fuzz_u8(in) & 0x0f;
    bytes = fuzz_bytes(in, &length);
    if (length > 0)
        memcpy(content, bytes, length);
    if ((how & 0x80) != 0)
        mend(which % NAMES, content, length);
    (void)snprintf(path, sizeof path, "%s/%s", directory, names[which % NAMES]);
    file = fopen(path, "we");
    ASSERT(file != NULL);
    ASSERT(fwrite(content, 1, length, file) == length);
    ASSERT(fclose(file) == 0);
}

static void clear(void)
{
    DIR *all = opendir(directory);

    ASSERT(all != NULL);
    for (struct dirent *one; (one = readdir(all)) != NULL;)
        if (one->d_name[0] != '.')
            ASSERT(unlinkat(dirfd(all), one->d_name, 0) == 0);
    (void)closedir(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    bool has_told = (fuzz_u8(&in) & 1) != 0;
    struct receipt_content told = {
        .metadata_version = fuzz_u8(&in), .term = fuzz_u8(&in), .vote = fuzz_u8(&in), .last_index = fuzz_u8(&in)
    };
    struct receipt_content found, again;
    struct error err = ERROR_NONE;
    enum status status;

    for (unsigned i = 0; i < FILES_MAX && in.left > 0; i++)
        store(&in);
    status = storage_check(directory, has_told ? &told : NULL, &found, &err);
    if (status != STATUS_OK) {
        ASSERT((status == STATUS_CORRUPT || status == STATUS_FAILED) && err.text[0] != '\0');
    } else {
        if (has_told)
            ASSERT(found.metadata_version >= told.metadata_version && found.term >= told.term &&
                   found.last_index >= told.last_index);
        ASSERT(storage_check(directory, has_told ? &told : NULL, &again, &err) == STATUS_OK);
        ASSERT(again.term == found.term && again.vote == found.vote && again.last_index == found.last_index);
    }
    clear();
    return 0;
}
