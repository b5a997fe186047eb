/* The statements of the PostgreSQL probe, and what their answers and errors mean for one look. Pure. */
#ifndef COORD_PROBE_POSTGRES_ANSWER_H
#define COORD_PROBE_POSTGRES_ANSWER_H

#include "io/pg.h"
#include "probe/probe_postgres.h"

/* One row; parameter $1 is the node. The second form reads no canary: for a server that has no such table (yet). */
extern const char *const postgres_read_sql;
extern const char *const postgres_read_plain_sql;
/* $1 node, $2 epoch, $3 milliseconds since 1970. */
extern const char *const postgres_canary_sql;

/* False when the row is not what the statement gives. */
bool postgres_answer_read(const struct pg_result *row, bool with_canary, struct postgres_view *view);

/* The canary table is missing, or not ours to read. */
bool postgres_answer_no_canary(const char *sqlstate);

/* What an error says about the server; `view` gets SQLSTATE and guard_closed. */
enum probe_outcome postgres_answer_error(const struct error *err, const char *sqlstate, struct postgres_view *view);

#endif
