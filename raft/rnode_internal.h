/* What rnode.c, rnode_fsm.c and rnode_propose.c share; nobody else includes it. */
#ifndef COORD_RAFT_RNODE_INTERNAL_H
#define COORD_RAFT_RNODE_INTERNAL_H

#include "raft/io_guard.h"
#include "raft/rnode.h"

#define RNODE_TRANSFERS_KEPT 16 /* requests are reused only after so many others: libraft may look at an old one */

enum proposal_state { PROPOSAL_FREE, PROPOSAL_WAITING, PROPOSAL_DONE };

struct proposal {
    struct raft_apply request; /* stays ours until its callback */
    struct rnode *node;
    enum proposal_state state;
    enum status status;
    bool applied;
    uint64_t index;
    uint64_t term;
    rnode_propose_cb done;
    void *ctx;
    struct proposal *next; /* in the queue of those whose `done` is due */
    size_t outcome_bytes;
    uint8_t outcome[OUTCOME_MAX_BYTES];
};

struct rnode {
    struct rnode_config config;
    struct raft raft;
    struct raft_fsm fsm;
    struct io_guard guard;

    struct rnode_leadership published;
    uint64_t barrier_sent_term;      /* submitted and not answered; 0 none */
    uint64_t barrier_committed_term; /* the last term in which it was committed here */

    struct proposal proposals[RNODE_INFLIGHT_MAX];
    unsigned proposals_waiting;
    struct proposal *due_first, *due_last;

    struct raft_transfer transfers[RNODE_TRANSFERS_KEPT];
    unsigned transfer_next;
    bool transferring;

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

/* rnode_propose.c */
/* The proposal of this node that became this entry, or NULL. */
struct proposal *rnode_proposal_find(struct rnode *node, uint64_t index, uint64_t term);
/* Calls every `done` that is due. libraft is at rest. */
void rnode_proposals_finish(struct rnode *node);

#endif
