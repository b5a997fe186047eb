#include <string.h>

#include "base/bytes.h"
#include "io/pg_internal.h"

void pg_collect_reset(struct pg_collect *c)
{
    memset(c->result.sqlstate, 0, sizeof c->result.sqlstate);
    c->result.warned = false;
    c->result.row_count = 0;
    c->result.column_count = 0;
    c->err = ERROR_NONE;
    c->used_bytes = 0;
}

void pg_first_line(char *out, size_t capacity_bytes, const char *message)
{
    size_t used = 0;

    for (; *message != '\0' && *message != '\n' && used + 1 < capacity_bytes; message++)
        out[used++] = *message;
    out[used] = '\0';
}

static bool is_sqlstate(const char *text)
{
    for (int i = 0; i < 5; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'Z')))
            return false;
    return true;
}

void pg_connect_sqlstate(char out[6], const char *message)
{
    memset(out, 0, 6);
    for (const char *at = strstr(message, ":  "); at != NULL; at = strstr(at + 3, ":  ")) {
        if (strnlen(at + 3, 6) == 6 && is_sqlstate(at + 3) && at[8] == ':') {
            memcpy(out, at + 3, 5);
            return;
        }
    }
}

static void add_error(struct pg_collect *c, const PGresult *part)
{
    const char *state = PQresultErrorField(part, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(part, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(part, PG_DIAG_MESSAGE_DETAIL);
    char line[200];
    char more[150];

    if (c->err.status != STATUS_OK)
        return;
    if (state != NULL)
        (void)text_copy(c->result.sqlstate, sizeof c->result.sqlstate, state);
    pg_first_line(line, sizeof line, primary != NULL ? primary : PQresultErrorMessage(part));
    pg_first_line(more, sizeof more, detail != NULL ? detail : "");
    (void)error_set(&c->err, STATUS_FAILED, "%s%s%s [%s]", line, more[0] != '\0' ? ": " : "", more,
                    state != NULL ? state : "no SQLSTATE");
}

/* False when a limit is reached. */
static bool add_cell(struct pg_collect *c, const PGresult *part, int row, int column, const char **cell)
{
    size_t length;

    *cell = NULL;
    if (PQgetisnull(part, row, column))
        return true;
    length = (size_t)PQgetlength(part, row, column);
    if (length >= sizeof c->texts - c->used_bytes)
        return false;
    *cell = c->texts + c->used_bytes;
    memcpy(c->texts + c->used_bytes, PQgetvalue(part, row, column), length);
    c->texts[c->used_bytes + length] = '\0';
    c->used_bytes += length + 1;
    return true;
}

static void add_rows(struct pg_collect *c, const PGresult *part)
{
    struct pg_result *r = &c->result;
    int columns = PQnfields(part);

    if (columns > PG_COLUMNS_MAX) {
        (void)error_set(&c->err, STATUS_FULL, "the answer has %d columns, more than %d", columns, PG_COLUMNS_MAX);
        return;
    }
    r->column_count = (uint32_t)columns;
    for (int row = 0; row < PQntuples(part); row++) {
        if (r->row_count == PG_ROWS_MAX) {
            (void)error_set(&c->err, STATUS_FULL, "the answer has more than %d rows", PG_ROWS_MAX);
            return;
        }
        for (int column = 0; column < columns; column++) {
            if (!add_cell(c, part, row, column, &r->cells[r->row_count][column])) {
                (void)error_set(&c->err, STATUS_FULL, "the answer is longer than %d bytes", PG_RESULT_BYTES_MAX);
                return;
            }
        }
        r->row_count++;
    }
}

void pg_collect_add(struct pg_collect *c, const PGresult *part)
{
    switch (PQresultStatus(part)) {
    case PGRES_COMMAND_OK:
        return;
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
        if (c->err.status == STATUS_OK)
            add_rows(c, part);
        return;
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
        add_error(c, part);
        return;
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_NONFATAL_ERROR:
    case PGRES_COPY_BOTH:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        if (c->err.status == STATUS_OK)
            (void)error_set(&c->err, STATUS_INVALID, "the statement is of a kind that is not supported here: %s",
                            PQresStatus(PQresultStatus(part)));
        return;
    }
}
