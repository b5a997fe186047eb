/* holder: a question for a promise and its answer, as they come from another node. What is read as one is written the same, and whatever it
 * asks for, a node without a service promises nothing. */
#include "holder/promise.h"
#include "tests/fuzz/fuzz.h"

static void question(const uint8_t *data, size_t size)
{
    static const struct state empty;
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES];
    struct promise_ask ask;
    size_t length = 0;

    if (promise_ask_decode(&ask, data, size) != STATUS_OK)
        return;
    ASSERT(ask.renew.service < SERVICES_MAX);
    ASSERT(promise_ask_encode(&ask, bytes, sizeof bytes, &length) == STATUS_OK);
    ASSERT(length == size && memcmp(bytes, data, size) == 0);
    ASSERT(promise_judge(&empty, 2, true, false, ask.renew.node, &ask) == PROMISE_OTHER_LEASE);
}

static void answer(const uint8_t *data, size_t size)
{
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES];
    struct promise_answer read;
    size_t length = 0;

    if (promise_answer_decode(&read, data, size) != STATUS_OK)
        return;
    ASSERT(read.service < SERVICES_MAX && (unsigned)read.verdict < PROMISE_VERDICT_COUNT);
    ASSERT(promise_answer_encode(&read, bytes, sizeof bytes, &length) == STATUS_OK);
    ASSERT(length == size && memcmp(bytes, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    question(data, size);
    answer(data, size);
    return 0;
}
