/* The services file. One without a mistake is printed and read again as the same, and enters the log as a command that can be read. */
#include "core/command.h"
#include "core/version.h"
#include "services_yaml.h"
#include "tests/fuzz/fuzz.h"

static void on_change(void *ctx, const char *path, const char *before, const char *after)
{
    (void)ctx;
    (void)fprintf(stderr, "%s: '%s' became '%s'\n", path, before != NULL ? before : "-", after != NULL ? after : "-");
}

static void prints_as_the_same(const struct services_config *config, const struct services_context *context)
{
    static struct services_config again;
    char *text = services_print(config, context), *report;
    struct yaml *y = yaml_from_bytes("printed.yaml", text, strlen(text));

    services_read(&again, y, context);
    report = yaml_report(y);
    if (report[0] != '\0')
        check_failed(report, __FILE__, __LINE__);
    ASSERT(services_diff(config, &again, context, on_change, NULL) == 0);
    free(report);
    yaml_destroy(y);
    free(text);
}

static void enters_the_log(const struct services_config *config)
{
    static struct command command, decoded;
    static uint8_t bytes[ENTRY_MAX_BYTES], again[ENTRY_MAX_BYTES];
    struct error err = ERROR_NONE;
    size_t length = 0, length_again = 0;
    enum status status;

    command_clear(&command, COMMAND_CONFIG_APPLY);
    command.config_apply.service_count = (uint8_t)config->count;
    memcpy(command.config_apply.services, config->services, config->count * sizeof config->services[0]);
    status = command_encode(&command, program_version, bytes, sizeof bytes, &length);
    ASSERT(status == STATUS_OK || status == STATUS_FULL);
    if (status != STATUS_OK)
        return;
    ASSERT(command_decode(&decoded, bytes, length, &err) == STATUS_OK);
    ASSERT(command_encode(&decoded, program_version, again, sizeof again, &length_again) == STATUS_OK);
    ASSERT(length == length_again && memcmp(bytes, again, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct services_config config;
    struct services_offline sites = { .count = 0 };
    struct services_context context = { services_offline_site, services_offline_name, &sites, NULL };
    char *bytes = fuzz_text(data, size), *report;
    struct yaml *y = yaml_from_bytes("services.yaml", bytes, size);

    free(bytes);
    services_read(&config, y, &context);
    report = yaml_report(y);
    ASSERT((yaml_error_count(y) == 0) == (report[0] == '\0'));
    free(report);
    if (yaml_error_count(y) == 0) {
        prints_as_the_same(&config, &context);
        enters_the_log(&config);
    }
    yaml_destroy(y);
    return 0;
}
