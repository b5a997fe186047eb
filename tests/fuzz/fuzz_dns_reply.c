/* An authority's answer, with and without a key. Nobody who lacks the key makes a signature that verifies; every record that is read is a
 * bounded text; a sentinel among them is judged. */
#include "dns/sentinel.h"
#include "io/dns_wire.h"
#include "tests/fuzz/fuzz.h"

static struct dns_message request;
static const struct tsig_key key = { .name = "coord.",
                                     .algorithm = "hmac-sha256",
                                     .secret = "c2VjcmV0IGZvciBmdXp6aW5nIG9ubHk=" };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct error err = ERROR_NONE;

    (void)argc;
    (void)argv;
    ASSERT(dns_wire_query(&request, "_coord.app.example.test", DNS_TYPE_TXT, &key, &err) == STATUS_OK);
    request.id = 0x1234;
    memset(request.mac, 7, request.mac_bytes); /* the same in every run */
    return 0;
}

static void records(const struct dns_reply *reply)
{
    ASSERT(reply->record_count <= DNS_WIRE_RECORDS_MAX);
    for (size_t i = 0; i < reply->record_count; i++) {
        const struct dns_record *r = &reply->records[i];
        struct sentinel s;

        ASSERT(memchr(r->name, '\0', sizeof r->name) != NULL && memchr(r->value, '\0', sizeof r->value) != NULL);
        ASSERT(dns_type_word(r->type)[0] != '\0');
        if (r->type == DNS_TYPE_TXT)
            (void)sentinel_parse(&s, r->value);
    }
    ASSERT(dns_rcode_word(reply->rcode)[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_reply signed_reply, plain_reply;
    struct error err = ERROR_NONE;
    uint8_t *bytes = malloc(size + 1);
    enum status status;

    ASSERT(bytes != NULL);
    memcpy(bytes, data, size);
    if (size >= 3) {
        bytes[0] = 0x12;
        bytes[1] = 0x34;
        bytes[2] |= 0x80;
    }
    bytes = realloc(bytes, size > 0 ? size : 1);
    status = dns_wire_parse(&signed_reply, bytes, size, &request, &key, &err);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_NOT_FOUND);
    if (status == STATUS_OK) {
        ASSERT(signed_reply.tsig != TSIG_VERIFIED);
        records(&signed_reply);
        ASSERT(dns_wire_parse(&plain_reply, bytes, size, &request, NULL, &err) == STATUS_OK);
        ASSERT(plain_reply.tsig == TSIG_NONE || plain_reply.tsig == TSIG_UNVERIFIABLE);
        ASSERT(plain_reply.record_count == signed_reply.record_count);
    }
    free(bytes);
    return 0;
}
