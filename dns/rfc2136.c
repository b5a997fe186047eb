/* Each round at a server: read the sentinel, read the address, and if they are not ours yet, update and begin the next round. So there is
 * one place that says "done", and it has seen the records at the authority; a repeated publish, a lost answer and a lost race need no
 * case of their own. Everything read must be signed: nothing unsigned can make us report success or step back. */
#include "dns/rfc2136.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/check.h"
#include "dns/dns_exchange.h"
#include "dns/sentinel.h"
#include "io/clock.h"

#define ATTEMPT_MS_DEFAULT 1000
#define ROUNDS_MAX 8   /* at one server: lost races and updates that do not show */
#define SILENCES_MAX 2 /* at one server */
#define ROUND_PAUSE_MS 50

enum phase { PHASE_IDLE, PHASE_RESOLVE, PHASE_SENTINEL, PHASE_ADDRESS, PHASE_UPDATE, PHASE_PAUSE, PHASE_OVER };

struct server {
    char text[80];
    char host[HOST_TEXT_MAX];
    uint16_t port;
};

struct rfc2136 {
    uv_loop_t *loop;
    struct resolver *resolver;
    struct server servers[RFC2136_SERVERS_MAX];
    size_t server_count;
    struct tsig_key key;
    uint32_t attempt_ms;
    uv_timer_t deadline_timer, pause_timer;
    int open_handles;
    /* The publish under way. */
    enum phase phase;
    char zone[DNS_NAME_MAX], name[DNS_NAME_MAX], sentinel_name[DNS_NAME_MAX];
    enum dns_type type;
    char address[ADDRESS_TEXT_MAX];
    uint32_t ttl_s, deadline_ms;
    int64_t t0_us;
    struct sentinel wanted;
    struct resolve *resolving;
    struct dns_exchange *exchange;
    size_t server; /* index */
    struct sockaddr_storage server_address;
    int rounds, silences;
    bool updated; /* at this server an update of ours was accepted */
    bool unknown; /* an update went out and its fate was not heard */
    bool sentinel_seen, sentinel_ours;
    char seen[DNS_WIRE_VALUE_MAX];
    struct dns_published result;
    struct error server_err; /* of the last server that failed, for the text */
    struct error err;
    dns_cb done;
    void *ctx;
};

static void step(struct rfc2136 *r, enum phase phase);

static const struct server *server_now(const struct rfc2136 *r)
{
    return &r->servers[r->server];
}

static void finish(struct rfc2136 *r)
{
    if (r->resolving != NULL || r->exchange != NULL)
        return; /* its end continues */
    (void)uv_timer_stop(&r->deadline_timer);
    (void)uv_timer_stop(&r->pause_timer);
    r->phase = PHASE_IDLE;
    r->done(r->ctx, r->err.status == STATUS_OK ? &r->result : NULL, error_or_null(&r->err));
}

/* The end, from the outside: deadline or cancel. */
static void abandon(struct rfc2136 *r)
{
    r->phase = PHASE_OVER;
    if (r->resolving != NULL)
        resolve_cancel(r->resolving);
    if (r->exchange != NULL)
        dns_exchange_cancel(r->exchange);
    finish(r);
}

static void succeed(struct rfc2136 *r)
{
    r->phase = PHASE_OVER;
    r->err = ERROR_NONE;
    r->result.changed = r->updated;
    (void)text_copy(r->result.server, sizeof r->result.server, server_now(r)->text);
    finish(r);
}

/* Another actor's right: no other server is asked. */
static void refuse(struct rfc2136 *r, const char *why)
{
    r->phase = PHASE_OVER;
    error_set(&r->err, STATUS_REFUSED, "%s at %s: %s", r->sentinel_name, server_now(r)->text, why);
    finish(r);
}

/* This server does not get us further; `server_err` says why. */
static void server_failed(struct rfc2136 *r)
{
    if (r->server + 1 < r->server_count) {
        r->server++;
        r->rounds = r->silences = 0;
        r->updated = false;
        step(r, PHASE_RESOLVE);
        return;
    }
    r->phase = PHASE_OVER;
    error_set(&r->err, r->unknown ? STATUS_UNKNOWN : r->server_err.status, "%.80s could not be published: %.280s",
              r->name, r->server_err.text);
    finish(r);
}

static void round_again(struct rfc2136 *r, const char *reason)
{
    if (++r->rounds < ROUNDS_MAX) {
        step(r, r->rounds > 1 ? PHASE_PAUSE : PHASE_SENTINEL);
        return;
    }
    error_set(&r->server_err, STATUS_FAILED, "DNS server %s: %s", server_now(r)->text, reason);
    server_failed(r);
}

/* ---- judging answers ---- */

/* False: `server_err` says what is wrong with the signature and what to check. */
static bool signature_ok(struct rfc2136 *r, const struct dns_reply *reply)
{
    const char *server = server_now(r)->text, *rcode = dns_rcode_word(reply->rcode);
    struct error *err = &r->server_err;

    switch (reply->tsig) {
    case TSIG_VERIFIED:
        return true;
    case TSIG_BADKEY:
        error_set(err, STATUS_FAILED,
                  "DNS server %s does not accept key '%.60s' (BADKEY): define it there with hmac-sha256, and let it "
                  "change %.60s "
                  "and " SENTINEL_LABEL "%.60s",
                  server, r->key.name, r->name, r->name);
        break;
    case TSIG_BADSIG:
        error_set(err, STATUS_FAILED,
                  "DNS server %s has another secret for key '%.60s' (BADSIG): compare the key files", server,
                  r->key.name);
        break;
    case TSIG_BADTIME:
        error_set(err, STATUS_FAILED,
                  "DNS server %s: its clock and ours differ by more than %d s (BADTIME): check time synchronisation",
                  server, TSIG_FUDGE_S);
        break;
    case TSIG_NONE:
        error_set(err, STATUS_FAILED,
                  "DNS server %s answers %s without a signature: does it serve zone %.60s and know key '%.60s'?",
                  server, rcode, r->zone, r->key.name);
        break;
    case TSIG_UNVERIFIABLE:
        error_set(err, STATUS_FAILED,
                  "DNS server %s answers %s with a signature that cannot be verified: may key '%.60s' change %.60s "
                  "and " SENTINEL_LABEL "%.60s?",
                  server, rcode, r->key.name, r->name, r->name);
        break;
    }
    return false;
}

static bool read_ok(struct rfc2136 *r, const struct dns_reply *reply)
{
    if (!signature_ok(r, reply))
        return false;
    if ((reply->rcode == DNS_NOERROR || reply->rcode == DNS_NXDOMAIN) && reply->authoritative)
        return true;
    error_set(&r->server_err, STATUS_FAILED, "DNS server %s answers %s%s for %.80s: is it an authority of zone %.80s?",
              server_now(r)->text, dns_rcode_word(reply->rcode), reply->authoritative ? "" : " without authority",
              r->name, r->zone);
    return false;
}

static void on_sentinel(struct rfc2136 *r, const struct dns_reply *reply)
{
    struct sentinel found;
    char why[200];

    r->sentinel_seen = r->sentinel_ours = false;
    if (reply->record_count > 1 || reply->records_cut ||
        (reply->record_count == 1 && reply->records[0].type != DNS_TYPE_TXT)) {
        refuse(r, "holds more than our one record; remove by hand what does not belong there");
        return;
    }
    if (reply->record_count == 0) {
        step(r, PHASE_UPDATE);
        return;
    }
    r->sentinel_seen = true;
    (void)text_copy(r->seen, sizeof r->seen, reply->records[0].value);
    if (sentinel_parse(&found, r->seen) != STATUS_OK) {
        (void)snprintf(why, sizeof why,
                       "holds '%.80s', which is not ours; remove it by hand if coord is to manage the name", r->seen);
        refuse(r, why);
    } else if (strcmp(found.service, r->wanted.service) != 0) {
        (void)snprintf(why, sizeof why, "the name belongs to service %s (epoch %" PRIu64 ")", found.service,
                       found.epoch);
        refuse(r, why);
    } else if (found.epoch > r->wanted.epoch) {
        (void)snprintf(why, sizeof why, "epoch %" PRIu64 " of %s is published; epoch %" PRIu64 " is over", found.epoch,
                       found.site, r->wanted.epoch);
        refuse(r, why);
    } else if (found.epoch == r->wanted.epoch && strcmp(found.site, r->wanted.site) != 0) {
        (void)snprintf(why, sizeof why, "epoch %" PRIu64 " is published for %s", found.epoch, found.site);
        refuse(r, why);
    } else {
        r->sentinel_ours = found.epoch == r->wanted.epoch;
        step(r, r->sentinel_ours ? PHASE_ADDRESS : PHASE_UPDATE);
    }
}

static void on_address(struct rfc2136 *r, const struct dns_reply *reply)
{
    const struct dns_record *record = &reply->records[0];

    if (reply->record_count == 1 && !reply->records_cut && record->type == r->type &&
        strcmp(record->value, r->address) == 0 && record->ttl_s == r->ttl_s)
        succeed(r);
    else
        step(r, PHASE_UPDATE);
}

static void on_update(struct rfc2136 *r, const struct dns_reply *reply)
{
    switch (reply->rcode) {
    case DNS_NOERROR:
        r->updated = true;
        if (r->result.previous[0] == '\0' && r->sentinel_seen && !r->sentinel_ours)
            (void)text_copy(r->result.previous, sizeof r->result.previous, r->seen);
        round_again(r, "accepts the update but does not show it; is there a CNAME at the name, or is it a secondary?");
        return;
    case DNS_YXDOMAIN:
    case DNS_YXRRSET:
    case DNS_NXRRSET:
    case DNS_NXDOMAIN:
        round_again(r, "others keep changing the name at the same time");
        return;
    case DNS_REFUSED:
        error_set(&r->server_err, STATUS_FAILED,
                  "DNS server %s refuses: allow key '%.60s' to change %s at %.60s and TXT at " SENTINEL_LABEL "%.60s",
                  server_now(r)->text, r->key.name, dns_type_word(r->type), r->name, r->name);
        break;
    case DNS_NOTAUTH:
    case DNS_NOTZONE:
        error_set(&r->server_err, STATUS_FAILED, "DNS server %s answers %s: is it the primary of zone %.100s?",
                  server_now(r)->text, dns_rcode_word(reply->rcode), r->zone);
        break;
    case DNS_FORMERR:
    case DNS_SERVFAIL:
    case DNS_NOTIMP:
    default:
        r->unknown = true;
        error_set(&r->server_err, STATUS_FAILED, "DNS server %s answers the update with %s: see its log",
                  server_now(r)->text, dns_rcode_word(reply->rcode));
        break;
    }
    server_failed(r);
}

static void on_silence(struct rfc2136 *r, const struct error *err)
{
    r->server_err = *err;
    if (r->phase == PHASE_UPDATE && err->status != STATUS_UNREACHABLE)
        r->unknown = true;
    if (err->status == STATUS_UNREACHABLE || ++r->silences >= SILENCES_MAX)
        server_failed(r);
    else
        step(r, PHASE_SENTINEL); /* what happened is unknown: read before anything is sent again */
}

static void on_reply(void *ctx, const struct dns_reply *reply, const struct error *err)
{
    struct rfc2136 *r = ctx;

    r->exchange = NULL;
    if (r->phase == PHASE_OVER) {
        finish(r);
    } else if (err != NULL) {
        on_silence(r, err);
    } else if (r->phase == PHASE_UPDATE) {
        if (signature_ok(r, reply)) {
            on_update(r, reply);
        } else {
            /* A refusal for its key or its rights was no change; but unsigned, anybody can have said it. */
            r->unknown = r->unknown || reply->tsig == TSIG_NONE || reply->tsig == TSIG_UNVERIFIABLE;
            server_failed(r);
        }
    } else if (!read_ok(r, reply)) {
        server_failed(r);
    } else if (r->phase == PHASE_SENTINEL) {
        on_sentinel(r, reply);
    } else {
        on_address(r, reply);
    }
}

/* ---- asking ---- */

static enum status update_build(const struct rfc2136 *r, struct dns_message *out, struct error *err)
{
    struct dns_record records[2] = { { .type = r->type, .ttl_s = r->ttl_s },
                                     { .type = DNS_TYPE_TXT, .ttl_s = r->ttl_s } };
    struct dns_record expected = { .type = DNS_TYPE_TXT };
    struct dns_update update = { .zone = r->zone,
                                 .prerequisite = r->sentinel_seen ? DNS_RRSET_EQUALS : DNS_RRSET_ABSENT,
                                 .expected = &expected,
                                 .records = records,
                                 .record_count = 2 };

    (void)text_copy(records[0].name, sizeof records[0].name, r->name);
    (void)text_copy(records[0].value, sizeof records[0].value, r->address);
    (void)text_copy(records[1].name, sizeof records[1].name, r->sentinel_name);
    sentinel_format(&r->wanted, records[1].value, sizeof records[1].value);
    (void)text_copy(expected.name, sizeof expected.name, r->sentinel_name);
    if (r->sentinel_seen)
        (void)text_copy(expected.value, sizeof expected.value, r->seen);
    return dns_wire_update(out, &update, &r->key, err);
}

static void ask(struct rfc2136 *r)
{
    struct dns_message message;
    struct error err = ERROR_NONE;
    enum status status;

    if (r->phase == PHASE_SENTINEL)
        status = dns_wire_query(&message, r->sentinel_name, DNS_TYPE_TXT, &r->key, &err);
    else if (r->phase == PHASE_ADDRESS)
        status = dns_wire_query(&message, r->name, r->type, &r->key, &err);
    else
        status = update_build(r, &message, &err);
    if (status != STATUS_OK) {
        r->err = err;
        r->phase = PHASE_OVER;
        finish(r);
        return;
    }
    r->exchange = dns_exchange_begin(r->loop, &r->server_address, &message, &r->key, r->attempt_ms, on_reply, r);
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct rfc2136 *r = ctx;

    r->resolving = NULL;
    if (r->phase == PHASE_OVER) {
        finish(r);
    } else if (err != NULL) {
        error_set(&r->server_err, STATUS_UNREACHABLE, "DNS server %s: %.300s", server_now(r)->text, err->text);
        server_failed(r);
    } else {
        r->server_address = result->addresses[0];
        address_set_port(&r->server_address, server_now(r)->port);
        step(r, PHASE_SENTINEL);
    }
}

static void on_pause_over(uv_timer_t *timer)
{
    step(timer->data, PHASE_SENTINEL);
}

static void step(struct rfc2136 *r, enum phase phase)
{
    r->phase = phase;
    switch (phase) {
    case PHASE_RESOLVE:
        r->resolving = resolve_begin(r->resolver, server_now(r)->host, r->attempt_ms, on_resolved, r);
        return; /* on_resolved continues */
    case PHASE_SENTINEL:
    case PHASE_ADDRESS:
    case PHASE_UPDATE:
        ask(r);
        return; /* on_reply continues */
    case PHASE_PAUSE:
        ASSERT(uv_timer_start(&r->pause_timer, on_pause_over, ROUND_PAUSE_MS, 0) == 0);
        return; /* on_pause_over continues */
    case PHASE_IDLE:
    case PHASE_OVER:
        break;
    }
    check_failed("the end has functions of its own", __FILE__, __LINE__);
}

static void on_deadline(uv_timer_t *timer)
{
    struct rfc2136 *r = timer->data;

    if (r->phase == PHASE_OVER && r->err.status != STATUS_OK) {
        finish(r); /* refused by begin: its error comes from here, later than begin */
        return;
    }
    error_set(&r->err, r->unknown || r->phase == PHASE_UPDATE ? STATUS_UNKNOWN : STATUS_TIMED_OUT,
              "%.80s was not confirmed within %" PRIu32 " ms; last: %.250s", r->name, r->deadline_ms,
              r->server_err.text[0] != '\0' ? r->server_err.text : server_now(r)->text);
    abandon(r);
}

/* ---- the request ---- */

static enum status name_set(char *out, const char *name, struct error *err)
{
    size_t length = strlen(name);

    if (length > 0 && name[length - 1] == '.')
        length--;
    if (length == 0 || length + sizeof SENTINEL_LABEL >= DNS_NAME_MAX)
        return error_set(err, STATUS_INVALID, "'%.100s' cannot be published: empty or too long", name);
    memset(out, 0, DNS_NAME_MAX);
    memcpy(out, name, length);
    return STATUS_OK;
}

static enum status request_take(struct rfc2136 *r, const struct dns_publish *request)
{
    struct sockaddr_storage address;
    size_t name_bytes, zone_bytes;

    if (name_set(r->zone, request->zone, &r->err) != STATUS_OK ||
        name_set(r->name, request->name, &r->err) != STATUS_OK)
        return STATUS_INVALID;
    name_bytes = strlen(r->name);
    zone_bytes = strlen(r->zone);
    if (name_bytes < zone_bytes || strcasecmp(r->name + name_bytes - zone_bytes, r->zone) != 0 ||
        (name_bytes > zone_bytes && r->name[name_bytes - zone_bytes - 1] != '.'))
        return error_set(&r->err, STATUS_INVALID, "%.100s is not inside zone %.100s", r->name, r->zone);
    (void)snprintf(r->sentinel_name, sizeof r->sentinel_name, SENTINEL_LABEL "%.240s", r->name);
    if (!address_parse(request->address, 0, &address))
        return error_set(&r->err, STATUS_INVALID, "'%.100s' is no numeric address to publish for %.100s",
                         request->address, r->name);
    r->type = address.ss_family == AF_INET6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
    (void)address_text(&address, false, r->address, sizeof r->address);
    r->ttl_s = request->ttl_s;
    r->t0_us = request->t0_us;
    r->deadline_ms = request->deadline_ms;
    return sentinel_set(&r->wanted, request->epoch, request->service, request->site, &r->err);
}

static void publish_begin(void *self, const struct dns_publish *request, dns_cb done, void *ctx)
{
    struct rfc2136 *r = self;

    ASSERT(r->phase == PHASE_IDLE);
    r->done = done;
    r->ctx = ctx;
    r->err = r->server_err = ERROR_NONE;
    r->result = (struct dns_published){ .changed = false };
    r->server = 0;
    r->rounds = r->silences = 0;
    r->updated = r->unknown = false;
    if (request_take(r, request) != STATUS_OK) {
        r->phase = PHASE_OVER;
        ASSERT(uv_timer_start(&r->deadline_timer, on_deadline, 0, 0) == 0);
        return; /* on_deadline continues */
    }
    ASSERT(uv_timer_start(&r->deadline_timer, on_deadline, clock_left_ms(r->t0_us, r->deadline_ms), 0) == 0);
    step(r, PHASE_RESOLVE);
}

static void publish_cancel(void *self)
{
    struct rfc2136 *r = self;

    if (r->phase == PHASE_IDLE)
        return;
    error_set(&r->err, STATUS_CANCELED, "%.100s: canceled", r->name);
    r->phase = PHASE_OVER;
    if (r->resolving != NULL)
        resolve_cancel(r->resolving);
    else if (r->exchange != NULL)
        dns_exchange_cancel(r->exchange);
    else
        ASSERT(uv_timer_start(&r->deadline_timer, on_deadline, 0, 0) == 0); /* `done` comes later than cancel */
    (void)uv_timer_stop(&r->pause_timer);
}

const struct dns_method dns_rfc2136 = { .name = "rfc2136", .begin = publish_begin, .cancel = publish_cancel };

/* ---- life ---- */

enum status rfc2136_create(uv_loop_t *loop, struct resolver *resolver, const struct rfc2136_config *config,
                           struct rfc2136 **out, struct error *err)
{
    struct rfc2136 *r;

    if (config->server_count == 0 || config->server_count > RFC2136_SERVERS_MAX)
        return error_set(err, STATUS_INVALID, "rfc2136: %zu servers; 1 to %d are possible", config->server_count,
                         RFC2136_SERVERS_MAX);
    r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    for (size_t i = 0; i < config->server_count; i++) {
        struct server *server = &r->servers[i];
        (void)snprintf(server->text, sizeof server->text, "%.79s", config->servers[i]);
        if (address_split(config->servers[i], 53, server->host, &server->port, err) != STATUS_OK) {
            free(r);
            return STATUS_INVALID;
        }
    }
    r->server_count = config->server_count;
    r->loop = loop;
    r->resolver = resolver;
    r->key = config->key;
    r->attempt_ms = config->attempt_ms != 0 ? config->attempt_ms : ATTEMPT_MS_DEFAULT;
    ASSERT(uv_timer_init(loop, &r->deadline_timer) == 0);
    ASSERT(uv_timer_init(loop, &r->pause_timer) == 0);
    r->deadline_timer.data = r->pause_timer.data = r;
    r->open_handles = 2;
    *out = r;
    return STATUS_OK;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct rfc2136 *r = handle->data;

    if (--r->open_handles > 0)
        return;
    tsig_key_wipe(&r->key);
    free(r);
}

void rfc2136_destroy(struct rfc2136 *r)
{
    ASSERT(r->phase == PHASE_IDLE);
    uv_close((uv_handle_t *)&r->deadline_timer, on_handle_closed);
    uv_close((uv_handle_t *)&r->pause_timer, on_handle_closed);
}
