/* core: a snapshot. The input is its body: head and checksum are made right here, since no fuzzer finds a checksum. A state that is read
 * is written and read again as the same, and can be looked at and applied to, whatever stands in it. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "core/fsm.h"
#include "core/gates.h"
#include "tests/fuzz/fuzz.h"

#define HEAD_BYTES 16u
#define BODY_MAX_BYTES (256u * 1024)

static struct state first, second;
static uint8_t bytes[BODY_MAX_BYTES + HEAD_BYTES], again[SNAPSHOT_MAX_BYTES], third[SNAPSHOT_MAX_BYTES];

static void look(void)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned site = 0; first.services[i].present && site < SITES_MAX; site++)
            (void)gates_check(&first, (service_id)i, (site_id)site, OPERATION_FAILOVER, 0, first.now_ms);
}

static void apply(void)
{
    static struct command c;
    struct outcome outcome;
    struct error err = ERROR_NONE;

    if (state_check(&first, &err) != STATUS_OK)
        return; /* no state that the log can lead to */
    command_clear(&c, COMMAND_NODE_HEARD);
    c.at_ms = first.now_ms;
    c.node_heard.node = first.members[0].id;
    fsm_apply(&first, first.applied_index + 1, &c, &outcome);
    command_clear(&c, COMMAND_SERVICE_SET);
    c.at_ms = first.now_ms;
    c.service_set.change = SERVICE_DISARM;
    fsm_apply(&first, first.applied_index + 1, &c, &outcome);
    ASSERT((unsigned)outcome.status < STATUS_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_NONE;
    struct writer w;
    size_t length = 0, length_again = 0;

    if (size > BODY_MAX_BYTES)
        return 0;
    if (size < 64)
        (void)snapshot_decode(&first, data, size, &err); /* a head that is not ours */
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, 0x53524f43u);
    writer_u32(&w, 1);
    writer_u32(&w, (uint32_t)size);
    writer_u32(&w, crc32c(0, data, size));
    writer_bytes(&w, data, size);
    ASSERT(writer_ok(&w));
    if (snapshot_decode(&first, bytes, w.used, &err) != STATUS_OK)
        return 0;
    ASSERT(snapshot_encode(&first, again, sizeof again, &length) == STATUS_OK);
    ASSERT(snapshot_decode(&second, again, length, &err) == STATUS_OK);
    ASSERT(snapshot_encode(&second, third, sizeof third, &length_again) == STATUS_OK);
    ASSERT(length == length_again && memcmp(again, third, length) == 0);
    look();
    apply();
    return 0;
}
