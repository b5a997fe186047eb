/* What is free for the directory of the Raft log, looked at every few seconds while the node runs. Off the loop's thread: a disk that hangs must
 * not hold the loop. Decides: what is too little, and that it is said once. */
#ifndef COORD_RAFT_SPACE_WATCH_H
#define COORD_RAFT_SPACE_WATCH_H

#include "raft/space.h"

#include <uv.h>

#define SPACE_LOOK_MS 5000

struct space_watch; /* opaque */

/* Looks once, here: at a start the caller waits for the disk anyway. `directory` is copied. NULL: no memory. */
struct space_watch *space_watch_create(uv_loop_t *loop, const char *directory);
/* As it was at the last look that succeeded. */
struct space space_watch_last(const struct space_watch *w);
/* `closed` fires later, once; the object is freed then. */
void space_watch_close(struct space_watch *w, void (*closed)(void *ctx), void *ctx);

#endif
