/* The happy path: check the bytes, parse one document, walk the tables, store. A mistake is recorded with its place and the walk goes
 * on, so that one run shows them all; only broken syntax ends it, since nothing after it can be trusted. libfyaml turns bytes that are no
 * UTF-8 into empty values without a word: hence our own check before it sees them. */
#include "io/yaml.h"

#include "base/check.h"
#include "io/yaml_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keeps the errors in the order of the file; of two at one place the first reported comes first. */
static void record(struct yaml *y, int line, int column, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));
static void record(struct yaml *y, int line, int column, const char *format, va_list args)
{
    size_t at = y->error_count;

    if (y->error_count == YAML_ERRORS_MAX) {
        y->dropped++;
        return;
    }
    while (at > 0 &&
           (y->errors[at - 1].line > line || (y->errors[at - 1].line == line && y->errors[at - 1].column > column))) {
        y->errors[at] = y->errors[at - 1];
        at--;
    }
    y->errors[at].line = line;
    y->errors[at].column = column;
    (void)vsnprintf(y->errors[at].text, sizeof y->errors[at].text, format, args); /* cut: still the beginning */
    y->error_count++;
}

void yaml_mistake(struct yaml *y, int line, int column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(y, line, column, format, args);
    va_end(args);
}

static const struct fy_mark *mark_of(struct fy_node *node)
{
    struct fy_token *token = fy_node_is_scalar(node) ? fy_node_get_scalar_token(node) : NULL;
    return token != NULL ? fy_token_start_mark(token) : NULL;
}

/* The first scalar inside a node, or NULL: libfyaml keeps places for scalars only. */
static struct fy_node *first_scalar(struct fy_node *node)
{
    while (node != NULL && !fy_node_is_scalar(node)) {
        void *cursor = NULL;
        if (fy_node_is_mapping(node)) {
            struct fy_node_pair *pair = fy_node_mapping_iterate(node, &cursor);
            node = pair != NULL ? fy_node_pair_key(pair) : NULL;
        } else {
            node = fy_node_sequence_iterate(node, &cursor);
        }
    }
    return node;
}

/* Where a node begins; `otherwise` when it has no bytes of its own ("key:" and nothing more). */
struct place yaml_place(const struct yaml *y, struct fy_node *node, struct place otherwise)
{
    struct fy_node *scalar = first_scalar(node);
    const struct fy_mark *mark = scalar != NULL ? mark_of(scalar) : NULL;
    enum fy_node_style style;
    struct place place, begin;
    size_t at;

    if (mark == NULL || mark->input_pos > y->length)
        return otherwise;
    style = fy_node_get_style(scalar);
    place = (struct place){ .line = mark->line + 1, .column = mark->column + 1 };
    at = mark->input_pos;
    if ((style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED) && at > 0 && place.column > 1) {
        at--; /* the mark stands behind the quote */
        place.column--;
    }
    if (scalar == node)
        return place;
    begin = place; /* of a flow mapping or list the bracket is the beginning, when it stands on the same line */
    while (at > 0 && y->bytes[at - 1] == ' ' && begin.column > 1) {
        at--;
        begin.column--;
    }
    if (at > 0 && (y->bytes[at - 1] == '{' || y->bytes[at - 1] == '[') && begin.column > 1)
        return (struct place){ begin.line, begin.column - 1 };
    return place;
}

/* One well-formed UTF-8 character: its length, 0 when it is none. No NUL and no control character but tab, LF, CR. */
static size_t character(const unsigned char *p, size_t left)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    uint32_t code;

    if (length == 1)
        return *p >= 0x20 ? (*p != 0x7f ? 1u : 0u) : (*p == '\t' || *p == '\n' || *p == '\r' ? 1u : 0u);
    if (length == 0 || length > left)
        return 0;
    code = *p & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = (code << 6) | (p[i] & 0x3fu);
    }
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : length;
}

static bool bytes_are_text(struct yaml *y)
{
    struct place place = { 1, 1 };

    for (size_t at = 0; at < y->length;) {
        size_t length = character((const unsigned char *)y->bytes + at, y->length - at);
        if (length == 0) {
            yaml_mistake(y, place.line, place.column, "byte 0x%02x is no UTF-8 text", (unsigned char)y->bytes[at]);
            return false;
        }
        place.column = y->bytes[at] == '\n' ? 1 : place.column + 1;
        place.line += y->bytes[at] == '\n' ? 1 : 0;
        at += length;
    }
    return true;
}

static void take_library_errors(struct yaml *y)
{
    void *cursor = NULL;
    const struct fy_diag_error *e;
    size_t before = y->error_count;

    while ((e = fy_diag_errors_iterate(y->diag, &cursor)) != NULL)
        yaml_mistake(y, e->line > 0 ? e->line : 1, e->column > 0 ? e->column : 1, "%s", e->msg);
    if (y->error_count == before)
        yaml_mistake(y, 0, 0, "the file cannot be parsed");
}

static void parse(struct yaml *y)
{
    struct fy_diag_cfg diag_config;
    struct fy_parse_cfg config = { .flags = FYPCF_QUIET };
    struct fy_document *second;

    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.colorize = false;
    y->diag = fy_diag_create(&diag_config);
    ASSERT(y->diag != NULL);
    fy_diag_set_collect_errors(y->diag, true);
    config.diag = y->diag;
    y->parser = fy_parser_create(&config);
    ASSERT(y->parser != NULL);
    ASSERT(fy_parser_set_string(y->parser, y->bytes, y->length) == 0);
    y->document = fy_parse_load_document(y->parser);
    if (y->document == NULL) {
        if (fy_parser_get_stream_error(y->parser))
            take_library_errors(y);
        else
            yaml_mistake(y, 0, 0, "the file is empty");
        return;
    }
    second = fy_parse_load_document(y->parser);
    if (second != NULL) {
        struct fy_node *root = fy_document_root(second);
        struct place place = { 1, 1 };
        if (root != NULL)
            place = yaml_place(y, root, place);
        yaml_mistake(y, place.line, place.column, "a second document begins here; one per file");
        fy_parse_document_destroy(y->parser, second);
    } else if (fy_parser_get_stream_error(y->parser)) {
        take_library_errors(y);
    } else {
        y->root = fy_document_root(y->document);
        if (y->root == NULL)
            yaml_mistake(y, 0, 0, "the file is empty");
    }
}

static struct yaml *create(const char *name)
{
    struct yaml *y = calloc(1, sizeof *y);
    ASSERT(y != NULL);
    y->name = strdup(name);
    ASSERT(y->name != NULL);
    return y;
}

struct yaml *yaml_from_bytes(const char *name, const char *bytes, size_t length_bytes)
{
    struct yaml *y = create(name);

    if (length_bytes > YAML_BYTES_MAX) {
        yaml_mistake(y, 0, 0, "%zu bytes; at most %d", length_bytes, YAML_BYTES_MAX);
        return y;
    }
    y->bytes = malloc(length_bytes + 1);
    ASSERT(y->bytes != NULL);
    memcpy(y->bytes, bytes, length_bytes);
    y->bytes[length_bytes] = '\0';
    y->length = length_bytes;
    if (bytes_are_text(y))
        parse(y);
    return y;
}

struct yaml *yaml_from_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct yaml *y = NULL;
    char *bytes = malloc(YAML_BYTES_MAX + 1);
    size_t used = 0;
    ssize_t got = -1;

    ASSERT(bytes != NULL);
    while (fd >= 0 && used <= YAML_BYTES_MAX) {
        got = read(fd, bytes + used, YAML_BYTES_MAX + 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    if (fd < 0 || got < 0) {
        int why = errno;
        y = create(path);
        yaml_mistake(y, 0, 0, "cannot be read: %s", strerror(why));
    } else if (used > YAML_BYTES_MAX) {
        y = create(path);
        yaml_mistake(y, 0, 0, "more than %d bytes", YAML_BYTES_MAX);
    } else {
        y = yaml_from_bytes(path, bytes, used);
    }
    if (fd >= 0)
        (void)close(fd);
    free(bytes);
    return y;
}

void yaml_destroy(struct yaml *y)
{
    if (y == NULL)
        return;
    if (y->document != NULL)
        fy_parse_document_destroy(y->parser, y->document);
    if (y->parser != NULL)
        fy_parser_destroy(y->parser);
    if (y->diag != NULL)
        fy_diag_destroy(y->diag);
    free(y->name);
    free(y->bytes);
    free(y);
}

size_t yaml_error_count(const struct yaml *y)
{
    return y->error_count;
}
const char *yaml_name(const struct yaml *y)
{
    return y->name;
}

const struct yaml_error *yaml_error_at(const struct yaml *y, size_t index)
{
    ASSERT(index < y->error_count);
    return &y->errors[index];
}

bool yaml_has_key(const struct yaml *y, const char *key)
{
    return y->root != NULL && fy_node_is_mapping(y->root) &&
           fy_node_mapping_lookup_pair_by_string(y->root, key, (size_t)-1) != NULL;
}

/* The item of a list, or the pair of a mapping, that one segment of a path names; NULL when it was not written. */
static struct fy_node *descend(struct fy_node *node, const char *segment, size_t length, struct fy_node **key)
{
    struct fy_node_pair *pair;

    *key = NULL;
    if (fy_node_is_sequence(node)) {
        char number[16] = "";
        memcpy(number, segment, length < sizeof number - 1 ? length : sizeof number - 1);
        return fy_node_sequence_get_by_index(node, atoi(number));
    }
    if (!fy_node_is_mapping(node))
        return NULL;
    pair = fy_node_mapping_lookup_pair_by_string(node, segment, length);
    if (pair == NULL)
        return NULL;
    *key = fy_node_pair_key(pair);
    return fy_node_pair_value(pair);
}

void yaml_error(struct yaml *y, const char *path, const char *format, ...)
{
    struct place place = { 1, 1 };
    struct fy_node *node = y->root, *key;
    va_list args;

    if (node != NULL)
        place = yaml_place(y, node, place);
    while (node != NULL && *path == '/') {
        size_t length = strcspn(path + 1, "/");
        node = descend(node, path + 1, length, &key);
        if (node == NULL && key == NULL)
            break;
        if (key != NULL)
            place = yaml_place(y, key, place);
        if (node != NULL && (key == NULL || fy_node_is_scalar(node)))
            place = yaml_place(y, node, place);
        path += 1 + length;
    }
    va_start(args, format);
    record(y, place.line, place.column, format, args);
    va_end(args);
}
