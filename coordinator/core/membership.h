/* Who belongs to the cluster and who votes. The state says who shall (struct member); Raft's own list says who does; the leader brings the
 * second in line with the first, one change at a time. Decides what the next change is, and which changes a person must not make, or must
 * type out. Leaves to raft/ how it is done, and to core/fsm_members what an entry does to the state. */
#ifndef COORD_CORE_MEMBERSHIP_H
#define COORD_CORE_MEMBERSHIP_H

#include "core/state.h"

#include <stddef.h>

/* X(enumerator, word, a person may override it) */
#define MEMBER_GATE_LIST(X)                                                                                            \
    X(MEMBER_GATE_QUORUM, "quorum", false) /* of the voters that remain, no majority is heard */                       \
    X(MEMBER_GATE_VOTERS, "voters", true)  /* fewer than two voters remain */                                          \
    X(MEMBER_GATE_LEASE, "lease", true)    /* it holds a lease that runs, or a step is assigned to it */
#define MEMBER_GATE_ENUM(name, word, override) name,
enum member_gate { MEMBER_GATE_LIST(MEMBER_GATE_ENUM) MEMBER_GATE_COUNT };
#undef MEMBER_GATE_ENUM

#define MEMBER_GATE_TEXT_MAX_BYTES 200

const char *member_gate_word(enum member_gate gate);
bool member_gate_overridable(enum member_gate gate);
/* MEMBER_GATE_COUNT when there is no such word. */
enum member_gate member_gate_from_word(const char *word);
/* Bit per gate that says no to this member leaving (`leaves`), or only losing its vote. Those in `overrides` that may be overridden say yes. */
uint32_t member_gates_check(const struct state *s, node_id node, bool leaves, uint32_t overrides);
/* The reason of one no, in words with numbers. */
void member_gate_reason(const struct state *s, node_id node, enum member_gate gate, char *out, size_t capacity_bytes);

/* It was a member once and was removed: its data is worthless, and its id is never given again. */
bool member_removed(const struct state *s, node_id id);
unsigned member_voter_count(const struct state *s);
/* What is unwise about who votes where, in a sentence with its remedy; false: nothing. `number` counts from 0. */
bool member_warning(const struct state *s, unsigned number, char *out, size_t capacity_bytes);
/* Who should lead when `leader` shall not: a witness that is heard, else a heard voter away from every primary, else any; 0: nobody. */
node_id member_successor(const struct state *s, node_id leader);

/* --- Raft's own list --- */

enum raft_seat_kind { SEAT_SPARE, SEAT_STANDBY, SEAT_VOTER }; /* gets no entries; gets them; votes, too */
struct raft_seat {
    node_id id;
    enum raft_seat_kind kind;
    bool heard; /* by Raft itself, a moment ago; the leader hears itself */
};
enum membership_act {
    MEMBERSHIP_SETTLED, /* nothing to do now: the lists agree, or what they differ in must wait */
    MEMBERSHIP_ADD,     /* as a spare */
    MEMBERSHIP_STANDBY,
    MEMBERSHIP_VOTER,
    MEMBERSHIP_REMOVE,
};
struct membership_step {
    enum membership_act act;
    node_id node;
};
/* What the leader `self` should change in Raft's list now: silent voters leave, new ones join and get their vote, then heard ones leave. Never a
 * change that takes the majority of heard voters away, never one of itself: it hands over first (leader_transfer_to). */
struct membership_step membership_next(const struct state *s, node_id self, const struct raft_seat *seats,
                                       size_t count);

#endif
