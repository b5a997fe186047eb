/* What a scalar means: numbers, durations, sizes, words. Decides how values are written; knows no YAML and no place in a file. */
#ifndef COORD_IO_YAML_VALUE_H
#define COORD_IO_YAML_VALUE_H

#include "io/yaml.h"

#define YAML_VALUE_MAX_BYTES 96 /* room for a number or a range as text */

/* True and *out for a whole decimal number, duration or size of the field's type; false when it is not one (or overflows int64). */
bool yaml_value_number(enum yaml_type type, const char *text, int64_t *out);

/* "2s", "1500ms", "64MiB": the shortest exact way to write it, with the field's unit. Always fits YAML_VALUE_MAX_BYTES. */
void yaml_value_print(const struct yaml_field *field, int64_t value, char out[YAML_VALUE_MAX_BYTES]);

/* The range that a number of this field must be in: min..max, or what its storage holds. Durations and sizes are never negative. */
void yaml_value_range(const struct yaml_field *field, int64_t *min, int64_t *max);

/* Stores into the field's storage, and reads it back. The number is in the field's range. */
void yaml_value_store(const struct yaml_field *field, void *at, int64_t value);
int64_t yaml_value_load(const struct yaml_field *field, const void *at);

/* "a duration (300ms, 2s, 5m, 1h)", "one of metro, region, cautious": what was expected, for messages and reference. */
void yaml_value_expected(const struct yaml_field *field, char *out, size_t capacity_bytes);

/* The one of `candidates` (ends with NULL) that `text` was probably meant to be, or NULL. */
const char *yaml_value_nearest(const char *text, const char *const *candidates);

#endif
