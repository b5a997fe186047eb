#include "guard_clock.h"

#include <time.h>

static int64 read_us(clockid_t id)
{
    struct timespec t;

    /* These clocks exist on every Linux that this builds for; a failure would be a broken kernel, and a guard without a clock must not
     * answer anything. PANIC is right even after the WAL flush: it answers no client. */
    if (clock_gettime(id, &t) != 0)
        elog(PANIC, "lease_guard: clock %d cannot be read: %m", (int)id);
    return (int64)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64 guard_clock_early_us(void)
{
    int64 boottime = read_us(CLOCK_BOOTTIME);
    int64 monotonic = read_us(CLOCK_MONOTONIC); /* read later, so that the difference is too small, never too large */

    /* Each reading is cut to whole microseconds: take one off, so that the cut of the difference cannot add one. */
    return read_us(CLOCK_MONOTONIC_RAW) + (boottime - monotonic) - 1;
}

int64 guard_clock_late_us(void)
{
    int64 monotonic = read_us(CLOCK_MONOTONIC);
    int64 boottime = read_us(CLOCK_BOOTTIME); /* read later, so that the difference is too large, never too small */

    return read_us(CLOCK_MONOTONIC_RAW) + (boottime - monotonic) + 2; /* three cuts can hide less than two */
}
