#include "core/codec.h"
#include "core/command.h"
#include "core/gates.h"
#include "core/membership.h"
#include "core/version.h"

#include <string.h>

/* version u8, kind u8, at_ms i64, who, and what the kind needs. The first three have fixed places, for command_stamp. */
#define COMMAND_AT_OFFSET 2
#define OUTCOME_VERSION 1

static const char *const words[] = {
#define COMMAND_WORD(name, word) [name] = (word),
    COMMAND_LIST(COMMAND_WORD)
#undef COMMAND_WORD
};

const char *command_word(enum command_kind kind)
{
    return (unsigned)kind < COMMAND_KIND_COUNT ? words[kind] : "unknown";
}

static void visit_cluster_init(struct codec *c, struct command *m)
{
    codec_u64(c, &m->cluster_init.cluster_id);
    codec_u32(c, &m->cluster_init.election_ms);
    codec_members(c, m->cluster_init.members, false);
    codec_sites(c, m->cluster_init.sites);
}

static void visit_config_apply(struct codec *c, struct command *m)
{
    codec_u64(c, &m->config_apply.base_version);
    codec_count(c, &m->config_apply.service_count, SERVICES_MAX);
    for (unsigned i = 0; codec_ok(c) && i < m->config_apply.service_count; i++)
        codec_service_config(c, &m->config_apply.services[i]);
}

static void visit_service_set(struct codec *c, struct command *m)
{
    codec_service(c, &m->service_set.service);
    CODEC_ENUM(c, &m->service_set.change, SERVICE_CHANGE_COUNT);
}

static void visit_quorum_back(struct codec *c, struct command *m)
{
    codec_u64(c, &m->quorum_back.term);
}

static void visit_node_started(struct codec *c, struct command *m)
{
    codec_u64(c, &m->node_started.node);
    codec_u8(c, &m->node_started.version);
}

static void visit_cluster_version(struct codec *c, struct command *m)
{
    codec_u8(c, &m->cluster_version.version);
}

static void visit_node_heard(struct codec *c, struct command *m)
{
    codec_u64(c, &m->node_heard.node);
    codec_bool(c, &m->node_heard.heard);
}

static void visit_opinion(struct codec *c, struct command *m)
{
    codec_u64(c, &m->opinion.node);
    codec_service(c, &m->opinion.service);
    codec_site(c, &m->opinion.site);
    codec_opinion(c, &m->opinion.opinion);
}

static void visit_executor_set(struct codec *c, struct command *m)
{
    codec_service(c, &m->executor_set.service);
    codec_site(c, &m->executor_set.site);
    codec_u64(c, &m->executor_set.node);
}

static void visit_grant(struct codec *c, struct command *m)
{
    codec_service(c, &m->grant.service);
    codec_site(c, &m->grant.site);
    codec_u64(c, &m->grant.node);
    codec_u64(c, &m->grant.last_epoch);
    codec_enforcement(c, &m->grant.enforcement);
}

static void visit_renew(struct codec *c, struct command *m)
{
    codec_service(c, &m->renew.service);
    codec_u64(c, &m->renew.epoch);
    codec_u64(c, &m->renew.node);
    codec_u32(c, &m->renew.ttl_ms);
    codec_enforcement(c, &m->renew.enforcement);
}

static void visit_lease_expired(struct codec *c, struct command *m)
{
    codec_service(c, &m->lease_expired.service);
    codec_u64(c, &m->lease_expired.epoch);
    codec_u64(c, &m->lease_expired.renewed_index);
}

static void visit_promises_ended(struct codec *c, struct command *m)
{
    codec_service(c, &m->promises_ended.service);
    codec_u64(c, &m->promises_ended.epoch);
    codec_u64(c, &m->promises_ended.node);
}

static void visit_sighting(struct codec *c, struct command *m)
{
    codec_service(c, &m->sighting.service);
    codec_site(c, &m->sighting.site);
    codec_u64(c, &m->sighting.epoch);
    codec_u64(c, &m->sighting.node);
    codec_u64(c, &m->sighting.looked_index);
}

static void visit_gates_noted(struct codec *c, struct command *m)
{
    codec_service(c, &m->gates_noted.service);
    codec_site_or_none(c, &m->gates_noted.target);
    codec_mask32(c, &m->gates_noted.gates, GATE_COUNT);
}

static void visit_operation_start(struct codec *c, struct command *m)
{
    codec_service(c, &m->operation_start.service);
    CODEC_ENUM(c, &m->operation_start.kind, OPERATION_KIND_COUNT);
    codec_site_or_none(c, &m->operation_start.from);
    codec_site_or_none(c, &m->operation_start.to);
    codec_u64(c, &m->operation_start.epoch);
    codec_mask32(c, &m->operation_start.overrides, GATE_COUNT);
    codec_text(c, m->operation_start.reason, sizeof(m->operation_start.reason));
}

static void visit_operation_id(struct codec *c, struct command_operation_id *m)
{
    codec_u64(c, &m->operation);
    codec_text(c, m->reason, sizeof(m->reason));
}

static void visit_step_assign(struct codec *c, struct command *m)
{
    codec_u64(c, &m->step_assign.operation);
    codec_count(c, &m->step_assign.run, RUNS_MAX - 1);
    codec_u32(c, &m->step_assign.attempt);
    codec_u64(c, &m->step_assign.node);
}

static void visit_step_result(struct codec *c, struct command *m)
{
    struct step_result *result = &m->step_result.result;

    codec_u64(c, &m->step_result.operation);
    codec_count(c, &m->step_result.run, RUNS_MAX - 1);
    codec_u32(c, &m->step_result.attempt);
    codec_u64(c, &m->step_result.epoch);
    codec_u64(c, &m->step_result.node);
    codec_bool(c, &result->ok);
    codec_text(c, result->detail, sizeof(result->detail));
    codec_position(c, &result->position);
    codec_instances(c, &result->instance_count, result->instances);
}

static void visit_step_skip(struct codec *c, struct command *m)
{
    codec_u64(c, &m->step_skip.operation);
    CODEC_ENUM(c, &m->step_skip.step, STEP_COUNT);
    codec_text(c, m->step_skip.reason, sizeof(m->step_skip.reason));
}

static void visit_promote(struct codec *c, struct command *m)
{
    codec_u64(c, &m->promote.operation);
    codec_u64(c, &m->promote.old_epoch);
    codec_site(c, &m->promote.site);
}

static void visit_approve(struct codec *c, struct command *m)
{
    visit_operation_id(c, &m->operation_approve);
}

static void visit_abort(struct codec *c, struct command *m)
{
    visit_operation_id(c, &m->operation_abort);
}

static void visit_operator_certificate(struct codec *c, struct command *m)
{
    visit_operation_id(c, &m->operator_certificate);
}

static void visit_member_add(struct codec *c, struct command *m)
{
    codec_text(c, m->member_add.name, sizeof(m->member_add.name));
    codec_text(c, m->member_add.address, sizeof(m->member_add.address));
    codec_text(c, m->member_add.site, sizeof(m->member_add.site));
    codec_bool(c, &m->member_add.witness);
    codec_bool(c, &m->member_add.voter);
}

static void visit_member_change(struct codec *c, struct command_member_change *m)
{
    codec_u64(c, &m->node);
    codec_bool(c, &m->voter);
    codec_mask32(c, &m->overrides, MEMBER_GATE_COUNT);
    codec_text(c, m->reason, sizeof(m->reason));
}

static void visit_member_remove(struct codec *c, struct command *m)
{
    visit_member_change(c, &m->member_remove);
}

static void visit_member_set(struct codec *c, struct command *m)
{
    visit_member_change(c, &m->member_set);
}

static void visit_lead(struct codec *c, struct command *m)
{
    codec_u64(c, &m->lead.node);
}

static void visit_recover(struct codec *c, struct command *m)
{
    codec_u64(c, &m->recover.generation);
    codec_u64(c, &m->recover.node);
    codec_text(c, m->recover.reason, sizeof(m->recover.reason));
}

struct command_shape {
    void (*visit)(struct codec *c, struct command *m);
    size_t part_bytes; /* of the union */
};

#define SHAPE(kind, member, visitor) [kind] = { visitor, sizeof(((struct command *)0)->member) }
static const struct command_shape shapes[COMMAND_KIND_COUNT] = {
    SHAPE(COMMAND_CLUSTER_INIT, cluster_init, visit_cluster_init),
    SHAPE(COMMAND_CONFIG_APPLY, config_apply, visit_config_apply),
    SHAPE(COMMAND_SERVICE_SET, service_set, visit_service_set),
    SHAPE(COMMAND_NODE_HEARD, node_heard, visit_node_heard),
    SHAPE(COMMAND_QUORUM_BACK, quorum_back, visit_quorum_back),
    SHAPE(COMMAND_NODE_STARTED, node_started, visit_node_started),
    SHAPE(COMMAND_CLUSTER_VERSION, cluster_version, visit_cluster_version),
    SHAPE(COMMAND_OPINION, opinion, visit_opinion),
    SHAPE(COMMAND_EXECUTOR_SET, executor_set, visit_executor_set),
    SHAPE(COMMAND_GRANT, grant, visit_grant),
    SHAPE(COMMAND_RENEW, renew, visit_renew),
    SHAPE(COMMAND_LEASE_EXPIRED, lease_expired, visit_lease_expired),
    SHAPE(COMMAND_SIGHTING, sighting, visit_sighting),
    SHAPE(COMMAND_GATES_NOTED, gates_noted, visit_gates_noted),
    SHAPE(COMMAND_OPERATION_START, operation_start, visit_operation_start),
    SHAPE(COMMAND_OPERATION_APPROVE, operation_approve, visit_approve),
    SHAPE(COMMAND_OPERATION_ABORT, operation_abort, visit_abort),
    SHAPE(COMMAND_OPERATOR_CERTIFICATE, operator_certificate, visit_operator_certificate),
    SHAPE(COMMAND_STEP_ASSIGN, step_assign, visit_step_assign),
    SHAPE(COMMAND_STEP_RESULT, step_result, visit_step_result),
    SHAPE(COMMAND_STEP_SKIP, step_skip, visit_step_skip),
    SHAPE(COMMAND_PROMOTE, promote, visit_promote),
    SHAPE(COMMAND_MEMBER_ADD, member_add, visit_member_add),
    SHAPE(COMMAND_MEMBER_REMOVE, member_remove, visit_member_remove),
    SHAPE(COMMAND_MEMBER_SET, member_set, visit_member_set),
    SHAPE(COMMAND_LEAD, lead, visit_lead),
    SHAPE(COMMAND_RECOVER, recover, visit_recover),
    SHAPE(COMMAND_PROMISES_ENDED, promises_ended, visit_promises_ended),
};
#undef SHAPE

void command_clear(struct command *c, enum command_kind kind)
{
    size_t part_bytes = (unsigned)kind < COMMAND_KIND_COUNT ? shapes[kind].part_bytes : 0;

    memset(c, 0, offsetof(struct command, cluster_init) + part_bytes);
    c->kind = kind;
}

static void visit_command(struct codec *c, uint8_t version, struct command *m)
{
    codec_version(c, version);
    CODEC_ENUM(c, &m->kind, COMMAND_KIND_COUNT);
    if (!codec_ok(c))
        return;
    if (c->reading)
        command_clear(m, m->kind);
    codec_i64(c, &m->at_ms);
    codec_text(c, m->who, sizeof(m->who));
    shapes[m->kind].visit(c, m);
}

enum status command_encode(const struct command *c, uint8_t version, void *out, size_t capacity_bytes,
                           size_t *length_bytes)
{
    struct codec codec;

    codec_write_init(&codec, out, capacity_bytes);
    visit_command(&codec, version, (struct command *)(uintptr_t)c); /* a writing codec changes nothing */
    return codec_written(&codec, length_bytes);
}

enum status command_decode(struct command *c, const void *bytes, size_t length_bytes, struct error *err)
{
    const uint8_t *head = bytes;
    struct codec codec;

    if (length_bytes >= 2 && head[0] > program_version)
        return error_set(err, STATUS_CORRUPT, "a command of cluster version %u, and this coordd reads up to %u",
                         head[0], program_version);
    if (length_bytes >= 2 && head[1] >= COMMAND_KIND_COUNT)
        return error_set(err, STATUS_CORRUPT, "command: kind %u is not known here", head[1]);
    codec_read_init(&codec, bytes, length_bytes);
    visit_command(&codec, 0, c);
    return codec_read_done(&codec, length_bytes >= 2 ? command_word(head[1]) : "command", err);
}

enum status command_stamp(void *bytes, size_t length_bytes, int64_t at_ms)
{
    struct writer w;

    if (length_bytes < COMMAND_AT_OFFSET + sizeof(at_ms))
        return STATUS_CORRUPT;
    writer_init(&w, (uint8_t *)bytes + COMMAND_AT_OFFSET, sizeof(at_ms));
    writer_i64(&w, at_ms);
    return STATUS_OK;
}

static void visit_outcome(struct codec *c, struct outcome *o)
{
    uint8_t version = OUTCOME_VERSION;

    codec_u8(c, &version);
    if (version != OUTCOME_VERSION)
        codec_refuse(c);
    CODEC_ENUM(c, &o->status, STATUS_COUNT);
    codec_u64(c, &o->value);
    codec_text(c, o->reason, sizeof(o->reason));
}

_Static_assert(DETAIL_MAX_BYTES + 16 <= COMMAND_OUTCOME_MAX_BYTES, "an outcome fits");

enum status outcome_encode(const struct outcome *o, void *out, size_t capacity_bytes, size_t *length_bytes)
{
    struct codec codec;

    codec_write_init(&codec, out, capacity_bytes);
    visit_outcome(&codec, (struct outcome *)(uintptr_t)o);
    return codec_written(&codec, length_bytes);
}

enum status outcome_decode(struct outcome *o, const void *bytes, size_t length_bytes)
{
    struct codec codec;

    memset(o, 0, sizeof(*o));
    codec_read_init(&codec, bytes, length_bytes);
    visit_outcome(&codec, o);
    return codec_read_done(&codec, "outcome", NULL);
}
