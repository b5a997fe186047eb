/* The members in the API against docs/openapi.yaml, and in coordctl: over a real socket and the real core. */
#include "api_fixture.h"
#include "io/http_call.h"
#include "io/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct api_fixture fixture;
static struct json_t *answer;

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
    assert_non_null(answer);
    http_call_answer_free(&got);
    return got.code;
}

static int begin(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    return 0;
}

static int end(void **state)
{
    (void)state;
    json_free(answer);
    answer = NULL;
    api_fixture_end(&fixture);
    return 0;
}

static bool says(const char *key, const char *part)
{
    const char *text = json_look_text(answer, key);
    return text != NULL && strstr(text, part) != NULL;
}

static const struct json_t *member(const char *name)
{
    const struct json_t *list;

    assert_int_equal(call("GET", "/v1/members", NULL), 200);
    list = json_look(answer, "members");
    for (size_t i = 0; i < json_item_count(list); i++)
        if (strcmp(json_look_text(json_item(list, i), "name"), name) == 0)
            return json_item(list, i);
    return NULL;
}

static void the_list_has_every_key(void **state)
{
    static const char *const keys[] = { "id", "name", "site", "address", "role", "witness", "heard", "lag", "version" };
    const struct json_t *m = member("a1");

    (void)state;
    assert_non_null(m);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (json_look(m, keys[i]) == NULL)
            fail_msg("no key %s", keys[i]);
    assert_int_equal(json_item_count(json_look(answer, "warnings")), 0);
    assert_non_null(json_look(answer, "cluster"));
    assert_non_null(json_look(answer, "generation"));
}

static void an_added_node_gets_an_id_and_the_commands_to_type(void **state)
{
    const struct json_t *next;
    int64_t id;

    (void)state;
    assert_int_equal(call("POST", "/v1/members", "{\"name\":\"d1\",\"site\":\"site-d\",\"address\":\"10.0.0.4:7400\"}"),
                     200);
    id = json_look_int(answer, "id", 0);
    assert_true(id > 3);
    next = json_look(answer, "next");
    assert_true(json_item_count(next) >= 4);
    assert_non_null(strstr(json_item_text(next, json_item_count(next) - 3), "coordd join -c FILE --cluster "));
    assert_int_equal(json_item_count(json_look(answer, "warnings")), 1); /* four voters */
    assert_string_equal(json_look_text(member("d1"), "role"), "joining");
    assert_int_equal(call("POST", "/v1/members", "{\"name\":\"d1\",\"site\":\"site-d\",\"address\":\"10.0.0.5:7400\"}"),
                     409);
    assert_true(says("message", "coordctl members remove d1"));
    assert_int_equal(call("POST", "/v1/members/d1/demote", NULL), 200);
    assert_int_equal(call("POST", "/v1/members/d1/promote", NULL), 200);
    assert_int_equal(call("POST", "/v1/members/d1/remove", NULL), 200);
    assert_null(member("d1"));
}

static void what_is_no_node_is_not_added(void **state)
{
    (void)state;
    assert_int_equal(call("POST", "/v1/members", "{\"name\":\"d1\",\"site\":\"site-d\"}"), 400);
    assert_int_equal(
        call("POST", "/v1/members", "{\"name\":\"D 1\",\"site\":\"site-d\",\"address\":\"10.0.0.4:7400\"}"), 400);
    assert_int_equal(call("POST", "/v1/members", "{\"name\":\"d1\",\"site\":\"site-d\",\"address\":\"10.0.0.4\"}"),
                     400);
    assert_true(says("message", "address: expected"));
    assert_int_equal(call("POST", "/v1/members/nobody/remove", NULL), 404);
    assert_int_equal(call("POST", "/v1/members/a1/praise", NULL), 404);
}

static void a_refusal_names_the_gate_and_the_exact_override(void **state)
{
    (void)state;
    assert_int_equal(call("POST", "/v1/members/a1/remove", NULL), 409);
    assert_true(says("message", "gate lease"));
    assert_true(says("fix", "coordctl members remove a1 --force=lease --reason \"WHY\" --confirm a1"));
    assert_int_equal(call("POST", "/v1/members/a1/remove", "{\"force\":[\"lease\"]}"), 400);
    assert_int_equal(
        call("POST", "/v1/members/a1/remove", "{\"force\":[\"lease\"],\"reason\":\"x\",\"confirm\":\"b1\"}"), 400);
    assert_int_equal(
        call("POST", "/v1/members/a1/remove", "{\"force\":[\"quorum\"],\"reason\":\"x\",\"confirm\":\"a1\"}"), 400);
    assert_int_equal(
        call("POST", "/v1/members/a1/remove", "{\"force\":[\"lease\"],\"reason\":\"x\",\"confirm\":\"a1\"}"), 200);
    assert_null(member("a1"));
}

static void another_node_is_asked_to_lead(void **state)
{
    (void)state;
    assert_int_equal(call("POST", "/v1/members/transfer", "{\"to\":\"b1\"}"), 200);
    assert_true(says("message", "b1 shall lead, for 10 minutes"));
    assert_int_equal(call("POST", "/v1/members/transfer", NULL), 200);
    assert_int_equal(call("POST", "/v1/members/transfer", "{\"to\":\"nobody\"}"), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_list_has_every_key, begin, end),
        cmocka_unit_test_setup_teardown(an_added_node_gets_an_id_and_the_commands_to_type, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_node_is_not_added, begin, end),
        cmocka_unit_test_setup_teardown(a_refusal_names_the_gate_and_the_exact_override, begin, end),
        cmocka_unit_test_setup_teardown(another_node_is_asked_to_lead, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
