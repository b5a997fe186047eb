/* Messages made from configured names and values: five lines, zone, name, address, text, key. What can be built can be read back as DNS. */
#include "io/dns_wire.h"
#include "tests/fuzz/fuzz.h"

static void reads_back(struct dns_message *m)
{
    static struct dns_reply reply;
    struct error err = ERROR_NONE;

    ASSERT(m->length >= 12 && m->length <= DNS_WIRE_MESSAGE_MAX && m->mac_bytes <= DNS_WIRE_MAC_MAX);
    m->bytes[2] |= 0x80; /* as if it were an answer */
    ASSERT(dns_wire_parse(&reply, m->bytes, m->length, m, NULL, &err) == STATUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_message m;
    static struct dns_record records[2], expected;
    struct fuzz_input in = { data, size };
    struct tsig_key key = { .algorithm = "hmac-sha256" };
    char *zone = fuzz_line(&in), *name = fuzz_line(&in), *address = fuzz_line(&in), *text = fuzz_line(&in),
         *key_name = fuzz_line(&in), *secret = fuzz_line(&in);
    struct error err = ERROR_NONE;
    struct dns_update update = {
        .zone = zone, .prerequisite = DNS_RRSET_EQUALS, .expected = &expected, .records = records, .record_count = 2
    };

    records[0].type = strchr(address, ':') != NULL ? DNS_TYPE_AAAA : DNS_TYPE_A;
    records[1].type = expected.type = DNS_TYPE_TXT;
    (void)snprintf(records[0].name, sizeof records[0].name, "%s", name);
    (void)snprintf(records[0].value, sizeof records[0].value, "%s", address);
    (void)snprintf(records[1].name, sizeof records[1].name, "_coord.%.240s", name);
    (void)snprintf(records[1].value, sizeof records[1].value, "%s", text);
    expected = records[1];
    (void)snprintf(key.name, sizeof key.name, "%s", key_name);
    (void)snprintf(key.secret, sizeof key.secret, "%s", secret);
    if (dns_wire_query(&m, name, records[0].type, secret[0] != '\0' ? &key : NULL, &err) == STATUS_OK)
        reads_back(&m);
    else
        ASSERT(err.status == STATUS_INVALID && err.text[0] != '\0');
    if (dns_wire_update(&m, &update, secret[0] != '\0' ? &key : NULL, &err) == STATUS_OK)
        reads_back(&m);
    free(zone);
    free(name);
    free(address);
    free(text);
    free(key_name);
    free(secret);
    return 0;
}
