#include "config_text.h"

#include "base/check.h"
#include "io/yaml_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "a duration (300ms, 2s, 5m, 1h), 500ms to 10m" */
static void print_kind(FILE *out, const struct yaml_field *field)
{
    char expected[200], low[YAML_VALUE_MAX_BYTES], high[YAML_VALUE_MAX_BYTES];

    yaml_value_expected(field, expected, sizeof expected);
    (void)fprintf(out, "%s", expected);
    if ((field->type == YAML_INT || field->type == YAML_DURATION || field->type == YAML_SIZE) &&
        (field->min != 0 || field->max != 0)) {
        yaml_value_print(field, field->min, low);
        yaml_value_print(field, field->max, high);
        (void)fprintf(out, ", %s to %s", low, high);
    }
    if (field->type != YAML_TEXTS && field->type != YAML_MAPPINGS)
        return;
    if (field->min > 1)
        (void)fprintf(out, ", %" PRId64 " to %zu", field->min, field->count_max);
    else
        (void)fprintf(out, ", at most %zu", field->count_max);
}

static void print_need(FILE *out, const struct yaml_field *field)
{
    if (field->required)
        (void)fprintf(out, "required");
    else if (field->fallback != NULL)
        (void)fprintf(out, "%s", field->fallback);
    else if (field->type == YAML_DURATION || field->type == YAML_INT)
        (void)fprintf(out, "the profile's");
    else
        (void)fprintf(out, "none");
}

/* The help as a comment, cut between words at about a hundred columns. */
static void print_comment(FILE *out, int indent, const char *text)
{
    const char *word = text;
    int column = 0;

    while (*word != '\0') {
        size_t length = strcspn(word, " ");
        if (column == 0 || column + (int)length + 1 > 100)
            column = fprintf(out, "%s%*s#", column == 0 ? "" : "\n", indent, "");
        column += fprintf(out, " %.*s", (int)length, word);
        word += length;
        word += strspn(word, " ");
    }
    (void)fprintf(out, "\n");
}

static void sample_mapping(FILE *out, const struct yaml_schema *schema, int indent, const char *prefix)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *f = &schema->fields[i];
        /* The first key of a list item stands behind the dash; its help goes above. */
        const char *dash = i == 0 ? prefix : "";
        int at = indent + (dash[0] == '\0' && prefix[0] != '\0' ? 2 : 0);
        const char *off = f->required ? "" : "# ";

        print_comment(out, at, f->help);
        if (f->type == YAML_MAPPING || f->type == YAML_MAPPINGS) {
            if (!f->required && f->example == NULL) { /* written out it would be noise: its keys are in the reference */
                (void)fprintf(out, "%*s%s%s%s: ...\n", at, "", off, dash, f->key);
                continue;
            }
            (void)fprintf(out, "%*s%s%s:\n", at, "", dash, f->key);
            sample_mapping(out, f->schema, indent + (prefix[0] != '\0' ? 4 : 2), f->type == YAML_MAPPINGS ? "- " : "");
            if (f->type == YAML_MAPPINGS && f->min > 1)
                (void)fprintf(out, "%*s# %" PRId64 " to %zu of these\n", at, "", f->min, f->count_max);
            continue;
        }
        (void)fprintf(out, "%*s%s%s%s: %s\n", at, "", off, dash, f->key,
                      f->example != NULL ? f->example : (f->fallback != NULL ? f->fallback : "..."));
    }
}

static FILE *text_open(char **text, size_t *length)
{
    FILE *out = open_memstream(text, length);
    ASSERT(out != NULL);
    return out;
}

char *config_text_sample(const struct yaml_schema *schema)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = text_open(&text, &length);

    sample_mapping(out, schema, 0, "");
    ASSERT(fclose(out) == 0);
    return text;
}

static void markdown_mapping(FILE *out, const struct yaml_schema *schema, const char *path)
{
    char inner[YAML_PATH_MAX_BYTES];

    if (path[0] != '\0')
        (void)fprintf(out, "\n### `%s`\n\n", path);
    (void)fprintf(out, "| key | value | default | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *f = &schema->fields[i];
        (void)fprintf(out, "| `%s` | ", f->key);
        print_kind(out, f);
        (void)fprintf(out, " | ");
        print_need(out, f);
        (void)fprintf(out, " | %s |\n", f->help);
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *f = &schema->fields[i];
        if (f->schema == NULL)
            continue;
        (void)snprintf(inner, sizeof inner, "%s%s%s%s", path, path[0] != '\0' ? "." : "", f->key,
                       f->type == YAML_MAPPINGS ? "[]" : "");
        markdown_mapping(out, f->schema, inner);
    }
}

char *config_text_markdown(const struct yaml_schema *schema)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = text_open(&text, &length);

    markdown_mapping(out, schema, "");
    ASSERT(fclose(out) == 0);
    return text;
}

/* roff reads a leading dot or quote as a request and a backslash as its own. */
static void print_roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fprintf(out, "\\&");
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            (void)fprintf(out, "\\e");
        else if (*text == '-')
            (void)fprintf(out, "\\-");
        else
            (void)fputc(*text, out);
    }
}

static void man_mapping(FILE *out, const struct yaml_schema *schema, const char *path)
{
    char inner[YAML_PATH_MAX_BYTES];

    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *f = &schema->fields[i];
        char *kind = NULL, *need = NULL;
        size_t length = 0;
        FILE *part = text_open(&kind, &length);

        print_kind(part, f);
        ASSERT(fclose(part) == 0);
        part = text_open(&need, &length);
        print_need(part, f);
        ASSERT(fclose(part) == 0);
        (void)fprintf(out, ".TP\n.B ");
        print_roff(out, path);
        print_roff(out, f->key);
        (void)fprintf(out, "\n");
        print_roff(out, f->help);
        (void)fprintf(out, "\n.br\n");
        print_roff(out, kind);
        (void)fprintf(out, f->required ? "; " : "; default ");
        print_roff(out, need);
        (void)fprintf(out, "\n");
        free(kind);
        free(need);
        if (f->schema == NULL)
            continue;
        (void)snprintf(inner, sizeof inner, "%s%s%s.", path, f->key, f->type == YAML_MAPPINGS ? "[]" : "");
        man_mapping(out, f->schema, inner);
    }
}

char *config_text_man(const struct yaml_schema *schema)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = text_open(&text, &length);

    man_mapping(out, schema, "");
    ASSERT(fclose(out) == 0);
    return text;
}
