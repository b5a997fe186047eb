/* core: whole logs. The input is a list of commands, each behind its length (u16); those that can be read are applied one after the other.
 * After each the invariants hold and its outcome can be sent; a refused one has changed nothing; at the end the state survives a snapshot. */
#include <stdbool.h>

#include "core/fsm.h"
#include "tests/fuzz/fuzz.h"

#define COMMANDS_MAX 64
#define LOG_MAX_BYTES (64 * 1024)

struct frame {
    const uint8_t *bytes;
    size_t size;
};

static struct state state, other;
static uint8_t snapshots[2][SNAPSHOT_MAX_BYTES];

static size_t frames_of(const uint8_t *data, size_t size, struct frame *out)
{
    struct fuzz_input in = { data, size };
    size_t count = 0;

    while (in.left > 0 && count < COMMANDS_MAX) {
        size_t length = fuzz_u8(&in);

        length |= (size_t)fuzz_u8(&in) << 8;
        out[count].bytes = fuzz_bytes(&in, &length);
        out[count++].size = length;
    }
    return count;
}

/* As bytes of a snapshot: the structs themselves have padding. */
static bool same(const struct state *a, const struct state *b)
{
    size_t a_bytes = 0, b_bytes = 0;

    ASSERT(snapshot_encode(a, snapshots[0], sizeof snapshots[0], &a_bytes) == STATUS_OK);
    ASSERT(snapshot_encode(b, snapshots[1], sizeof snapshots[1], &b_bytes) == STATUS_OK);
    return a_bytes == b_bytes && memcmp(snapshots[0], snapshots[1], a_bytes) == 0;
}

static void apply(const struct command *c, bool compare)
{
    uint64_t index = state.applied_index + 1, epochs = state.epoch_counter;
    int64_t now_ms = state.now_ms;
    uint8_t bytes[COMMAND_OUTCOME_MAX_BYTES];
    struct error err = ERROR_NONE;
    struct outcome outcome;
    size_t length;

    if (compare)
        other = state;
    fsm_apply(&state, index, c, &outcome);
    ASSERT(outcome_encode(&outcome, bytes, sizeof bytes, &length) == STATUS_OK);
    if (state_check(&state, &err) != STATUS_OK)
        check_failed(err.text, __FILE__, __LINE__);
    ASSERT(state.applied_index == index && state.now_ms >= now_ms && state.epoch_counter >= epochs);
    if (!compare || outcome.status == STATUS_OK)
        return;
    other.applied_index = state.applied_index;
    other.now_ms = state.now_ms;
    ASSERT(same(&other, &state));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command c;
    struct frame frames[COMMANDS_MAX];
    size_t count = frames_of(data, size, frames), length = 0;
    struct error err = ERROR_NONE;

    state_init(&state);
    for (size_t i = 0; i < count; i++)
        if (command_decode(&c, frames[i].bytes, frames[i].size, &err) == STATUS_OK)
            apply(&c, i + 1 == count);
    ASSERT(snapshot_encode(&state, snapshots[0], sizeof snapshots[0], &length) == STATUS_OK);
    ASSERT(snapshot_decode(&other, snapshots[0], length, &err) == STATUS_OK);
    ASSERT(same(&other, &state));
    return 0;
}

static size_t put(uint8_t *out, size_t used, size_t capacity, const uint8_t *bytes, size_t size)
{
    if (size > UINT16_MAX || used + 2 + size > capacity)
        return used;
    out[used] = (uint8_t)size;
    out[used + 1] = (uint8_t)(size >> 8);
    if (size > 0)
        memcpy(out + used + 2, bytes, size);
    return used + 2 + size;
}

/* Mutates within one command, or leaves out, doubles or moves a whole one: bytes alone would only ever break the framing. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    static uint8_t out[LOG_MAX_BYTES], one[LOG_MAX_BYTES];
    struct frame frames[COMMANDS_MAX];
    size_t count = frames_of(data, size, frames), used = 0, capacity = size_max < sizeof out ? size_max : sizeof out;
    unsigned what = seed % 8;
    size_t at = count > 0 ? seed / 8 % count : 0, to = count > 0 ? seed / 1024 % count : 0;

    if (count == 0 || size > sizeof out)
        return LLVMFuzzerMutate(data, size, size_max);
    for (size_t i = 0; i < count; i++) {
        const struct frame *f = &frames[what == 1 && i == at ? to : what == 1 && i == to ? at : i];
        size_t length = f->size;

        if (what == 2 && i == at)
            continue;
        if (what > 3 && i == at) {
            if (length > 0)
                memcpy(one, f->bytes, length);
            length = LLVMFuzzerMutate(one, length, length + 64 < sizeof one ? length + 64 : sizeof one);
            used = put(out, used, capacity, one, length);
            continue;
        }
        used = put(out, used, capacity, f->bytes, length);
        if (what == 3 && i == to)
            used = put(out, used, capacity, frames[at].bytes, frames[at].size);
    }
    if (used == 0)
        return LLVMFuzzerMutate(data, size, size_max);
    memcpy(data, out, used);
    return used;
}
