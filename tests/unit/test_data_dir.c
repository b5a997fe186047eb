/* What stands in postmaster.pid, where no server is. (What is found out about a real one: tests/integration/test_fence_agent.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fencing/data_dir.h"

static char folder[64], path[96];

static int folder_make(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-data-dir-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

/* Whether a process id was read. What the directory is found to be depends on which processes may be looked at here. */
static bool has_process_id(const char *text)
{
    struct data_dir_state found;
    struct error err = ERROR_NONE;
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    if (data_dir_inspect(folder, &found, &err) == STATUS_OK)
        assert_int_equal(found.life, DATA_DIR_EMPTY);
    return strstr(err.text, "holds no process id") == NULL;
}

/* Found by tests/fuzz: cut to a pid_t, the first was -1 and the second 1; the last overflowed. */
static void a_number_that_is_no_process_id_is_not_taken_for_one(void **state)
{
    (void)state;
    assert_false(has_process_id(""));
    assert_false(has_process_id("4294967295\n"));
    assert_false(has_process_id("4294967297\n"));
    assert_false(has_process_id("-9223372036854775808\n"));
    assert_true(has_process_id("2147483647\n"));
    assert_true(has_process_id("-2147483647\n")); /* a stand-alone backend */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_number_that_is_no_process_id_is_not_taken_for_one, folder_make,
                                        folder_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
