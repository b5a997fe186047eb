/* A command from any node into the log: proposed here when this node leads, else sent to the leader, whose answer brings back the
 * outcome. Decides what the submitter may conclude; leaves retrying to it.
 *
 * Works on a message_link and on rnode alone, so the same code runs in the simulator. Time comes through rnode's on_tick: the owner
 * calls forward_tick from it, hands every MESSAGE_FORWARD_* it receives to forward_receive, and calls forward_leadership from on_leadership. */
#ifndef COORD_RAFT_FORWARD_H
#define COORD_RAFT_FORWARD_H

#include "raft/message_link.h"
#include "raft/rnode.h"

#define FORWARD_OUTSTANDING_MAX 64 /* submissions of this node that wait for an answer */
#define FORWARD_GRACE_MS 50        /* a leader that was replaced may have answered already: its answer is waited for */
#define FORWARD_SERVED_MAX 64      /* proposals made here for other nodes */
#define FORWARD_ANSWER_KEPT_MS 10000 /* from the request: no submitter waits longer */

struct forward; /* opaque */

struct forward_config {
    struct rnode *node;
    node_id id;
    const struct message_link *link; /* borrowed for the life of the forward */
    void *ctx;
    int64_t (*now_us)(void *ctx);
    /* At the leader, for its own and for forwarded commands, immediately before they are proposed: may refuse (the submitter gets that
     * status; it surely is not in the log) and may change the bytes within `capacity`, for instance to stamp the leader's time.
     * NULL admits all. `from` is the submitting node, proven by the connection. */
    enum status (*admit)(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity);
};

/* OK: applied, with its outcome (borrowed for the call). UNKNOWN: sent and then lost sight of; it may be in the log, now or later.
 * Anything else: surely not in the log. */
typedef void (*forward_cb)(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length);

struct forward *forward_create(const struct forward_config *config);
/* Every open submission ends with UNKNOWN, now. After it nothing fires. */
void forward_destroy(struct forward *f);

/* STATUS_OK: `done` fires exactly once, later, at the latest at the deadline (to the granularity of forward_tick). Otherwise it never fires and
 * the command surely is not in the log: NO_LEADER (none known), UNREACHABLE (no connection to it), FULL, INVALID, or what `admit` said. Copies `bytes`. */
enum status forward_submit(struct forward *f, const uint8_t *bytes, size_t length, unsigned deadline_ms,
                           forward_cb done, void *ctx);

void forward_receive(struct forward *f, node_id from, uint8_t type, const uint8_t *bytes, size_t length);
void forward_leadership(struct forward *f, const struct rnode_leadership *now);
void forward_tick(struct forward *f);

#endif
