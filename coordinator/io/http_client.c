/* URL → resolve → for each address: an easy handle in the multi, told to connect there whatever the URL says → complete, failed, or our
 * deadline → out of the multi → done. libcurl asks for sockets and one timer to be watched (on_socket, on_timer_wanted). Nothing of ours
 * is called from inside libcurl: its callbacks only take bytes, so a handle is never removed under its own feet. */
#include "io/http_client.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"

struct socket_watch {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
};

struct http_client {
    uv_loop_t *loop;
    struct resolver *resolver;
    CURLM *multi;
    uv_timer_t timer;
    int open_handles;
    int open_requests;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct http {
    struct http_client *client;
    uv_timer_t timer;
    bool closing;
    CURL *easy;
    bool in_multi;
    CURLU *url;
    struct curl_slist *headers, *connect_to;
    char *request_body;
    struct resolve *resolving;
    struct resolve_result addresses;
    size_t next; /* address to try */
    char host[HOST_TEXT_MAX];
    uint16_t port;
    char label[200]; /* for errors: method and URL without credentials and query */
    char curl_error[CURL_ERROR_SIZE];
    char *body;
    size_t body_bytes_max;
    uint32_t timeout_ms;
    int64_t begun_us;
    struct http_response response;
    struct error err;
    http_cb done;
    void *ctx;
};

static void try_next(struct http *h);

/* ---- the client: sockets and timer for libcurl ---- */

static void client_handle_closed(struct http_client *c)
{
    if (--c->open_handles > 0)
        return;
    c->closed(c->closed_ctx);
    free(c);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct socket_watch *w = handle->data;
    struct http_client *c = w->client;

    free(w);
    client_handle_closed(c);
}

static void on_client_timer_closed(uv_handle_t *handle)
{
    client_handle_closed(handle->data);
}

static void on_transfer_over(struct http *h, CURLcode code);

static void multi_act(struct http_client *c, curl_socket_t fd, int events)
{
    struct http *h;
    CURLMsg *message;
    int running, left;

    (void)curl_multi_socket_action(c->multi, fd, events, &running);
    while ((message = curl_multi_info_read(c->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message goes with the handle */
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&h);
        on_transfer_over(h, code);
    }
}

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    const struct socket_watch *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;

    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    multi_act(w->client, w->fd, flags);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *watch)
{
    struct http_client *c = ctx;
    struct socket_watch *w = watch;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL)
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        (void)curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (w == NULL) {
        w = calloc(1, sizeof *w);
        ASSERT(w != NULL);
        w->client = c;
        w->fd = fd;
        w->poll.data = w;
        ASSERT(uv_poll_init_socket(c->loop, &w->poll, fd) == 0);
        c->open_handles++;
        ASSERT(curl_multi_assign(c->multi, fd, w) == CURLM_OK);
    }
    ASSERT(
        uv_poll_start(&w->poll,
                      ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0),
                      on_socket_event) == 0);
    return 0;
}

static void on_client_timer(uv_timer_t *timer)
{
    multi_act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *c = ctx;

    (void)multi;
    if (timeout_ms < 0)
        (void)uv_timer_stop(&c->timer);
    else
        (void)uv_timer_start(&c->timer, on_client_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

struct http_client *http_client_create(uv_loop_t *loop, struct resolver *resolver, struct error *err)
{
    struct http_client *c = calloc(1, sizeof *c);

    ASSERT(c != NULL);
    c->loop = loop;
    c->resolver = resolver;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (c->multi = curl_multi_init()) == NULL) {
        error_set(err, STATUS_FAILED, "libcurl cannot start");
        free(c);
        return NULL;
    }
    ASSERT(uv_timer_init(loop, &c->timer) == 0);
    c->timer.data = c;
    c->open_handles = 1;
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    return c;
}

uv_loop_t *http_client_loop(const struct http_client *c)
{
    return c->loop;
}

void http_client_close(struct http_client *c, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(c->open_requests == 0);
    c->closed = closed;
    c->closed_ctx = ctx;
    (void)curl_multi_cleanup(c->multi); /* closes the kept connections, and with them their watches */
    curl_global_cleanup();
    uv_close((uv_handle_t *)&c->timer, on_client_timer_closed);
}

/* ---- one request ---- */

static void on_request_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;

    h->client->open_requests--;
    h->response.rtt_us = clock_now_us() - h->begun_us;
    if (h->body != NULL)
        h->body[h->response.body_bytes] = '\0';
    h->response.body = h->body != NULL ? h->body : "";
    h->done(h->ctx, h->err.status == STATUS_OK ? &h->response : NULL, error_or_null(&h->err));
    curl_easy_cleanup(h->easy);
    curl_url_cleanup(h->url);
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->connect_to);
    free(h->request_body);
    free(h->body);
    free(h);
}

static void conclude(struct http *h)
{
    h->closing = true;
    if (h->resolving != NULL)
        return; /* on_resolved continues */
    if (h->in_multi) {
        h->in_multi = false;
        (void)curl_multi_remove_handle(h->client->multi, h->easy);
    }
    if (!uv_is_closing((uv_handle_t *)&h->timer))
        uv_close((uv_handle_t *)&h->timer, on_request_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    struct http *h = timer->data;

    if (h->closing)
        return;
    error_set(&h->err, STATUS_TIMED_OUT, "%s: no complete answer within %" PRIu32 " ms", h->label, h->timeout_ms);
    if (h->resolving != NULL)
        resolve_cancel(h->resolving);
    conclude(h);
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http *h = ctx;
    size_t offered = size * count, room = h->body_bytes_max - h->response.body_bytes, taken = offered;

    if (taken > room) {
        taken = room;
        h->response.body_cut = true;
    }
    if (taken > 0)
        memcpy(h->body + h->response.body_bytes, data, taken);
    h->response.body_bytes += taken;
    return taken; /* less than offered ends the transfer: enough has been seen */
}

static enum status status_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* only the connect has a limit in libcurl */
        return STATUS_UNREACHABLE;
    case CURLE_URL_MALFORMAT:
        return STATUS_INVALID;
    default:
        return STATUS_FAILED;
    }
}

static void on_transfer_over(struct http *h, CURLcode code)
{
    char address[ADDRESS_TEXT_MAX];
    long status_code = 0;

    h->in_multi = false;
    (void)curl_multi_remove_handle(h->client->multi, h->easy);
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && h->response.body_cut)) {
        (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status_code);
        h->response.status_code = (int)status_code;
        h->err = ERROR_NONE;
        conclude(h);
        return;
    }
    (void)address_text(&h->addresses.addresses[h->next - 1], true, address, sizeof address);
    error_set(&h->err, status_of(code), "%s at %s: %s", h->label, address,
              h->curl_error[0] != '\0' ? h->curl_error : curl_easy_strerror(code));
    if (status_of(code) == STATUS_UNREACHABLE && h->next < h->addresses.address_count)
        try_next(h); /* nothing was sent yet */
    else
        conclude(h);
}

static void try_next(struct http *h)
{
    const struct sockaddr_storage *address = &h->addresses.addresses[h->next++];
    uint64_t left_ms = clock_left_ms(h->begun_us, h->timeout_ms);
    uint64_t share_ms = left_ms / (h->addresses.address_count - h->next + 1) + 1;
    char text[ADDRESS_TEXT_MAX], entry[ADDRESS_TEXT_MAX + 8];

    /* "::ADDRESS:PORT": for any host and port of the URL. libcurl sees no name to resolve. */
    (void)snprintf(entry, sizeof entry, "::%s", address_text(address, true, text, sizeof text));
    curl_slist_free_all(h->connect_to);
    h->connect_to = curl_slist_append(NULL, entry);
    ASSERT(h->connect_to != NULL);
    (void)curl_easy_setopt(h->easy, CURLOPT_CONNECT_TO, h->connect_to);
    (void)curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)share_ms);
    ASSERT(curl_multi_add_handle(h->client->multi, h->easy) == CURLM_OK);
    h->in_multi = true; /* on_client_timer continues: adding a handle asks for a timer */
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct http *h = ctx;

    h->resolving = NULL;
    if (h->closing || err != NULL) {
        if (!h->closing)
            (void)error_set(&h->err, err->status, "%s: %s", h->label, err->text);
        conclude(h);
        return;
    }
    h->addresses = *result;
    for (size_t i = 0; i < h->addresses.address_count; i++)
        address_set_port(&h->addresses.addresses[i], h->port);
    try_next(h);
}

/* Fills host, port and label. */
static enum status url_read(struct http *h, const struct http_request *request)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    enum status status = STATUS_OK;
    CURLUcode failed;

    h->url = curl_url();
    ASSERT(h->url != NULL);
    failed = curl_url_set(h->url, CURLUPART_URL, request->url, 0);
    if (failed != CURLUE_OK)
        return error_set(&h->err, STATUS_INVALID, "the URL is not usable: %s", curl_url_strerror(failed));
    if (curl_url_get(h->url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(h->url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(h->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(h->url, CURLUPART_PATH, &path, 0) != CURLUE_OK) {
        status = error_set(&h->err, STATUS_INVALID, "the URL has no scheme, host or port");
    } else {
        (void)snprintf(h->label, sizeof h->label, "%.10s %.8s://%.80s:%.5s%.80s", request->method, scheme, host, port,
                       path);
        h->port = (uint16_t)strtoul(port, NULL, 10);
        if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
            status = error_set(&h->err, STATUS_INVALID, "%s: expected http or https", h->label);
        else if (!text_copy(h->host, sizeof h->host, host))
            status = error_set(&h->err, STATUS_INVALID, "%s: the host is too long", h->label);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    return status;
}

static void header_add(struct http *h, const char *line)
{
    struct curl_slist *longer = curl_slist_append(h->headers, line);

    ASSERT(longer != NULL);
    h->headers = longer;
}

static void method_set(struct http *h, const struct http_request *request)
{
    if (strcmp(request->method, "HEAD") == 0) {
        (void)curl_easy_setopt(h->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->body != NULL) {
        h->request_body = malloc(request->body_bytes + 1);
        ASSERT(h->request_body != NULL);
        memcpy(h->request_body, request->body, request->body_bytes);
        (void)curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        (void)curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, h->request_body);
        header_add(h, "Expect:"); /* no second round trip, and no wait for servers that do not know 100 */
    } else if (strcmp(request->method, "POST") == 0) {
        (void)curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, "");
    }
    (void)curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void easy_set(struct http *h, const struct http_request *request)
{
    h->easy = curl_easy_init();
    ASSERT(h->easy != NULL);
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL && i < HTTP_HEADERS_MAX; i++)
        header_add(h, request->headers[i]);
    method_set(h, request);
    (void)curl_easy_setopt(h->easy, CURLOPT_CURLU, h->url);
    (void)curl_easy_setopt(h->easy, CURLOPT_PRIVATE, h);
    (void)curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, h->curl_error);
    (void)curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, h->headers);
    (void)curl_easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, h);
    (void)curl_easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h->easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(h->easy, CURLOPT_PROXY, ""); /* what a proxy says is not evidence about the site */
    (void)curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(h->easy, CURLOPT_USERAGENT, "coord");
    (void)curl_easy_setopt(h->easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
    (void)curl_easy_setopt(h->easy, CURLOPT_FORBID_REUSE, request->fresh_connection ? 1L : 0L);
    if (request->ca_file != NULL)
        (void)curl_easy_setopt(h->easy, CURLOPT_CAINFO, request->ca_file);
}

struct http *http_begin(struct http_client *client, const struct http_request *request, http_cb done, void *ctx)
{
    struct http *h = calloc(1, sizeof *h);

    ASSERT(h != NULL);
    ASSERT(request->response_bytes_max <= HTTP_BODY_MAX);
    ASSERT(uv_timer_init(client->loop, &h->timer) == 0);
    h->timer.data = h;
    h->client = client;
    h->timeout_ms = request->timeout_ms;
    h->begun_us = clock_now_us();
    h->body_bytes_max = request->response_bytes_max;
    h->body = malloc(h->body_bytes_max + 1);
    ASSERT(h->body != NULL);
    h->done = done;
    h->ctx = ctx;
    client->open_requests++;
    if (url_read(h, request) != STATUS_OK) {
        conclude(h); /* on_request_closed continues, later */
        return h;
    }
    easy_set(h, request);
    ASSERT(uv_timer_start(&h->timer, on_deadline, request->timeout_ms, 0) == 0);
    h->resolving = resolve_begin(client->resolver, h->host, request->timeout_ms, on_resolved, h);
    return h; /* on_resolved continues */
}

void http_cancel(struct http *h)
{
    error_set(&h->err, STATUS_CANCELED, "%s: canceled", h->label);
    if (h->closing)
        return; /* on_request_closed or on_resolved continues, and finds the error */
    if (h->resolving != NULL)
        resolve_cancel(h->resolving);
    conclude(h);
}
