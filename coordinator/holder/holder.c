#include "holder/holder.h"

#include <string.h>

#include "base/check.h"

#define IDLE_US (1000 * INT64_C(1000)) /* how often a service without a lease of ours is looked at */

void holder_init(struct holder *h, node_id self, uint64_t first_token, const struct holder_ops *ops)
{
    memset(h, 0, sizeof *h);
    h->self = self;
    h->last_token = first_token;
    h->ops = *ops;
}

void holder_set_local(struct holder *h, service_id service, bool local)
{
    ASSERT(service < SERVICES_MAX);
    h->services[service].local = local;
}

void holder_act_from(struct holder *h, uint64_t index)
{
    h->acts_from = index;
}

static bool acts(const struct holder *h, const struct state *s)
{
    return h->acts_from != 0 && s->applied_index >= h->acts_from;
}

/* The site at which this node executes the service; SITE_NONE when it does not. */
static site_id executes_at(const struct holder *h, const struct state *s, const struct service *svc)
{
    int slot = state_member_slot(s, h->self);
    site_id site = slot >= 0 ? s->members[slot].site : SITE_NONE;

    if (site == SITE_NONE || service_config_site(&svc->config, site) == NULL || svc->views[site].executor != h->self)
        return SITE_NONE;
    return site;
}

static bool holds(const struct holder *h, const struct service *svc, site_id site)
{
    return lease_live(&svc->lease) && svc->lease.site == site && svc->lease.holder == h->self;
}

/* The primary without a lease, or the one that the configuration names for the first grant. */
static bool may_ask(const struct service *svc, site_id site)
{
    site_id primary = svc->primary == SITE_NONE ? svc->config.primary : svc->primary;

    return site == primary && !lease_live(&svc->lease) && svc->operation.state != OPERATION_RUNNING;
}

static struct holder_sample *sample_by_token(struct holder_service *hs, uint64_t token)
{
    for (unsigned i = 0; token != 0 && i < HOLDER_SAMPLES_MAX; i++)
        if (hs->samples[i].token == token)
            return &hs->samples[i];
    return NULL;
}

static uint64_t next_token(struct holder *h)
{
    if (++h->last_token == 0) /* 0 marks a free slot */
        ++h->last_token;
    return h->last_token;
}

static void sample_begin(struct holder *h, const struct state *s, service_id service)
{
    struct holder_service *hs = &h->services[service];
    struct holder_sample *sample = &hs->samples[hs->next_sample++ % HOLDER_SAMPLES_MAX];

    *sample = (struct holder_sample){ .token = next_token(h), .known_index = s->applied_index };
    h->ops.guard_status(h->ops.ctx, service, sample->token);
}

int64_t holder_tick(struct holder *h, const struct state *s, int64_t now_us)
{
    int64_t wake_us = now_us + IDLE_US;

    if (!acts(h, s))
        return wake_us;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct service *svc = &s->services[i];
        struct holder_service *hs = &h->services[i];
        site_id site;

        if (!svc->present || !hs->local)
            continue;
        site = executes_at(h, s, svc);
        if (site == SITE_NONE)
            continue;
        if (hs->seen_epoch != svc->lease.epoch) {
            hs->unanswered = 0;
            hs->on_promises = false;
            hs->seen_epoch =
                svc->lease.epoch; /* the first renewal of an epoch is sent at once: until then its guard is closed */
            hs->due_us = now_us;
        }
        if (now_us >= hs->due_us) {
            hs->due_us =
                now_us +
                (holds(h, svc, site) || may_ask(svc, site) ? (int64_t)svc->config.timing.renew_ms * 1000 : IDLE_US);
            sample_begin(h, s, (service_id)i);
        }
        if (hs->due_us < wake_us)
            wake_us = hs->due_us;
    }
    return wake_us;
}

/* The guard follows the applied setting: first the entry, then the bypass; first the end of the bypass, then a renewal that reports it. A
 * site that is not the primary, or no longer, has none. */
static void follow_enforcement(struct holder *h, const struct service *svc, service_id service, site_id site,
                               const struct holder_guard *guard)
{
    bool bypass = !service_enforced(svc) && (holds(h, svc, site) || may_ask(svc, site));

    if (bypass != guard->bypass)
        h->ops.guard_bypass(h->ops.ctx, service, bypass, guard->instance, svc->lease.epoch);
}

/* The server life that the log has seen this lease open last; no other is opened without the log. */
static bool opened_by_log(const struct lease *lease, instance_id instance)
{
    return lease->instance_count > 0 && lease->instances[lease->instance_count - 1] == instance;
}

static void ask_promises(struct holder *h, const struct state *s, struct holder_sample *sample,
                         const struct command_renew *renew)
{
    const struct service *svc = &s->services[renew->service];
    struct promise_ask ask = { .token = sample->token, .config_version = s->config_version, .renew = *renew };

    if (!service_enforced(svc) || !renew->enforcement.enforcing || renew->ttl_ms > svc->lease.ttl_ms ||
        !opened_by_log(&svc->lease, renew->enforcement.instance))
        return;
    sample->asked_count = promise_askees(svc, sample->asked);
    sample->missing = (1u << sample->asked_count) - 1;
    for (unsigned i = 0; i < sample->asked_count; i++)
        h->ops.ask(h->ops.ctx, sample->asked[i], &ask);
}

void holder_on_guard(struct holder *h, const struct state *s, service_id service, uint64_t token,
                     const struct holder_guard *guard)
{
    const struct service *svc = &s->services[service];
    struct holder_sample *sample = sample_by_token(&h->services[service], token);
    struct command *c = &h->command;
    struct command_renew renew;
    struct enforcement report;
    site_id site;

    if (sample == NULL || sample->submitted)
        return; /* an answer to nothing that is open */
    site = svc->present && acts(h, s) ? executes_at(h, s, svc) : SITE_NONE;
    if (guard == NULL || guard->instance == 0 || site == SITE_NONE || sample->known_index < svc->enforced_index) {
        sample->token = 0;
        return;
    }
    report = (struct enforcement){ .enforcing = guard->enforcing && !guard->bypass,
                                   .instance = guard->instance,
                                   .known_index = sample->known_index };
    sample->instance = guard->instance;
    sample->t0_us = guard->now_us;
    sample->submitted = true;
    follow_enforcement(h, svc, service, site, guard);
    if (holds(h, svc, site)) {
        sample->epoch = svc->lease.epoch;
        sample->hold_ms = svc->config.timing.ttl_ms - svc->config.timing.margin_ms;
        renew = (struct command_renew){ service, svc->lease.epoch, h->self, svc->config.timing.ttl_ms, report };
        command_clear(c, COMMAND_RENEW);
        c->renew = renew;
        h->ops.submit(h->ops.ctx, service, token, c);
        if (h->services[service].unanswered++ > 0)
            ask_promises(h, s, sample, &renew);
        return;
    }
    if (!may_ask(svc, site) || guard->in_recovery) {
        sample->token = 0;
        return;
    }
    command_clear(c, COMMAND_GRANT);
    c->grant = (struct command_grant){ service, site, h->self, svc->lease.epoch, report };
    h->ops.submit(h->ops.ctx, service, token, c); /* a grant opens nothing: its first renewal does */
}

void holder_on_outcome(struct holder *h, service_id service, uint64_t token, enum holder_answer answer, uint64_t value)
{
    struct holder_service *hs = &h->services[service];
    struct holder_sample *sample = sample_by_token(hs, token);
    struct holder_sample answered;

    if (sample == NULL || !sample->submitted || answer == HOLDER_UNREACHED)
        return; /* promises may still answer it */
    answered = *sample;
    sample->token = 0;
    hs->unanswered = 0;
    if (answer != HOLDER_ACCEPTED || answered.epoch == 0 || value != answered.epoch)
        return; /* refused, or the answer to a grant */
    hs->on_promises = false;
    h->ops.guard_open(h->ops.ctx, service, answered.instance, answered.epoch, answered.t0_us, answered.hold_ms);
}

/* Those that were asked are still all that could be promoted. */
static bool asked_all(const struct service *svc, const struct holder_sample *sample)
{
    node_id now[SITES_MAX];
    unsigned count = promise_askees(svc, now);

    return count == sample->asked_count && memcmp(now, sample->asked, count * sizeof now[0]) == 0;
}

void holder_on_promise(struct holder *h, const struct state *s, service_id service, uint64_t token, node_id from)
{
    const struct service *svc = &s->services[service];
    struct holder_sample *sample = sample_by_token(&h->services[service], token);
    site_id site;

    if (sample == NULL || sample->missing == 0)
        return;
    for (unsigned i = 0; i < sample->asked_count; i++)
        if (sample->asked[i] == from)
            sample->missing &= ~(1u << i);
    if (sample->missing != 0)
        return;
    site = svc->present && acts(h, s) ? executes_at(h, s, svc) : SITE_NONE;
    if (site == SITE_NONE || !holds(h, svc, site) || svc->lease.epoch != sample->epoch || !service_enforced(svc) ||
        !asked_all(svc, sample))
        return;
    h->services[service].on_promises = true;
    h->ops.guard_open(h->ops.ctx, service, sample->instance, sample->epoch, sample->t0_us, sample->hold_ms);
}
