/* One line per event, and no text from outside can forge a key or a line. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/clock.h"
#include "io/log.h"

static char last[LOG_LINE_MAX];
static enum log_level last_level;
static int lines;

static void sink(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    lines++;
    last_level = level;
    strcpy(last, line);
}

/* The line without its time. */
static const char *line(void)
{
    const char *after_time = strchr(last, ' ');

    assert_int_equal(strncmp(last, "time=20", 7), 0);
    assert_non_null(after_time);
    return after_time + 1;
}

static void keys_and_values_make_one_line(void **state)
{
    (void)state;
    log_event(LOG_LEVEL_WARNING, "lease_granted", "service=%s epoch=%" PRIu64 " left_ms=%d ratio=%.2f flags=%#x", "app",
              (uint64_t)7, -5, 0.5, 255u);
    assert_string_equal(line(),
                        "level=warning event=lease_granted service=app epoch=7 left_ms=-5 ratio=0.50 flags=0xff");
    assert_int_equal(last_level, LOG_LEVEL_WARNING);
    log_event(LOG_LEVEL_INFO, "started", "%s", "");
    log_event(LOG_LEVEL_INFO, "started", "port=%u path=%s:%zu share=%d%%", 80u, "a", (size_t)3, 5);
    assert_string_equal(line(), "level=info event=started port=80 path=a:3 share=5%");
}

static void an_event_without_keys_is_a_line(void **state)
{
    const char *none = "";

    (void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-zero-length"
    log_event(LOG_LEVEL_INFO, "started", "");
#pragma GCC diagnostic pop
    assert_string_equal(line(), "level=info event=started");
    log_event(LOG_LEVEL_INFO, "started", "reason=%s", none);
    assert_string_equal(line(), "level=info event=started reason=\"\"");
}

static void values_that_could_forge_are_quoted(void **state)
{
    const char *values[][2] = {
        { "no route to host", "\"no route to host\"" }, { "say \"hi\"", "\"say \\\"hi\\\"\"" },
        { "a\nlevel=error", "\"a\\nlevel=error\"" },    { "x=y", "\"x=y\"" },
        { "tab\tbell\a", "\"tab\\x09bell\\x07\"" },     { "back\\slash", "\"back\\\\slash\"" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" }, { NULL, "(null)" },
    };
    char expected[128];

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        log_event(LOG_LEVEL_INFO, "failed", "reason=%s site=%d", values[i][0], 1);
        strcpy(expected, "level=info event=failed reason=");
        strcat(expected, values[i][1]);
        strcat(expected, " site=1");
        assert_string_equal(line(), expected);
    }
}

static void all_widths_of_integers_are_read_right(void **state)
{
    (void)state;
    log_event(LOG_LEVEL_INFO, "n", "a=%ld b=%lld c=%" PRId64 " d=%" PRIu32 " e=%hhu f=%jd g=%05d h=%.*s i=%c j=%lu",
              -1L, 1LL << 40, INT64_MIN, UINT32_MAX, (unsigned char)200, (intmax_t)3, 42, 2, "abc", 'x', ~0UL);
    assert_string_equal(
        line(),
        "level=info event=n a=-1 b=1099511627776 c=-9223372036854775808 d=4294967295 e=200 f=3 g=00042 h=ab i=x "
        "j=18446744073709551615");
}

static void a_long_line_is_cut_visibly(void **state)
{
    static char value[2 * LOG_LINE_MAX];

    (void)state;
    memset(value, 'v', sizeof value - 1);
    log_event(LOG_LEVEL_INFO, "long", "value=%s more=%d", value, 1);
    assert_int_equal(strlen(last), LOG_LINE_MAX - 1);
    assert_string_equal(last + LOG_LINE_MAX - 4, "...");
    memset(value, '"', sizeof value - 1);
    log_event(LOG_LEVEL_INFO, "long", "value=%s", value);
    assert_int_equal(strlen(last), LOG_LINE_MAX - 1);
}

static void levels_below_the_set_one_are_dropped(void **state)
{
    (void)state;
    lines = 0;
    log_event(LOG_LEVEL_DEBUG, "detail", "a=%d", 1);
    assert_int_equal(lines, 0);
    log_set_level(LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_DEBUG, "detail", "a=%d", 1);
    assert_int_equal(lines, 1);
    log_set_level(LOG_LEVEL_ERROR);
    log_event(LOG_LEVEL_WARNING, "detail", "a=%d", 1);
    assert_int_equal(lines, 1);
    log_set_level(LOG_LEVEL_INFO);
}

static void the_clock_goes_forward_and_spans_are_rounded_up(void **state)
{
    int64_t before = clock_now_us(), previous = before;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_now_us();
        assert_true(now >= previous);
        previous = now;
    }
    assert_int_equal(clock_left_ms(before - 10000000, 9000), 0);
    assert_true(clock_left_ms(clock_now_us() + 1000000000, 0) > 900000);
    assert_true(clock_left_ms(clock_now_us(), 100000) <= 100000);
    assert_true(clock_wall_ms() > 1600000000000);
}

static int setup(void **state)
{
    (void)state;
    log_set_sink(sink, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_values_make_one_line),
        cmocka_unit_test(an_event_without_keys_is_a_line),
        cmocka_unit_test(values_that_could_forge_are_quoted),
        cmocka_unit_test(all_widths_of_integers_are_read_right),
        cmocka_unit_test(a_long_line_is_cut_visibly),
        cmocka_unit_test(levels_below_the_set_one_are_dropped),
        cmocka_unit_test(the_clock_goes_forward_and_spans_are_rounded_up),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
