/* A thread that notices when the event loop stands still: libraft writes term and vote, and waits for its last writes to a log file, on the loop,
 * and a disk that hangs then holds everything. Decides: it has stood for too long. Counts only time in which this thread ran, too: a process
 * that was stopped or starved is not a disk that hangs. */
#ifndef COORD_RAFT_LOOP_WATCH_H
#define COORD_RAFT_LOOP_WATCH_H

#include <stdint.h>

#define LOOP_WATCH_PATIENCE_MS 5000

struct loop_watch; /* opaque */

/* Watches from the first loop_watch_turn on. `stuck` comes from the watching thread, once, and must end the process. NULL: no memory, or no thread. */
struct loop_watch *loop_watch_create(unsigned patience_ms, void (*stuck)(void *ctx, const char *reason), void *ctx);
void loop_watch_turn(struct loop_watch *w); /* the loop turns; at least each heartbeat */
void loop_watch_destroy(struct loop_watch *w);

#endif
