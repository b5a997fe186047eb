/* The API against docs/openapi.yaml, over a real socket and the real core. */
#include "api_fixture.h"
#include "io/http_call.h"
#include "io/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct api_fixture fixture;
static struct json_t *answer; /* the last one, when it was JSON */
static char raw[65536];

/* Returns the HTTP code; keeps the body. */
static int call(const char *method, const char *target, const char *body)
{
    struct http_call_request request = {
        .socket_path = fixture.socket_path, .method = method, .target = target, .body = body, .timeout_ms = 20000
    };
    struct http_call_answer got;
    struct error err = ERROR_NONE;

    if (http_call(&request, &got, &err) != STATUS_OK)
        fail_msg("%s %s: %s", method, target, err.text);
    json_free(answer);
    answer = json_read(got.body, got.body_bytes, &err);
    (void)snprintf(raw, sizeof raw, "%s", got.body);
    http_call_answer_free(&got);
    return got.code;
}

static const char *text(const char *key)
{
    return json_look_text(answer, key) != NULL ? json_look_text(answer, key) : "";
}

/* The exit code of the other child: the one that a test forked itself. */
static int waitpid_any(void)
{
    int status = -1;
    return wait(&status) > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void finish(void)
{
    json_free(answer);
    answer = NULL;
    api_fixture_end(&fixture);
}

/* GETs until the look at `key` is `word`. */
static void until(const char *target, const char *key, const char *word)
{
    for (int i = 0; i < 1000; i++) {
        if (call("GET", target, NULL) == 200 && strcmp(text(key), word) == 0)
            return;
        (void)usleep(10000);
    }
    fail_msg("%s: %s never became %s: %s", target, key, word, raw);
}

static void status_shows_the_node_the_cluster_and_each_service(void **state)
{
    const struct json_t *service, *cluster;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("GET", "/v1/status", NULL), 200);
    cluster = json_look(answer, "cluster");
    assert_string_equal(json_look_text(json_look(answer, "node"), "name"), "c1");
    assert_string_equal(json_look_text(cluster, "leader"), "c1");
    assert_int_equal(json_item_count(json_look(cluster, "nodes")), 3);
    assert_true(json_look_bool(json_item(json_look(cluster, "nodes"), 2), "witness"));
    service = json_item(json_look(answer, "services"), 0);
    assert_string_equal(json_look_text(service, "name"), "app");
    assert_string_equal(json_look_text(service, "primary"), "site-a");
    assert_string_equal(json_look_text(service, "health"), "ok");
    assert_string_equal(json_look_text(service, "summary"), "primary site-a, epoch 1; site-b is ready");
    assert_true(json_look_null(service, "way_out"));
    assert_true(json_look_null(service, "operation"));
    assert_string_equal(json_look_text(json_look(service, "lease"), "state"), "live");
    assert_string_equal(json_look_text(json_look(service, "lease"), "enforcement"), "lease_guard");
    assert_string_equal(json_look_text(json_item(json_look(service, "sites"), 1), "role"), "standby");
    assert_string_equal(json_look_text(json_item(json_look(service, "sites"), 0), "evidence"), "a1 up; b1 up; c1 up");
    assert_int_equal(call("GET", "/v1/services/app", NULL), 200);
    assert_string_equal(text("name"), "app");
    finish();
}

/* Every key that openapi.yaml names for a service and an operation is there, also when its value is null. */
static void no_key_is_ever_left_out(void **state)
{
    static const char *const service_keys[] = { "name",      "mode",    "profile", "armed",       "paused",
                                                "epoch",     "primary", "lease",   "certificate", "sites",
                                                "operation", "health",  "summary", "way_out" };
    static const char *const operation_keys[] = {
        "id",        "kind",      "service",     "from",        "to",         "state",        "past_no_return",
        "old_epoch", "new_epoch", "certificate", "detected_ms", "started_ms", "certified_ms", "promoted_ms",
        "ended_ms",  "by",        "reason",      "overrides",   "waits_for",  "way_out",      "steps"
    };
    char target[64];
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_STUCK);
    assert_int_equal(call("GET", "/v1/services/app", NULL), 200);
    for (size_t i = 0; i < sizeof service_keys / sizeof service_keys[0]; i++)
        assert_non_null(json_look(answer, service_keys[i]));
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-b\"}"), 202);
    (void)snprintf(target, sizeof target, "/v1/operations/%d", (int)json_look_int(answer, "operation", 0));
    assert_int_equal(call("GET", target, NULL), 200);
    for (size_t i = 0; i < sizeof operation_keys / sizeof operation_keys[0]; i++)
        assert_non_null(json_look(answer, operation_keys[i]));
    assert_non_null(json_look_text(answer, "waits_for"));
    assert_non_null(json_look_text(answer, "way_out"));
    finish();
}

static void what_does_not_exist_is_404_with_the_error_body(void **state)
{
    static const char *const targets[] = { "/",
                                           "/v1",
                                           "/v1/nothing",
                                           "/v1/services/none",
                                           "/v1/services/app/nothing",
                                           "/v1/operations/999999",
                                           "/v1/incidents/999999",
                                           "/v1//status",
                                           "/v1/status/",
                                           "/v1/services/app/sites/site-a/primary/x",
                                           "/v1/events?service=none" };
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_int_equal(call("GET", targets[i], NULL), 404);
        assert_string_equal(text("status"), "not_found");
        assert_true(strlen(text("message")) > 0);
        assert_non_null(json_look(answer, "fix"));
    }
    assert_int_equal(call("DELETE", "/v1/status", NULL), 405);
    assert_int_equal(call("POST", "/v1/status", NULL), 404);
    assert_int_equal(call("GET", "/v1/operations/x", NULL), 400);
    assert_int_equal(call("GET", "/v1/events?since=x", NULL), 400);
    finish();
}

static void health_metrics_and_primary_need_no_reading(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("GET", "/healthz", NULL), 200);
    assert_string_equal(raw, "ok\n");
    assert_int_equal(call("GET", "/metrics", NULL), 200);
    assert_non_null(strstr(raw, "coord_site_primary{service=\"app\",site=\"site-a\"} 1\n"));
    assert_non_null(strstr(raw, "coord_lease_enforcing{service=\"app\"} 1\n"));
    assert_non_null(strstr(raw, "coord_certificate_expiry_seconds{of=\"certificate\"} 4102444800\n"));
    assert_non_null(strstr(raw, "coord_certificate_expiry_seconds{of=\"authority\"} 4102444801\n"));
    assert_non_null(strstr(raw, "coord_disk_free_bytes 209715200\n"));
    assert_non_null(strstr(raw, "coord_node_connections_accepted_total 4\n"));
    assert_non_null(strstr(raw, "coord_node_connections_refused_total{reason=\"certificate\"} 5\n"));
    assert_non_null(strstr(raw, "coord_node_connections_refused_total{reason=\"hello\"} 6\n"));
    assert_int_equal(call("GET", "/v1/services/app/sites/site-a/primary", NULL), 200);
    assert_string_equal(raw, "primary epoch=1\n");
    assert_int_equal(call("GET", "/v1/services/app/sites/site-b/primary", NULL), 503);
    assert_int_equal(call("GET", "/v1/services/app/sites/nowhere/primary", NULL), 503);
    finish();
    api_fixture_begin(&fixture, FIXTURE_NO_LEADER);
    assert_int_equal(call("GET", "/healthz", NULL), 503);
    assert_int_equal(call("GET", "/v1/services/app/sites/site-a/primary", NULL), 503); /* it may be elsewhere by now */
    assert_non_null(strstr(raw, "no leader is known here"));
    assert_int_equal(call("GET", "/v1/status", NULL), 200);
    assert_true(json_look_null(json_item(json_look(json_look(answer, "cluster"), "nodes"), 0), "heard"));
    finish();
}

static void a_promotion_runs_to_its_end_and_leaves_a_report(void **state)
{
    char target[80];
    const struct json_t *operation;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-b\",\"reason\":\"a drill\"}"), 202);
    assert_string_equal(text("service"), "app");
    (void)snprintf(target, sizeof target, "/v1/operations/%d", (int)json_look_int(answer, "operation", 0));
    until(target, "state", "done");
    assert_string_equal(text("kind"), "promote");
    assert_string_equal(text("to"), "site-b");
    assert_string_equal(text("reason"), "a drill");
    assert_string_equal(text("certificate"), "AGENT");
    assert_non_null(strstr(text("by"), "@c1")); /* who the kernel says it is */
    assert_true(json_look_bool(answer, "past_no_return"));
    assert_int_equal(json_look_int(answer, "new_epoch", 0), 2);
    (void)snprintf(target, sizeof target, "/v1/incidents/%d", (int)json_look_int(answer, "id", 0));
    assert_int_equal(call("GET", target, NULL), 200);
    operation = json_look(answer, "operation");
    assert_true(json_item_count(json_look(operation, "steps")) >= 6);
    assert_false(json_look_null(json_look(answer, "phases"), "writable_ms"));
    assert_true(json_item_count(json_look(answer, "lines")) > 3);
    (void)strncat(target, "?format=text", sizeof target - strlen(target) - 1);
    assert_int_equal(call("GET", target, NULL), 200);
    assert_non_null(strstr(raw, "promote of app from site-a to site-b"));
    assert_non_null(strstr(raw, "proof        AGENT: the old primary of epoch 1 can no longer acknowledge a write"));
    (void)snprintf(strchr(target, '?'), 20, "?format=mermaid");
    assert_int_equal(call("GET", target, NULL), 200);
    assert_ptr_equal(strstr(raw, "gantt"), raw);
    (void)snprintf(strchr(target, '?'), 20, "?format=pdf");
    assert_int_equal(call("GET", target, NULL), 400);
    assert_int_equal(call("GET", "/v1/incidents?service=app", NULL), 200);
    assert_int_equal(json_item_count(json_look(answer, "incidents")), 1);
    finish();
}

static void a_gate_says_no_with_its_reason_and_the_exact_override(void **state)
{
    const struct json_t *gates;
    bool found = false;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("POST", "/v1/services/app/pause", NULL), 200);
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-b\"}"), 409);
    assert_string_equal(text("status"), "refused");
    assert_string_equal(text("fix"), "coordctl promote site-b -s app --force=paused --reason \"WHY\" --confirm app");
    gates = json_look(answer, "gates");
    for (size_t i = 0; i < json_item_count(gates); i++)
        if (strcmp(json_look_text(json_item(gates, i), "gate"), "paused") == 0) {
            found = true;
            assert_false(json_look_bool(json_item(gates, i), "passed"));
            assert_true(json_look_bool(json_item(gates, i), "override"));
        }
    assert_true(found);
    assert_int_equal(call("GET", "/v1/services/app", NULL), 200);
    assert_true(json_look_null(answer, "operation"));
    finish();
}

static void an_override_is_typed_or_refused(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("POST", "/v1/services/app/pause", NULL), 200);
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-b\",\"force\":[\"paused\"]}"), 400);
    assert_int_equal(call("POST", "/v1/services/app/promote",
                          "{\"site\":\"site-b\",\"force\":[\"paused\"],\"reason\":\"x\",\"confirm\":\"ap\"}"),
                     400);
    assert_int_equal(call("POST", "/v1/services/app/promote",
                          "{\"site\":\"site-b\",\"force\":[\"pused\"],\"reason\":\"x\",\"confirm\":\"app\"}"),
                     400);
    assert_non_null(strstr(text("message"), "paused"));
    assert_int_equal(call("POST", "/v1/services/app/promote",
                          "{\"site\":\"site-b\",\"force\":[\"armed\"],\"reason\":\"x\",\"confirm\":\"app\"}"),
                     400);
    assert_int_equal(
        call("POST", "/v1/services/app/promote",
             "{\"site\":\"site-b\",\"force\":[\"paused\"],\"reason\":\"x\",\"confirm\":\"app\",\"dry_run\":true}"),
        200);
    assert_true(json_look_null(answer, "operation"));
    assert_int_equal(call("POST", "/v1/services/app/promote",
                          "{\"site\":\"site-b\",\"force\":[\"paused\"],\"reason\":\"x\",\"confirm\":\"app\"}"),
                     202);
    finish();
}

static void a_request_with_a_wrong_key_or_type_is_400_and_does_nothing(void **state)
{
    static const char *const bodies[] = { "",
                                          "[]",
                                          "{",
                                          "{\"site\":5}",
                                          "{\"sit\":\"site-b\"}",
                                          "{\"site\":\"site-b\",\"x\":1}",
                                          "{\"site\":\"site-b\",\"force\":\"paused\"}",
                                          "{\"site\":\"site-b\",\"site\":\"site-b\"}" };
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(call("POST", "/v1/services/app/promote", bodies[i]), 400);
        assert_string_equal(text("status"), "invalid");
    }
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-c\"}"), 404);
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-a\"}"), 200);
    assert_string_equal(text("message"), "it is the primary already");
    assert_int_equal(call("GET", "/v1/incidents", NULL), 200);
    assert_int_equal(json_item_count(json_look(answer, "incidents")), 0);
    finish();
}

static void an_operation_that_is_none_is_said_to_be_none(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(
        call("POST", "/v1/operations/999/approve", "{\"fenced\":true,\"reason\":\"off\",\"confirm\":\"app\"}"), 404);
    assert_string_equal(text("fix"), "coordctl incidents");
    assert_int_equal(call("POST", "/v1/operations/999/abort", NULL), 404);
    assert_int_equal(call("POST", "/v1/operations/abc/approve", NULL), 400);
    assert_non_null(strstr(text("message"), "'abc' is no operation"));
    assert_int_equal(call("POST", "/v1/services/app/pause", "{\"reason\":\"lost\"}"), 400); /* nobody would keep it */
    finish();
}

static void a_proposed_operation_is_approved_or_aborted(void **state)
{
    char target[80];
    int id;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_PROPOSE);
    until("/v1/services/app", "health", "critical");
    for (int i = 0; i < 1000 && json_look_null(answer, "operation"); i++) {
        (void)usleep(10000);
        assert_int_equal(call("GET", "/v1/services/app", NULL), 200);
    }
    assert_string_equal(json_look_text(json_look(answer, "operation"), "state"), "proposed");
    id = (int)json_look_int(json_look(answer, "operation"), "id", 0);
    (void)snprintf(target, sizeof target, "coordctl approve %d", id);
    assert_ptr_equal(strstr(text("way_out"), target), text("way_out"));
    (void)snprintf(target, sizeof target, "/v1/operations/%d/approve", id);
    assert_int_equal(call("POST", target, "{\"reason\":\"seen\"}"), 200);
    (void)snprintf(target, sizeof target, "/v1/operations/%d", id);
    until(target, "state", "done");
    assert_string_equal(text("by"), "automatic");
    (void)snprintf(target, sizeof target, "/v1/operations/%d/abort", id);
    assert_int_equal(call("POST", target, NULL), 409); /* it has ended */
    (void)snprintf(target, sizeof target, "/v1/operations/%d/explode", id);
    assert_int_equal(call("POST", target, NULL), 404);
    finish();
}

static void a_word_for_a_fenced_primary_and_a_skip_are_typed(void **state)
{
    char base[80], target[120];
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_STUCK);
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-b\"}"), 202);
    (void)snprintf(base, sizeof base, "/v1/operations/%d", (int)json_look_int(answer, "operation", 0));
    assert_int_equal(call("GET", base, NULL), 200);
    (void)snprintf(target, sizeof target, "coordctl approve %s --fenced --reason \"WHY\" --confirm app",
                   strrchr(base, '/') + 1);
    assert_non_null(strstr(text("way_out"), target)); /* as it has to be typed, after what a person does first */
    assert_ptr_equal(strstr(text("way_out"), "switch the old primary off"), text("way_out"));
    assert_null(strstr(text("waits_for"), "way out"));
    (void)snprintf(target, sizeof target, "%s/approve", base);
    assert_int_equal(call("POST", target, "{\"fenced\":true}"), 400);
    assert_int_equal(call("POST", target, "{\"fenced\":true,\"reason\":\"unplugged\",\"confirm\":\"other\"}"), 400);
    (void)snprintf(target, sizeof target, "%s/skip", base);
    assert_int_equal(call("POST", target, "{\"step\":\"nothing\",\"reason\":\"x\"}"), 400);
    assert_int_equal(call("POST", target, "{\"step\":\"dns\"}"), 400);
    assert_int_equal(call("POST", target, "{\"step\":\"fence\",\"reason\":\"x\"}"), 409); /* a safety step */
    (void)snprintf(target, sizeof target, "%s/abort", base);
    assert_int_equal(call("POST", target, "{\"reason\":\"x\"}"), 200);
    until(base, "state", "aborted"); /* before the proof nothing was severed: there is nothing to undo */
    finish();
}

#define YAML_BODY(lag)                                                                                                 \
    "{\"file\":\"s.yaml\",\"yaml\":\"services:\\n  - name: app\\n    profile: metro\\n    mode: auto\\n    primary: "  \
    "site-a\\n"                                                                                                        \
    "    accept_vm_pause: true\\n    max_lag: " lag "\\n    sites:\\n"                                                 \
    "      - { site: site-a, address: 127.10.1.1, postgres: { host: 127.10.1.1 } }\\n"                                 \
    "      - { site: site-b, address: 127.10.2.1, postgres: { host: 127.10.2.1 } }\\n\"%s}"

static char *yaml_body(const char *format, const char *more)
{
    static char body[4096];
    char *at = strstr(format, "%s");
    (void)snprintf(body, sizeof body, "%.*s%s%s", (int)(at - format), format, more, at + 2);
    return body;
}

static void a_services_file_is_compared_applied_and_shown(void **state)
{
    const struct json_t *change;
    int version;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("POST", "/v1/config/apply?dry_run=1", yaml_body(YAML_BODY("2MiB"), "")), 200);
    assert_false(json_look_bool(answer, "applied"));
    assert_int_equal(json_item_count(json_look(answer, "changes")), 1);
    change = json_item(json_look(answer, "changes"), 0);
    assert_string_equal(json_look_text(change, "path"), "services/app/max_lag");
    assert_string_equal(json_look_text(change, "old"), "1MiB");
    assert_string_equal(json_look_text(change, "new"), "2MiB");
    version = (int)json_look_int(answer, "version", 0);
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), ",\"base_version\":99")), 409);
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), ",\"base_version\":0")), 409);
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), ",\"base_version\":-1")), 400);
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), ",\"base_version\":1")), 200);
    assert_true(json_look_bool(answer, "applied"));
    assert_int_equal(json_look_int(answer, "version", 0), version + 1);
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), "")), 200);
    assert_false(json_look_bool(answer, "applied")); /* nothing to do */
    assert_int_equal(call("GET", "/v1/config", NULL), 200);
    assert_int_equal(json_look_int(answer, "version", 0), version + 1);
    assert_non_null(strstr(text("yaml"), "    max_lag: 2MiB\n"));
    finish();
}

static void a_wrong_services_file_is_told_every_mistake_with_its_place(void **state)
{
    const struct json_t *errors;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(
        call("POST", "/v1/config/apply",
             "{\"file\":\"s.yaml\",\"yaml\":\"services:\\n  - name: App\\n    primry: x\\n    sites: 5\\n\"}"),
        400);
    errors = json_look(answer, "errors");
    assert_int_equal(json_item_count(errors), 4);
    assert_string_equal(json_look_text(json_item(errors, 0), "file"), "s.yaml");
    assert_int_equal(json_look_int(json_item(errors, 3), "line", 0), 4);
    assert_non_null(strstr(text("message"), "s.yaml:3:5: error: unknown key 'primry'; did you mean 'primary'?\n"));
    assert_int_equal(call("POST", "/v1/config/apply",
                          "{\"yaml\":\"services:\\n  - name: x\\n    primary: mars\\n    sites:\\n      - { site: "
                          "mars, postgres: { host: h } }\\n"
                          "      - { site: site-a, postgres: { host: g } }\\n\"}"),
                     400);
    assert_non_null(strstr(text("message"), "the cluster has no site 'mars'"));
    assert_int_equal(call("POST", "/v1/config/apply", "{}"), 400);
    assert_int_equal(call("GET", "/v1/config", NULL), 200);
    assert_int_equal(json_look_int(answer, "version", 0), 1);
    finish();
}

static void without_a_leader_a_change_is_503_and_with_a_lost_one_504(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_NO_LEADER);
    assert_int_equal(call("POST", "/v1/services/app/disarm", NULL), 503);
    assert_string_equal(text("status"), "no_leader");
    assert_int_equal(call("POST", "/v1/services/app/promote", "{\"site\":\"site-b\"}"), 503);
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), "")), 503);
    finish();
    api_fixture_begin(&fixture, FIXTURE_UNKNOWN);
    assert_int_equal(call("POST", "/v1/services/app/disarm", NULL), 504);
    assert_string_equal(text("status"), "unknown");
    assert_non_null(strstr(text("fix"), "before you try again"));
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), "")), 504);
    finish();
}

static void a_change_through_a_follower_is_seen_in_the_next_look_at_it(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_LAGGING);
    assert_int_equal(call("POST", "/v1/services/app/disarm", NULL), 200);
    assert_int_equal(call("GET", "/v1/services/app", NULL), 200);
    assert_false(json_look_bool(answer, "armed"));
    assert_int_equal(call("POST", "/v1/config/apply", yaml_body(YAML_BODY("2MiB"), "")), 200);
    assert_int_equal(call("GET", "/v1/config", NULL), 200);
    assert_int_equal(json_look_int(answer, "version", 0), 2);
    finish();
}

struct following {
    char text[16384];
    size_t used;
    const char *needle;
};
static bool on_data(void *ctx, const char *data, size_t length)
{
    struct following *f = ctx;
    assert_true(f->used + length < sizeof f->text);
    memcpy(f->text + f->used, data, length);
    f->used += length;
    f->text[f->used] = '\0';
    return strstr(f->text, f->needle) == NULL;
}

static void events_are_listed_since_a_number_and_followed_as_they_happen(void **state)
{
    struct following f = { .needle = "app disarmed by" };
    struct http_call_request request = {
        .socket_path = fixture.socket_path, .method = "GET", .timeout_ms = 20000, .on_data = on_data, .ctx = &f
    };
    struct http_call_answer got;
    struct error err = ERROR_NONE;
    char target[80];
    int next;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("GET", "/v1/events", NULL), 200);
    assert_true(json_item_count(json_look(answer, "events")) > 5);
    next = (int)json_look_int(answer, "next", 0);
    (void)snprintf(target, sizeof target, "/v1/events?since=%d&service=app&follow=1", next);
    request.target = target;
    if (fork() == 0) { /* somebody else does something while we follow */
        (void)usleep(100000);
        _exit(call("POST", "/v1/services/app/disarm", NULL) == 200 ? 0 : 1);
    }
    assert_int_equal(http_call(&request, &got, &err), STATUS_OK);
    http_call_answer_free(&got);
    assert_non_null(strstr(f.text, "\"event\":\"service\""));
    assert_null(strstr(f.text, "cluster of 3 nodes")); /* from before */
    (void)snprintf(target, sizeof target, "/v1/events?since=%d", next);
    assert_int_equal(call("GET", target, NULL), 200);
    assert_true(json_item_count(json_look(answer, "events")) >= 1);
    assert_int_equal(json_look_int(json_item(json_look(answer, "events"), 0), "number", 0), next + 1);
    assert_int_equal(call("GET", "/v1/events?since=18446744073709551615", NULL), 200); /* the last number there is */
    assert_int_equal(json_item_count(json_look(answer, "events")), 0);
    assert_int_equal(call("GET", "/v1/events?since=18446744073709551616", NULL), 400);
    assert_int_equal(waitpid_any(), 0);
    finish();
}

static void a_stream_of_events_does_not_keep_the_process_from_ending(void **state)
{
    struct following f = { .needle = "cluster of 3 nodes" };
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    {
        struct http_call_request request = { .socket_path = fixture.socket_path,
                                             .method = "GET",
                                             .target = "/v1/events?follow=1",
                                             .timeout_ms = 20000,
                                             .on_data = on_data,
                                             .ctx = &f };
        struct http_call_answer got;
        struct error err = ERROR_NONE;
        f.needle = "this never comes";
        if (fork() == 0) { /* the follower: it is cut off by the end of the server */
            enum status status = http_call(&request, &got, &err);
            http_call_answer_free(&got);
            _exit(status == STATUS_UNKNOWN ? 0 : 1);
        }
    }
    (void)usleep(200000);
    finish();
    assert_int_equal(waitpid_any(), 0);
}

static void an_empty_cluster_says_what_to_do(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_EMPTY);
    assert_int_equal(call("GET", "/v1/status", NULL), 200);
    assert_int_equal(json_item_count(json_look(answer, "services")), 0);
    assert_int_equal(call("GET", "/v1/config", NULL), 200);
    assert_string_equal(text("yaml"), "services: []\n");
    assert_int_equal(json_look_int(answer, "version", -1), 0);
    finish();
}

static void why_tells_the_gates_and_what_happened(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(call("POST", "/v1/services/app/disarm", NULL), 200);
    assert_int_equal(call("GET", "/v1/services/app/why", NULL), 200);
    assert_string_equal(text("target"), "site-b");
    assert_string_equal(text("way_out"), "coordctl arm app");
    assert_non_null(strstr(text("summary"), "not armed"));
    assert_true(json_item_count(json_look(answer, "gates")) > 5);
    assert_true(json_item_count(json_look(answer, "lines")) > 5);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_shows_the_node_the_cluster_and_each_service),
        cmocka_unit_test(no_key_is_ever_left_out),
        cmocka_unit_test(what_does_not_exist_is_404_with_the_error_body),
        cmocka_unit_test(health_metrics_and_primary_need_no_reading),
        cmocka_unit_test(a_promotion_runs_to_its_end_and_leaves_a_report),
        cmocka_unit_test(a_gate_says_no_with_its_reason_and_the_exact_override),
        cmocka_unit_test(an_override_is_typed_or_refused),
        cmocka_unit_test(a_request_with_a_wrong_key_or_type_is_400_and_does_nothing),
        cmocka_unit_test(an_operation_that_is_none_is_said_to_be_none),
        cmocka_unit_test(a_proposed_operation_is_approved_or_aborted),
        cmocka_unit_test(a_word_for_a_fenced_primary_and_a_skip_are_typed),
        cmocka_unit_test(a_services_file_is_compared_applied_and_shown),
        cmocka_unit_test(a_wrong_services_file_is_told_every_mistake_with_its_place),
        cmocka_unit_test(without_a_leader_a_change_is_503_and_with_a_lost_one_504),
        cmocka_unit_test(a_change_through_a_follower_is_seen_in_the_next_look_at_it),
        cmocka_unit_test(events_are_listed_since_a_number_and_followed_as_they_happen),
        cmocka_unit_test(a_stream_of_events_does_not_keep_the_process_from_ending),
        cmocka_unit_test(an_empty_cluster_says_what_to_do),
        cmocka_unit_test(why_tells_the_gates_and_what_happened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
