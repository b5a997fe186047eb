/* Three rnodes with forward on libraft's own deterministic fixture: schedules that real time does not hit. Runs on every supported libraft.
 *
 * The fixture makes its own struct raft for each server; ours takes its raft_io over (a copy, so that closing ours does not close it). */
#ifndef TEST_RAFT_RIG_H
#define TEST_RAFT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "raft/forward.h"
#include "raft/rnode.h"
#include "raft/rnode_internal.h"

#include <raft/fixture.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define APPLIED_MAX 200
#define MESSAGES_MAX 200
#define ANSWERS_MAX 100

struct rig;

struct rig_node {
    struct rig *rig;
    unsigned self;
    struct raft_io io; /* a copy of the fixture's */
    struct raft_io *real;
    raft_io_close_cb close_cb;
    struct rnode *rnode;
    struct forward *forward;
    struct message_link link;
    uint32_t applied[APPLIED_MAX];
    unsigned applied_count;
    unsigned led; /* how often it was published as leader */
    unsigned randoms;
    unsigned fatals;
    char reason[300];
    bool closed;
};

struct rig_message {
    unsigned from, to;
    uint8_t type;
    size_t length;
    uint8_t bytes[128];
};

struct answer {
    enum status status;
    uint64_t index;
    uint32_t outcome;
    unsigned times;
};

struct rig {
    struct raft_fixture fixture;
    struct raft_fsm no_fsm[NODES];
    struct rig_node nodes[NODES];
    struct rig_message messages[MESSAGES_MAX];
    unsigned message_count;
    bool link_down[NODES][NODES];
    bool link_refuses;
    unsigned answers_taken; /* by the link */
    enum status admit_says;
    node_id admit_from;
    struct answer answers[ANSWERS_MAX];
};

#define STAMPED(number) ((number) | 1u << 24)

/* cmocka's setup and teardown; *state is the rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Conditions take up to two numbers, mostly nodes. */
typedef bool (*rig_condition)(struct rig *r, unsigned a, unsigned b);
/* Within a simulated minute. */
bool rig_run_until(struct rig *r, rig_condition met, unsigned a, unsigned b);
void rig_run_ms(struct rig *r, unsigned ms);
bool rig_leads(struct rig *r, unsigned a, unsigned unused);
bool rig_one_of_leads(struct rig *r, unsigned a, unsigned b);
bool rig_has_applied(struct rig *r, unsigned a, unsigned count);
bool rig_answered(struct rig *r, unsigned answer, unsigned unused);

int64_t rig_now_us(void *node);
enum rnode_role rig_role(struct rig *r, unsigned i);
/* Until all know the leader; returns it. */
unsigned rig_elect(struct rig *r);
void rig_cut(struct rig *r, unsigned a, unsigned b, bool down);
void rig_isolate(struct rig *r, unsigned a, bool down);
/* The `done` for a struct answer. */
void rig_on_answer(void *answer, enum status status, uint64_t index, const uint8_t *outcome, size_t length);
/* A number as an entry; what comes of it goes to r->answers[answer]. */
enum status rig_propose(struct rig *r, unsigned node, uint32_t number, unsigned answer);
enum status rig_submit(struct rig *r, unsigned node, uint32_t number, unsigned answer);

#endif
