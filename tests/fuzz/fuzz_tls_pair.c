/* io: what can happen to the bytes of two nodes that talk. The first byte says which side is tried, the rest what is changed of what the other side
 * sends (two bytes: how many bytes further, one: the bits to flip). Nobody is let in but the other side, and nothing is read but what it wrote. */
#include "io/tls.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/tls_fixture.h"

#define ROUNDS_MAX 16
#define TOLD "what one node tells the other"

static struct tls_context *contexts[2]; /* by id - 1 */

struct changes {
    struct fuzz_input in;
    uint64_t passed, at; /* bytes that went by; where the next change is */
    uint8_t flip;        /* 0: none any more */
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tls_fixture_certificate one = { .authority = "ca", .uris = { "coord:node:1" } };
    struct tls_fixture_certificate two = { .authority = "ca", .uris = { "coord:node:2" } };

    (void)argc;
    (void)argv;
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    tls_fixture_certificate("n1", &one);
    tls_fixture_certificate("n2", &two);
    contexts[0] = tls_fixture_context("n1", "ca");
    contexts[1] = tls_fixture_context("n2", "ca");
    tls_fixture_close();
    return 0;
}

/* Node 1 is the client, node 2 the server. */
static struct tls *side(enum tls_side which)
{
    struct tls_options options = { .side = which, .peer_kind = TLS_NODE, .peer_id = which == TLS_CLIENT ? 2 : 1 };
    struct error err;
    struct tls *t = tls_create(contexts[which == TLS_CLIENT ? 0 : 1], &options, &err);

    ASSERT(t != NULL);
    return t;
}

static void next_change(struct changes *c)
{
    uint64_t further = fuzz_u8(&c->in);

    further = further << 8 | fuzz_u8(&c->in);
    c->at = c->passed + further;
    c->flip = fuzz_u8(&c->in);
}

static void change(struct changes *c, uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++, c->passed++) {
        if (c->flip == 0 || c->passed != c->at)
            continue;
        bytes[i] ^= c->flip;
        c->passed++;
        next_change(c);
        c->passed--;
    }
}

static void check_plain(struct tls *t)
{
    uint8_t plain[TLS_RECORD_MAX_BYTES];
    struct error err;
    size_t length = 0;

    if (tls_read(t, plain, sizeof plain, &length, &err) != STATUS_OK) {
        ASSERT(err.text[0] != '\0');
        return;
    }
    ASSERT(length == 0 || (length == strlen(TOLD) && memcmp(plain, TOLD, length) == 0));
}

/* False: that side has ended the connection. */
static bool deliver(struct tls *from, struct tls *to, struct changes *changes)
{
    uint8_t bytes[8192];
    struct error err;

    for (size_t n; (n = tls_output(from, bytes, sizeof bytes)) > 0;) {
        if (changes != NULL)
            change(changes, bytes, n);
        if (tls_receive(to, bytes, n, &err) != STATUS_OK) {
            ASSERT(err.text[0] != '\0');
            return false;
        }
        check_plain(to);
    }
    return true;
}

static void two_nodes(enum tls_side tried, struct fuzz_input in)
{
    enum tls_side other = tried == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT;
    struct tls *victim = side(tried), *peer = side(other);
    struct changes changes = { .in = in };
    struct error err;
    bool goes_on = true, told = false;

    next_change(&changes);
    for (unsigned round = 0; goes_on && round < ROUNDS_MAX; round++) {
        goes_on = deliver(victim, peer, NULL) && deliver(peer, victim, &changes);
        if (goes_on && !told && tls_established(peer)) {
            ASSERT(tls_write(peer, (const uint8_t *)TOLD, strlen(TOLD), &err) == STATUS_OK);
            told = true;
        }
    }
    if (tls_established(victim))
        ASSERT(tls_peer(victim)->kind == TLS_NODE && tls_peer(victim)->id == (other == TLS_CLIENT ? 1u : 2u));
    else
        ASSERT(tls_peer(victim)->kind == TLS_NOBODY);
    tls_destroy(victim);
    tls_destroy(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    enum tls_side tried = (fuzz_u8(&in) & 1) != 0 ? TLS_SERVER : TLS_CLIENT;

    two_nodes(tried, in);
    return 0;
}
