/* raft: the file in which a node keeps what it has told others; the checksums of its slots are made right, so that what lies behind them is
 * reached. The file itself is included. */
#include "raft/receipt.c" /* NOLINT: for its format */

#include "tests/fuzz/fuzz.h"

static void record_mend(uint8_t *record)
{
    struct writer w;

    writer_init(&w, record, RECORD_BYTES);
    writer_u32(&w, RECEIPT_MAGIC);
    writer_u32(&w, RECEIPT_VERSION);
    writer_init(&w, record + RECORD_BYTES - 4, 4);
    writer_u32(&w, crc32c(0, record, RECORD_BYTES - 4));
}

static void read_file(const uint8_t *bytes, size_t size)
{
    struct receipt_content content;
    struct error err = ERROR_NONE;
    uint64_t sequence;
    char path[64];
    int fd = fuzz_file(bytes, size, path);
    enum status status = receipt_read(path, &content, &err);

    if (status == STATUS_OK)
        ASSERT(slots_read(fd, path, &content, &sequence, &err) == STATUS_OK && sequence > 0);
    else
        ASSERT(status == STATUS_CORRUPT && err.text[0] != '\0');
    close(fd);
}

/* What is read is written again as the same bytes. */
static void decode(const uint8_t record[RECORD_BYTES])
{
    uint8_t again[RECORD_BYTES];
    struct receipt_content content;
    uint64_t sequence;

    if (!record_decode(record, &content, &sequence))
        return;
    record_encode(&content, sequence, again);
    ASSERT(memcmp(again, record, RECORD_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[RECEIPT_FILE_BYTES];
    struct fuzz_input in = { data, size };
    uint8_t which = fuzz_u8(&in);

    read_file(in.at, in.left);
    memset(file, 0, sizeof file);
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t *record = file + slot * RECEIPT_SLOT_BYTES;
        size_t length = RECORD_BYTES;
        const uint8_t *from = fuzz_bytes(&in, &length);

        if (length > 0)
            memcpy(record, from, length);
        if ((which >> slot & 1) != 0)
            record_mend(record);
        decode(record);
    }
    read_file(file, sizeof file);
    return 0;
}
