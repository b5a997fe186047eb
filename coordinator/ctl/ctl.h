/* coordctl: one command -> one request -> one printed answer. Decides nothing: what it prints is what the node said. This header is what
 * the commands share; each is one function that returns the exit code. */
#ifndef COORD_CTL_CTL_H
#define COORD_CTL_CTL_H

#include "base/status.h"
#include "io/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_SOCKET_DEFAULT "/run/coord/coordd.sock"
#define CTL_TIMEOUT_MS_DEFAULT 15000
#define CTL_OPERANDS_MAX 16

enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,      /* refused, invalid or failed: the message says why */
    CTL_USAGE = 2,       /* the command line is wrong */
    CTL_UNREACHABLE = 3, /* no node, or no quorum behind it */
    CTL_TIMED_OUT = 4,   /* it may have been done: look again */
};

struct ctl_remote;
struct http_call_request;
struct http_call_answer;

/* The command line, taken apart. Every option may stand anywhere; coordctl.c refuses those that are not the command's own. */
struct ctl {
    const char *socket_path;
    const char *server, *pki, *certificate, *authority, *key; /* how to reach nodes over the network */
    struct ctl_remote *remote;                                /* NULL: the socket */
    bool json;
    int64_t timeout_ms; /* 0: not given */
    const char *service;
    const char *file; /* of --file; behind -f it is an operand */
    const char *force;
    const char *reason;
    const char *confirm;
    const char *since;
    const char *base;
    const char *name, *id, *address, *role, *days; /* of pki */
    bool follow;      /* -f: follow events; before a file name it means nothing by itself */
    const char *site; /* of members */
    bool witness, no_vote;
    bool watch, fenced, no_wait, mermaid, dry_run;
    const char *operands[CTL_OPERANDS_MAX];
    size_t operand_count;
    FILE *out, *err;
    bool color, interactive; /* out is a terminal; so are standard input and err */
};

/* ---- ctl_call.c: the request and the error that came of it ---- */

/* The answer of a 2xx, or NULL with everything said (on err, or as JSON on out) and *exit_code set. Free with json_free. `body` is taken; NULL: none. */
struct json_t *ctl_call(const struct ctl *ctl, const char *method, const char *target, struct json_t *body,
                        int *exit_code);
/* The same without a word: *code gets the HTTP code (0: none came), `err` what happened. */
struct json_t *ctl_try(const struct ctl *ctl, const char *method, const char *target, struct json_t *body, int *code,
                       struct error *err);
/* A plain-text answer: printed as it is. */
int ctl_print_text(const struct ctl *ctl, const char *target);
/* Says what went wrong and the way out, on err or as JSON on out; returns the exit code that belongs to `status`. */
int ctl_fail(const struct ctl *ctl, enum status status, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Says an error body of the API; returns the exit code that belongs to it. */
int ctl_say_error(const struct ctl *ctl, const struct json_t *body);
/* A line about the command line itself; returns CTL_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum status ctl_status_of(const char *word);
int ctl_exit_of(enum status status);
/* Prints `value` as one JSON line on out. */
void ctl_print_json(const struct ctl *ctl, const struct json_t *value);

/* ---- ctl_remote.c: the way to the node ---- */

/* For ctl->server, a list; reads no file yet. Copies. */
struct ctl_remote *ctl_remote_create(const struct ctl *ctl);
void ctl_remote_destroy(struct ctl_remote *remote);
/* http_call over the socket or to the first server that can be reached. timeout_ms 0: the command line's. Free the answer in any case. */
enum status ctl_request(const struct ctl *ctl, struct http_call_request *request, struct http_call_answer *answer,
                        struct error *err);
/* What a person can do when there was no answer; NULL: nothing is known. */
const char *ctl_contact_fix(const struct ctl *ctl, enum status status);
const char *ctl_contact(const struct ctl *ctl); /* the socket or server that was asked last */

/* ---- ctl_table.c: how it looks ---- */

#define CTL_COLUMNS_MAX 10
struct ctl_table; /* rows of text, printed aligned */
struct ctl_table *ctl_table_create(const char *const *headings, size_t column_count);
/* One row; NULL is "-". Copies. */
void ctl_table_row(struct ctl_table *table, const char *const *cells);
/* Prints with `indent` spaces in front and frees. The last column is not padded. */
void ctl_table_print(struct ctl_table *table, const struct ctl *ctl, int indent);

enum ctl_color { CTL_PLAIN, CTL_GREEN, CTL_YELLOW, CTL_RED, CTL_BOLD };
const char *ctl_color_on(const struct ctl *ctl, enum ctl_color color);
const char *ctl_color_off(const struct ctl *ctl);
/* ok/up/done green, warning/degraded yellow, critical/down/failed red. */
enum ctl_color ctl_color_of(const char *word);

#define CTL_TIME_MAX_BYTES 32
/* Local time: "2026-03-01 12:00:00.123", or "12:00:00.123" without the day. */
void ctl_time(int64_t at_ms, bool with_day, char out[CTL_TIME_MAX_BYTES]);
/* "0.42 s", "12.3 s", "4 min 10 s". */
void ctl_span(int64_t ms, char out[CTL_TIME_MAX_BYTES]);
/* For what does not come out of an answer (those were cleaned when they came): through text_clean(). */
void ctl_print_clean(FILE *out, const char *text);

/* ---- the commands ---- */

int ctl_status(const struct ctl *ctl);
int ctl_why(const struct ctl *ctl);
int ctl_promote(const struct ctl *ctl);
int ctl_apply(const struct ctl *ctl);
int ctl_diff(const struct ctl *ctl);
int ctl_config(const struct ctl *ctl); /* prints the applied services file */
int ctl_events(const struct ctl *ctl);
int ctl_incidents(const struct ctl *ctl);
int ctl_report(const struct ctl *ctl);
int ctl_members(const struct ctl *ctl);
/* What `answer` lists under "warnings", one line each. */
void ctl_say_warnings(const struct ctl *ctl, const struct json_t *answer);
int ctl_service_action(const struct ctl *ctl, const char *action);
int ctl_operation_action(const struct ctl *ctl, const char *action);
int ctl_pki(const struct ctl *ctl); /* needs no node */

#endif
