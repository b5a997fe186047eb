/* jansson with our habits: building cannot fail half-way, reading says which key was wrong. */
#include "io/json.h"

#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_MAX_BYTES 1024 /* json_put_format; a longer text is cut */

struct json_t *json_make_object(void)
{
    json_t *object = json_object();
    ASSERT(object != NULL);
    return object;
}

struct json_t *json_make_array(void)
{
    json_t *array = json_array();
    ASSERT(array != NULL);
    return array;
}

/* jansson refuses text that is no UTF-8 (a message of PostgreSQL in another encoding, a cut in the middle of a character): such bytes
 * become '?', because an answer with a mended text is worth more than none. */
static json_t *text_value(const char *text)
{
    json_t *value;
    char *mended;

    if (text == NULL)
        return json_null();
    value = json_string(text);
    if (value != NULL)
        return value;
    mended = strdup(text);
    ASSERT(mended != NULL);
    for (char *p = mended; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    value = json_string(mended);
    free(mended);
    ASSERT(value != NULL);
    return value;
}

void json_put(struct json_t *object, const char *key, struct json_t *child)
{
    ASSERT(json_object_set_new(object, key, child != NULL ? child : json_null()) == 0);
}

void json_put_text(struct json_t *object, const char *key, const char *text)
{
    json_put(object, key, text_value(text));
}

void json_put_format(struct json_t *object, const char *key, const char *format, ...)
{
    char text[FORMAT_MAX_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_put(object, key, text_value(text));
}

void json_put_int(struct json_t *object, const char *key, int64_t value)
{
    json_t *number = json_integer(value);
    ASSERT(number != NULL);
    json_put(object, key, number);
}

void json_put_bool(struct json_t *object, const char *key, bool value)
{
    json_put(object, key, json_boolean(value));
}

void json_append(struct json_t *array, struct json_t *child)
{
    ASSERT(json_array_append_new(array, child != NULL ? child : json_null()) == 0);
}

void json_append_text(struct json_t *array, const char *text)
{
    json_append(array, text_value(text));
}

static char *print(const struct json_t *value, size_t flags)
{
    char *text = json_dumps(value, flags | JSON_ENCODE_ANY);
    ASSERT(text != NULL);
    return text;
}

char *json_print(const struct json_t *value)
{
    return print(value, JSON_COMPACT);
}

char *json_print_pretty(const struct json_t *value)
{
    return print(value, JSON_INDENT(2));
}

void json_clean(struct json_t *value, bool keep_lines)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_string(value)) {
        size_t length = json_string_length(value);
        char *text = malloc(length + 1);
        ASSERT(text != NULL);
        memcpy(text, json_string_value(value), length + 1);
        text_clean(text, length, keep_lines);
        ASSERT(json_string_setn(value, text, length) == 0);
        free(text);
    }
    json_array_foreach(value, i, item) json_clean(item, keep_lines);
    json_object_foreach(value, key, item) json_clean(item, keep_lines);
}

void json_free(struct json_t *value)
{
    json_decref(value);
}

struct json_t *json_read(const char *bytes, size_t length_bytes, struct error *err)
{
    json_error_t why;
    json_t *value = json_loadb(bytes, length_bytes, JSON_REJECT_DUPLICATES, &why);

    if (value == NULL)
        (void)error_set(err, STATUS_INVALID, "not valid JSON: line %d column %d: %s", why.line, why.column, why.text);
    return value;
}

static const struct json_want *wanted_named(const struct json_want *wanted, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(wanted[i].key, key) == 0)
            return &wanted[i];
    return NULL;
}

static enum status store_text(const char *key, const json_t *value, size_t capacity, char *out, struct error *err)
{
    const char *text = json_string_value(value);

    if (text == NULL)
        return error_set(err, STATUS_INVALID, "key '%s': expected text", key);
    if (json_string_length(value) != strlen(text))
        return error_set(err, STATUS_INVALID, "key '%s': the text holds a NUL character", key);
    if (strlen(text) >= capacity)
        return error_set(err, STATUS_INVALID, "key '%s': %zu bytes; at most %zu", key, strlen(text), capacity - 1);
    memcpy(out, text, strlen(text) + 1);
    return STATUS_OK;
}

static enum status store_texts(const struct json_want *want, const json_t *value, char *out, struct error *err)
{
    uint32_t count;

    if (!json_is_array(value))
        return error_set(err, STATUS_INVALID, "key '%s': expected a list of texts", want->key);
    if (json_array_size(value) > want->count_max)
        return error_set(err, STATUS_INVALID, "key '%s': %zu items; at most %zu", want->key, json_array_size(value),
                         want->count_max);
    count = (uint32_t)json_array_size(value);
    for (uint32_t i = 0; i < count; i++) {
        enum status status =
            store_text(want->key, json_array_get(value, i), want->size, out + want->offset + i * want->size, err);
        if (status != STATUS_OK)
            return status;
    }
    memcpy(out + want->count, &count, sizeof count);
    return STATUS_OK;
}

static enum status store(const struct json_want *want, const json_t *value, char *out, struct error *err)
{
    int64_t number = json_integer_value(value);
    bool flag = json_is_true(value);

    if (want->present != 0)
        memcpy(out + want->present, &(bool){ true }, sizeof(bool));
    switch (want->kind) {
    case JSON_IS_TEXT:
        return store_text(want->key, value, want->size, out + want->offset, err);
    case JSON_IS_TEXTS:
        return store_texts(want, value, out, err);
    case JSON_IS_INT:
        if (!json_is_integer(value))
            return error_set(err, STATUS_INVALID, "key '%s': expected a whole number", want->key);
        memcpy(out + want->offset, &number, sizeof number);
        return STATUS_OK;
    case JSON_IS_BOOL:
        if (!json_is_boolean(value))
            return error_set(err, STATUS_INVALID, "key '%s': expected true or false", want->key);
        memcpy(out + want->offset, &flag, sizeof flag);
        return STATUS_OK;
    }
    return STATUS_INVALID;
}

enum status json_unpack_wanted(const struct json_t *object, const struct json_want *wanted, size_t wanted_count,
                               void *out, struct error *err)
{
    if (!json_is_object(object))
        return error_set(err, STATUS_INVALID, "expected a JSON object");
    for (void *i = json_object_iter((json_t *)object); i != NULL; i = json_object_iter_next((json_t *)object, i)) {
        const struct json_want *want = wanted_named(wanted, wanted_count, json_object_iter_key(i));
        enum status status;

        if (want == NULL)
            return error_set(err, STATUS_INVALID, "unknown key '%.60s'", json_object_iter_key(i));
        status = store(want, json_object_iter_value(i), out, err);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t i = 0; i < wanted_count; i++)
        if (wanted[i].required && json_object_get(object, wanted[i].key) == NULL)
            return error_set(err, STATUS_INVALID, "missing key '%s'", wanted[i].key);
    return STATUS_OK;
}

const struct json_t *json_look(const struct json_t *object, const char *key)
{
    return json_object_get(object, key);
}

const char *json_look_text(const struct json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int64_t json_look_int(const struct json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_look_bool(const struct json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

bool json_look_null(const struct json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value == NULL || json_is_null(value);
}

size_t json_item_count(const struct json_t *array)
{
    return json_array_size(array);
}

const struct json_t *json_item(const struct json_t *array, size_t index)
{
    return json_array_get(array, index);
}

const char *json_item_text(const struct json_t *array, size_t index)
{
    return json_string_value(json_array_get(array, index));
}
