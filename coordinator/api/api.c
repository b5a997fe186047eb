/* One request is one look at the applied state, or one command. Reads answer at once; a command answers when it was applied, refused, or
 * lost sight of. Streams of events are fed by api_applied. */
#include "api/api_internal.h"

#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

struct follower {
    struct api *api;
    struct follower *next;
    struct http_exchange *x;
    uint64_t last_number;
    service_id service; /* SERVICE_NONE: all */
};

/* ---- answering ---- */

void api_answer(struct http_exchange *x, int code, struct json_t *body)
{
    char *text = json_print(body);
    size_t length = strlen(text);

    json_free(body);
    text[length] = '\n'; /* in place of the NUL: whoever uses curl sees a line */
    http_answer(x, code, JSON_TYPE, text, length + 1);
    free(text);
}

int api_http_code(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return 200;
    case STATUS_INVALID:
        return 400;
    case STATUS_NOT_FOUND:
        return 404;
    case STATUS_REFUSED:
        return 409;
    case STATUS_FULL:
        return 429;
    case STATUS_NO_LEADER:
    case STATUS_UNREACHABLE:
        return 503;
    case STATUS_TIMED_OUT:
    case STATUS_UNKNOWN:
        return 504;
    case STATUS_CANCELED:
    case STATUS_CORRUPT:
    case STATUS_FAILED:
    case STATUS_COUNT:
        break;
    }
    return 500;
}

struct json_t *api_error(enum status status, const char *fix, const char *message)
{
    struct json_t *body = json_make_object();

    json_put_text(body, "status", status_word(status));
    json_put_text(body, "message", message);
    json_put_text(body, "fix", fix);
    return body;
}

void api_refuse(struct http_exchange *x, enum status status, const char *fix, const char *format, ...)
{
    char message[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    text_set_list(message, sizeof message, format, args);
    va_end(args);
    api_answer(x, api_http_code(status), api_error(status, fix, message));
}

/* The code of a method that a path does not have. */
static void refuse_method(struct http_exchange *x, const char *wanted)
{
    char message[80];

    text_set(message, sizeof message, "this path wants %s", wanted);
    api_answer(x, 405, api_error(STATUS_INVALID, NULL, message));
}

static void answer_text(struct http_exchange *x, int code, const char *text)
{
    http_answer(x, code, TEXT_TYPE, text, strlen(text));
}

/* ---- reads without a role ---- */

static void get_healthz(struct api *api, struct http_exchange *x)
{
    struct api_node node;

    api->hooks.node(api->hooks.ctx, &node);
    if (node.leader == 0)
        answer_text(x, 503, "no leader is known: nothing can be changed\n");
    else
        answer_text(x, 200, "ok\n");
}

/* Cut off, this node does not hear of the lease's end: it says no when the lease cannot have been renewed for its ttl, unless promises extend it. */
static bool lease_may_be_old(const struct api *api, service_id service)
{
    struct api_node node;
    struct api_promises promises;

    api->hooks.node(api->hooks.ctx, &node);
    api_promises_of(api, service, &promises);
    return node.leader == 0 && node.leaderless_ms >= api_state(api)->services[service].lease.ttl_ms &&
           promises.what != API_PROMISED_SERVING;
}

static void get_primary(struct api *api, struct http_exchange *x, service_id service, const char *site_name)
{
    const struct state *s = api_state(api);
    const struct service *svc = &s->services[service];
    char text[80];

    if (lease_may_be_old(api, service)) {
        answer_text(x, 503, "no leader is known here for longer than the lease's ttl: not known to be the primary\n");
        return;
    }
    if (svc->primary == SITE_NONE || state_site(s, site_name) != svc->primary || !lease_live(&svc->lease)) {
        answer_text(x, 503, "not the primary\n");
        return;
    }
    text_set(text, sizeof text, "primary epoch=%" PRIu64 "\n", svc->lease.epoch);
    answer_text(x, 200, text);
}

/* ---- events ---- */

static bool number_of(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

/* The first kept event after `since`; beyond the last number when there is none. */
static uint64_t first_number(const struct state *s, uint64_t since)
{
    uint64_t oldest = s->events.last_number >= EVENTS_MAX ? s->events.last_number - EVENTS_MAX + 1 : 1;

    if (since < oldest)
        return oldest;
    return since < s->events.last_number ? since + 1 : s->events.last_number + 1;
}

static bool wanted(const struct event *event, service_id service)
{
    return event != NULL && (service == SERVICE_NONE || event->service == service);
}

static void follower_feed(struct follower *f)
{
    const struct state *s = api_state(f->api);

    for (uint64_t n = first_number(s, f->last_number); n <= s->events.last_number; n++) {
        const struct event *event = event_get(s, n);
        struct json_t *line;
        char *text;
        size_t length;

        f->last_number = n;
        if (!wanted(event, f->service))
            continue;
        line = api_view_event(s, event);
        text = json_print(line);
        length = strlen(text);
        text[length] = '\n';
        http_stream_write(f->x, text, length + 1);
        free(text);
        json_free(line);
    }
}

static void on_follower_gone(void *ctx)
{
    struct follower *f = ctx;
    struct follower **link = &f->api->followers;

    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    free(f);
}

void api_applied(struct api *api)
{
    for (struct follower *f = api->followers; f != NULL; f = f->next)
        follower_feed(f);
    if (api->held != NULL)
        api_submissions_look(api);
}

static void get_events(struct api *api, struct http_exchange *x, const struct http_request *request)
{
    const struct state *s = api_state(api);
    const char *since_text = http_parameter(request, "since"), *name = http_parameter(request, "service");
    const char *follow = http_parameter(request, "follow");
    service_id service = name != NULL ? state_service(s, name) : SERVICE_NONE;
    uint64_t since = 0;
    struct json_t *body, *list;

    if (since_text != NULL && !number_of(since_text, &since)) {
        api_refuse(x, STATUS_INVALID, NULL, "since: expected a whole number");
        return;
    }
    if (name != NULL && service == SERVICE_NONE) {
        api_refuse(x, STATUS_NOT_FOUND, "coordctl status", "there is no service '%s'", name);
        return;
    }
    if (follow != NULL && strcmp(follow, "1") == 0) {
        struct follower *f = calloc(1, sizeof *f);
        ASSERT(f != NULL);
        *f = (struct follower){ .api = api, .next = api->followers, .x = x, .last_number = since, .service = service };
        api->followers = f;
        http_stream_begin(x, 200, "application/x-ndjson", on_follower_gone, f);
        follower_feed(f);
        return;
    }
    body = json_make_object();
    list = json_make_array();
    for (uint64_t n = first_number(s, since); n <= s->events.last_number; n++)
        if (wanted(event_get(s, n), service))
            json_append(list, api_view_event(s, event_get(s, n)));
    json_put(body, "events", list);
    json_put_int(body, "next", (int64_t)s->events.last_number);
    api_answer(x, 200, body);
}

/* ---- incidents and operations ---- */

static void get_incidents(struct api *api, struct http_exchange *x, const struct http_request *request)
{
    const struct state *s = api_state(api);
    const char *name = http_parameter(request, "service");
    service_id only = name != NULL ? state_service(s, name) : SERVICE_NONE;
    struct json_t *body, *list;
    uint32_t kept = s->incident_count < INCIDENTS_MAX ? s->incident_count : INCIDENTS_MAX;

    if (name != NULL && only == SERVICE_NONE) {
        api_refuse(x, STATUS_NOT_FOUND, "coordctl status", "there is no service '%s'", name);
        return;
    }
    body = json_make_object();
    list = json_make_array();
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present && operation_active(&s->services[i].operation) &&
            (only == SERVICE_NONE || only == i))
            json_append(list, api_view_operation(s, &s->services[i].operation, false));
    for (uint32_t back = 1; back <= kept; back++) {
        const struct operation *op = &s->incidents[(s->incident_count - back) % INCIDENTS_MAX];
        if (only == SERVICE_NONE || only == op->service)
            json_append(list, api_view_operation(s, op, false));
    }
    json_put(body, "incidents", list);
    api_answer(x, 200, body);
}

static const struct operation *operation_named(struct api *api, struct http_exchange *x, const char *text)
{
    const struct operation *op;
    uint64_t id;

    if (!number_of(text, &id)) {
        api_refuse(x, STATUS_INVALID, "coordctl incidents", "'%.40s' is no operation: expected its number", text);
        return NULL;
    }
    op = api_find_operation(api_state(api), id);
    if (op == NULL)
        api_refuse(x, STATUS_NOT_FOUND, "coordctl incidents",
                   "there is no operation %" PRIu64 " (the last %d that ended are kept)", id, INCIDENTS_MAX);
    return op;
}

static void get_report(struct api *api, struct http_exchange *x, const struct http_request *request, const char *id)
{
    const struct operation *op = operation_named(api, x, id);
    const char *format = http_parameter(request, "format");
    char *text;

    if (op == NULL)
        return;
    if (format == NULL || strcmp(format, "json") == 0) {
        api_answer(x, 200, api_report_json(api_state(api), op));
        return;
    }
    if (strcmp(format, "text") != 0 && strcmp(format, "mermaid") != 0) {
        api_refuse(x, STATUS_INVALID, NULL, "format: expected json, text or mermaid");
        return;
    }
    text = strcmp(format, "text") == 0 ? api_report_text(api_state(api), op) : api_report_mermaid(api_state(api), op);
    answer_text(x, 200, text);
    free(text);
}

/* ---- routes ---- */

static void get_v1(struct api *api, struct http_exchange *x, const struct http_request *request,
                   const struct api_path *path)
{
    const char *const *part = path->segments;
    const struct operation *op;

    if (path->count == 2 && strcmp(part[1], "status") == 0) {
        api_answer(x, 200, api_view_status(api));
    } else if (path->count == 2 && strcmp(part[1], "members") == 0) {
        api_members_get(api, x);
    } else if (path->count == 2 && strcmp(part[1], "config") == 0) {
        api_config_get(api, x);
    } else if (path->count == 2 && strcmp(part[1], "events") == 0) {
        get_events(api, x, request);
    } else if (path->count == 2 && strcmp(part[1], "incidents") == 0) {
        get_incidents(api, x, request);
    } else if (path->count == 3 && strcmp(part[1], "incidents") == 0) {
        get_report(api, x, request, part[2]);
    } else if (path->count == 3 && strcmp(part[1], "operations") == 0) {
        op = operation_named(api, x, part[2]);
        if (op != NULL)
            api_answer(x, 200, api_view_operation(api_state(api), op, true));
    } else {
        api_refuse(x, STATUS_NOT_FOUND, NULL, "there is no such path: %.200s", request->path);
    }
}

static void route_service(struct api *api, struct http_exchange *x, const struct http_request *request,
                          const struct api_path *path)
{
    static const char *const changes[SERVICE_CHANGE_COUNT] = { "arm", "disarm", "pause", "resume" };
    const char *const *part = path->segments;
    service_id service = state_service(api_state(api), part[2]);
    bool get = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    bool post = strcmp(request->method, "POST") == 0;

    if (service == SERVICE_NONE) {
        api_refuse(x, STATUS_NOT_FOUND, "coordctl status", "there is no service '%.40s'", part[2]);
    } else if (path->count == 6 && strcmp(part[3], "sites") == 0 && strcmp(part[5], "primary") == 0 && get) {
        get_primary(api, x, service, part[4]);
    } else if (path->count == 3 && get) {
        api_answer(x, 200, api_view_service(api, service, clock_wall_ms()));
    } else if (path->count == 4 && strcmp(part[3], "why") == 0 && get) {
        api_answer(x, 200, api_view_why(api, service, clock_wall_ms()));
    } else if (path->count == 4 && strcmp(part[3], "promote") == 0 && post) {
        api_promote(api, x, request, service);
    } else {
        for (int change = 0; change < SERVICE_CHANGE_COUNT && path->count == 4 && post; change++)
            if (strcmp(part[3], changes[change]) == 0) {
                api_service_set(api, x, request, service, (enum service_change)change);
                return;
            }
        api_refuse(x, STATUS_NOT_FOUND, NULL, "there is no such path with %.16s: %.200s", request->method,
                   request->path);
    }
}

static void act_on_operation(struct api *api, struct http_exchange *x, const struct http_request *request,
                             const struct api_path *path)
{
    const struct operation *op = operation_named(api, x, path->segments[2]);

    if (op != NULL)
        api_operation_act(api, x, request, op->id, path->segments[3]);
}

static void route_post(struct api *api, struct http_exchange *x, const struct http_request *request,
                       const struct api_path *path)
{
    const char *const *part = path->segments;

    if (path->count == 3 && strcmp(part[1], "config") == 0 && strcmp(part[2], "apply") == 0)
        api_config_apply(api, x, request);
    else if (path->count == 2 && strcmp(part[1], "members") == 0)
        api_member_add(api, x, request);
    else if (path->count == 3 && strcmp(part[1], "members") == 0 && strcmp(part[2], "transfer") == 0)
        api_member_transfer(api, x, request);
    else if (path->count == 4 && strcmp(part[1], "members") == 0)
        api_member_change(api, x, request, part[2], part[3]);
    else if (path->count == 4 && strcmp(part[1], "operations") == 0)
        act_on_operation(api, x, request, path);
    else
        api_refuse(x, STATUS_NOT_FOUND, NULL, "there is no such path with POST: %.200s", request->path);
}

static bool take_apart(struct api_path *path, const char *text)
{
    char *rest = path->text, *part;

    text_set(path->text, sizeof path->text, "%s", text + 1);
    path->count = 0;
    while ((part = strsep(&rest, "/")) != NULL) {
        if (path->count == API_SEGMENTS_MAX || *part == '\0')
            return false;
        path->segments[path->count++] = part;
    }
    return true;
}

static void on_request(void *ctx, struct http_exchange *x, const struct http_request *request)
{
    struct api *api = ctx;
    struct api_path path;
    bool get = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    char *text;

    if (!take_apart(&path, request->path)) {
        api_refuse(x, STATUS_NOT_FOUND, NULL, "there is no such path: %.200s", request->path);
    } else if (!api_allowed(api, x, request, &path)) {
        return; /* it was answered */
    } else if (strcmp(request->path, "/healthz") == 0 && get) {
        get_healthz(api, x);
    } else if (strcmp(request->path, "/metrics") == 0 && get) {
        text = api_metrics(api);
        http_answer(x, 200, "text/plain; version=0.0.4", text, strlen(text));
        free(text);
    } else if (strcmp(path.segments[0], "v1") != 0 || path.count < 2) {
        api_refuse(x, STATUS_NOT_FOUND, NULL, "there is no such path: %.200s", request->path);
    } else if (path.count >= 3 && strcmp(path.segments[1], "services") == 0) {
        route_service(api, x, request, &path);
    } else if (get) {
        get_v1(api, x, request, &path);
    } else if (strcmp(request->method, "POST") == 0) {
        route_post(api, x, request, &path);
    } else {
        refuse_method(x, "GET or POST");
    }
}

/* ---- life ---- */

struct api *api_create(uv_loop_t *loop, const struct api_hooks *hooks)
{
    struct http_server_options options = { .on_refused = api_connection_refused };
    struct api *api = calloc(1, sizeof *api);

    ASSERT(api != NULL);
    api->loop = loop;
    api->hooks = *hooks;
    ASSERT(uv_timer_init(loop, &api->hold) == 0);
    api->hold.data = api;
    api->http = http_server_create(loop, &options, on_request, api);
    return api;
}

enum status api_listen(struct api *api, const char *socket_path, struct error *err)
{
    return http_server_listen(api->http, socket_path, err);
}

enum status api_listen_tcp(struct api *api, const char *address, struct tls_context *tls, struct error *err)
{
    return http_server_listen_tcp(api->http, address, tls, err);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct api *api = handle->data;
    void (*closed)(void *) = api->closed;
    void *closed_ctx = api->closed_ctx;

    ASSERT(api->followers == NULL);
    ASSERT(api->held == NULL);
    free(api);
    if (closed != NULL)
        closed(closed_ctx);
}

static void on_http_closed(void *ctx)
{
    struct api *api = ctx;
    uv_close((uv_handle_t *)&api->hold, on_timer_closed);
}

void api_destroy(struct api *api, void (*closed)(void *ctx), void *ctx)
{
    api->closed = closed;
    api->closed_ctx = ctx;
    api->closing = true;
    api_submissions_look(api); /* what waits only for our own sight of it is answered now */
    http_server_destroy(api->http, on_http_closed, api);
}
