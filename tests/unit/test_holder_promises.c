/* The holder without a leader: the promises of all other sites, in answer to one question, keep the guard open as a renewal does. */
#include "holder_fixture.h"

/* A renewal that nobody answers, and the next one, whose token this is. */
static uint64_t transmit_unanswered(struct core *k)
{
    (void)holder_transmit(k);
    return holder_transmit(k);
}

static void nobody_is_asked_while_the_log_answers(void **state)
{
    struct core *k = *state;

    for (unsigned i = 0; i < 5; i++)
        holder_on_outcome(&holder, APP, holder_transmit(k), HOLDER_ACCEPTED, holder_epoch(k));
    assert_int_equal(holder_count(PROMISE), 0);
    (void)holder_transmit(k); /* this one is not answered, as the next shows */
    assert_int_equal(holder_count(PROMISE), 0);
    holder_on_outcome(&holder, APP, holder_transmit(k), HOLDER_REFUSED, 0); /* an answer, too */
    assert_int_equal(holder_count(PROMISE), 1);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(PROMISE), 1);
}

static void assert_same_renewal(const struct command_renew *a, const struct command_renew *b)
{
    assert_int_equal(a->service, b->service);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->node, b->node);
    assert_int_equal(a->ttl_ms, b->ttl_ms);
    assert_int_equal(a->enforcement.enforcing, b->enforcement.enforcing);
    assert_int_equal(a->enforcement.instance, b->enforcement.instance);
    assert_int_equal(a->enforcement.known_index, b->enforcement.known_index);
}

static void an_unanswered_renewal_asks_the_other_sites_executor(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);
    const struct effect *e = holder_last(PROMISE);

    assert_int_equal(holder_count(PROMISE), 1);
    assert_int_equal(e->to, NODE_B);
    assert_int_equal(e->ask.token, token);
    assert_int_equal(e->ask.config_version, k->state.config_version);
    assert_same_renewal(&e->ask.renew, &holder_last(SUBMITTED)->renew);
    assert_int_equal(holder_count(OPENED), 0);
    guard.now_us = 5555; /* of a later sample */
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(holder_count(OPENED), 1);
    assert_int_equal(holder_last(OPENED)->t0_us, 900); /* from before it was asked */
    assert_int_equal(holder_last(OPENED)->hold_ms, 1800);
    assert_int_equal(holder_last(OPENED)->epoch, holder_epoch(k));
    assert_true(holder.services[APP].on_promises);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B); /* a duplicate */
    assert_int_equal(holder_count(OPENED), 1);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, holder_epoch(k)); /* the log takes over */
    assert_int_equal(holder_count(OPENED), 2);
    assert_false(holder.services[APP].on_promises);
}

static void without_the_promise_of_every_site_nothing_is_opened(void **state)
{
    struct core *k = *state;
    uint64_t token;

    core_add_c(k);
    token = transmit_unanswered(k);
    assert_int_equal(holder_count(PROMISE), 2);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    holder_on_promise(&holder, &k->state, APP, token, NODE_A); /* who was not asked */
    holder_on_promise(&holder, &k->state, APP, token, 99);
    assert_int_equal(holder_count(OPENED), 0);
    holder_on_promise(&holder, &k->state, APP, token, NODE_C);
    assert_int_equal(holder_count(OPENED), 1);
}

static void promises_of_two_questions_do_not_add_up(void **state)
{
    struct core *k = *state;
    uint64_t first, second;

    core_add_c(k);
    first = transmit_unanswered(k);
    second = holder_transmit(k);
    holder_on_promise(&holder, &k->state, APP, first, NODE_B);
    holder_on_promise(&holder, &k->state, APP, second, NODE_C);
    holder_on_promise(&holder, &k->state, APP, second + 1, NODE_B);
    holder_on_promise(&holder, &k->state, APP, 0, NODE_B);
    assert_int_equal(holder_count(OPENED), 0);
}

static void a_site_without_an_executor_promises_nothing(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    core_app(k)->views[C].executor = 0;
    holder_on_promise(&holder, &k->state, APP, transmit_unanswered(k), NODE_B);
    assert_int_equal(holder_count(PROMISE), 0);
    assert_int_equal(holder_count(OPENED), 0);
}

static void a_service_of_one_site_asks_nobody_and_closes(void **state)
{
    struct core *k = *state;

    core_app(k)->config.site_count = 1;
    holder_on_promise(&holder, &k->state, APP, transmit_unanswered(k), NODE_B);
    assert_int_equal(holder_count(PROMISE), 0);
    assert_int_equal(holder_count(OPENED), 0);
}

static void only_a_server_that_the_log_has_seen_is_kept_open(void **state)
{
    struct core *k = *state;

    guard.instance = INSTANCE + 1; /* restarted since */
    (void)transmit_unanswered(k);
    assert_int_equal(holder_count(PROMISE), 0);
}

static void a_guard_that_enforces_nothing_needs_no_promise(void **state)
{
    struct core *k = *state;

    guard.enforcing = false;
    (void)transmit_unanswered(k);
    guard.enforcing = true;
    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(PROMISE), 0);
}

static void a_longer_ttl_is_renewed_by_the_log_first(void **state)
{
    struct core *k = *state;

    core_app(k)->config.timing.ttl_ms = 30000;
    (void)transmit_unanswered(k);
    assert_int_equal(holder_count(PROMISE), 0);
    assert_accepted(core_renew(k, true), k); /* of that length */
    (void)holder_transmit(k);
    assert_int_equal(holder_count(PROMISE), 1);
}

static void what_the_log_has_refused_no_promise_opens(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    holder_on_outcome(&holder, APP, token, HOLDER_REFUSED, 0);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(holder_count(OPENED), 0);
}

static void a_renewal_that_reached_nobody_still_waits_for_promises(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    holder_on_outcome(&holder, APP, token, HOLDER_UNREACHED, 0);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(holder_count(OPENED), 1);
}

static void promises_for_a_lease_that_is_over_open_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    assert_accepted(core_expire_alone(k), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_accepted(core_grant(k, A, true), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B); /* of the epoch before */
    assert_int_equal(holder_count(OPENED), 0);
}

static void promises_from_before_a_switch_or_another_executor_open_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    assert_accepted(core_set(k, SERVICE_DISARM), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    token = holder_transmit(k);
    k->state.members[4] = (struct member){ .id = 15, .site = B, .heard = true };
    assert_accepted(core_executor(k, B, 15), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(holder_count(OPENED), 0);
}

static void a_new_epoch_asks_anew(void **state)
{
    struct core *k = *state;

    (void)transmit_unanswered(k);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_grant(k, A, true), k);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(PROMISE), 1);
    (void)holder_transmit(k);
    assert_int_equal(holder_count(PROMISE), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, holder_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_asked_while_the_log_answers),
        TEST(an_unanswered_renewal_asks_the_other_sites_executor),
        TEST(without_the_promise_of_every_site_nothing_is_opened),
        TEST(promises_of_two_questions_do_not_add_up),
        TEST(a_site_without_an_executor_promises_nothing),
        TEST(a_service_of_one_site_asks_nobody_and_closes),
        TEST(only_a_server_that_the_log_has_seen_is_kept_open),
        TEST(a_guard_that_enforces_nothing_needs_no_promise),
        TEST(a_longer_ttl_is_renewed_by_the_log_first),
        TEST(what_the_log_has_refused_no_promise_opens),
        TEST(a_renewal_that_reached_nobody_still_waits_for_promises),
        TEST(promises_for_a_lease_that_is_over_open_nothing),
        TEST(promises_from_before_a_switch_or_another_executor_open_nothing),
        TEST(a_new_epoch_asks_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
