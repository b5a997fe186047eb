/* c-ares asks for its sockets to be watched (on_socket_state) and for one timer; every event goes to ares_process_fd.
 *
 * c-ares 1.18 frees a query after its callback returns, and a cancel or destroy inside a callback frees it twice. So its callback only
 * takes the answer; `done` comes later, from the closing of the question's own timer. A question given up at our deadline stays known
 * to c-ares until that answers: the memory goes when both have let go of it. */
#include "io/resolve.h"

#include <ares.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

#define ARES_TRY_MS 1000 /* only how soon c-ares asks again; the deadline is ours */
#define ARES_TRIES 3

struct socket_watch {
    uv_poll_t poll;
    struct resolver *resolver;
    ares_socket_t fd;
    int events; /* what c-ares waits for */
    struct socket_watch *next;
};

struct resolver {
    uv_loop_t *loop;
    ares_channel channel;
    uv_timer_t timer;
    struct socket_watch *watches;
    int open_handles;
    int open_questions;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct resolve {
    struct resolver *resolver;
    uv_timer_t timer;
    bool asked;   /* c-ares will call back */
    bool closing; /* on_question_closed will */
    uint32_t timeout_ms;
    char name[HOST_TEXT_MAX];
    struct resolve_result result;
    struct error err;
    resolve_cb done;
    void *ctx;
};

static void resolver_rearm(struct resolver *r);

static void resolver_handle_closed(struct resolver *r)
{
    if (--r->open_handles > 0)
        return;
    r->closed(r->closed_ctx);
    free(r);
}

static void on_resolver_timer_closed(uv_handle_t *handle)
{
    resolver_handle_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct socket_watch *w = handle->data;
    struct resolver *r = w->resolver;

    free(w);
    resolver_handle_closed(r);
}

static struct socket_watch **watch_find(struct resolver *r, ares_socket_t fd)
{
    struct socket_watch **link = &r->watches;

    while (*link != NULL && (*link)->fd != fd)
        link = &(*link)->next;
    return link;
}

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *w = poll->data;
    struct resolver *r = w->resolver;
    ares_socket_t fd = w->fd;
    bool both = status < 0; /* let c-ares find out what is wrong */

    ares_process_fd(r->channel, both || (events & UV_READABLE) != 0 ? fd : ARES_SOCKET_BAD,
                    both || (events & UV_WRITABLE) != 0 ? fd : ARES_SOCKET_BAD);
    /* An ICMP error stops the poll, and c-ares may go on with the same socket. */
    if (both && *watch_find(r, fd) == w)
        ASSERT(uv_poll_start(&w->poll, w->events, on_socket_event) == 0);
    resolver_rearm(r);
}

static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = ctx;
    struct socket_watch **link = watch_find(r, fd), *w = *link;

    if (!readable && !writable) {
        if (w == NULL)
            return;
        *link = w->next;
        uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        return;
    }
    if (w == NULL) {
        w = calloc(1, sizeof *w);
        ASSERT(w != NULL);
        w->resolver = r;
        w->fd = fd;
        w->poll.data = w;
        ASSERT(uv_poll_init_socket(r->loop, &w->poll, fd) == 0);
        w->next = r->watches;
        r->watches = w;
        r->open_handles++;
    }
    w->events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    ASSERT(uv_poll_start(&w->poll, w->events, on_socket_event) == 0);
}

static void on_ares_timer(uv_timer_t *timer)
{
    struct resolver *r = timer->data;

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    resolver_rearm(r);
}

static void resolver_rearm(struct resolver *r)
{
    struct timeval space, *left = ares_timeout(r->channel, NULL, &space);

    if (left == NULL)
        (void)uv_timer_stop(&r->timer);
    else
        (void)uv_timer_start(&r->timer, on_ares_timer, (uint64_t)(left->tv_sec * 1000 + left->tv_usec / 1000 + 1), 0);
}

struct resolver *resolver_create(uv_loop_t *loop, const char *servers, struct error *err)
{
    struct ares_options options = { .timeout = ARES_TRY_MS, .tries = ARES_TRIES, .sock_state_cb = on_socket_state };
    struct resolver *r = calloc(1, sizeof *r);
    int failed;

    ASSERT(r != NULL);
    r->loop = loop;
    options.sock_state_cb_data = r;
    failed = ares_library_init(ARES_LIB_INIT_ALL);
    if (failed == ARES_SUCCESS)
        failed = ares_init_options(&r->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (failed != ARES_SUCCESS) {
        error_set(err, STATUS_FAILED, "the resolver cannot start: %s", ares_strerror(failed));
        free(r);
        return NULL;
    }
    if (servers != NULL && (failed = ares_set_servers_ports_csv(r->channel, servers)) != ARES_SUCCESS) {
        error_set(err, STATUS_INVALID, "DNS servers '%.200s': %s", servers, ares_strerror(failed));
        ares_destroy(r->channel);
        free(r);
        return NULL;
    }
    ASSERT(uv_timer_init(loop, &r->timer) == 0);
    r->timer.data = r;
    r->open_handles = 1;
    return r;
}

void resolver_close(struct resolver *r, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(r->open_questions == 0);
    r->closed = closed;
    r->closed_ctx = ctx;
    ares_destroy(r->channel); /* calls back for the questions that were given up, and closes the sockets' watches */
    ares_library_cleanup();
    uv_close((uv_handle_t *)&r->timer, on_resolver_timer_closed);
}

static void question_free_if_idle(struct resolve *q)
{
    if (!q->asked && q->resolver == NULL)
        free(q);
}

static void on_question_closed(uv_handle_t *handle)
{
    struct resolve *q = handle->data;

    q->resolver->open_questions--;
    q->resolver = NULL; /* it may be closed before c-ares has called back */
    q->done(q->ctx, q->err.status == STATUS_OK ? &q->result : NULL, error_or_null(&q->err));
    question_free_if_idle(q);
}

static void question_conclude(struct resolve *q)
{
    if (q->closing)
        return;
    q->closing = true;
    uv_close((uv_handle_t *)&q->timer, on_question_closed);
}

static enum status status_of(int ares_status)
{
    switch (ares_status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
        return STATUS_NOT_FOUND;
    case ARES_ETIMEOUT:
        return STATUS_TIMED_OUT;
    case ARES_ECONNREFUSED:
        return STATUS_UNREACHABLE;
    case ARES_EBADNAME:
        return STATUS_INVALID;
    default:
        return STATUS_FAILED;
    }
}

static void take_addresses(struct resolve *q, const struct ares_addrinfo *info)
{
    struct resolve_result *result = &q->result;

    for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next)
        if (result->address_count < RESOLVE_ADDRESSES_MAX && n->ai_addrlen <= sizeof(struct sockaddr_storage))
            memcpy(&result->addresses[result->address_count++], n->ai_addr, n->ai_addrlen);
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolve *q = ctx;

    (void)timeouts;
    q->asked = false;
    if (!q->closing) {
        if (status == ARES_SUCCESS)
            take_addresses(q, info);
        if (status == ARES_SUCCESS && q->result.address_count == 0)
            status = ARES_ENODATA;
        if (status != ARES_SUCCESS)
            error_set(&q->err, status_of(status), "name '%.200s': %s", q->name, ares_strerror(status));
        question_conclude(q);
    }
    if (info != NULL)
        ares_freeaddrinfo(info);
    question_free_if_idle(q);
}

static void on_question_deadline(uv_timer_t *timer)
{
    struct resolve *q = timer->data;

    error_set(&q->err, STATUS_TIMED_OUT, "name '%.200s': no DNS answer within %" PRIu32 " ms", q->name, q->timeout_ms);
    question_conclude(q);
}

struct resolve *resolve_begin(struct resolver *r, const char *name, uint32_t timeout_ms, resolve_cb done, void *ctx)
{
    const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct resolve *q = calloc(1, sizeof *q);

    ASSERT(q != NULL);
    ASSERT(uv_timer_init(r->loop, &q->timer) == 0);
    q->timer.data = q;
    q->resolver = r;
    q->timeout_ms = timeout_ms;
    q->done = done;
    q->ctx = ctx;
    r->open_questions++;
    if (name[0] == '\0' || !text_copy(q->name, sizeof q->name, name)) {
        error_set(&q->err, STATUS_INVALID, "name '%.200s' is empty or longer than a DNS name can be", name);
        question_conclude(q);
        return q;
    }
    if (address_parse(name, 0, &q->result.addresses[0])) {
        q->result.address_count = 1;
        question_conclude(q); /* on_question_closed continues, later */
        return q;
    }
    ASSERT(uv_timer_start(&q->timer, on_question_deadline, timeout_ms, 0) == 0);
    q->asked = true;
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q); /* may call back before it returns (/etc/hosts) */
    resolver_rearm(r);
    return q;
}

void resolve_cancel(struct resolve *q)
{
    error_set(&q->err, STATUS_CANCELED, "name '%.200s': canceled", q->name);
    question_conclude(q);
}
