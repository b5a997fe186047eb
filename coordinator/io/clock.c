#include "io/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "base/check.h"

#define OFFSET_GAP_NS 2000 /* how far apart the reads around BOOTTIME may be */
#define OFFSET_TRIES 8

static int64_t read_ns(clockid_t id)
{
    struct timespec t;

    ASSERT(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* BOOTTIME - MONOTONIC, which only a suspend changes. The reads cannot be one: of several tries the tightest counts, so that a pause of
 * ours between two reads does not look like a suspend. */
static int64_t suspended_ns(void)
{
    int64_t best_gap = INT64_MAX, best = 0;

    for (int i = 0; i < OFFSET_TRIES && best_gap > OFFSET_GAP_NS; i++) {
        int64_t before = read_ns(CLOCK_MONOTONIC), boot = read_ns(CLOCK_BOOTTIME), after = read_ns(CLOCK_MONOTONIC);
        if (after - before < best_gap) {
            best_gap = after - before;
            best = boot - before - best_gap / 2;
        }
    }
    return best;
}

int64_t clock_now_us(void)
{
    /* A global, against the rule: what is left of the offset's noise must not make a span negative, for whoever measures it. */
    static atomic_int_least64_t last_us;
    int64_t now_us = (read_ns(CLOCK_MONOTONIC_RAW) + suspended_ns()) / 1000;
    int64_t last = atomic_load(&last_us);

    while (now_us > last && !atomic_compare_exchange_weak(&last_us, &last, now_us))
        continue;
    return now_us > last ? now_us : last;
}

int64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}

uint64_t clock_left_ms(int64_t t0_us, uint32_t span_ms)
{
    int64_t left_us = t0_us + (int64_t)span_ms * 1000 - clock_now_us();

    return left_us <= 0 ? 0 : (uint64_t)((left_us + 999) / 1000);
}
