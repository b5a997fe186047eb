/* A peer's Raft stream on its way to libraft: TCP -> wire_check -> socket pair -> libraft. One chunk is in flight; the next one is read when it
 * has been taken, so a slow libraft slows the peer down. Ends itself when either side ends or the peer sends what libraft must not see. */
#ifndef COORD_RAFT_INBOUND_H
#define COORD_RAFT_INBOUND_H

#include "base/ids.h"
#include "base/status.h"

#include <uv.h>

struct inbound; /* opaque; frees itself after `closed` */

struct inbound_config {
    uv_loop_t *loop;
    node_id from;
    uint64_t snapshot_bytes_max;
    void *ctx;
    /* Exactly once, later. `err` says what was wrong with the peer's bytes, NULL for an ordinary end. */
    void (*closed)(void *ctx, struct inbound *in, const struct error *err);
};

/* Takes `tcp` (raft_malloc) in any case; gives libraft's end (raft_malloc) in *stream. NULL and `err` on failure: tcp is being closed. */
struct inbound *inbound_begin(const struct inbound_config *config, uv_tcp_t *tcp, uv_stream_t **stream,
                              struct error *err);
/* `closed` still fires. */
void inbound_cancel(struct inbound *in);

#endif
