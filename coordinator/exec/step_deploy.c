/* The application is started at the target by the site's own command. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "deploy/deploy_command.h"
#include "exec/steps.h"
#include "io/clock.h"

_Static_assert(CHILD_ARGS_MAX >= ARGC_MAX, "every configured argument fits");

static void on_deployed(void *ctx, const struct error *err)
{
    struct step_attempt *a = ctx;
    const struct site_config *site = service_config_site(&a->config, a->site);

    deploy_command_destroy(a->self);
    a->self = NULL;
    if (err != NULL)
        step_end_failed(a, "%s", err->text);
    else
        step_end_ok(a, "%.90s ended well after %" PRId64 " ms", site->deploy.bytes, (clock_now_us() - a->t0_us) / 1000);
}

static void begin(struct step_attempt *a)
{
    const struct site_config *site = step_site(a);
    const char *argv[ARGC_MAX + 1] = { NULL };
    struct deploy_command *command;
    struct deploy_request request;
    struct error err = ERROR_NONE;
    const char *at;

    if (site == NULL)
        return;
    if (site->deploy.count == 0) {
        step_end_ok(a, "no deploy command configured at %s", a->site_name);
        return;
    }
    at = site->deploy.bytes;
    for (unsigned i = 0; i < site->deploy.count; i++) {
        argv[i] = at;
        at += strlen(at) + 1;
    }
    if (deploy_command_create(a->env->loop, &a->env->child, argv, &command, &err) != STATUS_OK) {
        step_end_failed(a, "%s", err.text);
        return;
    }
    a->self = command;
    request = (struct deploy_request){ .service = a->config.name,
                                       .site = a->site_name,
                                       .epoch = a->epoch,
                                       .operation = a->operation,
                                       .t0_us = clock_now_us() };
    request.deadline_ms = step_left_ms(a);
    if (request.deadline_ms > 2 * a->env->child.grace_ms)
        request.deadline_ms -= a->env->child.grace_ms; /* its group is dead before the attempt's deadline */
    step_waits(a, "%.100s to end", argv[0]);
    deploy_command_method.begin(command, &request, on_deployed, a);
}

static void cancel(struct step_attempt *a)
{
    deploy_command_method.cancel(a->self);
}

const struct step_method step_deploy = { .begin = begin, .cancel = cancel };
