/* How far a PostgreSQL server is: what candidates are compared by. A plain value; read by postgres/position. */
#ifndef COORD_POSTGRES_WAL_POSITION_H
#define COORD_POSTGRES_WAL_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct wal_position {
    uint32_t timeline;
    uint64_t lsn;
};

/* The timeline first: a higher LSN on an older timeline is not ahead. */
static inline int wal_position_compare(struct wal_position a, struct wal_position b)
{
    if (a.timeline != b.timeline)
        return a.timeline < b.timeline ? -1 : 1;
    if (a.lsn != b.lsn)
        return a.lsn < b.lsn ? -1 : 1;
    return 0;
}

/* "16/B374D848" to a number; STATUS_CORRUPT for anything else. */
enum status wal_lsn_parse(const char *text, uint64_t *lsn);

#endif
