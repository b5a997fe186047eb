#include "deploy/deploy_command.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

#define OUTPUT_IN_ERROR_MAX 240

struct deploy_command {
    uv_loop_t *loop;
    char supervise_path[PATH_MAX];
    uint32_t grace_ms;
    char *argv[CHILD_ARGS_MAX + 1];
    struct child *running;
    deploy_cb done;
    void *ctx;
};

enum status deploy_command_create(uv_loop_t *loop, const struct child_config *config, const char *const *argv,
                                  struct deploy_command **out, struct error *err)
{
    struct deploy_command *d;
    size_t count = 0;

    while (argv[count] != NULL)
        count++;
    if (count == 0 || argv[0][0] == '\0')
        return error_set(err, STATUS_INVALID, "deploy: no program to run");
    if (count > CHILD_ARGS_MAX)
        return error_set(err, STATUS_INVALID, "deploy: %zu arguments; at most %d are possible", count, CHILD_ARGS_MAX);
    if (strlen(config->supervise_path) >= PATH_MAX)
        return error_set(err, STATUS_INVALID, "deploy: the supervisor's path is too long");
    d = calloc(1, sizeof *d);
    ASSERT(d != NULL);
    d->loop = loop;
    d->grace_ms = config->grace_ms;
    (void)text_copy(d->supervise_path, sizeof d->supervise_path, config->supervise_path);
    for (size_t i = 0; i < count; i++) {
        d->argv[i] = strdup(argv[i]);
        ASSERT(d->argv[i] != NULL);
    }
    *out = d;
    return STATUS_OK;
}

void deploy_command_destroy(struct deploy_command *d)
{
    ASSERT(d->running == NULL);
    for (size_t i = 0; d->argv[i] != NULL; i++)
        free(d->argv[i]);
    free(d);
}

/* The end of what it said, on one line: the reason is usually there. */
static void last_words(char *out, size_t capacity_bytes, const struct child_result *result)
{
    const char *text = result->errors[0] != '\0' ? result->errors : result->output;
    size_t length = strlen(text), used = 0;

    if (length >= capacity_bytes)
        text += length - capacity_bytes + 1;
    for (; *text != '\0' && used + 1 < capacity_bytes; text++) {
        char c = *text >= ' ' ? *text : ' ';
        if (c != ' ' || (used > 0 && out[used - 1] != ' '))
            out[used++] = c;
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
}

static void on_child(void *ctx, const struct child_result *result, const struct error *err)
{
    struct deploy_command *d = ctx;
    struct error failed = ERROR_NONE;
    char said[OUTPUT_IN_ERROR_MAX];

    d->running = NULL;
    last_words(said, sizeof said, result);
    if (err != NULL)
        error_set(&failed, err->status, "%.140s%s%s", err->text, said[0] != '\0' ? "; it said: " : "", said);
    else if (result->exit_code != 0)
        error_set(&failed, STATUS_FAILED, "%.100s: exit code %d%s%s", d->argv[0], result->exit_code,
                  said[0] != '\0' ? ": " : " without a word", said);
    d->done(d->ctx, error_or_null(&failed));
}

static void deploy_begin(void *self, const struct deploy_request *request, deploy_cb done, void *ctx)
{
    struct deploy_command *d = self;
    char service[128], site[128], epoch[48], operation[48];
    const char *env[] = { service, site, epoch, operation, NULL };
    struct child_config config = { .supervise_path = d->supervise_path, .grace_ms = d->grace_ms };
    struct child_request run = {
        .argv = (const char *const *)d->argv, .env = env, .t0_us = request->t0_us, .deadline_ms = request->deadline_ms
    };

    ASSERT(d->running == NULL);
    (void)snprintf(service, sizeof service, "COORD_SERVICE=%s", request->service);
    (void)snprintf(site, sizeof site, "COORD_SITE=%s", request->site);
    (void)snprintf(epoch, sizeof epoch, "COORD_EPOCH=%" PRIu64, request->epoch);
    (void)snprintf(operation, sizeof operation, "COORD_OPERATION=%" PRIu64, request->operation);
    d->done = done;
    d->ctx = ctx;
    d->running = child_begin(d->loop, &config, &run, on_child, d);
}

static void deploy_cancel(void *self)
{
    struct deploy_command *d = self;

    if (d->running != NULL)
        child_cancel(d->running);
}

const struct deploy_method deploy_command_method = { .name = "command",
                                                     .begin = deploy_begin,
                                                     .cancel = deploy_cancel };
