#include "ctl/ctl.h"

#include "base/check.h"
#include "base/text.h"
#include "io/http_call.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum status ctl_status_of(const char *word)
{
    for (int i = 0; word != NULL && i < STATUS_COUNT; i++)
        if (strcmp(status_word((enum status)i), word) == 0)
            return (enum status)i;
    return STATUS_FAILED;
}

int ctl_exit_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return CTL_OK;
    case STATUS_NO_LEADER:
    case STATUS_UNREACHABLE:
        return CTL_UNREACHABLE;
    case STATUS_TIMED_OUT:
    case STATUS_UNKNOWN:
        return CTL_TIMED_OUT;
    case STATUS_REFUSED:
    case STATUS_INVALID:
    case STATUS_NOT_FOUND:
    case STATUS_CANCELED:
    case STATUS_CORRUPT:
    case STATUS_FULL:
    case STATUS_FAILED:
    case STATUS_COUNT:
        break;
    }
    return CTL_FAILED;
}

void ctl_print_json(const struct ctl *ctl, const struct json_t *value)
{
    char *text = json_print(value);

    text_clean(text, strlen(text), false); /* a key that no answer of ours has was not cleaned when it came */
    (void)fprintf(ctl->out, "%s\n", text);
    free(text);
}

static void say(const struct ctl *ctl, const char *status, const char *message, const char *fix)
{
    (void)fprintf(ctl->err, "coordctl: %s: ", status);
    ctl_print_clean(ctl->err, message);
    (void)fprintf(ctl->err, "\n");
    if (fix != NULL) {
        (void)fprintf(ctl->err, "  way out: ");
        ctl_print_clean(ctl->err, fix);
        (void)fprintf(ctl->err, "\n");
    }
}

int ctl_fail(const struct ctl *ctl, enum status status, const char *fix, const char *format, ...)
{
    char message[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    text_set_list(message, sizeof message, format, args);
    va_end(args);
    text_clean(message, strlen(message), false); /* it may quote a file or an answer */
    if (ctl->json) {
        struct json_t *body = json_make_object();
        json_put_text(body, "status", status_word(status));
        json_put_text(body, "message", message);
        json_put_text(body, "fix", fix);
        ctl_print_json(ctl, body);
        json_free(body);
    } else {
        say(ctl, status_word(status), message, fix);
    }
    return ctl_exit_of(status);
}

int ctl_usage(const struct ctl *ctl, const char *format, ...)
{
    va_list args;

    (void)fprintf(ctl->err, "coordctl: ");
    va_start(args, format);
    (void)vfprintf(ctl->err, format, args);
    va_end(args);
    (void)fprintf(ctl->err, "\n  way out: coordctl help\n");
    return CTL_USAGE;
}

/* The gates that say no, one line each. */
static void say_gates(const struct ctl *ctl, const struct json_t *gates)
{
    for (size_t i = 0; i < json_item_count(gates); i++) {
        const struct json_t *gate = json_item(gates, i);
        const char *name = json_look_text(gate, "gate"), *reason = json_look_text(gate, "reason");

        if (json_look_bool(gate, "passed"))
            continue;
        (void)fprintf(ctl->err, "  gate %s says no: %s%s\n", name != NULL ? name : "?", reason != NULL ? reason : "",
                      json_look_bool(gate, "override") ? "" : " (cannot be overridden)");
    }
}

int ctl_say_error(const struct ctl *ctl, const struct json_t *body)
{
    const char *word = json_look_text(body, "status"), *message = json_look_text(body, "message");
    const char *fix = json_look_text(body, "fix");

    if (ctl->json) {
        ctl_print_json(ctl, body);
    } else if (json_look(body, "errors") != NULL && message != NULL) {
        (void)fprintf(ctl->err, "%s", message); /* already lines with file, place and caret */
        (void)fprintf(ctl->err, "coordctl: invalid: %zu mistakes; nothing was changed\n",
                      json_item_count(json_look(body, "errors")));
    } else if (json_item_count(json_look(body, "gates")) > 0) {
        say(ctl, word != NULL ? word : "failed", message != NULL ? message : "no reason was given", NULL);
        say_gates(ctl, json_look(body, "gates"));
        if (fix != NULL)
            (void)fprintf(ctl->err, "  way out: %s\n", fix);
    } else {
        say(ctl, word != NULL ? word : "failed", message != NULL ? message : "no reason was given", fix);
    }
    return ctl_exit_of(ctl_status_of(word));
}

struct json_t *ctl_try(const struct ctl *ctl, const char *method, const char *target, struct json_t *body, int *code,
                       struct error *err)
{
    char *text = body != NULL ? json_print(body) : NULL;
    struct http_call_request request = { .method = method, .target = target, .body = text };
    struct http_call_answer answer;
    struct json_t *result = NULL;

    *code = 0;
    if (ctl_request(ctl, &request, &answer, err) == STATUS_OK) {
        *code = answer.code;
        result = json_read(answer.body, answer.body_bytes, err);
        if (result == NULL)
            (void)error_wrap(err, "%s answered %d", ctl_contact(ctl), answer.code);
        else /* a file and its mistakes have lines; everything else is one */
            json_clean(result, json_look(result, "yaml") != NULL || json_look(result, "errors") != NULL);
    }
    http_call_answer_free(&answer);
    free(text);
    json_free(body);
    return result;
}

struct json_t *ctl_call(const struct ctl *ctl, const char *method, const char *target, struct json_t *body,
                        int *exit_code)
{
    struct error err = ERROR_NONE;
    int code = 0;
    struct json_t *answer = ctl_try(ctl, method, target, body, &code, &err);

    *exit_code = CTL_OK;
    if (answer == NULL) {
        *exit_code = ctl_fail(ctl, err.status, ctl_contact_fix(ctl, err.status), "%s", err.text);
        return NULL;
    }
    if (code / 100 == 2)
        return answer;
    *exit_code = ctl_say_error(ctl, answer);
    json_free(answer);
    return NULL;
}

int ctl_print_text(const struct ctl *ctl, const char *target)
{
    struct http_call_request request = { .method = "GET", .target = target };
    struct http_call_answer answer;
    struct error err = ERROR_NONE;
    int exit_code = CTL_OK;

    if (ctl_request(ctl, &request, &answer, &err) != STATUS_OK) {
        exit_code = ctl_fail(ctl, err.status, ctl_contact_fix(ctl, err.status), "%s", err.text);
    } else if (answer.code / 100 == 2) {
        text_clean(answer.body, answer.body_bytes, true);
        (void)fwrite(answer.body, 1, answer.body_bytes, ctl->out);
    } else {
        struct json_t *body = json_read(answer.body, answer.body_bytes, &err);
        json_clean(body, false);
        exit_code = body != NULL ? ctl_say_error(ctl, body) : ctl_fail(ctl, err.status, NULL, "%s", err.text);
        json_free(body);
    }
    http_call_answer_free(&answer);
    return exit_code;
}
