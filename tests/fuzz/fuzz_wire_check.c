/* raft: the peer's Raft stream. What is passed on does not depend on how the bytes are cut; and libraft's own decoder takes every message
 * that was passed on, reads nothing behind its header, and finds the payload that was counted. */
#include <raft.h>
#include <uv.h>

#include "base/bytes.h"
#include "raft/wire_check.h"
#include "tests/fuzz/fuzz.h"

#define SNAPSHOT_MOST 4096
#define PREAMBLE_BYTES 16
#define WINDOW_BYTES (64 * 1024)

/* Of libraft's archive; not in its headers. */
int uvDecodeMessage(uint8_t type, uint8_t version, const uv_buf_t *header, struct raft_message *message,
                    size_t *payload_bytes);

static uint8_t *window_end; /* behind it nothing can be read, also not by code that no sanitizer has seen */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint8_t *window = mmap(NULL, WINDOW_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)argc;
    (void)argv;
    ASSERT(window != MAP_FAILED);
    ASSERT(mprotect(window + WINDOW_BYTES, 4096, PROT_NONE) == 0);
    window_end = window + WINDOW_BYTES;
    return 0;
}

static enum status feed(const uint8_t *data, size_t size, size_t chunk, struct wire_bytes *out)
{
    struct wire_check check;
    struct error err = ERROR_NONE;
    enum status status = STATUS_OK;

    wire_check_init(&check, SNAPSHOT_MOST);
    for (size_t i = 0; i < size && status == STATUS_OK; i += chunk)
        status = wire_check_feed(&check, data + i, size - i < chunk ? size - i : chunk, out, &err);
    ASSERT(status == STATUS_OK || (status == STATUS_CORRUPT && err.text[0] != '\0'));
    wire_check_close(&check);
    return status;
}

static void message_free(struct raft_message *m)
{
    if (m->type == RAFT_APPEND_ENTRIES)
        raft_free(m->append_entries.entries);
    if (m->type == RAFT_INSTALL_SNAPSHOT)
        raft_configuration_close(&m->install_snapshot.conf);
}

static void libraft_takes(const struct wire_bytes *out)
{
    size_t at = 0;

    while (out->used - at >= PREAMBLE_BYTES) {
        struct raft_message message;
        struct reader r;
        uint64_t first, length;
        size_t payload = 0;
        uv_buf_t header;

        reader_init(&r, out->base + at, PREAMBLE_BYTES);
        first = reader_u64(&r);
        length = reader_u64(&r);
        ASSERT(length > 0 && length <= out->used - at - PREAMBLE_BYTES);
        if (length > WINDOW_BYTES)
            return;
        header = uv_buf_init((char *)window_end - length, (unsigned)length);
        memcpy(header.base, out->base + at + PREAMBLE_BYTES, length);
        memset(&message, 0, sizeof message);
        ASSERT(uvDecodeMessage((uint8_t)first, (uint8_t)(first >> 16), &header, &message, &payload) == 0);
        message_free(&message);
        at += PREAMBLE_BYTES + (size_t)length;
        if (payload > out->used - at)
            return;
        at += payload;
    }
    ASSERT(at == out->used); /* a preamble is passed on with its header only */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    size_t chunk = (size_t)fuzz_u8(&in) + 1;
    struct wire_bytes whole = { 0 }, cut = { 0 };
    enum status status = feed(in.at, in.left, in.left > 0 ? in.left : 1, &whole);

    ASSERT(feed(in.at, in.left, chunk, &cut) == status);
    ASSERT(whole.used == cut.used && (whole.used == 0 || memcmp(whole.base, cut.base, whole.used) == 0));
    libraft_takes(&whole);
    wire_bytes_close(&whole);
    wire_bytes_close(&cut);
    return 0;
}
