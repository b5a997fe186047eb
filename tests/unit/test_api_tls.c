/* Who may do what, over the port: by the client's certificate, and without one. */
#include "api_fixture.h"
#include "io/http_call.h"
#include "io/json.h"
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

static struct api_fixture fixture;
static struct json_t *answer; /* the last one, when it was JSON */
static char raw[65536];
static struct error err;

/* The HTTP code, or 0 with `err` when no answer came. `name` NULL: over the socket. */
static int call_as(const char *name, const char *method, const char *target, const char *body)
{
    struct tls_context *tls = NULL;
    struct http_call_request request = {
        .socket_path = fixture.socket_path, .method = method, .target = target, .body = body, .timeout_ms = 20000
    };
    struct http_call_answer got;
    struct error ignored = ERROR_NONE;
    enum status status;

    if (name != NULL) {
        tls = tls_fixture_context(name, strcmp(name, "stranger") == 0 ? "other" : "ca");
        request.server = fixture.server;
        request.tls = tls;
    }
    err = ERROR_NONE;
    status = http_call(&request, &got, &err);
    json_free(answer);
    answer = json_read(got.body, got.body_bytes, &ignored);
    (void)snprintf(raw, sizeof raw, "%s", got.body);
    if (status != STATUS_OK)
        got.code = 0;
    http_call_answer_free(&got);
    tls_context_destroy(tls);
    return got.code;
}

static const char *text(const char *key)
{
    return json_look_text(answer, key) != NULL ? json_look_text(answer, key) : "";
}

/* The number behind a line of the metrics that begins like this. */
static int metric(const char *line)
{
    const char *at;

    assert_int_equal(call_as(NULL, "GET", "/metrics", NULL), 200);
    at = strstr(raw, line);
    assert_non_null(at);
    return atoi(at + strlen(line));
}

static void certificate(const char *name, const char *authority, const char *uri, int64_t begin_s, int64_t end_s)
{
    tls_fixture_certificate(name, &(struct tls_fixture_certificate){
                                      .authority = authority, .uris = { uri }, .begin_s = begin_s, .end_s = end_s });
}

static int open_all(void **state)
{
    (void)state;
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    tls_fixture_authority("other");
    certificate("node", "ca", "coord:node:3", 0, 0);
    certificate("removed", "ca", "coord:node:9", 0, 0);
    certificate("alice", "ca", "coord:operator:alice", 0, 0);
    certificate("bob", "ca", "coord:viewer:bob", 0, 0);
    certificate("late", "ca", "coord:operator:late", -2 * DAY_S, -DAY_S);
    certificate("stranger", "other", "coord:operator:stranger", 0, 0);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    json_free(answer);
    tls_fixture_close();
    return 0;
}

static void an_operator_commands_and_the_log_knows_the_name(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    assert_int_equal(call_as("alice", "GET", "/v1/status", NULL), 200);
    assert_int_equal(call_as("alice", "POST", "/v1/services/app/disarm", NULL), 200);
    assert_int_equal(call_as("alice", "GET", "/v1/services/app/why", NULL), 200);
    assert_non_null(strstr(raw, "disarmed by alice via c1"));
    assert_int_equal(call_as(NULL, "POST", "/v1/services/app/arm", NULL), 200);
    assert_int_equal(call_as(NULL, "GET", "/v1/services/app/why", NULL), 200);
    assert_non_null(strstr(raw, "@c1\"")); /* the local user, as ever */
    assert_int_equal(metric("coord_api_refused{what=\"request\"} "), 0);
    assert_int_equal(metric("coord_api_refused{what=\"connection\"} "), 0);
    api_fixture_end(&fixture);
}

static void a_viewer_and_a_node_look_and_change_nothing(void **state)
{
    static const char *const posts[] = { "/v1/services/app/disarm", "/v1/services/app/promote", "/v1/config/apply",
                                         "/v1/operations/1/abort",  "/v1/services/none/arm",    "/nonsense" };
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    assert_int_equal(call_as("bob", "GET", "/v1/status", NULL), 200);
    assert_int_equal(call_as("bob", "GET", "/v1/config", NULL), 200);
    assert_int_equal(call_as("node", "GET", "/v1/status", NULL), 200);
    for (size_t i = 0; i < sizeof posts / sizeof posts[0]; i++) {
        assert_int_equal(call_as("bob", "POST", posts[i], "{}"), 403);
        assert_string_equal(text("status"), "refused");
        assert_string_equal(text("message"), "viewer bob may look, and change nothing");
        assert_non_null(strstr(text("fix"), "--role operator"));
        assert_int_equal(call_as("node", "POST", posts[i], "{}"), 403);
        assert_string_equal(text("message"), "node 3 may look, and change nothing");
    }
    assert_int_equal(call_as("bob", "DELETE", "/v1/status", NULL), 403);
    assert_int_equal(call_as("removed", "GET", "/v1/status", NULL), 403);
    assert_string_equal(text("message"), "node 9 is no member of this cluster");
    assert_int_equal(call_as("removed", "GET", "/healthz", NULL), 200);
    assert_int_equal(metric("coord_api_refused{what=\"request\"} "), 14);
    assert_int_equal(call_as(NULL, "GET", "/v1/services/app", NULL), 200);
    assert_true(json_look_bool(answer, "armed"));
    api_fixture_end(&fixture);
}

static void a_certificate_that_is_not_valid_here_is_refused_and_counted(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    assert_int_equal(call_as("late", "GET", "/healthz", NULL), 0); /* a bad certificate is not the same as none */
    assert_int_equal(err.status, STATUS_REFUSED);
    assert_non_null(strstr(err.text, "it refuses this side: certificate expired"));
    assert_int_equal(metric("coord_api_refused{what=\"connection\"} "), 1);
    assert_int_equal(call_as("stranger", "GET", "/healthz", NULL), 0);
    assert_int_equal(err.status, STATUS_REFUSED); /* it does not know this node either */
    assert_int_equal(metric("coord_api_refused{what=\"connection\"} "), 2);
    api_fixture_end(&fixture);
}

static void who_poses_as_a_node_is_refused_by_the_client(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "alice");
    assert_int_equal(call_as("bob", "POST", "/v1/services/app/disarm", NULL), 0);
    assert_int_equal(err.status, STATUS_REFUSED);
    assert_non_null(strstr(err.text, "its certificate is that of operator alice, not of a node"));
    api_fixture_end(&fixture);
}

/* One request over TCP by curl, which shows no certificate; returns the HTTP code that it prints. */
static int curl(const char *scheme, const char *target, const char *option)
{
    char command[512];
    int code = -1;
    FILE *out;

    (void)snprintf(command, sizeof command, "curl -s -k -o /dev/null -w '%%{http_code}' %s '%s://%s%s'", option, scheme,
                   fixture.server, target);
    out = popen(command, "re"); /* constant text and our own port */
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%d", &code), 1);
    (void)pclose(out);
    return code;
}

static void expect_without_a_role(const char *scheme)
{
    assert_int_equal(curl(scheme, "/healthz", ""), 200);
    assert_int_equal(curl(scheme, "/healthz", "-I"), 200);
    assert_int_equal(curl(scheme, "/metrics", ""), 200);
    assert_int_equal(curl(scheme, "/v1/services/app/sites/site-a/primary", ""), 200);
    assert_int_equal(curl(scheme, "/v1/services/app/sites/site-b/primary", ""), 503);
    assert_int_equal(curl(scheme, "/v1/services/app/sites/site-a/primary", "-X POST"), 403);
    assert_int_equal(curl(scheme, "/v1/services/app/sites/site-a", ""), 403);
    assert_int_equal(curl(scheme, "/v1/services/app", ""), 403);
    assert_int_equal(curl(scheme, "/v1/status", ""), 403);
    assert_int_equal(curl(scheme, "/v1/events?follow=1", ""), 403);
    assert_int_equal(curl(scheme, "/v1/services/app/disarm", "-X POST"), 403);
    assert_int_equal(metric("coord_api_refused{what=\"request\"} "), 6);
}

static void without_a_certificate_only_health_is_told(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, "node");
    expect_without_a_role("https");
    assert_int_equal(curl("https", "/healthz", "--tls-max 1.2"), 0);
    assert_int_equal(curl("http", "/healthz", ""), 0); /* not in the open */
    assert_int_equal(metric("coord_api_refused{what=\"connection\"} "), 2);
    api_fixture_end(&fixture);
}

static void in_the_open_only_health_is_told(void **state)
{
    (void)state;
    api_fixture_begin_port(&fixture, FIXTURE_READY, NULL);
    expect_without_a_role("http");
    api_fixture_end(&fixture);
}

/* Somebody has widened the socket's mode: the kernel still says who asks. */
static void a_local_user_outside_the_group_commands_nothing(void **state)
{
    pid_t pid;
    int status = -1;
    (void)state;
    if (geteuid() != 0)
        skip();
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(chmod(fixture.directory, 0755), 0);
    assert_int_equal(chmod(fixture.socket_path, 0666), 0);
    pid = fork();
    if (pid == 0) {
        bool good = setgid(65534) == 0 && setuid(65534) == 0 && call_as(NULL, "GET", "/healthz", NULL) == 200 &&
                    call_as(NULL, "GET", "/v1/status", NULL) == 403 &&
                    strstr(text("message"), "nobody may not command this node") != NULL &&
                    call_as(NULL, "POST", "/v1/services/app/disarm", NULL) == 403;
        json_free(answer);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    api_fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operator_commands_and_the_log_knows_the_name),
        cmocka_unit_test(a_viewer_and_a_node_look_and_change_nothing),
        cmocka_unit_test(a_certificate_that_is_not_valid_here_is_refused_and_counted),
        cmocka_unit_test(who_poses_as_a_node_is_refused_by_the_client),
        cmocka_unit_test(without_a_certificate_only_health_is_told),
        cmocka_unit_test(in_the_open_only_health_is_told),
        cmocka_unit_test(a_local_user_outside_the_group_commands_nothing),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
