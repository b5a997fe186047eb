/* One connection to one PostgreSQL server, without ever blocking the loop: one operation at a time, each with a deadline of ours.
 * What a query means, and when to connect again, is the caller's.
 *
 * Happy path: pg_connect_begin, done; pg_query_begin, done with rows; ...; pg_destroy.
 * When it fails: the connection is closed at once (libpq's own waits and cancel requests are never used), a look at the SQLSTATE tells a
 * refusal by the server from a lost connection, and the next step is pg_connect_begin again. A plain SQL error leaves it open. */
#ifndef COORD_IO_PG_H
#define COORD_IO_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"

#define PG_PARAMS_MAX 8
#define PG_ROWS_MAX 32
#define PG_COLUMNS_MAX 24
#define PG_RESULT_BYTES_MAX (16 * 1024) /* all texts of one result with their NULs; more is STATUS_FULL */
#define PG_CONNINFO_MAX 512

struct pg; /* opaque: owns the connection, a timer and the watch of its socket */

/* Texts as the server sent them. Never NULL in a callback; without rows when err is set. Lives until the callback returns. */
struct pg_result {
    char sqlstate[6]; /* of the server's error; "" when the server reported none */
    bool warned;      /* a WARNING came with it: "committed locally, but might not have been replicated" is one */
    uint32_t row_count;
    uint32_t column_count;
    const char *cells[PG_ROWS_MAX][PG_COLUMNS_MAX]; /* NULL is SQL's null */
};

/* err: STATUS_INVALID (conninfo), STATUS_UNREACHABLE (no contact), STATUS_REFUSED (the server said no: SQLSTATE in `sqlstate`),
 * STATUS_TIMED_OUT, STATUS_CANCELED. */
typedef void (*pg_connect_cb)(void *ctx, const char *sqlstate, const struct error *err);

/* err: STATUS_FAILED (the server's error: result->sqlstate), STATUS_UNREACHABLE (not connected: nothing was sent), STATUS_UNKNOWN (the
 * connection ended after the query was sent: it may have been done), STATUS_TIMED_OUT (the same, by deadline), STATUS_FULL (a limit
 * above), STATUS_CANCELED. */
typedef void (*pg_query_cb)(void *ctx, const struct pg_result *result, const struct error *err);

/* NULL only without memory. */
struct pg *pg_create(uv_loop_t *loop);

/* `conninfo` is a libpq keyword string. `host` must be a directory (Unix socket) or a numeric address: names are never looked up here.
 * `user` must stand in it. It is copied; a password in it reaches the server only. `options` (NULL: none) goes to the server's command
 * line: "-c synchronous_commit=local". An open connection is closed first. */
void pg_connect_begin(struct pg *pg, const char *conninfo, const char *options, uint32_t timeout_ms, pg_connect_cb done,
                      void *ctx);

/* One statement, with text parameters $1.. (NULL entries are SQL's null); all are copied. Needs an idle `pg`. */
void pg_query_begin(struct pg *pg, const char *sql, const char *const *params, uint32_t param_count,
                    uint32_t timeout_ms, pg_query_cb done, void *ctx);

/* Ends the operation under way, if any, by closing the socket; its `done` fires later with STATUS_CANCELED. What was sent may still be
 * carried out by the server. */
void pg_cancel(struct pg *pg);

/* Connected, as far as is known; the other side may be gone. */
bool pg_is_open(const struct pg *pg);
/* An operation is under way. */
bool pg_is_busy(const struct pg *pg);

/* Closes the connection of an idle `pg`, which can connect again. */
void pg_close(struct pg *pg);

/* An operation under way ends first, with STATUS_CANCELED. Then `closed` (may be NULL) fires once, later, and `pg` is gone. */
void pg_destroy(struct pg *pg, void (*closed)(void *ctx), void *ctx);

/* The parts, quoted, as one keyword string; an empty or NULL part is left out, and so is port 0. */
enum status pg_conninfo_format(char *out, size_t capacity_bytes, const char *host, uint16_t port, const char *user,
                               const char *dbname, const char *password, struct error *err);

#endif
