/* YAML into a caller's struct, by tables. Decides what a well-typed value is and says every mistake of a file in one run, each as
 *     node.yaml:9:5: error: unknown key 'prot'; did you mean 'port'?
 * with the source line and a caret. What the values mean together is the caller's business: it adds its own mistakes with
 * yaml_error, at the place where the value stands. Quoted numbers, duplicate keys, aliases and tags are refused. */
#ifndef COORD_IO_YAML_H
#define COORD_IO_YAML_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define YAML_BYTES_MAX (256 * 1024) /* one file */
#define YAML_ERRORS_MAX 50          /* reported; the rest is counted */
#define YAML_PATH_MAX_BYTES 256     /* "/services/3/sites/1/postgres/host" */

enum yaml_type {
    YAML_TEXT,     /* char[size]; never empty when written, unless min < 0 */
    YAML_BOOL,     /* bool: true | false */
    YAML_INT,      /* int32_t, int64_t, uint32_t, uint64_t or smaller, by size */
    YAML_DURATION, /* the same, in milliseconds: 300ms, 2s, 5m, 1h */
    YAML_SIZE,     /* the same, in bytes: 4096, 64KiB, 64MiB, 2GiB */
    YAML_ENUM,     /* an enum whose values are the positions in `words` (size 1, 2 or 4) */
    YAML_TEXTS,    /* list of text: char[count_max][size] */
    YAML_MAPPING,  /* a struct described by `schema` */
    YAML_MAPPINGS, /* list of such structs: struct[count_max], each `size` bytes */
};

struct yaml_schema;

struct yaml_field {
    const char *key;
    enum yaml_type type;
    bool required;
    size_t offset;
    size_t size; /* of one value; YAML_AT fills it in */
    int64_t min,
        max; /* of numbers, inclusive; both 0: any that fits. Lists: at least min; a required one may be empty when min < 0 */
    const char *unit;         /* of YAML_INT, for messages and reference: "connections" */
    const char *const *words; /* YAML_ENUM; ends with NULL */
    const char *fallback;     /* the value when the key is absent, as it would be written; NULL: nothing is stored */
    const struct yaml_schema *schema;
    size_t count_max; /* lists */
    size_t count;     /* lists: offset of a uint32_t that gets the number of items */
    size_t
        present; /* offset of a bool that says whether the key was written; 0: nobody asks (so never the first member) */
    bool (*valid)(const char *text); /* TEXT and TEXTS: a further condition, described by `expected` */
    const char *expected;            /* "a DNS name"; used in messages and in the reference */
    const char *example; /* for the sample, where there is no fallback; of a mapping: not NULL writes it out */
    const char *help;    /* one sentence for the reference, in full */
};

struct yaml_schema {
    const char *name; /* "services", for the reference */
    const struct yaml_field *fields;
    size_t field_count;
};

#define YAML_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define YAML_LIST_AT(type, member, counter)                                                                            \
    .offset = offsetof(type, member), .size = sizeof(((type *)0)->member[0]),                                          \
    .count_max = sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), .count = offsetof(type, counter)

struct yaml_error {
    int line, column; /* from 1; 0: the file as a whole */
    char text[ERROR_TEXT_MAX];
};

struct yaml; /* one parsed file and its mistakes */

/* Borrow `name` and `bytes` only during the call. Never NULL: what is wrong (unreadable file included) is an error inside.
 * yaml_destroy it in any case. */
struct yaml *yaml_from_file(const char *path);
struct yaml *yaml_from_bytes(const char *name, const char *bytes, size_t length_bytes);
void yaml_destroy(struct yaml *y);

/* Stores what the file says, and the fallbacks of what it does not say, into `out` (which the caller has zeroed). True when
 * nothing was wrong so far; with a mistake `out` is only partly filled. */
bool yaml_walk(struct yaml *y, const struct yaml_schema *schema, void *out);

/* True when the root mapping has this key: to recognise which kind of file this is. */
bool yaml_has_key(const struct yaml *y, const char *key);

/* A mistake of the caller's own at `path` ("/sites/1/port"); where that was not written, at the nearest mapping around it. */
void yaml_error(struct yaml *y, const char *path, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* All mistakes, in the order of the file. */
size_t yaml_error_count(const struct yaml *y);
const struct yaml_error *yaml_error_at(const struct yaml *y, size_t index);
const char *yaml_name(const struct yaml *y);

/* Everything wrong as text for a terminal: one message, source line and caret after the other; "" when nothing is. Gives: free() it. */
char *yaml_report(const struct yaml *y);

/* STATUS_OK, or STATUS_INVALID with the first mistake and the number of others. */
enum status yaml_result(const struct yaml *y, struct error *err);

#endif
