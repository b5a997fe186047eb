/* Happy path: the timer's turn -> no probes yet: resolve the host -> login -> probes -> at each turn after it, one look of each kind that applies ->
 * the observer -> an opinion that differs is told. */
#include "probe/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "io/address.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/pg.h"
#include "io/secret.h"
#include "probe/probe_postgres.h"

#define RESOLVE_TIMEOUT_MS 2000
#define LOCATE_AGAIN_US                                                                                                \
    (2 * INT64_C(1000000)) /* between two attempts to find out where to look, and with which login */
#define NOTE_AGAIN_US (300 * INT64_C(1000000))

struct target {
    struct target_owner owner;
    struct target_shared *shared;
    service_id service;
    site_id site;
    char service_name[NAME_MAX_BYTES];
    struct site_config place; /* what the probes were made for */
    uint32_t interval_ms;
    char address[ADDRESS_TEXT_MAX];
    char conninfo[PG_CONNINFO_MAX]; /* "": there are no probes yet */
    struct probe probes[LOOK_COUNT];
    bool read_well; /* the last look on a new connection got a good answer */
    struct observer observer;
    struct opinion reported;
    char trouble[ERROR_TEXT_MAX];            /* why there are no probes, as last logged; "": none */
    char said[LOOK_COUNT][PROBE_DETAIL_MAX]; /* of the last look that was not OK; "": the last one was */
    int64_t noted_us[LOOK_COUNT]; /* when a look that told nothing was last logged; 0: not since one was OK */
    uv_timer_t timer;
    struct resolve *resolving;
    int64_t located_us; /* the last attempt */
    bool closing;
    unsigned handles_open; /* timer, probes, the resolution */
};

/* One look under way. */
struct looking {
    struct target *target;
    enum look look;
    uint64_t looked_index;
    epoch_t epoch;
    int64_t wall_ms;
};

static const struct state *state_of(const struct target *t)
{
    return t->owner.config->state(t->owner.config->ctx);
}

static const char *site_name(const struct target *t)
{
    return state_site_name(state_of(t), t->site);
}

static void handle_closed(struct target *t)
{
    struct target_owner owner = t->owner;

    ASSERT(t->handles_open > 0);
    if (--t->handles_open > 0)
        return; /* the next one continues */
    explicit_bzero(t->conninfo, sizeof t->conninfo);
    free(t);
    owner.closed(owner.ctx);
}

static void on_probe_closed(void *ctx)
{
    handle_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void probes_close(struct target *t)
{
    for (unsigned i = 0; i < LOOK_COUNT; i++) {
        struct probe probe = t->probes[i];

        t->probes[i].method = NULL;
        if (probe.method != NULL)
            probe.method->close(probe.self, on_probe_closed, t);
    }
}

/* --- what is said of it --- */

static void opinion_log(const struct target *t, const struct opinion *now)
{
    const struct opinion *was = &t->reported;
    const char *said = "";
    bool bad = now->word == OPINION_FAILED || now->word == OPINION_GRAY;

    if (now->word == was->word && now->role == was->role && now->ready == was->ready)
        return; /* the kinds of evidence stand in the cluster's events */
    for (unsigned i = 0; bad && i < LOOK_COUNT && said[0] == '\0'; i++)
        said = t->said[i];
    log_event(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "opinion",
              "service=%s site=%s opinion=%s was=%s role=%s ready=%s seen=%s", t->service_name, site_name(t),
              opinion_word(now->word), opinion_word(was->word), role_word(now->role), now->ready ? "yes" : "no", said);
}

static void report(struct target *t)
{
    struct opinion now = observer_opinion(&t->observer);

    if (opinion_equal(&now, &t->reported))
        return;
    opinion_log(t, &now);
    t->reported = now;
    t->owner.config->on_opinion(t->owner.config->ctx, t->service, t->site);
}

/* A look that tells nothing (a wrong password, a missing table, a closed guard) makes no opinion, so the log has to say it: once, and now and
 * then while it lasts. Reasons hold times and process numbers, so they are not compared. */
static void note(struct target *t, enum look look, const struct probe_result *result)
{
    int64_t now_us = clock_now_us();

    if (result->outcome == PROBE_OK) {
        t->said[look][0] = '\0';
        t->noted_us[look] = 0;
        return;
    }
    (void)text_copy(t->said[look], PROBE_DETAIL_MAX, result->detail);
    if (result->outcome != PROBE_NEUTRAL || (t->noted_us[look] != 0 && now_us - t->noted_us[look] < NOTE_AGAIN_US))
        return;
    t->noted_us[look] = now_us;
    log_event(look == LOOK_CANARY ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "look_tells_nothing",
              "service=%s site=%s look=%s reason=%s", t->service_name, site_name(t), look_word(look), t->said[look]);
}

static void trouble(struct target *t, const struct error *err)
{
    if (text_equal(t->trouble, err->text))
        return;
    (void)text_copy(t->trouble, sizeof t->trouble, err->text);
    log_event(LOG_LEVEL_ERROR, "site_not_looked_at", "service=%s site=%s host=%s error=%s%s", t->service_name,
              site_name(t), t->place.host, err->text,
              t->conninfo[0] != '\0' ? "; it is looked at with what was known before" : "");
}

static void trouble_over(struct target *t)
{
    if (t->trouble[0] != '\0')
        log_event(LOG_LEVEL_INFO, "site_looked_at", "service=%s site=%s address=%s", t->service_name, site_name(t),
                  t->address);
    t->trouble[0] = '\0';
}

/* --- looks --- */

static enum look_outcome outcome_of(const struct probe_result *result)
{
    if (result->outcome == PROBE_OK)
        return LOOK_OK;
    return result->outcome == PROBE_FAILED ? LOOK_FAILED : LOOK_NEUTRAL;
}

/* What a successful read tells beside "it answers". */
static void take_view(struct target *t, const struct service *svc, const struct postgres_view *view)
{
    bool standby = view->in_recovery == 1;

    if (!standby && t->site == svc->primary)
        t->shared->primary_lsn = view->current_lsn;
    observer_read(&t->observer, standby ? ROLE_STANDBY : ROLE_PRIMARY, view->receiver_streaming,
                  view->canary_own_written_ms > 0 ? view->canary_own_written_ms : -1, t->shared->canary_written_ms,
                  svc->config.max_lag_ms, &svc->config.timing);
}

static bool only_at_primary(enum look look)
{
    return look == LOOK_CANARY || look == LOOK_HTTP;
}

/* The service may have been removed or have moved since the look began. */
static void on_look(void *ctx, const struct probe_result *result, const struct error *err)
{
    struct looking looking = *(struct looking *)ctx;
    struct target *t = looking.target;
    const struct prober_config *config = t->owner.config;
    const struct service *svc = &state_of(t)->services[t->service];
    bool ok = err == NULL && result->outcome == PROBE_OK;

    free(ctx);
    if (err != NULL || t->closing || !svc->present)
        return;
    if (!only_at_primary(looking.look) || t->site == t->shared->primary) {
        note(t, looking.look, result);
        observer_look(&t->observer, looking.look, outcome_of(result), &svc->config.timing);
    } /* else no later look would ever correct what this one says of the time before */
    if (looking.look == LOOK_READ_FRESH)
        t->read_well = ok;
    if (looking.look == LOOK_READ_FRESH && ok)
        take_view(t, svc, config->methods->view(result));
    if (looking.look == LOOK_CANARY && ok && t->site == t->shared->primary &&
        looking.wall_ms > t->shared->canary_written_ms)
        t->shared->canary_written_ms = looking.wall_ms;
    report(t);
    if (looking.look == LOOK_CANARY && ok)
        config->on_acknowledged(config->ctx, t->service, t->site, looking.epoch, looking.looked_index);
}

static void look(struct target *t, enum look look, const struct state *s)
{
    const struct service *svc = &s->services[t->service];
    struct probe probe = t->probes[look];
    struct looking *looking;

    if (probe.method == NULL)
        return;
    looking = malloc(sizeof *looking);
    ASSERT(looking != NULL);
    *looking = (struct looking){ t, look, s->applied_index, svc->lease.epoch, clock_wall_ms() };
    if (look == LOOK_CANARY)
        t->owner.config->methods->set_epoch(probe, svc->lease.epoch);
    (void)probe.method->begin(probe.self, svc->config.timing.probe_timeout_ms, on_look, looking);
}

/* --- where to look, and with which login --- */

static enum status login(const struct target *t, const char *address, char *out, struct error *err)
{
    const struct site_config *place = &t->place;
    char password[URL_MAX_BYTES] = "";
    enum status status = STATUS_OK;

    if (place->password[0] != '\0')
        status = secret_read(place->password, password, sizeof password, err);
    if (status == STATUS_OK)
        status =
            pg_conninfo_format(out, PG_CONNINFO_MAX, address, place->port, place->user, place->dbname, password, err);
    explicit_bzero(password, sizeof password);
    return status;
}

/* Names with several addresses are given in changing order: the one that is in use stays while it is among them. */
static void choose_address(const struct target *t, const struct resolve_result *result, char *out)
{
    for (size_t i = 0; i < result->address_count; i++) {
        (void)address_text(&result->addresses[i], false, out, ADDRESS_TEXT_MAX);
        if (text_equal(out, t->address))
            return;
    }
    (void)address_text(&result->addresses[0], false, out, ADDRESS_TEXT_MAX);
}

static void probes_create(struct target *t)
{
    const struct prober_config *config = t->owner.config;
    const struct prober_place place = { .site = &t->place, .address = t->address, .conninfo = t->conninfo };

    for (unsigned i = 0; i < LOOK_COUNT; i++) {
        t->probes[i] = config->methods->create(config, (enum look)i, &place);
        if (t->probes[i].method != NULL)
            t->handles_open++;
    }
}

static void locate(struct target *t, const struct resolve_result *result)
{
    char address[ADDRESS_TEXT_MAX];
    char conninfo[PG_CONNINFO_MAX];
    struct error err = ERROR_NONE;

    choose_address(t, result, address);
    if (login(t, address, conninfo, &err) != STATUS_OK) {
        trouble(t, &err);
        return; /* the timer's turn tries again */
    }
    if (!text_equal(conninfo, t->conninfo)) {
        if (t->conninfo[0] != '\0')
            log_event(LOG_LEVEL_INFO, "site_located_anew", "service=%s site=%s address=%s was=%s", t->service_name,
                      site_name(t), address, t->address);
        (void)text_copy(t->address, sizeof t->address, address);
        (void)text_copy(t->conninfo, sizeof t->conninfo, conninfo);
        probes_close(t);
        probes_create(t);
    }
    explicit_bzero(conninfo, sizeof conninfo);
    trouble_over(t);
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    struct target *t = ctx;

    t->resolving = NULL;
    if (!t->closing && err != NULL)
        trouble(t, err);
    else if (!t->closing)
        locate(t, result);
    handle_closed(t);
}

static void locate_begin(struct target *t)
{
    int64_t now_us = clock_now_us();

    if (t->resolving != NULL || (t->conninfo[0] != '\0' && t->read_well) || now_us - t->located_us < LOCATE_AGAIN_US)
        return;
    t->located_us = now_us;
    t->handles_open++;
    t->resolving = resolve_begin(t->owner.config->resolver, t->place.host, RESOLVE_TIMEOUT_MS, on_resolved, t);
}

static void on_turn(uv_timer_t *timer)
{
    struct target *t = timer->data;
    const struct state *s = state_of(t);

    locate_begin(t);
    look(t, LOOK_READ_FRESH, s);
    look(t, LOOK_READ_PERSISTENT, s);
    look(t, LOOK_TCP, s);
    if (s->services[t->service].primary == t->site) {
        look(t, LOOK_CANARY, s);
        look(t, LOOK_HTTP, s);
    }
}

/* --- life --- */

struct target *target_open(const struct target_owner *owner, struct target_shared *shared, service_id service,
                           site_id site)
{
    struct target *t = calloc(1, sizeof *t);
    const struct service *svc = &owner->config->state(owner->config->ctx)->services[service];
    const struct site_config *place = service_config_site(&svc->config, site);
    uint64_t interval_ms = svc->config.timing.probe_interval_ms;

    ASSERT(t != NULL);
    ASSERT(place != NULL);
    t->owner = *owner;
    t->shared = shared;
    t->service = service;
    t->site = site;
    (void)text_copy(t->service_name, sizeof t->service_name, svc->config.name);
    t->place = *place;
    t->interval_ms = svc->config.timing.probe_interval_ms;
    t->located_us = clock_now_us() - LOCATE_AGAIN_US;
    observer_init(&t->observer);
    t->timer.data = t;
    ASSERT(uv_timer_init(owner->config->loop, &t->timer) == 0);
    t->handles_open = 1;
    /* A phase of its own per node, service and site, so that looks do not come in step. */
    ASSERT(uv_timer_start(&t->timer, on_turn, (owner->config->self * 37 + service * 61u + site * 89u) % interval_ms,
                          interval_ms) == 0);
    return t;
}

void target_close(struct target *t)
{
    ASSERT(!t->closing);
    t->closing = true;
    if (t->resolving != NULL)
        resolve_cancel(t->resolving);
    probes_close(t);
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static bool same_place(const struct site_config *a, const struct site_config *b)
{
    return text_equal(a->host, b->host) && a->port == b->port && text_equal(a->user, b->user) &&
           text_equal(a->dbname, b->dbname) && text_equal(a->password, b->password) &&
           text_equal(a->health_url, b->health_url);
}

bool target_follows(struct target *t, const struct service *svc)
{
    const struct site_config *place = service_config_site(&svc->config, t->site);
    uint32_t interval_ms = svc->config.timing.probe_interval_ms;

    if (place == NULL || !text_equal(svc->config.name, t->service_name) || !same_place(place, &t->place))
        return false;
    if (interval_ms != t->interval_ms)
        ASSERT(uv_timer_start(&t->timer, on_turn, interval_ms, interval_ms) == 0);
    t->interval_ms = interval_ms;
    return true;
}

void target_primary_changed(struct target *t)
{
    observer_forget(&t->observer, LOOK_CANARY);
    observer_forget(&t->observer, LOOK_HTTP);
    t->observer.canary_written_ms = -1;
    t->said[LOOK_CANARY][0] = '\0';
    t->noted_us[LOOK_CANARY] = 0;
    t->said[LOOK_HTTP][0] = '\0';
    report(t);
}

struct opinion target_opinion(const struct target *t)
{
    return t->reported;
}

bool target_measured(const struct target *t)
{
    return observer_measured(&t->observer);
}
