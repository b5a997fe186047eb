/* What pg.c, pg_conninfo.c and pg_collect.c share. Nothing outside io/pg includes it. */
#ifndef COORD_IO_PG_INTERNAL_H
#define COORD_IO_PG_INTERNAL_H

#include <libpq-fe.h>

#include "io/pg.h"

#define PG_KEYWORDS_MAX 48 /* libpq 15 knows 41 */

/* Keywords and values for PQconnectStartParams; borrows from `parsed` until pg_keywords_free. */
struct pg_keywords {
    PQconninfoOption *parsed;
    const char *keywords[PG_KEYWORDS_MAX + 1];
    const char *values[PG_KEYWORDS_MAX + 1];
    uint32_t count;
};

/* Refuses what could block the loop: a host that is a name, a service file, a missing user. The text never holds a value. */
enum status pg_keywords_parse(struct pg_keywords *k, const char *conninfo, const char *options, struct error *err);
void pg_keywords_free(struct pg_keywords *k);

/* Gathers the results of one query into a bounded copy. */
struct pg_collect {
    struct pg_result result;
    struct error err; /* the first failure: the server's, or a limit */
    size_t used_bytes;
    char texts[PG_RESULT_BYTES_MAX];
};

void pg_collect_reset(struct pg_collect *c);
void pg_collect_add(struct pg_collect *c, const PGresult *part);

/* The first line of a libpq message. */
void pg_first_line(char *out, size_t capacity_bytes, const char *message);
/* The SQLSTATE in a verbose connection failure ("...: FATAL:  57P03: ..."); "" when there is none. */
void pg_connect_sqlstate(char out[6], const char *message);

#endif
