/* Certificates, judged by the openssl program: what coord_io_pki makes is what others accept, and what is wrong is told. */
#include "io/json.h"
#include "io/pki.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_S 86400

static char directory[64];
static struct error err;

#define openssl(...) program_run("openssl", "", (const char *const[]){ __VA_ARGS__, NULL })
#define coordctl(...) program_run(COORDCTL, "", (const char *const[]){ __VA_ARGS__, NULL })

/* A path in the test's directory; four may be in use at once. */
static const char *at(const char *file)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, file);
    return path;
}

static int setup(void **state)
{
    (void)state;
    err = ERROR_NONE;
    (void)snprintf(directory, sizeof directory, "/tmp/test-pki-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return program_run("rm", "", (const char *const[]){ "-r", directory, NULL });
}

static struct pki_request request_of(const char *name, const char *uri)
{
    int64_t now_s = (int64_t)time(NULL);
    return (
        struct pki_request){ .name = name, .uri = uri, .not_before_s = now_s - 60, .not_after_s = now_s + 30 * DAY_S };
}

static void make_authority(void)
{
    struct pki_request request = request_of("trial", NULL);
    assert_int_equal(pki_make_authority(&request, at("ca.crt"), at("ca.key"), &err), STATUS_OK);
}

static enum status issue(const struct pki_request *request)
{
    return pki_issue(at("ca.crt"), at("ca.key"), request, at("x.crt"), at("x.key"), &err);
}

static void what_is_made_passes_the_strict_rules_of_openssl(void **state)
{
    static const char *const hosts[] = { "a1.example.com", "127.10.1.1", "::1" };
    struct pki_request node = request_of("a1", "coord:node:18446744073709551615");
    (void)state;
    node.hosts = hosts;
    node.host_count = 3;
    node.serves = true;
    make_authority();
    assert_int_equal(issue(&node), STATUS_OK);
    for (int i = 0; i < 2; i++)
        if (openssl("verify", "-x509_strict", "-purpose", i == 0 ? "sslserver" : "sslclient", "-CAfile", at("ca.crt"),
                    at("x.crt")) != 0)
            fail_msg("%s", program_err);
    assert_int_equal(openssl("x509", "-in", at("x.crt"), "-noout", "-text"), 0);
    assert_says(program_out, "URI:coord:node:18446744073709551615, DNS:a1.example.com, IP Address:127.10.1.1, "
                             "IP Address:0:0:0:0:0:0:0:1\n");
    assert_says(program_out, "X509v3 Basic Constraints: critical\n                CA:FALSE");
    assert_says(program_out, "X509v3 Key Usage: critical\n                Digital Signature\n");
    assert_says(program_out, "TLS Web Server Authentication, TLS Web Client Authentication");
    assert_int_equal(openssl("x509", "-in", at("ca.crt"), "-noout", "-text"), 0);
    assert_says(program_out, "CA:TRUE, pathlen:0");
    assert_says(program_out, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n");
}

static void a_persons_certificate_is_none_for_a_server(void **state)
{
    struct pki_request person = request_of("alice", "coord:operator:alice");
    (void)state;
    make_authority();
    assert_int_equal(issue(&person), STATUS_OK);
    assert_int_equal(openssl("verify", "-purpose", "sslclient", "-CAfile", at("ca.crt"), at("x.crt")), 0);
    assert_int_not_equal(openssl("verify", "-purpose", "sslserver", "-CAfile", at("ca.crt"), at("x.crt")), 0);
}

static void what_was_made_can_be_read_back(void **state)
{
    static const char *const hosts[] = { "10.0.0.1", "b1" };
    struct pki_request node = request_of("b1", "coord:node:2");
    struct pki_facts facts, again;
    (void)state;
    node.hosts = hosts;
    node.host_count = 2;
    make_authority();
    assert_int_equal(issue(&node), STATUS_OK);
    assert_int_equal(pki_read(at("x.crt"), &facts, &err), STATUS_OK);
    assert_string_equal(facts.name, "b1");
    assert_string_equal(facts.issuer, "trial");
    assert_string_equal(facts.uri, "coord:node:2");
    assert_string_equal(facts.hosts, "10.0.0.1, b1");
    assert_false(facts.authority);
    assert_int_equal(facts.not_after_s, node.not_after_s);
    assert_int_equal(facts.not_before_s, node.not_before_s);
    assert_int_equal(strlen(facts.serial), 40);
    assert_int_equal(strlen(facts.fingerprint), 95);
    assert_int_equal(pki_read(at("ca.crt"), &again, &err), STATUS_OK);
    assert_true(again.authority);
    assert_string_equal(again.uri, "");
    assert_string_not_equal(again.serial, facts.serial);
}

static void a_file_that_is_there_is_named_and_not_touched(void **state)
{
    struct pki_request node = request_of("a1", "coord:node:1");
    struct stat st;
    (void)state;
    make_authority();
    assert_int_equal(issue(&node), STATUS_OK);
    assert_int_equal(stat(at("x.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(issue(&node), STATUS_REFUSED);
    assert_says(err.text, "/x.key is there already");
    assert_int_equal(unlink(at("x.key")), 0);
    assert_int_equal(issue(&node), STATUS_REFUSED);
    assert_says(err.text, "/x.crt is there already");
    assert_int_equal(access(at("x.key"), F_OK), -1); /* no key without its certificate */
    assert_int_equal(stat(at("ca.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void no_certificate_outlives_its_authority(void **state)
{
    struct pki_request node = request_of("a1", "coord:node:1"), late = request_of("a2", "coord:node:2");
    struct pki_facts facts, authority;
    (void)state;
    make_authority();
    node.not_after_s += 100 * (int64_t)DAY_S;
    assert_int_equal(issue(&node), STATUS_OK);
    assert_int_equal(pki_read(at("x.crt"), &facts, &err), STATUS_OK);
    assert_int_equal(pki_read(at("ca.crt"), &authority, &err), STATUS_OK);
    assert_int_equal(facts.not_after_s, authority.not_after_s);
    late.not_before_s = authority.not_after_s;
    late.not_after_s = authority.not_after_s + DAY_S;
    assert_int_equal(issue(&late), STATUS_REFUSED);
    assert_says(err.text, "has expired");
}

static void only_an_authority_with_its_own_key_signs(void **state)
{
    struct pki_request node = request_of("a1", "coord:node:1"), other = request_of("other", NULL);
    (void)state;
    make_authority();
    assert_int_equal(pki_make_authority(&other, at("other.crt"), at("other.key"), &err), STATUS_OK);
    assert_int_equal(pki_issue(at("ca.crt"), at("other.key"), &node, at("x.crt"), at("x.key"), &err), STATUS_INVALID);
    assert_says(err.text, "other.key is not the key of");
    assert_int_equal(issue(&node), STATUS_OK);
    assert_int_equal(pki_issue(at("x.crt"), at("x.key"), &node, at("y.crt"), at("y.key"), &err), STATUS_INVALID);
    assert_says(err.text, "is not the certificate of an authority");
    assert_int_equal(pki_issue(at("no.crt"), at("ca.key"), &node, at("y.crt"), at("y.key"), &err), STATUS_NOT_FOUND);
    assert_int_equal(pki_issue(at("ca.crt"), at("ca.crt"), &node, at("y.crt"), at("y.key"), &err), STATUS_INVALID);
    assert_says(err.text, "holds no private key");
    assert_int_equal(access(at("y.key"), F_OK), -1);
}

static void what_no_certificate_can_hold_is_refused(void **state)
{
    static const char *const wrong[] = { "a b", "", "x,URI:coord:operator:eve", "-x", "\x01" };
    struct pki_request node = request_of("a1", "coord:node:1");
    (void)state;
    make_authority();
    node.host_count = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        node.hosts = &wrong[i];
        assert_int_equal(issue(&node), STATUS_INVALID);
        assert_says(err.text, "is neither a host name nor an IP address");
    }
    node.host_count = 0;
    node.name = "";
    assert_int_equal(issue(&node), STATUS_INVALID);
    node.name = "0123456789012345678901234567890123456789012345678901234567890123";
    assert_int_equal(issue(&node), STATUS_INVALID);
    node.name = "a1";
    node.not_after_s = node.not_before_s;
    assert_int_equal(issue(&node), STATUS_INVALID);
    assert_int_equal(access(at("x.key"), F_OK), -1);
}

static void identities_of_others_are_counted_not_guessed(void **state)
{
    struct pki_facts facts;
    (void)state;
    assert_int_equal(openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                             "/CN=two", "-addext",
                             "subjectAltName=URI:coord:node:1,URI:coord:operator:eve,URI:http://x", "-keyout",
                             at("two.key"), "-out", at("two.crt")),
                     0);
    assert_int_equal(pki_read(at("two.crt"), &facts, &err), STATUS_OK);
    assert_int_equal(facts.uri_count, 2);
    assert_string_equal(facts.uri, "");
    assert_int_equal(pki_read(at("two.key"), &facts, &err), STATUS_INVALID);
    assert_says(err.text, "holds no certificate");
    assert_int_equal(pki_read(at("none"), &facts, &err), STATUS_NOT_FOUND);
    assert_int_equal(pki_read("/dev/null", &facts, &err), STATUS_INVALID);
    assert_int_equal(coordctl("pki", "show", at("two.crt")), 1);
    assert_says(program_out, "it names more than one identity");
}

/* ---- coordctl pki ---- */

static void coordctl_makes_a_cluster_without_a_node(void **state)
{
    char pki[80];
    struct stat st;
    struct json_t *value;
    (void)state;
    (void)snprintf(pki, sizeof pki, "%s/pki", directory);
    assert_int_equal(coordctl("pki", "init", pki, "--name", "trial"), 0);
    assert_says(program_out, "pki/authority.key\n  the authority, valid until ");
    assert_int_equal(coordctl("pki", "node", pki, "a1", "--id", "1", "--address", "127.10.1.1,a1.example.com"), 0);
    assert_says(program_out, "  coord:node:1, valid until ");
    assert_says(program_out, "    key: /etc/coord/tls/node.key\n");
    assert_int_equal(coordctl("pki", "client", pki, "alice", "--role", "operator", "--days", "7"), 0);
    assert_int_equal(coordctl("pki", "client", pki, "bob", "--role", "viewer", "--json"), 0);
    value = json_read(program_out, strlen(program_out), &err);
    assert_string_equal(json_look_text(value, "identity"), "coord:viewer:bob");
    json_free(value);
    assert_int_equal(stat(at("pki/alice/client.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(at("pki/alice"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(access(at("pki/alice/authority.key"), F_OK), -1); /* never handed out */
    assert_int_equal(openssl("verify", "-x509_strict", "-CAfile", at("pki/a1/authority.crt"), at("pki/a1/node.crt")),
                     0);
    assert_int_equal(coordctl("pki", "show", at("pki/a1/node.crt"), at("pki/alice/client.crt")), 0);
    assert_says(program_out, "  identity    coord:node:1\n  name        a1, issued by trial\n");
    assert_says(program_out, "  addresses   127.10.1.1, a1.example.com\n");
    assert_says(program_out, "  identity    coord:operator:alice\n");
    assert_says(program_out, " days left\n");
}

static void coordctl_names_what_stands_in_the_way(void **state)
{
    char pki[80];
    (void)state;
    (void)snprintf(pki, sizeof pki, "%s/pki", directory);
    assert_int_equal(coordctl("pki", "node", pki, "a1", "--id", "1"), 1);
    assert_says(program_err, "coordctl: not_found: ");
    assert_says(program_err, "way out: coordctl pki init DIR makes the authority");
    assert_int_equal(mkdir(pki, 0700), 0);
    assert_int_equal(coordctl("pki", "client", pki, "eve", "--role", "viewer"), 1);
    assert_says(program_err, "authority.crt: No such file or directory");
    assert_int_equal(access(at("pki/eve"), F_OK), -1); /* nothing half-made */
    assert_int_equal(coordctl("pki", "init", pki), 0);
    assert_int_equal(coordctl("pki", "init", pki), 1);
    assert_says(program_err, "pki/authority.key is there already and is not touched");
    assert_int_equal(coordctl("pki", "node", pki, "a1", "--id", "1"), 0);
    assert_int_equal(coordctl("pki", "node", pki, "a1", "--id", "1"), 1);
    assert_says(program_err, "pki/a1 is there already and is not touched");
    assert_int_equal(coordctl("pki", "node", pki, "a2", "--id", "2", "--address", "a b"), 1);
    assert_says(program_err, "'a b' is neither a host name nor an IP address");
    assert_int_equal(access(at("pki/a2"), F_OK), -1);
    assert_int_equal(coordctl("pki", "show", at("pki/authority.key")), 1);
    assert_says(program_err, "holds no certificate");
}

static void a_wrong_command_line_is_exit_2_and_makes_nothing(void **state)
{
    char pki[80];
    (void)state;
    (void)snprintf(pki, sizeof pki, "%s/pki", directory);
    assert_int_equal(coordctl("pki"), 2);
    assert_int_equal(coordctl("pki", "init"), 2);
    assert_int_equal(coordctl("pki", "init", pki, "--days", "0"), 2);
    assert_says(program_err, "--days: expected a whole number of days, 1 to 36500, got '0'");
    assert_int_equal(coordctl("pki", "init", pki, "--days", "1x"), 2);
    assert_int_equal(coordctl("pki", "node", pki, "a1"), 2);
    assert_says(program_err, "--id ID");
    assert_int_equal(coordctl("pki", "node", pki, "a1", "--id", "0"), 2);
    assert_int_equal(coordctl("pki", "node", pki, "a1", "--id", "18446744073709551616"), 2);
    assert_int_equal(coordctl("pki", "node", pki, "../a1", "--id", "1"), 2);
    assert_says(program_err, "'../a1' is no name");
    assert_int_equal(coordctl("pki", "client", pki, "alice"), 2);
    assert_int_equal(coordctl("pki", "client", pki, "alice", "--role", "node"), 2);
    assert_says(program_err, "--role operator");
    assert_int_equal(access(pki, F_OK), -1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_made_passes_the_strict_rules_of_openssl),
        T(a_persons_certificate_is_none_for_a_server),
        T(what_was_made_can_be_read_back),
        T(a_file_that_is_there_is_named_and_not_touched),
        T(no_certificate_outlives_its_authority),
        T(only_an_authority_with_its_own_key_signs),
        T(what_no_certificate_can_hold_is_refused),
        T(identities_of_others_are_counted_not_guessed),
        T(coordctl_makes_a_cluster_without_a_node),
        T(coordctl_names_what_stands_in_the_way),
        T(a_wrong_command_line_is_exit_2_and_makes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
