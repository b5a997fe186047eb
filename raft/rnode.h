/* One member of the Raft cluster, over any struct raft_io: libuv's on a real machine, an in-memory one in the simulator.
 *
 * Decides: who leads and since when that may be relied upon; whether an entry surely is not, may be, or is in the log; what the
 * replicated state machine is given. Leaves to others: what the bytes of an entry mean (core's codec), where the log is kept
 * (raft/storage_uv.h), how messages travel (raft/transport.h), what to do with leadership (core/leader).
 *
 * Happy path: rnode_create, rnode_start, on_leadership(LEADER) once the barrier of the term is committed, rnode_propose, `done` with
 * the outcome that `apply` gave to exactly this entry. Failure: anything that could lose what was acknowledged (a write that
 * failed, a state machine that cannot apply) calls `fatal`; the process ends there and its peers go on (raft/io_guard.h).
 *
 * One thread. Nothing here may be called from inside fsm->apply, fsm->snapshot or fsm->restore; all other callbacks run when
 * libraft is at rest and may call everything except rnode_destroy. */
#ifndef COORD_RAFT_RNODE_H
#define COORD_RAFT_RNODE_H

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raft_io; /* libraft's: <raft.h> */
struct io_guard_receipt;
struct rnode; /* opaque */

#define OUTCOME_MAX_BYTES 4096                         /* what apply may say about one entry to its proposer */
#define RNODE_PAYLOAD_MAX_BYTES (ENTRY_MAX_BYTES - 64) /* one entry without our frame */
#define RNODE_INFLIGHT_MAX 64                          /* entries proposed here and not yet applied */

/* The state machine as this room sees it: opaque bytes in, opaque bytes out. */
struct rnode_fsm {
    void *ctx;
    /* Every node gets the same entries in the same order. Never fails: what cannot be honoured is refused in the outcome. Writes at
     * most OUTCOME_MAX_BYTES to `outcome` and returns how many; the bytes reach only the proposer's `done`. Borrows all. */
    size_t (*apply)(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length, uint8_t *outcome);
    /* Encodes the state after the entry `index`. STATUS_OK and *used, or a failure, which is fatal. */
    enum status (*snapshot)(void *ctx, uint8_t *out, size_t capacity, size_t *used);
    /* Replaces the state by that of a snapshot taken after `index`. The checksum has already been verified. A failure is fatal. */
    enum status (*restore)(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length);
    size_t snapshot_bytes_max; /* capacity given to `snapshot` */
};

enum rnode_role {
    RNODE_FOLLOWER, /* also a member without vote, and one that has no configuration yet */
    RNODE_CANDIDATE,
    RNODE_ELECTED, /* won the election of `term`; its barrier is not committed yet, so nothing may be concluded from the state */
    RNODE_LEADER, /* every entry that was ever acknowledged has been applied here */
};

const char *rnode_role_word(enum rnode_role role);

struct rnode_leadership {
    enum rnode_role role;
    uint64_t term;
    node_id leader; /* as far as this node knows; 0 none; own id only when role is RNODE_LEADER */
};

struct rnode_timing {
    unsigned heartbeat_ms; /* also the interval of on_tick */
    unsigned election_ms;  /* a follower's patience is drawn from [1, 2] times this */
    unsigned
        install_snapshot_ms; /* 0: 5000. Must exceed a snapshot's transfer: only after it a lost one is sent again */
    unsigned snapshot_threshold; /* 0: 1024 entries between two snapshots */
    unsigned
        snapshot_trailing; /* 0: 8192 entries kept behind a snapshot, so that a restarted peer catches up from the log */
};

struct rnode_config {
    struct raft_io *io; /* initialised (raft_uv_init or one's own); borrowed until the closed callback */
    node_id id;
    const char *address; /* byte-identical to the one in the cluster's member list */
    struct rnode_timing timing;
    struct rnode_fsm fsm;
    void *ctx; /* of the callbacks below */
    /* Something in rnode_leadership changed. A completion of one's own compares terms; it does not rely on having been called here. */
    void (*on_leadership)(void *ctx, const struct rnode_leadership *now);
    void (*on_tick)(void *ctx); /* each heartbeat_ms; may be NULL */
    int64_t (*now_us)(void *ctx);
    /* Must end the process, or in a simulator mark the node as crashed. If it returns, the node does nothing any more: it sends,
     * stores and answers nothing until it is closed. */
    void (*fatal)(void *ctx, const char *reason);
    /* A member has less than it acknowledged to this node, which leads or led: with each of its messages; it is heard no more. NULL: not looked at. */
    void (*on_forgot)(void *ctx, node_id id, uint64_t acknowledged, uint64_t has);
    /* This node's log is new, and a candidate's is not: it got no vote (raft/io_guard.h). May be NULL. */
    void (*on_withheld)(void *ctx, node_id candidate);
    const struct io_guard_receipt *receipt; /* raft/io_guard.h, called with `ctx`; borrowed for the call; NULL: none */
};

struct rnode_member {
    node_id id;
    char address[ADDRESS_MAX_BYTES];
    bool voter;
    bool spare; /* gets no entries; neither spare nor voter: gets them and does not vote */
};

struct rnode_counters {
    uint64_t proposed, applied, snapshots_taken, snapshots_restored, install_snapshots_dropped, terms_led;
};

/* Takes nothing, borrows config->io. NULL and `err` on failure. */
struct rnode *rnode_create(const struct rnode_config *config, struct error *err);
/* Loads the log and the last snapshot (fsm.restore is called in here) and begins. After a failure only rnode_close makes sense on an
 * in-memory io; on libuv's io libraft leaks handles then and the process must end. */
enum status rnode_start(struct rnode *node, struct error *err);
/* `closed` fires when the io has closed: later, if its close callback is later. Pending proposals end with STATUS_UNKNOWN. */
void rnode_close(struct rnode *node, void (*closed)(void *ctx), void *ctx);
/* After `closed`, outside of any callback of this node except `closed` itself. */
void rnode_destroy(struct rnode *node);

/* STATUS_OK: applied; `outcome` is borrowed for the call. STATUS_UNKNOWN: leadership was lost, it may still be committed: only an
 * idempotent command may be sent again. `index` is the entry's, also when unknown. */
typedef void (*rnode_propose_cb)(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length);

/* STATUS_OK: `done` fires exactly once, later. Otherwise it never fires and the entry surely is not in the log: NO_LEADER (not the
 * published leader, or just handing over), FULL (RNODE_INFLIGHT_MAX, or no disk space at a majority), INVALID (empty or longer than
 * RNODE_PAYLOAD_MAX_BYTES). Copies `bytes`. */
enum status rnode_propose(struct rnode *node, const uint8_t *bytes, size_t length, rnode_propose_cb done, void *ctx);

/* Proposals of this node that are neither applied nor out of its sight. */
unsigned rnode_undecided(const struct rnode *node);

/* Followers learn that an entry is committed with the leader's next message, up to a heartbeat later. This sends one now (an empty entry), for
 * an entry that a follower is waited for. Does nothing unless this node leads; at most one is under way. */
void rnode_nudge(struct rnode *node);

struct rnode_leadership rnode_leadership(const struct rnode *node);
/* Is this node the published leader of exactly this term, now? What every completion asks. */
bool rnode_leads(const struct rnode *node, uint64_t term);
uint64_t rnode_applied_index(const struct rnode *node);
uint64_t rnode_commit_index(const struct rnode *node);
uint64_t rnode_last_index(const struct rnode *node); /* where the log ends, committed or not */
struct rnode_counters rnode_counters(const struct rnode *node);

/* Hands leadership to `target` (0: the voter that is furthest). STATUS_OK only says that it began: on_leadership tells the end. Until
 * then, at most one election_ms, proposals are refused with NO_LEADER. REFUSED: not the leader, unknown or no voter, or under way. */
enum status rnode_transfer(struct rnode *node, node_id target, struct error *err);

/* Changes of the member list: at the leader, one at a time. STATUS_OK: it began, and rnode_members() shows it (an assignment to voter only when
 * the member has caught up); at its end, or when leadership is lost, rnode_changing() is false again: compare the list, a change may be undone
 * by a later leader. NO_LEADER, and FULL while another change is under way: later. REFUSED: the text says why. */
enum rnode_change {
    RNODE_ADD,     /* as a spare; `address` counts */
    RNODE_STANDBY, /* gets entries, has no vote */
    RNODE_VOTER, /* fails after some seconds when the member does not catch up; until then no other change is possible */
    RNODE_REMOVE, /* the member is not told; the leader removes itself by handing over first */
};
enum status rnode_change(struct rnode *node, enum rnode_change change, node_id id, const char *address,
                         struct error *err);
bool rnode_changing(const struct rnode *node);

/* The members of the cluster as this node's log says; returns the count, at most `capacity`. */
size_t rnode_members(const struct rnode *node, struct rnode_member *out, size_t capacity);
/* How many entries of this leader's log that member has not acknowledged. False: this node does not lead, or cannot know. */
bool rnode_lag(struct rnode *node, node_id id, uint64_t *entries);
/* The address of a member, borrowed until the next return to the loop; NULL when it is no member. */
const char *rnode_address(const struct rnode *node, node_id id);
/* When a Raft message of that node last arrived, on now_us's clock; INT64_MIN never. Followers hear the leader and candidates only;
 * the leader hears everybody each heartbeat. */
int64_t rnode_last_heard_us(const struct rnode *node, node_id id);

#endif
