/* The guard's clock over clocks of our own: whatever pause, suspend or slew falls between the reads, the early reading is never after the
 * true time and the late one never before it. Counts the reads, too: they are the whole price of a check beside one atomic read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "guard_clock.h"

static struct {
    uint64_t random;
    int64_t raw_ns; /* true time is raw + suspended */
    int64_t monotonic_ns;
    int64_t suspended_ns;
    int slew_permille;
    int reads;
    bool real;
} world;

static uint64_t next_random(void)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return world.random;
}

static int64_t true_ns(void)
{
    return world.raw_ns + world.suspended_ns;
}

/* Time between two instructions: mostly nothing, sometimes a long pause, sometimes the machine sleeps. */
static void let_time_pass(void)
{
    int64_t passed_ns = (int64_t)(next_random() % 50);

    if (next_random() % 8 == 0)
        passed_ns += (int64_t)(next_random() % 5000000000);
    world.raw_ns += passed_ns;
    world.monotonic_ns += passed_ns + passed_ns / 1000 * world.slew_permille;
    if (next_random() % 16 == 0)
        world.suspended_ns += (int64_t)(next_random() % 3600000000000);
}

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int64_t ns = 0;

    world.reads++;
    if (world.real)
        return __real_clock_gettime(id, t);
    let_time_pass();
    if (id == CLOCK_MONOTONIC_RAW)
        ns = world.raw_ns;
    else if (id == CLOCK_MONOTONIC)
        ns = world.monotonic_ns;
    else if (id == CLOCK_BOOTTIME)
        ns = world.monotonic_ns + world.suspended_ns;
    else
        fail_msg("clock %d is not one of the guard's", (int)id);
    let_time_pass();
    *t = (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
    return 0;
}

static void new_world(uint64_t seed)
{
    world.random = seed * 2654435769u + 1;
    world.real = false;
    world.reads = 0;
    world.raw_ns = (int64_t)(next_random() % 1000000000000);
    world.monotonic_ns = (int64_t)(next_random() % 1000000000000);
    world.suspended_ns = (int64_t)(next_random() % 1000000000000);
    world.slew_permille = (int)(next_random() % 201) - 100;
}

static void the_early_reading_is_never_after_the_true_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200000; seed++) {
        new_world(seed);
        int64_t read_us = guard_clock_early_us();

        if (read_us * 1000 > true_ns())
            fail_msg("seed %lu: %ld ns too late", (unsigned long)seed, (long)(read_us * 1000 - true_ns()));
    }
}

static void the_late_reading_is_never_before_the_true_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200000; seed++) {
        new_world(seed);
        int64_t called_ns = true_ns();
        int64_t read_us = guard_clock_late_us();

        if (read_us * 1000 < called_ns)
            fail_msg("seed %lu: %ld ns too early", (unsigned long)seed, (long)(called_ns - read_us * 1000));
    }
}

static void without_a_pause_both_readings_are_within_three_microseconds(void **state)
{
    (void)state;
    new_world(1);
    world.random = 0; /* the generator stays at zero: no time passes between the reads */
    assert_in_range(true_ns() / 1000 - guard_clock_early_us(), 0, 3);
    assert_in_range(guard_clock_late_us() - true_ns() / 1000, 0, 3);
}

static void a_reading_is_three_reads_of_the_kernels_clocks(void **state)
{
    enum { ROUNDS = 200000 };
    struct timespec begin;
    struct timespec end;

    (void)state;
    world.real = true;
    world.reads = 0;
    __real_clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < ROUNDS; i++)
        guard_clock_late_us();
    __real_clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(world.reads, 3 * ROUNDS);
    print_message("one reading takes %.0f ns\n",
                  ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_early_reading_is_never_after_the_true_time),
        cmocka_unit_test(the_late_reading_is_never_before_the_true_time),
        cmocka_unit_test(without_a_pause_both_readings_are_within_three_microseconds),
        cmocka_unit_test(a_reading_is_three_reads_of_the_kernels_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
