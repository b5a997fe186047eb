/* What rnode.c, rnode_fsm.c and rnode_propose.c share; nobody else includes it. */
#ifndef COORD_RAFT_RNODE_INTERNAL_H
#define COORD_RAFT_RNODE_INTERNAL_H

#include "raft/io_guard.h"
#include "raft/rnode.h"

#define RNODE_TRANSFERS_KEPT 16 /* requests are reused only after so many others: libraft may look at an old one */
#define RNODE_CHANGES_KEPT 16   /* likewise */

struct proposal {
    struct raft_apply request; /* libraft's while `held` */
    struct rnode *node;
    bool held; /* its callback has not come; on libuv's io it comes some time after the entry was applied */
    bool due;  /* `done` has not been called */
    bool decided;
    bool applied;
    uint64_t index;
    uint64_t term;
    rnode_propose_cb done;
    void *ctx;
    struct proposal *next; /* in the queue of those that are decided and whose `done` is due */
    size_t outcome_bytes;
    uint8_t outcome[OUTCOME_MAX_BYTES];
};

struct rnode {
    struct rnode_config config;
    struct raft raft;
    struct raft_fsm fsm;
    struct io_guard guard;

    struct rnode_leadership published;
    uint64_t barrier_sent_term;      /* the last term in which it was submitted */
    uint64_t barrier_index;          /* where it stands */
    uint64_t barrier_committed_term; /* the last term in which it was committed here */

    struct proposal proposals[RNODE_INFLIGHT_MAX];
    unsigned proposals_undecided;
    struct proposal *decided_first, *decided_last;

    struct raft_transfer transfers[RNODE_TRANSFERS_KEPT];
    unsigned transfer_next;
    bool transferring;
    struct raft_change changes[RNODE_CHANGES_KEPT];
    unsigned change_number; /* of the last one that was begun */
    bool changing;
    uint64_t change_index; /* of the last entry with a member list that is not known to be committed; 0: none */
    bool change_undone;    /* a later leader has removed it from the log */
    bool nudging;          /* a barrier for the followers' sake is under way */

    uint64_t applied_index; /* of the last command, not of barriers and configurations */
    uint64_t applied_term;
    uint64_t restored_index; /* of the last command in the snapshot that was last restored */
    bool in_fsm;
    bool started;
    bool closing;
    bool closed;
    void (*closed_cb)(void *ctx);
    void *closed_ctx;
    struct rnode_counters counters;
    uint8_t outcome_unasked[OUTCOME_MAX_BYTES]; /* of entries that somebody else proposed */
};

/* rnode_fsm.c */
void rnode_fsm_init(struct rnode *node);

/* rnode_members.c */
void rnode_members_at_rest(struct rnode *node);

/* rnode_propose.c */
/* The proposal of this node that became this entry, or NULL. */
struct proposal *rnode_proposal_find(struct rnode *node, uint64_t index, uint64_t term);
/* It has been applied, or (not applied) its fate is out of this node's sight. */
void rnode_proposal_decide(struct proposal *p);
/* This node leads no more, or another term: what it proposed before and has not applied is out of its sight. */
void rnode_proposals_lose(struct rnode *node, bool leads, uint64_t term);
/* Calls `done` for all that are decided. libraft is at rest. */
void rnode_proposals_finish(struct rnode *node);

#endif
