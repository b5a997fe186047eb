/* Messages there and back, signatures that must not count, sentinel texts and key files. */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "dns/sentinel.h"
#include "dns/tsig_key.h"
#include "io/clock.h"
#include "io/dns_wire.h"

#define SECRET "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

static const struct tsig_key key = { .name = "coord-key", .algorithm = "hmac-sha256", .secret = SECRET };

/* An answer to `request`, signed as a server would; `secret` NULL: unsigned. */
static size_t answer(uint8_t *out, const struct dns_message *request, const char *rr_text, const char *secret, bool aa)
{
    ldns_pkt *packet;
    ldns_rr *rr;
    uint8_t *wire;
    size_t length;

    assert_int_equal(ldns_wire2pkt(&packet, request->bytes, request->length), LDNS_STATUS_OK);
    ldns_rr_free(ldns_pkt_tsig(packet));
    ldns_pkt_set_tsig(packet, NULL);
    ldns_pkt_set_qr(packet, true);
    ldns_pkt_set_aa(packet, aa);
    if (rr_text != NULL) {
        assert_int_equal(ldns_rr_new_frm_str(&rr, rr_text, 0, NULL, NULL), LDNS_STATUS_OK);
        assert_true(ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, rr));
    }
    if (secret != NULL) {
        ldns_rdf *mac = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, request->mac_bytes, request->mac);
        assert_int_equal(ldns_pkt_tsig_sign(packet, "coord-key", secret, 300, "hmac-sha256.", mac), LDNS_STATUS_OK);
        ldns_rdf_deep_free(mac);
    }
    assert_int_equal(ldns_pkt2wire(&wire, packet, &length), LDNS_STATUS_OK);
    memcpy(out, wire, length);
    free(wire);
    ldns_pkt_free(packet);
    return length;
}

static void a_signed_answer_is_read_and_verified(void **state)
{
    struct dns_message request;
    struct dns_reply reply;
    uint8_t bytes[2048];
    size_t length;

    (void)state;
    assert_int_equal(dns_wire_query(&request, "app.example.test", DNS_TYPE_A, &key, NULL), STATUS_OK);
    length = answer(bytes, &request, "app.example.test. 5 IN A 198.51.100.7", SECRET, true);
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_OK);
    assert_int_equal(reply.tsig, TSIG_VERIFIED);
    assert_int_equal(reply.rcode, DNS_NOERROR);
    assert_true(reply.authoritative);
    assert_int_equal(reply.record_count, 1);
    assert_string_equal(reply.records[0].name, "app.example.test.");
    assert_string_equal(reply.records[0].value, "198.51.100.7");
    assert_int_equal(reply.records[0].ttl_s, 5);
    assert_false(reply.records_cut);
}

static void answers_without_the_right_signature_do_not_count(void **state)
{
    struct dns_message request, other;
    struct dns_reply reply;
    uint8_t bytes[2048];
    size_t length;

    (void)state;
    assert_int_equal(dns_wire_query(&request, "app.example.test", DNS_TYPE_A, &key, NULL), STATUS_OK);
    length = answer(bytes, &request, "app.example.test. 5 IN A 198.51.100.7", NULL, true);
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_OK);
    assert_int_equal(reply.tsig, TSIG_NONE);
    length = answer(bytes, &request, NULL, "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=", true);
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_OK);
    assert_int_equal(reply.tsig, TSIG_UNVERIFIABLE);
    /* Signed by the right key, but for another request: a replay. */
    assert_int_equal(dns_wire_query(&other, "app2.example.test", DNS_TYPE_A, &key, NULL), STATUS_OK);
    length = answer(bytes, &other, "app.example.test. 5 IN A 198.51.100.7", SECRET, true);
    bytes[0] = (uint8_t)(request.id >> 8);
    bytes[1] = (uint8_t)request.id;
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_OK);
    assert_int_equal(reply.tsig, TSIG_UNVERIFIABLE);
    /* One changed byte of the address. */
    length = answer(bytes, &request, "app.example.test. 5 IN A 198.51.100.7", SECRET, true);
    uint8_t *address = memmem(bytes, length, "\xc6\x33\x64\x07", 4);
    assert_non_null(address);
    address[3] = 8;
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_OK);
    assert_int_equal(reply.tsig, TSIG_UNVERIFIABLE);
}

static void other_answers_and_broken_bytes_are_told_apart(void **state)
{
    struct dns_message request;
    struct dns_reply reply;
    uint8_t bytes[2048];
    size_t length;

    (void)state;
    assert_int_equal(dns_wire_query(&request, "app.example.test", DNS_TYPE_A, &key, NULL), STATUS_OK);
    length = answer(bytes, &request, "app.example.test. 5 IN A 198.51.100.7", SECRET, true);
    bytes[1] ^= 1;
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_NOT_FOUND);
    bytes[1] ^= 1;
    assert_int_equal(dns_wire_parse(&reply, request.bytes, request.length, &request, &key, NULL),
                     STATUS_NOT_FOUND); /* no response */
    for (size_t cut = 0; cut < length; cut++) {
        enum status status = dns_wire_parse(&reply, bytes, cut, &request, &key, NULL);
        assert_true(status == STATUS_CORRUPT || reply.tsig != TSIG_VERIFIED);
    }
    srandom(1);
    for (int i = 0; i < 20000; i++) {
        uint8_t mutated[2048];
        memcpy(mutated, bytes, length);
        for (int k = 0; k < 3; k++)
            mutated[2 + (size_t)random() % (length - 2)] = (uint8_t)random();
        if (memcmp(mutated, bytes, length) != 0 &&
            dns_wire_parse(&reply, mutated, length, &request, &key, NULL) == STATUS_OK && reply.tsig == TSIG_VERIFIED)
            assert_string_equal(reply.records[0].value,
                                "198.51.100.7"); /* only bytes that TSIG canonicalises, as a name's case */
    }
}

/* Found by tests/fuzz: of the first of two ldns loses the memory, so that whoever answers makes the process grow. */
static void a_second_signature_or_opt_record_makes_an_answer_none(void **state)
{
    static const uint8_t tsig[] = { 1, 'k', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 17, 0, 0,
                                    0, 0,   0, 0, 0,   0, 1,   0, 0, 0, 0, 0, 0,  0, 0 };
    static const uint8_t opt[] = { 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0 };
    struct dns_message request;
    struct dns_reply reply;
    uint8_t bytes[2048];

    (void)state;
    assert_int_equal(dns_wire_query(&request, "app.example.test", DNS_TYPE_A, NULL, NULL), STATUS_OK);
    for (int twice = 0; twice < 2; twice++)
        for (int signature = 0; signature < 2; signature++) {
            size_t length = answer(bytes, &request, "app.example.test. 5 IN A 198.51.100.7", NULL, true);
            size_t size = signature ? sizeof tsig : sizeof opt;

            bytes[11] = (uint8_t)(twice + 1);
            for (int i = 0; i <= twice; i++, length += size)
                memcpy(bytes + length, signature ? tsig : opt, size);
            assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL),
                             twice ? STATUS_CORRUPT : STATUS_OK);
        }
}

static void text_records_come_back_as_they_were_written(void **state)
{
    struct dns_record records[1] = { { .type = DNS_TYPE_TXT, .name = "_coord.app.example.test", .ttl_s = 1 } };
    struct dns_update update = { .zone = "example.test", .records = records, .record_count = 1 };
    struct dns_message request;
    struct dns_reply reply;
    uint8_t bytes[2048];
    size_t length;

    (void)state;
    strcpy(records[0].value, "epoch=7 service=\"a;b\" site=x\\y");
    assert_int_equal(dns_wire_update(&request, &update, &key, NULL), STATUS_OK);
    assert_non_null(memmem(request.bytes, request.length, records[0].value, strlen(records[0].value)));
    assert_int_equal(dns_wire_query(&request, "_coord.app.example.test", DNS_TYPE_TXT, &key, NULL), STATUS_OK);
    length = answer(bytes, &request, "_coord.app.example.test. 1 IN TXT \"epoch=7 \" \"site=\\\"x\\\"\"", SECRET, true);
    assert_int_equal(dns_wire_parse(&reply, bytes, length, &request, &key, NULL), STATUS_OK);
    assert_string_equal(reply.records[0].value, "epoch=7 site=\"x\"");
}

static void wrong_names_values_and_keys_are_refused_without_the_secret(void **state)
{
    struct tsig_key bad = { .name = "coord-key", .algorithm = "hmac-sha256", .secret = "not*base64!" };
    struct dns_record records[1] = { { .type = DNS_TYPE_A, .name = "app.example.test", .value = "not an address" } };
    struct dns_update update = { .zone = "example.test", .records = records, .record_count = 1 };
    struct dns_message message;
    struct error err;
    char long_name[300];

    (void)state;
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(dns_wire_query(&message, long_name, DNS_TYPE_A, &key, &err), STATUS_INVALID);
    assert_int_equal(dns_wire_update(&message, &update, &key, &err), STATUS_INVALID);
    assert_int_equal(dns_wire_query(&message, "app.example.test", DNS_TYPE_A, &bad, &err), STATUS_INVALID);
    assert_null(strstr(err.text, "not*base64!"));
}

static void sentinels_are_written_and_read(void **state)
{
    const char *wrong[] = { "",
                            "epoch=",
                            "epoch=7",
                            "epoch=7 service=app",
                            "epoch=-7 service=app site=a",
                            "epoch=7x service=app site=a",
                            "epoch=99999999999999999999 service=app site=a",
                            "epoch=7 service= site=a",
                            "service=app epoch=7 site=a",
                            "epoch=7 service=a23456789012345678901234567890123 site=a" };
    struct sentinel s, back;
    char text[SENTINEL_TEXT_MAX];

    (void)state;
    assert_int_equal(sentinel_set(&s, UINT64_MAX, "app", "site-a", NULL), STATUS_OK);
    sentinel_format(&s, text, sizeof text);
    assert_string_equal(text, "epoch=18446744073709551615 service=app site=site-a");
    assert_int_equal(sentinel_parse(&back, text), STATUS_OK);
    assert_true(back.epoch == UINT64_MAX);
    assert_string_equal(back.service, "app");
    assert_string_equal(back.site, "site-a");
    assert_int_equal(sentinel_parse(&back, "epoch=7 service=app site=a generation=2"), STATUS_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(sentinel_parse(&back, wrong[i]), STATUS_INVALID);
    assert_int_equal(sentinel_set(&s, 7, "", "a", NULL), STATUS_INVALID);
    assert_int_equal(sentinel_set(&s, 7, "app", "a b", NULL), STATUS_INVALID);
}

/* ---- key files ---- */

static char path[64];

static void key_file(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void a_key_file_is_read(void **state)
{
    char reference[80];
    struct tsig_key read_key;

    (void)state;
    key_file("# made by keymgr -t\n\nhmac-sha256:coord-key:" SECRET "\r\n", 0600);
    assert_int_equal(tsig_key_read(path, &read_key, NULL), STATUS_OK);
    assert_string_equal(read_key.name, "coord-key");
    assert_string_equal(read_key.secret, SECRET);
    assert_string_equal(read_key.algorithm, "hmac-sha256");
    (void)snprintf(reference, sizeof reference, "file:%s", path);
    assert_int_equal(tsig_key_read(reference, &read_key, NULL), STATUS_OK);
    tsig_key_wipe(&read_key);
    assert_string_equal(read_key.secret, "");
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    const mode_t modes[] = { 0640, 0604, 0660, 0601, 0644 };
    struct tsig_key read_key;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        key_file("hmac-sha256:coord-key:" SECRET "\n", modes[i]);
        assert_int_equal(tsig_key_read(path, &read_key, &err), STATUS_REFUSED);
        assert_non_null(strstr(err.text, "chmod 0600"));
        assert_null(strstr(err.text, SECRET));
    }
}

static void wrong_key_files_say_what_is_expected(void **state)
{
    const char *wrong[] = { "",
                            "\n# nothing\n",
                            "hmac-sha256:coord-key\n",
                            "hmac-md5:coord-key:" SECRET "\n",
                            "hmac-sha256:coord-key:" SECRET ":more\n",
                            "hmac-sha256:coord-key:n*t!base64\n",
                            "hmac-sha256::coord-key:" SECRET "\n",
                            "hmac-sha256:coord-key:" SECRET ":\n",
                            "hmac-sha256:coord-key:" SECRET "\r:\n",
                            "hmac-sha256:coord..key:" SECRET "\n",
                            "hmac-sha256:a:" SECRET "\nhmac-sha256:b:" SECRET "\n" };
    struct tsig_key read_key;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        key_file(wrong[i], 0600);
        assert_int_equal(tsig_key_read(path, &read_key, &err), STATUS_INVALID);
        assert_non_null(strstr(err.text, "hmac-sha256:NAME:BASE64SECRET"));
        assert_null(strstr(err.text, SECRET));
        assert_string_equal(read_key.secret, "");
    }
    assert_int_equal(tsig_key_read("/nonexistent/tsig.key", &read_key, &err), STATUS_NOT_FOUND);
    assert_int_equal(tsig_key_read("/tmp", &read_key, &err), STATUS_INVALID);
}

static int setup(void **state)
{
    int fd;

    (void)state;
    strcpy(path, "/tmp/test-tsig-XXXXXX");
    fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signed_answer_is_read_and_verified),
        cmocka_unit_test(answers_without_the_right_signature_do_not_count),
        cmocka_unit_test(other_answers_and_broken_bytes_are_told_apart),
        cmocka_unit_test(a_second_signature_or_opt_record_makes_an_answer_none),
        cmocka_unit_test(text_records_come_back_as_they_were_written),
        cmocka_unit_test(wrong_names_values_and_keys_are_refused_without_the_secret),
        cmocka_unit_test(sentinels_are_written_and_read),
        cmocka_unit_test(a_key_file_is_read),
        cmocka_unit_test(a_key_that_others_can_read_is_refused),
        cmocka_unit_test(wrong_key_files_say_what_is_expected),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
