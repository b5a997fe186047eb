#include "raft/segment.h"

#include "base/bytes.h"
#include "raft/entry.h"

#include <stdarg.h>

#include <raft.h>

#include <stdbool.h>

#define SEGMENT_FORMAT 1
#define BATCH_FIXED_BYTES 16 /* the two checksums and n */
#define ENTRY_META_BYTES 16

const char *segment_end_text(enum segment_end end)
{
    switch (end) {
    case SEGMENT_WHOLE:
    case SEGMENT_ZEROS:
        return "good";
    case SEGMENT_TORN:
        return "bytes that are no entry";
    case SEGMENT_SHORT:
        return "the file ends inside an entry";
    case SEGMENT_FOREIGN:
        return "an entry that belongs elsewhere in the log";
    }
    return "?";
}

/* Polynomial 0x04c11db7, most significant bit first, four bits at a time. */
uint32_t segment_crc(uint32_t previous, const uint8_t *bytes, size_t length)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x04c11db7, 0x09823b6e, 0x0d4326d9, 0x130476dc, 0x17c56b6b, 0x1a864db2, 0x1e475005,
        0x2608edb8, 0x22c9f00f, 0x2f8ad6d6, 0x2b4bcb61, 0x350c9b64, 0x31cd86d3, 0x3c8ea00a, 0x384fbdbd,
    };
    uint32_t crc = previous;
    for (size_t i = 0; i < length; i++) {
        crc = (crc << 4) ^ nibble[(crc >> 28) ^ (bytes[i] >> 4)];
        crc = (crc << 4) ^ nibble[(crc >> 28) ^ (bytes[i] & 15u)];
    }
    return crc;
}

static bool only_zeros(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

struct batch {
    uint64_t entries;
    size_t bytes; /* of all of it */
    const uint8_t *header;
    const uint8_t *data;
};

/* SEGMENT_WHOLE: `out` is a batch with good checksums. */
static enum segment_end batch_read(const uint8_t *bytes, size_t length, struct batch *out)
{
    struct reader r;
    reader_init(&r, bytes, length);
    uint32_t header_crc = reader_u32(&r);
    uint32_t data_crc = reader_u32(&r);
    out->entries = reader_u64(&r);
    if (!reader_ok(&r))
        return SEGMENT_SHORT;
    if (out->entries == 0)
        return SEGMENT_TORN;
    if (out->entries > (length - BATCH_FIXED_BYTES) / ENTRY_META_BYTES)
        return out->entries > length ? SEGMENT_TORN : SEGMENT_SHORT;
    size_t meta_bytes = (size_t)out->entries * ENTRY_META_BYTES;
    out->header = bytes + 8;
    out->data = bytes + BATCH_FIXED_BYTES + meta_bytes;
    if (segment_crc(0, out->header, 8 + meta_bytes) != header_crc)
        return SEGMENT_TORN;
    size_t room = length - BATCH_FIXED_BYTES - meta_bytes, data_bytes = 0;
    for (uint64_t i = 0; i < out->entries; i++) {
        (void)reader_u64(&r); /* term */
        (void)reader_u32(&r); /* type */
        uint32_t entry_bytes = reader_u32(&r);
        if (entry_bytes > room - data_bytes)
            return SEGMENT_SHORT;
        data_bytes += entry_bytes;
    }
    if (segment_crc(0, out->data, data_bytes) != data_crc)
        return SEGMENT_TORN;
    out->bytes = BATCH_FIXED_BYTES + meta_bytes + data_bytes;
    return SEGMENT_WHOLE;
}

/* Each command names the index and term for which it was made (raft/entry.h). A frame that this program cannot read is left to whoever applies
 * it: the checksums are good, so it is what was written. */
static bool batch_belongs(const struct batch *batch, uint64_t first_index)
{
    struct reader r;
    size_t at = 0;
    reader_init(&r, batch->header + 8, (size_t)batch->entries * ENTRY_META_BYTES);
    for (uint64_t i = 0; i < batch->entries; i++) {
        struct entry_view entry;
        uint64_t term = reader_u64(&r);
        uint32_t type = reader_u32(&r) & 0xffu;
        uint32_t bytes = reader_u32(&r);
        if (type == RAFT_COMMAND && entry_open(ENTRY_COMMAND, batch->data + at, bytes, &entry, NULL) == STATUS_OK &&
            (entry.index != first_index + i || entry.term != term))
            return false;
        at += bytes;
    }
    return true;
}

void segment_scan(const uint8_t *bytes, size_t length, uint64_t first_index, struct segment_scan *out)
{
    struct reader r;
    *out = (struct segment_scan){ .end = SEGMENT_ZEROS };
    if (only_zeros(bytes, length))
        return; /* made ready and never written, or empty */
    reader_init(&r, bytes, length);
    uint64_t format = reader_u64(&r);
    if (format != SEGMENT_FORMAT) {
        out->end = reader_ok(&r) ? SEGMENT_TORN : SEGMENT_SHORT;
        return;
    }
    for (out->good_bytes = 8; out->good_bytes < length;) {
        struct batch batch;
        const uint8_t *at = bytes + out->good_bytes;
        out->end = SEGMENT_ZEROS;
        if (only_zeros(at, length - out->good_bytes))
            return;
        out->end = batch_read(at, length - out->good_bytes, &batch);
        if (out->end == SEGMENT_WHOLE && !batch_belongs(&batch, first_index + out->entries))
            out->end = SEGMENT_FOREIGN;
        if (out->end != SEGMENT_WHOLE)
            return;
        out->good_bytes += batch.bytes;
        out->entries += batch.entries;
    }
    out->end = SEGMENT_WHOLE;
}
