/* raft: frames between nodes, out of a stream that may be cut anywhere. What is delivered does not depend on the cuts. The input is the
 * stream; an odd first byte asks for right checksums. The file itself is included, with the channel's close replaced. */
#include "raft/channel.h"

static void fuzz_channel_close(struct channel *c, void (*closed)(void *ctx), void *ctx);
#define channel_close fuzz_channel_close
#include "raft/messages.c" /* NOLINT: its static functions are what is tested */
#undef channel_close

#include "tests/fuzz/fuzz.h"

#define STREAM_MAX_BYTES (256 * 1024)

struct delivered {
    uint64_t count;
    size_t bytes;
    uint32_t sum;
};

static bool dropped;

static void fuzz_channel_close(struct channel *c, void (*closed)(void *ctx), void *ctx)
{
    (void)c;
    (void)closed;
    (void)ctx;
    dropped = true;
}

static void receive(void *ctx, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct delivered *d = ctx;

    ASSERT(from == 3 && length <= MESSAGE_MAX_BYTES);
    d->count++;
    d->bytes += length;
    d->sum = crc32c(crc32c(d->sum, &type, 1), bytes, length);
}

static void checksums_set(uint8_t *stream, size_t size)
{
    for (size_t at = 0; size - at >= FRAME_HEADER_BYTES;) {
        uint8_t *frame = stream + at;
        struct reader r;
        struct writer w;
        size_t length;

        reader_init(&r, frame, 4);
        length = reader_u32(&r);
        if (length > MESSAGE_MAX_BYTES || length > size - at - FRAME_HEADER_BYTES)
            return;
        writer_init(&w, frame + FRAME_HEADER_BYTES - 4, 4);
        writer_u32(&w, crc32c(crc32c(0, frame, FRAME_HEADER_BYTES - 4), frame + FRAME_HEADER_BYTES, length));
        at += FRAME_HEADER_BYTES + length;
    }
}

static struct delivered run(const uint8_t *stream, size_t size, size_t chunk, bool *broken)
{
    static struct messages m;
    struct delivered d = { 0 };
    struct incoming *in = malloc(sizeof *in);

    ASSERT(in != NULL);
    m = (struct messages){ .config = { .ctx = &d, .receive = receive } };
    in->messages = &m;
    in->from = 3;
    in->channel = NULL;
    in->used = 0;
    m.incoming[0] = in;
    dropped = false;
    for (size_t at = 0; at < size && !dropped;) {
        size_t n = size - at < chunk ? size - at : chunk;

        on_in_bytes(in, stream + at, n);
        at += n;
    }
    *broken = dropped;
    ASSERT(m.counters.received == d.count && m.counters.broken_frames == (dropped ? 1 : 0));
    if (!dropped)
        incoming_drop(in);
    return d;
}

static void no_log(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_set_sink(no_log, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t stream[STREAM_MAX_BYTES];
    struct fuzz_input in = { data, size };
    bool right = (fuzz_u8(&in) & 1) != 0, whole_broken, cut_broken;
    size_t chunk = (size_t)fuzz_u8(&in) + 1;
    struct delivered whole, cut;

    if (in.left > sizeof stream)
        return 0;
    if (in.left > 0)
        memcpy(stream, in.at, in.left);
    if (right)
        checksums_set(stream, in.left);
    whole = run(stream, in.left, sizeof stream, &whole_broken);
    cut = run(stream, in.left, chunk, &cut_broken);
    ASSERT(whole_broken == cut_broken && whole.count == cut.count && whole.bytes == cut.bytes && whole.sum == cut.sum);
    return 0;
}
