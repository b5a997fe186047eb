/* Right checksums for the first batch of a log file, so that what lies behind them is reached. */
#ifndef COORD_TESTS_FUZZ_SEGMENTS_H
#define COORD_TESTS_FUZZ_SEGMENTS_H

#include "base/bytes.h"
#include "raft/segment.h"

static inline void segment_mend(uint8_t *bytes, size_t size)
{
    struct reader r;
    struct writer w;
    uint64_t sum = 0;

    if (size < 24)
        return;
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

#endif
