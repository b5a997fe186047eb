/* A Raft stream between a channel and libraft, which wants a uv stream of its own: libraft has one end of a socket pair, the other one is here.
 * In: channel -> wire_check -> libraft. Out: libraft -> channel. One chunk is in flight; the next one is read when it has been taken, so a slow
 * side slows the other one down. Ends itself when either side ends or the peer sends what libraft must not see. */
#ifndef COORD_RAFT_PUMP_H
#define COORD_RAFT_PUMP_H

#include "base/ids.h"
#include "base/status.h"
#include "raft/channel.h"

#include <uv.h>

enum pump_direction { PUMP_IN, PUMP_OUT };

struct pump; /* opaque; frees itself after `closed` */

struct pump_config {
    uv_loop_t *loop;
    enum pump_direction direction;
    node_id peer;
    uint64_t snapshot_bytes_max; /* in: of one InstallSnapshot */
    void *ctx;
    /* Exactly once, later. `err` says what was wrong with the peer's bytes or its connection, NULL for an ordinary end. */
    void (*closed)(void *ctx, struct pump *p, const struct error *err);
};

/* Takes `channel` (ready) in any case; gives libraft's end (raft_malloc) in *stream. NULL and `err` on failure: `closed` does not fire, but
 * `dropped` does when the channel is closed. */
struct pump *pump_begin(const struct pump_config *config, struct channel *channel, uv_stream_t **stream,
                        void (*dropped)(void *ctx), struct error *err);
/* `closed` still fires. */
void pump_cancel(struct pump *p);

#endif
