/* JSON by jansson, which stays behind this header. Build: make, put, print; building never fails (text that is no UTF-8 is mended,
 * memory that is missing ends the process). Read: strict, with an error text that names the key. */
#ifndef COORD_IO_JSON_H
#define COORD_IO_JSON_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson's own type */

/* Build. `json_put` and `json_append` take the child. NULL text or child is null. */
struct json_t *json_make_object(void);
struct json_t *json_make_array(void);
void json_put(struct json_t *object, const char *key, struct json_t *child);
void json_put_text(struct json_t *object, const char *key, const char *text);
void json_put_format(struct json_t *object, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void json_put_int(struct json_t *object, const char *key, int64_t value);
void json_put_bool(struct json_t *object, const char *key, bool value);
void json_append(struct json_t *array, struct json_t *child);
void json_append_text(struct json_t *array, const char *text);

/* Gives: free() it. One line, without a newline, or indented by two. Keys keep the order in which they were put. */
char *json_print(const struct json_t *value);
char *json_print_pretty(const struct json_t *value);
/* Every text in it passes through text_clean(): what a node or a program sent is about to be shown. */
void json_clean(struct json_t *value, bool keep_lines);
void json_free(struct json_t *value); /* and everything put into it; NULL is fine */

/* Read. Duplicate keys, bad UTF-8, trailing bytes and nesting beyond reason are refused: NULL, `err` says where. Free with json_free. */
struct json_t *json_read(const char *bytes, size_t length_bytes, struct error *err);

enum json_kind { JSON_IS_TEXT, JSON_IS_INT, JSON_IS_BOOL, JSON_IS_TEXTS };
struct json_want {
    const char *key;
    enum json_kind kind;
    bool required;
    size_t offset;
    size_t size;             /* TEXT: its capacity; TEXTS: capacity of each. INT is int64_t, BOOL is bool */
    size_t count_max, count; /* TEXTS: how many fit, and the offset of the uint32_t that gets their number */
    size_t present;          /* offset of a bool, as in yaml.h; 0: nobody asks */
};
/* Stores the keys of `object` into `out`; a missing, unknown or wrong-typed one, or text that does not fit, is STATUS_INVALID with
 * its name. Keys that are absent leave `out` as it was. */
enum status json_unpack_wanted(const struct json_t *object, const struct json_want *wanted, size_t wanted_count,
                               void *out, struct error *err);

/* Look. For answers whose shape is known: what is absent or of another type is NULL, `otherwise`, false or empty. Borrowed. */
const struct json_t *json_look(const struct json_t *object, const char *key);
const char *json_look_text(const struct json_t *object, const char *key);
int64_t json_look_int(const struct json_t *object, const char *key, int64_t otherwise);
bool json_look_bool(const struct json_t *object, const char *key);
bool json_look_null(const struct json_t *object, const char *key); /* absent or null */
size_t json_item_count(const struct json_t *array);
const struct json_t *json_item(const struct json_t *array, size_t index);
const char *json_item_text(const struct json_t *array, size_t index);

#endif
