#include "guard_state.h"

#include "access/xlog.h"
#include "miscadmin.h"

#include "guard_clock.h"

struct guard_shared *guard = NULL;

Size guard_state_size(void)
{
    return MAXALIGN(sizeof(struct guard_shared));
}

void guard_state_init(struct guard_shared *shared, bool break_glass)
{
    memset(shared, 0, sizeof *shared);
    do {
        if (!pg_strong_random(&shared->instance, sizeof shared->instance))
            ereport(FATAL,
                    (errcode(ERRCODE_INTERNAL_ERROR), errmsg("lease_guard: no random bytes for the instance number")));
    } while (shared->instance == 0);
    pg_atomic_init_u64(&shared->gate_us, break_glass ? GUARD_OPEN_UNBOUNDED : GUARD_CLOSED);
    pg_atomic_init_u64(&shared->refused_before, 0);
    pg_atomic_init_u64(&shared->refused_after, 0);
    shared->lock = &(GetNamedLWLockTranche("lease_guard"))->lock;
    shared->break_glass = break_glass;
}

/* The only writer of the gate. The caller holds the lock, so the gate always agrees with the fields that it is derived from. */
static void publish(void)
{
    uint64 gate_us = (uint64)guard->deadline_us;

    if (guard->bypass || guard->break_glass)
        gate_us = GUARD_OPEN_UNBOUNDED;
    pg_atomic_write_u64(&guard->gate_us, gate_us);
    pg_memory_barrier(); /* seen by every commit before the answer is written */
}

int64 guard_now(void)
{
    return guard_clock_early_us();
}

static enum guard_verdict judge_open(uint64 instance, uint64 epoch, int64 t0_us, uint32 hold_ms)
{
    if (epoch == 0 || t0_us <= 0 || hold_ms == 0)
        return GUARD_INVALID;
    if (instance != guard->instance)
        return GUARD_INSTANCE;
    if (t0_us > guard_clock_late_us())
        return GUARD_FUTURE;
    if (epoch <= guard->closed_epoch)
        return GUARD_EPOCH_CLOSED;
    if (epoch < guard->epoch)
        return GUARD_EPOCH;
    return GUARD_OK;
}

enum guard_verdict guard_open(uint64 instance, uint64 epoch, int64 t0_us, uint32 hold_ms, int64 *deadline_us)
{
    enum guard_verdict verdict;

    LWLockAcquire(guard->lock, LW_EXCLUSIVE);
    verdict = judge_open(instance, epoch, t0_us, hold_ms);
    if (verdict == GUARD_OK) {
        int64 wanted_us = t0_us + (int64)hold_ms * 1000; /* no overflow: t0 is not after now */

        if (epoch > guard->epoch || t0_us > guard->sample_us) {
            guard->epoch = epoch;
            guard->sample_us = t0_us;
            guard->deadline_us = wanted_us;
        } else if (t0_us == guard->sample_us && wanted_us < guard->deadline_us) {
            guard->deadline_us = wanted_us;
        }
        publish();
        *deadline_us = guard->deadline_us;
    }
    LWLockRelease(guard->lock);
    return verdict;
}

enum guard_verdict guard_close(uint64 epoch)
{
    enum guard_verdict verdict = GUARD_OK;

    LWLockAcquire(guard->lock, LW_EXCLUSIVE);
    guard->closed_epoch = Max(guard->closed_epoch, epoch);
    if (guard->epoch <= guard->closed_epoch)
        guard->deadline_us = 0;
    if (guard->bypass && guard->bypass_epoch <= guard->closed_epoch)
        guard->bypass = false;
    publish();
    if (guard->break_glass)
        verdict = GUARD_BROKEN_GLASS; /* an "ok" would be taken as proof that nothing commits here any more */
    LWLockRelease(guard->lock);
    return verdict;
}

enum guard_verdict guard_bypass_on(uint64 instance, uint64 epoch)
{
    enum guard_verdict verdict = GUARD_OK;

    LWLockAcquire(guard->lock, LW_EXCLUSIVE);
    if (instance != guard->instance)
        verdict = GUARD_INSTANCE;
    else if (guard->closed_epoch > 0 && epoch <= guard->closed_epoch)
        verdict = GUARD_EPOCH_CLOSED;
    else if (epoch < guard->epoch)
        verdict = GUARD_EPOCH;
    else {
        guard->bypass_epoch = guard->bypass ? Max(guard->bypass_epoch, epoch) : epoch;
        guard->bypass = true;
        publish();
    }
    LWLockRelease(guard->lock);
    return verdict;
}

enum guard_verdict guard_bypass_off(void)
{
    enum guard_verdict verdict = GUARD_OK;

    LWLockAcquire(guard->lock, LW_EXCLUSIVE);
    guard->bypass = false;
    publish();
    if (guard->break_glass)
        verdict = GUARD_BROKEN_GLASS;
    LWLockRelease(guard->lock);
    return verdict;
}

struct guard_status guard_status_read(void)
{
    struct guard_status s;

    LWLockAcquire(guard->lock, LW_SHARED);
    s.instance = guard->instance;
    s.epoch = guard->epoch;
    s.closed_epoch = guard->closed_epoch;
    s.deadline_us = guard->deadline_us;
    s.bypass = guard->bypass || guard->break_glass;
    s.break_glass = guard->break_glass;
    s.now_us = guard_clock_late_us();
    s.open = s.bypass || s.now_us < s.deadline_us;
    LWLockRelease(guard->lock);
    s.refused_before = pg_atomic_read_u64(&guard->refused_before);
    s.refused_after = pg_atomic_read_u64(&guard->refused_after);
    s.in_recovery = RecoveryInProgress();
    return s;
}

const char *guard_verdict_word(enum guard_verdict verdict)
{
    switch (verdict) {
    case GUARD_OK:
        return "ok";
    case GUARD_INVALID:
        return "invalid";
    case GUARD_INSTANCE:
        return "instance";
    case GUARD_FUTURE:
        return "future";
    case GUARD_EPOCH:
        return "epoch";
    case GUARD_EPOCH_CLOSED:
        return "closed";
    case GUARD_BROKEN_GLASS:
        return "break_glass";
    }
    pg_unreachable();
}
