#include "core/standby.h"

#include <inttypes.h>

#include "core/event.h"

static bool receives(const struct state *s, const struct service *svc, site_id site)
{
    int slot = state_member_slot(s, svc->views[site].executor);

    return slot >= 0 && s->members[slot].heard && svc->views[site].opinions[slot].streaming;
}

/* Somebody in contact sees it acknowledge. */
static bool primary_writes(const struct state *s, const struct service *svc)
{
    if (svc->primary == SITE_NONE)
        return false;
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].id != 0 && s->members[i].heard && svc->views[svc->primary].opinions[i].word == OPINION_UP)
            return true;
    return false;
}

void standby_follow(struct state *s, service_id service)
{
    struct service *svc = &s->services[service];
    bool writes = primary_writes(s, svc);

    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;
        struct site_view *view = &svc->views[site];

        if (site == svc->primary || receives(s, svc, site)) {
            view->unreceived_ms = 0;
            view->behind = false;
        } else if (view->unreceived_ms == 0) {
            view->unreceived_ms = s->now_ms;
        } else if (writes && !view->behind && s->now_ms - view->unreceived_ms > (int64_t)svc->config.max_lag_ms) {
            view->behind = true;
            event_add(s, EVENT_ALARM, service, site, 0,
                      "%s: %s has received nothing for %" PRId64
                      " ms, and %s writes: it is no target until it receives again (or promote --force=ready)",
                      svc->config.name, state_site_name(s, site), s->now_ms - view->unreceived_ms,
                      state_site_name(s, svc->primary));
        }
    }
}

bool standby_ready(const struct service *svc, site_id site, int slot)
{
    return slot >= 0 && svc->views[site].opinions[slot].ready && !svc->views[site].behind;
}
