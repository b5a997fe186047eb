/* The cluster, its configuration, and what nodes think. */
#include "core_fixture.h"

static void a_cluster_is_initialised_once(void **state)
{
    struct core *k = *state;
    struct command *c = core_command(k, COMMAND_CLUSTER_INIT);

    c->cluster_init.cluster_id = 8;
    assert_refused(core_apply(k), k);
    assert_int_equal(k->state.cluster_id, 7);
}

static void a_cluster_without_an_id_is_refused(void **state)
{
    struct core *k = *state;

    state_init(&k->state);
    (void)core_command(k, COMMAND_CLUSTER_INIT);
    assert_refused(core_apply(k), k);
}

static void members_begin_unheard(void **state)
{
    struct core *k = *state;
    struct command *c;

    state_init(&k->state);
    c = core_command(k, COMMAND_CLUSTER_INIT);
    c->cluster_init.cluster_id = 7;
    c->cluster_init.members[0] = (struct member){ .id = 1, .heard = true, .heard_index = 99 };
    assert_accepted(core_apply(k), k);
    assert_false(k->state.members[0].heard);
    assert_int_equal(k->state.members[0].heard_index, 0);
}

static void display_time_never_moves_back(void **state)
{
    struct core *k = *state;

    k->now_ms = 5000000;
    assert_accepted(core_set(k, SERVICE_ARM), k);
    k->now_ms = 4000000;
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_int_equal(k->state.now_ms, 5000000);
}

static void a_time_that_is_no_time_is_ignored(void **state)
{
    struct core *k = *state;
    int64_t before = k->state.now_ms;
    const int64_t times[] = { INT64_MAX, AT_MS_MAX + 1, -1, INT64_MIN };

    for (unsigned i = 0; i < sizeof times / sizeof times[0]; i++) {
        k->now_ms = times[i];
        (void)core_set(k, i % 2 ? SERVICE_ARM : SERVICE_DISARM);
        assert_int_equal(k->state.now_ms, before);
    }
}

/* --- configuration --- */

static bool configure_from(struct core *k, uint64_t base_version)
{
    struct command *c = core_command(k, COMMAND_CONFIG_APPLY);

    core_config(&c->config_apply.services[0]);
    c->config_apply.service_count = 1;
    c->config_apply.base_version = base_version;
    return core_apply(k);
}

static void a_configuration_from_an_old_version_is_refused(void **state)
{
    struct core *k = *state;

    assert_int_equal(k->state.config_version, 1);
    assert_accepted(configure_from(k, 1), k);
    assert_int_equal(k->outcome.value, 2);
    assert_refused(configure_from(k, 1), k);
    core_expect_reason(k, "is at version 2, yours starts from 1");
    assert_accepted(configure_from(k, 0), k); /* whatever it is */
    assert_int_equal(k->state.config_version, 3);
}

static void numbers_that_do_not_fit_are_refused_with_the_rule(void **state)
{
    struct core *k = *state;
    struct service_config config;

    core_config(&config);
    config.timing.ttl_ms = 1000;
    assert_refused(core_configure(k, &config, 1), k);
    core_expect_reason(k, "service app: ttl - margin");
}

static void a_service_has_a_name_of_its_own_and_sites_of_the_cluster(void **state)
{
    struct core *k = *state;
    struct service_config configs[2];

    core_config(&configs[0]);
    core_config(&configs[1]);
    assert_refused(core_configure(k, configs, 2), k);
    core_expect_reason(k, "the name of another");
    core_config(&configs[0]);
    configs[0].name[0] = '\0';
    assert_refused(core_configure(k, configs, 1), k);
    core_config(&configs[0]);
    configs[0].sites[1].site = 5;
    assert_refused(core_configure(k, configs, 1), k);
    core_expect_reason(k, "not one of the cluster's");
    core_config(&configs[0]);
    configs[0].sites[1].site = SITE_NONE;
    assert_refused(core_configure(k, configs, 1), k);
    core_config(&configs[0]);
    configs[0].sites[1].site = A;
    assert_refused(core_configure(k, configs, 1), k);
    core_expect_reason(k, "stands there twice");
    core_config(&configs[0]);
    configs[0].primary = C;
    assert_refused(core_configure(k, configs, 1), k);
    core_expect_reason(k, "primary is not one of its sites");
    core_config(&configs[0]);
    configs[0].site_count = 0;
    assert_refused(core_configure(k, configs, 1), k);
}

static void a_service_whose_lease_is_live_is_not_removed(void **state)
{
    struct core *k = *state;

    core_primary(k);
    assert_refused(core_configure(k, &core_app(k)->config, 0), k);
    core_expect_reason(k, "its lease has not run out");
    assert_accepted(core_expire(k), k);
    assert_accepted(core_configure(k, &core_app(k)->config, 0), k);
    assert_false(core_app(k)->present);
}

static void a_service_whose_revoked_lease_may_still_be_acted_on_is_not_removed(void **state)
{
    struct core *k = *state;

    core_primary(k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_accepted(core_abort(k), k);
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED);
    assert_refused(core_configure(k, &core_app(k)->config, 0), k);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_configure(k, &core_app(k)->config, 0), k);
}

static void a_service_whose_primary_may_go_on_by_promises_is_not_removed(void **state)
{
    struct core *k = *state;

    core_primary(k);
    assert_accepted(core_expire_alone(k), k);
    assert_refused(core_configure(k, &core_app(k)->config, 0), k);
    core_expect_reason(k, "may go on by promises");
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_accepted(core_configure(k, &core_app(k)->config, 0), k);
}

static void a_service_that_comes_back_remembers_nothing(void **state)
{
    struct core *k = *state;
    struct service_config config;
    epoch_t epoch;

    core_primary(k);
    epoch = core_app(k)->lease.epoch;
    assert_accepted(core_expire(k), k);
    assert_accepted(core_configure(k, &core_app(k)->config, 0), k);
    core_config(&config);
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_equal(core_app(k)->primary, SITE_NONE);
    assert_int_equal(core_app(k)->lease.state, LEASE_NONE);
    assert_false(core_app(k)->armed);
    assert_int_equal(core_app(k)->views[B].opinions[1].role, ROLE_UNKNOWN);
    assert_refused(core_renew_as(k, NODE_A, epoch, INSTANCE, 2000), k); /* from before */
    assert_accepted(core_ready(k, B, true), k);
    assert_accepted(core_grant(k, A, true), k);
    assert_true(core_app(k)->lease.epoch > epoch); /* the counter is never reset */
}

static void nothing_changes_under_an_active_operation(void **state)
{
    struct core *k = *state;
    struct service_config config = core_app(k)->config;

    core_primary(k);
    config.tier = 3;
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_configure(k, &config, 1), k);
    core_expect_reason(k, "an operation of it is active");
}

static void the_primarys_site_stays_eligible(void **state)
{
    struct core *k = *state;
    struct service_config config;

    core_primary(k);
    core_config(&config);
    config.sites[0] = config.sites[1];
    config.site_count = 1;
    config.primary = B;
    assert_refused(core_configure(k, &config, 1), k);
    core_expect_reason(k, "its primary's site is missing");
}

static void the_configured_primary_counts_for_the_first_grant_only(void **state)
{
    struct core *k = *state;
    struct service_config config = core_app(k)->config;

    core_primary(k);
    config.primary = B;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_equal(core_app(k)->primary, A);
    assert_accepted(core_expire(k), k);
    assert_refused(core_grant(k, B, true), k);
    assert_accepted(core_grant(k, A, true), k);
}

static void what_was_thought_of_a_removed_site_is_forgotten(void **state)
{
    struct core *k = *state;
    struct service_config config = core_app(k)->config;

    core_primary(k);
    assert_true(core_app(k)->views[B].opinions[1].ready);
    config.site_count = 1;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_equal(core_app(k)->views[B].executor, 0);
    assert_false(core_app(k)->views[B].opinions[1].ready);
    config.site_count = 2;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_equal(core_app(k)->views[B].executor, NODE_B);
    assert_false(core_app(k)->views[B].opinions[1].ready);
}

static void a_change_of_mode_switches_the_enforcement(void **state)
{
    struct core *k = *state;
    struct service_config config = core_app(k)->config;

    core_primary(k);
    config.mode = MODE_SHADOW;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_equal(core_app(k)->enforced_index, k->state.applied_index);
    assert_false(core_app(k)->lease.enforcement.enforcing);
    config.mode = MODE_PROPOSE;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_equal(core_app(k)->enforced_index, k->state.applied_index);
    config.mode = MODE_AUTO;
    assert_accepted(core_configure(k, &config, 1), k);
    assert_int_not_equal(core_app(k)->enforced_index, k->state.applied_index);
}

/* --- arm, disarm, pause, resume --- */

static void a_disarm_and_an_arm_void_what_was_proven_and_reported(void **state)
{
    struct core *k = *state;

    core_primary(k);
    assert_accepted(core_expire(k), k);
    assert_true(certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL));
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    assert_false(certificate_any(&core_app(k)->proof, &core_app(k)->lease, NULL));
    assert_false(core_app(k)->lease.enforcement.enforcing);
}

static void what_is_so_already_is_success_and_changes_nothing(void **state)
{
    struct core *k = *state;
    uint64_t index;

    core_primary(k);
    index = core_app(k)->enforced_index;
    assert_accepted(core_set(k, SERVICE_ARM), k);
    assert_accepted(core_set(k, SERVICE_RESUME), k);
    assert_int_equal(core_app(k)->enforced_index, index);
    assert_true(core_app(k)->lease.enforcement.enforcing);
}

static void enforcement_is_not_switched_under_a_running_operation(void **state)
{
    struct core *k = *state;

    core_primary(k);
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_refused(core_set(k, SERVICE_DISARM), k);
    core_expect_reason(k, "coordctl abort it first");
    assert_refused(core_set(k, SERVICE_PAUSE), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_accepted(core_abort(k), k);
    assert_int_equal(core_operation(k)->state, OPERATION_UNDOING);
    assert_refused(core_set(k, SERVICE_DISARM), k);
    core_expect_reason(k, "being undone");
}

/* --- what nodes think --- */

static void a_node_that_is_no_member_says_nothing(void **state)
{
    struct core *k = *state;
    struct command *c;

    assert_refused(core_heard(k, 99, true), k);
    assert_refused(core_opinion(k, 99, A, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_refused(core_opinion(k, NODE_A, C, OPINION_UP, ROLE_PRIMARY, 0), k);
    c = core_command(k, COMMAND_OPINION);
    c->opinion.node = NODE_A;
    c->opinion.service = 7;
    assert_refused(core_apply(k), k);
    core_expect_reason(k, "there is no service number 7");
}

static void a_node_that_has_started_is_told_from_where_on_it_acts(void **state)
{
    struct core *k = *state;
    struct command *c = core_command(k, COMMAND_NODE_STARTED);

    c->node_started.node = NODE_B;
    c->node_started.version = program_version;
    assert_accepted(core_apply(k), k);
    assert_int_equal(k->outcome.value, k->state.applied_index);
    c->node_started.node = 99;
    assert_refused(core_apply(k), k);
}

static bool core_started(struct core *k, node_id node, uint8_t version)
{
    struct command *c = core_command(k, COMMAND_NODE_STARTED);

    c->node_started = (struct command_node_started){ .node = node, .version = version };
    return core_apply(k);
}

static bool core_version(struct core *k, uint8_t version)
{
    core_command(k, COMMAND_CLUSTER_VERSION)->cluster_version.version = version;
    return core_apply(k);
}

static void the_cluster_version_moves_when_every_member_knows_it(void **state)
{
    struct core *k = *state;

    assert_accepted(core_started(k, NODE_A, 2), k);
    assert_accepted(core_started(k, NODE_B, 2), k);
    assert_refused(core_version(k, 2), k); /* C has not said anything */
    assert_accepted(core_started(k, NODE_C, 1), k);
    assert_refused(core_version(k, 2), k);
    assert_refused(core_version(k, 1), k); /* it is there */
    assert_accepted(core_started(k, NODE_C, 3), k);
    assert_refused(core_version(k, 3), k);
    assert_accepted(core_version(k, 2), k);
    assert_int_equal(k->state.cluster_version, 2);
    assert_refused(core_version(k, 1), k);
}

static void a_node_that_is_too_old_does_not_act(void **state)
{
    struct core *k = *state;

    assert_accepted(core_started(k, NODE_A, 2), k);
    assert_accepted(core_started(k, NODE_B, 2), k);
    assert_accepted(core_started(k, NODE_C, 2), k);
    assert_accepted(core_version(k, 2), k);
    assert_refused(core_started(k, NODE_C, 1), k);
    core_expect_reason(k, "install the newer coordd");
}

static void a_node_that_stays_silent_is_recorded_once(void **state)
{
    struct core *k = *state;
    uint64_t events;

    assert_accepted(core_heard(k, NODE_B, false), k);
    events = k->state.events.last_number;
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_int_equal(k->state.events.last_number, events);
}

static void the_executor_is_a_node_of_the_site(void **state)
{
    struct core *k = *state;

    assert_refused(core_executor(k, A, NODE_B), k);
    assert_refused(core_executor(k, A, 99), k);
    assert_refused(core_executor(k, SITE_NONE, NODE_A), k);
    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    assert_accepted(core_executor(k, A, 15), k);
    assert_int_equal(core_app(k)->views[A].executor, 15);
}

static void the_executor_stays_while_its_lease_may_be_acted_on(void **state)
{
    struct core *k = *state;

    core_primary(k);
    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    assert_refused(core_executor(k, A, 15), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_int_equal(core_app(k)->lease.state, LEASE_REVOKED);
    assert_refused(core_executor(k, A, 15), k);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_executor(k, A, 15), k);
}

static void the_executor_stays_while_only_its_host_knows_what_was_done(void **state)
{
    struct core *k = *state;

    core_primary(k);
    k->state.members[4] = (struct member){ .id = 15, .site = B, .heard = true };
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_refused(core_executor(k, B, 15), k);
    core_expect_reason(k, "a step is open");
    assert_accepted(core_failed(k, STEP_SEVER, B), k); /* it may have severed the server all the same */
    assert_refused(core_executor(k, B, 15), k);
}

static void a_gate_that_says_no_is_recorded_when_it_is_new(void **state)
{
    struct core *k = *state;
    struct command *c = core_command(k, COMMAND_GATES_NOTED);

    c->gates_noted = (struct command_gates_noted){ APP, B, 1u << GATE_ARMED | 1u << GATE_READY };
    assert_accepted(core_apply(k), k);
    assert_true(core_event_says(k, EVENT_GATE, "app is not moved to site-b: gate armed: the service is not armed"));
    c->gates_noted.gates = 1u << GATE_READY;
    assert_accepted(core_apply(k), k);
    assert_int_equal(core_app(k)->gates_noted, 1u << GATE_READY);
    c->gates_noted.gates = 0;
    assert_accepted(core_apply(k), k);
    assert_true(core_event_says(k, EVENT_GATE, "no gate stands in the way"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup_bare, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cluster_is_initialised_once),
        TEST(a_cluster_without_an_id_is_refused),
        TEST(members_begin_unheard),
        TEST(display_time_never_moves_back),
        TEST(a_time_that_is_no_time_is_ignored),
        TEST(a_configuration_from_an_old_version_is_refused),
        TEST(numbers_that_do_not_fit_are_refused_with_the_rule),
        TEST(a_service_has_a_name_of_its_own_and_sites_of_the_cluster),
        TEST(a_service_whose_lease_is_live_is_not_removed),
        TEST(a_service_whose_revoked_lease_may_still_be_acted_on_is_not_removed),
        TEST(a_service_whose_primary_may_go_on_by_promises_is_not_removed),
        TEST(a_service_that_comes_back_remembers_nothing),
        TEST(nothing_changes_under_an_active_operation),
        TEST(the_primarys_site_stays_eligible),
        TEST(the_configured_primary_counts_for_the_first_grant_only),
        TEST(what_was_thought_of_a_removed_site_is_forgotten),
        TEST(a_change_of_mode_switches_the_enforcement),
        TEST(a_disarm_and_an_arm_void_what_was_proven_and_reported),
        TEST(what_is_so_already_is_success_and_changes_nothing),
        TEST(enforcement_is_not_switched_under_a_running_operation),
        TEST(a_node_that_is_no_member_says_nothing),
        TEST(a_node_that_has_started_is_told_from_where_on_it_acts),
        TEST(the_cluster_version_moves_when_every_member_knows_it),
        TEST(a_node_that_is_too_old_does_not_act),
        TEST(a_node_that_stays_silent_is_recorded_once),
        TEST(the_executor_is_a_node_of_the_site),
        TEST(the_executor_stays_while_its_lease_may_be_acted_on),
        TEST(the_executor_stays_while_only_its_host_knows_what_was_done),
        TEST(a_gate_that_says_no_is_recorded_when_it_is_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
