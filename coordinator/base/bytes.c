#include "base/bytes.h"

#include <string.h>

void writer_init(struct writer *w, void *base, size_t capacity_bytes)
{
    w->base = base;
    w->used = 0;
    w->capacity = capacity_bytes;
    w->overrun = false;
}

void writer_bytes(struct writer *w, const void *data, size_t length_bytes)
{
    if (w->overrun || length_bytes > w->capacity - w->used) {
        w->overrun = true;
        return;
    }
    if (length_bytes > 0)
        memcpy(w->base + w->used, data, length_bytes);
    w->used += length_bytes;
}

static void write_integer(struct writer *w, uint64_t value, unsigned width_bytes)
{
    uint8_t raw[8];

    for (unsigned i = 0; i < width_bytes; i++)
        raw[i] = (uint8_t)(value >> (8 * i));
    writer_bytes(w, raw, width_bytes);
}

void writer_u8(struct writer *w, uint8_t value)
{
    write_integer(w, value, 1);
}

void writer_u16(struct writer *w, uint16_t value)
{
    write_integer(w, value, 2);
}

void writer_u32(struct writer *w, uint32_t value)
{
    write_integer(w, value, 4);
}

void writer_u64(struct writer *w, uint64_t value)
{
    write_integer(w, value, 8);
}

void writer_i64(struct writer *w, int64_t value)
{
    write_integer(w, (uint64_t)value, 8);
}

void writer_bool(struct writer *w, bool value)
{
    write_integer(w, value ? 1 : 0, 1);
}

void writer_string(struct writer *w, const char *text)
{
    size_t length = strlen(text);

    if (length > UINT16_MAX) {
        w->overrun = true;
        return;
    }
    writer_u16(w, (uint16_t)length);
    writer_bytes(w, text, length);
}

void reader_init(struct reader *r, const void *base, size_t length_bytes)
{
    r->base = base;
    r->used = 0;
    r->length = length_bytes;
    r->bad = false;
}

void reader_bytes(struct reader *r, void *out, size_t length_bytes)
{
    if (r->bad || length_bytes > r->length - r->used) {
        r->bad = true;
        memset(out, 0, length_bytes);
        return;
    }
    if (length_bytes > 0)
        memcpy(out, r->base + r->used, length_bytes);
    r->used += length_bytes;
}

static uint64_t read_integer(struct reader *r, unsigned width_bytes)
{
    uint8_t raw[8];
    uint64_t value = 0;

    reader_bytes(r, raw, width_bytes);
    for (unsigned i = 0; i < width_bytes; i++)
        value |= (uint64_t)raw[i] << (8 * i);
    return value;
}

uint8_t reader_u8(struct reader *r)
{
    return (uint8_t)read_integer(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)read_integer(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
    return (uint32_t)read_integer(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
    return read_integer(r, 8);
}

int64_t reader_i64(struct reader *r)
{
    return (int64_t)read_integer(r, 8);
}

bool reader_bool(struct reader *r)
{
    return reader_enum8(r, 2) == 1;
}

uint32_t reader_enum8(struct reader *r, uint32_t count)
{
    uint32_t value = reader_u8(r);

    if (value >= count) {
        r->bad = true;
        return 0;
    }
    return value;
}

void reader_string(struct reader *r, char *out, size_t capacity_bytes)
{
    size_t length = reader_u16(r);

    memset(out, 0, capacity_bytes);
    if (r->bad || length >= capacity_bytes || length > r->length - r->used) {
        r->bad = true;
        return;
    }
    reader_bytes(r, out, length);
    if (memchr(out, '\0', length) != NULL)
        r->bad = true;
}

bool text_copy(char *out, size_t capacity_bytes, const char *text)
{
    size_t length = strlen(text);
    size_t kept = length < capacity_bytes ? length : capacity_bytes - 1;

    memset(out, 0, capacity_bytes);
    memcpy(out, text, kept);
    return kept == length;
}
