/* The failover as data: which step waits for which, who runs it, how long one attempt may take, what a failure means. */
#ifndef COORD_CORE_PLAN_H
#define COORD_CORE_PLAN_H

#include "core/command.h"

enum plan_failure {
    PLAN_RETRY, /* until it works: the operation waits and says so */
    PLAN_ALERT  /* the same, and an alarm with each failure */
};

enum plan_way { PLAN_WAY_ABORT, PLAN_WAY_FENCED, PLAN_WAY_SKIP, PLAN_WAY_ELSEWHERE };

struct plan_step {
    uint32_t needs;       /* bit per step that must have ended before */
    bool after_promote;   /* runs after the point of no return only */
    bool safety;          /* can't be skipped */
    uint32_t deadline_ms; /* of one attempt, kept by the node that runs it */
    uint32_t retry_ms;    /* pause after a failed attempt */
    enum plan_failure on_failure;
    const char *what;    /* for people: what the operation waits for while this runs */
    enum plan_way way;   /* the command that ends the wait */
    const char *by_hand; /* what a person does before that command; NULL: nothing */
};

/* What an operation waits for, and the exact command that ends the wait; both "" when it waits for nothing. */
struct plan_wait {
    char what[2 * DETAIL_MAX_BYTES];
    char way_out[2 * DETAIL_MAX_BYTES];
};

const struct plan_step *plan_step_of(enum step step);

/* Adds the runs of a new operation: sever at every other eligible site, fence at the old one, the rest at the target. */
void plan_begin(const struct state *s, struct operation *op);
/* Replaces what has not ended by the reversal of what was severed. */
void plan_undo(struct operation *op);
/* Adds what follows the point of no return. */
void plan_promoted(const struct state *s, struct operation *op);

/* The run may be assigned now: its needs have ended and its pause is over. */
bool plan_run_due(const struct service *svc, const struct operation *op, const struct step_run *run, int64_t now_ms);
/* The node that must run it: the executor of its site, or for a fence the lease's holder, which alone opened the servers that must be proven
 * stopped or closed; 0 when there is none. */
node_id plan_run_node(const struct state *s, const struct operation *op, const struct step_run *run);

/* The site to promote: every candidate in contact is severed, and of those the one with the greatest position (timeline first) within the
 * policy's lag is it. No candidate is one that is silent, that its own node calls dead or a primary (unless a person has forced that one), or
 * that could not be severed in SEVER_TRIES attempts; what it may hold more is the policy's lag. A promotion by hand keeps its target and
 * waits for it, also when another is ahead; a failover whose target is lost may take another that was ready. SITE_NONE: not yet, `why` says
 * what for. */
#define SEVER_TRIES 3
site_id plan_candidate(const struct state *s, const struct operation *op, char *why, size_t capacity_bytes);

void plan_wait(const struct state *s, const struct operation *op, struct plan_wait *out);

#endif
