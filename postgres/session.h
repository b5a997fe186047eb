/* What every operation of this room is made of: one connection, one deadline for the whole, and a step function that is called after each
 * answer and each wait. For the files of this room alone.
 *
 * The operation's step looks at `err` first: once it is set (a failed query, the deadline, a cancel) the operation has only to call
 * session_close, whose `closed` brings `done`. */
#ifndef COORD_POSTGRES_SESSION_H
#define COORD_POSTGRES_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "io/pg.h"

#define SESSION_POLL_MS                                                                                                \
    5 /* how often a change in the server is looked for: short beside a failover, cheap beside a query */

struct session {
    uv_loop_t *loop;
    struct pg *pg;
    uv_timer_t timer; /* waits, and the first step */
    char *conninfo;
    const char *options;
    int64_t t0_us;
    uint32_t timeout_ms;
    uint32_t handles_open;
    bool canceled;
    bool closing;
    struct error err;
    char sqlstate[6];               /* of the last failure */
    const struct pg_result *result; /* of the last query; only within the step that follows it */
    void (*step)(void *operation);
    void (*closed)(void *operation);
    void *operation;
};

/* Connects; the first step follows. `conninfo` is copied, `options` is borrowed for the session's life. */
void session_open(struct session *s, uv_loop_t *loop, const char *conninfo, const char *options, uint32_t timeout_ms,
                  void (*step)(void *operation), void *operation);

/* Each of the three: a step follows, later. A failed query sets `err`. */
void session_query(struct session *s, const char *sql, const char *const *params, uint32_t param_count);
void session_wait(struct session *s, uint32_t wait_ms);
/* A step follows in the loop's next round: for what has no answer to wait for. */
void session_next(struct session *s);

/* What is under way ends with STATUS_CANCELED, in a step. */
void session_cancel(struct session *s);

/* For an operation whose step was called back by something other than the session: may it go on? Sets `err` on cancel or deadline. */
bool session_alive(struct session *s);

/* Then `closed` fires once, later; the operation frees itself there. */
void session_close(struct session *s, void (*closed)(void *operation));

/* The cell as text; "" for null and for what is outside the answer. */
const char *session_cell(const struct session *s, uint32_t row, uint32_t column);
/* "t" is true. */
bool session_flag(const struct session *s, uint32_t row, uint32_t column);

/* ALTER SYSTEM SET name = 'value', for a value that may hold anything. False when it does not fit. */
bool session_alter_text(char *out, size_t capacity_bytes, const char *name, const char *value);

#endif
