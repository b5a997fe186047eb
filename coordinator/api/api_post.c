/* A request that becomes one command. What the log answers is what the caller gets: nothing is decided before it, except whether the request
 * itself is complete (an override is typed, with a reason and the service's name). */
#include "api/api_internal.h"

#include "base/check.h"
#include "base/text.h"
#include "core/gates.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORCE_MAX 16

/* {"status":"ok","message":...} or the log's refusal. */
static void answer_done(struct api_submission *submission, const struct outcome *outcome)
{
    struct json_t *body;

    if (outcome->status != STATUS_OK) {
        api_refuse(submission->x, outcome->status, NULL, "%s", outcome->reason);
        return;
    }
    body = json_make_object();
    json_put_text(body, "status", "ok");
    json_put_text(body, "message", submission->message);
    api_answer(submission->x, 200, body);
}

bool api_read_body(struct http_exchange *x, const struct http_request *request, const struct json_want *wanted,
                   size_t count, void *out)
{
    const char *bytes = request->body_bytes > 0 ? request->body : "{}";
    struct error err = ERROR_NONE;
    struct json_t *body = json_read(bytes, request->body_bytes > 0 ? request->body_bytes : 2, &err);
    bool good = body != NULL && json_unpack_wanted(body, wanted, count, out, &err) == STATUS_OK;

    if (!good)
        api_refuse(x, STATUS_INVALID, NULL, "%s", err.text);
    json_free(body);
    return good;
}

struct command *api_new_command(const struct api *api, const struct http_request *request, enum command_kind kind)
{
    struct command *command = calloc(1, sizeof *command);

    ASSERT(command != NULL);
    command_clear(command, kind);
    api_who(api, request, command->who);
    return command;
}

/* ---- promote ---- */

struct promote_request {
    char site[NAME_MAX_BYTES];
    char force[FORCE_MAX][NAME_MAX_BYTES];
    uint32_t force_count;
    char reason[DETAIL_MAX_BYTES];
    char confirm[NAME_MAX_BYTES];
    bool dry_run;
};

static const struct json_want promote_wanted[] = {
    { .key = "site",
      .kind = JSON_IS_TEXT,
      .required = true,
      .offset = offsetof(struct promote_request, site),
      .size = NAME_MAX_BYTES },
    { .key = "force",
      .kind = JSON_IS_TEXTS,
      .offset = offsetof(struct promote_request, force),
      .size = NAME_MAX_BYTES,
      .count_max = FORCE_MAX,
      .count = offsetof(struct promote_request, force_count) },
    { .key = "reason",
      .kind = JSON_IS_TEXT,
      .offset = offsetof(struct promote_request, reason),
      .size = DETAIL_MAX_BYTES },
    { .key = "confirm",
      .kind = JSON_IS_TEXT,
      .offset = offsetof(struct promote_request, confirm),
      .size = NAME_MAX_BYTES },
    { .key = "dry_run", .kind = JSON_IS_BOOL, .offset = offsetof(struct promote_request, dry_run) },
};

static struct json_t *promote_started(const struct state *s, service_id service, site_id site, operation_id operation,
                                      const char *message, struct json_t *gates)
{
    struct json_t *body = json_make_object();

    json_put_text(body, "status", "ok");
    if (operation != 0)
        json_put_int(body, "operation", (int64_t)operation);
    else
        json_put(body, "operation", NULL);
    json_put_text(body, "service", s->services[service].config.name);
    json_put_text(body, "site", state_site_name(s, site));
    json_put_text(body, "message", message);
    json_put(body, "gates", gates);
    return body;
}

/* The exact command that would override what says no now, or why no override exists. */
static void override_command(const struct state *s, service_id service, site_id site, uint32_t no, uint32_t overrides,
                             char *out, size_t capacity)
{
    const char *name = s->services[service].config.name;
    char force[160] = "";

    for (int g = 0; g < GATE_COUNT; g++) {
        bool stands = ((no >> g) & 1u) != 0;
        if (stands && g == GATE_ARMED) {
            text_set(out, capacity, "coordctl arm %s", name);
            return;
        }
        if (stands && g == GATE_OPERATION && s->services[service].operation.state != OPERATION_PROMOTED) {
            text_set(out, capacity, "coordctl abort %" PRIu64 ", or wait for it: coordctl report %" PRIu64,
                     s->services[service].operation.id, s->services[service].operation.id);
            return;
        }
        if (stands && !gate_overridable((enum gate)g)) {
            text_set(out, capacity, "this cannot be overridden; coordctl status %s", name);
            return;
        }
        if (stands || ((overrides >> g) & 1u) != 0)
            text_add(force, sizeof force, "%s%s", force[0] != '\0' ? "," : "", gate_word((enum gate)g));
    }
    if (no == 0)
        out[0] = '\0'; /* the log refused for another reason */
    else
        text_set(out, capacity, "coordctl promote %s -s %s --force=%s --reason \"WHY\" --confirm %s",
                 state_site_name(s, site), name, force, name);
}

static void answer_gates(struct api *api, struct http_exchange *x, service_id service, site_id site, uint32_t overrides,
                         const char *message)
{
    const struct state *s = api_state(api);
    uint32_t no = gates_check(s, service, site, OPERATION_PROMOTE, overrides, s->now_ms);
    char fix[300];
    struct json_t *body;

    override_command(s, service, site, no, overrides, fix, sizeof fix);
    body = api_error(STATUS_REFUSED, fix[0] != '\0' ? fix : NULL, message);
    json_put(body, "gates", api_view_gates(s, service, site, OPERATION_PROMOTE, overrides, s->now_ms));
    api_answer(x, 409, body);
}

/* An operation is numbered by the entry that started it. */
static bool operation_is_visible(const struct state *s, const struct api_submission *submission,
                                 const struct outcome *outcome)
{
    (void)submission;
    return s->applied_index >= outcome->value;
}

static void answer_promote(struct api_submission *submission, const struct outcome *outcome)
{
    const struct state *s = api_state(submission->api);

    if (outcome->status == STATUS_REFUSED)
        answer_gates(submission->api, submission->x, submission->service, submission->site, submission->overrides,
                     outcome->reason);
    else if (outcome->status != STATUS_OK)
        api_refuse(submission->x, outcome->status, NULL, "%s", outcome->reason);
    else
        api_answer(submission->x, 202,
                   promote_started(s, submission->service, submission->site, outcome->value, submission->message,
                                   json_make_array()));
}

/* The words of --force as bits; false when one is no gate, or is one that nobody may override (answered then). */
static bool overrides_of(struct http_exchange *x, const struct promote_request *in, const char *service, uint32_t *out)
{
    char names[200] = "";

    *out = 0;
    for (int g = 0; g < GATE_COUNT; g++)
        if (gate_overridable((enum gate)g))
            text_add(names, sizeof names, "%s%s", names[0] != '\0' ? ", " : "", gate_word((enum gate)g));
    for (uint32_t i = 0; i < in->force_count; i++) {
        enum gate gate = gate_from_word(in->force[i]);
        if (gate == GATE_COUNT || !gate_overridable(gate)) {
            api_refuse(x, STATUS_INVALID, NULL, "'%s' is no gate that can be overridden; those are %s", in->force[i],
                       names);
            return false;
        }
        *out |= 1u << gate;
    }
    if (in->force_count > 0 && (in->reason[0] == '\0' || strcmp(in->confirm, service) != 0)) {
        api_refuse(x, STATUS_INVALID, "add --reason \"WHY\" --confirm SERVICE; both stand in the report",
                   "an override is typed: it needs a reason, and the service's name '%s' as confirmation", service);
        return false;
    }
    return true;
}

void api_promote(struct api *api, struct http_exchange *x, const struct http_request *request, service_id service)
{
    const struct state *s = api_state(api);
    const struct service *svc = &s->services[service];
    struct promote_request in;
    struct api_submission submission = {
        .api = api, .x = x, .service = service, .answer = answer_promote, .visible = operation_is_visible
    };
    struct command *command;

    memset(&in, 0, sizeof in);
    if (!api_read_body(x, request, promote_wanted, sizeof promote_wanted / sizeof promote_wanted[0], &in) ||
        !overrides_of(x, &in, svc->config.name, &submission.overrides))
        return;
    submission.site = state_site(s, in.site);
    if (submission.site == SITE_NONE || service_config_site(&svc->config, submission.site) == NULL) {
        api_refuse(x, STATUS_NOT_FOUND, "coordctl status", "service '%s' has no site '%s'", svc->config.name, in.site);
        return;
    }
    if (svc->primary == submission.site && !operation_active(&svc->operation)) {
        api_answer(x, 200,
                   promote_started(s, service, submission.site, 0, "it is the primary already", json_make_array()));
        return;
    }
    if (in.dry_run) {
        if (gates_check(s, service, submission.site, OPERATION_PROMOTE, submission.overrides, s->now_ms) != 0)
            answer_gates(api, x, service, submission.site, submission.overrides, "a gate says no; nothing was started");
        else
            api_answer(x, 200,
                       promote_started(s, service, submission.site, 0, "every gate says yes; nothing was started",
                                       api_view_gates(s, service, submission.site, OPERATION_PROMOTE,
                                                      submission.overrides, s->now_ms)));
        return;
    }
    command = api_new_command(api, request, COMMAND_OPERATION_START);
    command->operation_start.service = service;
    command->operation_start.kind = OPERATION_PROMOTE;
    command->operation_start.from = svc->primary;
    command->operation_start.to = submission.site;
    command->operation_start.epoch = svc->lease.epoch;
    command->operation_start.overrides = submission.overrides;
    text_set(command->operation_start.reason, sizeof command->operation_start.reason, "%s",
             in.reason[0] != '\0' ? in.reason : "by hand");
    text_set(submission.message, sizeof submission.message, "promotion of %s at %s has started", svc->config.name,
             in.site);
    api_submit(&submission, command);
    free(command);
}

/* ---- arm, disarm, pause, resume ---- */

struct reason_request {
    char reason[DETAIL_MAX_BYTES];
    bool fenced;
    char confirm[NAME_MAX_BYTES];
    char step[NAME_MAX_BYTES];
};

#define WANT_REASON                                                                                                    \
    {                                                                                                                  \
        .key = "reason", .kind = JSON_IS_TEXT, .offset = offsetof(struct reason_request, reason),                      \
        .size = DETAIL_MAX_BYTES                                                                                       \
    }
#define WANT_CONFIRM                                                                                                   \
    {                                                                                                                  \
        .key = "confirm", .kind = JSON_IS_TEXT, .offset = offsetof(struct reason_request, confirm),                    \
        .size = NAME_MAX_BYTES                                                                                         \
    }

static bool change_is_visible(const struct state *s, const struct api_submission *submission,
                              const struct outcome *outcome)
{
    const struct service *svc = &s->services[submission->service];

    (void)outcome;
    switch (submission->change) {
    case SERVICE_ARM:
        return svc->armed;
    case SERVICE_DISARM:
        return !svc->armed;
    case SERVICE_PAUSE:
        return svc->paused;
    case SERVICE_RESUME:
        return !svc->paused;
    case SERVICE_CHANGE_COUNT:
        break;
    }
    return true;
}

void api_service_set(struct api *api, struct http_exchange *x, const struct http_request *request, service_id service,
                     enum service_change change)
{
    static const char *const done[SERVICE_CHANGE_COUNT] = {
        "armed: a failover may start", "disarmed: nothing starts by itself, and the lease is not enforced",
        "paused: nothing starts, and the lease is not enforced", "resumed"
    };
    struct api_submission submission = {
        .api = api, .x = x, .service = service, .change = change, .answer = answer_done, .visible = change_is_visible
    };
    struct command *command;

    if (!api_read_body(x, request, NULL, 0, NULL))
        return;
    command = api_new_command(api, request, COMMAND_SERVICE_SET);
    command->service_set.service = service;
    command->service_set.change = change;
    text_set(submission.message, sizeof submission.message, "%s is %s", api_state(api)->services[service].config.name,
             done[change]);
    api_submit(&submission, command);
    free(command);
}

/* ---- operations ---- */

/* An approval and an abort move the operation; a certificate and a skip show in its steps, which is soon enough. */
static bool act_is_visible(const struct state *s, const struct api_submission *submission,
                           const struct outcome *outcome)
{
    const struct operation *op = api_find_operation(s, submission->operation);

    (void)outcome;
    if (op == NULL)
        return true;
    if (submission->kind == COMMAND_OPERATION_APPROVE)
        return op->state != OPERATION_PROPOSED;
    if (submission->kind == COMMAND_OPERATION_ABORT)
        return op->state != OPERATION_PROPOSED && op->state != OPERATION_RUNNING;
    return true;
}

static void submit_operation(struct api *api, struct http_exchange *x, const struct http_request *request,
                             operation_id id, enum command_kind kind, const char *reason, const char *done)
{
    struct api_submission submission = {
        .api = api, .x = x, .operation = id, .kind = kind, .answer = answer_done, .visible = act_is_visible
    };
    struct command *command = api_new_command(api, request, kind);

    /* The three kinds share their fields. */
    command->operation_approve.operation = id;
    text_set(command->operation_approve.reason, sizeof command->operation_approve.reason, "%s",
             reason[0] != '\0' ? reason : "by hand");
    text_set(submission.message, sizeof submission.message, "operation %" PRIu64 " %s", id, done);
    api_submit(&submission, command);
    free(command);
}

static void approve(struct api *api, struct http_exchange *x, const struct http_request *request, operation_id id)
{
    static const struct json_want wanted[] = {
        WANT_REASON,
        WANT_CONFIRM,
        { .key = "fenced", .kind = JSON_IS_BOOL, .offset = offsetof(struct reason_request, fenced) }
    };
    const struct state *s = api_state(api);
    const struct operation *op = api_find_operation(s, id);
    const char *service;
    struct reason_request in;

    memset(&in, 0, sizeof in);
    if (!api_read_body(x, request, wanted, sizeof wanted / sizeof wanted[0], &in))
        return;
    if (!in.fenced) {
        submit_operation(api, x, request, id, COMMAND_OPERATION_APPROVE, in.reason, "approved");
        return;
    }
    service = op != NULL ? s->services[op->service].config.name : ""; /* it may have ended in this moment */
    if (in.reason[0] == '\0' || strcmp(in.confirm, service) != 0) {
        api_refuse(x, STATUS_INVALID, "add --reason \"WHY\" --confirm SERVICE; both stand in the report",
                   "you vouch that the old primary can no longer acknowledge a write: that needs a reason, and the "
                   "service's name '%s' as confirmation",
                   service);
        return;
    }
    submit_operation(api, x, request, id, COMMAND_OPERATOR_CERTIFICATE, in.reason,
                     "has your word that the old primary is off");
}

static void skip(struct api *api, struct http_exchange *x, const struct http_request *request, operation_id id)
{
    static const struct json_want wanted[] = { WANT_REASON,
                                               { .key = "step",
                                                 .kind = JSON_IS_TEXT,
                                                 .required = true,
                                                 .offset = offsetof(struct reason_request, step),
                                                 .size = NAME_MAX_BYTES } };
    struct api_submission submission = { .api = api, .x = x, .answer = answer_done };
    struct reason_request in;
    struct command *command;
    int step = 0;

    memset(&in, 0, sizeof in);
    if (!api_read_body(x, request, wanted, sizeof wanted / sizeof wanted[0], &in))
        return;
    while (step < STEP_COUNT && strcmp(step_word((enum step)step), in.step) != 0)
        step++;
    if (step == STEP_COUNT || in.reason[0] == '\0') {
        if (step == STEP_COUNT)
            api_refuse(x, STATUS_INVALID, "coordctl status names the steps", "there is no step '%s'", in.step);
        else
            api_refuse(x, STATUS_INVALID, "add --reason \"WHY\"", "a step that is skipped needs a reason");
        return;
    }
    command = api_new_command(api, request, COMMAND_STEP_SKIP);
    command->step_skip.operation = id;
    command->step_skip.step = (enum step)step;
    text_set(command->step_skip.reason, sizeof command->step_skip.reason, "%s", in.reason);
    text_set(submission.message, sizeof submission.message, "step %s of operation %" PRIu64 " is skipped", in.step, id);
    api_submit(&submission, command);
    free(command);
}

void api_operation_act(struct api *api, struct http_exchange *x, const struct http_request *request, operation_id id,
                       const char *action)
{
    static const struct json_want wanted[] = { WANT_REASON };
    struct reason_request in;

    memset(&in, 0, sizeof in);
    if (strcmp(action, "abort") == 0) {
        if (api_read_body(x, request, wanted, 1, &in))
            submit_operation(api, x, request, id, COMMAND_OPERATION_ABORT, in.reason, "is aborted");
    } else if (strcmp(action, "approve") == 0) {
        approve(api, x, request, id);
    } else if (strcmp(action, "skip") == 0) {
        skip(api, x, request, id);
    } else {
        api_refuse(x, STATUS_NOT_FOUND, NULL, "an operation has no action '%.40s'; those are abort, approve, skip",
                   action);
    }
}
