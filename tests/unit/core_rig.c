#include "tests/unit/core_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"

#define ALL_KINDS_DOWN ((uint8_t)(1u << KIND_DATABASE | 1u << KIND_PATH))

struct command *rig_next(struct rig *r, enum command_kind kind)
{
    command_clear(&r->command, kind);
    r->command.at_ms = r->now_ms;
    text_set(r->command.who, sizeof r->command.who, "test");
    return &r->command;
}

enum status rig_apply(struct rig *r)
{
    struct error err = ERROR_NONE;

    fsm_apply(&r->state, r->state.applied_index + 1, &r->command, &r->outcome);
    if (state_check(&r->state, &err) != STATUS_OK)
        check_failed(err.text, __FILE__, __LINE__);
    return r->outcome.status;
}

struct service *rig_service(struct rig *r)
{
    return &r->state.services[SERVICE];
}

static void initialise(struct rig *r)
{
    static const char *const names[] = { "a", "b", "c" };
    struct command *c = rig_next(r, COMMAND_CLUSTER_INIT);

    c->cluster_init.cluster_id = 77;
    c->cluster_init.election_ms = raft_timing_of(PROFILE_METRO).election_ms;
    for (unsigned i = 0; i < 3; i++) {
        struct member *m = &c->cluster_init.members[i];
        m->id = i + 1;
        m->site = (site_id)i;
        m->witness = i == 2;
        text_set(m->name, sizeof m->name, "%s1", names[i]);
        text_set(m->address, sizeof m->address, "127.10.%u.1:7400", i + 1);
        text_set(c->cluster_init.sites[i].name, NAME_MAX_BYTES, "site-%s", names[i]);
    }
    ASSERT(rig_apply(r) == STATUS_OK);
}

static void configure(struct rig *r)
{
    struct command *c = rig_next(r, COMMAND_CONFIG_APPLY);
    struct service_config *config = &c->config_apply.services[0];

    c->config_apply.service_count = 1;
    text_set(config->name, sizeof config->name, "app");
    config->mode = MODE_AUTO;
    config->tier = 1;
    config->primary = SITE_A;
    config->accept_vm_pause = true;
    config->max_lag_bytes = 1000;
    config->max_lag_ms = 10000;
    config->timing = timing_of(PROFILE_METRO);
    config->site_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        config->sites[i].site = (site_id)i;
        config->sites[i].port = 5432;
        text_set(config->sites[i].host, sizeof config->sites[i].host, "127.10.%u.1", i + 1);
        text_set(config->sites[i].health_url, sizeof config->sites[i].health_url, "http://127.10.%u.1/health", i + 1);
    }
    ASSERT(rig_apply(r) == STATUS_OK);
}

struct rig *rig_create(void)
{
    struct rig *r = calloc(1, sizeof *r);

    ASSERT(r != NULL);
    r->now_ms = 1000000;
    state_init(&r->state);
    initialise(r);
    for (node_id node = NODE_A; node <= NODE_C; node++)
        rig_heard(r, node, true);
    configure(r);
    ASSERT(rig_set(r, SERVICE_ARM) == STATUS_OK);
    return r;
}

void rig_destroy(struct rig *r)
{
    free(r);
}

struct rig *rig_create_live(void)
{
    struct rig *r = rig_create();

    for (node_id node = NODE_A; node <= NODE_C; node++)
        for (site_id site = SITE_A; site <= SITE_B; site++)
            rig_opinion(r, node, site, OPINION_UP, 0);
    ASSERT(rig_grant(r, SITE_A, NODE_A) == STATUS_OK);
    ASSERT(rig_renew(r, NODE_A, rig_service(r)->lease.epoch, INSTANCE_A, true) == STATUS_OK);
    return r;
}

void rig_opinion(struct rig *r, node_id node, site_id site, enum opinion_word word, uint8_t kinds_failed)
{
    struct command *c = rig_next(r, COMMAND_OPINION);
    site_id primary = rig_service(r)->primary == SITE_NONE ? SITE_A : rig_service(r)->primary;

    c->opinion = (struct command_opinion){ .node = node, .service = SERVICE, .site = site };
    c->opinion.opinion = (struct opinion){ .word = word,
                                           .role = site == primary ? ROLE_PRIMARY : ROLE_STANDBY,
                                           .kinds_failed = kinds_failed,
                                           .kinds_up = (uint8_t)(~kinds_failed & ALL_KINDS_DOWN),
                                           .ready = site != primary,
                                           .streaming = site != primary };
    ASSERT(rig_apply(r) == STATUS_OK);
}

void rig_heard(struct rig *r, node_id node, bool heard)
{
    struct command *c = rig_next(r, COMMAND_NODE_HEARD);

    c->node_heard = (struct command_node_heard){ .node = node, .heard = heard };
    ASSERT(rig_apply(r) == STATUS_OK);
}

static struct enforcement report(struct rig *r, instance_id instance, bool enforcing)
{
    return (struct enforcement){ .enforcing = enforcing,
                                 .instance = instance,
                                 .since_index = rig_service(r)->enforced_index };
}

enum status rig_grant(struct rig *r, site_id site, node_id node)
{
    struct command *c = rig_next(r, COMMAND_GRANT);

    c->grant = (struct command_grant){ .service = SERVICE,
                                       .site = site,
                                       .node = node,
                                       .last_epoch = rig_service(r)->lease.epoch,
                                       .enforcement = report(r, 0, true) };
    return rig_apply(r);
}

enum status rig_renew(struct rig *r, node_id node, epoch_t epoch, instance_id instance, bool enforcing)
{
    struct command *c = rig_next(r, COMMAND_RENEW);

    c->renew = (struct command_renew){ .service = SERVICE,
                                       .epoch = epoch,
                                       .node = node,
                                       .ttl_ms = rig_service(r)->config.timing.ttl_ms,
                                       .enforcement = report(r, instance, enforcing) };
    return rig_apply(r);
}

enum status rig_expire(struct rig *r)
{
    struct command *c = rig_next(r, COMMAND_LEASE_EXPIRED);
    const struct lease *l = &rig_service(r)->lease;

    c->lease_expired = (struct command_lease_expired){ SERVICE, l->epoch, l->renewed_index };
    return rig_apply(r);
}

enum status rig_set(struct rig *r, enum service_change change)
{
    struct command *c = rig_next(r, COMMAND_SERVICE_SET);

    c->service_set = (struct command_service_set){ SERVICE, change };
    return rig_apply(r);
}

enum status rig_start(struct rig *r, enum operation_kind kind, site_id to, uint32_t overrides)
{
    struct command *c = rig_next(r, COMMAND_OPERATION_START);

    c->operation_start = (struct command_operation_start){ .service = SERVICE,
                                                           .kind = kind,
                                                           .from = rig_service(r)->primary,
                                                           .to = to,
                                                           .epoch = rig_service(r)->lease.epoch,
                                                           .overrides = overrides };
    return rig_apply(r);
}

enum status rig_abort(struct rig *r)
{
    struct command *c = rig_next(r, COMMAND_OPERATION_ABORT);

    c->operation_abort.operation = rig_service(r)->operation.id;
    return rig_apply(r);
}

static uint8_t run_index(struct rig *r, enum step step, site_id site)
{
    const struct operation *op = &rig_service(r)->operation;

    for (uint8_t i = 0; i < op->run_count; i++)
        if (op->runs[i].step == step && op->runs[i].site == site)
            return i;
    return UINT8_MAX;
}

enum status rig_assign(struct rig *r, enum step step, site_id site, node_id node)
{
    struct command *c = rig_next(r, COMMAND_STEP_ASSIGN);
    uint8_t run = run_index(r, step, site);

    c->step_assign =
        (struct command_step_assign){ .operation = rig_service(r)->operation.id, .run = run, .node = node };
    if (run < RUNS_MAX)
        c->step_assign.attempt = rig_service(r)->operation.runs[run].attempt + 1;
    return rig_apply(r);
}

enum status rig_result(struct rig *r, enum step step, site_id site, node_id node, bool ok)
{
    struct command *c = rig_next(r, COMMAND_STEP_RESULT);
    uint8_t run = run_index(r, step, site);
    const struct lease *l = &rig_service(r)->lease;

    ASSERT(run < RUNS_MAX);
    c->step_result = (struct command_step_result){ .operation = rig_service(r)->operation.id,
                                                   .run = run,
                                                   .attempt = rig_service(r)->operation.runs[run].attempt,
                                                   .epoch = rig_service(r)->operation.runs[run].epoch,
                                                   .node = node };
    c->step_result.result.ok = ok;
    text_set(c->step_result.result.detail, DETAIL_MAX_BYTES, ok ? "done" : "broken");
    if (step == STEP_SEVER)
        c->step_result.result.position = (struct position){ .known = true, .timeline = 1, .lsn = 4096 };
    if (step == STEP_FENCE) {
        c->step_result.result.instance_count = l->instance_count;
        memcpy(c->step_result.result.instances, l->instances, sizeof l->instances);
    }
    return rig_apply(r);
}

enum status rig_promote(struct rig *r, site_id site)
{
    struct command *c = rig_next(r, COMMAND_PROMOTE);

    c->promote = (struct command_promote){ rig_service(r)->operation.id, rig_service(r)->lease.epoch, site };
    return rig_apply(r);
}

enum status rig_do(struct rig *r, enum step step, site_id site, node_id node)
{
    enum status status = rig_assign(r, step, site, node);

    return status == STATUS_OK ? rig_result(r, step, site, node, true) : status;
}
