/* raft: the frame around an entry or a snapshot. What opens seals to the same bytes; a sealed frame opens, and with one bit flipped does not. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "raft/entry.h"
#include "tests/fuzz/fuzz.h"

static void reseal(enum entry_kind kind, const uint8_t *bytes, size_t size)
{
    struct error err = ERROR_NONE;
    struct entry_view view;
    uint8_t *copy;

    if (entry_open(kind, bytes, size, &view, &err) != STATUS_OK) {
        ASSERT(err.status == STATUS_CORRUPT);
        return;
    }
    ASSERT(entry_frame_bytes(view.payload_bytes) == size);
    copy = malloc(size);
    ASSERT(copy != NULL);
    memcpy(copy + ENTRY_HEADER_BYTES, view.payload, view.payload_bytes);
    entry_seal(kind, view.index, view.term, copy, view.payload_bytes);
    ASSERT(memcmp(copy, bytes, size) == 0);
    free(copy);
}

/* The input with a right head and checksum: what is left to be wrong are lengths and padding. */
static void with_checksum(enum entry_kind kind, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    struct reader r;
    struct writer w;
    uint32_t payload_bytes;

    ASSERT(copy != NULL);
    memcpy(copy, data, size);
    writer_init(&w, copy, size);
    writer_u32(&w, kind == ENTRY_COMMAND ? 0x44434d43u : 0x4e534d43u);
    writer_u16(&w, ENTRY_VERSION);
    writer_u16(&w, 0);
    reader_init(&r, copy + 24, 4);
    payload_bytes = reader_u32(&r);
    if (payload_bytes <= size - ENTRY_HEADER_BYTES) {
        writer_init(&w, copy + ENTRY_HEADER_BYTES - 4, 4);
        writer_u32(&w, crc32c(crc32c(0, copy, ENTRY_HEADER_BYTES - 4), copy + ENTRY_HEADER_BYTES, payload_bytes));
    }
    reseal(kind, copy, size);
    free(copy);
}

static void flip(enum entry_kind kind, struct fuzz_input *in)
{
    uint64_t index = fuzz_u64(in), bit = fuzz_u64(in);
    size_t size = entry_frame_bytes(in->left);
    uint8_t *frame = malloc(size);
    struct error err = ERROR_NONE;
    struct entry_view view;

    ASSERT(frame != NULL);
    if (in->left > 0)
        memcpy(frame + ENTRY_HEADER_BYTES, in->at, in->left);
    entry_seal(kind, index, 7, frame, in->left);
    ASSERT(entry_open(kind, frame, size, &view, &err) == STATUS_OK);
    ASSERT(view.index == index && view.term == 7 && view.payload_bytes == in->left);
    frame[bit / 8 % size] ^= (uint8_t)(1u << (bit % 8));
    ASSERT(entry_open(kind, frame, size, &view, &err) == STATUS_CORRUPT);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    enum entry_kind kind = (fuzz_u8(&in) & 1) != 0 ? ENTRY_SNAPSHOT : ENTRY_COMMAND;

    reseal(kind, in.at, in.left);
    if (in.left >= ENTRY_HEADER_BYTES)
        with_checksum(kind, in.at, in.left);
    flip(kind, &in);
    return 0;
}
