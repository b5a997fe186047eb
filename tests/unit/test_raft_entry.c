/* Frames of entries and snapshots, the check of a peer's Raft stream, and the hello. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/entry.h"
#include "raft/hello.h"
#include "raft/wire_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_frame_opens_to_what_was_sealed(void **state)
{
    uint8_t frame[ENTRY_HEADER_BYTES + 64];
    (void)state;
    for (size_t length = 0; length <= 24; length++) {
        struct entry_view view;
        memset(frame, 0xee, sizeof frame);
        memset(frame + ENTRY_HEADER_BYTES, 'a', length);
        entry_seal(ENTRY_COMMAND, 77, 5, frame, length);
        assert_int_equal(entry_frame_bytes(length) % 8, 0);
        assert_int_equal(entry_open(ENTRY_COMMAND, frame, entry_frame_bytes(length), &view, NULL), STATUS_OK);
        assert_int_equal(view.index, 77);
        assert_int_equal(view.term, 5);
        assert_int_equal(view.payload_bytes, length);
        assert_ptr_equal(view.payload, frame + ENTRY_HEADER_BYTES);
    }
}

static void any_flipped_bit_or_cut_of_a_frame_is_refused(void **state)
{
    uint8_t frame[ENTRY_HEADER_BYTES + 16];
    struct entry_view view;
    size_t bytes = entry_frame_bytes(11);
    (void)state;
    memcpy(frame + ENTRY_HEADER_BYTES, "hello world", 11);
    entry_seal(ENTRY_SNAPSHOT, 9, 2, frame, 11);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        frame[bit / 8] = (uint8_t)(frame[bit / 8] ^ (1u << bit % 8));
        assert_int_equal(entry_open(ENTRY_SNAPSHOT, frame, bytes, &view, NULL), STATUS_CORRUPT);
        frame[bit / 8] = (uint8_t)(frame[bit / 8] ^ (1u << bit % 8));
    }
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(entry_open(ENTRY_SNAPSHOT, frame, cut, &view, NULL), STATUS_CORRUPT);
    assert_int_equal(entry_open(ENTRY_COMMAND, frame, bytes, &view, NULL), STATUS_CORRUPT); /* not its kind */
    assert_int_equal(entry_open(ENTRY_SNAPSHOT, frame, bytes, &view, NULL), STATUS_OK);
}

/* ---- the peer's stream ---- */

static uint8_t stream[8192];
static struct writer out;

static void message_begin(uint8_t type, uint64_t header_bytes)
{
    writer_u8(&out, type);
    writer_bytes(&out, (const uint8_t[7]){ 0 }, 7);
    writer_u64(&out, header_bytes);
}

static void append_entries(uint64_t announced, uint64_t count, uint32_t bytes, uint8_t type)
{
    message_begin(1, 32 + 8 + 16 * count + 8);
    for (int i = 0; i < 4; i++)
        writer_u64(&out, 3);
    writer_u64(&out, announced);
    for (uint64_t i = 0; i < count; i++) {
        writer_u64(&out, 3);
        writer_u8(&out, type);
        writer_bytes(&out, (const uint8_t[3]){ 0 }, 3);
        writer_u32(&out, bytes);
    }
    writer_u64(&out, 0);
    for (uint64_t i = 0; i < count * bytes; i++)
        writer_u8(&out, 'x');
}

/* A command, and a change of the members of which the list has this role. */
static void change_entry(uint8_t role)
{
    message_begin(1, 32 + 8 + 2 * 16);
    for (int i = 0; i < 4; i++)
        writer_u64(&out, 3);
    writer_u64(&out, 2);
    for (int i = 0; i < 2; i++) {
        writer_u64(&out, 3);
        writer_u8(&out, i == 0 ? 1 : 3);
        writer_bytes(&out, (const uint8_t[3]){ 0 }, 3);
        writer_u32(&out, i == 0 ? 8 : 24);
    }
    writer_u64(&out, 77);
    writer_u8(&out, 1);
    writer_u64(&out, 1);
    writer_u64(&out, 7);
    writer_bytes(&out, "a:1", 4);
    writer_u8(&out, role);
    writer_u16(&out, 0);
}

static void install_snapshot(uint64_t configuration_bytes, const char *address, uint64_t snapshot_bytes)
{
    message_begin(5, 40 + 32 + 16);
    for (int i = 0; i < 4; i++)
        writer_u64(&out, 3);
    writer_u64(&out, configuration_bytes);
    writer_u8(&out, 1);
    writer_u64(&out, 1);
    writer_u64(&out, 7);
    size_t begin = out.used;
    writer_bytes(&out, address, strlen(address) + 1);
    writer_u8(&out, 1);
    while (out.used < begin + 15)
        writer_u8(&out, 0);
    writer_u64(&out, snapshot_bytes);
    writer_u64(&out, 0);
    for (uint64_t i = 0; i < snapshot_bytes && i < 64; i++)
        writer_u8(&out, 's');
}

static void plain(uint8_t type, uint64_t header_bytes)
{
    message_begin(type, header_bytes);
    for (uint64_t i = 0; i < header_bytes && out.used < sizeof stream; i++)
        writer_u8(&out, 1);
}

static enum status feed(size_t chunk, struct wire_bytes *passed, char *text)
{
    struct wire_check check;
    struct error err = ERROR_NONE;
    enum status status = STATUS_OK;
    wire_check_init(&check, 64);
    for (size_t i = 0; i < out.used && status == STATUS_OK; i += chunk)
        status = wire_check_feed(&check, stream + i, out.used - i < chunk ? out.used - i : chunk, passed, &err);
    wire_check_close(&check);
    if (text != NULL)
        strcpy(text, err.text);
    return status;
}

static void good_messages_pass_unchanged_in_any_chunks(void **state)
{
    (void)state;
    writer_init(&out, stream, sizeof stream);
    append_entries(0, 0, 0, 1);
    append_entries(3, 3, 48, 1);
    plain(2, 32);
    plain(3, 40);
    plain(4, 24);
    install_snapshot(32, "a:1", 64);
    plain(6, 24);
    change_entry(1);
    append_entries(1, 1, 8, 2);
    assert_true(writer_ok(&out));
    for (size_t chunk = 1; chunk < 200; chunk++) {
        struct wire_bytes passed = { 0 };
        assert_int_equal(feed(chunk, &passed, NULL), STATUS_OK);
        assert_int_equal(passed.used, out.used);
        assert_memory_equal(passed.base, stream, out.used);
        wire_bytes_close(&passed);
    }
}

static void a_change_of_the_members_is_held_until_its_list_is_good(void **state)
{
    struct wire_bytes passed = { 0 };
    char text[ERROR_TEXT_MAX];
    size_t command_end;
    (void)state;
    writer_init(&out, stream, sizeof stream);
    change_entry(9);
    command_end = out.used - 24;
    assert_int_equal(feed(5, &passed, text), STATUS_CORRUPT);
    assert_non_null(strstr(text, "unreadable member list"));
    assert_int_equal(passed.used, command_end); /* of the list itself libraft gets nothing */
    wire_bytes_close(&passed);
}

static void expect_refused(const char *because)
{
    char text[ERROR_TEXT_MAX];
    struct wire_bytes passed = { 0 };
    assert_true(writer_ok(&out));
    enum status status = feed(7, &passed, text);
    if (status != STATUS_CORRUPT)
        fail_msg("passed instead of being refused because '%s'", because);
    if (strstr(text, because) == NULL)
        fail_msg("'%s' does not say '%s'", text, because);
    assert_int_equal(passed.used, 0); /* nothing of the bad message reached libraft */
    wire_bytes_close(&passed);
    writer_init(&out, stream, sizeof stream);
}

static void inconsistent_messages_are_refused_before_libraft_sees_them(void **state)
{
    (void)state;
    writer_init(&out, stream, sizeof stream);
    plain(9, 24);
    expect_refused("unknown type 9");
    message_begin(1, WIRE_HEADER_MAX_BYTES + 1);
    expect_refused("header has 1048577 bytes");
    message_begin(1, 0);
    expect_refused("header has 0 bytes");
    append_entries(4, 3, 8, 1); /* announces more than it has */
    expect_refused("announces 4 entries");
    append_entries(UINT64_MAX, 1, 8, 1);
    expect_refused("announces");
    append_entries(1, 1, 12, 1); /* libraft pads by itself and reads behind the end */
    expect_refused("entry of 12 bytes");
    append_entries(1, 1, 8, 4);
    expect_refused("unknown type 4");
    append_entries(1, 1, 0, 3);
    expect_refused("member list of 0 bytes");
    plain(3, 32); /* the decoder reads the flags of version 1 whatever the length */
    expect_refused("type 3");
    plain(2, 16);
    expect_refused("type 2");
    install_snapshot(32, "a:1", 65); /* one more than the limit given to wire_check_init */
    expect_refused("65 bytes");
    install_snapshot(5000, "a:1", 8);
    expect_refused("member list");
    install_snapshot(20, "12345678901234", 8); /* the address has no end within the configuration */
    expect_refused("member list");
}

static void two_members(uint64_t first, uint64_t second, const char *address, uint8_t role)
{
    message_begin(5, 40 + 40 + 16);
    for (int i = 0; i < 4; i++)
        writer_u64(&out, 3);
    writer_u64(&out, 40);
    size_t begin = out.used;
    writer_u8(&out, 1);
    writer_u64(&out, 2);
    writer_u64(&out, first);
    writer_bytes(&out, "a:1", 4);
    writer_u8(&out, 1);
    writer_u64(&out, second);
    writer_bytes(&out, address, strlen(address) + 1);
    writer_u8(&out, role);
    while (out.used < begin + 40)
        writer_u8(&out, 0);
    writer_u64(&out, 8);
    writer_u64(&out, 0);
    for (int i = 0; i < 8; i++)
        writer_u8(&out, 's');
}

/* Found by tests/fuzz: libraft 0.22.1 frees such a list in its decoder, and again when it closes the connection. */
static void a_member_list_that_libraft_would_free_twice_is_refused(void **state)
{
    struct wire_bytes passed = { 0 };
    (void)state;
    writer_init(&out, stream, sizeof stream);
    two_members(7, 8, "b:1", 2);
    assert_int_equal(feed(5, &passed, NULL), STATUS_OK);
    assert_int_equal(passed.used, out.used);
    wire_bytes_close(&passed);
    out.used = 0;
    two_members(7, 8, "b:1", 3);
    expect_refused("member list");
    two_members(7, 7, "b:1", 1);
    expect_refused("member list");
    two_members(7, 8, "a:1", 1);
    expect_refused("member list");
}

static void entries_above_the_limit_are_refused(void **state)
{
    (void)state;
    writer_init(&out, stream, sizeof stream);
    message_begin(1, 32 + 8 + 16);
    for (int i = 0; i < 4; i++)
        writer_u64(&out, 3);
    writer_u64(&out, 1);
    writer_u64(&out, 3);
    writer_u32(&out, 1);
    writer_u32(&out, ENTRY_MAX_BYTES + 8);
    expect_refused("entry of 65544 bytes");
}

/* ---- hello ---- */

static struct hello good_hello(void)
{
    struct hello h = { .kind = HELLO_RAFT, .cluster = 11, .generation = 1, .from = 2, .to = 1 };
    strcpy(h.from_address, "b:2");
    strcpy(h.to_address, "a:1");
    return h;
}

static void a_hello_is_read_as_it_was_written_and_any_flipped_bit_is_refused(void **state)
{
    struct hello h = good_hello(), read;
    uint8_t bytes[HELLO_BYTES];
    (void)state;
    hello_encode(&h, bytes);
    memset(&read, 0, sizeof read);
    assert_int_equal(hello_decode(bytes, &read), STATUS_OK);
    assert_int_equal(read.kind, HELLO_RAFT);
    assert_int_equal(read.cluster, 11);
    assert_int_equal(read.from, 2);
    assert_int_equal(read.to, 1);
    assert_string_equal(read.from_address, "b:2");
    assert_string_equal(read.to_address, "a:1");
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
        assert_int_equal(hello_decode(bytes, &read), STATUS_CORRUPT);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
    }
}

static void expect_verdict(const struct hello_facts *facts, enum hello_verdict expected)
{
    struct hello h = good_hello();
    enum hello_verdict verdict = hello_judge(&h, facts);
    if (verdict != expected)
        fail_msg("'%s' instead of '%s'", hello_verdict_text(verdict), hello_verdict_text(expected));
}

static struct hello_facts good_facts(void)
{
    return (struct hello_facts){
        .cluster = 11, .generation = 1, .self = 1, .self_address = "a:1", .member_address = "b:2"
    };
}

static void a_hello_is_judged_by_cluster_id_and_byte_identical_address(void **state)
{
    struct hello_facts facts = good_facts();
    (void)state;
    expect_verdict(&facts, HELLO_ACCEPTED);
    facts.cluster = 12;
    expect_verdict(&facts, HELLO_OTHER_CLUSTER);
    facts = good_facts();
    facts.self = 2;
    expect_verdict(&facts, HELLO_MYSELF);
    facts.self = 3;
    expect_verdict(&facts, HELLO_NOT_ME);
    facts = good_facts();
    facts.self_address = "A:1";
    expect_verdict(&facts, HELLO_NOT_ME);
    facts = good_facts();
    facts.member_address = NULL;
    expect_verdict(&facts, HELLO_UNKNOWN_NODE);
    facts.perhaps_newer = true;
    expect_verdict(&facts, HELLO_ACCEPTED);
    facts.generation = 2;
    expect_verdict(&facts, HELLO_OLD_GENERATION);
    facts.generation = 0;
    expect_verdict(&facts, HELLO_NEW_GENERATION);
    for (int v = HELLO_OLD_GENERATION; v <= HELLO_NEW_GENERATION; v++) { /* both ways to get there, and the way out */
        const char *text = hello_verdict_text((enum hello_verdict)v);
        assert_non_null(strstr(text, "a forced recovery ended it, or "));
        assert_non_null(strstr(text, "--generation"));
        assert_non_null(strstr(text, "coordd quarantine"));
    }
    facts = good_facts();
    facts.member_address = "b:3";
    expect_verdict(&facts, HELLO_OTHER_ADDRESS);
}

static void in_tls_the_hello_must_be_of_the_node_whose_certificate_it_is(void **state)
{
    struct tls_identity node = { .kind = TLS_NODE, .id = 2 }, other = { .kind = TLS_NODE, .id = 3 };
    struct tls_identity person = { .kind = TLS_OPERATOR, .id = 2 };
    struct hello_facts facts = good_facts();
    (void)state;
    facts.certificate = &node;
    expect_verdict(&facts, HELLO_ACCEPTED);
    facts.certificate = &other;
    expect_verdict(&facts, HELLO_OTHER_CERTIFICATE);
    facts.certificate = &person;
    expect_verdict(&facts, HELLO_OTHER_CERTIFICATE);
    facts.certificate = &node;
    facts.member_address = NULL;
    expect_verdict(&facts, HELLO_UNKNOWN_NODE);
}

static void a_verdict_travels_and_noise_is_no_verdict(void **state)
{
    uint8_t bytes[HELLO_ANSWER_BYTES];
    enum hello_verdict verdict;
    (void)state;
    for (unsigned v = 0; v < HELLO_VERDICT_COUNT; v++) {
        hello_answer_encode((enum hello_verdict)v, bytes);
        assert_int_equal(hello_answer_decode(bytes, &verdict), STATUS_OK);
        assert_int_equal(verdict, v);
    }
    assert_int_equal(hello_answer_decode((const uint8_t *)"HTTP/1.1", &verdict), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_opens_to_what_was_sealed),
        cmocka_unit_test(any_flipped_bit_or_cut_of_a_frame_is_refused),
        cmocka_unit_test(good_messages_pass_unchanged_in_any_chunks),
        cmocka_unit_test(inconsistent_messages_are_refused_before_libraft_sees_them),
        cmocka_unit_test(a_change_of_the_members_is_held_until_its_list_is_good),
        cmocka_unit_test(a_member_list_that_libraft_would_free_twice_is_refused),
        cmocka_unit_test(entries_above_the_limit_are_refused),
        cmocka_unit_test(a_hello_is_read_as_it_was_written_and_any_flipped_bit_is_refused),
        cmocka_unit_test(a_hello_is_judged_by_cluster_id_and_byte_identical_address),
        cmocka_unit_test(in_tls_the_hello_must_be_of_the_node_whose_certificate_it_is),
        cmocka_unit_test(a_verdict_travels_and_noise_is_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
