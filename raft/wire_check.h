/* The peer's Raft stream, looked at before libraft is: its decoder trusts every length it reads.
 * Decides whether a message's header is consistent and within our limits; leaves its meaning to libraft. A message's header is passed on
 * only when it is complete and good; payloads are counted and passed through, but for an entry that changes the members: libraft decodes that
 * one, so it is held until it is whole, and checked. Pure: bytes in, bytes out. */
#ifndef COORD_RAFT_WIRE_CHECK_H
#define COORD_RAFT_WIRE_CHECK_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define WIRE_HEADER_MAX_BYTES (1u << 20)     /* 65,000 entries in one message */
#define WIRE_ENTRIES_MAX_BYTES (64ull << 20) /* entries of one message together */

struct wire_bytes {
    uint8_t *base;
    size_t used;
    size_t capacity;
};

struct wire_check {
    uint64_t snapshot_bytes_max;
    struct wire_bytes head; /* preamble and header so far */
    uint64_t payload_left;
    uint64_t entry, entry_count; /* whose payload comes now; of how many. The header stays in `head` meanwhile */
    uint32_t entry_left;
    struct wire_bytes change; /* of an entry that changes the members, so far */
};

void wire_check_init(struct wire_check *c, uint64_t snapshot_bytes_max);
void wire_check_close(struct wire_check *c);
/* Appends to `out` what libraft may have. CORRUPT: end the connection; the text says why. FULL: no memory. */
enum status wire_check_feed(struct wire_check *c, const uint8_t *bytes, size_t length, struct wire_bytes *out,
                            struct error *err);

void wire_bytes_close(struct wire_bytes *b);

#endif
