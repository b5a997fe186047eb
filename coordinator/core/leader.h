/* What the leader should propose next. Holds what only this leader, in this term, knows: whom it hears, and its own counts of leases.
 * Pure: time is an argument, in microseconds of the caller's monotonic clock. The same code drives coordd and the simulator.
 *
 * Use: leader_begin() when leadership of a term is confirmed; leader_applied() after each applied entry; leader_heard() per beat;
 * leader_tick() on each tick, after what the network brought was handled; then propose every command that leader_next() gives, and call
 * leader_proposed_done() with its slot when that proposal has ended, however it ended. leader_end() when leadership is lost. */
#ifndef COORD_CORE_LEADER_H
#define COORD_CORE_LEADER_H

#include "core/command.h"
#include "core/gates.h"

#define LEADER_SLOTS (SERVICES_MAX + 1) /* one proposal in flight per service, one for the cluster */
#define LEADER_SLOT_CLUSTER SERVICES_MAX
#define LEADER_NOT_YET INT64_C(-1)

#define BOOT_GRACE_MS (BOOT_GRACE_MIN * INT64_C(60000))
#define GIVE_UP_US (30 * INT64_C(1000000))

struct leader_count { /* of one lease, from this leader's own apply of its last renewal */
    epoch_t epoch;
    uint64_t renewed_index;
    int64_t since_us; /* counted time; LEADER_NOT_YET: from the next tick on */
};
struct leader_run { /* of one open attempt */
    operation_id operation;
    uint32_t attempt;
    int64_t since_us;
};

struct leader {
    bool leading;
    bool
        cold; /* nobody has told this leader that there was a quorum before it, and the log does not say yet that there may have been none */
    uint64_t term;
    node_id self;
    uint32_t beat_ms; /* a node that is not heard for max(3 * beat, 2 * election) is silent */
    uint32_t tick_ms;
    int64_t tick_us; /* caller's time of the last tick */
    int64_t
        counted_us; /* since leader_begin: one tick adds at most twice its interval, so that time asleep is not counted */
    unsigned stall_count;
    int64_t stalls_us[3];        /* caller's time of the last stalls */
    bool wants_transfer;         /* three stalls within a minute */
    int64_t heard_us[NODES_MAX]; /* counted time, by member slot; LEADER_NOT_YET: not in this term */
    node_id heard_of[NODES_MAX]; /* the member that it speaks of: a slot may get another one */
    struct leader_count counts[SERVICES_MAX];
    struct leader_run runs[SERVICES_MAX][RUNS_MAX];
    int64_t candidate_us[SERVICES_MAX]; /* counted time, when the running operation last had a candidate, or began */
    int64_t stamp_us;                   /* the last display time, in microseconds */
    int64_t stamped_us;                 /* caller's time then; LEADER_NOT_YET */
    bool busy[LEADER_SLOTS];
};

void leader_init(struct leader *l, node_id self, uint32_t beat_ms, uint32_t tick_ms);
/* `cold`: this node was without contact to a quorum for longer than a ttl before, or has just started. */
void leader_begin(struct leader *l, uint64_t term, bool cold, int64_t now_us);
void leader_end(struct leader *l);
/* After each applied entry. */
void leader_applied(struct leader *l, const struct state *s);
/* `warm`: that node was in contact with the leader before this one, without a gap as long as a ttl: so there was a quorum. */
void leader_heard(struct leader *l, const struct state *s, node_id node, bool warm);
void leader_tick(struct leader *l, const struct state *s, int64_t now_us);
/* The display time of an entry that this leader admits or proposes now: give the wall clock's, and the caller's time. It follows the wall
 * clock, but within a term it moves at half to double the speed of the caller's clock: a wall clock that jumps ahead and back again must
 * neither end every patience at once nor make it last for ever. */
int64_t leader_stamp_ms(struct leader *l, const struct state *s, int64_t wall_ms, int64_t now_us);
/* True when `out` (cleared and filled, at_ms set to `stamp_ms`) should be proposed now; `slot` stays busy until leader_proposed_done(). */
bool leader_next(struct leader *l, const struct state *s, int64_t stamp_ms, struct command *out, unsigned *slot);
void leader_proposed_done(struct leader *l, unsigned slot);
/* The node that should lead instead: this one shall not vote any more, a person asked for another, it sits at a primary's site, a witness
 * could lead, or it stalls; 0: stay. */
node_id leader_transfer_to(const struct leader *l, const struct state *s);
/* Who should lead when this node ends; 0: nobody is heard. */
node_id leader_successor(const struct leader *l, const struct state *s);

#endif
