/* A parsed file against the tables. A wrong value is recorded with its place and the walk goes on with the next key, so that one run
 * shows every mistake. The depth of the recursion is that of the tables, never that of the file. */
#include "base/check.h"
#include "io/yaml_tree.h"
#include "io/yaml_value.h"

#include <stdio.h>
#include <string.h>

#define KEYS_MAX 64  /* of one mapping's table */
#define SHOWN_MAX 60 /* bytes of a wrong value that a message repeats */

/* What a message shows of a value: cut, and without control characters. */
static void shown(struct fy_node *node, char out[SHOWN_MAX + 4])
{
    size_t length = 0, used = 0;
    const char *text = fy_node_get_scalar(node, &length);

    for (size_t i = 0; text != NULL && i < length && used < SHOWN_MAX; i++)
        out[used++] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    while (used < length && used > 0 && ((unsigned char)text[used] & 0xc0) == 0x80)
        used--;
    (void)snprintf(out + used, 4, "%s", used < length ? "..." : "");
}

static bool is_null(struct fy_node *node)
{
    const char *text;

    if (node == NULL)
        return true;
    if (!fy_node_is_scalar(node) || fy_node_is_alias(node) || fy_node_get_style(node) != FYNS_PLAIN)
        return false;
    text = fy_node_get_scalar0(node);
    return text == NULL || text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static void wrong_type(struct yaml *y, const struct yaml_field *field, struct fy_node *node, struct place place)
{
    char expected[200], got[SHOWN_MAX + 4];

    yaml_value_expected(field, expected, sizeof expected);
    if (is_null(node)) {
        yaml_mistake(y, place.line, place.column, "key '%s': expected %s, got nothing", field->key, expected);
    } else if (fy_node_is_mapping(node) || fy_node_is_sequence(node)) {
        yaml_mistake(y, place.line, place.column, "key '%s': expected %s, got a %s", field->key, expected,
                     fy_node_is_mapping(node) ? "mapping" : "list");
    } else {
        shown(node, got);
        yaml_mistake(y, place.line, place.column, "key '%s': expected %s, got '%s'", field->key, expected, got);
    }
}

/* The scalar's text when the node is one that we read: not null, no alias, no tag, no NUL inside. Else NULL, and the mistake is recorded. */
static const char *scalar_text(struct yaml *y, const struct yaml_field *field, struct fy_node *node, struct place place)
{
    size_t length = 0;
    const char *text;

    if (node != NULL && fy_node_is_alias(node)) {
        yaml_mistake(y, place.line, place.column, "key '%s': aliases are not read; write the value out", field->key);
        return NULL;
    }
    if (is_null(node) || !fy_node_is_scalar(node)) {
        wrong_type(y, field, node, place);
        return NULL;
    }
    if (fy_node_get_tag_token(node) != NULL) {
        yaml_mistake(y, place.line, place.column, "key '%s': tags are not read; write the value alone", field->key);
        return NULL;
    }
    text = fy_node_get_scalar0(node);
    if (text == NULL || fy_node_get_scalar(node, &length) == NULL || strlen(text) != length) {
        yaml_mistake(y, place.line, place.column, "key '%s': the text holds a NUL character", field->key);
        return NULL;
    }
    return text;
}

static void store_text(struct yaml *y, const struct yaml_field *field, const char *text, struct place place, char *at)
{
    char expected[200], value[SHOWN_MAX + 1];

    (void)snprintf(value, sizeof value, "%s", text);
    if (text[0] == '\0' && field->min >= 0) {
        yaml_value_expected(field, expected, sizeof expected);
        yaml_mistake(y, place.line, place.column, "key '%s': expected %s, got an empty text", field->key, expected);
    } else if (strlen(text) >= field->size) {
        yaml_mistake(y, place.line, place.column, "key '%s': %zu bytes long; at most %zu", field->key, strlen(text),
                     field->size - 1);
    } else if (field->valid != NULL && text[0] != '\0' && !field->valid(text)) {
        yaml_mistake(y, place.line, place.column, "key '%s': expected %s, got '%s'", field->key, field->expected,
                     value);
    } else {
        memset(at, 0, field->size); /* so that equal texts are equal bytes */
        memcpy(at, text, strlen(text));
    }
}

static void store_enum(struct yaml *y, const struct yaml_field *field, const char *text, struct place place, void *at)
{
    char expected[200];
    const char *nearest;

    for (int64_t i = 0; field->words[i] != NULL; i++)
        if (strcmp(field->words[i], text) == 0) {
            yaml_value_store(field, at, i);
            return;
        }
    yaml_value_expected(field, expected, sizeof expected);
    nearest = yaml_value_nearest(text, field->words);
    yaml_mistake(y, place.line, place.column, "key '%s': unknown word '%.40s'; expected %s%s%s%s", field->key, text,
                 expected, nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
                 nearest != NULL ? "'?" : "");
}

static void store_number(struct yaml *y, const struct yaml_field *field, struct fy_node *node, const char *text,
                         struct place place, void *at)
{
    char low[YAML_VALUE_MAX_BYTES], high[YAML_VALUE_MAX_BYTES];
    int64_t value, min, max;

    if (node != NULL && field->type == YAML_INT && fy_node_get_style(node) != FYNS_PLAIN) {
        yaml_mistake(y, place.line, place.column,
                     "key '%s': expected a whole number, got the quoted text '%.40s'; write it without quotes",
                     field->key, text);
        return;
    }
    if (!yaml_value_number(field->type, text, &value)) {
        char expected[200];
        yaml_value_expected(field, expected, sizeof expected);
        yaml_mistake(y, place.line, place.column, "key '%s': expected %s, got '%.40s'", field->key, expected, text);
        return;
    }
    yaml_value_range(field, &min, &max);
    if (value < min || value > max) {
        yaml_value_print(field, min, low);
        yaml_value_print(field, max, high);
        yaml_mistake(y, place.line, place.column, "key '%s': %.40s is out of range; expected %s to %s%s%s", field->key,
                     text, low, high, field->unit != NULL ? " " : "", field->unit != NULL ? field->unit : "");
        return;
    }
    yaml_value_store(field, at, value);
}

/* One scalar; `node` is NULL for a fallback, whose text our own tables hold. */
static void store_scalar(struct yaml *y, const struct yaml_field *field, struct fy_node *node, const char *text,
                         struct place place, void *at)
{
    switch (field->type) {
    case YAML_BOOL:
        if ((node != NULL && fy_node_get_style(node) != FYNS_PLAIN) ||
            (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
            yaml_mistake(y, place.line, place.column, "key '%s': expected true or false, got '%.40s'", field->key,
                         text);
        else
            yaml_value_store(field, at, text[0] == 't' ? 1 : 0);
        break;
    case YAML_INT:
    case YAML_DURATION:
    case YAML_SIZE:
        store_number(y, field, node, text, place, at);
        break;
    case YAML_ENUM:
        store_enum(y, field, text, place, at);
        break;
    case YAML_TEXT:
    case YAML_TEXTS:
        store_text(y, field, text, place, at);
        break;
    case YAML_MAPPING:
    case YAML_MAPPINGS:
        ASSERT(field->type == YAML_TEXT); /* no scalar */
        break;
    }
}

static void walk_mapping(struct yaml *y, const struct yaml_schema *schema, struct fy_node *node, struct place place,
                         const char *where, char *out);

static void walk_list(struct yaml *y, const struct yaml_field *field, struct fy_node *node, struct place place,
                      char *out)
{
    void *cursor = NULL;
    struct fy_node *item;
    int64_t least = field->min > 0 ? field->min : (field->required && field->min == 0 ? 1 : 0);
    size_t count = 0;
    uint32_t stored;

    if (node == NULL || !fy_node_is_sequence(node)) {
        wrong_type(y, field, node, place);
        return;
    }
    while ((item = fy_node_sequence_iterate(node, &cursor)) != NULL) {
        struct place at = yaml_place(y, item, place);
        char *storage = out + field->offset + count * field->size;

        if (count++ >= field->count_max)
            continue;
        if (field->type == YAML_TEXTS) {
            const char *text = scalar_text(y, field, item, at);
            if (text != NULL)
                store_scalar(y, field, item, text, at, storage);
        } else {
            walk_mapping(y, field->schema, item, at, field->key, storage);
        }
    }
    if (count > field->count_max || (int64_t)count < least)
        yaml_mistake(y, place.line, place.column, "key '%s': %zu items; expected %lld to %zu", field->key, count,
                     (long long)least, field->count_max);
    stored = (uint32_t)(count < field->count_max ? count : field->count_max);
    memcpy(out + field->count, &stored, sizeof stored);
}

static void walk_value(struct yaml *y, const struct yaml_field *field, struct fy_node *node, struct place key_place,
                       char *out)
{
    struct place place = node != NULL ? yaml_place(y, node, key_place) : key_place;

    if (node != NULL && fy_node_is_sequence(node) && place.line != key_place.line)
        place = key_place; /* a list below its key has no mark of its own; its first item would be the wrong place */
    if (field->present != 0)
        memcpy(out + field->present, &(bool){ true }, sizeof(bool));
    if (field->type == YAML_MAPPING) {
        walk_mapping(y, field->schema, node, place, field->key, out + field->offset);
    } else if (field->type == YAML_TEXTS || field->type == YAML_MAPPINGS) {
        walk_list(y, field, node, place, out);
    } else {
        const char *text = scalar_text(y, field, node, place);
        if (text != NULL)
            store_scalar(y, field, node, text, place, out + field->offset);
    }
}

static void fall_back(struct yaml *y, const struct yaml_schema *schema, char *out)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *field = &schema->fields[i];
        if (field->type == YAML_MAPPING)
            fall_back(y, field->schema, out + field->offset);
        else if (field->fallback != NULL)
            store_scalar(y, field, NULL, field->fallback, (struct place){ 0, 0 }, out + field->offset);
    }
}

static void unknown_key(struct yaml *y, const struct yaml_schema *schema, const char *key, struct place place)
{
    const char *keys[KEYS_MAX + 1] = { NULL };
    const char *nearest;
    char list[300] = "";

    ASSERT(schema->field_count <= KEYS_MAX);
    for (size_t i = 0; i < schema->field_count; i++) {
        size_t used = strlen(list);
        keys[i] = schema->fields[i].key;
        (void)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", keys[i]);
    }
    nearest = yaml_value_nearest(key, keys);
    if (nearest != NULL)
        yaml_mistake(y, place.line, place.column, "unknown key '%.40s'; did you mean '%s'?", key, nearest);
    else
        yaml_mistake(y, place.line, place.column, "unknown key '%.40s'; expected one of %s", key, list);
}

static const struct yaml_field *field_named(const struct yaml_schema *schema, const char *key)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (strcmp(schema->fields[i].key, key) == 0)
            return &schema->fields[i];
    return NULL;
}

static void walk_mapping(struct yaml *y, const struct yaml_schema *schema, struct fy_node *node, struct place place,
                         const char *where, char *out)
{
    bool seen[KEYS_MAX] = { false };
    struct fy_node_pair *pair;
    void *cursor = NULL;

    if (node == NULL || !fy_node_is_mapping(node)) {
        struct yaml_field as_field = { .key = where, .type = YAML_MAPPING };
        if (node != NULL && fy_node_is_alias(node))
            yaml_mistake(y, place.line, place.column, "key '%s': aliases are not read; write the value out", where);
        else
            wrong_type(y, &as_field, node, place);
        return;
    }
    while ((pair = fy_node_mapping_iterate(node, &cursor)) != NULL) {
        struct fy_node *key_node = fy_node_pair_key(pair);
        struct place key_place = key_node != NULL ? yaml_place(y, key_node, place) : place;
        const char *key = key_node != NULL && fy_node_is_scalar(key_node) ? fy_node_get_scalar0(key_node) : NULL;
        const struct yaml_field *field = key != NULL ? field_named(schema, key) : NULL;

        if (key == NULL) {
            yaml_mistake(y, key_place.line, key_place.column, "a key must be a word");
        } else if (field == NULL) {
            unknown_key(y, schema, key, key_place);
        } else {
            seen[field - schema->fields] = true;
            walk_value(y, field, fy_node_pair_value(pair), key_place, out);
        }
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *field = &schema->fields[i];
        struct yaml_schema one = { .name = schema->name, .fields = field, .field_count = 1 };
        char expected[200];

        if (seen[i])
            continue;
        if (!field->required) {
            fall_back(y, &one, out);
            continue;
        }
        yaml_value_expected(field, expected, sizeof expected);
        yaml_mistake(y, place.line, place.column, "missing required key '%s': %s", field->key, expected);
    }
}

bool yaml_walk(struct yaml *y, const struct yaml_schema *schema, void *out)
{
    ASSERT(schema->field_count <= KEYS_MAX);
    if (y->root != NULL)
        walk_mapping(y, schema, y->root, yaml_place(y, y->root, (struct place){ 1, 1 }), schema->name, out);
    return y->error_count == 0;
}
