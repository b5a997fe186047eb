#include "holder/promise.h"

#include <string.h>

static const char *const verdict_words[PROMISE_VERDICT_COUNT] = {
#define WORD(name, word) [name] = (word),
    PROMISE_VERDICT_LIST(WORD)
#undef WORD
};

const char *promise_verdict_word(enum promise_verdict verdict)
{
    return (unsigned)verdict < PROMISE_VERDICT_COUNT ? verdict_words[verdict] : "no_verdict";
}

void promises_init(struct promises *p, int64_t now_us)
{
    memset(p, 0, sizeof *p);
    p->started_us = now_us;
}

/* The eligible site of the service at which `self` executes, other than the lease's; SITE_NONE. */
static site_id executes_elsewhere(const struct service *svc, node_id self)
{
    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;

        if (site != svc->lease.site && svc->views[site].executor == self)
            return site;
    }
    return SITE_NONE;
}

enum promise_verdict promise_judge(const struct state *s, node_id self, bool acts, bool leader_known, node_id from,
                                   const struct promise_ask *ask)
{
    const struct command_renew *renew = &ask->renew;
    const struct service *svc = &s->services[renew->service];

    if (leader_known)
        return PROMISE_LEADER_KNOWN;
    if (!acts)
        return PROMISE_STARTING;
    if (!svc->present || !lease_live(&svc->lease) || svc->lease.epoch != renew->epoch || svc->lease.holder != from ||
        renew->node != from)
        return PROMISE_OTHER_LEASE;
    if (!service_enforced(svc))
        return PROMISE_NOT_ENFORCED;
    if (s->config_version != ask->config_version)
        return PROMISE_OTHER_CONFIG;
    if (executes_elsewhere(svc, self) == SITE_NONE)
        return PROMISE_NOT_EXECUTOR;
    /* After a restart of this process its promises are outwaited by the ttl that the log knows. */
    if (renew->ttl_ms > svc->lease.ttl_ms)
        return PROMISE_LONGER;
    return PROMISE_GIVEN;
}

enum promise_verdict promises_give(struct promises *p, const struct state *s, node_id self, bool acts,
                                   bool leader_known, node_id from, const struct promise_ask *ask, int64_t now_us)
{
    enum promise_verdict verdict = promise_judge(s, self, acts, leader_known, from, ask);
    int64_t until_us = now_us + lease_count_us(ask->renew.ttl_ms, s->drift_ppm);
    service_id service = ask->renew.service;

    if (verdict != PROMISE_GIVEN)
        return verdict;
    p->given[service].to = from;
    p->given[service].epoch = ask->renew.epoch;
    if (until_us > p->given[service].until_us)
        p->given[service].until_us = until_us;
    return verdict;
}

int64_t promises_until_us(const struct promises *p, const struct state *s, service_id service)
{
    int64_t forgotten_us = p->started_us + lease_count_us(s->services[service].lease.ttl_ms, s->drift_ppm);

    return p->given[service].until_us > forgotten_us ? p->given[service].until_us : forgotten_us;
}

bool promises_end_due(const struct promises *p, const struct state *s, node_id self, service_id service, int64_t now_us)
{
    const struct service *svc = &s->services[service];

    return svc->present && lease_ended(&svc->lease) && svc->lease.promises_ended_index == 0 &&
           service_promiser_site(svc, self) != SITE_NONE && now_us >= promises_until_us(p, s, service);
}

unsigned promise_askees(const struct service *svc, node_id out[SITES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;

        if (site == svc->lease.site)
            continue;
        if (svc->views[site].executor == 0)
            return 0;
        out[count++] = svc->views[site].executor;
    }
    return count;
}
