/* A bounded cursor over bytes: how every encoding of ours is written and read. Integers are little-endian.
 * Errors stick: after the first overrun or bad value every further call does nothing, reads give zero, and the end is one check
 * (writer_ok, reader_ok or reader_done). No allocation; the buffer is borrowed. */
#ifndef COORD_BASE_BYTES_H
#define COORD_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer {
    uint8_t *base;
    size_t used;
    size_t capacity;
    bool overrun;
};

struct reader {
    const uint8_t *base;
    size_t used;
    size_t length;
    bool bad;
};

void writer_init(struct writer *w, void *base, size_t capacity_bytes);
void writer_u8(struct writer *w, uint8_t value);
void writer_u16(struct writer *w, uint16_t value);
void writer_u32(struct writer *w, uint32_t value);
void writer_u64(struct writer *w, uint64_t value);
void writer_i64(struct writer *w, int64_t value);
void writer_bool(struct writer *w, bool value);
void writer_bytes(struct writer *w, const void *data, size_t length_bytes);
/* u16 length, then the bytes without the final NUL. */
void writer_string(struct writer *w, const char *text);
static inline bool writer_ok(const struct writer *w)
{
    return !w->overrun;
}

void reader_init(struct reader *r, const void *base, size_t length_bytes);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
int64_t reader_i64(struct reader *r);
/* 0 or 1; anything else is bad. */
bool reader_bool(struct reader *r);
/* An enumerator below `count`; anything else is bad and gives 0. */
uint32_t reader_enum8(struct reader *r, uint32_t count);
void reader_bytes(struct reader *r, void *out, size_t length_bytes);
/* Fills `out` with a NUL-terminated copy and zeroes the rest (so that equal strings are equal bytes). Bad when it does not fit or holds a NUL. */
void reader_string(struct reader *r, char *out, size_t capacity_bytes);
static inline bool reader_ok(const struct reader *r)
{
    return !r->bad;
}
/* Everything was read, nothing is left over. */
static inline bool reader_done(const struct reader *r)
{
    return !r->bad && r->used == r->length;
}

/* Copies as much of `text` as fits, always NUL-terminated, the rest zeroed. Returns false when it was cut. */
bool text_copy(char *out, size_t capacity_bytes, const char *text);

#endif
