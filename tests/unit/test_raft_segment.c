/* Where a log file of libraft's ends, and how. The files are made here; real ones are in tests/integration/test_raft_damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/entry.h"
#include "raft/segment.h"

#include <raft.h>

static uint8_t file[16384];
static size_t used;

/* One batch of `n` commands, the first of which is made for `index`. */
static void batch_add(uint64_t index, unsigned n)
{
    struct writer w;
    uint8_t *batch = file + used;
    size_t payload = 40, frame = entry_frame_bytes(payload);
    uint8_t *data = batch + 16 + 16 * n;
    writer_init(&w, batch + 8, 8 + 16 * n);
    writer_u64(&w, n);
    for (unsigned i = 0; i < n; i++) {
        writer_u64(&w, 5);
        writer_u32(&w, RAFT_COMMAND);
        writer_u32(&w, (uint32_t)frame);
        memset(data + i * frame + ENTRY_HEADER_BYTES, 'x', payload);
        entry_seal(ENTRY_COMMAND, index + i, 5, data + i * frame, payload);
    }
    writer_init(&w, batch, 8);
    writer_u32(&w, segment_crc(0, batch + 8, 8 + 16 * n));
    writer_u32(&w, segment_crc(0, data, n * frame));
    used += 16 + 16 * n + n * frame;
}

/* Entries 10 to 14 in two batches. */
static int setup(void **state)
{
    struct writer w;
    (void)state;
    memset(file, 0, sizeof file);
    writer_init(&w, file, 8);
    writer_u64(&w, 1);
    used = 8;
    batch_add(10, 2);
    batch_add(12, 3);
    return 0;
}

static void expect(size_t length, uint64_t first, enum segment_end end, uint64_t entries)
{
    struct segment_scan scan;
    segment_scan(file, length, first, &scan);
    assert_int_equal(scan.end, end);
    assert_int_equal(scan.entries, entries);
}

static void a_good_file_ends_whole_or_in_zeros(void **state)
{
    (void)state;
    expect(used, 10, SEGMENT_WHOLE, 5);
    expect(sizeof file, 10, SEGMENT_ZEROS, 5);
    memset(file, 0, sizeof file);
    expect(sizeof file, 10, SEGMENT_ZEROS, 0);
    expect(0, 10, SEGMENT_ZEROS, 0);
}

static void a_command_at_another_index_is_foreign(void **state)
{
    (void)state;
    expect(used, 11, SEGMENT_FOREIGN, 0);
    used = 8;
    batch_add(10, 2);
    batch_add(13, 3); /* one is missing before it */
    expect(used, 10, SEGMENT_FOREIGN, 2);
}

static void every_cut_is_seen(void **state)
{
    (void)state;
    for (size_t length = 1; length < used; length++) {
        struct segment_scan scan;
        segment_scan(file, length, 10, &scan);
        if (scan.end == SEGMENT_WHOLE || (scan.end == SEGMENT_ZEROS && scan.entries > 0))
            assert_true(scan.entries == 2 || length == 8 || scan.end == SEGMENT_ZEROS);
        else
            assert_int_equal(scan.end, SEGMENT_SHORT);
        assert_true(scan.entries < 5);
    }
}

static void every_flipped_bit_is_seen(void **state)
{
    size_t second;
    (void)state;
    second = used;
    used = 8;
    batch_add(10, 2);
    size_t boundary = used;
    used = second;
    for (size_t bit = 0; bit < used * 8; bit++) {
        struct segment_scan scan;
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        segment_scan(file, sizeof file, 10, &scan);
        assert_true(scan.end == SEGMENT_TORN || scan.end == SEGMENT_SHORT);
        assert_int_equal(scan.entries, bit / 8 < boundary ? 0 : 2);
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_file_ends_whole_or_in_zeros, setup),
        cmocka_unit_test_setup(a_command_at_another_index_is_foreign, setup),
        cmocka_unit_test_setup(every_cut_is_seen, setup),
        cmocka_unit_test_setup(every_flipped_bit_is_seen, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
