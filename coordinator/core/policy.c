#include "core/policy.h"

#include <inttypes.h>

#include "base/check.h"

static const char *const profile_words[PROFILE_COUNT] = {
#define WORD(name, word) [name] = (word),
    TIMING_PROFILE_LIST(WORD)
};
static const char *const mode_words[MODE_COUNT] = { MODE_LIST(WORD) };
#undef WORD

const char *timing_profile_word(enum timing_profile profile)
{
    return (unsigned)profile < PROFILE_COUNT ? profile_words[profile] : "no_profile";
}

const char *mode_word(enum mode mode)
{
    return (unsigned)mode < MODE_COUNT ? mode_words[mode] : "no_mode";
}

static const struct raft_timing raft_timings[PROFILE_COUNT] = {
    [PROFILE_METRO] = { .heartbeat_ms = 60, .election_ms = 300 },
    [PROFILE_REGION] = { .heartbeat_ms = 250, .election_ms = 1000 },
    [PROFILE_CAUTIOUS] = { .heartbeat_ms = 500, .election_ms = 3000 },
};

static const struct timing timings[PROFILE_COUNT] = {
    [PROFILE_METRO] = { .renew_ms = 300,
                        .margin_ms = 200,
                        .ttl_ms = 2000,
                        .probe_interval_ms = 250,
                        .probe_timeout_ms = 1000,
                        .probe_rise = 2,
                        .probe_fall = 3,
                        .hold_down_ms = 0,
                        .local_grace_ms = 0,
                        .lockout_ms = 3600000 },
    [PROFILE_REGION] = { .renew_ms = 1000,
                         .margin_ms = 500,
                         .ttl_ms = 7000,
                         .probe_interval_ms = 1000,
                         .probe_timeout_ms = 2000,
                         .probe_rise = 2,
                         .probe_fall = 3,
                         .hold_down_ms = 20000,
                         .local_grace_ms = 20000,
                         .lockout_ms = 3600000 },
    [PROFILE_CAUTIOUS] = { .renew_ms = 3000,
                           .margin_ms = 1000,
                           .ttl_ms = 30000,
                           .probe_interval_ms = 3000,
                           .probe_timeout_ms = 5000,
                           .probe_rise = 2,
                           .probe_fall = 5,
                           .hold_down_ms = 120000,
                           .local_grace_ms = 60000,
                           .lockout_ms = 3600000 },
};

struct raft_timing raft_timing_of(enum timing_profile profile)
{
    ASSERT((unsigned)profile < PROFILE_COUNT);
    return raft_timings[profile];
}

struct timing timing_of(enum timing_profile profile)
{
    ASSERT((unsigned)profile < PROFILE_COUNT);
    return timings[profile];
}

int64_t lease_count_us(uint32_t ttl_ms, uint32_t drift_ppm)
{
    return (int64_t)ttl_ms * 1000 + ((int64_t)ttl_ms * drift_ppm + 999) / 1000;
}

enum status timing_check(const struct timing *t, const struct raft_timing *raft, struct error *err)
{
    /* A leader crash with one split vote must not close a healthy primary; a round trip is part of each of the two messages. */
    const uint32_t round_trips_ms = raft->heartbeat_ms;
    uint64_t needed = (uint64_t)t->renew_ms + 4ull * raft->election_ms + round_trips_ms;

    if (t->renew_ms == 0 || t->probe_interval_ms == 0 || t->probe_timeout_ms == 0 || t->probe_rise == 0 ||
        t->probe_fall < 2)
        return error_set(err, STATUS_INVALID,
                         "renew, probe_interval, probe_timeout and rise must be above zero, fall at least 2: "
                         "an opinion is never formed from one look");
    if (t->probe_rise > PROBE_LOOKS_MAX || t->probe_fall > PROBE_LOOKS_MAX)
        return error_set(err, STATUS_INVALID, "rise and fall must be at most %u, they are %" PRIu32 " and %" PRIu32,
                         PROBE_LOOKS_MAX, t->probe_rise, t->probe_fall);
    if (t->ttl_ms > TTL_MS_MAX)
        return error_set(err, STATUS_INVALID, "ttl is %" PRIu32 " ms; at most %u ms", t->ttl_ms, TTL_MS_MAX);
    if (t->margin_ms >= t->ttl_ms)
        return error_set(err, STATUS_INVALID, "margin (%" PRIu32 " ms) must be below ttl (%" PRIu32 " ms)",
                         t->margin_ms, t->ttl_ms);
    /* The holder stops at ttl - margin on its clock, the leader counts ttl * (1 + drift) on its own: drift is paid for by the leader's count,
     * margin by a guest that freezes between the guard's check and the answer. */
    if (t->margin_ms < MARGIN_MS_MIN)
        return error_set(err, STATUS_INVALID,
                         "margin is %" PRIu32 " ms; at least %u ms: it covers a freeze of the guest", t->margin_ms,
                         MARGIN_MS_MIN);
    if ((uint64_t)t->ttl_ms - t->margin_ms < needed)
        return error_set(err, STATUS_INVALID,
                         "ttl - margin (%" PRIu32 " ms) must be at least renew + 4 * election + 2 * RTT (%" PRIu64
                         " ms: renew %" PRIu32 ", election %" PRIu32 ", RTT %" PRIu32
                         "): raise ttl or choose a faster node timing",
                         t->ttl_ms - t->margin_ms, needed, t->renew_ms, raft->election_ms, round_trips_ms / 2);
    return STATUS_OK;
}

const struct site_config *service_config_site(const struct service_config *config, site_id site)
{
    for (unsigned i = 0; i < config->site_count; i++)
        if (config->sites[i].site == site)
            return &config->sites[i];
    return (const struct site_config *)0;
}
