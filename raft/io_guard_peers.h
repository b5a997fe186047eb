/* What the guard keeps of each peer, and whom it believes. Only raft/io_guard.c calls this. */
#ifndef COORD_RAFT_IO_GUARD_PEERS_H
#define COORD_RAFT_IO_GUARD_PEERS_H

#include "raft/io_guard.h"

#ifdef RAFT_VERSION_NUMBER
#define MESSAGE_APPEND_ENTRIES RAFT_APPEND_ENTRIES
#define MESSAGE_APPEND_ENTRIES_RESULT RAFT_APPEND_ENTRIES_RESULT
#define MESSAGE_INSTALL_SNAPSHOT RAFT_INSTALL_SNAPSHOT
#define MESSAGE_REQUEST_VOTE RAFT_REQUEST_VOTE
#else
#define MESSAGE_APPEND_ENTRIES RAFT_IO_APPEND_ENTRIES
#define MESSAGE_APPEND_ENTRIES_RESULT RAFT_IO_APPEND_ENTRIES_RESULT
#define MESSAGE_INSTALL_SNAPSHOT RAFT_IO_INSTALL_SNAPSHOT
#define MESSAGE_REQUEST_VOTE RAFT_IO_REQUEST_VOTE
#endif

void io_guard_peer_heard(struct io_guard *guard, node_id id);
/* May libraft have this message? */
bool io_guard_peer_trusted(struct io_guard *guard, const struct raft_message *message);
void io_guard_peer_sent(struct io_guard *guard, const struct raft_message *message);

#endif
