/* Reads role and position of one server. Decides nothing: which candidate is taken is core's business.
 * The position is robust against what PostgreSQL reports after a restart and after a promotion: the LSN is the greater of received and
 * replayed, the timeline the greatest of every source that can only lag. After a restart of the standby the end of a record that did not
 * arrive whole no longer counts: the position may be lower by less than one record. */
#ifndef COORD_POSTGRES_POSITION_H
#define COORD_POSTGRES_POSITION_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "postgres/wal_position.h"

struct server_state {
    uint64_t system_identifier;
    bool in_recovery;             /* true: a standby (or a server in crash or point-in-time recovery) */
    struct wal_position position; /* a primary's current, or a standby's greatest held */
    uint64_t received_lsn;        /* 0: none since its start */
    uint64_t replayed_lsn;        /* 0 on a primary that never recovered */
    bool receiver_running;        /* a WAL receiver process exists */
    bool receiver_streaming;      /* and it streams */
    uint32_t checkpoint_timeline; /* the control file's; may lag behind a promotion until the next checkpoint */
};

/* `state` is NULL when err is set. */
typedef void (*position_cb)(void *ctx, const struct server_state *state, const struct error *err);

struct position_query; /* frees itself after `done` */

/* Copies `conninfo`. Valid until `done` returns. Never NULL. */
struct position_query *position_begin(uv_loop_t *loop, const char *conninfo, uint32_t timeout_ms, position_cb done,
                                      void *ctx);
void position_cancel(struct position_query *p);

#endif
