/* An io_guard between a raft_io of the test's own and a libraft that the test plays. */
#ifndef TEST_RAFT_GUARD_RIG_H
#define TEST_RAFT_GUARD_RIG_H

#include "raft/io_guard.h"

#ifdef RAFT_VERSION_NUMBER
#define INSTALL_SNAPSHOT RAFT_INSTALL_SNAPSHOT
#define APPEND_ENTRIES RAFT_APPEND_ENTRIES
#define REQUEST_VOTE RAFT_REQUEST_VOTE
#define APPEND_ENTRIES_RESULT RAFT_APPEND_ENTRIES_RESULT
#else
#define INSTALL_SNAPSHOT RAFT_IO_INSTALL_SNAPSHOT
#define APPEND_ENTRIES RAFT_IO_APPEND_ENTRIES
#define REQUEST_VOTE RAFT_IO_REQUEST_VOTE
#define APPEND_ENTRIES_RESULT RAFT_IO_APPEND_ENTRIES_RESULT
#endif

#define RIG_LOADED 9

struct rig {
    struct raft_entry loaded[RIG_LOADED];
    struct raft_io inner;
    struct raft raft;
    struct io_guard guard;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    int fail; /* what the inner io answers to the next writes */
    unsigned sends, truncates;
    struct raft_io_append *append;
    raft_io_append_cb append_cb;
    struct raft_io_snapshot_put *put;
    raft_io_snapshot_put_cb put_cb;
    /* seen by "libraft" */
    unsigned ticks, messages, last_message;
    int append_status, put_status;
    unsigned appends_done, puts_done, closed;
    /* seen by the owner */
    unsigned after, ticked, stalled, fatals;
    char reason[300];
    int64_t now_us;
    node_id forgot, withheld;
    uint64_t forgot_acknowledged, forgot_has;
    /* seen by the receipt */
    int receipt_fails;
    uint64_t told_term, told_vote, lowered, stored;
    unsigned truncates_when_lowered;
};

extern const struct raft_snapshot rig_snapshot; /* at index 40 */

int rig_setup(void **state);
int rig_teardown(void **state);
struct raft_io *rig_outer(struct rig *r);
void rig_load(struct rig *r); /* term 3, entries 1 to 9 */
void rig_tick(struct rig *r, int64_t ms);
int rig_append_many(struct rig *r, struct raft_io_append *req, unsigned n);
int rig_append(struct rig *r, struct raft_io_append *req);
void rig_receive(struct rig *r, unsigned short type, raft_id from);
void lib_put(struct raft_io_snapshot_put *req, int status);
void lib_closed(struct raft_io *io);

#endif
