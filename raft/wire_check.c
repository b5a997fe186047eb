#include "raft/wire_check.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PREAMBLE_BYTES 16
#define ENTRIES_AT (PREAMBLE_BYTES + 5 * 8) /* in an AppendEntries: behind four numbers and the count */
#define ENTRY_BYTES 16
#define CHANGE_TYPE 3
#define CONFIGURATION_MAX_BYTES 4096
#define CONFIGURATION_MEMBERS_MAX 64
#define ROLE_MAX 2 /* standby, voter, spare */

/* libraft's numbers, the same in every version. */
enum { APPEND_ENTRIES = 1, APPEND_ENTRIES_RESULT, REQUEST_VOTE, REQUEST_VOTE_RESULT, INSTALL_SNAPSHOT, TIMEOUT_NOW };

void wire_bytes_close(struct wire_bytes *b)
{
    free(b->base);
    *b = (struct wire_bytes){ 0 };
}

static enum status wire_bytes_add(struct wire_bytes *b, const uint8_t *bytes, size_t length, struct error *err)
{
    if (b->capacity - b->used < length) {
        size_t capacity = b->capacity < 1024 ? 1024 : b->capacity;
        while (capacity - b->used < length)
            capacity *= 2;
        uint8_t *base = realloc(b->base, capacity);
        if (base == NULL)
            return error_set(err, STATUS_FULL, "out of memory for a Raft message");
        b->base = base;
        b->capacity = capacity;
    }
    memcpy(b->base + b->used, bytes, length);
    b->used += length;
    return STATUS_OK;
}

void wire_check_init(struct wire_check *c, uint64_t snapshot_bytes_max)
{
    *c = (struct wire_check){ .snapshot_bytes_max = snapshot_bytes_max };
}

void wire_check_close(struct wire_check *c)
{
    wire_bytes_close(&c->head);
    wire_bytes_close(&c->change);
}

static enum status check_entries(struct reader *r, uint64_t *payload, uint64_t *entry_count, struct error *err)
{
    uint64_t count = reader_u64(r);
    uint64_t sum = 0;
    if (r->bad || count > (r->length - r->used) / 16)
        return error_set(err, STATUS_CORRUPT, "it announces %" PRIu64 " entries in %zu bytes", count, r->length);
    for (uint64_t i = 0; i < count; i++) {
        reader_u64(r);
        uint8_t type = reader_u8(r);
        reader_u8(r);
        reader_u16(r);
        uint32_t bytes = reader_u32(r);
        if (type < 1 || type > 3)
            return error_set(err, STATUS_CORRUPT, "it has an entry of the unknown type %u", type);
        if (bytes % 8 != 0 || bytes > ENTRY_MAX_BYTES)
            return error_set(err, STATUS_CORRUPT, "it has an entry of %" PRIu32 " bytes", bytes);
        if (type == CHANGE_TYPE && (bytes == 0 || bytes > CONFIGURATION_MAX_BYTES))
            return error_set(err, STATUS_CORRUPT, "it has a member list of %" PRIu32 " bytes", bytes);
        sum += bytes;
    }
    if (sum > WIRE_ENTRIES_MAX_BYTES)
        return error_set(err, STATUS_CORRUPT, "its entries have %" PRIu64 " bytes together", sum);
    *payload = sum;
    *entry_count = count;
    return STATUS_OK;
}

/* u8 format, u64 count, then per server u64 id, NUL-terminated address, u8 role; zeros to the end. Everything that libraft's decoder refuses
 * is refused here, roles and servers that stand twice too: behind its own refusal it frees the list a second time. */
static bool configuration_ok(const uint8_t *bytes, size_t length)
{
    uint64_t ids[CONFIGURATION_MEMBERS_MAX];
    const char *addresses[CONFIGURATION_MEMBERS_MAX];
    struct reader r;
    reader_init(&r, bytes, length);
    if (reader_u8(&r) != 1)
        return false;
    uint64_t count = reader_u64(&r);
    if (count > CONFIGURATION_MEMBERS_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        ids[i] = reader_u64(&r);
        addresses[i] = (const char *)bytes + r.used;
        while (reader_ok(&r) && reader_u8(&r) != 0)
            ;
        uint8_t role = reader_u8(&r);
        if (!reader_ok(&r) || role > ROLE_MAX)
            return false;
        for (uint64_t j = 0; j < i; j++)
            if (ids[i] == ids[j] || strcmp(addresses[i], addresses[j]) == 0)
                return false;
    }
    return reader_ok(&r);
}

static enum status check_snapshot(struct reader *r, uint64_t most, uint64_t *payload, struct error *err)
{
    for (int i = 0; i < 4; i++)
        reader_u64(r);
    uint64_t configuration_bytes = reader_u64(r);
    if (r->bad || configuration_bytes > CONFIGURATION_MAX_BYTES || configuration_bytes > r->length - r->used ||
        !configuration_ok(r->base + r->used, (size_t)configuration_bytes))
        return error_set(err, STATUS_CORRUPT, "its snapshot has no readable member list");
    r->used += (size_t)configuration_bytes;
    uint64_t bytes = reader_u64(r);
    if (r->bad || bytes > most)
        return error_set(err, STATUS_CORRUPT, "its snapshot has %" PRIu64 " bytes; at most %" PRIu64 " are taken",
                         bytes, most);
    *payload = bytes;
    return STATUS_OK;
}

/* The header's length is what the decoder of that type and version reads, whatever it says about itself. */
static enum status check_header(struct wire_check *c, struct error *err)
{
    uint8_t type = c->head.base[0];
    uint8_t version = c->head.base[2];
    size_t length = c->head.used - PREAMBLE_BYTES;
    struct reader r;
    reader_init(&r, c->head.base + PREAMBLE_BYTES, length);
    c->payload_left = 0;
    c->entry = c->entry_count = 0;
    bool fits = true;
    switch (type) {
    case APPEND_ENTRIES:
        for (int i = 0; i < 4; i++)
            reader_u64(&r);
        return check_entries(&r, &c->payload_left, &c->entry_count, err);
    case INSTALL_SNAPSHOT:
        return check_snapshot(&r, c->snapshot_bytes_max, &c->payload_left, err);
    case APPEND_ENTRIES_RESULT:
        fits = length >= 32 || (length == 24 && version == 0);
        break;
    case REQUEST_VOTE:
        fits = length >= 40;
        break;
    case REQUEST_VOTE_RESULT:
    case TIMEOUT_NOW:
        fits = length >= 24;
        break;
    default:
        return error_set(err, STATUS_CORRUPT, "it has the unknown type %u", type);
    }
    if (!fits)
        return error_set(err, STATUS_CORRUPT, "type %u, version %u has %zu bytes", type, version, length);
    return STATUS_OK;
}

/* How many bytes of preamble and header are known to belong to this message. */
static enum status head_wanted(const struct wire_check *c, size_t *wanted, struct error *err)
{
    *wanted = PREAMBLE_BYTES;
    if (c->head.used < PREAMBLE_BYTES)
        return STATUS_OK;
    struct reader r;
    reader_init(&r, c->head.base, PREAMBLE_BYTES);
    reader_u64(&r);
    uint64_t length = reader_u64(&r);
    if (length == 0 || length > WIRE_HEADER_MAX_BYTES)
        return error_set(err, STATUS_CORRUPT, "its header has %" PRIu64 " bytes", length);
    *wanted += (size_t)length;
    return STATUS_OK;
}

static uint8_t entry_type(const struct wire_check *c)
{
    return c->head.base[ENTRIES_AT + ENTRY_BYTES * c->entry + 8];
}

/* The next entry that has a payload. */
static void entry_enter(struct wire_check *c)
{
    for (; c->entry < c->entry_count; c->entry++) {
        struct reader r;
        reader_init(&r, c->head.base + ENTRIES_AT + ENTRY_BYTES * c->entry + 12, 4);
        c->entry_left = reader_u32(&r);
        if (c->entry_left > 0)
            return;
    }
}

static enum status feed_head(struct wire_check *c, const uint8_t **bytes, size_t *length, struct wire_bytes *out,
                             struct error *err)
{
    size_t wanted;
    enum status status = head_wanted(c, &wanted, err);
    if (status != STATUS_OK)
        return status;
    size_t n = wanted - c->head.used;
    if (n > *length)
        n = *length;
    status = wire_bytes_add(&c->head, *bytes, n, err);
    *bytes += n;
    *length -= n;
    if (status == STATUS_OK && wanted == PREAMBLE_BYTES)
        return head_wanted(c, &wanted, err); /* a bad length is told as soon as it is there */
    if (status != STATUS_OK || c->head.used < wanted)
        return status;
    status = check_header(c, err);
    if (status == STATUS_OK)
        status = wire_bytes_add(out, c->head.base, c->head.used, err);
    if (c->payload_left == 0)
        c->head.used = 0;
    else
        entry_enter(c);
    return status;
}

static enum status feed_payload(struct wire_check *c, const uint8_t **bytes, size_t *length, struct wire_bytes *out,
                                struct error *err)
{
    bool in_entry = c->entry < c->entry_count; /* else in a snapshot */
    bool change = in_entry && entry_type(c) == CHANGE_TYPE;
    size_t n = c->payload_left < *length ? (size_t)c->payload_left : *length;
    if (in_entry && n > c->entry_left)
        n = c->entry_left;
    enum status status = wire_bytes_add(change ? &c->change : out, *bytes, n, err);
    *bytes += n;
    *length -= n;
    c->payload_left -= n;
    c->entry_left -= in_entry ? (uint32_t)n : 0;
    if (status == STATUS_OK && change && c->entry_left == 0) {
        if (!configuration_ok(c->change.base, c->change.used))
            return error_set(err, STATUS_CORRUPT, "it has an entry with an unreadable member list");
        status = wire_bytes_add(out, c->change.base, c->change.used, err);
        c->change.used = 0;
    }
    if (in_entry && c->entry_left == 0) {
        c->entry++;
        entry_enter(c);
    }
    if (c->payload_left == 0)
        c->head.used = 0;
    return status;
}

enum status wire_check_feed(struct wire_check *c, const uint8_t *bytes, size_t length, struct wire_bytes *out,
                            struct error *err)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && length > 0) {
        if (c->payload_left > 0) {
            status = feed_payload(c, &bytes, &length, out, err);
        } else {
            status = feed_head(c, &bytes, &length, out, err);
        }
    }
    return status;
}
