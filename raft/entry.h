/* The frame around what this room stores for others: one Raft entry or one snapshot of the state machine.
 * Decides whether bytes from disk or network are what was once written; leaves their meaning to core's codec.
 *
 *   u32 magic  u16 version  u16 zero  u64 index  u64 term  u32 payload length  u32 CRC-32C of all but itself   payload   zeros to 8 bytes
 *
 * libraft needs the padding (an odd length silently cuts its log), has no checksum of its own on snapshots, and does not tell the state
 * machine the index of an entry: so the proposer writes into the entry where it will stand. */
#ifndef COORD_RAFT_ENTRY_H
#define COORD_RAFT_ENTRY_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define ENTRY_HEADER_BYTES 32
#define ENTRY_VERSION 1

enum entry_kind { ENTRY_COMMAND, ENTRY_SNAPSHOT };

struct entry_view {
    uint64_t index; /* of the entry; of the last command in a snapshot */
    uint64_t term;
    const uint8_t *payload; /* into the decoded buffer */
    size_t payload_bytes;
};

/* What a frame around so many bytes occupies; a multiple of 8. */
size_t entry_frame_bytes(size_t payload_bytes);
/* Completes a frame whose payload already stands at out + ENTRY_HEADER_BYTES; `out` has entry_frame_bytes(payload_bytes). */
void entry_seal(enum entry_kind kind, uint64_t index, uint64_t term, uint8_t *out, size_t payload_bytes);
/* CORRUPT with a text that says what is wrong; `out` is filled on STATUS_OK only. Borrows `bytes`. */
enum status entry_open(enum entry_kind kind, const void *bytes, size_t length, struct entry_view *out,
                       struct error *err);

#endif
