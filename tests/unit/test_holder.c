/* The lease on its holder's side: only an answer of the log to a transmission that is open opens the guard, counted from its own sample. */
#include "core_fixture.h"

#include "holder/holder.h"

#define EFFECTS_MAX 64
#define FIRST_TOKEN UINT64_C(1000)

enum effect_kind { ASKED, OPENED, BYPASSED, SUBMITTED, PROMISE };

struct effect {
    enum effect_kind kind;
    uint64_t token;
    instance_id instance;
    epoch_t epoch;
    int64_t t0_us;
    uint32_t hold_ms;
    bool on;
    enum command_kind command;
    struct command_renew renew;
    struct command_grant grant;
    node_id to;
    struct promise_ask ask;
};

static struct holder holder;
static struct effect effects[EFFECTS_MAX];
static unsigned effect_count;
static int64_t now_us;
static struct holder_guard guard;

static struct effect *add(enum effect_kind kind)
{
    assert_true(effect_count < EFFECTS_MAX);
    effects[effect_count] = (struct effect){ .kind = kind };
    return &effects[effect_count++];
}

static void on_status(void *ctx, service_id service, uint64_t token)
{
    (void)ctx;
    assert_int_equal(service, APP);
    add(ASKED)->token = token;
}

static void on_open(void *ctx, service_id service, instance_id instance, epoch_t epoch, int64_t t0_us, uint32_t hold_ms)
{
    struct effect *e = add(OPENED);

    (void)ctx;
    (void)service;
    e->instance = instance;
    e->epoch = epoch;
    e->t0_us = t0_us;
    e->hold_ms = hold_ms;
}

static void on_bypass(void *ctx, service_id service, bool on, instance_id instance, epoch_t epoch)
{
    struct effect *e = add(BYPASSED);

    (void)ctx;
    (void)service;
    e->on = on;
    e->instance = instance;
    e->epoch = epoch;
}

static void on_submit(void *ctx, service_id service, uint64_t token, const struct command *command)
{
    struct effect *e = add(SUBMITTED);

    (void)ctx;
    (void)service;
    e->token = token;
    e->command = command->kind;
    if (command->kind == COMMAND_RENEW)
        e->renew = command->renew;
    else
        e->grant = command->grant;
}

static void on_ask(void *ctx, node_id to, const struct promise_ask *ask)
{
    struct effect *e = add(PROMISE);

    (void)ctx;
    e->to = to;
    e->ask = *ask;
}

static void start(node_id self)
{
    struct holder_ops ops = {
        .guard_status = on_status, .guard_open = on_open, .guard_bypass = on_bypass, .submit = on_submit, .ask = on_ask
    };

    holder_init(&holder, self, FIRST_TOKEN, &ops);
    holder_set_local(&holder, APP, true);
    holder_act_from(&holder, 1);
    effect_count = 0;
}

static int setup(void **state)
{
    (void)core_setup(state);
    now_us = 5000000;
    guard = (struct holder_guard){ .instance = INSTANCE, .now_us = 900, .enforcing = true };
    start(NODE_A);
    return 0;
}

/* The last effect of a kind, or NULL. */
static struct effect *last(enum effect_kind kind)
{
    for (unsigned i = effect_count; i > 0; i--)
        if (effects[i - 1].kind == kind)
            return &effects[i - 1];
    return NULL;
}

static unsigned count(enum effect_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < effect_count; i++)
        n += effects[i].kind == kind;
    return n;
}

/* One transmission up to its submission; its token. */
static uint64_t transmit(struct core *k)
{
    now_us += 10 * INT64_C(1000000);
    (void)holder_tick(&holder, &k->state, now_us);
    assert_non_null(last(ASKED));
    holder_on_guard(&holder, &k->state, APP, last(ASKED)->token, &guard);
    return last(ASKED)->token;
}

static epoch_t epoch(struct core *k)
{
    return core_app(k)->lease.epoch;
}

static void a_renewal_is_sampled_sent_and_opens_the_guard(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit(k);
    const struct effect *sent = last(SUBMITTED);

    assert_int_equal(sent->command, COMMAND_RENEW);
    assert_int_equal(sent->token, token);
    assert_int_equal(sent->renew.epoch, epoch(k));
    assert_int_equal(sent->renew.node, NODE_A);
    assert_int_equal(sent->renew.ttl_ms, 2000);
    assert_true(sent->renew.enforcement.enforcing);
    assert_int_equal(sent->renew.enforcement.instance, INSTANCE);
    assert_int_equal(sent->renew.enforcement.known_index, k->state.applied_index);
    assert_int_equal(count(OPENED), 0); /* not before the log has answered */
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(OPENED), 1);
    assert_int_equal(last(OPENED)->instance, INSTANCE);
    assert_int_equal(last(OPENED)->epoch, epoch(k));
    assert_int_equal(last(OPENED)->t0_us, 900); /* the server's own clock, before anything was sent */
    assert_int_equal(last(OPENED)->hold_ms, 1800);
}

static void a_refused_renewal_opens_nothing(void **state)
{
    struct core *k = *state;

    holder_on_outcome(&holder, APP, transmit(k), HOLDER_REFUSED, epoch(k));
    assert_int_equal(count(OPENED), 0);
}

static void an_answer_with_an_unknown_token_opens_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit(k);

    holder_on_outcome(&holder, APP, token + 1, HOLDER_ACCEPTED, epoch(k));
    holder_on_outcome(&holder, APP, 0, HOLDER_ACCEPTED, epoch(k));
    holder_on_outcome(&holder, APP + 1, token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(OPENED), 0);
}

static void a_duplicate_of_an_answer_opens_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit(k);

    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k));
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(OPENED), 1);
}

static void an_answer_to_an_earlier_life_opens_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit(k);

    start(NODE_A);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(OPENED), 0);
}

static void an_answer_of_another_epoch_opens_nothing(void **state)
{
    struct core *k = *state;

    holder_on_outcome(&holder, APP, transmit(k), HOLDER_ACCEPTED, epoch(k) + 1);
    assert_int_equal(count(OPENED), 0);
}

static void an_answer_before_the_submission_opens_nothing(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    holder_on_outcome(&holder, APP, last(ASKED)->token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(OPENED), 0);
    holder_on_guard(&holder, &k->state, APP, last(ASKED)->token, &guard); /* and ends nothing */
    assert_int_equal(count(SUBMITTED), 1);
}

static void what_is_opened_is_what_was_sent_whatever_is_configured_since(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit(k);

    core_app(k)->config.timing.ttl_ms = 30000;
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(last(OPENED)->hold_ms, 1800);
}

static void a_guard_that_does_not_answer_is_not_renewed(void **state)
{
    struct core *k = *state;
    uint64_t token;

    (void)holder_tick(&holder, &k->state, now_us);
    token = last(ASKED)->token;
    holder_on_guard(&holder, &k->state, APP, token, NULL);
    holder_on_guard(&holder, &k->state, APP, token, &guard); /* that transmission is over */
    assert_int_equal(count(SUBMITTED), 0);
    guard.instance = 0;
    (void)transmit(k);
    assert_int_equal(count(SUBMITTED), 0);
}

static void a_second_answer_of_the_guard_is_not_sent(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit(k);

    guard.now_us = 99999;
    holder_on_guard(&holder, &k->state, APP, token, &guard);
    holder_on_guard(&holder, &k->state, APP, token + 7, &guard);
    assert_int_equal(count(SUBMITTED), 1);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(last(OPENED)->t0_us, 900);
}

static void an_older_transmission_than_the_ring_holds_is_forgotten(void **state)
{
    struct core *k = *state;
    uint64_t first = transmit(k);

    for (unsigned i = 0; i < HOLDER_SAMPLES_MAX; i++)
        (void)transmit(k);
    holder_on_outcome(&holder, APP, first, HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(OPENED), 0);
}

static void the_token_of_a_free_slot_is_never_given(void **state)
{
    struct core *k = *state;

    holder.last_token = UINT64_MAX;
    assert_int_not_equal(transmit(k), 0);
}

/* --- when --- */

static void renewals_are_sent_each_interval_and_no_more_often(void **state)
{
    struct core *k = *state;

    assert_int_equal(holder_tick(&holder, &k->state, now_us), now_us + 300000);
    (void)holder_tick(&holder, &k->state, now_us + 299999);
    assert_int_equal(count(ASKED), 1);
    (void)holder_tick(&holder, &k->state, now_us + 300000);
    assert_int_equal(count(ASKED), 2);
}

static void a_new_epoch_is_renewed_at_once(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_grant(k, A, true), k);
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(count(ASKED), 2);
}

static void only_the_executor_with_a_server_here_acts(void **state)
{
    struct core *k = *state;

    holder_set_local(&holder, APP, false);
    (void)holder_tick(&holder, &k->state, now_us);
    start(NODE_C); /* no database there */
    (void)holder_tick(&holder, &k->state, now_us);
    start(99); /* no member */
    (void)holder_tick(&holder, &k->state, now_us);
    start(NODE_A);
    core_app(k)->views[A].executor = 15;
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(count(ASKED), 0);
}

static void nothing_is_done_before_an_entry_of_this_life(void **state)
{
    struct core *k = *state;

    holder_act_from(&holder, 0); /* it has started from a snapshot, and has written nothing yet */
    (void)holder_tick(&holder, &k->state, now_us);
    holder_act_from(&holder,
                    k->state.applied_index + 1); /* written, not applied: the state is older than what it did before */
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(effect_count, 0);
    assert_accepted(core_heard(k, NODE_A, true), k);
    (void)holder_tick(&holder, &k->state, now_us);
    assert_int_equal(count(ASKED), 1);
}

static void an_answer_of_the_guard_before_an_entry_of_this_life_is_dropped(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    holder_act_from(&holder, k->state.applied_index + 1);
    holder_on_guard(&holder, &k->state, APP, last(ASKED)->token, &guard);
    assert_int_equal(effect_count, 1);
}

static void a_lease_that_was_lost_meanwhile_is_not_renewed(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    holder_on_guard(&holder, &k->state, APP, last(ASKED)->token, &guard);
    (void)transmit(k);
    assert_int_equal(count(SUBMITTED), 0); /* another site is primary */
    assert_int_equal(count(BYPASSED), 0);
}

static void an_answer_of_the_guard_to_a_removed_service_is_dropped(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    core_app(k)->present = false;
    holder_on_guard(&holder, &k->state, APP, last(ASKED)->token, &guard);
    assert_int_equal(effect_count, 1);
}

/* --- asking for a grant --- */

static void the_primarys_node_asks_again_after_an_expiry(void **state)
{
    struct core *k = *state;
    uint64_t token;

    assert_accepted(core_expire(k), k);
    token = transmit(k);
    assert_int_equal(last(SUBMITTED)->command, COMMAND_GRANT);
    assert_int_equal(last(SUBMITTED)->grant.last_epoch, epoch(k));
    assert_int_equal(last(SUBMITTED)->grant.site, A);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k) + 1);
    assert_int_equal(count(OPENED), 0); /* a grant opens nothing: its first renewal does */
}

static void a_server_in_recovery_asks_for_nothing(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    guard.in_recovery = true;
    (void)transmit(k);
    assert_int_equal(count(SUBMITTED), 0);
}

static void a_server_in_recovery_keeps_the_lease_that_it_was_given(void **state)
{
    struct core *k = *state;

    guard.in_recovery = true; /* promoted by the log, and not yet by PostgreSQL */
    (void)transmit(k);
    assert_int_equal(last(SUBMITTED)->command, COMMAND_RENEW);
}

static void nothing_is_asked_while_an_operation_ends_the_epoch(void **state)
{
    struct core *k = *state;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    (void)transmit(k);
    assert_int_equal(count(SUBMITTED), 0);
    assert_accepted(core_abort(k), k);
    (void)transmit(k);
    assert_int_equal(last(SUBMITTED)->command, COMMAND_GRANT);
}

/* --- what is enforced --- */

static void a_sample_from_before_a_switch_is_dropped(void **state)
{
    struct core *k = *state;

    (void)holder_tick(&holder, &k->state, now_us);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    holder_on_guard(&holder, &k->state, APP, last(ASKED)->token, &guard);
    assert_int_equal(count(SUBMITTED), 0);
}

static void first_the_entry_then_the_bypass(void **state)
{
    struct core *k = *state;

    (void)transmit(k);
    assert_int_equal(count(BYPASSED), 0);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    (void)transmit(k);
    assert_true(last(BYPASSED)->on);
    assert_int_equal(last(BYPASSED)->epoch, epoch(k));
    assert_int_equal(last(BYPASSED)->instance, INSTANCE);
    guard.bypass = true;
    guard.enforcing = false;
    (void)transmit(k);
    assert_int_equal(count(BYPASSED), 1); /* it is so */
}

static void first_the_end_of_the_bypass_then_a_report_of_it(void **state)
{
    struct core *k = *state;

    guard.bypass = true; /* from before, and the service is armed */
    (void)transmit(k);
    assert_false(last(BYPASSED)->on);
    assert_false(last(SUBMITTED)->renew.enforcement.enforcing);
    guard.bypass = false;
    (void)transmit(k);
    assert_true(last(SUBMITTED)->renew.enforcement.enforcing);
    assert_int_equal(count(BYPASSED), 1);
}

static void the_bypass_is_followed_without_a_lease_too(void **state)
{
    struct core *k = *state;

    assert_accepted(core_expire(k), k);
    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    (void)transmit(k);
    assert_true(last(BYPASSED)->on);
}

static void a_guard_in_bypass_never_counts_as_enforcing(void **state)
{
    struct core *k = *state;

    guard.bypass = true;
    guard.enforcing = true;
    (void)transmit(k);
    assert_false(last(SUBMITTED)->renew.enforcement.enforcing);
}

static void a_site_that_is_not_the_primary_has_no_bypass(void **state)
{
    struct core *k = *state;

    start(NODE_B);
    assert_accepted(core_set(k, SERVICE_DISARM), k);
    (void)transmit(k);
    assert_int_equal(count(BYPASSED), 0);
    guard.bypass = true; /* left from when it was one */
    (void)transmit(k);
    assert_false(last(BYPASSED)->on);
    assert_int_equal(count(SUBMITTED), 0);
}

/* --- without a leader --- */

/* A renewal that nobody answers, and the next one, whose token this is. */
static uint64_t transmit_unanswered(struct core *k)
{
    (void)transmit(k);
    return transmit(k);
}

static void nobody_is_asked_while_the_log_answers(void **state)
{
    struct core *k = *state;

    for (unsigned i = 0; i < 5; i++)
        holder_on_outcome(&holder, APP, transmit(k), HOLDER_ACCEPTED, epoch(k));
    assert_int_equal(count(PROMISE), 0);
    (void)transmit(k); /* this one is not answered, as the next shows */
    assert_int_equal(count(PROMISE), 0);
    holder_on_outcome(&holder, APP, transmit(k), HOLDER_REFUSED, 0); /* an answer, too */
    assert_int_equal(count(PROMISE), 1);
    (void)transmit(k);
    assert_int_equal(count(PROMISE), 1);
}

static void an_unanswered_renewal_asks_the_other_sites_executor(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);
    const struct effect *e = last(PROMISE);

    assert_int_equal(count(PROMISE), 1);
    assert_int_equal(e->to, NODE_B);
    assert_int_equal(e->ask.token, token);
    assert_int_equal(e->ask.config_version, k->state.config_version);
    assert_memory_equal(&e->ask.renew, &last(SUBMITTED)->renew, sizeof e->ask.renew);
    assert_int_equal(count(OPENED), 0);
    guard.now_us = 5555; /* of a later sample */
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(count(OPENED), 1);
    assert_int_equal(last(OPENED)->t0_us, 900); /* from before it was asked */
    assert_int_equal(last(OPENED)->hold_ms, 1800);
    assert_int_equal(last(OPENED)->epoch, epoch(k));
    assert_true(holder.services[APP].on_promises);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B); /* a duplicate */
    assert_int_equal(count(OPENED), 1);
    holder_on_outcome(&holder, APP, token, HOLDER_ACCEPTED, epoch(k)); /* the log takes over */
    assert_int_equal(count(OPENED), 2);
    assert_false(holder.services[APP].on_promises);
}

static void without_the_promise_of_every_site_nothing_is_opened(void **state)
{
    struct core *k = *state;
    uint64_t token;

    core_add_c(k);
    token = transmit_unanswered(k);
    assert_int_equal(count(PROMISE), 2);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    holder_on_promise(&holder, &k->state, APP, token, NODE_A); /* who was not asked */
    holder_on_promise(&holder, &k->state, APP, token, 99);
    assert_int_equal(count(OPENED), 0);
    holder_on_promise(&holder, &k->state, APP, token, NODE_C);
    assert_int_equal(count(OPENED), 1);
}

static void promises_of_two_questions_do_not_add_up(void **state)
{
    struct core *k = *state;
    uint64_t first, second;

    core_add_c(k);
    first = transmit_unanswered(k);
    second = transmit(k);
    holder_on_promise(&holder, &k->state, APP, first, NODE_B);
    holder_on_promise(&holder, &k->state, APP, second, NODE_C);
    holder_on_promise(&holder, &k->state, APP, second + 1, NODE_B);
    holder_on_promise(&holder, &k->state, APP, 0, NODE_B);
    assert_int_equal(count(OPENED), 0);
}

static void a_site_without_an_executor_promises_nothing(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    core_app(k)->views[C].executor = 0;
    holder_on_promise(&holder, &k->state, APP, transmit_unanswered(k), NODE_B);
    assert_int_equal(count(PROMISE), 0);
    assert_int_equal(count(OPENED), 0);
}

static void a_service_of_one_site_asks_nobody_and_closes(void **state)
{
    struct core *k = *state;

    core_app(k)->config.site_count = 1;
    holder_on_promise(&holder, &k->state, APP, transmit_unanswered(k), NODE_B);
    assert_int_equal(count(PROMISE), 0);
    assert_int_equal(count(OPENED), 0);
}

static void only_a_server_that_the_log_has_seen_is_kept_open(void **state)
{
    struct core *k = *state;

    guard.instance = INSTANCE + 1; /* restarted since */
    (void)transmit_unanswered(k);
    assert_int_equal(count(PROMISE), 0);
}

static void a_guard_that_enforces_nothing_needs_no_promise(void **state)
{
    struct core *k = *state;

    guard.enforcing = false;
    (void)transmit_unanswered(k);
    guard.enforcing = true;
    assert_accepted(core_set(k, SERVICE_PAUSE), k);
    (void)transmit(k);
    assert_int_equal(count(PROMISE), 0);
}

static void a_longer_ttl_is_renewed_by_the_log_first(void **state)
{
    struct core *k = *state;

    core_app(k)->config.timing.ttl_ms = 30000;
    (void)transmit_unanswered(k);
    assert_int_equal(count(PROMISE), 0);
    assert_accepted(core_renew(k, true), k); /* of that length */
    (void)transmit(k);
    assert_int_equal(count(PROMISE), 1);
}

static void what_the_log_has_refused_no_promise_opens(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    holder_on_outcome(&holder, APP, token, HOLDER_REFUSED, 0);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(count(OPENED), 0);
}

static void a_renewal_that_reached_nobody_still_waits_for_promises(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    holder_on_outcome(&holder, APP, token, HOLDER_UNREACHED, 0);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(count(OPENED), 1);
}

static void promises_for_a_lease_that_is_over_open_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    assert_accepted(core_expire_alone(k), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_accepted(core_grant(k, A, true), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B); /* of the epoch before */
    assert_int_equal(count(OPENED), 0);
}

static void promises_from_before_a_switch_or_another_executor_open_nothing(void **state)
{
    struct core *k = *state;
    uint64_t token = transmit_unanswered(k);

    assert_accepted(core_set(k, SERVICE_DISARM), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_accepted(core_set(k, SERVICE_ARM), k);
    token = transmit(k);
    k->state.members[4] = (struct member){ .id = 15, .site = B, .heard = true };
    assert_accepted(core_executor(k, B, 15), k);
    holder_on_promise(&holder, &k->state, APP, token, NODE_B);
    assert_int_equal(count(OPENED), 0);
}

static void a_new_epoch_asks_anew(void **state)
{
    struct core *k = *state;

    (void)transmit_unanswered(k);
    assert_accepted(core_expire(k), k);
    assert_accepted(core_grant(k, A, true), k);
    (void)transmit(k);
    assert_int_equal(count(PROMISE), 1);
    (void)transmit(k);
    assert_int_equal(count(PROMISE), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_renewal_is_sampled_sent_and_opens_the_guard),
        TEST(a_refused_renewal_opens_nothing),
        TEST(an_answer_with_an_unknown_token_opens_nothing),
        TEST(a_duplicate_of_an_answer_opens_nothing),
        TEST(an_answer_to_an_earlier_life_opens_nothing),
        TEST(an_answer_of_another_epoch_opens_nothing),
        TEST(an_answer_before_the_submission_opens_nothing),
        TEST(what_is_opened_is_what_was_sent_whatever_is_configured_since),
        TEST(a_guard_that_does_not_answer_is_not_renewed),
        TEST(a_second_answer_of_the_guard_is_not_sent),
        TEST(an_older_transmission_than_the_ring_holds_is_forgotten),
        TEST(the_token_of_a_free_slot_is_never_given),
        TEST(renewals_are_sent_each_interval_and_no_more_often),
        TEST(a_new_epoch_is_renewed_at_once),
        TEST(only_the_executor_with_a_server_here_acts),
        TEST(nothing_is_done_before_an_entry_of_this_life),
        TEST(an_answer_of_the_guard_before_an_entry_of_this_life_is_dropped),
        TEST(a_lease_that_was_lost_meanwhile_is_not_renewed),
        TEST(an_answer_of_the_guard_to_a_removed_service_is_dropped),
        TEST(the_primarys_node_asks_again_after_an_expiry),
        TEST(a_server_in_recovery_asks_for_nothing),
        TEST(a_server_in_recovery_keeps_the_lease_that_it_was_given),
        TEST(nothing_is_asked_while_an_operation_ends_the_epoch),
        TEST(a_sample_from_before_a_switch_is_dropped),
        TEST(first_the_entry_then_the_bypass),
        TEST(first_the_end_of_the_bypass_then_a_report_of_it),
        TEST(the_bypass_is_followed_without_a_lease_too),
        TEST(a_guard_in_bypass_never_counts_as_enforcing),
        TEST(a_site_that_is_not_the_primary_has_no_bypass),
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
