#include "probe/postgres_answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define GUARD_CLASS "LG"
#define GUARD_CLOSED "LG001" /* lease_guard's refusal of a commit */

/* The receiver's timeline is exact while it exists; the control file's lags, but is at hand. All of it is in shared memory or in the page
 * cache: a read look must not wait for a disk, that is the canary's part. */
#define READ_COLUMNS                                                                                                                                                                        \
    "SELECT pg_is_in_recovery(),"                                                                                                                                                           \
    " CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn,"                                                                                               \
    " pg_last_wal_receive_lsn() - '0/0'::pg_lsn, pg_last_wal_replay_lsn() - '0/0'::pg_lsn,"                                                                                                 \
    " coalesce(r.received_tli, (SELECT timeline_id FROM pg_control_checkpoint()))," /* a cut path is noticed by the receiver only after wal_receiver_timeout; canaries come all the time */ \
    " CASE WHEN r.last_msg_receipt_time < clock_timestamp() - interval '10 s' THEN 'silent' ELSE r.status END,"                                                                             \
    " (SELECT system_identifier FROM pg_control_system())"
#define READ_FROM " FROM (SELECT) one LEFT JOIN pg_stat_wal_receiver r ON true"

const char *const postgres_read_sql = READ_COLUMNS
    ", c.epoch, c.newest, c.own" READ_FROM
    " CROSS JOIN (SELECT max(epoch) AS epoch, (extract(epoch FROM max(written_at)) * 1000)::bigint AS newest,"
    " (extract(epoch FROM max(written_at) FILTER (WHERE node = $1::bigint)) * 1000)::bigint AS own"
    " FROM coord.canary) c";
const char *const postgres_read_plain_sql = READ_COLUMNS ", NULL, NULL, NULL" READ_FROM " WHERE $1::bigint IS NOT NULL";

const char *const postgres_canary_sql =
    "INSERT INTO coord.canary (node, epoch, written_at)"
    " VALUES ($1::bigint, $2::bigint, to_timestamp($3::bigint / 1000.0))"
    " ON CONFLICT (node) DO UPDATE SET epoch = EXCLUDED.epoch, written_at = EXCLUDED.written_at";

enum column {
    IN_RECOVERY,
    CURRENT,
    RECEIVED,
    REPLAYED,
    TIMELINE,
    STATUS,
    SYSTEM_IDENTIFIER,
    EPOCH,
    NEWEST,
    OWN,
    COLUMN_COUNT
};

static const char *cell(const struct pg_result *row, enum column column)
{
    const char *text = row->cells[0][column];

    return text != NULL ? text : "";
}

/* 0 for SQL's null. */
static uint64_t number(const struct pg_result *row, enum column column)
{
    return strtoull(cell(row, column), NULL, 10);
}

bool postgres_answer_read(const struct pg_result *row, bool with_canary, struct postgres_view *view)
{
    if (row->row_count != 1 || row->column_count != COLUMN_COUNT)
        return false;
    view->in_recovery = strcmp(cell(row, IN_RECOVERY), "t") == 0;
    view->current_lsn = number(row, CURRENT);
    view->received_lsn = number(row, RECEIVED);
    view->replayed_lsn = number(row, REPLAYED);
    view->timeline = (uint32_t)number(row, TIMELINE);
    view->receiver_streaming = strcmp(cell(row, STATUS), "streaming") == 0;
    view->system_identifier = (uint64_t)strtoll(cell(row, SYSTEM_IDENTIFIER), NULL, 10);
    if (with_canary && cell(row, NEWEST)[0] != '\0') {
        view->canary_seen = true;
        view->canary_epoch = number(row, EPOCH);
        view->canary_written_ms = (int64_t)number(row, NEWEST);
        view->canary_own_written_ms = (int64_t)number(row, OWN);
    }
    return true;
}

bool postgres_answer_no_canary(const char *sqlstate)
{
    static const char *const states[] = { "42P01", "3F000", "42501", "42703" };

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(sqlstate, states[i]) == 0)
            return true;
    return false;
}

/* By class: the server lives, and it is our login, our rights or our table that does not fit. */
static bool is_our_own_fault(const char *sqlstate)
{
    static const char *const classes[] = { "28", "3D", "3F", "42", GUARD_CLASS };

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(sqlstate, classes[i], 2) == 0)
            return true;
    return strcmp(sqlstate, "25006") == 0; /* a standby does not write */
}

enum probe_outcome postgres_answer_error(const struct error *err, const char *sqlstate, struct postgres_view *view)
{
    (void)text_copy(view->sqlstate, sizeof view->sqlstate, sqlstate);
    view->guard_closed = strcmp(sqlstate, GUARD_CLOSED) == 0;
    if (is_our_own_fault(sqlstate))
        return PROBE_NEUTRAL;
    if (sqlstate[0] == '\0' &&
        (err->status == STATUS_INVALID || err->status == STATUS_FAILED || err->status == STATUS_FULL))
        return PROBE_NEUTRAL; /* the configuration, or this node */
    return PROBE_FAILED;
}
