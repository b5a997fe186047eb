/* Whether this server may commit, and until when. One struct in shared memory; commits read one atomic word of it, everything else
 * happens under one lock. Decides which open, close and bypass is accepted; who asks, and what a refusal does to a transaction, is left
 * to guard_protocol.c, guard_sql.c and guard_commit.c.
 *
 * The state lives exactly as long as the shared memory: a restart of the server, and PostgreSQL's own reinitialisation after the crash of
 * a backend, begin a new *instance*, closed, with a new random number. What was granted to another instance is refused. */
#ifndef LEASE_GUARD_GUARD_STATE_H
#define LEASE_GUARD_GUARD_STATE_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

#define GUARD_CLOSED UINT64CONST(0)
#define GUARD_OPEN_UNBOUNDED PG_UINT64_MAX /* bypass: no reading of the clock reaches it */

struct guard_shared {
    uint64 instance; /* random; written once, before anybody can read it */
    pg_atomic_uint64
        gate_us; /* commits pass while the clock is below this; always what publish() derives from the fields below */
    char padding[PG_CACHE_LINE_SIZE -
                 16]; /* the word that every commit reads shares its line with nothing that changes often */

    pg_atomic_uint64 refused_before; /* with an error, before anything was written */
    pg_atomic_uint64 refused_after;  /* after the flush: the connection was ended without an answer */

    LWLock *lock; /* protects all below */
    uint64 epoch; /* the newest epoch that was opened; 0 = none yet */
    int64 sample_us;
    int64 deadline_us; /* of `epoch`, counted from `sample_us`; 0 = closed */
    uint64 closed_epoch;
    bool bypass;
    uint64 bypass_epoch;
    bool break_glass;
};

enum guard_verdict {
    GUARD_OK,
    GUARD_INVALID,      /* a value out of range */
    GUARD_INSTANCE,     /* meant for another life of the server */
    GUARD_FUTURE,       /* the sample lies after the server's own now */
    GUARD_EPOCH,        /* a newer epoch was opened */
    GUARD_EPOCH_CLOSED, /* this epoch, or one after it, was closed */
    GUARD_BROKEN_GLASS  /* started with the break-glass file: nothing but a restart without it closes this server */
};

struct guard_status {
    uint64 instance;
    uint64 epoch;
    uint64 closed_epoch;
    uint64 refused_before;
    uint64 refused_after;
    int64 deadline_us;
    int64 now_us;
    bool open;   /* a lease is running, or bypass */
    bool bypass; /* asked for over the socket, or break-glass */
    bool break_glass;
    bool in_recovery;
};

extern struct guard_shared *guard; /* NULL until the shared memory exists */

extern Size guard_state_size(void);
/* Called with the addin lock held, by whoever creates the shared memory. */
extern void guard_state_init(struct guard_shared *shared, bool break_glass);

extern int64 guard_now(void);
/* The newest sample decides the deadline; for the same sample the shorter hold, so that a holder can shorten it and a late duplicate
 * cannot lengthen it again. `*deadline_us` is what now holds, also when an older sample changed nothing. */
extern enum guard_verdict guard_open(uint64 instance, uint64 epoch, int64 t0_us, uint32 hold_ms, int64 *deadline_us);
/* Sticky: no epoch up to this one opens again in this instance. Ends a bypass that was asked for under such an epoch. */
extern enum guard_verdict guard_close(uint64 epoch);
/* Not enforcing: commits pass without a lease until bypass_off or a close. `epoch` is the newest that the caller knows (0: none was ever
 * granted), so that a late request cannot reopen a server that was fenced since. Leases opened meanwhile count once it ends. */
extern enum guard_verdict guard_bypass_on(uint64 instance, uint64 epoch);
extern enum guard_verdict guard_bypass_off(void);
extern struct guard_status guard_status_read(void);

/* The reason as the protocol prints it. */
extern const char *guard_verdict_word(enum guard_verdict verdict);

#endif
