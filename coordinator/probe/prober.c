#include "probe/prober.h"

#include <stdlib.h>

#include "base/check.h"
#include "probe/target.h"

struct prober {
    struct prober_config config;
    uint64_t config_version;
    struct target_shared shared[SERVICES_MAX];
    struct target *targets[SERVICES_MAX][SITES_MAX];
    unsigned closing_count;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void maybe_closed(struct prober *p)
{
    if (!p->closing || p->closing_count > 0)
        return;
    if (p->closed != NULL)
        p->closed(p->closed_ctx);
    free(p);
}

static void on_target_closed(void *ctx)
{
    struct prober *p = ctx;

    p->closing_count--;
    maybe_closed(p);
}

static void forget(struct prober *p, struct target **slot)
{
    struct target *t = *slot;

    if (t == NULL)
        return;
    *slot = NULL;
    p->closing_count++;
    target_close(t);
}

static void shared_reset(struct target_shared *shared, site_id primary)
{
    *shared = (struct target_shared){ .primary = primary, .canary_written_ms = -1 };
}

struct prober *prober_create(const struct prober_config *config)
{
    struct prober *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->config = *config;
    if (p->config.methods == NULL)
        p->config.methods = &prober_methods_real;
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        shared_reset(&p->shared[i], SITE_NONE);
    return p;
}

static void follow_config(struct prober *p, service_id service, const struct service *svc)
{
    const struct target_owner owner = { .config = &p->config, .ctx = p, .closed = on_target_closed };

    for (unsigned site = 0; site < SITES_MAX; site++) {
        struct target **slot = &p->targets[service][site];
        bool wanted = svc->present && service_config_site(&svc->config, (site_id)site) != NULL;

        if (*slot != NULL && (!wanted || !target_follows(*slot, svc)))
            forget(p, slot);
        if (*slot == NULL && wanted)
            *slot = target_open(&owner, &p->shared[service], service, (site_id)site);
    }
}

static void follow_primary(struct prober *p, service_id service, const struct service *svc)
{
    site_id primary = svc->present ? svc->primary : SITE_NONE;

    if (p->shared[service].primary == primary)
        return;
    shared_reset(&p->shared[service], primary);
    for (unsigned site = 0; site < SITES_MAX; site++)
        if (p->targets[service][site] != NULL)
            target_primary_changed(p->targets[service][site]);
}

void prober_on_state(struct prober *p)
{
    const struct state *s = p->config.state(p->config.ctx);
    bool changed = p->config_version != s->config_version;

    ASSERT(!p->closing);
    p->config_version = s->config_version;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        if (changed)
            follow_config(p, (service_id)i, &s->services[i]);
        follow_primary(p, (service_id)i, &s->services[i]);
    }
}

bool prober_opinion(const struct prober *p, service_id service, site_id site, struct opinion *out, bool *measured)
{
    const struct target *t = p->targets[service][site];

    if (t == NULL)
        return false;
    *out = target_opinion(t);
    *measured = target_measured(t);
    return true;
}

uint64_t prober_primary_lsn(const struct prober *p, service_id service)
{
    return p->shared[service].primary_lsn;
}

void prober_close(struct prober *p, void (*closed)(void *ctx), void *ctx)
{
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned site = 0; site < SITES_MAX; site++)
            forget(p, &p->targets[i][site]);
    maybe_closed(p); /* a target's `closed` comes later, always */
}
