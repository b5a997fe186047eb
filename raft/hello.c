#include "raft/hello.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

#include <string.h>

#define HELLO_MAGIC 0x4f4c4843u  /* "CHLO" */
#define ANSWER_MAGIC 0x534e4143u /* "CANS" */
#define PROTOCOL_VERSION 1

const char *hello_verdict_text(enum hello_verdict verdict)
{
#define HELLO_VERDICT_TEXT(name, text) [name] = text,
    static const char *const texts[] = { HELLO_VERDICT_LIST(HELLO_VERDICT_TEXT) };
#undef HELLO_VERDICT_TEXT
    return (size_t)verdict < HELLO_VERDICT_COUNT ? texts[verdict] : "refused";
}

static void put_address(struct writer *w, const char *address)
{
    char field[ADDRESS_MAX_BYTES];
    text_copy(field, sizeof field, address);
    writer_bytes(w, field, sizeof field);
}

void hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES])
{
    struct writer w;
    writer_init(&w, out, HELLO_BYTES);
    writer_u32(&w, HELLO_MAGIC);
    writer_u16(&w, PROTOCOL_VERSION);
    writer_u16(&w, (uint16_t)h->kind);
    writer_u64(&w, h->cluster);
    writer_u64(&w, h->generation);
    writer_u64(&w, h->from);
    writer_u64(&w, h->to);
    put_address(&w, h->from_address);
    put_address(&w, h->to_address);
    writer_u32(&w, crc32c(0, out, w.used));
    ASSERT(writer_ok(&w) && w.used == HELLO_BYTES);
}

enum status hello_decode(const uint8_t in[HELLO_BYTES], struct hello *out)
{
    struct reader r;
    reader_init(&r, in, HELLO_BYTES);
    uint32_t magic = reader_u32(&r);
    uint16_t version = reader_u16(&r);
    uint16_t kind = reader_u16(&r);
    out->cluster = reader_u64(&r);
    out->generation = reader_u64(&r);
    out->from = reader_u64(&r);
    out->to = reader_u64(&r);
    reader_bytes(&r, out->from_address, sizeof out->from_address);
    reader_bytes(&r, out->to_address, sizeof out->to_address);
    uint32_t crc = reader_u32(&r);
    if (!reader_done(&r) || magic != HELLO_MAGIC || version != PROTOCOL_VERSION || kind >= HELLO_KIND_COUNT ||
        crc != crc32c(0, in, HELLO_BYTES - 4) || memchr(out->from_address, 0, sizeof out->from_address) == NULL ||
        memchr(out->to_address, 0, sizeof out->to_address) == NULL)
        return STATUS_CORRUPT;
    out->kind = (enum hello_kind)kind;
    return STATUS_OK;
}

enum hello_verdict hello_judge(const struct hello *h, const struct hello_facts *facts)
{
    /* First of all: nothing that follows is worth more than the proof of who says it. */
    if (facts->certificate != NULL && (facts->certificate->kind != TLS_NODE || facts->certificate->id != h->from))
        return HELLO_OTHER_CERTIFICATE;
    if (h->cluster != facts->cluster)
        return HELLO_OTHER_CLUSTER;
    if (h->from == facts->self)
        return HELLO_MYSELF;
    if (h->to != facts->self || strcmp(h->to_address, facts->self_address) != 0)
        return HELLO_NOT_ME;
    if (h->generation != facts->generation)
        return h->generation < facts->generation ? HELLO_OLD_GENERATION : HELLO_NEW_GENERATION;
    if (facts->member_address == NULL)
        return facts->perhaps_newer ? HELLO_ACCEPTED : HELLO_UNKNOWN_NODE;
    if (strcmp(h->from_address, facts->member_address) != 0)
        return HELLO_OTHER_ADDRESS;
    return HELLO_ACCEPTED;
}

void hello_answer_encode(enum hello_verdict verdict, uint8_t out[HELLO_ANSWER_BYTES])
{
    struct writer w;
    writer_init(&w, out, HELLO_ANSWER_BYTES);
    writer_u32(&w, ANSWER_MAGIC);
    writer_u16(&w, PROTOCOL_VERSION);
    writer_u16(&w, (uint16_t)verdict);
    ASSERT(writer_ok(&w) && w.used == HELLO_ANSWER_BYTES);
}

enum status hello_answer_decode(const uint8_t in[HELLO_ANSWER_BYTES], enum hello_verdict *verdict)
{
    struct reader r;
    reader_init(&r, in, HELLO_ANSWER_BYTES);
    uint32_t magic = reader_u32(&r);
    reader_u16(&r); /* a newer version's refusal is still a refusal */
    uint16_t value = reader_u16(&r);
    if (!reader_done(&r) || magic != ANSWER_MAGIC)
        return STATUS_CORRUPT;
    *verdict = value < HELLO_VERDICT_COUNT ? (enum hello_verdict)value : HELLO_MALFORMED;
    return STATUS_OK;
}
