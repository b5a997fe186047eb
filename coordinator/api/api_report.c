/* One operation, three renderings: JSON for programs, text for the file that an auditor reads, mermaid for a picture. All from the state. */
#include "api/api_internal.h"

#include "base/check.h"
#include "base/text.h"
#include "core/gates.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct operation *api_find_operation(const struct state *s, operation_id id)
{
    uint32_t kept = s->incident_count < INCIDENTS_MAX ? s->incident_count : INCIDENTS_MAX;

    for (unsigned i = 0; id != 0 && i < SERVICES_MAX; i++)
        if (s->services[i].present && s->services[i].operation.id == id)
            return &s->services[i].operation;
    for (uint32_t back = 1; id != 0 && back <= kept; back++) {
        const struct operation *op = &s->incidents[(s->incident_count - back) % INCIDENTS_MAX];
        if (op->id == id)
            return op;
    }
    return NULL;
}

/* A span, or -1 when one of its ends did not happen. */
static int64_t span(int64_t from_ms, int64_t to_ms)
{
    return from_ms != 0 && to_ms != 0 ? to_ms - from_ms : -1;
}

static int64_t step_end(const struct operation *op, enum step step)
{
    const struct step_run *run = operation_run(op, step, SITE_NONE);
    return run != NULL && run->state == RUN_DONE ? run->ended_ms : 0;
}

static int64_t step_span(const struct operation *op, enum step step)
{
    const struct step_run *run = operation_run(op, step, SITE_NONE);
    return run != NULL && run->state == RUN_DONE ? span(run->assigned_ms, run->ended_ms) : -1;
}

struct phase {
    const char *key;  /* in JSON */
    const char *name; /* for people */
    int64_t ms;
};

#define PHASE_COUNT 8
static void phases_of(const struct operation *op, struct phase out[PHASE_COUNT])
{
    const struct phase phases[PHASE_COUNT] = {
        { "decision_ms", "decision (verdict to start)", span(op->detected_ms, op->started_ms) },
        { "fence_ms", "fence (start to proof)", span(op->started_ms, op->certified_ms) },
        { "choice_ms", "choice (proof to PROMOTE)", span(op->certified_ms, op->promoted_ms) },
        { "promotion_ms", "promotion (PROMOTE to first write)", span(op->promoted_ms, step_end(op, STEP_CANARY)) },
        { "dns_ms", "DNS", step_span(op, STEP_DNS) },
        { "deploy_ms", "deploy", step_span(op, STEP_DEPLOY) },
        { "writable_ms", "verdict to first write", span(op->detected_ms, step_end(op, STEP_CANARY)) },
        { "total_ms", "verdict to end", span(op->detected_ms, op->ended_ms) },
    };
    memcpy(out, phases, sizeof phases);
}

/* Events of the operation, or of its service while it ran. */
static bool belongs(const struct event *event, const struct operation *op)
{
    if (event == NULL)
        return false;
    return event->operation == op->id || (event->service == op->service && event->at_ms >= op->detected_ms - 5000 &&
                                          (op->ended_ms == 0 || event->at_ms <= op->ended_ms));
}

struct json_t *api_report_json(const struct state *s, const struct operation *op)
{
    struct json_t *o = json_make_object(), *phases = json_make_object(), *lines = json_make_array();
    struct phase list[PHASE_COUNT];

    json_put(o, "operation", api_view_operation(s, op, true));
    phases_of(op, list);
    for (unsigned i = 0; i < PHASE_COUNT; i++)
        if (list[i].ms >= 0)
            json_put_int(phases, list[i].key, list[i].ms);
        else
            json_put(phases, list[i].key, NULL);
    json_put(o, "phases", phases);
    for (uint64_t n = 1; n <= s->events.last_number; n++)
        if (belongs(event_get(s, n), op))
            json_append(lines, api_view_event(s, event_get(s, n)));
    json_put(o, "lines", lines);
    return o;
}

static void clock_text(int64_t at_ms, bool with_date, char out[40])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm utc;
    char text[24] = "?";

    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(text, sizeof text, with_date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &utc);
    (void)snprintf(out, 40, "%s.%03d%s", text, (int)(at_ms % 1000), with_date ? " UTC" : "");
}

static void text_head(FILE *out, const struct state *s, const struct operation *op)
{
    char at[40];

    clock_text(op->started_ms, true, at);
    (void)fprintf(out, "Operation %" PRIu64 ": %s of %s from %s to %s\n\n", op->id, operation_kind_word(op->kind),
                  op->service < SERVICES_MAX && s->services[op->service].present ? s->services[op->service].config.name
                                                                                 : "a removed service",
                  state_site_name(s, op->from), state_site_name(s, op->to));
    (void)fprintf(out, "state        %s\n", operation_state_word(op->state));
    (void)fprintf(out, "started      %s\n", at);
    (void)fprintf(out, "by           %s\n", op->kind == OPERATION_FAILOVER ? "the cluster itself" : op->who);
    (void)fprintf(out, "reason       %s\n", op->reason);
    (void)fprintf(out, "epoch        %" PRIu64 " -> ", op->old_epoch);
    if (op->new_epoch != 0)
        (void)fprintf(out,
                      "%" PRIu64 "\nproof        %s: the old primary of epoch %" PRIu64
                      " can no longer acknowledge a write\n",
                      op->new_epoch, certificate_kind_word(op->certificate), op->old_epoch);
    else
        (void)fprintf(out, "none: the point of no return was not reached\n");
    if (op->overrides != 0) {
        (void)fprintf(out, "overridden  ");
        for (int g = 0; g < GATE_COUNT; g++)
            if (((op->overrides >> g) & 1u) != 0)
                (void)fprintf(out, " %s", gate_word((enum gate)g));
        (void)fprintf(out, "  (by %s: %s)\n", op->who, op->reason);
    }
}

static void text_steps(FILE *out, const struct state *s, const struct operation *op)
{
    (void)fprintf(out, "\nSteps\n");
    for (unsigned i = 0; i < op->run_count; i++) {
        const struct step_run *run = &op->runs[i];
        int64_t ms = run_ended(run) ? span(run->assigned_ms, run->ended_ms) : -1;

        (void)fprintf(out, "  %-11s %-10s %-9s %-8s ", step_word(run->step), state_site_name(s, run->site),
                      run_state_word(run->state), run->node != 0 ? state_node_name(s, run->node) : "-");
        if (ms >= 0)
            (void)fprintf(out, "%7" PRId64 " ms", ms);
        else
            (void)fprintf(out, "%10s", "-");
        (void)fprintf(out, "%s%s\n", run->detail[0] != '\0' ? "  " : "", run->detail);
    }
}

char *api_report_text(const struct state *s, const struct operation *op)
{
    struct phase phases[PHASE_COUNT];
    char *text = NULL, at[40];
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    ASSERT(out != NULL);
    text_head(out, s, op);
    (void)fprintf(out, "\nPhases\n");
    phases_of(op, phases);
    for (unsigned i = 0; i < PHASE_COUNT; i++)
        if (phases[i].ms >= 0)
            (void)fprintf(out, "  %-36s %8" PRId64 " ms\n", phases[i].name, phases[i].ms);
    text_steps(out, s, op);
    (void)fprintf(out, "\nTime line\n");
    for (uint64_t n = 1; n <= s->events.last_number; n++) {
        const struct event *event = event_get(s, n);
        if (!belongs(event, op))
            continue;
        clock_text(event->at_ms, false, at);
        (void)fprintf(out, "  %s  %+8.3f s  %-11s %s\n", at, (double)(event->at_ms - op->detected_ms) / 1000.0,
                      event_kind_word(event->kind), event->text);
    }
    ASSERT(fclose(out) == 0);
    return text;
}

char *api_report_mermaid(const struct state *s, const struct operation *op)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    ASSERT(out != NULL);
    (void)fprintf(out, "gantt\n    title operation %" PRIu64 ": %s\n    dateFormat x\n    axisFormat %%S.%%L s\n",
                  op->id, operation_kind_word(op->kind));
    (void)fprintf(out, "    section decision\n    verdict to start :%" PRId64 ", %" PRId64 "\n", op->detected_ms,
                  op->started_ms);
    (void)fprintf(out, "    section steps\n");
    for (unsigned i = 0; i < op->run_count; i++)
        if (op->runs[i].state == RUN_DONE)
            (void)fprintf(out, "    %s at %s :%" PRId64 ", %" PRId64 "\n", step_word(op->runs[i].step),
                          state_site_name(s, op->runs[i].site), op->runs[i].assigned_ms, op->runs[i].ended_ms);
    if (op->promoted_ms != 0)
        (void)fprintf(out, "    PROMOTE :milestone, %" PRId64 ", 0\n", op->promoted_ms);
    ASSERT(fclose(out) == 0);
    return text;
}
