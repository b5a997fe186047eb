#include "tests/sim/server.h"

#include <string.h>

#include "base/check.h"
#include "tests/sim/world.h"

#define WRITE_EVERY_US (20 * SIM_US_PER_MS) /* at most, of one service; of many the time is shared */
#define WRITE_EVERY_MAX_US (500 * SIM_US_PER_MS)
#define HISTORY_EVERY_US (500 * SIM_US_PER_MS)
#define WAL_EVERY_US (40 * SIM_US_PER_MS)

void server_init(struct server *s, struct world_service *service, site_id site, unsigned host)
{
    struct world *w = service->world;

    *s = (struct server){ .world = w, .service = service, .site = site, .host = host, .streamed_us = INT64_MIN };
    sim_process_init(&s->process);
    s->clock.offset_us = sim_between(w->sim, 1, 1000 * (int64_t)SIM_US_PER_S);
    s->clock.rate_ppm = world_draw_ppm(w);
    s->wal.timeline = 1;
    for (unsigned i = 0; i < NODES_MAX; i++)
        s->wal.canary_ms[i] = -1;
}

int64_t server_now_us(const struct server *s)
{
    return sim_clock_now_us(s->world->sim, &s->clock);
}

bool server_passes(const struct server *s)
{
    if (!s->running || s->in_recovery || s->process.paused)
        return false;
    return s->guard.bypass || s->break_glass || server_now_us(s) < s->guard.deadline_us;
}

static void note_history(struct server *s)
{
    const struct acknowledged *last = &s->history[(s->history_count + HISTORY_MAX - 1) % HISTORY_MAX];

    if (s->history_count > 0 && s->acknowledged_us - last->us < HISTORY_EVERY_US)
        return;
    s->history[s->history_count++ % HISTORY_MAX] = (struct acknowledged){ s->wal.lsn, s->acknowledged_us };
}

int64_t server_acknowledged_us(const struct server *s, uint64_t lsn)
{
    unsigned kept = s->history_count < HISTORY_MAX ? s->history_count : HISTORY_MAX;
    int64_t sum_us = 0;

    for (unsigned i = s->history_count - kept; i < s->history_count; i++)
        sum_us += s->history[i % HISTORY_MAX].lsn > lsn ? HISTORY_EVERY_US : 0;
    return sum_us;
}

bool server_write(struct server *s)
{
    if (!server_passes(s))
        return false;
    s->wal.lsn++;
    s->acknowledged_count++;
    s->acknowledged_us = s->world->sim->now_us;
    note_history(s);
    world_on_acknowledged(s->service, s);
    return true;
}

static int64_t write_every_us(const struct world *w)
{
    int64_t every_us = WRITE_EVERY_US * (int64_t)w->service_count;

    return every_us < WRITE_EVERY_MAX_US ? every_us : WRITE_EVERY_MAX_US;
}

static void on_write(void *ctx)
{
    struct server *s = ctx;

    (void)server_write(s);
    sim_after(s->world->sim, sim_between(s->world->sim, SIM_US_PER_MS, write_every_us(s->world)), &s->process, on_write,
              NULL, s);
}

bool server_follows(const struct server *standby, const struct wal *primary)
{
    uint32_t timeline = primary->timeline;
    uint64_t lsn = primary->lsn;

    while (timeline > standby->wal.timeline) {
        lsn = standby->service->timelines[timeline].begin_lsn;
        timeline = standby->service->timelines[timeline].parent;
    }
    return timeline == standby->wal.timeline && standby->wal.lsn <= lsn;
}

static void on_wal(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct server *s = receiver;
    const struct wal *wal = data;

    (void)from;
    ASSERT(size_bytes == sizeof(*wal));
    if (!s->running || !s->in_recovery || s->severed || !server_follows(s, wal))
        return;
    s->primary_lsn = wal->lsn;
    if (s->lagging)
        return;
    s->wal = *wal;
    s->streamed_us = server_now_us(s);
}

static int64_t wal_every_us(const struct world *w)
{
    return WAL_EVERY_US > write_every_us(w) ? WAL_EVERY_US : write_every_us(w);
}

static void on_push(void *ctx)
{
    struct server *s = ctx;
    struct world *w = s->world;

    for (unsigned i = 0; !s->in_recovery && i < w->server_count; i++) {
        struct server *to = &s->service->servers[i];
        if (to != s && to->running)
            (void)net_send(&w->net, s->host, to->host, &to->process, on_wal, to, &s->wal, sizeof(s->wal));
    }
    sim_after(w->sim, wal_every_us(w), &s->process, on_push, NULL, s);
}

void server_start(struct server *s)
{
    ASSERT(!s->running);
    s->running = true;
    s->streamed_us = INT64_MIN;
    s->guard = (struct guard){ .instance = sim_random(s->world->sim, UINT64_MAX) + 1 };
    world_changed(s->service);
    sim_after(s->world->sim, 0, &s->process, on_write, NULL, s);
    sim_after(s->world->sim, 0, &s->process, on_push, NULL, s);
    sim_note(s->world->sim, "server %u of service %u starts as %s, timeline %u lsn %llu", s->site, s->service->number,
             s->in_recovery ? "standby" : "primary", s->wal.timeline, (unsigned long long)s->wal.lsn);
}

void server_start_with_broken_glass(struct server *s)
{
    server_start(s);
    s->break_glass = true;
    s->service->glass_broken = true;
    s->service->glass_grants = 0;
    world_changed(s->service);
    sim_note(s->world->sim, "server %u of service %u has broken glass", s->site, s->service->number);
}

void server_kill(struct server *s)
{
    ASSERT(s->running);
    s->break_glass = false;
    s->glass_known = false;
    s->running = false;
    s->guard = (struct guard){ 0 };
    sim_process_end(s->world->sim, &s->process);
    sim_note(s->world->sim, "server %u of service %u is dead", s->site, s->service->number);
}

void server_pause(struct server *s)
{
    sim_process_pause(&s->process);
}

void server_resume(struct server *s)
{
    sim_process_resume(s->world->sim, &s->process);
    world_changed(s->service);
}

void server_promote(struct server *s)
{
    struct wal *wal = &s->wal;
    struct world_service *ws = s->service;

    ASSERT(s->in_recovery && ws->timeline_count + 1 < WORLD_TIMELINES_MAX);
    ws->timeline_count++;
    ws->timelines[ws->timeline_count] = (struct timeline){ wal->timeline, wal->lsn };
    wal->timeline = ws->timeline_count;
    s->history_count = 0;
    s->in_recovery = false;
    world_changed(ws);
    sim_note(s->world->sim, "server %u of service %u is promoted, timeline %u from lsn %llu", s->site, ws->number,
             wal->timeline, (unsigned long long)wal->lsn);
}

void server_rebuild(struct server *s, const struct server *from)
{
    if (s->running)
        server_kill(s);
    s->switched_off = false;
    s->wal = from->wal;
    s->in_recovery = true;
    s->severed = false;
    server_start(s);
}

bool guard_open(struct server *s, instance_id instance, epoch_t epoch, int64_t t0_us, uint32_t hold_ms)
{
    struct guard *g = &s->guard;
    int64_t wanted_us = t0_us + (int64_t)hold_ms * SIM_US_PER_MS;

    if (epoch == 0 || t0_us <= 0 || hold_ms == 0 || instance != g->instance || t0_us > server_now_us(s))
        return false;
    if (epoch <= g->closed_epoch || epoch < g->epoch)
        return false;
    world_changed(s->service);
    if (epoch > g->epoch || t0_us > g->sample_us) {
        g->epoch = epoch;
        g->sample_us = t0_us;
        g->deadline_us = wanted_us;
    } else if (t0_us == g->sample_us && wanted_us < g->deadline_us) {
        g->deadline_us = wanted_us;
    }
    return true;
}

bool guard_close(struct server *s, epoch_t epoch)
{
    struct guard *g = &s->guard;

    if (epoch > g->closed_epoch)
        g->closed_epoch = epoch;
    if (g->epoch <= g->closed_epoch)
        g->deadline_us = 0;
    if (g->bypass && g->bypass_epoch <= g->closed_epoch)
        g->bypass = false;
    return !s->break_glass;
}

bool guard_bypass(struct server *s, bool on, instance_id instance, epoch_t epoch)
{
    struct guard *g = &s->guard;

    if (!on) {
        g->bypass = false;
        return true;
    }
    if (instance != g->instance || (g->closed_epoch > 0 && epoch <= g->closed_epoch) || epoch < g->epoch)
        return false;
    g->bypass_epoch = g->bypass && g->bypass_epoch > epoch ? g->bypass_epoch : epoch;
    g->bypass = true;
    world_changed(s->service);
    return true;
}
