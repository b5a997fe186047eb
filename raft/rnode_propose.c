/* From bytes to an entry and from the entry's application to `done`.
 *
 * Happy path: the frame names the index and the term at which it is about to stand; raft_apply puts it there; on_apply (rnode_fsm.c) finds the
 * proposal by both, leaves the outcome in it and decides it; when libraft is at rest `done` is called. libraft's own callback, which libuv's io
 * fires a turn of the loop later, only gives the request's memory back.
 * Failure: leadership lost (or the node closed) before that: UNKNOWN, because a later leader may still commit the entry. */
#include "raft/rnode_internal.h"

#include "base/check.h"
#include "raft/entry.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(RNODE_PAYLOAD_MAX_BYTES + ENTRY_HEADER_BYTES + 8 <= ENTRY_MAX_BYTES, "a framed entry fits its limit");

struct proposal *rnode_proposal_find(struct rnode *node, uint64_t index, uint64_t term)
{
    if (node->proposals_undecided == 0)
        return NULL;
    for (size_t i = 0; i < RNODE_INFLIGHT_MAX; i++) {
        struct proposal *p = &node->proposals[i];
        if (p->due && !p->decided && p->index == index && p->term == term)
            return p;
    }
    return NULL;
}

void rnode_proposal_decide(struct proposal *p)
{
    struct rnode *node = p->node;
    p->decided = true;
    node->proposals_undecided--;
    p->next = NULL;
    if (node->decided_last != NULL)
        node->decided_last->next = p;
    else
        node->decided_first = p;
    node->decided_last = p;
}

static void on_released(struct raft_apply *request, int status, void *result)
{
    struct proposal *p = request->data;
    struct rnode *node = p->node;
    (void)result;
    ASSERT(p->held);
    if (status == 0 && !p->applied && !p->decided)
        io_guard_fail(&node->guard, "entry %" PRIu64 " was answered without having been applied", p->index);
    if (!p->decided)
        rnode_proposal_decide(p);
    p->held = false;
}

void rnode_proposals_lose(struct rnode *node, bool leads, uint64_t term)
{
    for (size_t i = 0; i < RNODE_INFLIGHT_MAX && node->proposals_undecided > 0; i++) {
        struct proposal *p = &node->proposals[i];
        if (p->due && !p->decided && (!leads || p->term != term))
            rnode_proposal_decide(p);
    }
}

void rnode_proposals_finish(struct rnode *node)
{
    while (node->decided_first != NULL) {
        struct proposal *p = node->decided_first;
        node->decided_first = p->next;
        if (node->decided_first == NULL)
            node->decided_last = NULL;
        if (p->applied)
            p->done(p->ctx, STATUS_OK, p->index, p->outcome, p->outcome_bytes);
        else
            p->done(p->ctx, STATUS_UNKNOWN, p->index, NULL, 0);
        p->due = false;
    }
}

unsigned rnode_undecided(const struct rnode *node)
{
    return node->proposals_undecided;
}

static struct proposal *proposal_take(struct rnode *node)
{
    for (size_t i = 0; i < RNODE_INFLIGHT_MAX; i++)
        if (!node->proposals[i].held && !node->proposals[i].due)
            return &node->proposals[i];
    return NULL;
}

static enum status submit(struct rnode *node, struct proposal *p, struct raft_buffer *frame)
{
    memset(&p->request, 0, sizeof p->request);
    p->request.data = p;
    p->applied = p->decided = false;
    p->held = p->due = true; /* before the call, so that not even an immediate apply would miss it */
    node->proposals_undecided++;
    int rv = raft_apply(&node->raft, &p->request, frame, 1, on_released);
    if (rv == 0) {
        if (p->request.index != p->index)
            io_guard_fail(&node->guard, "an entry meant for index %" PRIu64 " was put at %llu", p->index,
                          p->request.index);
        return STATUS_OK;
    }
    p->held = false;
    if (rv == RAFT_NOTLEADER || rv == RAFT_LEADERSHIPLOST || rv == RAFT_NOSPACE) {
        p->due = false;
        node->proposals_undecided--;
        raft_free(frame->base);
        return rv == RAFT_NOSPACE ? STATUS_FULL : STATUS_NO_LEADER;
    }
    /* libraft may have freed the frame and may have kept the entry: nothing is certain any more. */
    rnode_proposal_decide(p);
    io_guard_fail(&node->guard, "proposing an entry failed: %s: %s", raft_strerror(rv), raft_errmsg(&node->raft));
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
