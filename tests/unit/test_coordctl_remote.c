/* coordctl over the network: the same commands, and what it says when a certificate, a key, a role or a server is not what it should be. */
#include "api_fixture.h"
#include "io/json.h"
#include "program.h"
#include "tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define out program_out
#define err program_err

#define PORT_FIRST "  way out: is this the port of the key `api` in its node file"

static struct api_fixture fixture;

#define run(...) program_run(COORDCTL, "", (const char *const[]){ __VA_ARGS__, NULL })
/* With the files of `name`. */
#define run_as(name, ...)                                                                                              \
    run("--server", fixture.server, "--certificate", tls_fixture_path(name, "crt"), "--key",                           \
        tls_fixture_path(name, "key"), "--authority", tls_fixture_path("ca", "crt"), __VA_ARGS__)

static void certificate(const char *name, const char *authority, const char *uri, int64_t begin_s, int64_t end_s)
{
    tls_fixture_certificate(name, &(struct tls_fixture_certificate){
                                      .authority = authority, .uris = { uri }, .begin_s = begin_s, .end_s = end_s });
}

static int open_all(void **state)
{
    (void)state;
    (void)tls_fixture_open();
    (void)unsetenv("COORD_SOCKET");
    (void)unsetenv("COORD_SERVER");
    (void)unsetenv("COORD_PKI");
    tls_fixture_authority("ca");
    tls_fixture_authority("other");
    certificate("node", "ca", "coord:node:3", 0, 0);
    certificate("alice", "ca", "coord:operator:alice", 0, 0);
    certificate("bob", "ca", "coord:viewer:bob", 0, 0);
    certificate("late", "ca", "coord:operator:late", -2 * DAY_S, -DAY_S);
    certificate("early", "ca", "coord:operator:early", DAY_S, 2 * DAY_S);
    certificate("stranger", "other", "coord:operator:stranger", 0, 0);
    certificate("anonymous", "ca", NULL, 0, 0);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tls_fixture_close();
    return 0;
}

static void the_same_commands_work_from_afar(void **state)
{
    struct json_t *value;
    struct error why = ERROR_NONE;
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    assert_int_equal(run_as("alice", "status"), 0);
    assert_says(out, "node c1 at site-c (leader)");
    assert_int_equal(run_as("bob", "--json", "status", "app"), 0);
    value = json_read(out, strlen(out), &why);
    assert_string_equal(json_look_text(value, "name"), "app");
    json_free(value);
    assert_int_equal(run_as("alice", "pause", "app"), 0);
    assert_int_equal(run_as("alice", "resume", "app"), 0);
    assert_int_equal(run_as("alice", "promote", "site-b", "-s", "app", "--reason", "a drill"), 0);
    assert_says(out, "canary      site-b     done: canary by the fixture"); /* followed step by step */
    assert_says(out, " is done after ");
    assert_int_equal(run_as("bob", "incidents"), 0);
    assert_says(out, "promote  app      site-a  site-b  done");
    assert_says(out, "alice via c1");
    assert_int_equal(run_as("bob", "events"), 0);
    assert_says(out, "paused by alice via c1");
    api_fixture_end(&fixture);
}

static void events_are_followed_from_afar_until_the_node_ends(void **state)
{
    pid_t follower;
    int status = -1;
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    follower = fork();
    if (follower == 0)
        _exit(run_as("bob", "events", "-f", "--json") == 3 && strstr(out, "\"event\":\"lease\"") != NULL ? 0 : 1);
    (void)usleep(500000);
    api_fixture_end(&fixture);
    assert_int_equal(waitpid(follower, &status, 0), follower);
    assert_int_equal(status, 0);
}

static void a_role_that_does_not_suffice_is_told_with_the_way_out(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    assert_int_equal(run_as("bob", "disarm", "app"), 1);
    assert_says(
        err,
        "coordctl: refused: viewer bob may look, and change nothing\n  way out: a certificate with the role operator");
    assert_int_equal(run_as("bob", "promote", "site-b", "-s", "app"), 1);
    assert_says(err, "viewer bob may look, and change nothing");
    api_fixture_end(&fixture);
}

static void a_certificate_that_is_no_good_is_told_before_anything_is_sent(void **state)
{
    static const struct {
        const char *name, *says;
    } cases[] = { { "late", "late.crt expired on " },
                  { "early", "does this clock go right?" },
                  { "stranger", "stranger.crt is not of the authority in " },
                  { "anonymous", "it must name exactly one of coord:node:ID" },
                  { "nobody", "nobody.crt: No such file or directory" } };
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(run_as(cases[i].name, "status"), 1);
        assert_says(err, cases[i].says);
        assert_null(strstr(err, PORT_FIRST)); /* no port was asked */
        assert_string_equal(out, "");
    }
    assert_int_equal(run_as("late", "status"), 1);
    assert_says(err, "  way out: coordctl pki show FILE");
    assert_int_equal(run("--server", fixture.server, "--certificate", tls_fixture_path("alice", "crt"), "--key",
                         tls_fixture_path("bob", "key"), "--authority", tls_fixture_path("ca", "crt"), "status"),
                     1);
    assert_says(err, "bob.key: it is not the key of certificate ");
    assert_int_equal(run_as("late", "status", "--json"), 1);
    assert_says(out, "\"status\":\"refused\"");
    assert_says(out, "coordctl pki client");
    assert_int_equal(chmod(tls_fixture_path("alice", "key"), 0644), 0);
    assert_int_equal(run_as("alice", "status"), 1);
    assert_says(err, "chmod 600 ");
    assert_int_equal(chmod(tls_fixture_path("alice", "key"), 0600), 0);
    assert_int_equal(run("--server", fixture.server, "status"), 1);
    assert_says(err, "a server asks for a certificate: --pki DIR");
    api_fixture_end(&fixture);
}

static void a_server_of_another_cluster_is_refused(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    assert_int_equal(run("--server", fixture.server, "--certificate", tls_fixture_path("stranger", "crt"), "--key",
                         tls_fixture_path("stranger", "key"), "--authority", tls_fixture_path("other", "crt"), "disarm",
                         "app"),
                     1);
    assert_says(err, "coordctl: refused: 127.0.0.1:");
    assert_says(err, "the certificate it shows (node 3) is not accepted");
    assert_says(err, PORT_FIRST);
    assert_says(err, "then: coordctl pki show FILE");
    api_fixture_end(&fixture);
    api_fixture_begin_port(&fixture, FIXTURE_READY, "alice"); /* a person poses as a node */
    assert_int_equal(run_as("bob", "status"), 1);
    assert_says(err, "its certificate is that of operator alice, not of a node");
    api_fixture_end(&fixture);
}

static void a_port_that_is_not_the_api_is_asked_about_first(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, NULL); /* in the open */
    assert_int_equal(run_as("alice", "status"), 1);
    assert_says(err, "it does not speak TLS\n" PORT_FIRST);
    assert_int_equal(run_as("alice", "events", "-f"), 1);
    assert_says(err, PORT_FIRST);
    api_fixture_end(&fixture);
}

static void the_next_server_is_asked_when_one_is_not_there(void **state)
{
    char servers[128];
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    (void)snprintf(servers, sizeof servers, "127.0.0.1:1,%s", fixture.server);
    assert_int_equal(run("--server", servers, "--certificate", tls_fixture_path("alice", "crt"), "--key",
                         tls_fixture_path("alice", "key"), "--authority", tls_fixture_path("ca", "crt"), "status"),
                     0);
    assert_says(out, "node c1 at site-c");
    assert_says(err, "coordctl: 127.0.0.1:1: Connection refused; asking 127.0.0.1:");
    api_fixture_end(&fixture);
    assert_int_equal(run_as("alice", "status"), 3);
    assert_says(err, "Connection refused\n  way out: is coordd running there, with the key `api` in its node file?");
    assert_int_equal(run("--server", "127.0.0.1", "--certificate", tls_fixture_path("alice", "crt"), "--key",
                         tls_fixture_path("alice", "key"), "--authority", tls_fixture_path("ca", "crt"), "status"),
                     1);
    assert_says(err, "expected HOST:PORT");
}

/* What `coordctl pki client` makes is what --pki takes. */
static void a_directory_of_pki_client_is_all_it_takes(void **state)
{
    char pki[160], client[200];
    (void)state;
    (void)snprintf(pki, sizeof pki, "%s", tls_fixture_path("pki", "d"));
    (void)snprintf(client, sizeof client, "%s/carol", pki);
    assert_int_equal(run("pki", "init", pki), 0);
    assert_int_equal(run("pki", "client", pki, "carol", "--role", "operator"), 0);
    assert_int_equal(run("pki", "node", pki, "c1", "--id", "3"), 0);
    (void)rename(tls_fixture_path("pki", "d/c1/node.crt"), tls_fixture_path("made", "crt"));
    (void)rename(tls_fixture_path("pki", "d/c1/node.key"), tls_fixture_path("made", "key"));
    (void)rename(tls_fixture_path("ca", "crt"), tls_fixture_path("kept", "crt"));
    (void)rename(tls_fixture_path("pki", "d/authority.crt"), tls_fixture_path("ca", "crt"));
    api_fixture_begin_port(&fixture, FIXTURE_READY, "made");
    assert_int_equal(run("--server", fixture.server, "--pki", client, "disarm", "app"), 0);
    (void)setenv("COORD_SERVER", fixture.server, 1);
    (void)setenv("COORD_PKI", client, 1);
    assert_int_equal(run("why", "app"), 0);
    assert_says(out, "disarmed by carol via c1");
    assert_int_equal(run("-S", fixture.socket_path, "status"), 0); /* said goes before the environment */
    assert_int_equal(run("-S", fixture.socket_path, "--server", fixture.server, "status"), 2);
    (void)unsetenv("COORD_SERVER");
    (void)unsetenv("COORD_PKI");
    api_fixture_end(&fixture);
    (void)rename(tls_fixture_path("kept", "crt"), tls_fixture_path("ca", "crt"));
    assert_int_equal(program_run("rm", "", (const char *const[]){ "-r", pki, NULL }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_commands_work_from_afar),
        cmocka_unit_test(events_are_followed_from_afar_until_the_node_ends),
        cmocka_unit_test(a_role_that_does_not_suffice_is_told_with_the_way_out),
        cmocka_unit_test(a_certificate_that_is_no_good_is_told_before_anything_is_sent),
        cmocka_unit_test(a_server_of_another_cluster_is_refused),
        cmocka_unit_test(a_port_that_is_not_the_api_is_asked_about_first),
        cmocka_unit_test(the_next_server_is_asked_when_one_is_not_there),
        cmocka_unit_test(a_directory_of_pki_client_is_all_it_takes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
