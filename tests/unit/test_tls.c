/* Two sides of a connection in memory: who is let in, who is not and what each of them says, and that bytes arrive as they were sent. */
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

#include <openssl/ssl.h>

#include "tls_fixture.h"

#define CHUNK_MAX 40000

struct end {
    struct tls *tls;
    struct error err; /* of the first thing that failed */
    uint8_t *got;
    size_t got_bytes, got_capacity;
};

struct pair {
    struct end client, server;
    size_t chunk; /* what one receive is given at most */
};

static const struct tls_options any_client = { .side = TLS_CLIENT };
static const struct tls_options any_server = { .side = TLS_SERVER };

static void pair_open(struct pair *p, struct tls_context *client, const struct tls_options *client_options,
                      struct tls_context *server, const struct tls_options *server_options)
{
    struct error err = ERROR_NONE;

    *p = (struct pair){ .chunk = CHUNK_MAX };
    p->client.tls = tls_create(client, client_options, &err);
    p->server.tls = tls_create(server, server_options, &err);
    assert_non_null(p->client.tls);
    assert_non_null(p->server.tls);
}

static void pair_close(struct pair *p)
{
    tls_destroy(p->client.tls);
    tls_destroy(p->server.tls);
    free(p->client.got);
    free(p->server.got);
}

static void end_take(struct end *e, const uint8_t *bytes, size_t length)
{
    uint8_t plain[777];
    size_t got = 0;

    if (e->err.status != STATUS_OK || tls_receive(e->tls, bytes, length, &e->err) != STATUS_OK)
        return;
    if (!tls_established(e->tls))
        assert_int_equal(tls_peer(e->tls)->kind, TLS_NOBODY);
    while (tls_read(e->tls, plain, sizeof plain, &got, &e->err) == STATUS_OK && got > 0) {
        if (e->got_bytes + got > e->got_capacity) {
            e->got_capacity = 2 * (e->got_bytes + got);
            e->got = realloc(e->got, e->got_capacity);
            assert_non_null(e->got);
        }
        memcpy(e->got + e->got_bytes, plain, got);
        e->got_bytes += got;
    }
}

/* Carries what there is, both ways, until nothing is left. */
static void carry(struct pair *p)
{
    static uint8_t bytes[CHUNK_MAX];
    size_t moved;

    do {
        size_t there = tls_output(p->client.tls, bytes, p->chunk);
        if (there > 0)
            end_take(&p->server, bytes, there);
        moved = there;
        there = tls_output(p->server.tls, bytes, p->chunk);
        if (there > 0)
            end_take(&p->client, bytes, there);
        moved += there;
    } while (moved > 0);
}

static void expect_text(const struct error *err, enum status status, const char *said)
{
    if (err->status != status || strstr(err->text, said) == NULL)
        fail_msg("'%s' (%s) does not say '%s' (%s)", err->text, status_word(err->status), said, status_word(status));
}

static void certificate(const char *name, const char *authority, const char *uri)
{
    tls_fixture_certificate(name, &(struct tls_fixture_certificate){ .authority = authority, .uris = { uri } });
}

/* Client `name` (believing ca) meets node 1; both refuse with these words. NULL: that side has nothing against it. */
static void expect_meeting(const char *name, const struct tls_options *client, const struct tls_options *server,
                           const char *client_says, const char *server_says)
{
    struct tls_context *one = tls_fixture_context("node1", "ca");
    struct tls_context *other = tls_fixture_context(name, strcmp(name, "stranger") == 0 ? "other-ca" : "ca");
    struct pair p;

    pair_open(&p, other, client, one, server);
    carry(&p);
    if (client_says != NULL)
        expect_text(&p.client.err, STATUS_REFUSED, client_says);
    else
        assert_string_equal(p.client.err.text, "");
    if (server_says != NULL) {
        expect_text(&p.server.err, STATUS_REFUSED, server_says);
        assert_false(tls_established(p.server.tls));
        assert_int_equal(tls_peer(p.server.tls)->kind, TLS_NOBODY);
    } else {
        assert_string_equal(p.server.err.text, "");
    }
    pair_close(&p);
    tls_context_destroy(one);
    tls_context_destroy(other);
}

static void two_nodes_know_each_other(void **state)
{
    (void)state;
    struct tls_context *one = tls_fixture_context("node1", "ca"), *two = tls_fixture_context("node2", "ca");
    struct pair p;

    assert_int_equal(tls_context_identity(two)->id, 2);
    pair_open(&p, two, &(struct tls_options){ .side = TLS_CLIENT, .peer_kind = TLS_NODE, .peer_id = 1 }, one,
              &(struct tls_options){ .side = TLS_SERVER, .peer_kind = TLS_NODE });
    assert_false(tls_established(p.client.tls));
    carry(&p);
    assert_true(tls_established(p.client.tls));
    assert_true(tls_established(p.server.tls));
    assert_int_equal(tls_peer(p.client.tls)->kind, TLS_NODE);
    assert_int_equal(tls_peer(p.client.tls)->id, 1);
    assert_int_equal(tls_peer(p.server.tls)->id, 2);
    tls_end(p.client.tls);
    carry(&p);
    assert_true(tls_ended(p.server.tls));
    assert_false(tls_ended(p.client.tls));
    pair_close(&p);
    tls_context_destroy(one);
    tls_context_destroy(two);
}

static void another_node_than_the_dialed_one_is_refused(void **state)
{
    (void)state;
    expect_meeting("node2", &(struct tls_options){ .side = TLS_CLIENT, .peer_kind = TLS_NODE, .peer_id = 3 },
                   &any_server, "its certificate is that of node 1, not of node 3", "it refuses this side: ");
}

static void a_person_is_no_node(void **state)
{
    (void)state;
    const struct tls_options nodes = { .side = TLS_SERVER, .peer_kind = TLS_NODE };
    expect_meeting("alice", &any_client, &nodes,
                   "it refuses this side: ", "its certificate is that of operator alice, not of a node");
    expect_meeting("alice", &any_client, &any_server, NULL, NULL);
}

static void another_authority_is_refused_by_both(void **state)
{
    (void)state;
    expect_meeting("stranger", &any_client, &any_server,
                   "the certificate it shows (node 1) is not accepted: another authority signed it",
                   "it refuses this side: unknown CA");
}

static void a_certificate_out_of_its_time_is_refused(void **state)
{
    (void)state;
    expect_meeting("expired", &any_client, &any_server, "it refuses this side: certificate expired",
                   "(node 2) is not accepted: certificate has expired");
    expect_meeting("early", &any_client, &any_server,
                   "it refuses this side: ", "(node 2) is not accepted: certificate is not yet valid");
}

static void without_a_certificate_only_where_it_is_optional(void **state)
{
    (void)state;
    static const bool optional[] = { false, true };
    struct tls_context *one = tls_fixture_context("node1", "ca");
    SSL_CTX *bare = SSL_CTX_new(TLS_client_method());

    for (unsigned i = 0; i < 2; i++) {
        struct end server = { 0 };
        uint8_t bytes[CHUNK_MAX];
        size_t there;
        SSL *client = SSL_new(bare);
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        SSL_set_bio(client, in, out);
        SSL_set_connect_state(client);
        server.tls = tls_create(one, &(struct tls_options){ .side = TLS_SERVER, .certificate_optional = optional[i] },
                                &server.err);
        for (unsigned turn = 0; turn < 4; turn++) {
            (void)SSL_do_handshake(client);
            int length = BIO_read(out, bytes, sizeof bytes);
            if (length > 0)
                end_take(&server, bytes, (size_t)length);
            while ((there = tls_output(server.tls, bytes, sizeof bytes)) > 0)
                assert_int_equal(BIO_write(in, bytes, (int)there), there);
        }
        assert_int_equal(tls_established(server.tls), optional[i]);
        assert_int_equal(tls_peer(server.tls)->kind, TLS_NOBODY);
        if (!optional[i])
            expect_text(&server.err, STATUS_REFUSED, "it shows no certificate");
        SSL_free(client);
        tls_destroy(server.tls);
    }
    SSL_CTX_free(bare);
    tls_context_destroy(one);
}

static void an_older_tls_is_refused(void **state)
{
    (void)state;
    struct tls_context *one = tls_fixture_context("node1", "ca");
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    struct end server = { 0 };
    uint8_t bytes[CHUNK_MAX];

    assert_int_equal(SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION), 1);
    SSL *client = SSL_new(old);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
    (void)SSL_do_handshake(client);
    int length = BIO_read(out, bytes, sizeof bytes);
    assert_true(length > 0);
    server.tls = tls_create(one, &any_server, &server.err);
    end_take(&server, bytes, (size_t)length);
    expect_text(&server.err, STATUS_REFUSED, "it does not offer TLS 1.3");
    assert_true(tls_output_bytes(server.tls) > 0); /* and is told so */
    SSL_free(client);
    SSL_CTX_free(old);
    tls_destroy(server.tls);
    tls_context_destroy(one);
}

static void what_is_no_tls_is_said_to_be_none(void **state)
{
    (void)state;
    struct tls_context *one = tls_fixture_context("node1", "ca");
    struct error err = ERROR_NONE;
    struct tls *t = tls_create(one, &any_server, &err);

    assert_int_equal(tls_receive(t, (const uint8_t *)"CHLO", 4, &err), STATUS_CORRUPT);
    expect_text(&err, STATUS_CORRUPT, "it does not speak TLS");
    uint8_t alert[16];
    assert_int_equal(tls_output(t, alert, sizeof alert), 7); /* it is told so in TLS */
    assert_memory_equal(alert, "\x15\x03\x03\x00\x02\x02\x46", 7);
    tls_destroy(t);
    t = tls_create(one, &any_server, &err);
    err = ERROR_NONE;
    assert_int_equal(tls_receive(t, (const uint8_t *)"\x16\x03\x01\x00\x17garbage garbage garbage", 28, &err),
                     STATUS_CORRUPT);
    expect_text(&err, STATUS_CORRUPT, "TLS failed: ");
    tls_destroy(t);
    tls_context_destroy(one);
}

/* Each byte of a handshake and of data, damaged or the last one before the end: never accepted as something else, never a crash. */
static void a_damaged_byte_is_never_data(void **state)
{
    (void)state;
    struct tls_context *one = tls_fixture_context("node1", "ca"), *two = tls_fixture_context("node2", "ca");
    static uint8_t bytes[CHUNK_MAX];
    struct error err = ERROR_NONE;

    for (size_t at = 0;; at += 7) {
        struct pair p;
        pair_open(&p, two, &any_client, one, &any_server);
        size_t there = tls_output(p.client.tls, bytes, sizeof bytes);
        end_take(&p.server, bytes, there);
        there = tls_output(p.server.tls, bytes, sizeof bytes);
        end_take(&p.client, bytes, there);
        assert_int_equal(tls_write(p.client.tls, (const uint8_t *)"RENEW", 5, &err), STATUS_OK);
        there = tls_output(p.client.tls, bytes, sizeof bytes);
        if (at < there) {
            bytes[at] ^= 0x20;
            end_take(&p.server, bytes, there);
            assert_int_equal(p.server.got_bytes, 0);
        }
        pair_close(&p);
        if (at >= there)
            break;
    }
    tls_context_destroy(one);
    tls_context_destroy(two);
}

static void much_data_arrives_in_any_pieces(void **state)
{
    (void)state;
    struct tls_context *one = tls_fixture_context("node1", "ca"), *two = tls_fixture_context("node2", "ca");
    static const size_t chunks[] = { 1, 3, 1448, CHUNK_MAX };
    static uint8_t sent[300000];
    struct error err = ERROR_NONE;

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct pair p;
        pair_open(&p, two, &any_client, one, &any_server);
        p.chunk = chunks[i];
        carry(&p);
        for (size_t at = 0; at < sizeof sent; at += 60000)
            assert_int_equal(tls_write(p.client.tls, sent + at, 60000, &err), STATUS_OK);
        assert_int_equal(tls_write(p.server.tls, sent, 5, &err), STATUS_OK);
        carry(&p);
        assert_int_equal(p.server.got_bytes, sizeof sent);
        assert_memory_equal(p.server.got, sent, sizeof sent);
        assert_int_equal(p.client.got_bytes, 5);
        pair_close(&p);
    }
    tls_context_destroy(one);
    tls_context_destroy(two);
}

/* ---- files ---- */

static void expect_no_context(const char *name, const char *key, const char *authority, enum status status,
                              const char *said)
{
    struct tls_files files = { .certificate = tls_fixture_path(name, "crt"),
                               .key = tls_fixture_path(key, "key"),
                               .authority = tls_fixture_path(authority, "crt") };
    struct error err = ERROR_NONE;

    assert_null(tls_context_create(&files, &err));
    expect_text(&err, status, said);
}

static void write_file(const char *name, const char *ending, const char *text)
{
    FILE *file = fopen(tls_fixture_path(name, ending), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void each_bad_file_is_named_with_what_is_wrong(void **state)
{
    (void)state;
    expect_no_context("nowhere", "node1", "ca", STATUS_NOT_FOUND, "nowhere.crt: No such file");
    expect_no_context("node1", "node2", "ca", STATUS_INVALID, "node2.key: it is not the key of certificate");
    expect_no_context("node1", "node1", "other-ca", STATUS_INVALID, "node1.crt is not of the authority in");
    expect_no_context("node1", "node1", "node1", STATUS_INVALID, "is no authority's");
    expect_no_context("nameless", "nameless", "ca", STATUS_INVALID, "exactly one of coord:node:ID");
    expect_no_context("twofold", "twofold", "ca", STATUS_INVALID, "exactly one of coord:node:ID");
    expect_no_context("misspelt", "misspelt", "ca", STATUS_INVALID, "exactly one of coord:node:ID");
    write_file("empty", "crt", "");
    expect_no_context("empty", "node1", "ca", STATUS_INVALID, "empty.crt: no certificate in it");
    write_file("broken", "crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect_no_context("broken", "node1", "ca", STATUS_INVALID, "broken.crt: damaged: ");
    assert_int_equal(chmod(tls_fixture_path("node2", "key"), 0640), 0);
    expect_no_context("node2", "node2", "ca", STATUS_REFUSED, "others may read it (mode 640): chmod 600");
    assert_int_equal(chmod(tls_fixture_path("node2", "key"), 0600), 0);
    write_file("locked", "key",
               "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
               "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=\n-----END ENCRYPTED PRIVATE KEY-----\n");
    assert_int_equal(chmod(tls_fixture_path("locked", "key"), 0600), 0);
    expect_no_context("node1", "locked", "ca", STATUS_INVALID, "locked.key: ");
}

static void validity_is_known_and_an_expired_certificate_loads(void **state)
{
    (void)state;
    struct tls_context *late = tls_fixture_context("expired", "ca"), *good = tls_fixture_context("node1", "ca");
    struct tls_validity was = tls_context_validity(late), is = tls_context_validity(good);

    assert_int_equal(was.certificate_end_s - was.certificate_begin_s, 2 * DAY_S - DAY_S);
    assert_true(is.certificate_end_s > was.certificate_end_s + DAY_S);
    assert_true(is.authority_end_s >= is.certificate_end_s - 60);
    tls_context_destroy(late);
    tls_context_destroy(good);
}

static void a_reload_is_complete_or_not_at_all(void **state)
{
    (void)state;
    struct error err = ERROR_NONE;
    certificate("mine", "ca", "coord:node:7");
    struct tls_context *c = tls_fixture_context("mine", "ca");
    struct tls_context *one = tls_fixture_context("node1", "ca");
    struct pair before, after;

    assert_false(tls_context_stale(c));
    pair_open(&before, one, &any_client, c, &any_server);
    carry(&before);

    certificate("mine", "ca", "coord:node:8");
    assert_true(tls_context_stale(c));
    assert_int_equal(tls_context_reload(c, &err), STATUS_INVALID);
    expect_text(&err, STATUS_INVALID, "is now that of node 8, and this is node 7");
    assert_false(tls_context_stale(c)); /* it is not tried again before it changes again */

    write_file("mine", "crt", "half");
    assert_true(tls_context_stale(c));
    assert_int_equal(tls_context_reload(c, &err), STATUS_INVALID);
    pair_open(&after, one, &any_client, c, &any_server);
    carry(&after);
    assert_int_equal(tls_peer(after.client.tls)->id, 7); /* what was read before is in force */
    pair_close(&after);

    tls_fixture_certificate("mine",
                            &(struct tls_fixture_certificate){ .authority = "other-ca", .uris = { "coord:node:7" } });
    assert_int_equal(tls_context_reload(c, &err), STATUS_INVALID);
    certificate("mine", "ca", "coord:node:7");
    err = ERROR_NONE;
    struct tls_validity old = tls_context_validity(c);
    tls_fixture_certificate("mine",
                            &(struct tls_fixture_certificate){
                                .authority = "ca", .uris = { "coord:node:7" }, .begin_s = -60, .end_s = 9 * DAY_S });
    assert_int_equal(tls_context_reload(c, &err), STATUS_OK);
    assert_true(tls_context_validity(c).certificate_end_s > old.certificate_end_s + 7 * DAY_S);

    assert_int_equal(tls_write(before.client.tls, (const uint8_t *)"still", 5, &err), STATUS_OK);
    carry(&before);
    assert_int_equal(before.server.got_bytes, 5); /* an older connection lives on */
    pair_close(&before);
    tls_context_destroy(c);
    tls_context_destroy(one);
}

static void identities_have_one_spelling(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "coord:",
                                       "coord:node:",
                                       "coord:node:0",
                                       "coord:node:01",
                                       "coord:node:-1",
                                       "coord:node:1 ",
                                       "coord:node:99999999999",
                                       "coord:node:2147483648",
                                       "coord:operator:",
                                       "coord:operator:a b",
                                       "coord:admin:a",
                                       "Coord:node:1",
                                       "coord:nodes:1",
                                       "coord:viewer:a/b" };
    struct tls_identity who;
    char text[TLS_IDENTITY_TEXT_MAX_BYTES];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (tls_identity_parse(bad[i], strlen(bad[i]), &who) || who.kind != TLS_NOBODY)
            fail_msg("'%s' is taken for %s", bad[i], tls_identity_text(&who, text));
    assert_false(tls_identity_parse("coord:operator:a\0b", 18, &who));
    assert_true(tls_identity_parse("coord:node:2147483647", 21, &who));
    assert_string_equal(tls_identity_text(&who, text), "node 2147483647");
    assert_true(tls_identity_parse("coord:viewer:a.b@c_d-e", 22, &who));
    assert_string_equal(tls_identity_text(&who, text), "viewer a.b@c_d-e");
}

static void expect_expiry(int64_t certificate_left_s, int64_t authority_left_s, enum tls_expiry expiry,
                          const char *summary, const char *way_out)
{
    const int64_t now_s = 1000 * DAY_S;
    struct tls_validity v = { .certificate_begin_s = now_s - DAY_S,
                              .certificate_end_s = now_s + certificate_left_s,
                              .authority_end_s = now_s + authority_left_s };
    char said[TLS_EXPIRY_TEXT_MAX_BYTES], out[TLS_EXPIRY_TEXT_MAX_BYTES];

    assert_int_equal(tls_expiry_say(&v, now_s, said, out), expiry);
    assert_int_equal(strncmp(said, summary, strlen(summary)), 0);
    assert_int_equal(said[0] == '\0', summary[0] == '\0');
    assert_int_equal(strncmp(out, way_out, strlen(way_out)), 0);
}

static void an_end_is_said_30_7_and_1_days_before(void **state)
{
    (void)state;
    const int64_t far = 400 * DAY_S;
    char said[TLS_EXPIRY_TEXT_MAX_BYTES], out[TLS_EXPIRY_TEXT_MAX_BYTES];
    expect_expiry(30 * DAY_S + 1, far, TLS_EXPIRY_FAR, "", "");
    expect_expiry(30 * DAY_S, far, TLS_EXPIRY_MONTH, "this node's certificate ends in 30 days (", "coordctl pki node");
    expect_expiry(7 * DAY_S, far, TLS_EXPIRY_WEEK, "this node's certificate ends in 7 days (", "coordctl pki node");
    expect_expiry(DAY_S, far, TLS_EXPIRY_DAY, "this node's certificate ends in 24 hours (", "coordctl pki node");
    expect_expiry(0, far, TLS_EXPIRY_NOW, "this node's certificate has expired (", "coordctl pki node");
    expect_expiry(9 * DAY_S, 8 * DAY_S, TLS_EXPIRY_MONTH, "the authority of this node's certificate ends in 8 days (",
                  "coordctl pki init");
    expect_expiry(far, -1, TLS_EXPIRY_NOW, "the authority of this node's certificate has expired", "coordctl pki init");
    assert_int_equal(
        tls_expiry_say(
            &(struct tls_validity){ .certificate_begin_s = 10, .certificate_end_s = far, .authority_end_s = far }, 9,
            said, out),
        TLS_EXPIRY_NOW);
    assert_non_null(strstr(said, "not valid before 1970-01-01 00:00 UTC"));
}

static int open_fixture(void **state)
{
    (void)state;
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    tls_fixture_authority("other-ca");
    certificate("node1", "ca", "coord:node:1");
    certificate("node2", "ca", "coord:node:2");
    certificate("alice", "ca", "coord:operator:alice");
    certificate("stranger", "other-ca", "coord:node:2");
    certificate("nameless", "ca", NULL);
    certificate("misspelt", "ca", "coord:node:02");
    tls_fixture_certificate("twofold", &(struct tls_fixture_certificate){
                                           .authority = "ca", .uris = { "coord:node:1", "coord:operator:root" } });
    tls_fixture_certificate(
        "expired", &(struct tls_fixture_certificate){
                       .authority = "ca", .uris = { "coord:node:2" }, .begin_s = -2 * DAY_S, .end_s = -1 * DAY_S });
    tls_fixture_certificate("early",
                            &(struct tls_fixture_certificate){
                                .authority = "ca", .uris = { "coord:node:2" }, .begin_s = DAY_S, .end_s = 2 * DAY_S });
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    tls_fixture_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_know_each_other),
        cmocka_unit_test(another_node_than_the_dialed_one_is_refused),
        cmocka_unit_test(a_person_is_no_node),
        cmocka_unit_test(another_authority_is_refused_by_both),
        cmocka_unit_test(a_certificate_out_of_its_time_is_refused),
        cmocka_unit_test(without_a_certificate_only_where_it_is_optional),
        cmocka_unit_test(an_older_tls_is_refused),
        cmocka_unit_test(what_is_no_tls_is_said_to_be_none),
        cmocka_unit_test(a_damaged_byte_is_never_data),
        cmocka_unit_test(much_data_arrives_in_any_pieces),
        cmocka_unit_test(each_bad_file_is_named_with_what_is_wrong),
        cmocka_unit_test(validity_is_known_and_an_expired_certificate_loads),
        cmocka_unit_test(a_reload_is_complete_or_not_at_all),
        cmocka_unit_test(an_end_is_said_30_7_and_1_days_before),
        cmocka_unit_test(identities_have_one_spelling),
    };
    return cmocka_run_group_tests_name("tls", tests, open_fixture, close_fixture);
}
