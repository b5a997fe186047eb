#include "core_fixture.h"

#include <stdio.h>

struct command *core_command(struct core *k, enum command_kind kind)
{
    command_clear(&k->command, kind);
    text_set(k->command.who, sizeof k->command.who, "test");
    return &k->command;
}

static size_t encoded(const struct state *s, uint8_t *out, size_t capacity_bytes)
{
    size_t length = 0;

    assert_int_equal(snapshot_encode(s, out, capacity_bytes, &length), STATUS_OK);
    return length;
}

bool core_apply(struct core *k)
{
    struct error err = ERROR_NONE;
    size_t before, after;

    memcpy(&k->before, &k->state, sizeof k->state);
    k->command.at_ms = k->now_ms;
    fsm_apply(&k->state, k->state.applied_index + 1, &k->command, &k->outcome);
    if (state_check(&k->state, &err) != STATUS_OK)
        fail_msg("%s breaks an invariant: %s", command_word(k->command.kind), err.text);
    if (k->outcome.status == STATUS_OK)
        return true;
    assert_int_equal(k->outcome.status, STATUS_REFUSED);
    assert_true(k->outcome.reason[0] != '\0');
    k->before.applied_index = k->state.applied_index;
    k->before.now_ms = k->state.now_ms;
    before = encoded(&k->before, k->bytes[0], sizeof k->bytes[0]);
    after = encoded(&k->state, k->bytes[1], sizeof k->bytes[1]);
    assert_int_equal(before, after);
    assert_memory_equal(k->bytes[0], k->bytes[1], before);
    return false;
}

void core_expect(bool accepted, bool expected, const struct core *k, const char *file, int line)
{
    if (accepted == expected)
        return;
    print_error("%s:%d: %s was %s: %s\n", file, line, command_word(k->command.kind), accepted ? "accepted" : "refused",
                k->outcome.reason);
    _fail(file, line);
}

void core_expect_reason(const struct core *k, const char *part)
{
    if (k->outcome.status == STATUS_OK || strstr(k->outcome.reason, part) == NULL)
        fail_msg("the reason \"%s\" does not say \"%s\"", k->outcome.reason, part);
}

bool core_event_says(const struct core *k, enum event_kind kind, const char *part)
{
    for (uint64_t n = k->state.events.last_number; n > 0 && n + 10 > k->state.events.last_number; n--) {
        const struct event *e = event_get(&k->state, n);
        if (e != NULL && e->kind == kind && strstr(e->text, part) != NULL)
            return true;
    }
    return false;
}

void core_pass(struct core *k, int64_t span_ms)
{
    k->now_ms += span_ms;
}

void core_config(struct service_config *config)
{
    memset(config, 0, sizeof *config);
    text_set(config->name, sizeof config->name, "app");
    config->profile = PROFILE_METRO;
    config->mode = MODE_AUTO;
    config->tier = 1;
    config->primary = A;
    config->accept_vm_pause = true;
    config->max_lag_bytes = 1000;
    config->max_lag_ms = 10000;
    config->timing = timing_of(PROFILE_METRO);
    config->site_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        config->sites[i].site = (site_id)i;
        text_set(config->sites[i].host, HOST_MAX_BYTES, "127.0.0.1");
        text_set(config->sites[i].health_url, URL_MAX_BYTES, "http://127.0.0.1/health");
    }
}

bool core_configure(struct core *k, const struct service_config *config, unsigned count)
{
    struct command *c = core_command(k, COMMAND_CONFIG_APPLY);

    c->config_apply.service_count = (uint8_t)count;
    memcpy(c->config_apply.services, config, count * sizeof *config);
    return core_apply(k);
}

static void initialise(struct core *k)
{
    struct command *c = core_command(k, COMMAND_CLUSTER_INIT);
    static const char *const names[] = { "a", "b", "c" };

    c->cluster_init.cluster_id = 7;
    c->cluster_init.election_ms = raft_timing_of(PROFILE_METRO).election_ms;
    for (unsigned i = 0; i < 3; i++) {
        struct member *m = &c->cluster_init.members[i];
        m->id = NODE_A + i;
        m->site = (site_id)i;
        m->witness = i == C;
        text_set(m->name, sizeof m->name, "%s1", names[i]);
        text_set(c->cluster_init.sites[i].name, NAME_MAX_BYTES, "site-%s", names[i]);
    }
    assert_accepted(core_apply(k), k);
}

struct core *core_create(void)
{
    struct core *k = calloc(1, sizeof *k);
    struct service_config config;

    assert_non_null(k);
    state_init(&k->state);
    k->now_ms = 1000000;
    initialise(k);
    core_config(&config);
    assert_accepted(core_configure(k, &config, 1), k);
    for (node_id n = NODE_A; n <= NODE_C; n++)
        assert_accepted(core_heard(k, n, true), k);
    return k;
}

void core_free(struct core *k)
{
    free(k);
}

int core_setup_bare(void **state)
{
    *state = core_create();
    return 0;
}

int core_setup(void **state)
{
    *state = core_create();
    core_primary(*state);
    return 0;
}

int core_teardown(void **state)
{
    core_free(*state);
    return 0;
}

void core_primary(struct core *k)
{
    for (node_id n = NODE_A; n <= NODE_C; n++) {
        assert_accepted(core_opinion(k, n, A, OPINION_UP, ROLE_PRIMARY, 0), k);
        assert_accepted(core_opinion(k, n, B, OPINION_UP, ROLE_STANDBY, 0), k);
    }
    assert_accepted(core_ready(k, B, true), k);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    assert_accepted(core_grant(k, A, true), k);
    assert_accepted(core_renew(k, true), k);
    core_pass(k, 1000);
}

void core_add_c(struct core *k)
{
    struct service_config config = core_app(k)->config;

    config.site_count = 3;
    config.sites[2] = config.sites[1];
    config.sites[2].site = C;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_accepted(core_ready(k, C, true), k);
}

bool core_set(struct core *k, enum service_change change)
{
    struct command *c = core_command(k, COMMAND_SERVICE_SET);

    c->service_set.service = APP;
    c->service_set.change = change;
    return core_apply(k);
}

bool core_heard(struct core *k, node_id node, bool heard)
{
    struct command *c = core_command(k, COMMAND_NODE_HEARD);

    c->node_heard = (struct command_node_heard){ node, heard };
    return core_apply(k);
}

bool core_opinion(struct core *k, node_id node, site_id site, enum opinion_word word, enum role role, uint8_t kinds)
{
    struct command *c = core_command(k, COMMAND_OPINION);

    c->opinion.node = node;
    c->opinion.service = APP;
    c->opinion.site = site;
    c->opinion.opinion = (struct opinion){ .word = word, .role = role, .kinds_failed = kinds };
    return core_apply(k);
}

bool core_ready(struct core *k, site_id site, bool ready)
{
    struct command *c = core_command(k, COMMAND_OPINION);

    c->opinion.node = NODE_A + site;
    c->opinion.service = APP;
    c->opinion.site = site;
    c->opinion.opinion =
        (struct opinion){ .word = OPINION_UP, .role = ROLE_STANDBY, .ready = ready, .streaming = ready };
    return core_apply(k);
}

bool core_grant(struct core *k, site_id site, bool enforcing)
{
    struct command *c = core_command(k, COMMAND_GRANT);
    const struct service *svc = core_app(k);

    c->grant = (struct command_grant){ .service = APP,
                                       .site = site,
                                       .node = svc->views[site].executor,
                                       .last_epoch = svc->lease.epoch,
                                       .enforcement = { enforcing, INSTANCE, k->state.applied_index } };
    return core_apply(k);
}

static bool renew(struct core *k, node_id node, epoch_t epoch, uint32_t ttl_ms, struct enforcement report)
{
    struct command *c = core_command(k, COMMAND_RENEW);

    c->renew = (struct command_renew){ APP, epoch, node, ttl_ms, report };
    return core_apply(k);
}

bool core_renew(struct core *k, bool enforcing)
{
    const struct service *svc = core_app(k);
    struct enforcement report = { enforcing, svc->lease.instance_count ? svc->lease.instances[0] : INSTANCE,
                                  k->state.applied_index };

    return renew(k, svc->lease.holder, svc->lease.epoch, svc->config.timing.ttl_ms, report);
}

bool core_renew_as(struct core *k, node_id node, epoch_t epoch, instance_id instance, uint32_t ttl_ms)
{
    return renew(k, node, epoch, ttl_ms, (struct enforcement){ true, instance, k->state.applied_index });
}

bool core_promises_ended(struct core *k, node_id node)
{
    struct command *c = core_command(k, COMMAND_PROMISES_ENDED);

    c->promises_ended = (struct command_promises_ended){ APP, core_app(k)->lease.epoch, node };
    return core_apply(k);
}

bool core_expire(struct core *k)
{
    if (!core_expire_alone(k))
        return false;
    if (core_app(k)->lease.promises_ended_index == 0)
        assert_accepted(core_promises_ended(k, core_app(k)->lease.site == A ? NODE_B : NODE_A), k);
    return true;
}

bool core_expire_alone(struct core *k)
{
    struct command *c = core_command(k, COMMAND_LEASE_EXPIRED);
    const struct lease *lease = &core_app(k)->lease;

    c->lease_expired = (struct command_lease_expired){ APP, lease->epoch, lease->renewed_index };
    return core_apply(k);
}

bool core_sight(struct core *k, node_id node, uint64_t looked_index)
{
    struct command *c = core_command(k, COMMAND_SIGHTING);
    const struct lease *lease = &core_app(k)->lease;

    c->sighting = (struct command_sighting){ APP, lease->site, lease->epoch, node, looked_index };
    return core_apply(k);
}

bool core_start(struct core *k, enum operation_kind kind, site_id to, uint32_t overrides)
{
    struct command *c = core_command(k, COMMAND_OPERATION_START);
    const struct service *svc = core_app(k);

    c->operation_start = (struct command_operation_start){
        .service = APP, .kind = kind, .from = svc->primary, .to = to, .epoch = svc->lease.epoch, .overrides = overrides
    };
    return core_apply(k);
}

static bool on_operation(struct core *k, enum command_kind kind)
{
    struct command *c = core_command(k, kind);

    c->operation_abort.operation = core_operation(k)->id; /* the three kinds share their fields */
    return core_apply(k);
}

bool core_abort(struct core *k)
{
    return on_operation(k, COMMAND_OPERATION_ABORT);
}

bool core_approve(struct core *k)
{
    return on_operation(k, COMMAND_OPERATION_APPROVE);
}

bool core_vouch(struct core *k)
{
    return on_operation(k, COMMAND_OPERATOR_CERTIFICATE);
}

bool core_skip(struct core *k, enum step step)
{
    struct command *c = core_command(k, COMMAND_STEP_SKIP);

    c->step_skip.operation = core_operation(k)->id;
    c->step_skip.step = step;
    return core_apply(k);
}

bool core_promote(struct core *k, site_id site)
{
    struct command *c = core_command(k, COMMAND_PROMOTE);

    c->promote = (struct command_promote){ core_operation(k)->id, core_operation(k)->old_epoch, site };
    return core_apply(k);
}

bool core_executor(struct core *k, site_id site, node_id node)
{
    struct command *c = core_command(k, COMMAND_EXECUTOR_SET);

    c->executor_set = (struct command_executor_set){ APP, site, node };
    return core_apply(k);
}

uint8_t core_run(struct core *k, enum step step, site_id site)
{
    const struct step_run *run = operation_run(core_operation(k), step, site);

    assert_non_null(run);
    return (uint8_t)(run - core_operation(k)->runs);
}

bool core_assign(struct core *k, enum step step, site_id site)
{
    uint8_t index = core_run(k, step, site);
    const struct step_run *run = &core_operation(k)->runs[index];
    struct command *c = core_command(k, COMMAND_STEP_ASSIGN);

    c->step_assign = (struct command_step_assign){ core_operation(k)->id, index, run->attempt + 1,
                                                   plan_run_node(&k->state, core_operation(k), run) };
    return core_apply(k);
}

static struct command_step_result *result(struct core *k, enum step step, site_id site)
{
    uint8_t index = core_run(k, step, site);
    const struct step_run *run = &core_operation(k)->runs[index];
    struct command *c = core_command(k, COMMAND_STEP_RESULT);

    c->step_result = (struct command_step_result){ .operation = core_operation(k)->id,
                                                   .run = index,
                                                   .attempt = run->attempt,
                                                   .epoch = run->epoch,
                                                   .node = run->node };
    return &c->step_result;
}

bool core_severed(struct core *k, site_id site, uint32_t timeline, uint64_t lsn)
{
    struct command_step_result *r = result(k, STEP_SEVER, site);

    r->result.ok = true;
    r->result.position = (struct position){ .known = true, .timeline = timeline, .lsn = lsn, .gap_known = true };
    return core_apply(k);
}

bool core_done(struct core *k, enum step step, site_id site)
{
    const struct lease *lease = &core_app(k)->lease;
    struct command_step_result *r = result(k, step, site);

    if (step == STEP_SEVER)
        return core_severed(k, site, 1, 0x1000);
    r->result.ok = true;
    if (step == STEP_FENCE) {
        r->result.instance_count = lease->instance_count;
        memcpy(r->result.instances, lease->instances, sizeof lease->instances);
    }
    return core_apply(k);
}

bool core_failed(struct core *k, enum step step, site_id site)
{
    struct command_step_result *r = result(k, step, site);

    text_set(r->result.detail, sizeof r->result.detail, "it did not work");
    return core_apply(k);
}

void core_lose_a(struct core *k)
{
    uint8_t kinds = 1u << KIND_DATABASE | 1u << KIND_PATH;

    assert_accepted(core_heard(k, NODE_A, false), k);
    assert_accepted(core_opinion(k, NODE_B, A, OPINION_FAILED, ROLE_UNKNOWN, kinds), k);
    assert_accepted(core_opinion(k, NODE_C, A, OPINION_FAILED, ROLE_UNKNOWN, kinds), k);
    core_pass(k, 2000);
    assert_accepted(core_expire(k), k);
    assert_int_equal(core_app(k)->views[A].verdict, VERDICT_DOWN);
}

void core_ready_to_promote(struct core *k)
{
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_accepted(core_done(k, STEP_SEVER, B), k);
}
