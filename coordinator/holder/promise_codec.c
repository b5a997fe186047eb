/* version u8, then the fields in order; every byte is accounted for. */
#include "core/codec.h"
#include "holder/promise.h"

#include <string.h>

#define VERSION 1

static void visit_version(struct codec *c)
{
    uint8_t version = VERSION;

    codec_u8(c, &version);
    if (version != VERSION)
        codec_refuse(c);
}

static void visit_ask(struct codec *c, struct promise_ask *ask)
{
    visit_version(c);
    codec_u64(c, &ask->token);
    codec_u64(c, &ask->config_version);
    codec_service(c, &ask->renew.service);
    codec_u64(c, &ask->renew.epoch);
    codec_u64(c, &ask->renew.node);
    codec_u32(c, &ask->renew.ttl_ms);
    codec_enforcement(c, &ask->renew.enforcement);
}

static void visit_answer(struct codec *c, struct promise_answer *answer)
{
    visit_version(c);
    codec_service(c, &answer->service);
    codec_u64(c, &answer->token);
    codec_u64(c, &answer->epoch);
    CODEC_ENUM(c, &answer->verdict, PROMISE_VERDICT_COUNT);
}

enum status promise_ask_encode(const struct promise_ask *ask, void *out, size_t capacity_bytes, size_t *length_bytes)
{
    struct codec c;

    codec_write_init(&c, out, capacity_bytes);
    visit_ask(&c, (struct promise_ask *)(uintptr_t)ask); /* a writing codec changes nothing */
    return codec_written(&c, length_bytes);
}

enum status promise_ask_decode(struct promise_ask *ask, const void *bytes, size_t length_bytes)
{
    struct codec c;

    memset(ask, 0, sizeof *ask);
    codec_read_init(&c, bytes, length_bytes);
    visit_ask(&c, ask);
    return codec_read_done(&c, "promise ask", NULL);
}

enum status promise_answer_encode(const struct promise_answer *answer, void *out, size_t capacity_bytes,
                                  size_t *length_bytes)
{
    struct codec c;

    codec_write_init(&c, out, capacity_bytes);
    visit_answer(&c, (struct promise_answer *)(uintptr_t)answer);
    return codec_written(&c, length_bytes);
}

enum status promise_answer_decode(struct promise_answer *answer, const void *bytes, size_t length_bytes)
{
    struct codec c;

    memset(answer, 0, sizeof *answer);
    codec_read_init(&c, bytes, length_bytes);
    visit_answer(&c, answer);
    return codec_read_done(&c, "promise answer", NULL);
}
