/* The schema walk: what each mistake says and where, and that one run says them all. */
#include "io/yaml.h"
#include "io/yaml_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct inner {
    char name[8];
    uint16_t port;
};
struct sample {
    bool first; /* so that no `present` flag has offset 0 */
    char name[16];
    bool flag, wait_written;
    int32_t number;
    uint32_t wait_ms;
    uint64_t bytes;
    enum { RED, GREEN, BLUE } color;
    uint32_t word_count, item_count;
    char words[3][8];
    struct inner one;
    struct inner items[2];
};

static const char *const colors[] = { "red", "green", "blue", NULL };
static const struct yaml_field inner_fields[] = {
    { .key = "name", .type = YAML_TEXT, .required = true, YAML_AT(struct inner, name) },
    { .key = "port", .type = YAML_INT, YAML_AT(struct inner, port), .min = 1, .max = 65535, .fallback = "80" },
};
static const struct yaml_schema inner_schema = { "inner", inner_fields, 2 };
static const struct yaml_field fields[] = {
    { .key = "name", .type = YAML_TEXT, .required = true, YAML_AT(struct sample, name) },
    { .key = "flag", .type = YAML_BOOL, YAML_AT(struct sample, flag), .fallback = "true" },
    { .key = "number", .type = YAML_INT, YAML_AT(struct sample, number), .min = -5, .max = 5, .unit = "looks" },
    { .key = "wait",
      .type = YAML_DURATION,
      YAML_AT(struct sample, wait_ms),
      .min = 100,
      .max = 60000,
      .fallback = "2s",
      .present = offsetof(struct sample, wait_written) },
    { .key = "bytes", .type = YAML_SIZE, YAML_AT(struct sample, bytes), .fallback = "64MiB" },
    { .key = "color", .type = YAML_ENUM, YAML_AT(struct sample, color), .words = colors, .fallback = "green" },
    { .key = "words", .type = YAML_TEXTS, YAML_LIST_AT(struct sample, words, word_count) },
    { .key = "one", .type = YAML_MAPPING, YAML_AT(struct sample, one), .schema = &inner_schema },
    { .key = "items", .type = YAML_MAPPINGS, YAML_LIST_AT(struct sample, items, item_count), .schema = &inner_schema },
};
static const struct yaml_schema schema = { "sample", fields, sizeof fields / sizeof fields[0] };

static struct sample out;

static struct yaml *walk(const char *text)
{
    struct yaml *y = yaml_from_bytes("f.yaml", text, strlen(text));
    memset(&out, 0, sizeof out);
    (void)yaml_walk(y, &schema, &out);
    return y;
}

/* The whole report of a text must be exactly this. */
static void expect(const char *text, const char *report)
{
    struct yaml *y = walk(text);
    char *said = yaml_report(y);
    assert_string_equal(said, report);
    free(said);
    yaml_destroy(y);
}

static void every_type_is_stored_and_what_is_absent_falls_back(void **state)
{
    struct yaml *y = walk("name: 'x y'\nflag: false\nnumber: -5\nwait: 1m\nbytes: 2KiB\ncolor: blue\n"
                          "words: [a, \"b\"]\none: {name: n}\nitems:\n  - name: p\n    port: 65535\n");
    (void)state;
    assert_int_equal(yaml_error_count(y), 0);
    assert_string_equal(out.name, "x y");
    assert_false(out.flag);
    assert_int_equal(out.number, -5);
    assert_int_equal(out.wait_ms, 60000);
    assert_true(out.wait_written);
    assert_int_equal(out.bytes, 2048);
    assert_int_equal(out.color, BLUE);
    assert_int_equal(out.word_count, 2);
    assert_string_equal(out.words[1], "b");
    assert_string_equal(out.one.name, "n");
    assert_int_equal(out.one.port, 80);
    assert_int_equal(out.item_count, 1);
    assert_int_equal(out.items[0].port, 65535);
    yaml_destroy(y);

    y = walk("name: x\n");
    assert_int_equal(yaml_error_count(y), 0);
    assert_true(out.flag);
    assert_int_equal(out.wait_ms, 2000);
    assert_false(out.wait_written);
    assert_int_equal(out.bytes, 64u * 1024 * 1024);
    assert_int_equal(out.color, GREEN);
    assert_int_equal(out.one.port, 80); /* fallbacks inside a mapping that is absent */
    yaml_destroy(y);
}

static void one_run_says_every_mistake_in_the_order_of_the_file(void **state)
{
    (void)state;
    expect(
        "flag: yes\nnumber: seven\nwait: 2\ncolor: gren\nwords: a\nportt: 1\n",
        "f.yaml:1:1: error: missing required key 'name': text\n    flag: yes\n    ^\n"
        "f.yaml:1:7: error: key 'flag': expected true or false, got 'yes'\n    flag: yes\n          ^\n"
        "f.yaml:2:9: error: key 'number': expected a whole number of looks, got 'seven'\n    number: seven\n           "
        " ^\n"
        "f.yaml:3:7: error: key 'wait': expected a duration (300ms, 2s, 5m, 1h), got '2'\n    wait: 2\n          ^\n"
        "f.yaml:4:8: error: key 'color': unknown word 'gren'; expected one of red, green, blue; did you mean 'green'?\n"
        "    color: gren\n           ^\n"
        "f.yaml:5:8: error: key 'words': expected a list of texts, got 'a'\n    words: a\n           ^\n"
        "f.yaml:6:1: error: unknown key 'portt'; expected one of name, flag, number, wait, bytes, color, words, one, "
        "items\n"
        "    portt: 1\n    ^\n");
}

static void a_key_that_is_nearly_right_is_recognised(void **state)
{
    (void)state;
    expect("name: x\none: { name: a, prot: 5 }\n", "f.yaml:2:17: error: unknown key 'prot'; did you mean 'port'?\n    "
                                                   "one: { name: a, prot: 5 }\n                    ^\n");
}

static void a_number_out_of_range_is_told_the_range_with_its_unit(void **state)
{
    (void)state;
    expect("name: x\nnumber: 6\n", "f.yaml:2:9: error: key 'number': 6 is out of range; expected -5 to 5 looks\n"
                                   "    number: 6\n            ^\n");
    expect("name: x\nwait: 99ms\n", "f.yaml:2:7: error: key 'wait': 99ms is out of range; expected 100ms to 1m\n"
                                    "    wait: 99ms\n          ^\n");
    expect("name: x\nbytes: 9223372036854775807GiB\n",
           "f.yaml:2:8: error: key 'bytes': expected a size (4096, 64KiB, 64MiB, 2GiB), got '9223372036854775807GiB'\n"
           "    bytes: 9223372036854775807GiB\n           ^\n");
}

static void a_quoted_number_is_no_number(void **state)
{
    (void)state;
    expect(
        "name: x\nnumber: \"3\"\n",
        "f.yaml:2:9: error: key 'number': expected a whole number, got the quoted text '3'; write it without quotes\n"
        "    number: \"3\"\n            ^\n");
}

static void nothing_is_no_value(void **state)
{
    (void)state;
    expect("name:\n", "f.yaml:1:1: error: key 'name': expected text, got nothing\n    name:\n    ^\n");
    expect("name: ~\n", "f.yaml:1:7: error: key 'name': expected text, got nothing\n    name: ~\n          ^\n");
    expect("name: ''\n",
           "f.yaml:1:7: error: key 'name': expected text, got an empty text\n    name: ''\n          ^\n");
}

static void a_missing_key_of_a_list_item_points_at_the_item(void **state)
{
    (void)state;
    expect("name: x\nitems:\n  - name: a\n  - port: 7\n",
           "f.yaml:4:5: error: missing required key 'name': text\n      - port: 7\n        ^\n");
    expect("name: x\nitems: [ {port: 7} ]\n",
           "f.yaml:2:10: error: missing required key 'name': text\n    items: [ {port: 7} ]\n             ^\n");
}

static void too_many_items_are_refused(void **state)
{
    (void)state;
    expect("name: x\nwords: [a, b, c, d]\n",
           "f.yaml:2:8: error: key 'words': 4 items; expected 0 to 3\n    words: [a, b, c, d]\n           ^\n");
}

static void a_text_that_does_not_fit_is_refused_not_cut(void **state)
{
    (void)state;
    expect("name: 1234567890123456\n",
           "f.yaml:1:7: error: key 'name': 16 bytes long; at most 15\n    name: 1234567890123456\n          ^\n");
}

static void duplicates_aliases_tags_and_second_documents_are_refused(void **state)
{
    (void)state;
    expect("name: x\nname: y\n", "f.yaml:2:1: error: duplicate key\n    name: y\n    ^\n");
    expect("name: &a x\nflag: *a\n",
           "f.yaml:2:8: error: key 'flag': aliases are not read; write the value out\n    flag: *a\n           ^\n");
    expect("name: !!str x\n", "f.yaml:1:13: error: key 'name': tags are not read; write the value alone\n    name: "
                              "!!str x\n                ^\n");
    expect("name: x\n---\nname: y\n",
           "f.yaml:3:1: error: a second document begins here; one per file\n    name: y\n    ^\n");
}

static void broken_syntax_has_a_place(void **state)
{
    (void)state;
    expect("name: \"x\n",
           "f.yaml:1:8: error: double-quoted scalar without closing quote\n    name: \"x\n           ^\n");
    expect("one:\n\tname: x\n",
           "f.yaml:2:1: error: tab character may not be used as indentation\n     name: x\n    ^\n");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    struct yaml *y = yaml_from_bytes("f.yaml", "name: a\0b", 9);
    (void)state;
    assert_int_equal(yaml_error_at(y, 0)->column, 8);
    yaml_destroy(y);
    expect("name: \xff\n", "f.yaml:1:7: error: byte 0xff is no UTF-8 text\n    name: \xff\n          ^\n");
    expect("name: \xc0\xaf\n", "f.yaml:1:7: error: byte 0xc0 is no UTF-8 text\n    name: \xc0\xaf\n          ^\n");
    expect("name: \"a\\0b\"\n",
           "f.yaml:1:7: error: key 'name': the text holds a NUL character\n    name: \"a\\0b\"\n          ^\n");
}

static void an_empty_or_unreadable_file_says_so(void **state)
{
    struct yaml *y = yaml_from_file("/nonexistent/x.yaml");
    char *report = yaml_report(y);
    struct error err = ERROR_NONE;
    (void)state;
    assert_string_equal(report, "/nonexistent/x.yaml: error: cannot be read: No such file or directory\n");
    assert_int_equal(yaml_result(y, &err), STATUS_INVALID);
    free(report);
    yaml_destroy(y);
    expect("", "f.yaml: error: the file is empty\n");
    expect("# only a comment\n", "f.yaml: error: the file is empty\n");
    expect("- a\n", "f.yaml:1:3: error: key 'sample': expected a mapping (key: value), got a list\n    - a\n      ^\n");
}

static void an_error_of_the_caller_stands_at_the_value(void **state)
{
    struct yaml *y = walk("name: x\nitems:\n  - { name: a, port: 7 }\none: {name: q}\n");
    (void)state;
    yaml_error(y, "/one/port", "not written: at the nearest mapping around it");
    yaml_error(y, "/items/0/port", "here");
    yaml_error(y, "/one", "the key of a mapping");
    assert_int_equal(yaml_error_count(y), 3);
    assert_string_equal(yaml_error_at(y, 0)->text, "here");
    assert_int_equal(yaml_error_at(y, 0)->line, 3);
    assert_int_equal(yaml_error_at(y, 0)->column, 22);
    assert_int_equal(yaml_error_at(y, 1)->line, 4);
    assert_int_equal(yaml_error_at(y, 1)->column, 1);
    assert_int_equal(yaml_error_at(y, 2)->line, 4);
    yaml_destroy(y);
}

static void more_mistakes_than_are_kept_are_counted(void **state)
{
    char text[8192] = "name: x\n";
    struct yaml *y;
    struct error err = ERROR_NONE;
    char *report;
    (void)state;
    for (int i = 0; i < YAML_ERRORS_MAX + 10; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "zzzzzzz%d: 1\n", i);
    y = walk(text);
    assert_int_equal(yaml_error_count(y), YAML_ERRORS_MAX);
    report = yaml_report(y);
    assert_non_null(strstr(report, "error: and 10 more\n"));
    free(report);
    assert_int_equal(yaml_result(y, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "(and 59 more)"));
    yaml_destroy(y);
}

static void numbers_are_decimal_and_whole(void **state)
{
    int64_t v = 0;
    (void)state;
    assert_true(yaml_value_number(YAML_INT, "-12", &v));
    assert_int_equal(v, -12);
    assert_false(yaml_value_number(YAML_INT, "+1", &v));
    assert_false(yaml_value_number(YAML_INT, "0x10", &v));
    assert_false(yaml_value_number(YAML_INT, "010", &v));
    assert_false(yaml_value_number(YAML_INT, "1_000", &v));
    assert_false(yaml_value_number(YAML_INT, "9223372036854775808", &v));
    assert_false(yaml_value_number(YAML_DURATION, "1.5s", &v));
    assert_false(yaml_value_number(YAML_DURATION, "-1s", &v));
    assert_false(yaml_value_number(YAML_DURATION, "2 s", &v));
    assert_false(yaml_value_number(YAML_SIZE, "64MB", &v));
    assert_true(yaml_value_number(YAML_DURATION, "0", &v));
    assert_true(yaml_value_number(YAML_DURATION, "1h", &v));
    assert_int_equal(v, 3600000);
}

static void a_printed_value_reads_back_as_itself(void **state)
{
    const struct yaml_field duration = { .type = YAML_DURATION }, size = { .type = YAML_SIZE };
    const int64_t values[] = { 0, 1, 999, 1000, 1500, 60000, 90000, 3600000, 86400000, 1024, 4096, 1048576, 1500000 };
    char text[YAML_VALUE_MAX_BYTES];
    int64_t back = -1;
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        yaml_value_print(&duration, values[i], text);
        assert_true(yaml_value_number(YAML_DURATION, text, &back));
        assert_int_equal(back, values[i]);
        yaml_value_print(&size, values[i], text);
        assert_true(yaml_value_number(YAML_SIZE, text, &back));
        assert_int_equal(back, values[i]);
    }
}

/* Every prefix of a file and every file with one byte changed is read without a crash, and says something when it is wrong. */
static void damaged_files_never_crash(void **state)
{
    static const char good[] =
        "name: x\nwait: 3s\nwords: [a, b]\none: { name: n, port: 3 }\nitems:\n  - name: \"p\"\n    port: 5\n";
    static const char bytes[] = "{}[]:,\"'&*!|>%@`#-?\n\t \\\xff\x01";
    char text[sizeof good];
    (void)state;
    for (size_t i = 0; i < sizeof good; i++) {
        struct yaml *y = yaml_from_bytes("f.yaml", good, i);
        memset(&out, 0, sizeof out);
        (void)yaml_walk(y, &schema, &out);
        free(yaml_report(y));
        yaml_destroy(y);
    }
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (size_t b = 0; b + 1 < sizeof bytes; b++) {
            struct yaml *y;
            memcpy(text, good, sizeof good);
            text[i] = bytes[b];
            y = yaml_from_bytes("f.yaml", text, sizeof text - 1);
            memset(&out, 0, sizeof out);
            (void)yaml_walk(y, &schema, &out);
            free(yaml_report(y));
            yaml_destroy(y);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_stored_and_what_is_absent_falls_back),
        cmocka_unit_test(one_run_says_every_mistake_in_the_order_of_the_file),
        cmocka_unit_test(a_key_that_is_nearly_right_is_recognised),
        cmocka_unit_test(a_number_out_of_range_is_told_the_range_with_its_unit),
        cmocka_unit_test(a_quoted_number_is_no_number),
        cmocka_unit_test(nothing_is_no_value),
        cmocka_unit_test(a_missing_key_of_a_list_item_points_at_the_item),
        cmocka_unit_test(too_many_items_are_refused),
        cmocka_unit_test(a_text_that_does_not_fit_is_refused_not_cut),
        cmocka_unit_test(duplicates_aliases_tags_and_second_documents_are_refused),
        cmocka_unit_test(broken_syntax_has_a_place),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(an_empty_or_unreadable_file_says_so),
        cmocka_unit_test(an_error_of_the_caller_stands_at_the_value),
        cmocka_unit_test(more_mistakes_than_are_kept_are_counted),
        cmocka_unit_test(numbers_are_decimal_and_whole),
        cmocka_unit_test(a_printed_value_reads_back_as_itself),
        cmocka_unit_test(damaged_files_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
