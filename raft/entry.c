#include "raft/entry.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

#include <inttypes.h>
#include <string.h>

#define CRC_OFFSET (ENTRY_HEADER_BYTES - 4)

static uint32_t magic_of(enum entry_kind kind)
{
    return kind == ENTRY_COMMAND ? 0x44434d43u /* "CMCD" */ : 0x4e534d43u /* "CMSN" */;
}

static uint32_t frame_crc(const uint8_t *frame, size_t payload_bytes)
{
    return crc32c(crc32c(0, frame, CRC_OFFSET), frame + ENTRY_HEADER_BYTES, payload_bytes);
}

size_t entry_frame_bytes(size_t payload_bytes)
{
    return (ENTRY_HEADER_BYTES + payload_bytes + 7) & ~(size_t)7;
}

void entry_seal(enum entry_kind kind, uint64_t index, uint64_t term, uint8_t *out, size_t payload_bytes)
{
    ASSERT(payload_bytes <= UINT32_MAX - 64);
    struct writer w;
    writer_init(&w, out, ENTRY_HEADER_BYTES);
    writer_u32(&w, magic_of(kind));
    writer_u16(&w, ENTRY_VERSION);
    writer_u16(&w, 0);
    writer_u64(&w, index);
    writer_u64(&w, term);
    writer_u32(&w, (uint32_t)payload_bytes);
    writer_u32(&w, frame_crc(out, payload_bytes));
    ASSERT(writer_ok(&w) && w.used == ENTRY_HEADER_BYTES);
    size_t end = ENTRY_HEADER_BYTES + payload_bytes;
    memset(out + end, 0, entry_frame_bytes(payload_bytes) - end);
}

enum status entry_open(enum entry_kind kind, const void *bytes, size_t length, struct entry_view *out,
                       struct error *err)
{
    const char *what = kind == ENTRY_COMMAND ? "log entry" : "snapshot";
    if (length < ENTRY_HEADER_BYTES || length % 8 != 0)
        return error_set(err, STATUS_CORRUPT, "%s of %zu bytes is no frame of ours", what, length);
    struct reader r;
    reader_init(&r, bytes, ENTRY_HEADER_BYTES);
    uint32_t magic = reader_u32(&r);
    uint16_t version = reader_u16(&r);
    uint16_t zero = reader_u16(&r);
    uint64_t index = reader_u64(&r);
    uint64_t term = reader_u64(&r);
    uint32_t payload_bytes = reader_u32(&r);
    uint32_t crc = reader_u32(&r);
    ASSERT(reader_done(&r));
    if (magic != magic_of(kind))
        return error_set(err, STATUS_CORRUPT, "%s does not begin with our mark", what);
    if (version != ENTRY_VERSION || zero != 0)
        return error_set(err, STATUS_CORRUPT, "%s of version %u; this program reads version %u", what, version,
                         ENTRY_VERSION);
    if (payload_bytes > length - ENTRY_HEADER_BYTES || entry_frame_bytes(payload_bytes) != length)
        return error_set(err, STATUS_CORRUPT, "%s of %zu bytes says that it holds %" PRIu32, what, length,
                         payload_bytes);
    const uint8_t *frame = bytes;
    if (frame_crc(frame, payload_bytes) != crc)
        return error_set(err, STATUS_CORRUPT, "%s at index %" PRIu64 " fails its checksum", what, index);
    for (size_t i = ENTRY_HEADER_BYTES + payload_bytes; i < length; i++)
        if (frame[i] != 0)
            return error_set(err, STATUS_CORRUPT, "%s at index %" PRIu64 " has a padding that is not zero", what,
                             index);
    *out = (struct entry_view){
        .index = index, .term = term, .payload = frame + ENTRY_HEADER_BYTES, .payload_bytes = payload_bytes
    };
    return STATUS_OK;
}
