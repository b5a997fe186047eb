/* The parts of postgres/ that need no server: positions, quoting, and the file of saved settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postgres/saved_settings.h"
#include "postgres/session.h"
#include "postgres/wal_position.h"

static void a_position_is_read_whole_or_not_at_all(void **state)
{
    static const char *const wrong[] = { "",    "/",           "1/",          "/1",   "1",   "1/2/3",
                                         "g/1", "1/123456789", "123456789/1", " 1/2", "1/2 " };
    uint64_t lsn;

    (void)state;
    assert_int_equal(wal_lsn_parse("16/B374d848", &lsn), STATUS_OK);
    assert_true(lsn == 0x16b374d848);
    assert_int_equal(wal_lsn_parse("FFFFFFFF/FFFFFFFF", &lsn), STATUS_OK);
    assert_true(lsn == UINT64_MAX);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(wal_lsn_parse(wrong[i], &lsn), STATUS_CORRUPT);
}

static void a_newer_timeline_is_ahead_of_a_greater_lsn(void **state)
{
    struct wal_position old = { .timeline = 1, .lsn = 900 };
    struct wal_position new = { .timeline = 2, .lsn = 100 };

    (void)state;
    assert_int_equal(wal_position_compare(old, new), -1);
    assert_int_equal(wal_position_compare(new, old), 1);
    assert_int_equal(wal_position_compare(old, old), 0);
}

static void any_value_can_be_set(void **state)
{
    char sql[80];

    (void)state;
    assert_true(session_alter_text(sql, sizeof sql, "primary_conninfo", "host=a password='it\\'s'"));
    assert_string_equal(sql, "ALTER SYSTEM SET primary_conninfo = E'host=a password=\\'it\\\\\\'s\\''");
    for (size_t capacity = 0; capacity < 70; capacity++)
        if (session_alter_text(sql, capacity, "primary_conninfo", "host=a password='it\\'s'"))
            assert_int_equal(strlen(sql) + 1,
                             strlen("ALTER SYSTEM SET primary_conninfo = E'host=a password=\\'it\\\\\\'s\\''") + 1);
}

static void saved_settings_survive_and_damage_is_noticed(void **state)
{
    struct saved_settings saved = { .primary_conninfo = "host=10.0.0.1 password=x", .retry_interval = "5s" };
    struct saved_settings read_back;
    struct error err = ERROR_NONE;
    char directory[] = "/tmp/test-saved-XXXXXX";
    char path[64];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/saved", directory);
    assert_int_equal(saved_settings_read(path, &read_back, &err), STATUS_NOT_FOUND);
    assert_int_equal(saved_settings_write(path, &saved, &err), STATUS_OK);
    assert_int_equal(saved_settings_write(path, &saved, &err), STATUS_OK);
    assert_int_equal(saved_settings_read(path, &read_back, &err), STATUS_OK);
    assert_memory_equal(&saved, &read_back, sizeof saved);
    for (off_t at = 0; at < 36; at++) {
        unsigned char byte;

        fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(saved_settings_read(path, &read_back, &err), STATUS_CORRUPT);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(saved_settings_read(path, &read_back, &err), STATUS_CORRUPT);
    assert_int_equal(saved_settings_remove(path, &err), STATUS_OK);
    assert_int_equal(saved_settings_remove(path, &err), STATUS_OK);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(saved_settings_write(path, &saved, &err), STATUS_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_is_read_whole_or_not_at_all),
        cmocka_unit_test(a_newer_timeline_is_ahead_of_a_greater_lsn),
        cmocka_unit_test(any_value_can_be_set),
        cmocka_unit_test(saved_settings_survive_and_damage_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
