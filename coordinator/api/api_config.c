/* The services file over the API: read here, against the sites of the applied state, so that its author gets every mistake with its place;
 * applied by one command that carries the whole list. */
#include "api/api_internal.h"

#include "base/check.h"
#include "base/text.h"
#include "services_yaml.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME_MAX_BYTES 256
#define NO_BASE INT64_MIN /* the author names no version */

struct apply_request {
    char yaml[YAML_BYTES_MAX];
    char file[FILE_NAME_MAX_BYTES];
    int64_t base_version;
};

static const struct json_want apply_wanted[] = {
    { .key = "yaml",
      .kind = JSON_IS_TEXT,
      .required = true,
      .offset = offsetof(struct apply_request, yaml),
      .size = sizeof((struct apply_request *)0)->yaml },
    { .key = "file",
      .kind = JSON_IS_TEXT,
      .offset = offsetof(struct apply_request, file),
      .size = FILE_NAME_MAX_BYTES },
    { .key = "base_version", .kind = JSON_IS_INT, .offset = offsetof(struct apply_request, base_version) },
};

static site_id site_of(void *ctx, const char *name)
{
    return state_site(ctx, name);
}
static const char *site_name(void *ctx, site_id site)
{
    return state_site_name(ctx, site);
}

/* As core/fsm judges it: of Raft's times the state holds the election. */
static struct raft_timing raft_of(const struct state *s)
{
    return (struct raft_timing){ .heartbeat_ms = s->election_ms / 5, .election_ms = s->election_ms };
}

static struct services_config *applied_config(const struct state *s)
{
    struct services_config *config = calloc(1, sizeof *config);

    ASSERT(config != NULL);
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present)
            config->services[config->count++] = s->services[i].config;
    return config;
}

void api_config_get(struct api *api, struct http_exchange *x)
{
    const struct state *s = api_state(api);
    struct services_context context = { site_of, site_name, (void *)(uintptr_t)s, NULL };
    struct services_config *config = applied_config(s);
    struct json_t *body = json_make_object();
    char *yaml = services_print(config, &context);

    json_put_int(body, "version", (int64_t)s->config_version);
    json_put_text(body, "yaml", yaml);
    free(yaml);
    free(config);
    api_answer(x, 200, body);
}

static void answer_mistakes(struct http_exchange *x, const struct yaml *y)
{
    char *report = yaml_report(y);
    struct json_t *body = api_error(STATUS_INVALID, "correct the file; nothing was changed", report);
    struct json_t *list = json_make_array();

    for (size_t i = 0; i < yaml_error_count(y); i++) {
        const struct yaml_error *e = yaml_error_at(y, i);
        struct json_t *o = json_make_object();
        json_put_text(o, "file", yaml_name(y));
        json_put_int(o, "line", e->line);
        json_put_int(o, "column", e->column);
        json_put_text(o, "message", e->text);
        json_append(list, o);
    }
    json_put(body, "errors", list);
    free(report);
    api_answer(x, 400, body);
}

static void on_change(void *ctx, const char *path, const char *before, const char *after)
{
    struct json_t *o = json_make_object();

    json_put_text(o, "path", path);
    json_put_text(o, "old", before);
    json_put_text(o, "new", after);
    json_append(ctx, o);
}

static struct json_t *apply_answer(uint64_t version, bool applied, struct json_t *changes)
{
    struct json_t *body = json_make_object();

    json_put_text(body, "status", "ok");
    json_put_int(body, "version", (int64_t)version);
    json_put_bool(body, "applied", applied);
    json_put(body, "changes", changes);
    return body;
}

static void on_applied(struct api_submission *submission, const struct outcome *outcome)
{
    struct json_t *changes = submission->extra;

    submission->extra = NULL;
    if (outcome->status == STATUS_OK) {
        api_answer(submission->x, 200, apply_answer(outcome->value, true, changes));
        return;
    }
    json_free(changes);
    api_refuse(submission->x, outcome->status, NULL, "%s", outcome->reason);
}

static bool version_is_visible(const struct state *s, const struct api_submission *submission,
                               const struct outcome *outcome)
{
    (void)submission;
    return s->config_version >= outcome->value;
}

static void submit(struct api *api, struct http_exchange *x, const struct http_request *request,
                   const struct services_config *config, uint64_t base_version, struct json_t *changes)
{
    struct command *command = calloc(1, sizeof *command);
    struct api_submission submission = {
        .api = api, .x = x, .answer = on_applied, .visible = version_is_visible, .extra = changes
    };

    ASSERT(command != NULL);
    command_clear(command, COMMAND_CONFIG_APPLY);
    api_who(api, request, command->who);
    command->config_apply.base_version = base_version;
    command->config_apply.service_count = (uint8_t)config->count;
    memcpy(command->config_apply.services, config->services, config->count * sizeof config->services[0]);
    api_submit(&submission, command);
    free(command);
}

/* Takes the file apart and goes on with what it says; answers in any case. */
static void apply(struct api *api, struct http_exchange *x, const struct http_request *request,
                  const struct apply_request *in, bool dry_run)
{
    const struct state *s = api_state(api);
    struct raft_timing raft = raft_of(s);
    struct services_context context = { site_of, site_name, (void *)(uintptr_t)s, &raft };
    struct yaml *y = yaml_from_bytes(in->file[0] != '\0' ? in->file : "services.yaml", in->yaml, strlen(in->yaml));
    struct services_config *config = calloc(1, sizeof *config), *before = applied_config(s);
    struct json_t *changes = json_make_array();

    ASSERT(config != NULL);
    services_read(config, y, &context);
    if (yaml_error_count(y) > 0) {
        answer_mistakes(x, y);
        json_free(changes);
    } else if (in->base_version != NO_BASE && (uint64_t)in->base_version != s->config_version) {
        api_refuse(x, STATUS_REFUSED, "coordctl diff -f FILE, then apply again",
                   "the configuration is at version %" PRIu64 ", yours starts from %" PRId64, s->config_version,
                   in->base_version);
        json_free(changes);
    } else if (services_diff(before, config, &context, on_change, changes) == 0 || dry_run) {
        api_answer(x, 200, apply_answer(s->config_version, false, changes));
    } else {
        submit(api, x, request, config, in->base_version == NO_BASE ? 0 : (uint64_t)in->base_version, changes);
    }
    free(before);
    free(config);
    yaml_destroy(y);
}

void api_config_apply(struct api *api, struct http_exchange *x, const struct http_request *request)
{
    const char *dry_run = http_parameter(request, "dry_run");
    struct apply_request *in = calloc(1, sizeof *in);
    struct error err = ERROR_NONE;
    struct json_t *body = json_read(request->body, request->body_bytes, &err);

    ASSERT(in != NULL);
    in->base_version = NO_BASE;
    if (api_state(api)->cluster_id == 0)
        api_refuse(x, STATUS_NO_LEADER, "wait until the nodes have elected a leader; coordctl status",
                   "the cluster has no first entry yet: its sites are not known");
    else if (body == NULL || json_unpack_wanted(body, apply_wanted, sizeof apply_wanted / sizeof apply_wanted[0], in,
                                                &err) != STATUS_OK)
        api_refuse(x, STATUS_INVALID, NULL, "%s", err.text);
    else if (in->base_version < 0 && in->base_version != NO_BASE)
        api_refuse(x, STATUS_INVALID, NULL, "base_version: expected a version");
    else
        apply(api, x, request, in, dry_run != NULL && strcmp(dry_run, "1") == 0);
    json_free(body);
    free(in);
}
