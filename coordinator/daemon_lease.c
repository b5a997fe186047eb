/* The holder's effects: questions to the local guards, renewals into the log. The holder keeps the order; here nothing is decided. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"

#define GUARD_TIMEOUT_MS 1000u

/* The service's local guard; NULL when this host has none. */
struct daemon_guard *daemon_guard_of(struct daemon *d, service_id service)
{
    for (unsigned i = 0; i < d->config.local_count; i++)
        if (text_equal(d->config.local[i].service, d->state->services[service].config.name))
            return d->guards[i].client != NULL ? &d->guards[i] : NULL;
    return NULL;
}

static const char *service_name(const struct daemon *d, service_id service)
{
    return d->state->services[service].config.name;
}

struct asked {
    struct daemon *daemon;
    service_id service;
    uint64_t token;
};

static struct asked *asked_new(struct daemon *d, service_id service, uint64_t token)
{
    struct asked *a = malloc(sizeof *a);

    ASSERT(a != NULL);
    *a = (struct asked){ d, service, token };
    return a;
}

/* One line when a guard stops answering and one when it answers again, however often it is asked. */
static void note_answer(struct daemon *d, service_id service, const struct error *err)
{
    struct daemon_guard *guard = daemon_guard_of(d, service);

    if (guard == NULL || text_equal(guard->silent, err != NULL ? err->text : ""))
        return;
    text_set(guard->silent, sizeof guard->silent, "%s", err != NULL ? err->text : "");
    if (err != NULL)
        log_event(LOG_LEVEL_WARNING, "guard_silent", "service=%s error=%s", service_name(d, service), err->text);
    else
        log_event(LOG_LEVEL_INFO, "guard_answers", "service=%s", service_name(d, service));
}

static void on_status(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct asked *a = ctx;
    struct daemon *d = a->daemon;
    struct holder_guard guard = { .instance = answer->status.instance,
                                  .now_us = answer->status.now_us,
                                  .enforcing = answer->status.enforcing,
                                  .bypass = answer->status.state == GUARD_BYPASS,
                                  .in_recovery = answer->status.in_recovery };

    if (!d->closing)
        note_answer(d, a->service, err);
    if (!d->closing)
        holder_on_guard(&d->holder, d->state, a->service, a->token, err == NULL ? &guard : NULL);
    free(a);
}

static void guard_status(void *ctx, service_id service, uint64_t token)
{
    struct daemon *d = ctx;
    struct daemon_guard *guard = daemon_guard_of(d, service);

    if (guard != NULL)
        guard_status_begin(guard->client, GUARD_TIMEOUT_MS, on_status, asked_new(d, service, token));
}

/* A refusal comes with each renewal until its cause is gone: one line per cause. */
static void note_effect(struct daemon *d, service_id service, const struct guard_answer *answer,
                        const struct error *err)
{
    struct daemon_guard *guard = daemon_guard_of(d, service);
    const char *why = err == NULL ? "" : answer->reason[0] != '\0' ? answer->reason : status_word(err->status);

    if (guard == NULL || text_equal(guard->refused, why))
        return;
    text_set(guard->refused, sizeof guard->refused, "%s", why);
    if (err != NULL)
        log_event(LOG_LEVEL_WARNING, "guard_refused", "service=%s reason=%s error=%s", service_name(d, service), why,
                  err->text);
    else
        log_event(LOG_LEVEL_INFO, "guard_accepted", "service=%s", service_name(d, service));
}

static void on_effect(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct asked *a = ctx;

    if (!a->daemon->closing)
        note_effect(a->daemon, a->service, answer, err);
    free(a);
}

static void guard_open(void *ctx, service_id service, instance_id instance, epoch_t epoch, int64_t t0_us,
                       uint32_t hold_ms)
{
    struct daemon *d = ctx;
    struct daemon_guard *guard = daemon_guard_of(d, service);

    if (guard != NULL)
        guard_open_begin(guard->client, instance, epoch, t0_us, hold_ms, GUARD_TIMEOUT_MS, on_effect,
                         asked_new(d, service, 0));
    daemon_promise_note(d, service);
}

static void guard_bypass(void *ctx, service_id service, bool on, instance_id instance, epoch_t epoch)
{
    struct daemon *d = ctx;
    struct daemon_guard *guard = daemon_guard_of(d, service);

    if (guard == NULL)
        return;
    log_event(LOG_LEVEL_INFO, "guard_bypass", "service=%s bypass=%s", service_name(d, service), on ? "on" : "off");
    guard_bypass_begin(guard->client, on, instance, epoch, GUARD_TIMEOUT_MS, on_effect, asked_new(d, service, 0));
}

/* --- the lease that this node holds, for the log --- */

/* The state has changed: a lease of this node began or ended. */
static void note_lease(struct daemon *d, service_id service)
{
    const struct service *svc = &d->state->services[service];
    struct daemon_guard *guard = daemon_guard_of(d, service);
    epoch_t held = lease_live(&svc->lease) && svc->lease.holder == d->self ? svc->lease.epoch : 0;

    if (guard == NULL || guard->held_epoch == held)
        return;
    if (guard->held_epoch != 0)
        log_event(LOG_LEVEL_WARNING, "lease_lost", "service=%s epoch=%" PRIu64 " now=%s now_epoch=%" PRIu64 " site=%s",
                  svc->config.name, guard->held_epoch, lease_state_word(svc->lease.state), svc->lease.epoch,
                  state_site_name(d->state, svc->lease.site));
    if (held != 0)
        log_event(LOG_LEVEL_INFO, "lease_held", "service=%s epoch=%" PRIu64 " ttl_ms=%" PRIu32, svc->config.name, held,
                  svc->lease.ttl_ms);
    guard->held_epoch = held;
    guard->renewed_us = clock_now_us();
    guard->overdue = false;
    guard->asking = guard->on_promises = false;
}

/* Cut off from the cluster, this node still reads "live" in its state, while its guard has closed by itself. */
static void note_overdue(struct daemon *d, service_id service, int64_t now_us)
{
    const struct service *svc = &d->state->services[service];
    struct daemon_guard *guard = daemon_guard_of(d, service);
    int64_t hold_ms = (int64_t)svc->lease.ttl_ms - (int64_t)svc->config.timing.margin_ms;
    bool overdue = guard != NULL && guard->held_epoch != 0 && now_us - guard->renewed_us > hold_ms * 1000;

    if (guard == NULL || guard->overdue == overdue)
        return;
    guard->overdue = overdue;
    if (overdue)
        log_event(LOG_LEVEL_WARNING, "lease_overdue",
                  "service=%s epoch=%" PRIu64 " ms=%" PRId64 " enforced=%s reason=%s", svc->config.name,
                  guard->held_epoch, (now_us - guard->renewed_us) / 1000, service_enforced(svc) ? "yes" : "no",
                  guard->silent[0] != '\0' ? "the guard gives no answer"
                  : rnode_leadership(node_uv_rnode(d->node)).leader == 0
                      ? "no leader is known, and not every other site's node promises not to take over"
                      : "no renewal was accepted");
    else if (guard->held_epoch != 0)
        log_event(LOG_LEVEL_INFO, "lease_renewed", "service=%s epoch=%" PRIu64, svc->config.name, guard->held_epoch);
}

static void on_renewed(void *ctx, enum status status, const struct outcome *outcome)
{
    struct asked *a = ctx;
    struct daemon_guard *guard = daemon_guard_of(a->daemon, a->service);
    enum holder_answer answer = status != STATUS_OK            ? HOLDER_UNREACHED
                                : outcome->status == STATUS_OK ? HOLDER_ACCEPTED
                                                               : HOLDER_REFUSED;

    if (answer == HOLDER_ACCEPTED && guard != NULL)
        guard->renewed_us = clock_now_us();
    if (!a->daemon->closing)
        holder_on_outcome(&a->daemon->holder, a->service, a->token, answer,
                          answer == HOLDER_ACCEPTED ? outcome->value : 0);
    free(a);
}

static void submit(void *ctx, service_id service, uint64_t token, const struct command *command)
{
    struct daemon *d = ctx;
    struct command *c = d->proposing;

    command_clear(c, command->kind);
    text_set(c->who, sizeof c->who, "node %s", daemon_name(d));
    if (command->kind == COMMAND_RENEW)
        c->renew = command->renew;
    else
        c->grant = command->grant;
    daemon_submit(d, c, d->state->services[service].config.timing.ttl_ms, on_renewed, asked_new(d, service, token));
}

void daemon_lease_init(struct daemon *d)
{
    struct holder_ops ops = { .ctx = d,
                              .guard_status = guard_status,
                              .guard_open = guard_open,
                              .guard_bypass = guard_bypass,
                              .submit = submit,
                              .ask = daemon_promise_ask };
    uint64_t first = 0;

    ASSERT(getrandom(&first, sizeof first, 0) == (ssize_t)sizeof first);
    holder_init(&d->holder, d->self, first, &ops);
    daemon_promise_init(d);
    for (unsigned i = 0; i < d->config.local_count; i++) {
        if (d->config.local[i].guard_socket[0] == '\0')
            continue;
        d->guards[i].client = guard_client_create(&d->loop, d->config.local[i].guard_socket);
        ASSERT(d->guards[i].client != NULL); /* config.c bounds the path */
    }
}

void daemon_lease_follow(struct daemon *d)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        holder_set_local(&d->holder, (service_id)i,
                         d->state->services[i].present && daemon_guard_of(d, (service_id)i) != NULL);
        if (daemon_acts(d))
            note_lease(d, (service_id)i);
    }
}

void daemon_lease_tick(struct daemon *d)
{
    int64_t now_us = clock_now_us();

    if (d->closing)
        return;
    (void)holder_tick(&d->holder, d->state, now_us);
    daemon_promise_tick(d);
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (d->state->services[i].present)
            note_overdue(d, (service_id)i, now_us);
}

void daemon_lease_close(struct daemon *d, void (*closed)(void *ctx))
{
    for (unsigned i = 0; i < d->config.local_count; i++) {
        if (d->guards[i].client == NULL)
            continue;
        d->handles_open++;
        guard_client_destroy(d->guards[i].client, closed, d);
        d->guards[i].client = NULL;
    }
}
