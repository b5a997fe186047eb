/* The end as users see it: the application at the target is healthy, and every authority answers with its address. Each is looked at
 * again until it holds, for the application may still be starting. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "dns/authority_check.h"
#include "exec/steps.h"

#define PAUSE_MS 100
#define LOOK_TIMEOUT_MS 2000

_Static_assert(AUTHORITIES_MAX >= DNS_SERVERS_MAX, "every configured server is asked");

struct verify_step {
    struct step_attempt *a;
    const struct site_config *site; /* in the attempt */
    bool healthy;                   /* or there is nothing to look at */
    bool published;
    char health[96]; /* what was seen, for the result */
    char dns[128];
    struct http *http; /* at most one of the two is under way */
    struct authority_check *check;
    struct step_pause pause;
    bool cancelled;
};

static void verify_step(struct step_attempt *a);

static void on_closed(struct step_attempt *a)
{
    free(a->self);
    step_end(a);
}

/* A look has ended. */
static void next(struct verify_step *v, bool held)
{
    if (v->cancelled) {
        step_failed(v->a, "canceled");
        step_pause_close(&v->pause, on_closed);
    } else {
        step_pause_begin(&v->pause, held ? 0 : PAUSE_MS, verify_step);
    }
}

static void on_health(void *ctx, const struct http_response *response, const struct error *err)
{
    struct verify_step *v = ctx;
    struct step_attempt *a = v->a;

    v->http = NULL;
    v->healthy = err == NULL && response->status_code >= 200 && response->status_code < 300;
    if (v->healthy)
        text_set(v->health, sizeof v->health, "%d from %.70s", response->status_code, v->site->health_url);
    else if (err == NULL)
        step_waits(a, "2xx from %.80s, which answers %d", v->site->health_url, response->status_code);
    else if (!v->cancelled)
        step_waits(a, "2xx from %.70s: %.60s", v->site->health_url, err->text);
    next(v, v->healthy);
}

static void on_authorities(void *ctx, const struct authority_check_result *result, const struct error *err)
{
    struct verify_step *v = ctx;
    struct step_attempt *a = v->a;

    v->check = NULL;
    v->published = err == NULL && result->all_match;
    if (v->published)
        text_set(v->dns, sizeof v->dns, "%.40s is %.40s at %zu of %zu authorities, ttl %" PRIu32, a->config.dns.name,
                 v->site->publish_address, result->answer_count, result->answer_count, result->ttl_max_s);
    else if (err != NULL && !v->cancelled)
        step_waits(a, "every authority of %.60s: %.70s", a->config.dns.name, err->text);
    for (size_t i = 0; err == NULL && i < result->answer_count; i++)
        if (!result->answers[i].matches)
            step_waits(a, "%.40s to be %.40s at %.30s, which has %.30s", a->config.dns.name, v->site->publish_address,
                       result->answers[i].server, result->answers[i].detail);
    next(v, v->published);
}

static void health_begin(struct verify_step *v)
{
    struct http_request request = { .method = "GET",
                                    .url = v->site->health_url,
                                    .timeout_ms = LOOK_TIMEOUT_MS,
                                    .response_bytes_max = 1024,
                                    .fresh_connection = true };

    v->http = http_begin(v->a->env->http, &request, on_health, v);
}

static void authorities_begin(struct verify_step *v)
{
    struct step_attempt *a = v->a;
    const char *servers[DNS_SERVERS_MAX];
    struct authority_check_request request = { .servers = servers,
                                               .server_count = a->config.dns.server_count,
                                               .name = a->config.dns.name,
                                               .address = v->site->publish_address,
                                               .timeout_ms = LOOK_TIMEOUT_MS };

    for (unsigned i = 0; i < a->config.dns.server_count; i++)
        servers[i] = a->config.dns.servers[i];
    v->check = authority_check_begin(a->env->loop, a->env->resolver, &request, on_authorities, v);
}

static void verify_step(struct step_attempt *a)
{
    struct verify_step *v = a->self;

    if (!v->healthy) {
        health_begin(v);
        return; /* on_health continues */
    }
    if (!v->published) {
        authorities_begin(v);
        return; /* on_authorities continues */
    }
    step_ok(a, "%s; %s", v->health, v->dns);
    step_pause_close(&v->pause, on_closed);
}

static void begin(struct step_attempt *a)
{
    const struct site_config *site = step_site(a);
    struct verify_step *v;

    if (site == NULL)
        return;
    v = step_memory(sizeof *v);
    v->a = a;
    v->site = site;
    v->healthy = site->health_url[0] == '\0';
    v->published = a->config.dns.method == DNS_NONE;
    text_set(v->health, sizeof v->health, "no health URL configured");
    text_set(v->dns, sizeof v->dns, "no DNS configured");
    a->self = v;
    step_pause_init(&v->pause, a);
    verify_step(a);
}

static void cancel(struct step_attempt *a)
{
    struct verify_step *v = a->self;

    v->cancelled = true;
    if (v->http != NULL)
        http_cancel(v->http);
    else if (v->check != NULL)
        authority_check_cancel(v->check);
    else if (step_pause_stop(&v->pause))
        next(v, false);
}

const struct step_method step_verify = { .begin = begin, .cancel = cancel };
