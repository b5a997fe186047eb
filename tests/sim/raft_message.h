/* libraft's messages as bytes on the simulated network. Both ends are this process: the format is the structure itself. */
#ifndef COORD_SIM_RAFT_MESSAGE_H
#define COORD_SIM_RAFT_MESSAGE_H

#include <stddef.h>

#include <raft.h>

/* Gives a block of malloc. The receiver will read `sender` as server_id. */
void *raft_message_encode(const struct raft_message *message, raft_id sender, size_t *size_bytes);
/* What libraft frees later comes from raft_malloc. */
void raft_message_decode(struct raft_message *message, const void *data, size_t size_bytes);

#endif
