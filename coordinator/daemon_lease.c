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

static struct guard_client *guard_of(struct daemon *d, service_id service)
{
    for (unsigned i = 0; i < d->config.local_count; i++)
        if (text_equal(d->config.local[i].service, d->state->services[service].config.name))
            return d->guards[i].client;
    return NULL;
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
        holder_on_guard(&d->holder, d->state, a->service, a->token, err == NULL ? &guard : NULL);
    free(a);
}

static void guard_status(void *ctx, service_id service, uint64_t token)
{
    struct daemon *d = ctx;
    struct guard_client *client = guard_of(d, service);

    if (client != NULL)
        guard_status_begin(client, GUARD_TIMEOUT_MS, on_status, asked_new(d, service, token));
}

static void on_effect(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct asked *a = ctx;

    if (err != NULL && !a->daemon->closing)
        log_event(LOG_LEVEL_WARNING, "guard_refused", "service=%s reason=%s error=%s",
                  a->daemon->state->services[a->service].config.name, answer->reason, err->text);
    free(a);
}

static void guard_open(void *ctx, service_id service, instance_id instance, epoch_t epoch, int64_t t0_us,
                       uint32_t hold_ms)
{
    struct daemon *d = ctx;
    struct guard_client *client = guard_of(d, service);

    if (client != NULL)
        guard_open_begin(client, instance, epoch, t0_us, hold_ms, GUARD_TIMEOUT_MS, on_effect,
                         asked_new(d, service, 0));
}

static void guard_bypass(void *ctx, service_id service, bool on, instance_id instance, epoch_t epoch)
{
    struct daemon *d = ctx;
    struct guard_client *client = guard_of(d, service);

    if (client == NULL)
        return;
    log_event(LOG_LEVEL_INFO, "guard_bypass", "service=%s bypass=%s", d->state->services[service].config.name,
              on ? "on" : "off");
    guard_bypass_begin(client, on, instance, epoch, GUARD_TIMEOUT_MS, on_effect, asked_new(d, service, 0));
}

static void on_renewed(void *ctx, enum status status, const struct outcome *outcome)
{
    struct asked *a = ctx;
    bool accepted = status == STATUS_OK && outcome->status == STATUS_OK;

    if (!a->daemon->closing)
        holder_on_outcome(&a->daemon->holder, a->service, a->token, accepted, accepted ? outcome->value : 0);
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
    struct holder_ops ops = {
        .ctx = d, .guard_status = guard_status, .guard_open = guard_open, .guard_bypass = guard_bypass, .submit = submit
    };
    uint64_t first = 0;

    ASSERT(getrandom(&first, sizeof first, 0) == (ssize_t)sizeof first);
    holder_init(&d->holder, d->self, first, &ops);
    for (unsigned i = 0; i < d->config.local_count; i++)
        if (d->config.local[i].guard_socket[0] != '\0')
            d->guards[i].client = guard_client_create(&d->loop, d->config.local[i].guard_socket);
}

void daemon_lease_follow(struct daemon *d)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        holder_set_local(&d->holder, (service_id)i,
                         d->state->services[i].present && guard_of(d, (service_id)i) != NULL);
}

void daemon_lease_tick(struct daemon *d)
{
    if (!d->closing)
        (void)holder_tick(&d->holder, d->state, clock_now_us());
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
