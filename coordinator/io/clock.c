#include "io/clock.h"

#include <time.h>

#include "base/check.h"

static int64_t read_us(clockid_t id)
{
    struct timespec t;

    ASSERT(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    int64_t before, boot, after;

    /* BOOTTIME - MONOTONIC changes only by a suspend; a pause of ours between the two reads must not look like one. */
    do {
        before = read_us(CLOCK_MONOTONIC);
        boot = read_us(CLOCK_BOOTTIME);
        after = read_us(CLOCK_MONOTONIC);
    } while (after - before > 1000);
    return read_us(CLOCK_MONOTONIC_RAW) + (boot - before);
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

uint64_t clock_left_ms(int64_t t0_us, uint32_t span_ms)
{
    int64_t left_us = t0_us + (int64_t)span_ms * 1000 - clock_now_us();

    return left_us <= 0 ? 0 : (uint64_t)((left_us + 999) / 1000);
}
