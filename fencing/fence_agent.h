/* The fence method of a database host acting on its own PostgreSQL server.
 *
 * Proofs, none of which is an assumption:
 *   closed   the guard answered from a process that stands in this data directory, and reports closed_epoch >= the epoch, enforcing, and
 *            that it is closed now: one that is open under a later epoch lets commits pass, whoever opened it;
 *   stopped  (other instances) the running server holds the directory's shared memory, and there can be only one;
 *            (no server) no process stands in the directory and nothing is attached to the shared memory that postmaster.pid names:
 *            the death of the postmaster alone proves nothing, its backends may still commit. And nobody serves the guard's socket.
 * Backends without a postmaster are ended by SIGKILL. A server whose guard does not answer is ended only when `stop` is asked. */
#ifndef COORD_FENCING_FENCE_AGENT_H
#define COORD_FENCING_FENCE_AGENT_H

#include <uv.h>

#include "fencing/fence_method.h"
#include "io/child.h"

struct fence_agent; /* opaque: the `self` of fence_agent_method */

struct fence_agent_config {
    const char *data_dir;
    const char *bin_dir; /* where this server's `postgres` is */
    const char *guard_socket;
    struct child_config child;
};

extern const struct fence_method fence_agent_method;

/* Copies `config`. `guard_socket` may be "": no guard is asked. NULL without memory, or when that path is too long for a socket. */
struct fence_agent *fence_agent_create(uv_loop_t *loop, const struct fence_agent_config *config);

/* Ends what is under way first, with STATUS_CANCELED. `closed` (may be NULL) fires once, later. */
void fence_agent_destroy(struct fence_agent *agent, void (*closed)(void *ctx), void *ctx);

#endif
