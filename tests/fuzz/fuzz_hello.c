/* raft: the first bytes of a connection and their answer. A hello that is read is written and read again as the same, and is accepted only
 * where everything in it is right. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "raft/hello.h"
#include "tests/fuzz/fuzz.h"

static void judge(const struct hello *h)
{
    const char *self = "127.10.2.1:7400", *member = "127.10.1.1:7400";
    struct tls_identity certificate = { .kind = TLS_NODE, .id = 1 };
    struct hello_facts facts = {
        .cluster = 42, .generation = 1, .self = 2, .self_address = self, .member_address = member
    };
    enum hello_verdict verdict = hello_judge(h, &facts);

    ASSERT((verdict == HELLO_ACCEPTED) == (h->cluster == 42 && h->generation == 1 && h->to == 2 && h->from != 2 &&
                                           strcmp(h->to_address, self) == 0 && strcmp(h->from_address, member) == 0));
    facts.certificate = &certificate;
    ASSERT((hello_judge(h, &facts) == HELLO_ACCEPTED) == (verdict == HELLO_ACCEPTED && h->from == 1));
    facts.member_address = NULL;
    ASSERT(hello_judge(h, &facts) != HELLO_ACCEPTED);
}

static void decode(const uint8_t in[HELLO_BYTES])
{
    uint8_t bytes[HELLO_BYTES];
    struct hello h, again;

    if (hello_decode(in, &h) != STATUS_OK)
        return;
    hello_encode(&h, bytes);
    ASSERT(hello_decode(bytes, &again) == STATUS_OK);
    ASSERT(again.kind == h.kind && again.cluster == h.cluster && again.from == h.from &&
           again.generation == h.generation && again.to == h.to);
    ASSERT(strcmp(again.from_address, h.from_address) == 0 && strcmp(again.to_address, h.to_address) == 0);
    judge(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t in[HELLO_BYTES] = { 0 };
    enum hello_verdict verdict;
    struct writer w;

    memcpy(in, data, size < sizeof in ? size : sizeof in);
    decode(in);
    if (hello_answer_decode(in, &verdict) == STATUS_OK)
        ASSERT((unsigned)verdict < HELLO_VERDICT_COUNT && hello_verdict_text(verdict)[0] != '\0');
    writer_init(&w, in, sizeof in);
    writer_u32(&w, 0x4f4c4843u);
    writer_init(&w, in + HELLO_BYTES - 4, 4);
    writer_u32(&w, crc32c(0, in, HELLO_BYTES - 4));
    decode(in);
    return 0;
}
