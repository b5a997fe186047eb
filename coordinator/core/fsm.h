/* fsm_apply(): command -> new state + outcome. Pure: no clock, no I/O, no randomness, no allocation. Never fails: what cannot be honoured is
 * refused, identically on every node, with a reason. */
#ifndef COORD_CORE_FSM_H
#define COORD_CORE_FSM_H

#include "core/command.h"

/* `index` is the entry's; entries arrive in order. A refused command changes nothing but applied_index and now_ms. */
void fsm_apply(struct state *s, uint64_t index, const struct command *c, struct outcome *outcome);

/* State <-> bytes, versioned, with length and CRC. A snapshot is at most SNAPSHOT_MAX_BYTES. */
#define SNAPSHOT_MAX_BYTES (8u * 1024 * 1024)
enum status snapshot_encode(const struct state *s, void *out, size_t capacity_bytes, size_t *length_bytes);
/* CORRUPT leaves `s` undefined: decode into a second state and swap. */
enum status snapshot_decode(struct state *s, const void *bytes, size_t length_bytes, struct error *err);

#endif
