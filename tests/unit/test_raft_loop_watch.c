/* A loop that stands still is noticed, one that turns or never began is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/loop_watch.h"

#define PATIENCE_MS 300u

static atomic_uint stuck;

static void on_stuck(void *ctx, const char *reason)
{
    (void)ctx;
    if (strstr(reason, "stood still") != NULL)
        stuck++;
}

static void a_loop_that_stands_still_is_noticed_once(void **state)
{
    (void)state;
    stuck = 0;
    struct loop_watch *w = loop_watch_create(PATIENCE_MS, on_stuck, NULL);
    assert_non_null(w);
    loop_watch_turn(w);
    for (unsigned i = 0; i < 600 && stuck == 0; i++)
        usleep(100000);
    usleep(3 * PATIENCE_MS * 1000);
    loop_watch_destroy(w);
    assert_int_equal(stuck, 1);
}

static void a_loop_that_has_not_begun_is_not_watched(void **state)
{
    (void)state;
    stuck = 0;
    struct loop_watch *w = loop_watch_create(PATIENCE_MS, on_stuck, NULL);
    usleep(3 * PATIENCE_MS * 1000);
    loop_watch_destroy(w);
    assert_int_equal(stuck, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_stands_still_is_noticed_once),
        cmocka_unit_test(a_loop_that_has_not_begun_is_not_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
