#include "io/tls_identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const words[TLS_KIND_COUNT] = {
    [TLS_NOBODY] = "nobody", [TLS_NODE] = "node", [TLS_OPERATOR] = "operator", [TLS_VIEWER] = "viewer"
};

const char *tls_kind_word(enum tls_kind kind)
{
    return (unsigned)kind < TLS_KIND_COUNT ? words[kind] : words[TLS_NOBODY];
}

/* A node's id has one spelling, so that no two certificates look different and are the same. */
static bool parse_id(const char *text, size_t length, uint64_t *id)
{
    uint64_t value = 0;

    if (length == 0 || length > 10 || text[0] == '0')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *id = value;
    return value <= INT32_MAX; /* the member list's range */
}

static bool parse_name(const char *text, size_t length, char out[TLS_NAME_MAX_BYTES])
{
    if (length == 0 || length >= TLS_NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr("._@-", c) == NULL))
            return false;
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

bool tls_identity_parse(const char *uri, size_t length, struct tls_identity *out)
{
    struct tls_identity found = { .kind = TLS_NOBODY };
    const size_t prefix = strlen(TLS_IDENTITY_URI_PREFIX);

    *out = found;
    if (length < prefix || memcmp(uri, TLS_IDENTITY_URI_PREFIX, prefix) != 0)
        return false;
    uri += prefix;
    length -= prefix;
    for (unsigned kind = TLS_NODE; kind < TLS_KIND_COUNT; kind++) {
        size_t word = strlen(words[kind]);
        if (length <= word || memcmp(uri, words[kind], word) != 0 || uri[word] != ':')
            continue;
        found.kind = (enum tls_kind)kind;
        uri += word + 1;
        length -= word + 1;
        if (kind == TLS_NODE ? !parse_id(uri, length, &found.id) : !parse_name(uri, length, found.name))
            return false;
        *out = found;
        return true;
    }
    return false;
}

const char *tls_identity_text(const struct tls_identity *identity, char out[TLS_IDENTITY_TEXT_MAX_BYTES])
{
    if (identity->kind == TLS_NOBODY)
        (void)snprintf(out, TLS_IDENTITY_TEXT_MAX_BYTES, "no certificate");
    else if (identity->kind == TLS_NODE)
        (void)snprintf(out, TLS_IDENTITY_TEXT_MAX_BYTES, "node %" PRIu64, identity->id);
    else
        (void)snprintf(out, TLS_IDENTITY_TEXT_MAX_BYTES, "%s %s", tls_kind_word(identity->kind), identity->name);
    return out;
}
