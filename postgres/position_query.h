/* The one query that reads a server's state, and how its answer is understood. For the files of this room alone. */
#ifndef COORD_POSTGRES_POSITION_QUERY_H
#define COORD_POSTGRES_POSITION_QUERY_H

#include "base/status.h"
#include "postgres/position.h"
#include "postgres/session.h"

extern const char *const position_sql;

/* Reads the answer of position_sql in `s`; an unexpected one is STATUS_CORRUPT. */
enum status position_read(const struct session *s, struct server_state *state, struct error *err);

#endif
