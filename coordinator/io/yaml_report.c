/* Mistakes as text for a terminal: the message as compilers write it, the line of the file, and a caret under the place. */
#include "base/check.h"
#include "io/yaml_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXCERPT_MAX_BYTES 120 /* a longer line is shown up to here */

/* The line of that number (from 1) without its end; false when there is none. */
static bool source_line(const char *bytes, size_t length, int number, const char **begin, size_t *line_length)
{
    const char *p = bytes, *end = bytes + length, *stop;

    for (int n = 1; n < number; n++) {
        p = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        if (p == NULL)
            return false;
        p++;
    }
    if (p >= end)
        return false;
    stop = memchr(p, '\n', (size_t)(end - p));
    *begin = p;
    *line_length = (size_t)((stop != NULL ? stop : end) - p);
    if (*line_length > 0 && p[*line_length - 1] == '\r')
        (*line_length)--;
    return true;
}

static void print_excerpt(FILE *out, const char *line, size_t length, int column)
{
    size_t shown = length < EXCERPT_MAX_BYTES ? length : EXCERPT_MAX_BYTES;
    int characters = 1;

    while (shown < length && shown > 0 && ((unsigned char)line[shown] & 0xc0) == 0x80)
        shown--; /* not within a character */
    (void)fprintf(out, "    ");
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)line[i];
        (void)fputc(c < 0x20 || c == 0x7f ? ' ' : c, out); /* a tab too: one column each, so the caret stands right */
    }
    (void)fprintf(out, "\n    ");
    for (size_t i = 0; i < shown && characters < column; i++) {
        if (((unsigned char)line[i] & 0xc0) == 0x80)
            continue; /* the rest of a character */
        (void)fputc(' ', out);
        characters++;
    }
    (void)fprintf(out, "^\n");
}

char *yaml_report(const struct yaml *y)
{
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);

    ASSERT(out != NULL);
    for (size_t i = 0; i < yaml_error_count(y); i++) {
        const struct yaml_error *e = yaml_error_at(y, i);
        const char *line;
        size_t length;

        if (e->line == 0) {
            (void)fprintf(out, "%s: error: %s\n", yaml_name(y), e->text);
            continue;
        }
        (void)fprintf(out, "%s:%d:%d: error: %s\n", yaml_name(y), e->line, e->column, e->text);
        if (y->bytes != NULL && source_line(y->bytes, y->length, e->line, &line, &length))
            print_excerpt(out, line, length, e->column);
    }
    if (y->dropped > 0)
        (void)fprintf(out, "%s: error: and %zu more\n", yaml_name(y), y->dropped);
    ASSERT(fclose(out) == 0);
    return text;
}

enum status yaml_result(const struct yaml *y, struct error *err)
{
    size_t count = yaml_error_count(y) + y->dropped;
    const struct yaml_error *first;
    char place[32] = "", more[48] = "";

    if (count == 0)
        return STATUS_OK;
    first = yaml_error_at(y, 0);
    if (first->line > 0)
        (void)snprintf(place, sizeof place, ":%d:%d", first->line, first->column);
    if (count > 1)
        (void)snprintf(more, sizeof more, " (and %zu more)", count - 1);
    return error_set(err, STATUS_INVALID, "%.100s%s: %.250s%s", yaml_name(y), place, first->text, more);
}
