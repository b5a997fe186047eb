/* What the files of this room share; nobody else includes this. */
#ifndef COORD_API_API_INTERNAL_H
#define COORD_API_API_INTERNAL_H

#include "api/api.h"
#include "io/http_server.h"
#include "io/json.h"
#include "io/refusals.h"

#define API_SUBMIT_DEADLINE_MS 10000
#define API_SEGMENTS_MAX 6

struct follower;
struct held;

struct api {
    uv_loop_t *loop;
    struct api_hooks hooks;
    struct http_server *http;
    struct follower *followers; /* of the events */
    struct held *held;          /* submissions that wait for this node to apply them */
    uv_timer_t hold;
    struct refusals refusals; /* which of them are in the log already */
    uint64_t refused_connections, refused_requests;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* A path taken apart: "v1", "services", "app", "why". */
struct api_path {
    char text[HTTP_TARGET_MAX_BYTES + 1];
    const char *segments[API_SEGMENTS_MAX];
    size_t count;
};

static inline const struct state *api_state(const struct api *api)
{
    return api->hooks.state(api->hooks.ctx);
}

/* api.c: answering. `body` is taken. */
void api_answer(struct http_exchange *x, int code, struct json_t *body);
/* The error body of docs/openapi.yaml with the HTTP code that belongs to `status`; `fix` may be NULL. */
void api_refuse(struct http_exchange *x, enum status status, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct json_t *api_error(enum status status, const char *fix, const char *message);
int api_http_code(enum status status);

/* api_access.c: who asks, and what they may. */
/* The body's keys, or the answer that they are wrong and false. An absent body is an empty object. */
bool api_read_body(struct http_exchange *x, const struct http_request *request, const struct json_want *wanted,
                   size_t count, void *out);
/* Cleared, and signed by who asks. Gives: free() it. */
struct command *api_new_command(const struct api *api, const struct http_request *request, enum command_kind kind);
/* "root@b1", as the kernel says; "alice via b1", as the certificate says: for the audit. */
void api_who(const struct api *api, const struct http_request *request, char out[WHO_MAX_BYTES]);
/* False: the request was answered with 403, counted and logged. */
bool api_allowed(struct api *api, struct http_exchange *x, const struct http_request *request,
                 const struct api_path *path);
void api_connection_refused(void *ctx, const char *address, const char *why); /* `ctx` is the api */

/* api_view.c: what is -> JSON. Each gives. */
struct json_t *api_view_status(const struct api *api);
struct json_t *api_view_service(const struct api *api, service_id service, int64_t now_ms);
struct json_t *api_view_why(const struct api *api, service_id service, int64_t now_ms);
struct json_t *api_view_gates(const struct state *s, service_id service, site_id target, enum operation_kind kind,
                              uint32_t overrides, int64_t now_ms);
struct json_t *api_view_operation(const struct state *s, const struct operation *op, bool with_steps);
struct json_t *api_view_event(const struct state *s, const struct event *event);

/* api_judge.c: how a service is doing, for a person: health word, one line, and the command that helps ("" when none is needed). */
enum api_health { API_OK, API_WARNING, API_CRITICAL };
#define API_WAY_OUT_MAX_BYTES 300
struct api_judgement {
    enum api_health health;
    char summary[480];
    char way_out[API_WAY_OUT_MAX_BYTES];
};
void api_judge(const struct state *s, service_id service, const struct api_promises *promises, int64_t now_ms,
               struct api_judgement *out);
void api_promises_of(const struct api *api, service_id service, struct api_promises *out);
/* "heard", which without a leader nobody can say: null. */
void api_put_heard(struct json_t *o, const struct member *m, const struct api_node *node);
/* How this node's certificates are doing. */
void api_judge_certificates(const struct api_node *node, int64_t now_ms, struct api_judgement *out);
/* Whether its disk has room. */
void api_judge_disk(const struct api_node *node, struct api_judgement *out);
const char *api_health_word(enum api_health health);
/* The site that an automatic failover would go to: the first other one that no gate forbids, else the first other one. SITE_NONE: none. */
site_id api_likely_target(const struct state *s, service_id service, int64_t now_ms);

/* api_report.c: one operation, ended or active; NULL when it is not kept. */
const struct operation *api_find_operation(const struct state *s, operation_id id);
struct json_t *api_report_json(const struct state *s, const struct operation *op);
char *api_report_text(const struct state *s, const struct operation *op);    /* gives: free() it */
char *api_report_mermaid(const struct state *s, const struct operation *op); /* likewise */

/* api_metrics.c: Prometheus text. Gives: free() it. */
char *api_metrics(const struct api *api);

/* api_config.c */
void api_config_get(struct api *api, struct http_exchange *x);
void api_config_apply(struct api *api, struct http_exchange *x, const struct http_request *request);

/* api_post.c: requests that become a command. */
void api_promote(struct api *api, struct http_exchange *x, const struct http_request *request, service_id service);
void api_service_set(struct api *api, struct http_exchange *x, const struct http_request *request, service_id service,
                     enum service_change change);
void api_operation_act(struct api *api, struct http_exchange *x, const struct http_request *request, operation_id id,
                       const char *action);

/* api_members.c */
void api_members_get(struct api *api, struct http_exchange *x);
void api_member_add(struct api *api, struct http_exchange *x, const struct http_request *request);
void api_member_change(struct api *api, struct http_exchange *x, const struct http_request *request, const char *name,
                       const char *action);
void api_member_transfer(struct api *api, struct http_exchange *x, const struct http_request *request);
/* What is unwise about who votes where: texts. Gives. */
struct json_t *api_view_warnings(const struct state *s);

/* One submission that ends in an answer. `answer` fires once, later, with what the log said, and must answer `x`. When the command surely or
 * perhaps did not get into the log, `x` is answered here and `answer` does not fire. */
struct api_submission {
    struct api *api;
    struct http_exchange *x;
    service_id service;
    site_id site;
    uint32_t overrides;
    operation_id operation;
    enum command_kind kind;
    enum service_change change;
    node_id node; /* of members: whom it is about */
    bool voter;
    char fix[API_WAY_OUT_MAX_BYTES]; /* of a refusal; "": none */
    struct json_t *extra;            /* taken; freed at the end unless `answer` took it and set it to NULL */
    char message[160];               /* of a success */
    /* A success shows in what this node has applied: only then is it answered. NULL: at once. */
    bool (*visible)(const struct state *s, const struct api_submission *submission, const struct outcome *outcome);
    void (*answer)(struct api_submission *submission, const struct outcome *outcome);
};
void api_submissions_look(struct api *api); /* after entries were applied, and at closing */
void api_submit(const struct api_submission *submission, const struct command *command);

#endif
