/* A value is a decimal number and, for durations and sizes, one unit. Fractions, signs with a plus, hexadecimal and separators are
 * refused: a file that two people read differently is worse than one that is refused. */
#include "io/yaml_value.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *suffix;
    int64_t factor;
};

/* Largest first, so that printing takes the first that divides. */
static const struct unit durations[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
static const struct unit sizes[] = {
    { "GiB", 1024 * 1024 * 1024 }, { "MiB", 1024 * 1024 }, { "KiB", 1024 }, { "", 1 }
};
#define UNIT_COUNT 4

static const struct unit *units_of(enum yaml_type type)
{
    if (type == YAML_DURATION)
        return durations;
    return type == YAML_SIZE ? sizes : NULL;
}

bool yaml_value_number(enum yaml_type type, const char *text, int64_t *out)
{
    const struct unit *units = units_of(type);
    bool negative = *text == '-' && units == NULL;
    int64_t value = 0;
    const char *p = text + (negative ? 1 : 0);

    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
        return false; /* no leading zero: some read it as octal */
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
            return false;
    if (units == NULL) {
        *out = negative ? -value : value;
        return *p == '\0';
    }
    if (value == 0 && *p == '\0') {
        *out = 0;
        return true;
    }
    for (unsigned i = 0; i < UNIT_COUNT; i++)
        if (strcmp(p, units[i].suffix) == 0)
            return !__builtin_mul_overflow(value, units[i].factor, out);
    return false;
}

void yaml_value_print(const struct yaml_field *field, int64_t value, char out[YAML_VALUE_MAX_BYTES])
{
    const struct unit *units = units_of(field->type);

    if (field->type == YAML_BOOL) {
        (void)snprintf(out, YAML_VALUE_MAX_BYTES, "%s", value != 0 ? "true" : "false");
    } else if (field->type == YAML_ENUM) {
        (void)snprintf(out, YAML_VALUE_MAX_BYTES, "%.*s", YAML_VALUE_MAX_BYTES - 1, field->words[value]);
    } else if (units == NULL) {
        (void)snprintf(out, YAML_VALUE_MAX_BYTES, "%" PRId64, value);
    } else {
        unsigned i = 0;
        if (value == 0 && field->type == YAML_DURATION)
            i = 2; /* "0s" */
        else if (value == 0)
            i = UNIT_COUNT - 1;
        else
            while (value % units[i].factor != 0)
                i++;
        (void)snprintf(out, YAML_VALUE_MAX_BYTES, "%" PRId64 "%s", value / units[i].factor, units[i].suffix);
    }
}

void yaml_value_range(const struct yaml_field *field, int64_t *min, int64_t *max)
{
    if (field->min != 0 || field->max != 0) {
        *min = field->min;
        *max = field->max;
        return;
    }
    /* Without a range of its own: no negative numbers, and what the storage holds whether it is signed or not. */
    *min = 0;
    *max = field->size >= 8 ? INT64_MAX : ((int64_t)1 << (8 * field->size - 1)) - 1;
}

void yaml_value_store(const struct yaml_field *field, void *at, int64_t value)
{
    ASSERT(field->size == 1 || field->size == 2 || field->size == 4 || field->size == 8);
    if (field->type == YAML_BOOL) {
        bool flag = value != 0;
        ASSERT(field->size == sizeof flag);
        memcpy(at, &flag, sizeof flag);
        return;
    }
    switch (field->size) { /* two's complement: the same bytes whether the storage is signed or not */
    case 1:
        memcpy(at, &(uint8_t){ (uint8_t)value }, 1);
        break;
    case 2:
        memcpy(at, &(uint16_t){ (uint16_t)value }, 2);
        break;
    case 4:
        memcpy(at, &(uint32_t){ (uint32_t)value }, 4);
        break;
    default:
        memcpy(at, &value, 8);
        break;
    }
}

int64_t yaml_value_load(const struct yaml_field *field, const void *at)
{
    int64_t min, max, value = 0;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;

    yaml_value_range(field, &min, &max);
    switch (field->size) {
    case 1:
        memcpy(&u8, at, 1);
        value = min < 0 ? (int64_t)(int8_t)u8 : (int64_t)u8;
        break;
    case 2:
        memcpy(&u16, at, 2);
        value = min < 0 ? (int64_t)(int16_t)u16 : (int64_t)u16;
        break;
    case 4:
        memcpy(&u32, at, 4);
        value = min < 0 ? (int64_t)(int32_t)u32 : (int64_t)u32;
        break;
    default:
        memcpy(&value, at, sizeof value);
        break;
    }
    return value;
}

/* Appends, and stays NUL-terminated when it is cut. */
static void append(char *out, size_t capacity, const char *text)
{
    size_t used = strlen(out);
    (void)snprintf(out + used, capacity - used, "%s", text);
}

void yaml_value_expected(const struct yaml_field *field, char *out, size_t capacity_bytes)
{
    out[0] = '\0';
    switch (field->type) {
    case YAML_TEXT:
        append(out, capacity_bytes, field->expected != NULL ? field->expected : "text");
        break;
    case YAML_BOOL:
        append(out, capacity_bytes, "true or false");
        break;
    case YAML_INT:
        append(out, capacity_bytes, "a whole number");
        if (field->unit != NULL) {
            append(out, capacity_bytes, " of ");
            append(out, capacity_bytes, field->unit);
        }
        break;
    case YAML_DURATION:
        append(out, capacity_bytes, "a duration (300ms, 2s, 5m, 1h)");
        break;
    case YAML_SIZE:
        append(out, capacity_bytes, "a size (4096, 64KiB, 64MiB, 2GiB)");
        break;
    case YAML_ENUM:
        append(out, capacity_bytes, "one of ");
        for (unsigned i = 0; field->words[i] != NULL; i++) {
            append(out, capacity_bytes, i > 0 ? ", " : "");
            append(out, capacity_bytes, field->words[i]);
        }
        break;
    case YAML_TEXTS:
        append(out, capacity_bytes, field->expected != NULL ? "a list, each " : "a list of texts");
        append(out, capacity_bytes, field->expected != NULL ? field->expected : "");
        break;
    case YAML_MAPPING:
        append(out, capacity_bytes, "a mapping (key: value)");
        break;
    case YAML_MAPPINGS:
        append(out, capacity_bytes, "a list of mappings (each begins with '- ')");
        break;
    }
}

/* Edits (insert, delete, replace, swap of neighbours) between two short words; `limit` + 1 when there are more. */
static unsigned distance(const char *a, const char *b, unsigned limit)
{
    unsigned rows[3][34];
    size_t la = strlen(a), lb = strlen(b);

    if (la > 32 || lb > 32)
        return limit + 1;
    for (unsigned j = 0; j <= lb; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned *now = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned best = before[j - 1] + (a[i - 1] != b[j - 1] ? 1u : 0u);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_before[j - 2] + 1 < best)
                best = two_before[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[la % 3][lb];
}

const char *yaml_value_nearest(const char *text, const char *const *candidates)
{
    unsigned limit = strlen(text) <= 4 ? 1 : 2;
    const char *nearest = NULL;

    for (; *candidates != NULL; candidates++) {
        unsigned d = distance(text, *candidates, limit);
        if (d <= limit) {
            limit = d > 0 ? d - 1 : 0; /* the next one must be nearer */
            nearest = *candidates;
            if (d == 0)
                break;
        }
    }
    return nearest;
}
