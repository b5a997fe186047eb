/* From bytes to an entry and from the entry's application to `done`.
 *
 * Happy path: the frame names the index and the term at which it is about to stand; raft_apply puts it there; on_apply (rnode_fsm.c) finds the
 * proposal by both and leaves the outcome in it; libraft calls on_applied; when libraft is at rest `done` is called.
 * Failure: leadership lost (or the node closed) before that: UNKNOWN, because a later leader may still commit the entry. */
#include "raft/rnode_internal.h"

#include "base/check.h"
#include "raft/entry.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(RNODE_PAYLOAD_MAX_BYTES + ENTRY_HEADER_BYTES + 8 <= ENTRY_MAX_BYTES, "a framed entry fits its limit");

struct proposal *rnode_proposal_find(struct rnode *node, uint64_t index, uint64_t term)
{
    if (node->proposals_waiting == 0)
        return NULL;
    for (size_t i = 0; i < RNODE_INFLIGHT_MAX; i++) {
        struct proposal *p = &node->proposals[i];
        if (p->state == PROPOSAL_WAITING && p->index == index && p->term == term)
            return p;
    }
    return NULL;
}

static void on_applied(struct raft_apply *request, int status, void *result)
{
    struct proposal *p = request->data;
    struct rnode *node = p->node;
    (void)result;
    ASSERT(p->state == PROPOSAL_WAITING);
    if (status == 0 && !p->applied && !node->guard.dead)
        io_guard_fail(&node->guard, "entry %" PRIu64 " was answered without having been applied", p->index);
    p->state = PROPOSAL_DONE;
    p->status = p->applied && status == 0 ? STATUS_OK : STATUS_UNKNOWN;
    p->next = NULL;
    if (node->due_last != NULL)
        node->due_last->next = p;
    else
        node->due_first = p;
    node->due_last = p;
}

void rnode_proposals_finish(struct rnode *node)
{
    while (node->due_first != NULL) {
        struct proposal *p = node->due_first;
        node->due_first = p->next;
        if (node->due_first == NULL)
            node->due_last = NULL;
        bool known = p->status == STATUS_OK;
        p->done(p->ctx, p->status, p->index, known ? p->outcome : NULL, known ? p->outcome_bytes : 0);
        p->state = PROPOSAL_FREE;
        node->proposals_waiting--;
    }
}

static struct proposal *proposal_take(struct rnode *node)
{
    for (size_t i = 0; i < RNODE_INFLIGHT_MAX; i++)
        if (node->proposals[i].state == PROPOSAL_FREE)
            return &node->proposals[i];
    return NULL;
}

static enum status submit(struct rnode *node, struct proposal *p, struct raft_buffer *frame)
{
    memset(&p->request, 0, sizeof p->request);
    p->request.data = p;
    p->applied = false;
    p->state = PROPOSAL_WAITING; /* before the call, so that not even an immediate apply would miss it */
    node->proposals_waiting++;
    int rv = raft_apply(&node->raft, &p->request, frame, 1, on_applied);
    if (rv != 0 && !node->guard.dead) {
        p->state = PROPOSAL_FREE;
        node->proposals_waiting--;
        if (rv == RAFT_NOTLEADER || rv == RAFT_LEADERSHIPLOST || rv == RAFT_NOSPACE) {
            raft_free(frame->base);
            return rv == RAFT_NOSPACE ? STATUS_FULL : STATUS_NO_LEADER;
        }
        /* libraft may have freed the frame and may have kept the entry. */
        io_guard_fail(&node->guard, "proposing an entry failed: %s: %s", raft_strerror(rv), raft_errmsg(&node->raft));
        return STATUS_NO_LEADER;
    }
    if (rv != 0) { /* the guard died in it: whoever still runs learns the outcome as unknown */
        on_applied(&p->request, rv, NULL);
        return STATUS_OK;
    }
    if (p->request.index != p->index)
        io_guard_fail(&node->guard, "an entry meant for index %" PRIu64 " was put at %llu", p->index, p->request.index);
    return STATUS_OK;
}

enum status rnode_propose(struct rnode *node, const uint8_t *bytes, size_t length, rnode_propose_cb done, void *ctx)
{
    ASSERT(!node->in_fsm && done != NULL);
    if (length == 0 || length > RNODE_PAYLOAD_MAX_BYTES)
        return STATUS_INVALID;
    if (!rnode_leads(node, node->published.term) || node->transferring)
        return STATUS_NO_LEADER;
    struct proposal *p = proposal_take(node);
    if (p == NULL)
        return STATUS_FULL;
    struct raft_buffer frame = { .len = entry_frame_bytes(length) };
    frame.base = raft_malloc(frame.len);
    if (frame.base == NULL)
        return STATUS_FULL;
    memcpy((uint8_t *)frame.base + ENTRY_HEADER_BYTES, bytes, length);
    p->node = node;
    p->done = done;
    p->ctx = ctx;
    p->index = raft_last_index(&node->raft) + 1;
    p->term = node->raft.current_term;
    entry_seal(ENTRY_COMMAND, p->index, p->term, frame.base, length);
    enum status status = submit(node, p, &frame);
    if (status == STATUS_OK)
        node->counters.proposed++;
    return status;
}
