/* resolve each authority's name → ask it → judge; `done` when the last of them has answered or been given up. */
#include "dns/authority_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/check.h"
#include "dns/dns_exchange.h"
#include "io/clock.h"

struct authority {
    struct authority_check *check;
    struct resolve *resolving;
    struct dns_exchange *exchange;
    char text[HOST_TEXT_MAX + 8];
    char host[HOST_TEXT_MAX];
    uint16_t port;
};

struct authority_check {
    uv_timer_t timer; /* never started: its closing is what makes `done` come later */
    uv_loop_t *loop;
    struct authority authorities[AUTHORITIES_MAX];
    size_t open_count;
    struct dns_message question;
    enum dns_type type;
    char address[ADDRESS_TEXT_MAX];
    uint32_t timeout_ms;
    int64_t begun_us;
    struct authority_check_result result;
    struct error err;
    authority_check_cb done;
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    struct authority_check *c = handle->data;
    struct authority_check_result *result = &c->result;

    result->all_match = true;
    for (size_t i = 0; i < result->answer_count; i++) {
        result->all_match = result->all_match && result->answers[i].matches;
        if (result->answers[i].ttl_s > result->ttl_max_s)
            result->ttl_max_s = result->answers[i].ttl_s;
    }
    c->done(c->ctx, c->err.status == STATUS_OK ? result : NULL, error_or_null(&c->err));
    free(c);
}

static struct authority_answer *answer_of(const struct authority *a)
{
    return &a->check->result.answers[a - a->check->authorities];
}

static void authority_over(struct authority *a)
{
    if (--a->check->open_count == 0)
        uv_close((uv_handle_t *)&a->check->timer, on_closed);
}

static void judge(struct authority_answer *answer, const struct authority_check *c, const struct dns_reply *reply)
{
    size_t found = 0, equal = 0;
    const struct dns_record *first = NULL;

    for (size_t i = 0; i < reply->record_count; i++) {
        const struct dns_record *record = &reply->records[i];
        if (record->type != c->type)
            continue;
        if (first == NULL)
            first = record;
        found++;
        if (strcmp(record->value, c->address) == 0)
            equal++;
        if (record->ttl_s > answer->ttl_s)
            answer->ttl_s = record->ttl_s;
    }
    answer->answered = true;
    answer->authoritative = reply->authoritative;
    answer->matches = reply->authoritative && reply->rcode == DNS_NOERROR && found == 1 && equal == 1;
    if (reply->rcode != DNS_NOERROR || first == NULL)
        (void)snprintf(answer->detail, sizeof answer->detail, "%s%s", dns_rcode_word(reply->rcode),
                       reply->rcode == DNS_NOERROR ? ", no address" : "");
    else
        (void)snprintf(answer->detail, sizeof answer->detail, "%.60s ttl %" PRIu32 "%s%s", first->value, answer->ttl_s,
                       found > 1 ? " and others" : "", reply->authoritative ? "" : ", not authoritative");
}

static void on_reply(void *ctx, const struct dns_reply *reply, const struct error *err)
{
    struct authority *a = ctx;

    a->exchange = NULL;
    if (err != NULL)
        (void)text_copy(answer_of(a)->detail, sizeof answer_of(a)->detail, err->text);
    else
        judge(answer_of(a), a->check, reply);
    authority_over(a);
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct authority *a = ctx;
    struct authority_check *c = a->check;
    struct sockaddr_storage server;
    uint64_t left_ms = clock_left_ms(c->begun_us, c->timeout_ms);

    a->resolving = NULL;
    if (err != NULL || left_ms == 0 || c->err.status != STATUS_OK) {
        (void)text_copy(answer_of(a)->detail, sizeof answer_of(a)->detail, err != NULL ? err->text : "no time left");
        authority_over(a);
        return;
    }
    server = result->addresses[0];
    address_set_port(&server, a->port);
    a->exchange = dns_exchange_begin(c->loop, &server, &c->question, NULL, (uint32_t)left_ms, on_reply, a);
}

static enum status request_take(struct authority_check *c, const struct authority_check_request *request)
{
    struct sockaddr_storage address;

    if (request->server_count == 0 || request->server_count > AUTHORITIES_MAX)
        return error_set(&c->err, STATUS_INVALID, "%zu authorities to ask; 1 to %d are possible", request->server_count,
                         AUTHORITIES_MAX);
    if (!address_parse(request->address, 0, &address))
        return error_set(&c->err, STATUS_INVALID, "'%.100s' is no numeric address", request->address);
    c->type = address.ss_family == AF_INET6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
    (void)address_text(&address, false, c->address, sizeof c->address);
    if (dns_wire_query(&c->question, request->name, c->type, NULL, &c->err) != STATUS_OK)
        return c->err.status;
    for (size_t i = 0; i < request->server_count; i++) {
        struct authority *a = &c->authorities[i];
        a->check = c;
        if (address_split(request->servers[i], 53, a->host, &a->port, &c->err) != STATUS_OK)
            return c->err.status;
        (void)text_copy(a->text, sizeof a->text, request->servers[i]);
        c->result.answers[i].server = a->text;
    }
    c->result.answer_count = request->server_count;
    return STATUS_OK;
}

struct authority_check *authority_check_begin(uv_loop_t *loop, struct resolver *resolver,
                                              const struct authority_check_request *request, authority_check_cb done,
                                              void *ctx)
{
    struct authority_check *c = calloc(1, sizeof *c);

    ASSERT(c != NULL);
    ASSERT(uv_timer_init(loop, &c->timer) == 0);
    c->timer.data = c;
    c->loop = loop;
    c->timeout_ms = request->timeout_ms;
    c->begun_us = clock_now_us();
    c->done = done;
    c->ctx = ctx;
    if (request_take(c, request) != STATUS_OK) {
        uv_close((uv_handle_t *)&c->timer, on_closed); /* on_closed continues, later */
        return c;
    }
    c->open_count = c->result.answer_count;
    for (size_t i = 0; i < c->result.answer_count; i++) {
        struct authority *a = &c->authorities[i];
        a->resolving = resolve_begin(resolver, a->host, request->timeout_ms, on_resolved, a);
    }
    return c; /* on_resolved continues, once for each */
}

void authority_check_cancel(struct authority_check *c)
{
    error_set(&c->err, STATUS_CANCELED, "the check of the authorities was canceled");
    for (size_t i = 0; i < c->result.answer_count; i++) {
        if (c->authorities[i].resolving != NULL)
            resolve_cancel(c->authorities[i].resolving);
        if (c->authorities[i].exchange != NULL)
            dns_exchange_cancel(c->authorities[i].exchange);
    }
}
