/* Stands between libraft and its struct raft_io and closes the holes that were measured in the library (docs/decisions/0001-libraft.md).
 * Knows nothing of libuv: the simulator's in-memory raft_io gets the same guard.
 *
 *  1. state changes are seen: after every call into libraft `after` runs, with libraft at rest; there the owner compares state and term;
 *  2. (the barrier of a new term is rnode's part;)
 *  3. an InstallSnapshot that arrives while this node writes a snapshot is dropped (0.22.1 dereferences NULL if it is our own, and leaks
 *     the message if it is one from the leader; the leader sends it again);
 *  4. a write that failed - term, vote, append, truncate, snapshot - is fatal: the library goes on with what is only in memory;
 *  5. RAFT_UNAVAILABLE is fatal: the library would stay silent for ever;
 *  6. an append that does not complete is a hung disk: `stalled` first, fatal later;
 *  7. the time of the last message of each peer is kept;
 *  8. a snapshot that is sent carries its own term (libraft may send that of an older one with it);
 *  9. a peer's higher term is learned from its pre-vote (or a longer log behind a higher term would never be elected);
 * 10. what this node tells others that it holds is told to `receipt` first: term and vote before libraft acts on them, the end of the log when
 *     it is stored, and before it is cut;
 * 11. a change of the members comes as the first entry of its message (raft/append_cut.h);
 * 12. the only voter begins a new term at its start (raft/lone_voter.h).
 *
 * After `fatal` returned (it does so only in a simulator or a test) the guard is dead: nothing passes in either direction until close. */
#ifndef COORD_RAFT_IO_GUARD_H
#define COORD_RAFT_IO_GUARD_H

#include "base/ids.h"
#include "base/limits.h"

#include <stdarg.h>

#include <raft.h>

#include <stdbool.h>
#include <stdint.h>

/* raft/receipt.h on a real disk; all NULL in a simulator whose disk loses nothing by itself. 0 or an errno, which is fatal. */
struct io_guard_receipt {
    int (*term)(void *ctx, uint64_t term, node_id vote);
    int (*lower)(void *ctx, uint64_t last_index);
    void (*stored)(void *ctx, uint64_t last_index);
};

struct io_guard_config {
    struct raft_io *inner; /* borrowed; its `data` is the guard's from now on */
    struct raft *raft;     /* only read */
    unsigned heartbeat_ms;
    unsigned election_ms;
    void *ctx;
    void (*after)(void *ctx);  /* libraft has just returned from a tick, a message or a completed write; may be NULL */
    void (*ticked)(void *ctx); /* after `after`, for ticks only; may be NULL */
    void (*stalled)(
        void *ctx); /* once per stall: the oldest append is older than 2 election timeouts: stop leading; may be NULL */
    void (*fatal)(void *ctx, const char *reason);
    int64_t (*now_us)(void *ctx);
    struct io_guard_receipt receipt;
    void *receipt_ctx;
    void (*forgot)(void *ctx, node_id id, uint64_t acknowledged,
                   uint64_t has); /* NULL: answers may overtake each other, as no real stream lets them */
    void (*withheld)(void *ctx, node_id candidate); /* may be NULL */
};

struct io_guard_append;   /* one append under way */
struct io_guard_snapshot; /* one snapshot being written */

struct io_guard_peer {
    node_id id;
    int64_t heard_us;
    raft_term acked_term;
    raft_index acked_index; /* what it has acknowledged to this node, the leader of that term */
    raft_index has_index;   /* what it says that it has, when that is less */
    unsigned answers_short; /* in a row, that said so */
    int64_t short_since_us;
    bool forgot;
};

struct io_guard {
    struct raft_io outer; /* what libraft is given; first, so that a raft_io of ours is its guard */
    struct io_guard_config config;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    struct io_guard_append *oldest, *newest;  /* appends under way, in order */
    struct io_guard_snapshot *held_snapshots; /* finished after the guard died; told to libraft at close */
    unsigned snapshots_writing;               /* our own and installed ones */
    raft_term stored_term;                    /* the last that was loaded or set */
    raft_index next_index;                    /* where the next append begins */
    raft_index loaded_index;                  /* of the snapshot that was last read in order to be sent */
    raft_term loaded_term;
    int64_t ticked_us;
    int64_t waited_us; /* how long no append has completed while one was under way, counted in ticks */
    bool dead;
    bool stall_told;
    bool closing;
    raft_io_close_cb close_cb;
    struct io_guard_peer peers[NODES_MAX + 1];
    uint64_t install_snapshots_dropped;
    uint64_t votes_withheld;
};

/* Prepares guard->outer: hand it to raft_init in place of the inner one. */
void io_guard_init(struct io_guard *guard, const struct io_guard_config *config);
/* INT64_MIN: never. */
int64_t io_guard_last_heard_us(const struct io_guard *guard, node_id id);
/* Something above found what must not be (an entry that cannot be decoded): as a failed write. */
void io_guard_fail(struct io_guard *guard, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
