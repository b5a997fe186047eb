/* The invariants that no entry may break, the look-ups, and the ring of events. */
#include "core_fixture.h"

static void assert_broken(struct core *k, const char *part)
{
    struct error err = ERROR_NONE;

    assert_int_equal(state_check(&k->state, &err), STATUS_FAILED);
    assert_int_equal(state_check(&k->state, NULL), STATUS_FAILED);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void a_healthy_state_is_sound(void **state)
{
    struct core *k = *state;

    assert_int_equal(state_check(&k->state, NULL), STATUS_OK);
}

static void an_epoch_above_the_counter_is_noticed(void **state)
{
    struct core *k = *state;

    k->state.epoch_counter--;
    assert_broken(k, "above the counter");
}

static void a_lease_of_another_site_than_the_primary_is_noticed(void **state)
{
    struct core *k = *state;

    core_app(k)->primary = B;
    assert_broken(k, "the lease is site-a's, the primary is site-b");
}

static void a_live_lease_without_holder_or_ttl_is_noticed(void **state)
{
    struct core *k = *state;
    struct lease *lease = &core_app(k)->lease;

    lease->holder = 0;
    assert_broken(k, "without ttl or holder");
    lease->holder = NODE_A;
    lease->ttl_ms = 0;
    assert_broken(k, "without ttl or holder");
}

static void two_services_with_one_epoch_are_noticed(void **state)
{
    struct core *k = *state;

    k->state.services[5] = *core_app(k);
    assert_broken(k, "share epoch");
}

static void promises_that_end_under_a_live_lease_are_noticed(void **state)
{
    struct core *k = *state;

    core_app(k)->lease.promises_ended_index = k->state.applied_index;
    assert_broken(k, "under a lease that is live");
    assert_accepted(core_expire_alone(k), k);
    core_app(k)->lease.promises_ended_index = k->state.applied_index + 1;
    assert_broken(k, "promises ended at");
}

static void an_executor_whose_entry_is_not_applied_is_noticed(void **state)
{
    struct core *k = *state;
    struct site_view *view = &core_app(k)->views[B];

    view->executor_index = k->state.applied_index + 1;
    assert_broken(k, "the executor at site-b was named by entry");
    view->executor_index = 0;
    assert_broken(k, "the executor at site-b was named by entry 0");
    view->executor = 0;
    view->executor_index = 1;
    assert_broken(k, "the executor at site-b");
}

static void a_holder_that_knows_the_future_is_noticed(void **state)
{
    struct core *k = *state;

    core_app(k)->lease.enforcement.known_index = k->state.applied_index + 1;
    assert_broken(k, "its holder knows entry");
}

static void a_running_operation_over_a_live_lease_is_noticed(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    core_app(k)->lease.state = LEASE_LIVE;
    core_app(k)->lease.promises_ended_index = 0;
    core_app(k)->proof = (struct proof){ 0 };
    assert_broken(k, "live under a running operation");
}

static void a_promoted_operation_without_a_new_epoch_is_noticed(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    core_operation(k)->new_epoch = core_operation(k)->old_epoch;
    assert_broken(k, "without a new epoch");
}

static void names_lead_to_numbers_and_back(void **state)
{
    struct core *k = *state;

    assert_int_equal(state_site(&k->state, "site-b"), B);
    assert_int_equal(state_site(&k->state, "nowhere"), SITE_NONE);
    assert_int_equal(state_site(&k->state, ""), SITE_NONE);
    assert_int_equal(state_service(&k->state, "app"), APP);
    assert_int_equal(state_service(&k->state, "other"), SERVICE_NONE);
    assert_string_equal(state_site_name(&k->state, A), "site-a");
    assert_string_equal(state_site_name(&k->state, SITE_NONE), "none");
    assert_string_equal(state_site_name(&k->state, SITES_MAX - 1), "none");
    assert_string_equal(state_node_name(&k->state, NODE_C), "c1");
    assert_string_equal(state_node_name(&k->state, 0), "none");
    assert_int_equal(state_member_count(&k->state), 3);
    assert_int_equal(state_member_slot(&k->state, 99), -1);
    assert_int_equal(state_member_slot(&k->state, 0), -1); /* though free slots have it */
    assert_string_equal(verdict_word(VERDICT_COUNT), "no_verdict");
}

static void a_sites_node_is_the_first_that_is_heard(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = A, .heard = true };
    assert_int_equal(state_site_node(&k->state, A), NODE_A);
    k->state.members[0].heard = false;
    assert_int_equal(state_site_node(&k->state, A), 15);
    k->state.members[4].heard = false;
    assert_int_equal(state_site_node(&k->state, A), NODE_A);
    assert_int_equal(state_site_node(&k->state, 5), 0);
}

static void only_an_armed_unpaused_service_out_of_shadow_is_enforced(void **state)
{
    struct core *k = *state;
    struct service *svc = core_app(k);

    for (unsigned bits = 0; bits < 8; bits++) {
        svc->armed = (bits & 1) != 0;
        svc->paused = (bits & 2) != 0;
        svc->config.mode = (bits & 4) != 0 ? MODE_SHADOW : MODE_PROPOSE;
        assert_true(service_enforced(svc) == (bits == 1));
    }
}

static void the_last_events_are_kept(void **state)
{
    struct core *k = *state;
    uint64_t first = k->state.events.last_number;

    for (unsigned i = 0; i < EVENTS_MAX + 10; i++)
        event_add(&k->state, EVENT_ALARM, APP, A, 7, "number %u", i);
    assert_int_equal(k->state.events.last_number, first + EVENTS_MAX + 10);
    assert_null(event_get(&k->state, 0));
    assert_null(event_get(&k->state, first + 10));
    assert_string_equal(event_get(&k->state, first + 11)->text, "number 10");
    assert_null(event_get(&k->state, k->state.events.last_number + 1));
    assert_int_equal(event_get(&k->state, first + 11)->at_ms, k->state.now_ms);
    assert_string_equal(event_kind_word(EVENT_KIND_COUNT), "no_kind");
}

static void an_event_is_cut_rather_than_overrun(void **state)
{
    struct core *k = *state;
    char text[EVENT_TEXT_MAX_BYTES * 2];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    event_add(&k->state, EVENT_ALARM, APP, A, 7, "%s", text);
    assert_int_equal(strlen(event_get(&k->state, k->state.events.last_number)->text), EVENT_TEXT_MAX_BYTES - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_healthy_state_is_sound),
        TEST(an_epoch_above_the_counter_is_noticed),
        TEST(a_lease_of_another_site_than_the_primary_is_noticed),
        TEST(a_live_lease_without_holder_or_ttl_is_noticed),
        TEST(two_services_with_one_epoch_are_noticed),
        TEST(promises_that_end_under_a_live_lease_are_noticed),
        TEST(an_executor_whose_entry_is_not_applied_is_noticed),
        TEST(a_holder_that_knows_the_future_is_noticed),
        TEST(a_running_operation_over_a_live_lease_is_noticed),
        TEST(a_promoted_operation_without_a_new_epoch_is_noticed),
        TEST(names_lead_to_numbers_and_back),
        TEST(a_sites_node_is_the_first_that_is_heard),
        TEST(only_an_armed_unpaused_service_out_of_shadow_is_enforced),
        TEST(the_last_events_are_kept),
        TEST(an_event_is_cut_rather_than_overrun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
