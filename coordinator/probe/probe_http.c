#include "probe/probe_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"
#include "probe/probe_looks.h"

#define URL_MAX 512
#define BODY_BYTES_MAX 256 /* only for the detail */

struct probe_http {
    struct probe_looks looks; /* first: freed as this */
    struct http_client *client;
    char url[URL_MAX];
    char host_header[HOST_TEXT_MAX + 8]; /* "" : none */
    bool fresh_connection;
};

struct http_look {
    struct probe_look look; /* first: freed as this */
    struct http *request;
    int64_t begun_us;
};

/* One printable line out of whatever was sent. */
static void body_line(char *out, size_t capacity_bytes, const struct http_response *response)
{
    size_t used = 0;

    for (size_t i = 0; i < response->body_bytes && used + 1 < capacity_bytes; i++) {
        char c = response->body[i];
        if (c < ' ' || c > '~')
            c = ' ';
        if (c != ' ' || (used > 0 && out[used - 1] != ' '))
            out[used++] = c;
    }
    out[used] = '\0';
}

static void on_answer(void *ctx, const struct http_response *response, const struct error *err)
{
    struct http_look *look = ctx;
    struct probe_result result = { .outcome = PROBE_FAILED, .rtt_us = clock_now_us() - look->begun_us };
    char body[80];

    if (err != NULL && err->status == STATUS_CANCELED) {
        probe_looks_finish(&look->look, NULL);
        return;
    }
    if (err != NULL) {
        (void)text_copy(result.detail, sizeof result.detail, err->text);
    } else if (response->status_code >= 200 && response->status_code <= 299) {
        result.outcome = PROBE_OK;
        result.rtt_us = response->rtt_us;
        (void)snprintf(result.detail, sizeof result.detail, "HTTP %d", response->status_code);
    } else {
        body_line(body, sizeof body, response);
        (void)snprintf(result.detail, sizeof result.detail, "HTTP %d%s%s", response->status_code,
                       body[0] != '\0' ? ": " : "", body);
    }
    probe_looks_finish(&look->look, &result);
}

static struct probe_look *http_look_begin(void *self, uint32_t timeout_ms, probe_cb done, void *ctx)
{
    struct probe_http *p = self;
    struct http_look *look = calloc(1, sizeof *look);
    const char *headers[] = { p->host_header[0] != '\0' ? p->host_header : NULL, NULL };
    struct http_request request = { .method = "GET",
                                    .url = p->url,
                                    .headers = headers,
                                    .timeout_ms = timeout_ms,
                                    .response_bytes_max = BODY_BYTES_MAX,
                                    .fresh_connection = p->fresh_connection };

    ASSERT(look != NULL);
    look->begun_us = clock_now_us();
    probe_looks_add(&p->looks, &look->look, done, ctx);
    look->request = http_begin(p->client, &request, on_answer, look);
    return &look->look;
}

static void http_look_cancel(struct probe_look *look)
{
    http_cancel(((struct http_look *)look)->request);
}

static void http_look_close(void *self, void (*closed)(void *ctx), void *ctx)
{
    probe_looks_close(self, http_look_cancel, closed, ctx);
}

static const struct probe_method probe_http_method = {
    .name = "http", .begin = http_look_begin, .cancel = http_look_cancel, .close = http_look_close
};

struct probe probe_http_create(struct http_client *client, const struct probe_http_config *config)
{
    struct probe_http *p = calloc(1, sizeof *p);

    ASSERT(p != NULL);
    probe_looks_init(&p->looks, http_client_loop(client));
    p->client = client;
    p->fresh_connection = config->fresh_connection;
    ASSERT(text_copy(p->url, sizeof p->url, config->url)); /* the configuration's schema bounds both */
    if (config->host_header != NULL)
        (void)snprintf(p->host_header, sizeof p->host_header, "Host: %.255s", config->host_header);
    return (struct probe){ .method = &probe_http_method, .self = p };
}
