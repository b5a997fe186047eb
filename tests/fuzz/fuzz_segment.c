/* raft: a log file of libraft's as it lies on the disk; the first batch's checksums are made right, so that what lies behind them is reached. */
#include "raft/segment.h"

#include "base/bytes.h"
#include "tests/fuzz/fuzz.h"

static void checksums_mend(uint8_t *bytes, size_t size)
{
    struct reader r;
    struct writer w;
    uint64_t sum = 0;
    reader_init(&r, bytes + 16, size - 16);
    uint64_t entries = reader_u64(&r);
    if (entries == 0 || entries > (size - 24) / 16)
        return;
    for (uint64_t i = 0; i < entries; i++) {
        (void)reader_u64(&r);
        (void)reader_u32(&r);
        sum += reader_u32(&r);
    }
    if (sum > size - 24 - entries * 16)
        return;
    writer_init(&w, bytes, 16);
    writer_u64(&w, 1);
    writer_u32(&w, segment_crc(0, bytes + 16, 8 + (size_t)entries * 16));
    writer_u32(&w, segment_crc(0, bytes + 24 + entries * 16, (size_t)sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_scan scan;
    segment_scan(data, size, 1, &scan);
    ASSERT(scan.good_bytes <= size);
    ASSERT(segment_end_text(scan.end)[0] != '?');
    if (size < 24)
        return 0;
    uint8_t *copy = malloc(size);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    checksums_mend(copy, size);
    segment_scan(copy, size, 1, &scan);
    ASSERT(scan.good_bytes <= size);
    ASSERT(scan.end != SEGMENT_WHOLE || scan.entries > 0);
    free(copy);
    return 0;
}
