/* Building mends what JSON cannot hold; strict reading names the key that is wrong. */
#include "base/text.h"
#include "io/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct wanted {
    bool unused, flag, flag_written;
    char site[8];
    int64_t number;
    char words[2][8];
    uint32_t word_count;
};
static const struct json_want wants[] = {
    { .key = "site", .kind = JSON_IS_TEXT, .required = true, .offset = offsetof(struct wanted, site), .size = 8 },
    { .key = "number", .kind = JSON_IS_INT, .offset = offsetof(struct wanted, number) },
    { .key = "flag",
      .kind = JSON_IS_BOOL,
      .offset = offsetof(struct wanted, flag),
      .present = offsetof(struct wanted, flag_written) },
    { .key = "words",
      .kind = JSON_IS_TEXTS,
      .offset = offsetof(struct wanted, words),
      .size = 8,
      .count_max = 2,
      .count = offsetof(struct wanted, word_count) },
};

static void expect(const char *text, const char *message)
{
    struct error err = ERROR_NONE;
    struct wanted out;
    struct json_t *value = json_read(text, strlen(text), &err);

    memset(&out, 0, sizeof out);
    if (value != NULL)
        (void)json_unpack_wanted(value, wants, sizeof wants / sizeof wants[0], &out, &err);
    assert_string_equal(err.text, message);
    json_free(value);
}

static void what_was_built_is_printed_in_order_and_read_back(void **state)
{
    struct json_t *object = json_make_object(), *list = json_make_array(), *back;
    struct error err = ERROR_NONE;
    char *text;
    (void)state;
    json_put_text(object, "z", "a\"b\n");
    json_put_int(object, "n", INT64_MAX);
    json_put_bool(object, "b", true);
    json_put_text(object, "nothing", NULL);
    json_append_text(list, "x");
    json_append(list, NULL);
    json_put(object, "list", list);
    json_put_format(object, "f", "%d-%s", 7, "q");
    text = json_print(object);
    assert_string_equal(text, "{\"z\":\"a\\\"b\\n\",\"n\":9223372036854775807,\"b\":true,\"nothing\":null,"
                              "\"list\":[\"x\",null],\"f\":\"7-q\"}");
    back = json_read(text, strlen(text), &err);
    assert_non_null(back);
    assert_int_equal(json_look_int(back, "n", 0), INT64_MAX);
    assert_string_equal(json_look_text(back, "z"), "a\"b\n");
    assert_true(json_look_bool(back, "b"));
    assert_true(json_look_null(back, "nothing"));
    assert_true(json_look_null(back, "absent"));
    assert_int_equal(json_item_count(json_look(back, "list")), 2);
    assert_string_equal(json_item_text(json_look(back, "list"), 0), "x");
    assert_null(json_look_text(back, "n"));
    assert_int_equal(json_look_int(back, "z", -1), -1);
    json_free(back);
    free(text);
    json_free(object);
}

static void text_in_another_encoding_is_mended_not_lost(void **state)
{
    struct json_t *object = json_make_object();
    (void)state;
    json_put_text(object, "m", "caf\xe9 geschlo\xdf");
    assert_string_equal(json_look_text(object, "m"), "caf? geschlo?");
    json_free(object);
}

static void a_complete_object_is_unpacked(void **state)
{
    static const char text[] = "{\"words\":[\"a\",\"b\"],\"site\":\"site-a\",\"number\":-5,\"flag\":true}";
    struct error err = ERROR_NONE;
    struct wanted out;
    struct json_t *value = json_read(text, sizeof text - 1, &err);
    (void)state;
    memset(&out, 0, sizeof out);
    assert_int_equal(json_unpack_wanted(value, wants, 4, &out, &err), STATUS_OK);
    assert_string_equal(out.site, "site-a");
    assert_int_equal(out.number, -5);
    assert_true(out.flag);
    assert_true(out.flag_written);
    assert_int_equal(out.word_count, 2);
    assert_string_equal(out.words[1], "b");
    json_free(value);
}

static void the_wrong_key_is_named(void **state)
{
    (void)state;
    expect("{\"site\":\"a\"}", "");
    expect("{}", "missing key 'site'");
    expect("{\"site\":5}", "key 'site': expected text");
    expect("{\"site\":\"12345678\"}", "key 'site': 8 bytes; at most 7");
    expect("{\"site\":\"a\\u0000b\"}",
           "not valid JSON: line 1 column 18: \\u0000 is not allowed without JSON_ALLOW_NUL near '\"a\\u0000b\"'");
    expect("{\"site\":\"a\",\"sit\":1}", "unknown key 'sit'");
    expect("{\"site\":\"a\",\"number\":\"5\"}", "key 'number': expected a whole number");
    expect("{\"site\":\"a\",\"number\":1.5}", "key 'number': expected a whole number");
    expect("{\"site\":\"a\",\"flag\":1}", "key 'flag': expected true or false");
    expect("{\"site\":\"a\",\"words\":\"x\"}", "key 'words': expected a list of texts");
    expect("{\"site\":\"a\",\"words\":[\"1\",\"2\",\"3\"]}", "key 'words': 3 items; at most 2");
    expect("{\"site\":\"a\",\"words\":[1]}", "key 'words': expected text");
    expect("[]", "expected a JSON object");
}

static void what_is_no_strict_json_is_refused(void **state)
{
    static const char *const texts[] = { "",
                                         "{",
                                         "{\"a\":1,}",
                                         "{\"a\":1,\"a\":2}",
                                         "{\"a\":9223372036854775808}",
                                         "{\"a\":\"\\ud800\"}",
                                         "{\"a\":\"\xff\"}",
                                         "{} x",
                                         "nul" };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = ERROR_NONE;
        assert_null(json_read(texts[i], strlen(texts[i]), &err));
        assert_int_equal(err.status, STATUS_INVALID);
    }
}

static void deep_nesting_is_refused(void **state)
{
    char text[20001];
    struct error err = ERROR_NONE;
    (void)state;
    memset(text, '[', sizeof text);
    assert_null(json_read(text, sizeof text, &err));
}

/* What is shown to people may come from whoever can write into a log or a server's answer. */
static void nothing_that_steers_a_terminal_is_left_in_a_cleaned_text(void **state)
{
    static const struct {
        const char *text, *clean;
    } cases[] = { { "\033[2J\007ok\177", " [2J ok " },
                  { "a\nb\tc", "a b c" },
                  { "\xc2\x9b"
                    "31mred \xc3\xbc",
                    "  31mred \xc3\xbc" }, /* CSI of eight bits, as UTF-8 */
                  { "\xe2\x80\xae"
                    "x\xe2\x81\xa9 \xe2\x82\xac",
                    "   x    \xe2\x82\xac" } }; /* direction; a euro stays */
    struct error err = ERROR_NONE;
    struct json_t *value = json_read("{\"a\":[{\"b\":\"\\u001b[m\\nx\"}],\"c\":1}", 33, &err);
    char bytes[] = "a\n\x9b\tb\xe2\x80";
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        text_set(text, sizeof text, "%s", cases[i].text);
        text_clean(text, strlen(text), false);
        assert_string_equal(text, cases[i].clean);
    }
    text_clean(bytes, sizeof bytes - 1, true);
    assert_string_equal(bytes, "a\n?\tb\?\?"); /* no UTF-8 */
    json_clean(value, true);
    assert_string_equal(json_look_text(json_item(json_look(value, "a"), 0), "b"), " [m\nx");
    json_clean(value, false);
    assert_string_equal(json_look_text(json_item(json_look(value, "a"), 0), "b"), " [m x");
    json_clean(NULL, false);
    json_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_built_is_printed_in_order_and_read_back),
        cmocka_unit_test(text_in_another_encoding_is_mended_not_lost),
        cmocka_unit_test(a_complete_object_is_unpacked),
        cmocka_unit_test(the_wrong_key_is_named),
        cmocka_unit_test(what_is_no_strict_json_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(nothing_that_steers_a_terminal_is_left_in_a_cleaned_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
