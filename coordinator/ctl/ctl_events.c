#include "ctl/ctl.h"

#include "base/check.h"
#include "base/text.h"
#include "io/http_call.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

static const char *word(const struct json_t *object, const char *key)
{
    const char *text = json_look_text(object, key);
    return text != NULL ? text : "-";
}

static void print_event(const struct ctl *ctl, const struct json_t *event)
{
    char at[CTL_TIME_MAX_BYTES];
    bool alarm = strcmp(word(event, "event"), "alarm") == 0;

    ctl_time(json_look_int(event, "at_ms", 0), true, at);
    (void)fprintf(ctl->out, "%s  %s%-11s %s%s\n", at, alarm ? ctl_color_on(ctl, CTL_RED) : "", word(event, "event"),
                  word(event, "text"), alarm ? ctl_color_off(ctl) : "");
}

struct streaming {
    const struct ctl *ctl;
    char line[LINE_MAX_BYTES];
    size_t used;
};

/* One JSON object per line; a line longer than ours could only be a defect of the node, and is passed over. */
static bool on_data(void *ctx, const char *data, size_t length)
{
    struct streaming *s = ctx;

    for (size_t i = 0; i < length; i++) {
        struct error err = ERROR_NONE;
        struct json_t *event;

        if (data[i] != '\n') {
            if (s->used < sizeof s->line)
                s->line[s->used++] = data[i];
            continue;
        }
        event = s->used < sizeof s->line ? json_read(s->line, s->used, &err) : NULL;
        s->used = 0;
        if (event == NULL)
            continue;
        json_clean(event, false);
        if (s->ctl->json)
            ctl_print_json(s->ctl, event);
        else
            print_event(s->ctl, event);
        json_free(event);
    }
    return fflush(s->ctl->out) == 0;
}

static int follow(const struct ctl *ctl, const char *target)
{
    struct streaming *s = calloc(1, sizeof *s);
    struct http_call_request request = { .method = "GET", .target = target, .on_data = on_data, .ctx = s };
    struct http_call_answer answer;
    struct error err = ERROR_NONE;
    int exit_code = CTL_OK;

    ASSERT(s != NULL);
    s->ctl = ctl;
    if (ctl_request(ctl, &request, &answer, &err) != STATUS_OK) {
        bool lost =
            err.status == STATUS_UNKNOWN; /* after it had begun; nothing was asked for that may have been done */
        exit_code = ctl_fail(ctl, lost ? STATUS_UNREACHABLE : err.status,
                             lost ? "coordctl events -f at another node, or here when coordd runs again"
                                  : ctl_contact_fix(ctl, err.status),
                             "%s", err.text);
    } else if (answer.code / 100 != 2) {
        struct json_t *body = json_read(answer.body, answer.body_bytes, &err);
        json_clean(body, false);
        exit_code = body != NULL ? ctl_say_error(ctl, body) : ctl_fail(ctl, err.status, NULL, "%s", err.text);
        json_free(body);
    }
    http_call_answer_free(&answer);
    free(s);
    return exit_code;
}

int ctl_events(const struct ctl *ctl)
{
    const char *service = ctl->operand_count > 0 ? ctl->operands[0] : ctl->service;
    char encoded[128] = "", since[64] = "", target[320];
    const struct json_t *events;
    struct json_t *answer;
    int exit_code;

    if (service != NULL && !http_encode(service, encoded, sizeof encoded))
        return ctl_usage(ctl, "events: the name is too long");
    if (ctl->since != NULL && !http_encode(ctl->since, since, sizeof since))
        return ctl_usage(ctl, "events: --since: expected the number of an event");
    text_set(target, sizeof target, "/v1/events?follow=%d%s%s%s%s", ctl->follow ? 1 : 0,
             service != NULL ? "&service=" : "", encoded, ctl->since != NULL ? "&since=" : "", since);
    if (ctl->follow)
        return follow(ctl, target);
    answer = ctl_call(ctl, "GET", target, NULL, &exit_code);
    if (answer == NULL)
        return exit_code;
    events = json_look(answer, "events");
    if (ctl->json)
        ctl_print_json(ctl, answer);
    for (size_t i = 0; i < json_item_count(events) && !ctl->json; i++)
        print_event(ctl, json_item(events, i));
    json_free(answer);
    return CTL_OK;
}

int ctl_incidents(const struct ctl *ctl)
{
    static const char *const headings[] = { "ID", "STARTED", "KIND", "SERVICE", "FROM", "TO", "STATE", "TOOK", "BY" };
    const char *service = ctl->operand_count > 0 ? ctl->operands[0] : ctl->service;
    char encoded[128] = "", target[200];
    const struct json_t *incidents;
    struct json_t *answer;
    struct ctl_table *table;
    int exit_code;

    if (service != NULL && !http_encode(service, encoded, sizeof encoded))
        return ctl_usage(ctl, "incidents: the name is too long");
    text_set(target, sizeof target, "/v1/incidents%s%s", service != NULL ? "?service=" : "", encoded);
    answer = ctl_call(ctl, "GET", target, NULL, &exit_code);
    if (answer == NULL)
        return exit_code;
    incidents = json_look(answer, "incidents");
    if (ctl->json) {
        ctl_print_json(ctl, answer);
    } else if (json_item_count(incidents) == 0) {
        (void)fprintf(ctl->out, "no incidents\n");
    } else {
        table = ctl_table_create(headings, 9);
        for (size_t i = 0; i < json_item_count(incidents); i++) {
            const struct json_t *one = json_item(incidents, i);
            int64_t started = json_look_int(one, "started_ms", 0), ended = json_look_int(one, "ended_ms", 0);
            char id[24], at[CTL_TIME_MAX_BYTES], took[CTL_TIME_MAX_BYTES] = "-";
            const char *cells[] = { id,
                                    at,
                                    json_look_text(one, "kind"),
                                    json_look_text(one, "service"),
                                    json_look_text(one, "from"),
                                    json_look_text(one, "to"),
                                    json_look_text(one, "state"),
                                    took,
                                    json_look_text(one, "by") };

            text_set(id, sizeof id, "%" PRId64, json_look_int(one, "id", 0));
            ctl_time(started, true, at);
            if (ended > 0)
                ctl_span(ended - started, took);
            ctl_table_row(table, cells);
        }
        ctl_table_print(table, ctl, 0);
    }
    json_free(answer);
    return CTL_OK;
}

int ctl_report(const struct ctl *ctl)
{
    char encoded[64], target[120];
    struct json_t *answer;
    int exit_code;

    if (ctl->operand_count != 1 || !http_encode(ctl->operands[0], encoded, sizeof encoded))
        return ctl_usage(ctl, "report: name one operation by its number (coordctl incidents)");
    text_set(target, sizeof target, "/v1/incidents/%s?format=%s", encoded,
             ctl->json      ? "json"
             : ctl->mermaid ? "mermaid"
                            : "text");
    if (!ctl->json)
        return ctl_print_text(ctl, target);
    answer = ctl_call(ctl, "GET", target, NULL, &exit_code);
    if (answer != NULL)
        ctl_print_json(ctl, answer);
    json_free(answer);
    return exit_code;
}
