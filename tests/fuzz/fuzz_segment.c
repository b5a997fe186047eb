/* raft: a log file of libraft's as it lies on the disk; the first batch's checksums are made right, so that what lies behind them is reached. */
#include "raft/segment.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"

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
    segment_mend(copy, size);
    segment_scan(copy, size, 1, &scan);
    ASSERT(scan.good_bytes <= size);
    ASSERT(scan.end != SEGMENT_WHOLE || scan.entries > 0);
    free(copy);
    return 0;
}
