/* What the guard does about changes of the members: a message that libraft would misread is cut, and an only voter is known as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/append_cut.h"
#include "raft/lone_voter.h"
#include "raft/member_list.h"

static struct raft_append_entries message(unsigned count, void *batch)
{
    struct raft_append_entries args = { .prev_log_index = 10, .n_entries = count };
    args.entries = raft_calloc(count, sizeof args.entries[0]);
    for (unsigned i = 0; i < count; i++)
        args.entries[i] = (struct raft_entry){ .term = 3, .type = RAFT_COMMAND, .batch = batch };
    return args;
}

static void a_message_is_cut_before_a_change_that_is_not_its_first_entry(void **state)
{
    void *batch = raft_malloc(64);
    struct raft_append_entries args = message(5, batch);

    (void)state;
    args.entries[3].type = RAFT_CHANGE;
    assert_true(append_cut(&args));
    assert_int_equal(args.n_entries, 3); /* the batch is still theirs */
    assert_false(append_cut(&args));
    args.entries[0].type = RAFT_CHANGE;
    assert_false(append_cut(&args));
    args.entries[2].type = RAFT_CHANGE;
    assert_true(append_cut(&args));
    assert_int_equal(args.n_entries, 2);
    raft_free(batch);
    raft_free(args.entries);
}

/* The sanitizer sees what is freed twice, or not at all. */
static void what_is_cut_off_is_freed_once(void **state)
{
    void *kept = raft_malloc(64), *lost = raft_malloc(64);
    struct raft_append_entries args = message(5, kept);

    (void)state;
    args.entries[1].type = RAFT_CHANGE;
    args.entries[2].batch = lost;
    args.entries[3].batch = lost;
    args.entries[4].batch = NULL;
    args.entries[4].buf.base = raft_malloc(8);
    assert_true(append_cut(&args));
    assert_int_equal(args.n_entries, 1);
    raft_free(kept);
    raft_free(args.entries);
}

static void an_empty_message_is_left_alone(void **state)
{
    struct raft_append_entries args = { .n_entries = 0 };

    (void)state;
    assert_false(append_cut(&args));
}

static size_t list(uint8_t *out, size_t capacity, unsigned voters, unsigned standbys)
{
    struct writer w;

    writer_init(&w, out, capacity);
    writer_u8(&w, 1);
    writer_u64(&w, voters + standbys);
    for (unsigned i = 0; i < voters + standbys; i++) {
        writer_u64(&w, i + 1);
        writer_bytes(&w, "h:1", 4);
        writer_u8(&w, i < voters ? RAFT_VOTER : RAFT_STANDBY);
    }
    return w.used;
}

static void the_newest_list_says_who_is_the_only_voter(void **state)
{
    uint8_t old[200], new[200];
    struct raft_entry entries[3] = { { .type = RAFT_CHANGE, .buf = { .base = old } },
                                     { .type = RAFT_CHANGE, .buf = { .base = new } },
                                     { .type = RAFT_COMMAND } };

    (void)state;
    entries[0].buf.len = list(old, sizeof old, 2, 0);
    entries[1].buf.len = list(new, sizeof new, 1, 2);
    assert_true(lone_voter(1, NULL, entries, 3));
    assert_false(lone_voter(2, NULL, entries, 3));
    assert_false(lone_voter(1, NULL, entries, 1));
    assert_false(lone_voter(1, NULL, NULL, 0));
    entries[1].buf.len -= 5; /* what cannot be read says no */
    assert_false(lone_voter(1, NULL, entries, 3));
}

static void a_list_that_is_not_whole_is_none(void **state)
{
    static const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = { { 0, 2 } /* format */, { 1, 200 } /* count */, { 21, 7 } /* role */ };
    uint8_t bytes[200];
    struct rnode_member members[MEMBER_LIST_MAX];
    size_t length = list(bytes, sizeof bytes, 1, 1), count = 9;

    (void)state;
    assert_int_equal(member_list_decode(bytes, length, members, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(members[1].address, "h:1");
    assert_true(members[0].voter && !members[1].voter && !members[1].spare);
    for (size_t cut = 0; cut < length; cut++) {
        assert_int_equal(member_list_decode(bytes, cut, members, &count), STATUS_CORRUPT);
        assert_int_equal(count, 0);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)list(bytes, sizeof bytes, 1, 1);
        assert_int_not_equal(bytes[wrong[i].at], wrong[i].byte);
        bytes[wrong[i].at] = wrong[i].byte;
        assert_int_equal(member_list_decode(bytes, length, members, &count), STATUS_CORRUPT);
    }
}

static void a_snapshot_s_list_counts_when_no_entry_has_one(void **state)
{
    uint8_t bytes[200];
    struct raft_snapshot snapshot = { .index = 7 };
    struct raft_entry entry = { .type = RAFT_CHANGE, .buf = { .base = bytes, .len = list(bytes, sizeof bytes, 2, 0) } };

    (void)state;
    raft_configuration_init(&snapshot.configuration);
    assert_int_equal(raft_configuration_add(&snapshot.configuration, 5, "h:5", RAFT_VOTER), 0);
    assert_int_equal(raft_configuration_add(&snapshot.configuration, 6, "h:6", RAFT_SPARE), 0);
    assert_true(lone_voter(5, &snapshot, NULL, 0));
    assert_false(lone_voter(6, &snapshot, NULL, 0));
    assert_false(lone_voter(5, &snapshot, &entry, 1));
    assert_int_equal(raft_configuration_add(&snapshot.configuration, 7, "h:7", RAFT_VOTER), 0);
    assert_false(lone_voter(5, &snapshot, NULL, 0));
    raft_configuration_close(&snapshot.configuration);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_cut_before_a_change_that_is_not_its_first_entry),
        cmocka_unit_test(what_is_cut_off_is_freed_once),
        cmocka_unit_test(an_empty_message_is_left_alone),
        cmocka_unit_test(the_newest_list_says_who_is_the_only_voter),
        cmocka_unit_test(a_list_that_is_not_whole_is_none),
        cmocka_unit_test(a_snapshot_s_list_counts_when_no_entry_has_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
