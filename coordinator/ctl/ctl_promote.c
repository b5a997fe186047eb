/* Starts a promotion and follows it step by step. A gate's no is printed with the exact override; an override is typed, never a habit:
 * --force names each gate, --reason says why, and the service's name is typed at the prompt or given by --confirm. */
#include "ctl/ctl.h"

#include "base/text.h"
#include "io/clock.h"
#include "io/http_call.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLLOW_MS 200
#define FOLLOW_TIMEOUT_MS_DEFAULT 600000
#define QUIET_MS 1500 /* of waiting before it is said what for */
#define STEPS_MAX 32

struct following {
    const struct ctl *ctl;
    int64_t started_us;
    char states[STEPS_MAX][64]; /* what was last printed of each step */
    char waits_for[400];
    int64_t waits_since_us;
    bool waits_said, lost_said;
};

static void say_time(struct following *f)
{
    (void)fprintf(f->ctl->out, "%7.2f s  ", (double)(clock_now_us() - f->started_us) / 1e6);
}

static void say_steps(struct following *f, const struct json_t *operation)
{
    const struct json_t *steps = json_look(operation, "steps");

    for (size_t i = 0; i < json_item_count(steps) && i < STEPS_MAX; i++) {
        const struct json_t *step = json_item(steps, i);
        const char *name = json_look_text(step, "step"), *site = json_look_text(step, "site");
        const char *state = json_look_text(step, "state"), *detail = json_look_text(step, "detail");
        const char *node = json_look_text(step, "node");
        int64_t attempt = json_look_int(step, "attempt", 0);
        char now[64];

        if (name == NULL || state == NULL || strcmp(state, "pending") == 0)
            state = attempt > 0 ? "failed" : NULL; /* pending again after an attempt */
        if (name == NULL || state == NULL)
            continue;
        text_set(now, sizeof now, "%s %" PRId64, state, attempt);
        if (strcmp(now, f->states[i]) == 0)
            continue;
        text_set(f->states[i], sizeof f->states[i], "%s", now);
        say_time(f);
        (void)fprintf(f->ctl->out, "%-11s %-10s %s%s%s", name, site != NULL ? site : "-",
                      ctl_color_on(f->ctl, ctl_color_of(state)), strcmp(state, "assigned") == 0 ? "begins" : state,
                      ctl_color_off(f->ctl));
        if (strcmp(state, "assigned") == 0 && node != NULL)
            (void)fprintf(f->ctl->out, " on %s%s", node, attempt > 1 ? " again" : "");
        else if (detail != NULL && detail[0] != '\0')
            (void)fprintf(f->ctl->out, ": %s", detail);
        (void)fprintf(f->ctl->out, "\n");
    }
}

static void say_waiting(struct following *f, const struct json_t *operation)
{
    const char *waits_for = json_look_text(operation, "waits_for"), *way_out = json_look_text(operation, "way_out");

    if (waits_for == NULL)
        waits_for = "";
    if (strcmp(waits_for, f->waits_for) != 0) {
        text_set(f->waits_for, sizeof f->waits_for, "%s", waits_for);
        f->waits_since_us = clock_now_us();
        f->waits_said = false;
    }
    if (f->waits_said || waits_for[0] == '\0' || clock_now_us() - f->waits_since_us < QUIET_MS * 1000)
        return;
    f->waits_said = true;
    say_time(f);
    (void)fprintf(f->ctl->out, "waits for %s%s%s\n", waits_for, way_out != NULL ? "; way out: " : "",
                  way_out != NULL ? way_out : "");
}

/* 0 while it goes on, else the exit code + 1. */
static int look(struct following *f, const struct json_t *operation, int64_t id)
{
    const char *state = json_look_text(operation, "state");
    char span[CTL_TIME_MAX_BYTES];

    if (!f->ctl->json) {
        say_steps(f, operation);
        say_waiting(f, operation);
        (void)fflush(f->ctl->out);
    }
    if (state == NULL || (strcmp(state, "done") != 0 && strcmp(state, "aborted") != 0))
        return 0;
    if (f->ctl->json) {
        ctl_print_json(f->ctl, operation);
    } else {
        ctl_span(json_look_int(operation, "ended_ms", 0) - json_look_int(operation, "started_ms", 0), span);
        (void)fprintf(f->ctl->out, "operation %" PRId64 " is %s after %s; the report: coordctl report %" PRId64 "\n",
                      id, state, span, id);
    }
    return strcmp(state, "done") == 0 ? CTL_OK + 1 : CTL_FAILED + 1;
}

static int follow(const struct ctl *ctl, int64_t id)
{
    struct following f = { .ctl = ctl, .started_us = clock_now_us() };
    struct ctl quick = *ctl;
    int64_t patience_us = (ctl->timeout_ms > 0 ? ctl->timeout_ms : FOLLOW_TIMEOUT_MS_DEFAULT) * 1000;
    char target[80], fix[80];

    text_set(target, sizeof target, "/v1/operations/%" PRId64, id);
    text_set(fix, sizeof fix, "coordctl report %" PRId64 ", or coordctl status --watch", id);
    quick.timeout_ms = 2000; /* of one look */
    while (clock_now_us() - f.started_us < patience_us) {
        struct error err = ERROR_NONE;
        int code = 0, ended = 0;
        struct json_t *operation = ctl_try(&quick, "GET", target, NULL, &code, &err);

        if (operation != NULL && code == 200)
            ended = look(&f, operation, id);
        else if (!f.lost_said && !ctl->json) {
            say_time(&f);
            (void)fprintf(ctl->out, "this node does not answer (%s); the operation goes on without it\n",
                          operation != NULL ? "no such operation here yet" : err.text);
            f.lost_said = true;
        }
        json_free(operation);
        if (ended > 0)
            return ended - 1;
        (void)usleep(FOLLOW_MS * 1000);
    }
    return ctl_fail(ctl, STATUS_TIMED_OUT, fix, "operation %" PRId64 " is not at its end yet; it goes on", id);
}

/* Asks at the terminal for the service's name; false when it was not typed. */
static bool confirmed_at_terminal(const struct ctl *ctl, const char *service)
{
    char line[128] = "";

    (void)fprintf(ctl->err,
                  "You override %s for service %s. What these gates protect is lost if you are wrong.\n"
                  "Type the service's name to go on: ",
                  ctl->force, service);
    (void)fflush(ctl->err);
    if (fgets(line, sizeof line, stdin) == NULL)
        return false;
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, service) == 0;
}

static struct json_t *force_list(const char *force)
{
    struct json_t *list = json_make_array();
    char words[256], *rest = words, *word;

    text_set(words, sizeof words, "%s", force);
    while ((word = strsep(&rest, ",")) != NULL)
        if (word[0] != '\0')
            json_append_text(list, word);
    return list;
}

int ctl_promote(const struct ctl *ctl)
{
    char encoded[128], target[180];
    struct json_t *body, *answer;
    int64_t operation;
    int exit_code;

    if (ctl->operand_count != 1 || ctl->service == NULL)
        return ctl_usage(ctl, "promote: name the site and the service: coordctl promote SITE -s SERVICE");
    if (!http_encode(ctl->service, encoded, sizeof encoded))
        return ctl_usage(ctl, "promote: the name is too long");
    if (ctl->force != NULL && ctl->reason == NULL)
        return ctl_usage(ctl, "promote: --force needs --reason \"WHY\": it stands in the report");
    if (ctl->force != NULL && ctl->confirm == NULL && !ctl->interactive)
        return ctl_usage(ctl, "promote: --force without a terminal needs --confirm %s", ctl->service);
    if (ctl->force != NULL && ctl->confirm == NULL && !confirmed_at_terminal(ctl, ctl->service))
        return ctl_fail(ctl, STATUS_REFUSED, NULL, "the name was not typed; nothing was done");
    body = json_make_object();
    json_put_text(body, "site", ctl->operands[0]);
    if (ctl->force != NULL) {
        json_put(body, "force", force_list(ctl->force));
        json_put_text(body, "confirm", ctl->confirm != NULL ? ctl->confirm : ctl->service);
    }
    if (ctl->reason != NULL)
        json_put_text(body, "reason", ctl->reason);
    if (ctl->dry_run)
        json_put_bool(body, "dry_run", true);
    text_set(target, sizeof target, "/v1/services/%s/promote", encoded);
    answer = ctl_call(ctl, "POST", target, body, &exit_code);
    if (answer == NULL)
        return exit_code;
    operation = json_look_int(answer, "operation", 0);
    if (operation == 0 || ctl->no_wait) {
        if (ctl->json)
            ctl_print_json(ctl, answer);
        else
            (void)fprintf(ctl->out, "%s\n", json_look_text(answer, "message"));
        json_free(answer);
        return CTL_OK;
    }
    if (!ctl->json)
        (void)fprintf(ctl->out, "operation %" PRId64 ": %s\n", operation, json_look_text(answer, "message"));
    json_free(answer);
    return follow(ctl, operation);
}
