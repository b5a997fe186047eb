/* io: TLS records of a stranger, to either side, cut anywhere; and the names in a certificate. Nobody without our authority's signature gets further than
 * the handshake, whatever is sent. The first byte chooses the side, the second how many bytes come at once. */
#include "io/tls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tls_fixture.h"

static struct tls_context *context;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    tls_fixture_certificate("node1",
                            &(struct tls_fixture_certificate){ .authority = "ca", .uris = { "coord:node:1" } });
    context = tls_fixture_context("node1", "ca");
    tls_fixture_close(); /* what was read is kept; a program that is ended leaves nothing behind */
    return 0;
}

static void identity(const uint8_t *bytes, size_t size)
{
    struct tls_identity who;
    char text[TLS_IDENTITY_TEXT_MAX_BYTES];

    if (!tls_identity_parse((const char *)bytes, size, &who)) {
        ASSERT(who.kind == TLS_NOBODY);
        return;
    }
    ASSERT(who.kind > TLS_NOBODY && who.kind < TLS_KIND_COUNT);
    ASSERT((who.kind == TLS_NODE) == (who.id > 0) && (who.kind == TLS_NODE) == (who.name[0] == '\0'));
    ASSERT(strstr(tls_identity_text(&who, text), tls_kind_word(who.kind)) == text);
}

static void stranger(const struct tls_options *options, struct fuzz_input *in, size_t chunk)
{
    uint8_t plain[512];
    struct error err = ERROR_NONE;
    struct tls *t = tls_create(context, options, &err);
    enum status status = STATUS_OK;

    ASSERT(t != NULL);
    while (in->left > 0 && status == STATUS_OK) {
        size_t length = in->left < chunk ? in->left : chunk, got = 0;

        status = tls_receive(t, in->at, length, &err);
        in->at += length;
        in->left -= length;
        if (status == STATUS_OK)
            status = tls_read(t, plain, sizeof plain, &got, &err);
        ASSERT(got == 0 && !tls_established(t) && tls_peer(t)->kind == TLS_NOBODY);
        while (tls_output(t, plain, sizeof plain) > 0)
            ;
    }
    ASSERT(status == STATUS_OK || (err.status == status && err.text[0] != '\0'));
    tls_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    uint8_t choice = fuzz_u8(&in);
    size_t chunk = (size_t)fuzz_u8(&in) + 1;
    struct tls_options options = { .side = (choice & 1) != 0 ? TLS_CLIENT : TLS_SERVER, .peer_kind = TLS_NODE };

    if ((choice & 2) != 0)
        identity(in.at, in.left);
    else
        stranger(&options, &in, chunk);
    return 0;
}
