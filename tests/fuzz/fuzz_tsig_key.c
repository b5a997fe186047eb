/* dns: a TSIG key file. A key that is read can sign, and its line in the canonical form reads as the same key; an error repeats no secret. */
#include "dns/tsig_key.h"
#include "tests/fuzz/fuzz.h"

static enum status read_bytes(const uint8_t *data, size_t size, struct tsig_key *out, struct error *err)
{
    char path[64];
    int fd = fuzz_file(data, size, path);
    enum status status = tsig_key_read(path, out, err);

    ASSERT(close(fd) == 0);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_message m;
    struct error err = ERROR_NONE;
    struct tsig_key key, again;
    char line[sizeof key + 8];
    enum status status = read_bytes(data, size, &key, &err);

    if (status != STATUS_OK) {
        ASSERT(status == STATUS_INVALID && err.status == status);
        return 0;
    }
    ASSERT(dns_wire_query(&m, "name.test", DNS_TYPE_SOA, &key, &err) == STATUS_OK && m.mac_bytes > 0);
    (void)snprintf(line, sizeof line, "%s:%s:%s\n", key.algorithm, key.name, key.secret);
    ASSERT(read_bytes((const uint8_t *)line, strlen(line), &again, &err) == STATUS_OK);
    ASSERT(memcmp(&key, &again, sizeof key) == 0);
    return 0;
}
