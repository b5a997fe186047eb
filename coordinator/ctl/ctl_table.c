#include "ctl/ctl.h"

#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ctl_table {
    size_t column_count, row_count, row_capacity;
    char **cells; /* row by row; row 0 is the headings */
};

static void add_row(struct ctl_table *t, const char *const *cells)
{
    if (t->row_count == t->row_capacity) {
        t->row_capacity = t->row_capacity == 0 ? 16 : t->row_capacity * 2;
        t->cells = realloc(t->cells, t->row_capacity * t->column_count * sizeof *t->cells);
        ASSERT(t->cells != NULL);
    }
    for (size_t i = 0; i < t->column_count; i++) {
        char *copy = strdup(cells[i] != NULL ? cells[i] : "-");
        ASSERT(copy != NULL);
        text_clean(copy, strlen(copy), false);
        t->cells[t->row_count * t->column_count + i] = copy;
    }
    t->row_count++;
}

struct ctl_table *ctl_table_create(const char *const *headings, size_t column_count)
{
    struct ctl_table *t = calloc(1, sizeof *t);

    ASSERT(t != NULL);
    ASSERT(column_count <= CTL_COLUMNS_MAX);
    t->column_count = column_count;
    add_row(t, headings);
    return t;
}

void ctl_table_row(struct ctl_table *table, const char *const *cells)
{
    add_row(table, cells);
}

/* Columns that a terminal needs: bytes that do not continue a character. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80 ? 1u : 0u;
    return width;
}

void ctl_table_print(struct ctl_table *table, const struct ctl *ctl, int indent)
{
    size_t widths[CTL_COLUMNS_MAX] = { 0 };

    for (size_t i = 0; i < table->row_count * table->column_count; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % table->column_count])
            widths[i % table->column_count] = width;
    }
    for (size_t row = 0; row < table->row_count; row++) {
        (void)fprintf(ctl->out, "%*s", indent, "");
        for (size_t column = 0; column < table->column_count; column++) {
            const char *cell = table->cells[row * table->column_count + column];
            enum ctl_color color = row == 0 ? CTL_BOLD : ctl_color_of(cell);
            bool last = column + 1 == table->column_count;

            (void)fprintf(ctl->out, "%s%s%s", ctl_color_on(ctl, color), cell,
                          color != CTL_PLAIN ? ctl_color_off(ctl) : "");
            if (!last)
                (void)fprintf(ctl->out, "%*s", (int)(widths[column] - width_of(cell)) + 2, "");
        }
        (void)fprintf(ctl->out, "\n");
    }
    for (size_t i = 0; i < table->row_count * table->column_count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

const char *ctl_color_on(const struct ctl *ctl, enum ctl_color color)
{
    static const char *const codes[] = { "", "\033[32m", "\033[33m", "\033[31m", "\033[1m" };
    return ctl->color ? codes[color] : "";
}

const char *ctl_color_off(const struct ctl *ctl)
{
    return ctl->color ? "\033[0m" : "";
}

enum ctl_color ctl_color_of(const char *word)
{
    static const struct {
        const char *word;
        enum ctl_color color;
    } colors[] = { { "ok", CTL_GREEN },       { "up", CTL_GREEN },        { "done", CTL_GREEN },
                   { "warning", CTL_YELLOW }, { "degraded", CTL_YELLOW }, { "gray", CTL_YELLOW },
                   { "unknown", CTL_YELLOW }, { "proposed", CTL_YELLOW }, { "critical", CTL_RED },
                   { "down", CTL_RED },       { "failed", CTL_RED },      { "silent", CTL_RED },
                   { "aborted", CTL_RED } };

    for (size_t i = 0; i < sizeof colors / sizeof colors[0]; i++)
        if (strcmp(colors[i].word, word) == 0)
            return colors[i].color;
    return CTL_PLAIN;
}

void ctl_time(int64_t at_ms, bool with_day, char out[CTL_TIME_MAX_BYTES])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm local;
    char text[24] = "?";

    if (localtime_r(&seconds, &local) != NULL)
        (void)strftime(text, sizeof text, with_day ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &local);
    (void)snprintf(out, CTL_TIME_MAX_BYTES, "%s.%03d", text, (int)(at_ms % 1000));
}

void ctl_span(int64_t ms, char out[CTL_TIME_MAX_BYTES])
{
    if (ms < 10000)
        (void)snprintf(out, CTL_TIME_MAX_BYTES, "%" PRId64 ".%02d s", ms / 1000, (int)(ms % 1000) / 10);
    else if (ms < 120000)
        (void)snprintf(out, CTL_TIME_MAX_BYTES, "%" PRId64 ".%d s", ms / 1000, (int)(ms % 1000) / 100);
    else
        (void)snprintf(out, CTL_TIME_MAX_BYTES, "%" PRId64 " min %d s", ms / 60000, (int)(ms / 1000 % 60));
}

void ctl_print_clean(FILE *out, const char *text)
{
    char *copy = strdup(text);

    ASSERT(copy != NULL);
    text_clean(copy, strlen(copy), false);
    (void)fputs(copy, out);
    free(copy);
}
