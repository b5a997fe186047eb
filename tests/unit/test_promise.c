/* What a node promises to the holder of a lease, and when it may say that its promises are over. */
#include "core_fixture.h"

#include "holder/promise.h"

#define NOW_US INT64_C(50000000)
#define TTL_US INT64_C(2002000) /* 2000 ms and the drift of 1000 ppm */

static struct promises promises;
static struct promise_ask ask;

static int setup(void **state)
{
    struct core *k;

    (void)core_setup(state);
    k = *state;
    promises_init(&promises, 0);
    ask = (struct promise_ask){ .token = 77,
                                .config_version = k->state.config_version,
                                .renew = { .service = APP,
                                           .epoch = core_app(k)->lease.epoch,
                                           .node = NODE_A,
                                           .ttl_ms = 2000,
                                           .enforcement = { true, INSTANCE, k->state.applied_index } } };
    return 0;
}

static enum promise_verdict judged(struct core *k, node_id self)
{
    return promise_judge(&k->state, self, true, false, NODE_A, &ask);
}

static void give(struct core *k, int64_t now_us)
{
    assert_int_equal(promises_give(&promises, &k->state, NODE_B, true, false, NODE_A, &ask, now_us), PROMISE_GIVEN);
}

static bool due(struct core *k, node_id self, int64_t now_us)
{
    return promises_end_due(&promises, &k->state, self, APP, now_us);
}

static void the_executor_of_another_site_promises(void **state)
{
    struct core *k = *state;

    assert_int_equal(judged(k, NODE_B), PROMISE_GIVEN);
    assert_int_equal(judged(k, NODE_A), PROMISE_NOT_EXECUTOR); /* the holder itself */
    assert_int_equal(judged(k, NODE_C), PROMISE_NOT_EXECUTOR); /* no database there */
    assert_int_equal(judged(k, 99), PROMISE_NOT_EXECUTOR);
}

static void with_a_leader_the_renewal_is_handed_on(void **state)
{
    struct core *k = *state;

    assert_int_equal(promise_judge(&k->state, NODE_B, true, true, NODE_A, &ask), PROMISE_LEADER_KNOWN);
    assert_int_equal(promise_judge(&k->state, NODE_B, false, true, NODE_A, &ask), PROMISE_LEADER_KNOWN);
}

static void a_state_from_before_the_start_promises_nothing(void **state)
{
    struct core *k = *state;

    assert_int_equal(promise_judge(&k->state, NODE_B, false, false, NODE_A, &ask), PROMISE_STARTING);
}

static void another_lease_is_not_promised(void **state)
{
    struct core *k = *state;

    assert_int_equal(promise_judge(&k->state, NODE_B, true, false, NODE_C, &ask), PROMISE_OTHER_LEASE);
    ask.renew.node = NODE_C; /* who speaks for another */
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_LEASE);
    ask.renew.node = NODE_A;
    ask.renew.epoch++;
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_LEASE);
    ask.renew.epoch -= 2;
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_LEASE);
    ask.renew.epoch++;
    ask.renew.service = APP + 1;
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_LEASE);
    ask.renew.service = APP;
    for (int s = 0; s < LEASE_STATE_COUNT; s++) {
        core_app(k)->lease.state = (enum lease_state)s;
        assert_int_equal(judged(k, NODE_B), s == LEASE_LIVE ? PROMISE_GIVEN : PROMISE_OTHER_LEASE);
    }
}

static void only_what_is_enforced_is_promised(void **state)
{
    struct core *k = *state;

    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    assert_int_equal(judged(k, NODE_B), PROMISE_NOT_ENFORCED);
}

static void another_configuration_is_not_promised(void **state)
{
    struct core *k = *state;

    ask.config_version++;
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_CONFIG);
    ask.config_version -= 2;
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_CONFIG);
}

static void nothing_longer_than_the_log_knows_is_promised(void **state)
{
    struct core *k = *state;

    ask.renew.ttl_ms = 2001;
    assert_int_equal(judged(k, NODE_B), PROMISE_LONGER);
    ask.renew.ttl_ms = 1;
    assert_int_equal(judged(k, NODE_B), PROMISE_GIVEN);
}

static void a_target_that_was_promoted_promises_the_old_primary_nothing(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_LEASE);
    ask.renew.epoch = core_app(k)->lease.epoch; /* which it holds itself */
    assert_int_equal(judged(k, NODE_B), PROMISE_OTHER_LEASE);
}

static void a_promise_runs_for_the_ttl_and_the_drift_and_never_gets_shorter(void **state)
{
    struct core *k = *state;

    give(k, NOW_US);
    assert_int_equal(promises_until_us(&promises, &k->state, APP), NOW_US + TTL_US);
    ask.renew.ttl_ms = 10;
    give(k, NOW_US + 1);
    assert_int_equal(promises_until_us(&promises, &k->state, APP), NOW_US + TTL_US);
    assert_int_equal(promises.given[APP + 1].until_us, 0);
}

static void what_is_refused_is_not_remembered(void **state)
{
    struct core *k = *state;

    ask.renew.epoch++;
    assert_int_equal(promises_give(&promises, &k->state, NODE_B, true, false, NODE_A, &ask, NOW_US),
                     PROMISE_OTHER_LEASE);
    assert_int_equal(promises.given[APP].until_us, 0);
}

static void the_end_is_said_when_the_lease_is_over_and_the_promise_has_run_out(void **state)
{
    struct core *k = *state;

    give(k, NOW_US);
    assert_false(due(k, NODE_B, NOW_US + 100 * TTL_US)); /* the lease is live */
    assert_accepted(core_expire_alone(k), k);
    assert_false(due(k, NODE_B, NOW_US + TTL_US - 1));
    assert_true(due(k, NODE_B, NOW_US + TTL_US));
    assert_false(due(k, NODE_A, NOW_US + TTL_US));
    assert_false(due(k, NODE_C, NOW_US + TTL_US));
    assert_accepted(core_promises_ended(k, NODE_B), k);
    assert_false(due(k, NODE_B, NOW_US + TTL_US)); /* it is said */
}

static void the_end_of_a_revoked_lease_is_said_too(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_true(due(k, NODE_B, NOW_US));
}

static void what_an_earlier_life_has_promised_is_outwaited(void **state)
{
    struct core *k = *state;

    promises_init(&promises, NOW_US);
    assert_accepted(core_expire_alone(k), k);
    assert_false(due(k, NODE_B, NOW_US + TTL_US - 1));
    assert_true(due(k, NODE_B, NOW_US + TTL_US));
}

static void a_promise_of_an_earlier_epoch_is_outwaited_too(void **state)
{
    struct core *k = *state;

    give(k, NOW_US);
    assert_accepted(core_expire_alone(k), k);
    assert_accepted(core_grant(k, A, true), k);
    assert_accepted(core_expire_alone(k), k);
    assert_false(due(k, NODE_B, NOW_US + TTL_US - 1));
    assert_true(due(k, NODE_B, NOW_US + TTL_US));
}

static void who_became_the_executor_behind_the_holders_back_says_nothing(void **state)
{
    struct core *k = *state;

    k->state.members[4] = (struct member){ .id = 15, .site = B, .heard = true };
    assert_accepted(core_executor(k, B, 15), k);
    assert_accepted(core_expire_alone(k), k);
    assert_false(due(k, 15, NOW_US + 100 * TTL_US));
    assert_false(due(k, NODE_B, NOW_US + 100 * TTL_US));
}

static void every_verdict_has_a_word(void **state)
{
    (void)state;
    for (int v = 0; v < PROMISE_VERDICT_COUNT; v++)
        assert_string_not_equal(promise_verdict_word((enum promise_verdict)v), "no_verdict");
    assert_string_equal(promise_verdict_word(PROMISE_VERDICT_COUNT), "no_verdict");
}

/* --- on the wire --- */

static void a_question_survives_and_nothing_else_is_read_as_one(void **state)
{
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES + 1];
    struct promise_ask read;
    size_t length = 0;

    (void)state;
    ask = (struct promise_ask){ UINT64_MAX, UINT64_MAX - 1, { SERVICES_MAX - 1, 3, 4, 5, { true, 6, 7 } } };
    assert_int_equal(promise_ask_encode(&ask, bytes, PROMISE_MESSAGE_MAX_BYTES, &length), STATUS_OK);
    assert_int_equal(promise_ask_decode(&read, bytes, length), STATUS_OK);
    assert_int_equal(read.token, ask.token);
    assert_int_equal(read.config_version, ask.config_version);
    assert_int_equal(read.renew.service, ask.renew.service);
    assert_int_equal(read.renew.epoch, 3);
    assert_int_equal(read.renew.node, 4);
    assert_int_equal(read.renew.ttl_ms, 5);
    assert_true(read.renew.enforcement.enforcing);
    assert_int_equal(read.renew.enforcement.instance, 6);
    assert_int_equal(read.renew.enforcement.known_index, 7);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(promise_ask_decode(&read, bytes, cut), STATUS_CORRUPT);
    assert_int_equal(promise_ask_decode(&read, bytes, length + 1), STATUS_CORRUPT);
    bytes[0]++;
    assert_int_equal(promise_ask_decode(&read, bytes, length), STATUS_CORRUPT); /* of another version */
    assert_int_equal(promise_ask_encode(&ask, bytes, length - 1, &length), STATUS_FULL);
    ask.renew.service = SERVICES_MAX;
    assert_int_equal(promise_ask_encode(&ask, bytes, sizeof bytes, &length), STATUS_INVALID);
}

static void an_answer_survives_and_nothing_else_is_read_as_one(void **state)
{
    uint8_t bytes[PROMISE_MESSAGE_MAX_BYTES + 1];
    struct promise_answer read, answer = { APP, UINT64_MAX, 9, PROMISE_GIVEN };
    size_t length = 0;

    (void)state;
    for (int v = 0; v < PROMISE_VERDICT_COUNT; v++) {
        answer.verdict = (enum promise_verdict)v;
        assert_int_equal(promise_answer_encode(&answer, bytes, sizeof bytes, &length), STATUS_OK);
        assert_int_equal(promise_answer_decode(&read, bytes, length), STATUS_OK);
        assert_int_equal(read.service, APP);
        assert_int_equal(read.token, UINT64_MAX);
        assert_int_equal(read.epoch, 9);
        assert_int_equal(read.verdict, v);
    }
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(promise_answer_decode(&read, bytes, cut), STATUS_CORRUPT);
    bytes[length - 1] = PROMISE_VERDICT_COUNT;
    assert_int_equal(promise_answer_decode(&read, bytes, length), STATUS_CORRUPT);
    bytes[length - 1] = 0;
    bytes[0]++;
    assert_int_equal(promise_answer_decode(&read, bytes, length), STATUS_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_executor_of_another_site_promises),
        TEST(with_a_leader_the_renewal_is_handed_on),
        TEST(a_state_from_before_the_start_promises_nothing),
        TEST(another_lease_is_not_promised),
        TEST(only_what_is_enforced_is_promised),
        TEST(another_configuration_is_not_promised),
        TEST(nothing_longer_than_the_log_knows_is_promised),
        TEST(a_target_that_was_promoted_promises_the_old_primary_nothing),
        TEST(a_promise_runs_for_the_ttl_and_the_drift_and_never_gets_shorter),
        TEST(what_is_refused_is_not_remembered),
        TEST(the_end_is_said_when_the_lease_is_over_and_the_promise_has_run_out),
        TEST(the_end_of_a_revoked_lease_is_said_too),
        TEST(what_an_earlier_life_has_promised_is_outwaited),
        TEST(a_promise_of_an_earlier_epoch_is_outwaited_too),
        TEST(who_became_the_executor_behind_the_holders_back_says_nothing),
        TEST(every_verdict_has_a_word),
        TEST(a_question_survives_and_nothing_else_is_read_as_one),
        TEST(an_answer_survives_and_nothing_else_is_read_as_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
