/* Single values that a person writes: numbers, durations, sizes, names, addresses. Each that is accepted prints as it reads, and what one
 * reader of addresses accepts the others understand. */
#include "config_value.h"
#include "io/address.h"
#include "io/dns_wire.h"
#include "io/yaml_value.h"
#include "tests/fuzz/fuzz.h"

static void number(enum yaml_type type, const char *text)
{
    struct yaml_field field = { .key = "k", .type = type, .size = 8 };
    char printed[YAML_VALUE_MAX_BYTES];
    int64_t value = 0, again = 0, stored;

    if (!yaml_value_number(type, text, &value))
        return;
    ASSERT(value >= 0 || type == YAML_INT);
    yaml_value_print(&field, value, printed);
    ASSERT(yaml_value_number(type, printed, &again) && again == value);
    yaml_value_store(&field, &stored, value);
    ASSERT(stored == value);
}

static void address(const char *text)
{
    struct sockaddr_storage binary;
    struct error err = ERROR_NONE;
    char host[HOST_TEXT_MAX], printed[ADDRESS_TEXT_MAX];
    uint16_t port = 0;
    enum status status = address_split(text, 53, host, &port, &err);

    if (status == STATUS_OK)
        ASSERT(host[0] != '\0' && port > 0);
    if (config_value_is_loopback(text))
        ASSERT(config_value_is_address(text));
    if (config_value_is_ip(text)) {
        ASSERT(address_parse(text, 1, &binary) && config_value_is_host(text));
        ASSERT(strcmp(address_text(&binary, false, printed, sizeof printed), text) == 0);
    }
    if (!config_value_is_address(text))
        return;
    ASSERT(status == STATUS_OK);
    ASSERT(address_parse(host, port, &binary));
    ASSERT(strcmp(address_text(&binary, true, printed, sizeof printed), text) == 0);
}

static void words(const char *text)
{
    static const char *const candidates[] = { "name", "primary", "site", "max_lag_seconds", NULL };
    static struct dns_message m;
    struct error err = ERROR_NONE;

    (void)yaml_value_nearest(text, candidates);
    (void)config_value_is_url(text);
    (void)config_value_is_secret(text);
    if (config_value_is_name(text))
        ASSERT(config_value_is_domain(text) && strchr(text, '/') == NULL);
    if (config_value_is_path(text))
        ASSERT(text[0] == '/' && strstr(text, "/../") == NULL);
    if (config_value_is_domain(text)) /* what the file allows the DNS library takes */
        ASSERT(dns_wire_query(&m, text, DNS_TYPE_A, NULL, &err) == STATUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);

    number(YAML_INT, text);
    number(YAML_DURATION, text);
    number(YAML_SIZE, text);
    address(text);
    words(text);
    free(text);
    return 0;
}
