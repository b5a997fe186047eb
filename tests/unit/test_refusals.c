/* How often a refused connection is worth a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "io/refusals.h"

#define LATER REFUSALS_PERIOD_US

static struct refusals refusals;
static uint64_t count;

static int clear(void **state)
{
    (void)state;
    refusals = (struct refusals){ 0 };
    return 0;
}

static void a_peer_and_reason_has_one_line_in_a_period_with_the_count(void **state)
{
    (void)state;
    assert_true(refusals_note(&refusals, 5, "10.0.0.1", "expired", &count));
    assert_int_equal(count, 1);
    for (int64_t i = 0; i < 9; i++)
        assert_false(refusals_note(&refusals, 6 + i, "10.0.0.1", "expired", &count));
    assert_true(refusals_note(&refusals, 7, "10.0.0.1", "unknown CA", &count)); /* another reason */
    assert_true(refusals_note(&refusals, 7, "10.0.0.2", "expired", &count));    /* another peer */
    assert_false(refusals_note(&refusals, 4 + LATER, "10.0.0.1", "expired", &count));
    assert_true(refusals_note(&refusals, 5 + LATER, "10.0.0.1", "expired", &count));
    assert_int_equal(count, 11);
}

static void many_peers_share_a_line_and_the_table_is_used_again(void **state)
{
    (void)state;
    char peer[REFUSALS_PEER_MAX_BYTES];
    unsigned lines = 0;

    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(peer, sizeof peer, "10.0.%u.%u", i / 250, i % 250);
        lines += refusals_note(&refusals, 1 + i, peer, "expired", &count);
    }
    assert_int_equal(lines, REFUSALS_MAX + 1);
    assert_true(refusals_note(&refusals, 2000 + LATER, "10.9.9.9", "expired", &count));
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_peer_and_reason_has_one_line_in_a_period_with_the_count, clear),
        cmocka_unit_test_setup(many_peers_share_a_line_and_the_table_is_used_again, clear),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
