#include "probe/prober.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "io/address.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/pg.h"
#include "probe/probe.h"
#include "probe/probe_http.h"
#include "probe/probe_postgres.h"
#include "probe/probe_tcp.h"

#define RESOLVE_TIMEOUT_MS 2000
#define TARGETS_MAX (SERVICES_MAX * SITES_MAX)

/* One (service, site). Lives until its probes have closed, which may be after its configuration is gone. */
struct target {
    struct prober *prober;
    service_id service;
    site_id site;
    bool present[LOOK_COUNT];
    struct probe probes[LOOK_COUNT];
    struct observer observer;
    struct opinion reported;
    uint64_t lsn; /* a primary's current, a standby's received or replayed */
    uv_timer_t timer;
    struct resolve *resolving;
    bool closing;
    unsigned handles_open; /* timer, probes */
};

/* One look under way. */
struct looking {
    struct target *target;
    enum look look;
    uint64_t looked_index;
    epoch_t epoch;
    int64_t wall_ms;
};

struct prober {
    struct prober_config config;
    uint64_t config_version;
    site_id primaries[SERVICES_MAX];
    uint64_t primary_lsn[SERVICES_MAX];
    struct target *targets[TARGETS_MAX];
    unsigned closing_count;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static const struct service *service_of(const struct prober *p, service_id service)
{
    return &p->config.state(p->config.ctx)->services[service];
}

static struct target **slot_of(struct prober *p, service_id service, site_id site)
{
    return &p->targets[(unsigned)service * SITES_MAX + site];
}

static void maybe_closed(struct prober *p)
{
    if (!p->closing || p->closing_count > 0)
        return;
    if (p->closed != NULL)
        p->closed(p->closed_ctx);
    free(p);
}

static void target_handle_closed(struct target *t)
{
    struct prober *p = t->prober;

    ASSERT(t->handles_open > 0);
    if (--t->handles_open > 0 || t->resolving != NULL)
        return;
    free(t);
    p->closing_count--;
    maybe_closed(p);
}

static void on_probe_closed(void *ctx)
{
    target_handle_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    target_handle_closed(handle->data);
}

static void target_close(struct target *t)
{
    t->closing = true;
    t->prober->closing_count++;
    if (t->resolving != NULL)
        resolve_cancel(t->resolving);
    for (unsigned i = 0; i < LOOK_COUNT; i++)
        if (t->present[i])
            t->probes[i].method->close(t->probes[i].self, on_probe_closed, t);
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static void report(struct target *t)
{
    struct opinion now = observer_opinion(&t->observer);

    if (opinion_equal(&now, &t->reported))
        return;
    t->reported = now;
    t->prober->config.on_opinion(t->prober->config.ctx, t->service, t->site);
}

static enum look_outcome outcome_of(const struct probe_result *result)
{
    if (result->outcome == PROBE_OK)
        return LOOK_OK;
    return result->outcome == PROBE_FAILED ? LOOK_FAILED : LOOK_NEUTRAL;
}

/* What a successful read tells beside "it answers". */
static void take_view(struct target *t, const struct service *svc, const struct postgres_view *view)
{
    struct prober *p = t->prober;
    struct target *primary = svc->primary < SITES_MAX ? *slot_of(p, t->service, svc->primary) : NULL;
    bool standby = view->in_recovery == 1;
    uint64_t standby_lsn = view->received_lsn > view->replayed_lsn ? view->received_lsn : view->replayed_lsn;

    t->lsn = standby ? standby_lsn : view->current_lsn;
    if (!standby && t->site == svc->primary)
        p->primary_lsn[t->service] = view->current_lsn;
    observer_read(&t->observer, standby ? ROLE_STANDBY : ROLE_PRIMARY, view->receiver_streaming,
                  view->canary_own_written_ms > 0 ? view->canary_own_written_ms : -1,
                  primary != NULL ? primary->observer.canary_written_ms : -1, svc->config.max_lag_ms,
                  &svc->config.timing);
}

static void on_look(void *ctx, const struct probe_result *result, const struct error *err)
{
    struct looking *looking = ctx;
    struct target *t = looking->target;
    struct prober *p = t->prober;
    const struct service *svc;
    bool acknowledged;

    if (err != NULL || t->closing || !service_of(p, t->service)->present) {
        free(looking);
        return;
    }
    svc = service_of(p, t->service);
    acknowledged = looking->look == LOOK_CANARY && result->outcome == PROBE_OK;
    observer_look(&t->observer, looking->look, outcome_of(result), &svc->config.timing);
    if (looking->look == LOOK_READ_FRESH && result->outcome == PROBE_OK)
        take_view(t, svc, probe_postgres_view(result));
    if (acknowledged && looking->wall_ms > t->observer.canary_written_ms)
        t->observer.canary_written_ms = looking->wall_ms;
    report(t);
    if (acknowledged)
        p->config.on_acknowledged(p->config.ctx, t->service, t->site, looking->epoch, looking->looked_index);
    free(looking);
}

static void look(struct target *t, enum look look, const struct state *s)
{
    const struct service *svc = &s->services[t->service];
    struct looking *looking;

    if (!t->present[look])
        return;
    looking = malloc(sizeof *looking);
    ASSERT(looking != NULL);
    *looking = (struct looking){ t, look, s->applied_index, svc->lease.epoch, clock_wall_ms() };
    if (look == LOOK_CANARY)
        probe_postgres_set_epoch(t->probes[look], svc->lease.epoch);
    (void)t->probes[look].method->begin(t->probes[look].self, svc->config.timing.probe_timeout_ms, on_look, looking);
}

static void create_probes(struct target *t, const struct site_config *site, const char *address);

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct target *t = ctx;
    const struct site_config *site;
    char address[ADDRESS_TEXT_MAX];

    t->resolving = NULL;
    if (t->closing) {
        t->handles_open++; /* the resolution held the target; let go of it the same way */
        target_handle_closed(t);
        return;
    }
    site = service_config_site(&service_of(t->prober, t->service)->config, t->site);
    if (err != NULL || site == NULL) {
        if (err != NULL)
            log_event(LOG_LEVEL_WARNING, "probe_no_address", "site=%s error=%s",
                      state_site_name(t->prober->config.state(t->prober->config.ctx), t->site), err->text);
        return; /* the next turn of the timer asks again */
    }
    create_probes(t, site, address_text(&result->addresses[0], false, address, sizeof address));
}

static void on_turn(uv_timer_t *timer)
{
    struct target *t = timer->data;
    struct prober *p = t->prober;
    const struct state *s = p->config.state(p->config.ctx);
    const struct service *svc = &s->services[t->service];
    bool primary_here = svc->primary == t->site;
    const struct site_config *site = service_config_site(&svc->config, t->site);

    if (site == NULL)
        return;
    if (!t->present[LOOK_READ_FRESH]) {
        if (t->resolving == NULL)
            t->resolving = resolve_begin(p->config.resolver, site->host, RESOLVE_TIMEOUT_MS, on_resolved, t);
        return;
    }
    look(t, LOOK_READ_FRESH, s);
    look(t, LOOK_READ_PERSISTENT, s);
    look(t, LOOK_TCP, s);
    if (primary_here) {
        look(t, LOOK_CANARY, s);
        look(t, LOOK_HTTP, s);
    }
}

static void add_probe(struct target *t, enum look look, struct probe probe)
{
    if (probe.method == NULL)
        return;
    t->probes[look] = probe;
    t->present[look] = true;
    t->handles_open++;
}

static void create_probes(struct target *t, const struct site_config *site, const char *address)
{
    struct prober *p = t->prober;
    struct probe_postgres_config pg = { .node = p->config.self };
    struct probe_tcp_config tcp = { .host = site->host, .port = site->port };
    struct probe_http_config http = { .url = site->health_url, .fresh_connection = true };
    char password[URL_MAX_BYTES] = "";
    char conninfo[PG_CONNINFO_MAX];
    struct error err = ERROR_NONE;

    if (site->password[0] != '\0' && !p->config.secret(p->config.ctx, site->password, password, sizeof password))
        return;
    if (pg_conninfo_format(conninfo, sizeof conninfo, address, site->port, site->user, site->dbname, password, &err) !=
        STATUS_OK) {
        log_event(LOG_LEVEL_ERROR, "probe_config", "error=%s", err.text);
        return;
    }
    pg.conninfo = conninfo;
    pg.look = POSTGRES_READ;
    add_probe(t, LOOK_READ_PERSISTENT, probe_postgres_create(p->config.loop, &pg));
    pg.look = POSTGRES_FRESH;
    add_probe(t, LOOK_READ_FRESH, probe_postgres_create(p->config.loop, &pg));
    pg.look = POSTGRES_CANARY;
    add_probe(t, LOOK_CANARY, probe_postgres_create(p->config.loop, &pg));
    add_probe(t, LOOK_TCP, probe_tcp_create(p->config.loop, p->config.resolver, &tcp));
    if (site->health_url[0] != '\0')
        add_probe(t, LOOK_HTTP, probe_http_create(p->config.http, &http));
    explicit_bzero(password, sizeof password);
    explicit_bzero(conninfo, sizeof conninfo);
}

static void target_open(struct prober *p, service_id service, const struct service *svc, site_id site)
{
    struct target *t = calloc(1, sizeof *t);
    uint64_t interval_ms = svc->config.timing.probe_interval_ms;

    ASSERT(t != NULL);
    t->prober = p;
    t->service = service;
    t->site = site;
    observer_init(&t->observer);
    t->timer.data = t;
    ASSERT(uv_timer_init(p->config.loop, &t->timer) == 0);
    t->handles_open = 1;
    /* A phase of its own per node, service and site, so that looks do not come in step. */
    ASSERT(uv_timer_start(&t->timer, on_turn, (p->config.self * 37 + service * 61u + site * 89u) % interval_ms,
                          interval_ms) == 0);
    *slot_of(p, service, site) = t;
}

struct prober *prober_create(const struct prober_config *config)
{
    struct prober *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->config = *config;
    memset(p->primaries, SITE_NONE, sizeof p->primaries);
    return p;
}

static void follow_primary(struct prober *p, service_id service, const struct service *svc)
{
    if (p->primaries[service] == svc->primary)
        return;
    p->primaries[service] = svc->primary;
    p->primary_lsn[service] = 0;
    for (unsigned i = 0; i < svc->config.site_count; i++) {
        struct target *t = *slot_of(p, service, svc->config.sites[i].site);

        if (t == NULL)
            continue;
        observer_forget(&t->observer, LOOK_CANARY);
        observer_forget(&t->observer, LOOK_HTTP);
        t->observer.canary_written_ms = -1;
        report(t);
    }
}

void prober_on_state(struct prober *p)
{
    const struct state *s = p->config.state(p->config.ctx);
    bool changed = p->config_version != s->config_version;

    p->config_version = s->config_version;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct service *svc = &s->services[i];

        for (unsigned site = 0; changed && site < SITES_MAX; site++) {
            struct target **slot = slot_of(p, (service_id)i, (site_id)site);

            if (*slot != NULL)
                target_close(*slot);
            *slot = NULL;
            if (svc->present && service_config_site(&svc->config, (site_id)site) != NULL)
                target_open(p, (service_id)i, svc, (site_id)site);
        }
        if (svc->present)
            follow_primary(p, (service_id)i, svc);
    }
}

bool prober_opinion(const struct prober *p, service_id service, site_id site, struct opinion *out, bool *measured)
{
    const struct target *t = p->targets[(unsigned)service * SITES_MAX + site];

    if (t == NULL)
        return false;
    *out = t->reported;
    *measured = observer_measured(&t->observer);
    return true;
}

uint64_t prober_primary_lsn(const struct prober *p, service_id service)
{
    return p->primary_lsn[service];
}

void prober_lag(const struct prober *p, service_id service, site_id site, int64_t *bytes, int64_t *ms)
{
    const struct target *t = p->targets[(unsigned)service * SITES_MAX + site];
    uint64_t primary = p->primary_lsn[service];

    *bytes = -1;
    *ms = -1;
    if (t == NULL || t->observer.role != ROLE_STANDBY)
        return;
    if (primary != 0 && t->lsn != 0)
        *bytes = primary > t->lsn ? (int64_t)(primary - t->lsn) : 0;
    if (t->observer.canary_written_ms >= 0 && t->observer.canary_seen_ms >= 0)
        *ms = t->observer.canary_written_ms > t->observer.canary_seen_ms
                  ? t->observer.canary_written_ms - t->observer.canary_seen_ms
                  : 0;
}

void prober_close(struct prober *p, void (*closed)(void *ctx), void *ctx)
{
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    p->closing_count++; /* so that it does not fire before every target was asked */
    for (unsigned i = 0; i < TARGETS_MAX; i++)
        if (p->targets[i] != NULL)
            target_close(p->targets[i]);
    p->closing_count--;
    maybe_closed(p);
}
