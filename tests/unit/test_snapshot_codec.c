/* Snapshots: every field of the state survives the way through bytes, and no bytes lead out of bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "codec_full.h"
#include "core/fsm.h"

#define HEAD_BYTES 16

struct fixture {
    struct state a, b;
    uint8_t bytes[SNAPSHOT_MAX_BYTES];
    uint8_t again[SNAPSHOT_MAX_BYTES];
};
static struct fixture *f;

static int setup(void **state)
{
    (void)state;
    f = calloc(1, sizeof(*f));
    return f == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    free(f);
    return 0;
}
/* A small cluster in the middle of a failover: most slots are empty. */
static void small_state(struct state *s)
{
    struct service *svc = &s->services[3];
    struct step_run *run;

    state_init(s);
    s->applied_index = 77;
    s->members[1] =
        (struct member){ .id = 2, .site = 1, .witness = true, .heard = true, .heard_index = 9, .version = 1 };
    (void)text_copy(s->members[1].name, NAME_MAX_BYTES, "b1");
    (void)text_copy(s->sites[1].name, NAME_MAX_BYTES, "site-b");
    svc->present = true;
    (void)text_copy(svc->config.name, NAME_MAX_BYTES, "app");
    svc->config.site_count = 1;
    svc->config.sites[0].site = 1;
    svc->primary = 1;
    svc->views[1].opinions[1].word = OPINION_GRAY;
    svc->operation.id = 70;
    svc->operation.state = OPERATION_RUNNING;
    svc->operation.service = 3;
    svc->operation.run_count = 1;
    run = &svc->operation.runs[0];
    run->state = RUN_ASSIGNED;
    (void)text_copy(run->detail, DETAIL_MAX_BYTES, "severed at 0/5A001F8");
    s->incidents[5].id = 12;
    s->events.last_number = 2;
    s->events.slots[1].number = 1;
    s->events.slots[2].number = 2;
}

static size_t assert_state_survives(void)
{
    struct error err = ERROR_NONE;
    size_t length, again;

    assert_int_equal(snapshot_encode(&f->a, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
    memset(&f->b, 0xee, sizeof(f->b));
    assert_int_equal(snapshot_decode(&f->b, f->bytes, length, &err), STATUS_OK);
    assert_int_equal(snapshot_encode(&f->b, f->again, sizeof(f->again), &again), STATUS_OK);
    assert_int_equal(length, again);
    assert_memory_equal(f->bytes, f->again, length);
    return length;
}

static void a_full_state_survives_with_every_field(void **state)
{
    (void)state;
    full_state(&f->a);
    (void)assert_state_survives();
    assert_int_equal(bytes_lost(&f->a, &f->b, sizeof(f->a)), PADDING_STATE);
}

static void a_small_state_survives_with_its_empty_slots(void **state)
{
    (void)state;
    small_state(&f->a);
    assert_true(assert_state_survives() < 1500);
    assert_memory_equal(&f->a, &f->b, sizeof(f->a));
    state_init(&f->a);
    assert_true(assert_state_survives() < 200);
    assert_memory_equal(&f->a, &f->b, sizeof(f->a));
}

static void put_u32(uint8_t *at, uint32_t value)
{
    struct writer w;

    writer_init(&w, at, 4);
    writer_u32(&w, value);
}

static void a_snapshot_that_is_cut_or_changed_is_refused(void **state)
{
    struct error err;
    size_t length;

    (void)state;
    small_state(&f->a);
    length = assert_state_survives();
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *exact = malloc(cut + 1);

        memcpy(exact + 1, f->bytes, cut);
        err = ERROR_NONE;
        assert_int_equal(snapshot_decode(&f->b, exact + 1, cut, &err), STATUS_CORRUPT);
        assert_int_equal(err.status, STATUS_CORRUPT);
        if (cut >= HEAD_BYTES) { /* also when the head agrees with the cut */
            put_u32(exact + 1 + 8, (uint32_t)(cut - HEAD_BYTES));
            put_u32(exact + 1 + 12, crc32c(0, exact + 1 + HEAD_BYTES, cut - HEAD_BYTES));
            assert_int_equal(snapshot_decode(&f->b, exact + 1, cut, &err), STATUS_CORRUPT);
        }
        free(exact);
    }
    for (size_t at = 0; at < length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            f->bytes[at] ^= (uint8_t)(1u << bit);
            assert_int_equal(snapshot_decode(&f->b, f->bytes, length, &err), STATUS_CORRUPT);
            f->bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
}

static void a_snapshot_of_a_newer_cluster_is_named(void **state)
{
    struct error err = ERROR_NONE;
    size_t length;

    (void)state;
    small_state(&f->a);
    length = assert_state_survives();
    f->bytes[4]++;
    assert_int_equal(snapshot_decode(&f->b, f->bytes, length, &err), STATUS_CORRUPT);
    assert_string_equal(err.text, "a snapshot of cluster version 2, and this coordd reads up to 1");
}

/* The checksum aside: what a node with other code might write. */
static void a_state_with_a_wrong_byte_is_refused_or_in_bounds(void **state)
{
    struct error err;
    size_t length, again;
    unsigned refused = 0, accepted = 0;

    (void)state;
    small_state(&f->a);
    length = assert_state_survives();
    for (size_t at = HEAD_BYTES; at < length; at++) {
        for (unsigned value = 0; value < 256; value += 17) {
            uint8_t was = f->bytes[at];

            f->bytes[at] = (uint8_t)value;
            put_u32(f->bytes + 12, crc32c(0, f->bytes + HEAD_BYTES, length - HEAD_BYTES));
            if (snapshot_decode(&f->b, f->bytes, length, &err) == STATUS_OK) {
                assert_int_equal(snapshot_encode(&f->b, f->again, sizeof(f->again), &again), STATUS_OK);
                assert_int_equal(snapshot_decode(&f->b, f->again, again, &err), STATUS_OK);
                accepted++;
            } else {
                refused++;
            }
            f->bytes[at] = was;
        }
    }
    assert_true(refused > 1000);
    assert_true(accepted > 1000);
}

static void a_broken_state_is_not_written(void **state)
{
    size_t length;

    (void)state;
    small_state(&f->a);
    f->a.events.slots[2].number = 3;
    assert_int_equal(snapshot_encode(&f->a, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    small_state(&f->a);
    f->a.services[3].operation.run_count = RUNS_MAX + 1;
    assert_int_equal(snapshot_encode(&f->a, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    small_state(&f->a);
    assert_int_equal(snapshot_encode(&f->a, f->bytes, 100, &length), STATUS_FULL);
    assert_int_equal(snapshot_encode(&f->a, f->bytes, 10, &length), STATUS_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_state_survives_with_every_field),
        cmocka_unit_test(a_small_state_survives_with_its_empty_slots),
        cmocka_unit_test(a_snapshot_that_is_cut_or_changed_is_refused),
        cmocka_unit_test(a_snapshot_of_a_newer_cluster_is_named),
        cmocka_unit_test(a_state_with_a_wrong_byte_is_refused_or_in_bounds),
        cmocka_unit_test(a_broken_state_is_not_written),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
