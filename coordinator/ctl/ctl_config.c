#include "ctl/ctl.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (200 * 1024) /* as text in a JSON body it must stay below the server's limit */

/* The whole file ("-" is standard input), or NULL with the reason said. Gives. */
static char *read_file(const struct ctl *ctl, const char *path, int *exit_code)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *bytes = malloc(FILE_MAX_BYTES + 1);
    size_t length = 0;
    const char *why = NULL;

    ASSERT(bytes != NULL);
    if (file == NULL) {
        why = strerror(errno);
    } else {
        length = fread(bytes, 1, FILE_MAX_BYTES + 1, file);
        if (ferror(file) != 0)
            why = strerror(errno);
        else if (length > FILE_MAX_BYTES)
            why = "it is too long";
        else if (memchr(bytes, '\0', length) != NULL)
            why = "it is no text: it holds a NUL";
        if (file != stdin)
            (void)fclose(file);
    }
    if (why != NULL) {
        *exit_code = ctl_fail(ctl, STATUS_INVALID, NULL, "%s: cannot be read: %s", path, why);
        free(bytes);
        return NULL;
    }
    bytes[length] = '\0';
    return bytes;
}

static void print_changes(const struct ctl *ctl, const struct json_t *changes)
{
    for (size_t i = 0; i < json_item_count(changes); i++) {
        const struct json_t *change = json_item(changes, i);
        const char *path = json_look_text(change, "path");
        const char *old = json_look_text(change, "old"), *new = json_look_text(change, "new");

        if (old == NULL)
            (void)fprintf(ctl->out, "%s+ %s: %s%s\n", ctl_color_on(ctl, CTL_GREEN), path, new, ctl_color_off(ctl));
        else if (new == NULL)
            (void)fprintf(ctl->out, "%s- %s: %s%s\n", ctl_color_on(ctl, CTL_RED), path, old, ctl_color_off(ctl));
        else
            (void)fprintf(ctl->out, "%s~ %s: %s -> %s%s\n", ctl_color_on(ctl, CTL_YELLOW), path, old, new,
                          ctl_color_off(ctl));
    }
}

static int send_file(const struct ctl *ctl, const char *command, const char *target)
{
    const char *file = ctl->file != NULL ? ctl->file : ctl->operands[0];
    struct json_t *body, *answer;
    const struct json_t *changes;
    int64_t version;
    char *yaml, *end;
    int exit_code = CTL_OK;

    if (ctl->operand_count + (ctl->file != NULL ? 1 : 0) != 1)
        return ctl_usage(ctl, "%s: name one file: coordctl %s -f FILE", command, command);
    yaml = read_file(ctl, file, &exit_code);
    if (yaml == NULL)
        return exit_code;
    body = json_make_object();
    json_put_text(body, "yaml", yaml);
    free(yaml);
    json_put_text(body, "file", strcmp(file, "-") == 0 ? "standard input" : file);
    if (ctl->base != NULL) {
        json_put_int(body, "base_version", strtoll(ctl->base, &end, 10));
        if (*end != '\0' || ctl->base[0] == '\0') {
            json_free(body);
            return ctl_usage(ctl, "%s: --base: expected a version, got '%s'", command, ctl->base);
        }
    }
    answer = ctl_call(ctl, "POST", target, body, &exit_code);
    if (answer == NULL)
        return exit_code;
    if (ctl->json) {
        ctl_print_json(ctl, answer);
    } else {
        changes = json_look(answer, "changes");
        version = json_look_int(answer, "version", 0);
        print_changes(ctl, changes);
        if (json_item_count(changes) == 0)
            (void)fprintf(ctl->out, "no difference to version %" PRId64 "\n", version);
        else if (json_look_bool(answer, "applied"))
            (void)fprintf(ctl->out, "applied as version %" PRId64 ": %zu changes\n", version, json_item_count(changes));
        else
            (void)fprintf(ctl->out, "%zu changes to version %" PRId64 "; nothing was applied\n",
                          json_item_count(changes), version);
    }
    json_free(answer);
    return CTL_OK;
}

int ctl_apply(const struct ctl *ctl)
{
    return send_file(ctl, "apply", ctl->dry_run ? "/v1/config/apply?dry_run=1" : "/v1/config/apply");
}

int ctl_diff(const struct ctl *ctl)
{
    return send_file(ctl, "diff", "/v1/config/apply?dry_run=1");
}

int ctl_config(const struct ctl *ctl)
{
    int exit_code;
    struct json_t *answer = ctl_call(ctl, "GET", "/v1/config", NULL, &exit_code);

    if (answer == NULL)
        return exit_code;
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else
        (void)fprintf(ctl->out, "# version %" PRId64 "\n%s", json_look_int(answer, "version", 0),
                      json_look_text(answer, "yaml"));
    json_free(answer);
    return CTL_OK;
}
