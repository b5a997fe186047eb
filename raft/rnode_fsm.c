/* libraft's state machine callbacks: from frames to the owner's bytes and back. Apply always returns 0: on an error one version applies the
 * entry twice and the other never answers. What cannot be applied ends the node instead. */
#include "raft/rnode_internal.h"

#include "base/check.h"
#include "raft/entry.h"

#include <inttypes.h>

static int on_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct rnode *node = fsm->data;
    struct entry_view entry;
    struct error err;
    *result = NULL; /* outcomes live in the proposal: libraft lets a later entry overwrite this pointer */
    if (node->guard.dead)
        return 0;
    if (entry_open(ENTRY_COMMAND, buf->base, buf->len, &entry, &err) != STATUS_OK) {
        io_guard_fail(&node->guard, "cannot apply the log behind index %" PRIu64 ": %s", node->applied_index, err.text);
        return 0;
    }
    if (entry.index <=
        node->restored_index) /* libraft labelled the snapshot with an older index than that of its state */
        return 0;
    if (entry.index <= node->applied_index || entry.term < node->applied_term) {
        io_guard_fail(&node->guard,
                      "the log gave entry %" PRIu64 " of term %" PRIu64 " behind %" PRIu64 " of term %" PRIu64,
                      entry.index, entry.term, node->applied_index, node->applied_term);
        return 0;
    }
    struct proposal *p = rnode_proposal_find(node, entry.index, entry.term);
    uint8_t *outcome = p != NULL ? p->outcome : node->outcome_unasked;
    node->in_fsm = true;
    size_t used = node->config.fsm.apply(node->config.fsm.ctx, entry.index, entry.term, entry.payload,
                                         entry.payload_bytes, outcome);
    node->in_fsm = false;
    ASSERT(used <= OUTCOME_MAX_BYTES);
    node->applied_index = entry.index;
    node->applied_term = entry.term;
    node->counters.applied++;
    if (p != NULL) {
        p->applied = true;
        p->outcome_bytes = used;
        rnode_proposal_decide(p);
    }
    return 0;
}

static int on_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct rnode *node = fsm->data;
    if (node->raft.last_applied != node->raft.commit_index)
        return RAFT_BUSY; /* an old message has moved a follower's commit index back: libraft would give the snapshot that index */
    if (node->raft.configuration_uncommitted_index != 0)
        return RAFT_BUSY; /* it would be given a member list that may be two changes old (rnode_members.c) */
    size_t capacity = node->config.fsm.snapshot_bytes_max;
    size_t used = 0;
    uint8_t *frame = raft_malloc(entry_frame_bytes(capacity));
    struct raft_buffer *list = raft_malloc(sizeof *list);
    if (frame == NULL || list == NULL) {
        raft_free(frame);
        raft_free(list);
        return RAFT_NOMEM; /* no snapshot this time; the log stays longer */
    }
    node->in_fsm = true;
    enum status status = node->config.fsm.snapshot(node->config.fsm.ctx, frame + ENTRY_HEADER_BYTES, capacity, &used);
    node->in_fsm = false;
    if (status != STATUS_OK) {
        raft_free(frame);
        raft_free(list);
        io_guard_fail(&node->guard, "the state at index %" PRIu64 " cannot be encoded: %s", node->applied_index,
                      status_word(status));
        return RAFT_IOERR;
    }
    ASSERT(used <= capacity);
    entry_seal(ENTRY_SNAPSHOT, node->applied_index, node->applied_term, frame, used);
    uint8_t *shrunk = raft_realloc(frame, entry_frame_bytes(used));
    *list = (struct raft_buffer){ .base = shrunk != NULL ? shrunk : frame, .len = entry_frame_bytes(used) };
    *bufs = list;
    *n_bufs = 1;
    node->counters.snapshots_taken++;
    return 0;
}

static int on_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct rnode *node = fsm->data;
    struct entry_view snapshot;
    struct error err;
    enum status status = entry_open(ENTRY_SNAPSHOT, buf->base, buf->len, &snapshot, &err);
    if (status == STATUS_OK) {
        node->in_fsm = true;
        status = node->config.fsm.restore(node->config.fsm.ctx, snapshot.index, snapshot.term, snapshot.payload,
                                          snapshot.payload_bytes);
        node->in_fsm = false;
        if (status != STATUS_OK)
            error_set(&err, status, "the state in the snapshot at index %" PRIu64 " cannot be read: %s", snapshot.index,
                      status_word(status));
    }
    if (status != STATUS_OK) {
        io_guard_fail(&node->guard, "%s", err.text);
        return RAFT_CORRUPT; /* the buffer stays libraft's */
    }
    node->applied_index = snapshot.index;
    node->applied_term = snapshot.term;
    node->restored_index = snapshot.index;
    node->counters.snapshots_restored++;
    raft_free(buf->base);
    return 0;
}

void rnode_fsm_init(struct rnode *node)
{
    node->fsm = (struct raft_fsm){
        .version = 2, .data = node, .apply = on_apply, .snapshot = on_snapshot, .restore = on_restore
    };
}
