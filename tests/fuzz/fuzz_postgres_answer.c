/* Rows of a PostgreSQL server that is not what it should be: one cell per line, an empty line is null. */
#include "fencing/preload.h"
#include "postgres/position.h"
#include "postgres/position_query.h"
#include "postgres/session.h"
#include "probe/postgres_answer.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

static void position(const struct pg_result *row)
{
    struct session s = { .result = row };
    struct server_state state;
    struct error err = ERROR_NONE;
    enum status status = position_read(&s, &state, &err);

    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
    if (status == STATUS_OK)
        ASSERT(state.system_identifier != 0);
}

static void lsn(const char *text)
{
    char printed[32];
    uint64_t value = 0, again = 0;

    if (wal_lsn_parse(text, &value) != STATUS_OK)
        return;
    (void)snprintf(printed, sizeof printed, "%" PRIX64 "/%" PRIX64, value >> 32, value & UINT32_MAX);
    ASSERT(wal_lsn_parse(printed, &again) == STATUS_OK && again == value);
}

static void settings(const char *text)
{
    char list[400], statement[4096];

    (void)snprintf(list, sizeof list, "pg_stat_statements, '$libdir/lease_guard', %.300s", text);
    ASSERT(preload_list_has_guard(list));
    if (preload_list_has_guard(text))
        ASSERT(strstr(text, "lease_guard") != NULL);
    if (session_alter_text(statement, sizeof statement, "primary_conninfo", text))
        ASSERT(strlen(statement) >= strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    struct pg_result row = { .row_count = 1 };
    struct postgres_view view = { .in_recovery = false };
    struct error err = ERROR_NONE;
    char *cells[PG_COLUMNS_MAX] = { NULL };

    row.column_count = fuzz_u8(&in) % (PG_COLUMNS_MAX + 1);
    for (uint32_t i = 0; i < row.column_count; i++) {
        cells[i] = fuzz_line(&in);
        row.cells[0][i] = cells[i][0] != '\0' ? cells[i] : NULL;
    }
    (void)postgres_answer_read(&row, true, &view);
    position(&row);
    if (row.column_count > 0) {
        lsn(cells[0]);
        settings(cells[0]);
        (void)postgres_answer_no_canary(cells[0]);
        (void)error_set(&err, STATUS_FAILED, "of the test");
        (void)postgres_answer_error(&err, cells[0], &view);
        ASSERT(memchr(view.sqlstate, '\0', sizeof view.sqlstate) != NULL);
    }
    for (uint32_t i = 0; i < row.column_count; i++)
        free(cells[i]);
    return 0;
}
