/* The text behind a reference, and each way in which it cannot be had. */
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

#include "io/secret.h"

static char directory[] = "/tmp/test-secret-XXXXXX";
static char reference[128];
static char out[16];
static struct error err;

static const char *write_file(const char *bytes, size_t length, mode_t mode)
{
    const char *path = reference + strlen("file:");
    FILE *file;

    (void)snprintf(reference, sizeof reference, "file:%s/secret", directory);
    (void)unlink(path);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return reference;
}

static enum status read_it(const char *from)
{
    memset(out, 'x', sizeof out);
    err = ERROR_NONE;
    return secret_read(from, out, sizeof out, &err);
}

static void expect_file(const char *text, const char *secret)
{
    assert_int_equal(read_it(write_file(text, strlen(text), 0600)), STATUS_OK);
    assert_string_equal(out, secret);
}

static void expect_refused(enum status status, const char *from, const char *said)
{
    assert_int_equal(read_it(from), status);
    assert_int_equal(err.status, status);
    if (strstr(err.text, said) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, said);
}

static void the_first_line_of_a_file_is_the_secret(void **state)
{
    (void)state;
    expect_file("geheim", "geheim");
    expect_file("geheim\n", "geheim");
    expect_file("geheim\r\n", "geheim");
    expect_file("a\nb\n", "a");
    expect_file(" a b ", " a b ");
    expect_file("123456789012345", "123456789012345"); /* as long as fits */
}

static void a_file_that_others_may_read_is_refused_with_the_remedy(void **state)
{
    (void)state;
    expect_refused(STATUS_REFUSED, write_file("geheim\n", 7, 0640), "chmod 600");
    expect_refused(STATUS_REFUSED, write_file("geheim\n", 7, 0604), "chmod 600");
    assert_int_equal(read_it(write_file("geheim\n", 7, 0400)), STATUS_OK);
}

static void what_is_cut_or_empty_is_no_secret(void **state)
{
    (void)state;
    expect_refused(STATUS_INVALID, write_file("1234567890123456", 16, 0600), "longer than 15 bytes");
    expect_refused(STATUS_INVALID, write_file("", 0, 0600), "empty");
    expect_refused(STATUS_INVALID, write_file("\nsecond", 7, 0600), "empty");
    expect_refused(STATUS_INVALID, write_file("ab\0cd", 5, 0600), "zero byte");
}

static void what_is_no_file_of_ours_is_told(void **state)
{
    char name[160];

    (void)state;
    (void)snprintf(name, sizeof name, "file:%s", directory);
    expect_refused(STATUS_INVALID, name, "not a regular file");
    (void)snprintf(name, sizeof name, "file:%s/none", directory);
    expect_refused(STATUS_NOT_FOUND, name, "No such file");
    expect_refused(STATUS_INVALID, "file:relative", "file:/absolute/path");
    expect_refused(STATUS_INVALID, "geheim", "file:/absolute/path"); /* and never the text itself */
    assert_null(strstr(err.text, "geheim"));
}

static void a_fifo_does_not_block(void **state)
{
    char path[160];
    char name[200];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/fifo", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(name, sizeof name, "file:%s", path);
    expect_refused(STATUS_INVALID, name, "not a regular file");
    assert_int_equal(unlink(path), 0);
}

static void the_environment_serves_too(void **state)
{
    (void)state;
    assert_int_equal(setenv("COORD_TEST_SECRET", "geheim", 1), 0);
    assert_int_equal(read_it("env:COORD_TEST_SECRET"), STATUS_OK);
    assert_string_equal(out, "geheim");
    assert_int_equal(setenv("COORD_TEST_SECRET", "1234567890123456", 1), 0);
    expect_refused(STATUS_INVALID, "env:COORD_TEST_SECRET", "longer than 15 bytes");
    assert_int_equal(setenv("COORD_TEST_SECRET", "", 1), 0);
    expect_refused(STATUS_INVALID, "env:COORD_TEST_SECRET", "empty");
    assert_int_equal(unsetenv("COORD_TEST_SECRET"), 0);
    expect_refused(STATUS_NOT_FOUND, "env:COORD_TEST_SECRET", "not in coordd's environment");
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    char path[160];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/secret", directory);
    (void)unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_line_of_a_file_is_the_secret),
        cmocka_unit_test(a_file_that_others_may_read_is_refused_with_the_remedy),
        cmocka_unit_test(what_is_cut_or_empty_is_no_secret),
        cmocka_unit_test(what_is_no_file_of_ours_is_told),
        cmocka_unit_test(a_fifo_does_not_block),
        cmocka_unit_test(the_environment_serves_too),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
