#include "core/codec.h"
#include "core/fsm.h"
#include "core/gates.h"
#include "core/version.h"

#include "base/check.h"
#include "base/crc32c.h"

#include <inttypes.h>
#include <string.h>

/* magic u32, cluster version u32, length u32 and CRC-32C u32 of what follows: the state. Empty slots are not written: a reader finds them as
 * state_init makes them, so a slot that is freed must be left like that. */
#define SNAPSHOT_MAGIC 0x53524f43u /* "CORS" */
#define SNAPSHOT_HEAD_BYTES 16u

static void visit_lease(struct codec *c, struct lease *l)
{
    CODEC_ENUM(c, &l->state, LEASE_STATE_COUNT);
    codec_site_or_none(c, &l->site);
    codec_u64(c, &l->holder);
    codec_u64(c, &l->epoch);
    codec_u64(c, &l->renewed_index);
    codec_u64(c, &l->ended_index);
    codec_u64(c, &l->promises_ended_index);
    codec_u32(c, &l->ttl_ms);
    codec_enforcement(c, &l->enforcement);
    codec_instances(c, &l->instance_count, l->instances);
}

static void visit_proof(struct codec *c, struct proof *p)
{
    for (unsigned i = 0; i < CERTIFICATE_KIND_COUNT; i++) {
        codec_u64(c, &p->kinds[i].epoch);
        codec_u64(c, &p->kinds[i].index);
    }
    codec_u64(c, &p->veto.epoch);
    codec_u64(c, &p->veto.index);
    codec_u64(c, &p->veto.seen_by);
}

static bool opinion_is_set(const struct opinion *o)
{
    return o->word != OPINION_UNKNOWN || o->role != ROLE_UNKNOWN || o->kinds_failed != 0 || o->kinds_up != 0 ||
           o->ready || o->streaming;
}

static uint64_t view_opinions(const struct site_view *v)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < NODES_MAX; i++)
        used |= opinion_is_set(&v->opinions[i]) ? UINT64_C(1) << i : 0;
    return used;
}

static bool view_is_set(const struct site_view *v)
{
    return v->executor != 0 || v->executor_index != 0 || v->verdict != VERDICT_UNKNOWN || v->evidence != 0 ||
           v->verdict_ms != 0 || v->unreceived_ms != 0 || v->behind || view_opinions(v) != 0;
}

static void visit_view(struct codec *c, struct site_view *v)
{
    uint64_t opinions = codec_slots(c, c->reading ? 0 : view_opinions(v), NODES_MAX);

    codec_u64(c, &v->executor);
    codec_u64(c, &v->executor_index);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (opinions >> i & 1)
            codec_opinion(c, &v->opinions[i]);
    }
    CODEC_ENUM(c, &v->verdict, VERDICT_COUNT);
    codec_mask8(c, &v->evidence, EVIDENCE_KIND_COUNT);
    codec_i64(c, &v->verdict_ms);
    codec_i64(c, &v->unreceived_ms);
    codec_bool(c, &v->behind);
}

static void visit_run(struct codec *c, struct step_run *run)
{
    CODEC_ENUM(c, &run->step, STEP_COUNT);
    codec_site_or_none(c, &run->site);
    CODEC_ENUM(c, &run->state, RUN_STATE_COUNT);
    codec_u32(c, &run->attempt);
    codec_u64(c, &run->node);
    codec_u64(c, &run->epoch);
    codec_i64(c, &run->assigned_ms);
    codec_i64(c, &run->ended_ms);
    codec_i64(c, &run->retry_after_ms);
    codec_text(c, run->detail, sizeof(run->detail));
    codec_position(c, &run->position);
}

static void visit_operation(struct codec *c, struct operation *op)
{
    codec_u64(c, &op->id);
    if (op->id == 0)
        codec_refuse(c); /* no operation is not written */
    CODEC_ENUM(c, &op->kind, OPERATION_KIND_COUNT);
    CODEC_ENUM(c, &op->state, OPERATION_STATE_COUNT);
    codec_service(c, &op->service);
    codec_site_or_none(c, &op->from);
    codec_site_or_none(c, &op->to);
    codec_u64(c, &op->old_epoch);
    codec_u64(c, &op->new_epoch);
    CODEC_ENUM(c, &op->certificate, CERTIFICATE_KIND_COUNT);
    codec_i64(c, &op->detected_ms);
    codec_i64(c, &op->started_ms);
    codec_i64(c, &op->certified_ms);
    codec_i64(c, &op->promoted_ms);
    codec_i64(c, &op->ended_ms);
    codec_text(c, op->who, sizeof(op->who));
    codec_text(c, op->reason, sizeof(op->reason));
    codec_mask32(c, &op->overrides, GATE_COUNT);
    codec_count(c, &op->run_count, RUNS_MAX);
    for (unsigned i = 0; codec_ok(c) && i < op->run_count; i++)
        visit_run(c, &op->runs[i]);
}

static void visit_service(struct codec *c, struct service *svc)
{
    uint64_t views = 0;

    if (c->reading)
        svc->present = true;
    codec_service_config(c, &svc->config);
    codec_bool(c, &svc->armed);
    codec_bool(c, &svc->paused);
    codec_u64(c, &svc->enforced_index);
    codec_site_or_none(c, &svc->primary);
    visit_lease(c, &svc->lease);
    visit_proof(c, &svc->proof);
    for (unsigned i = 0; !c->reading && i < SITES_MAX; i++)
        views |= view_is_set(&svc->views[i]) ? UINT64_C(1) << i : 0;
    views = codec_slots(c, views, SITES_MAX);
    for (unsigned i = 0; i < SITES_MAX; i++) {
        if (views >> i & 1)
            visit_view(c, &svc->views[i]);
    }
    if (codec_present(c, svc->operation.id != 0))
        visit_operation(c, &svc->operation);
    codec_i64(c, &svc->last_failover_ms);
    codec_mask32(c, &svc->gates_noted, GATE_COUNT);
    codec_i64(c, &svc->gates_noted_ms);
}

static void visit_event(struct codec *c, struct event *e)
{
    codec_u64(c, &e->index);
    codec_i64(c, &e->at_ms);
    CODEC_ENUM(c, &e->kind, EVENT_KIND_COUNT);
    codec_service_or_none(c, &e->service);
    codec_site_or_none(c, &e->site);
    codec_u64(c, &e->operation);
    codec_text(c, e->text, sizeof(e->text));
}

/* Numbers rise by one and none is removed, so the last number says which are kept. */
static void visit_events(struct codec *c, struct event_ring *ring)
{
    uint64_t kept;

    codec_u64(c, &ring->last_number);
    kept = ring->last_number < EVENTS_MAX ? ring->last_number : EVENTS_MAX;
    for (uint64_t n = ring->last_number - kept + 1; codec_ok(c) && kept > 0; n++, kept--) {
        struct event *e = &ring->slots[n % EVENTS_MAX];

        if (c->reading)
            e->number = n;
        else if (e->number != n)
            codec_refuse(c);
        visit_event(c, e);
    }
}

static void visit_state(struct codec *c, struct state *s)
{
    uint64_t services = 0, incidents = 0;

    codec_u64(c, &s->applied_index);
    codec_i64(c, &s->now_ms);
    codec_u64(c, &s->cluster_id);
    codec_u8(c, &s->cluster_version);
    codec_u64(c, &s->generation);
    codec_u64(c, &s->generation_index);
    codec_u64(c, &s->quorum_term);
    codec_u64(c, &s->quorum_index);
    codec_i64(c, &s->quorum_ms);
    codec_u64(c, &s->next_member_id);
    codec_u64(c, &s->lead_wanted);
    codec_i64(c, &s->lead_wanted_ms);
    codec_u32(c, &s->election_ms);
    codec_u32(c, &s->drift_ppm);
    codec_u64(c, &s->epoch_counter);
    codec_u64(c, &s->config_version);
    codec_members(c, s->members, true);
    codec_sites(c, s->sites);
    for (unsigned i = 0; !c->reading && i < SERVICES_MAX; i++)
        services |= s->services[i].present ? UINT64_C(1) << i : 0;
    services = codec_slots(c, services, SERVICES_MAX);
    for (unsigned i = 0; codec_ok(c) && i < SERVICES_MAX; i++) {
        if (services >> i & 1)
            visit_service(c, &s->services[i]);
    }
    codec_u32(c, &s->incident_count);
    for (unsigned i = 0; !c->reading && i < INCIDENTS_MAX; i++)
        incidents |= s->incidents[i].id != 0 ? UINT64_C(1) << i : 0;
    incidents = codec_slots(c, incidents, INCIDENTS_MAX);
    for (unsigned i = 0; codec_ok(c) && i < INCIDENTS_MAX; i++) {
        if (incidents >> i & 1)
            visit_operation(c, &s->incidents[i]);
    }
    visit_events(c, &s->events);
}

static void visit_head(struct codec *c, uint32_t *version, uint32_t *length_bytes, uint32_t *crc)
{
    codec_constant(c, SNAPSHOT_MAGIC);
    codec_u32(c, version);
    codec_u32(c, length_bytes);
    codec_u32(c, crc);
}

enum status snapshot_encode(const struct state *s, void *out, size_t capacity_bytes, size_t *length_bytes)
{
    uint8_t *body = (uint8_t *)out + SNAPSHOT_HEAD_BYTES;
    struct codec head, codec;
    size_t body_bytes, head_bytes;
    uint32_t version = s->cluster_version, length, crc;
    enum status status;

    *length_bytes = 0;
    if (capacity_bytes < SNAPSHOT_HEAD_BYTES)
        return STATUS_FULL;
    codec_write_init(&codec, body, capacity_bytes - SNAPSHOT_HEAD_BYTES);
    codec.version = s->cluster_version;
    visit_state(&codec, (struct state *)(uintptr_t)s); /* a writing codec changes nothing */
    status = codec_written(&codec, &body_bytes);
    if (status != STATUS_OK)
        return status;
    if (body_bytes > SNAPSHOT_MAX_BYTES - SNAPSHOT_HEAD_BYTES)
        return STATUS_FULL;
    length = (uint32_t)body_bytes;
    crc = crc32c(0, body, body_bytes);
    codec_write_init(&head, out, SNAPSHOT_HEAD_BYTES);
    visit_head(&head, &version, &length, &crc);
    status = codec_written(&head, &head_bytes);
    ASSERT(status == STATUS_OK && head_bytes == SNAPSHOT_HEAD_BYTES);
    *length_bytes = SNAPSHOT_HEAD_BYTES + body_bytes;
    return STATUS_OK;
}

enum status snapshot_decode(struct state *s, const void *bytes, size_t length_bytes, struct error *err)
{
    const uint8_t *body = (const uint8_t *)bytes + SNAPSHOT_HEAD_BYTES;
    uint32_t version = 0, length = 0, crc = 0;
    struct codec codec;

    if (length_bytes < SNAPSHOT_HEAD_BYTES || length_bytes > SNAPSHOT_MAX_BYTES)
        return error_set(err, STATUS_CORRUPT, "snapshot: %zu bytes is no length of one", length_bytes);
    codec_read_init(&codec, bytes, SNAPSHOT_HEAD_BYTES);
    visit_head(&codec, &version, &length, &crc);
    if (!codec_ok(&codec) || version < CLUSTER_VERSION_FIRST)
        return error_set(err, STATUS_CORRUPT, "snapshot: no snapshot of ours");
    if (version > program_version)
        return error_set(err, STATUS_CORRUPT,
                         "a snapshot of cluster version %" PRIu32 ", and this coordd reads up to %u", version,
                         program_version);
    if (length != length_bytes - SNAPSHOT_HEAD_BYTES)
        return error_set(err, STATUS_CORRUPT, "snapshot: %zu bytes where its head says %u",
                         length_bytes - SNAPSHOT_HEAD_BYTES, length);
    if (crc != crc32c(0, body, length))
        return error_set(err, STATUS_CORRUPT, "snapshot: its checksum does not match");
    state_init(s);
    codec_read_init(&codec, body, length);
    codec.version = (uint8_t)version;
    visit_state(&codec, s);
    if (codec_ok(&codec) && s->cluster_version != version)
        return error_set(err, STATUS_CORRUPT, "a snapshot written in cluster version %" PRIu32 " holds a state of %u",
                         version, s->cluster_version);
    return codec_read_done(&codec, "snapshot", err);
}
