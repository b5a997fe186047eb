/* The file that says what a node has told others, on a real disk and a real loop. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/receipt.h"

static char folder[64], path[96];
static uv_loop_t loop;
static struct receipt receipt;
static unsigned closed, failed;

static void on_failed(void *ctx, const char *reason)
{
    (void)ctx, (void)reason;
    failed++;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    closed++;
}

static int setup(void **state)
{
    const struct receipt_content first = { .metadata_version = 1, .term = 1, .last_index = 1 };
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-receipt-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/receipt", folder);
    assert_int_equal(receipt_create(path, &first, NULL), STATUS_OK);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(receipt_open(&receipt, path, on_failed, NULL, NULL), STATUS_OK);
    closed = failed = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!receipt.closing)
        receipt_close(&receipt, &loop, on_closed, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(closed, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static struct receipt_content on_disk(void)
{
    struct receipt_content content;
    struct error err;
    if (receipt_read(path, &content, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return content;
}

/* Runs what receipt_tick has begun. */
static void tick(void)
{
    receipt_tick(&receipt, &loop);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

static void term_and_vote_are_on_the_disk_at_once(void **state)
{
    (void)state;
    assert_int_equal(receipt_term(&receipt, 2, 9, 0), 0);
    assert_int_equal(on_disk().term, 9);
    assert_int_equal(receipt_term(&receipt, 3, 9, 4), 0);
    assert_int_equal(on_disk().vote, 4);
    assert_int_equal(on_disk().metadata_version, 3);
    assert_int_equal(on_disk().last_index, 1);
}

static void the_end_of_the_log_follows_and_is_lowered_at_once(void **state)
{
    (void)state;
    receipt_stored(&receipt, 20);
    receipt_stored(&receipt, 15); /* never lowers */
    assert_int_equal(on_disk().last_index, 1);
    tick();
    assert_int_equal(on_disk().last_index, 20);
    assert_int_equal(receipt_lower(&receipt, 12), 0);
    assert_int_equal(on_disk().last_index, 12);
    tick();
    assert_int_equal(on_disk().last_index, 12);
    assert_int_equal(receipt_lower(&receipt, 14), 0); /* raises nothing */
    assert_int_equal(on_disk().last_index, 12);
}

/* The pool's write must not put back what was lowered after it had been asked for. */
static void a_write_under_way_does_not_undo_a_lowering(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        receipt_stored(&receipt, 100);
        receipt_tick(&receipt, &loop);
        if (i % 3 == 0)
            usleep(i); /* the write has begun, or is over */
        assert_int_equal(receipt_lower(&receipt, 50), 0);
        assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
        assert_true(on_disk().last_index <= 50);
        assert_int_equal(receipt_term(&receipt, i + 2, i + 2, 0), 0);
    }
}

static void closing_writes_what_is_due(void **state)
{
    (void)state;
    receipt_stored(&receipt, 33);
    receipt_close(&receipt, &loop, on_closed, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(on_disk().last_index, 33);
}

static void a_torn_write_leaves_the_one_before_it(void **state)
{
    (void)state;
    for (unsigned i = 2; i < 10; i++) {
        struct receipt_content before = on_disk();
        uint8_t noise[8] = { 0xff, 0xff, 0xff, 0xff };
        assert_int_equal(receipt_term(&receipt, i, i, 0), 0);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t kept[8];
        off_t at = (off_t)(receipt.sequence % 2 * RECEIPT_SLOT_BYTES + 16);
        assert_int_equal(pread(fd, kept, sizeof kept, at), sizeof kept);
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
        assert_int_equal(on_disk().term, before.term);
        assert_int_equal(pwrite(fd, kept, sizeof kept, at), sizeof kept);
        close(fd);
        assert_int_equal(on_disk().term, i);
    }
}

static void a_write_that_fails_is_told(void **state)
{
    (void)state;
    int fd = receipt.fd;
    receipt.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_true(receipt.fd >= 0);
    assert_int_not_equal(receipt_term(&receipt, 2, 2, 0), 0);
    receipt_stored(&receipt, 5);
    tick();
    assert_int_equal(failed, 1);
    close(receipt.fd);
    receipt.fd = fd;
    assert_int_equal(on_disk().term, 1);
    assert_int_equal(on_disk().last_index, 1);
}

int main(void)
{
#define RECEIPT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RECEIPT_TEST(term_and_vote_are_on_the_disk_at_once),
        RECEIPT_TEST(the_end_of_the_log_follows_and_is_lowered_at_once),
        RECEIPT_TEST(a_write_under_way_does_not_undo_a_lowering),
        RECEIPT_TEST(closing_writes_what_is_due),
        RECEIPT_TEST(a_torn_write_leaves_the_one_before_it),
        RECEIPT_TEST(a_write_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
