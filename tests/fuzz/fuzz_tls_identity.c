/* io: the URI in a peer's certificate that says for whom it speaks. Each identity has one spelling: what is read, written again, is the input. */
#include "io/tls_identity.h"

#include <inttypes.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *uri = malloc(size + 1); /* no NUL behind it: a read beyond the end is seen */
    char again[TLS_IDENTITY_TEXT_MAX_BYTES + sizeof TLS_IDENTITY_URI_PREFIX], text[TLS_IDENTITY_TEXT_MAX_BYTES];
    struct tls_identity identity;
    int length;

    ASSERT(uri != NULL);
    if (size > 0)
        memcpy(uri + 1, data, size);
    if (!tls_identity_parse(uri + 1, size, &identity)) {
        ASSERT(identity.kind == TLS_NOBODY && identity.id == 0 && identity.name[0] == '\0');
        free(uri);
        return 0;
    }
    ASSERT(identity.kind != TLS_NOBODY && (identity.kind == TLS_NODE) == (identity.id != 0));
    if (identity.kind == TLS_NODE)
        length = snprintf(again, sizeof again, TLS_IDENTITY_URI_PREFIX "node:%" PRIu64, identity.id);
    else
        length =
            snprintf(again, sizeof again, TLS_IDENTITY_URI_PREFIX "%s:%s", tls_kind_word(identity.kind), identity.name);
    ASSERT(length > 0 && (size_t)length == size && memcmp(again, data, size) == 0);
    ASSERT(tls_identity_text(&identity, text)[0] != '\0');
    free(uri);
    return 0;
}
