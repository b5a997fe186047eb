/* How commands and snapshots become bytes and back. One visitor serves both directions: codec_u64(c, &field) writes the field or reads
 * it, so each struct is described once and the two directions cannot drift apart. Decides what is in bounds: an enumerator, id, count, mask or
 * text that is not known is refused in both directions, since an entry that was written and cannot be read would stop every node.
 *
 * Errors stick, as in base/bytes: after the first one nothing is written and every read gives zero. Integers have a fixed width and are
 * little-endian, so equal structs are equal bytes. A reader must find its struct zeroed: what is not in the bytes is left as it is. */
#ifndef COORD_CORE_CODEC_H
#define COORD_CORE_CODEC_H

#include "base/bytes.h"
#include "core/state.h"

struct codec {
    bool reading;
    bool invalid;    /* writing: the struct holds what no reader would accept */
    uint8_t version; /* the cluster version of the bytes (core/version.h); what came later is not in them */
    struct writer w;
    struct reader r;
};

void codec_write_init(struct codec *c, void *out, size_t capacity_bytes);
void codec_read_init(struct codec *c, const void *bytes, size_t length_bytes);
void codec_refuse(struct codec *c);
bool codec_ok(const struct codec *c);
/* One byte: the version of what follows. Writing: `version`; reading: one that this program knows. */
void codec_version(struct codec *c, uint8_t version);
/* OK, FULL, or INVALID; `length_bytes` is what was written. */
enum status codec_written(const struct codec *c, size_t *length_bytes);
/* OK, or CORRUPT: something was refused, or bytes are left over. `what` is for the text. */
enum status codec_read_done(const struct codec *c, const char *what, struct error *err);

void codec_u8(struct codec *c, uint8_t *field);
void codec_u16(struct codec *c, uint16_t *field);
void codec_u32(struct codec *c, uint32_t *field);
void codec_u64(struct codec *c, uint64_t *field);
void codec_i64(struct codec *c, int64_t *field);
void codec_bool(struct codec *c, bool *field);
/* A number that must stand here; anything else is refused. */
void codec_constant(struct codec *c, uint32_t value);
/* A count of at most `max`. */
void codec_count(struct codec *c, uint8_t *field, unsigned max);
/* Bits below `bits` only. */
void codec_mask8(struct codec *c, uint8_t *field, unsigned bits);
void codec_mask32(struct codec *c, uint32_t *field, unsigned bits);
/* Which of `slots` (at most 64) are used: give the writer's, get the reader's. */
uint64_t codec_slots(struct codec *c, uint64_t used, unsigned slots);
/* Whether a part follows: give the writer's, get the reader's. */
bool codec_present(struct codec *c, bool present);
void codec_text(struct codec *c, char *field, size_t capacity_bytes);
void codec_site(struct codec *c, site_id *field);         /* a slot of the state */
void codec_site_or_none(struct codec *c, site_id *field); /* the same, or SITE_NONE */
void codec_service(struct codec *c, service_id *field);
void codec_service_or_none(struct codec *c, service_id *field);

/* An enumerator below `count`, in one byte. A macro, because each enum is a type of its own. */
uint32_t codec_enum_value(struct codec *c, uint32_t value, uint32_t count);
#define CODEC_ENUM(c, field, count)                                                                                    \
    do {                                                                                                               \
        uint32_t codec_value_ = codec_enum_value((c), (uint32_t) * (field), (count));                                  \
        if ((c)->reading)                                                                                              \
            *(field) = codec_value_;                                                                                   \
    } while (0)

/* What commands and the state have in common. */
void codec_members(struct codec *c, struct member members[NODES_MAX], bool heard);
void codec_sites(struct codec *c, struct site sites[SITES_MAX]);
void codec_opinion(struct codec *c, struct opinion *o);
void codec_enforcement(struct codec *c, struct enforcement *e);
void codec_instances(struct codec *c, uint8_t *count, instance_id instances[INSTANCES_MAX]);
void codec_position(struct codec *c, struct position *p);
void codec_service_config(struct codec *c, struct service_config *config);

#endif
