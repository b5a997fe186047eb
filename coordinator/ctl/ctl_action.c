/* Commands that are one request and one line of answer. */
#include "ctl/ctl.h"

#include "base/text.h"
#include "io/http_call.h"

#include <string.h>

static int send_action(const struct ctl *ctl, const char *target, struct json_t *body)
{
    int exit_code;
    struct json_t *answer = ctl_call(ctl, "POST", target, body, &exit_code);
    const char *message;

    if (answer == NULL)
        return exit_code;
    message = json_look_text(answer, "message");
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else
        (void)fprintf(ctl->out, "%s\n", message != NULL ? message : "done");
    json_free(answer);
    return CTL_OK;
}

static struct json_t *reason_body(const struct ctl *ctl)
{
    struct json_t *body = json_make_object();

    if (ctl->reason != NULL)
        json_put_text(body, "reason", ctl->reason);
    return body;
}

int ctl_service_action(const struct ctl *ctl, const char *action)
{
    const char *service = ctl->operand_count > 0 ? ctl->operands[0] : ctl->service;
    char encoded[128], target[200];

    if (service == NULL || ctl->operand_count > 1 || !http_encode(service, encoded, sizeof encoded))
        return ctl_usage(ctl, "%s: name one service: coordctl %s SERVICE", action, action);
    text_set(target, sizeof target, "/v1/services/%s/%s", encoded, action);
    return send_action(ctl, target, json_make_object());
}

int ctl_operation_action(const struct ctl *ctl, const char *action)
{
    bool skip = strcmp(action, "skip") == 0;
    char encoded[64], target[120];
    struct json_t *body;

    if (ctl->operand_count != (skip ? 2u : 1u) || !http_encode(ctl->operands[0], encoded, sizeof encoded))
        return ctl_usage(ctl, "%s: name one operation by its number%s (coordctl incidents)", action,
                         skip ? ", and a step" : "");
    if (ctl->fenced && (ctl->reason == NULL || ctl->confirm == NULL))
        return ctl_usage(
            ctl, "approve --fenced: you vouch that the old primary is off: add --reason \"WHY\" --confirm SERVICE");
    if (skip && ctl->reason == NULL)
        return ctl_usage(ctl, "skip: add --reason \"WHY\"");
    body = reason_body(ctl);
    if (skip)
        json_put_text(body, "step", ctl->operands[1]);
    if (ctl->fenced) {
        json_put_bool(body, "fenced", true);
        json_put_text(body, "confirm", ctl->confirm);
    }
    text_set(target, sizeof target, "/v1/operations/%s/%s", encoded, action);
    return send_action(ctl, target, body);
}
