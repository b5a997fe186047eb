/* The bytes of one of libraft's log files, read before libraft reads them. Pure: bytes in, what they are out.
 *
 *   u64 format 1, then batches:   u32 CRC of the header  u32 CRC of the data  header: u64 n, n x { u64 term  u8 type  3 x 0  u32 length }  data
 *
 * libraft takes the first batch that it cannot read for the end of an open segment, whatever follows it, and goes on with the next file as if
 * nothing were missing. This says what is really there: where it ends and how, and that each command stands at the index that it names. */
#ifndef COORD_RAFT_SEGMENT_H
#define COORD_RAFT_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

enum segment_end {
    SEGMENT_WHOLE,   /* the last batch ends where the file ends */
    SEGMENT_ZEROS,   /* only zeros behind the last batch: room for more */
    SEGMENT_TORN,    /* something that is no batch behind the last one: a write that did not finish, or damage */
    SEGMENT_SHORT,   /* the file ends inside a batch: no write leaves that */
    SEGMENT_FOREIGN, /* a whole batch, and a command in it stands at another index than it names */
};

struct segment_scan {
    uint64_t entries; /* up to the end, or to the first batch that is not good */
    size_t good_bytes;
    enum segment_end end;
};

void segment_scan(const uint8_t *bytes, size_t length, uint64_t first_index, struct segment_scan *out);
const char *segment_end_text(enum segment_end end);
/* libraft's checksum, of segments and of the files beside snapshots. */
uint32_t segment_crc(uint32_t previous, const uint8_t *bytes, size_t length);

#endif
