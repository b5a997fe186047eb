#include "postgres/position.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "postgres/position_query.h"

/* Each source of the timeline can only lag, never lead: the control file changes at the next checkpoint or restartpoint, the receiver's
 * is gone with the receiver, and a segment of the position's own number under a newer timeline exists only where that timeline was
 * followed. So the greatest is taken. (pg_walfile_name works on a primary only.) A position at the very start of a segment belongs to the
 * one before: hence minus one. */
const char *const position_sql =
    "WITH l AS (SELECT pg_is_in_recovery() AS r, pg_last_wal_receive_lsn() AS received,"
    " pg_last_wal_replay_lsn() AS replayed,"
    " CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END AS current,"
    " (SELECT setting::numeric FROM pg_settings WHERE name = 'wal_segment_size') AS segment),"
    " p AS (SELECT *, coalesce(current, greatest(received, replayed)) AS held FROM l),"
    " n AS (SELECT *, greatest(held - '0/0'::pg_lsn - 1, 0) AS last FROM p)"
    " SELECT r, held, received, replayed,"
    " (SELECT max(left(f.name, 8)) FROM pg_ls_waldir() f WHERE f.name ~ '^[0-9A-F]{24}$' AND"
    "  right(f.name, 16) = upper(lpad(to_hex(div(last, 4294967296)::bigint), 8, '0') ||"
    "  lpad(to_hex(div(mod(last, 4294967296), segment)::bigint), 8, '0'))),"
    " CASE WHEN r THEN NULL ELSE left(pg_walfile_name(current), 8) END,"
    " (SELECT received_tli FROM pg_stat_wal_receiver),"
    " (SELECT timeline_id FROM pg_control_checkpoint()),"
    " (SELECT min_recovery_end_timeline FROM pg_control_recovery()),"
    " (SELECT system_identifier FROM pg_control_system()),"
    " EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walreceiver'),"
    " coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false)"
    " FROM n";

enum column {
    IN_RECOVERY,
    HELD_LSN,
    RECEIVED_LSN,
    REPLAYED_LSN,
    SEGMENT_TIMELINE,
    CURRENT_TIMELINE,
    RECEIVED_TIMELINE,
    CHECKPOINT_TIMELINE,
    RECOVERY_TIMELINE,
    SYSTEM_IDENTIFIER,
    RECEIVER_RUNNING,
    RECEIVER_STREAMING,
    COLUMN_COUNT
};

struct position_query {
    struct session session;
    struct server_state state;
    bool asked;
    position_cb done;
    void *ctx;
};

/* A whole number of the given base, or 0 for SQL's null. */
static bool read_number(const struct session *s, enum column column, int base, uint64_t *value)
{
    const char *text = session_cell(s, 0, (uint32_t)column);
    char *end = NULL;

    *value = 0;
    if (text[0] == '\0')
        return true;
    if (text[0] == '-' || text[0] == '+' || text[0] == ' ')
        return false;
    errno = 0;
    *value = strtoull(text, &end, base);
    return errno == 0 && *end == '\0';
}

static bool read_lsn(const struct session *s, enum column column, uint64_t *lsn)
{
    const char *text = session_cell(s, 0, (uint32_t)column);

    *lsn = 0;
    return text[0] == '\0' || wal_lsn_parse(text, lsn) == STATUS_OK;
}

enum status position_read(const struct session *s, struct server_state *state, struct error *err)
{
    static const struct {
        enum column column;
        int base;
    } sources[] = { { SEGMENT_TIMELINE, 16 },
                    { CURRENT_TIMELINE, 16 },
                    { RECEIVED_TIMELINE, 10 },
                    { CHECKPOINT_TIMELINE, 10 },
                    { RECOVERY_TIMELINE, 10 } };
    uint64_t number;

    memset(state, 0, sizeof *state);
    if (s->result == NULL || s->result->row_count != 1 || s->result->column_count != COLUMN_COUNT)
        return error_set(err, STATUS_CORRUPT, "PostgreSQL: the answer about its position has another shape");
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (!read_number(s, sources[i].column, sources[i].base, &number) || number > UINT32_MAX)
            return error_set(err, STATUS_CORRUPT, "PostgreSQL: a timeline is not a number");
        if (number > state->position.timeline)
            state->position.timeline = (uint32_t)number;
        if (sources[i].column == CHECKPOINT_TIMELINE)
            state->checkpoint_timeline = (uint32_t)number;
    }
    /* Sent as a signed number: its top bit is set from 2038 on. */
    state->system_identifier = (uint64_t)strtoll(session_cell(s, 0, SYSTEM_IDENTIFIER), NULL, 10);
    if (state->system_identifier == 0)
        return error_set(err, STATUS_CORRUPT, "PostgreSQL: its system identifier is not a number");
    if (!read_lsn(s, HELD_LSN, &state->position.lsn) || !read_lsn(s, RECEIVED_LSN, &state->received_lsn) ||
        !read_lsn(s, REPLAYED_LSN, &state->replayed_lsn))
        return error_set(err, STATUS_CORRUPT, "PostgreSQL: a position is not a number");
    state->in_recovery = session_flag(s, 0, IN_RECOVERY);
    state->receiver_running = session_flag(s, 0, RECEIVER_RUNNING);
    state->receiver_streaming = session_flag(s, 0, RECEIVER_STREAMING);
    return STATUS_OK;
}

static void on_closed(void *operation)
{
    struct position_query *p = operation;
    const struct error *err = error_or_null(&p->session.err);

    p->done(p->ctx, err == NULL ? &p->state : NULL, err);
    free(p);
}

static void position_step(void *operation)
{
    struct position_query *p = operation;
    struct session *s = &p->session;

    if (s->err.status == STATUS_OK && !p->asked) {
        p->asked = true;
        session_query(s, position_sql, NULL, 0);
        return; /* the answer continues */
    }
    if (s->err.status == STATUS_OK)
        (void)position_read(s, &p->state, &s->err);
    session_close(s, on_closed);
}

struct position_query *position_begin(uv_loop_t *loop, const char *conninfo, uint32_t timeout_ms, position_cb done,
                                      void *ctx)
{
    struct position_query *p = calloc(1, sizeof *p);

    ASSERT(p != NULL); /* a node without memory for one operation is of no use: its peers go on without it */
    p->done = done;
    p->ctx = ctx;
    session_open(&p->session, loop, conninfo, NULL, timeout_ms, position_step, p);
    return p;
}

void position_cancel(struct position_query *p)
{
    session_cancel(&p->session);
}
