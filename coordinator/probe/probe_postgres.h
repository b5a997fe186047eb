/* Three ways of looking at one PostgreSQL server:
 *   postgres_read    a small query on a connection kept open;
 *   postgres_fresh   the same on a new connection each time: a stopped postmaster shows only here;
 *   postgres_canary  one row written and acknowledged, on a connection of its own: a hung disk shows only here.
 * A read also tells role, position and the canary rows seen, for the gates and for the lag.
 *
 * A refusal by lease_guard, a standby's refusal to write, and a refusal of our own login or table are PROBE_NEUTRAL: the database is not
 * dead. While a query hangs, a new look on a kept connection waits for its turn instead of opening one more; when the first look's
 * deadline ends the query, the others go on over a new connection. An answer is to a query sent after its look began. A connection
 * found broken is renewed once within the look. */
#ifndef COORD_PROBE_PROBE_POSTGRES_H
#define COORD_PROBE_PROBE_POSTGRES_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/ids.h"
#include "probe/probe.h"

enum postgres_look { POSTGRES_READ, POSTGRES_FRESH, POSTGRES_CANARY };

struct probe_postgres_config {
    const char *conninfo; /* io/pg.h: a directory or a numeric address as host, and a user */
    enum postgres_look look;
    node_id node; /* whose canary row is written, or reported as own */
};

/* What a look saw beside its outcome. For PROBE_OK of a read everything; for the canary started_us, epoch and guard_closed. */
struct postgres_view {
    int64_t started_us;    /* clock_now_us() when the query whose answer this is was sent */
    uint32_t in_recovery;  /* 1: a standby */
    uint32_t timeline;     /* as far as is known cheaply: postgres/position is exact */
    uint64_t current_lsn;  /* a primary's; else 0 */
    uint64_t received_lsn; /* a standby's; 0: none */
    uint64_t replayed_lsn; /* a standby's */
    bool receiver_streaming;
    bool canary_seen;              /* the canary table exists and has rows */
    epoch_t canary_epoch;          /* the greatest */
    int64_t canary_written_ms;     /* the newest row's, on the writer's wall clock */
    int64_t canary_own_written_ms; /* our own row's; with our own wall clock it gives the lag. 0: none */
    uint64_t system_identifier;
    epoch_t epoch;     /* canary: the epoch that was written */
    bool guard_closed; /* canary: refused by lease_guard */
    char sqlstate[6];  /* of the server's error, or "" */
};

/* `config` is copied. */
struct probe probe_postgres_create(uv_loop_t *loop, const struct probe_postgres_config *config);

/* The epoch that the next canary carries. */
void probe_postgres_set_epoch(struct probe probe, epoch_t epoch);

/* `result` must be one that a look of this method gave; lives as long as it. */
const struct postgres_view *probe_postgres_view(const struct probe_result *result);

#endif
