/* The failover as data: what runs when, where, and whom the service moves to. */
#include "core_fixture.h"

static char why[DETAIL_MAX_BYTES];

static site_id candidate(struct core *k)
{
    return plan_candidate(&k->state, core_operation(k), why, sizeof why);
}

static void assert_why(const char *part)
{
    if (strstr(why, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static bool due(struct core *k, enum step step)
{
    return plan_run_due(core_app(k), core_operation(k), &core_operation(k)->runs[core_run(k, step, SITE_NONE)],
                        k->now_ms);
}

/* A failover to B has begun, with C as the second standby. */
static void begin_three(struct core *k)
{
    core_add_c(k);
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
}

static void sever_at(struct core *k, site_id site, uint32_t timeline, uint64_t lsn)
{
    assert_accepted(core_assign(k, STEP_SEVER, site), k);
    assert_accepted(core_severed(k, site, timeline, lsn), k);
}

static void fail_sever_at(struct core *k, site_id site, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        core_pass(k, 60000);
        assert_accepted(core_assign(k, STEP_SEVER, site), k);
        assert_accepted(core_failed(k, STEP_SEVER, site), k);
    }
}

/* --- the table --- */

static void every_step_has_a_deadline_and_words(void **state)
{
    (void)state;
    for (int s = 0; s < STEP_COUNT; s++) {
        const struct plan_step *step = plan_step_of((enum step)s);

        assert_true(step->deadline_ms > 0 && step->deadline_ms <= TTL_MS_MAX);
        assert_true(step->retry_ms > 0);
        assert_true(step->what[0] != '\0');
        assert_int_equal(step->needs & (1u << s), 0);
    }
}

static void the_needs_of_the_steps_have_no_circle(void **state)
{
    uint32_t ended = 0;

    (void)state;
    for (int round = 0; round < STEP_COUNT; round++)
        for (int i = 0; i < STEP_COUNT; i++)
            if ((plan_step_of((enum step)i)->needs & ~ended) == 0)
                ended |= 1u << i;
    assert_int_equal(ended, (1u << STEP_COUNT) - 1);
}

static void what_safety_rests_on_can_not_be_skipped(void **state)
{
    (void)state;
    for (int s = 0; s < STEP_COUNT; s++)
        assert_true(plan_step_of((enum step)s)->safety == (s == STEP_SEVER || s == STEP_FENCE || s == STEP_PROMOTE));
}

static void an_operation_severs_all_others_and_fences_the_old_site(void **state)
{
    struct core *k = *state;

    begin_three(k);
    assert_int_equal(core_operation(k)->run_count, 3);
    (void)core_run(k, STEP_SEVER, B);
    (void)core_run(k, STEP_SEVER, C);
    (void)core_run(k, STEP_FENCE, A);
}

static void the_largest_operation_has_room(void **state)
{
    struct core *k = *state;
    struct operation *op = core_operation(k);

    core_app(k)->config.site_count = SITES_MAX;
    for (unsigned i = 0; i < SITES_MAX; i++)
        core_app(k)->config.sites[i].site = (site_id)i;
    op->from = A;
    op->to = B;
    plan_begin(&k->state, op);
    plan_promoted(&k->state, op);
    (void)core_run(k, STEP_VERIFY, B);
    op->run_count = 0;
    plan_begin(&k->state, op);
    for (unsigned i = 0; i < op->run_count; i++)
        op->runs[i].attempt = 1;
    plan_undo(op);
    for (unsigned i = 1; i < SITES_MAX; i++)
        (void)core_run(k, STEP_RECONNECT, (site_id)i);
}

static void nothing_that_needs_the_promotion_is_due_before_it(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    for (unsigned i = 0; i < core_operation(k)->run_count; i++)
        assert_false(plan_step_of(core_operation(k)->runs[i].step)->after_promote);
    assert_accepted(core_promote(k, B), k);
    assert_true(due(k, STEP_PROMOTE));
    assert_false(due(k, STEP_CANARY));
    assert_false(due(k, STEP_CHECKPOINT));
    assert_false(due(k, STEP_DNS));
    assert_accepted(core_assign(k, STEP_PROMOTE, B), k);
    assert_false(due(k, STEP_CANARY)); /* it runs, and has not ended */
    assert_accepted(core_done(k, STEP_PROMOTE, B), k);
    assert_true(due(k, STEP_CANARY));
    assert_true(due(k, STEP_CHECKPOINT));
    assert_false(due(k, STEP_DNS));
    assert_accepted(core_assign(k, STEP_CANARY, B), k);
    assert_accepted(core_done(k, STEP_CANARY, B), k);
    assert_true(due(k, STEP_DNS));
    assert_true(due(k, STEP_DEPLOY));
    assert_false(due(k, STEP_VERIFY));
}

static void no_step_is_due_on_the_other_side_of_the_point_of_no_return(void **state)
{
    static const struct service svc = { .lease = { .promises_ended_index = 1 } };
    struct operation op = { .id = 1, .kind = OPERATION_FAILOVER };

    (void)state;
    assert_true(operation_add_run(&op, STEP_SEVER, B));
    assert_true(operation_add_run(&op, STEP_PROMOTE, B));
    for (int s = 0; s < OPERATION_STATE_COUNT; s++) {
        op.state = (enum operation_state)s;
        assert_true(plan_run_due(&svc, &op, &op.runs[0], 0) == (s != OPERATION_PROMOTED));
        assert_true(plan_run_due(&svc, &op, &op.runs[1], 0) == (s == OPERATION_PROMOTED));
    }
}

static void a_failed_step_waits_before_it_is_due_again(void **state)
{
    struct core *k = *state;
    uint32_t pause_ms = plan_step_of(STEP_SEVER)->retry_ms;

    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, B, 0), k);
    assert_accepted(core_assign(k, STEP_SEVER, B), k);
    assert_accepted(core_failed(k, STEP_SEVER, B), k);
    core_pass(k, pause_ms - 1);
    assert_false(due(k, STEP_SEVER));
    core_pass(k, 1);
    assert_true(due(k, STEP_SEVER));
}

static void a_promotion_ends_what_is_not_needed_any_more(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_promote(k, B), k);
    assert_int_equal(core_operation(k)->runs[core_run(k, STEP_FENCE, A)].state, RUN_SKIPPED);
}

static void an_undo_reverses_what_may_have_been_touched_and_no_more(void **state)
{
    struct core *k = *state;

    begin_three(k);
    assert_accepted(core_assign(k, STEP_SEVER, C), k);
    assert_accepted(core_failed(k, STEP_SEVER, C), k); /* it failed, and may have happened */
    assert_accepted(core_abort(k), k);
    (void)core_run(k, STEP_RECONNECT, C);
    assert_null(operation_run(core_operation(k), STEP_RECONNECT, B)); /* was never assigned */
    assert_int_equal(core_operation(k)->state, OPERATION_UNDOING);
    assert_accepted(core_assign(k, STEP_RECONNECT, C), k);
    assert_accepted(core_done(k, STEP_RECONNECT, C), k);
    assert_int_equal(core_operation(k)->state, OPERATION_ABORTED);
}

/* --- who runs it --- */

static void the_executor_of_the_site_runs_a_step(void **state)
{
    struct core *k = *state;
    struct operation *op = core_operation(k);

    begin_three(k);
    assert_int_equal(plan_run_node(&k->state, op, &op->runs[core_run(k, STEP_SEVER, C)]), NODE_C);
    core_app(k)->views[C].executor = 0;
    assert_int_equal(plan_run_node(&k->state, op, &op->runs[core_run(k, STEP_SEVER, C)]), NODE_C);
    core_app(k)->views[C].executor = 15;
    assert_int_equal(plan_run_node(&k->state, op, &op->runs[core_run(k, STEP_SEVER, C)]), 15);
}

static void a_fence_is_the_holders(void **state)
{
    struct core *k = *state;
    struct operation *op = core_operation(k);

    begin_three(k);
    core_app(k)->views[A].executor = 15; /* took over when the lease had expired, and has opened nothing */
    assert_int_equal(plan_run_node(&k->state, op, &op->runs[core_run(k, STEP_FENCE, A)]), NODE_A);
}

/* --- the candidate --- */

static void there_is_no_candidate_before_all_in_contact_are_severed(void **state)
{
    struct core *k = *state;

    begin_three(k);
    assert_int_equal(candidate(k), SITE_NONE);
    sever_at(k, B, 1, 100);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("site-c: the standby's WAL receiver to end");
    sever_at(k, C, 1, 100);
    assert_int_equal(candidate(k), B);
}

static void the_greatest_position_is_the_candidate(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, B, 1, 100);
    sever_at(k, C, 1, 101);
    assert_int_equal(candidate(k), C);
}

static void the_timeline_comes_before_the_position(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, B, 2, 100);
    sever_at(k, C, 1, 999);
    assert_int_equal(candidate(k), B);
}

static void the_target_wins_among_equals(void **state)
{
    struct core *k = *state;

    core_add_c(k);
    core_lose_a(k);
    assert_accepted(core_start(k, OPERATION_FAILOVER, C, 0), k);
    sever_at(k, B, 1, 100);
    sever_at(k, C, 1, 100);
    assert_int_equal(candidate(k), C);
}

static void a_silent_candidate_is_none(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, B, 1, 100);
    sever_at(k, C, 1, 999);
    assert_accepted(core_heard(k, NODE_C, false), k); /* also after it was severed: its site may be gone */
    assert_int_equal(candidate(k), B);
}

static void a_candidate_whose_own_node_says_that_it_is_dead_is_none(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, B, 1, 100);
    assert_accepted(core_opinion(k, NODE_C, C, OPINION_FAILED, ROLE_UNKNOWN, 1), k);
    assert_int_equal(candidate(k), B);
    assert_accepted(core_opinion(k, NODE_B, B, OPINION_FAILED, ROLE_UNKNOWN, 1), k);
    assert_int_equal(candidate(k), SITE_NONE);
}

static void an_old_primary_is_no_candidate_of_a_failover(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, B, 1, 100);
    sever_at(k, C, 2, 200); /* promoted by somebody, on a timeline of its own */
    assert_accepted(core_opinion(k, NODE_C, C, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_int_equal(candidate(k), B);
}

static void an_old_primary_is_taken_when_a_person_forces_it(void **state)
{
    struct core *k = *state;
    const uint32_t forced = 1u << GATE_STANDBY | 1u << GATE_READY;

    assert_accepted(core_opinion(k, NODE_B, B, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, forced), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    sever_at(k, B, 1, 100);
    assert_int_equal(candidate(k), B);
    core_operation(k)->overrides = 1u << GATE_READY;
    assert_int_equal(candidate(k), SITE_NONE);
}

/* A standby acknowledges nothing before it is promoted; a server that is not in recovery proves it by its first renewal. */
static void a_forced_old_primary_is_not_enforced_before_it_says_so(void **state)
{
    struct core *k = *state;
    const uint32_t forced = 1u << GATE_STANDBY | 1u << GATE_READY;

    assert_accepted(core_opinion(k, NODE_B, B, OPINION_UP, ROLE_PRIMARY, 0), k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, forced), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    sever_at(k, B, 1, 100);
    assert_accepted(core_promote(k, B), k);
    assert_false(core_app(k)->lease.enforcement.enforcing);
}

static void a_candidate_that_cannot_be_severed_does_not_hold_up_the_others(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, B, 1, 100);
    fail_sever_at(k, C, SEVER_TRIES - 1);
    assert_int_equal(candidate(k), SITE_NONE);
    fail_sever_at(k, C, 1);
    assert_int_equal(candidate(k), B);
}

static void a_target_that_is_lost_gives_way_to_another_that_was_ready(void **state)
{
    struct core *k = *state;

    begin_three(k);
    sever_at(k, C, 1, 100);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_int_equal(candidate(k), C);
    assert_accepted(core_promote(k, C), k);
    assert_int_equal(core_operation(k)->to, C);
}

static void a_target_that_is_lost_does_not_give_way_to_one_that_was_not_ready(void **state)
{
    struct core *k = *state;

    begin_three(k);
    assert_accepted(core_ready(k, C, false), k);
    sever_at(k, C, 1, 100);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("site-b is lost, and site-c was not ready");
}

static void one_that_was_not_ready_may_still_be_ahead_of_the_target(void **state)
{
    struct core *k = *state;

    begin_three(k);
    assert_accepted(core_ready(k, C, false), k);
    sever_at(k, B, 1, 100);
    sever_at(k, C, 1, 200);
    assert_int_equal(candidate(k), C);
}

static void a_target_that_is_lost_after_it_was_severed_leaves_its_position_as_a_measure(void **state)
{
    struct core *k = *state;

    begin_three(k);
    assert_accepted(core_ready(k, C, false), k);
    sever_at(k, B, 1, 200);
    sever_at(k, C, 1, 100);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_accepted(core_ready(k, C, true), k);
    assert_int_equal(candidate(k), C);
}

static void nobody_is_promoted_when_nobody_is_left(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("site-b: its coordinator is not in contact");
    assert_refused(core_promote(k, B), k);
}

/* By hand: the proof first, then the standbys. */
static void begin_by_hand(struct core *k, uint32_t overrides)
{
    core_add_c(k);
    assert_accepted(core_start(k, OPERATION_PROMOTE, B, overrides), k);
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
}

static void a_promotion_by_hand_keeps_its_target(void **state)
{
    struct core *k = *state;

    begin_by_hand(k, 0);
    sever_at(k, C, 1, 200);
    assert_int_equal(candidate(k), SITE_NONE);
    sever_at(k, B, 1, 100);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("site-c is ahead of site-b");
}

static void a_promotion_by_hand_waits_for_its_target(void **state)
{
    struct core *k = *state;

    begin_by_hand(k, 0);
    sever_at(k, C, 1, 200);
    fail_sever_at(k, B, SEVER_TRIES + 2);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_accepted(core_heard(k, NODE_B, false), k);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("site-b: its coordinator is not in contact");
}

static void a_promotion_by_hand_severs_after_the_proof(void **state)
{
    struct core *k = *state;

    assert_accepted(core_start(k, OPERATION_PROMOTE, B, 0), k);
    assert_false(due(k, STEP_SEVER));
    assert_true(due(k, STEP_FENCE));
    assert_accepted(core_assign(k, STEP_FENCE, A), k);
    assert_accepted(core_done(k, STEP_FENCE, A), k);
    assert_true(due(k, STEP_SEVER));
}

static void lack(struct core *k, uint64_t gap_bytes, bool known)
{
    struct step_run *run = &core_operation(k)->runs[core_run(k, STEP_SEVER, B)];

    run->position.gap_known = known;
    run->position.gap_bytes = gap_bytes;
}

static void a_candidate_lacks_no_more_than_the_policy_allows(void **state)
{
    struct core *k = *state;

    core_ready_to_promote(k);
    lack(k, core_app(k)->config.max_lag_bytes, true);
    assert_int_equal(candidate(k), B);
    lack(k, core_app(k)->config.max_lag_bytes + 1, true);
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("lacks 1001 bytes of WAL, max_lag is 1000");
    assert_refused(core_promote(k, B), k);
    lack(k, UINT64_MAX, false);
    assert_int_equal(candidate(k), B);
}

/* It went on acknowledging between the sever and its fence: where the fence found it counts, not what was seen before. */
static void what_the_fence_found_counts_as_lacking(void **state)
{
    struct core *k = *state;
    struct step_run *sever, *fence;

    core_ready_to_promote(k);
    sever = &core_operation(k)->runs[core_run(k, STEP_SEVER, B)];
    fence = &core_operation(k)->runs[core_run(k, STEP_FENCE, A)];
    lack(k, 0, true);
    fence->state = RUN_DONE;
    fence->position =
        (struct position){ .known = true, .timeline = sever->position.timeline, .lsn = sever->position.lsn + 1000 };
    assert_int_equal(candidate(k), B);
    fence->position.lsn++;
    assert_int_equal(candidate(k), SITE_NONE);
    assert_why("lacks 1001 bytes of WAL, max_lag is 1000");
    fence->position.timeline++; /* of another history: no distance can be told */
    assert_int_equal(candidate(k), B);
    fence->position.timeline--;
    core_operation(k)->overrides = 1u << GATE_READY;
    assert_int_equal(candidate(k), B);
}

static void a_person_may_override_what_is_lacking(void **state)
{
    struct core *k = *state;

    begin_by_hand(k, 1u << GATE_READY);
    assert_accepted(core_heard(k, NODE_C, false), k);
    sever_at(k, B, 1, 100);
    lack(k, 1000000, true);
    assert_int_equal(candidate(k), B);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_step_has_a_deadline_and_words),
        TEST(the_needs_of_the_steps_have_no_circle),
        TEST(what_safety_rests_on_can_not_be_skipped),
        TEST(an_operation_severs_all_others_and_fences_the_old_site),
        TEST(the_largest_operation_has_room),
        TEST(nothing_that_needs_the_promotion_is_due_before_it),
        TEST(no_step_is_due_on_the_other_side_of_the_point_of_no_return),
        TEST(a_failed_step_waits_before_it_is_due_again),
        TEST(a_promotion_ends_what_is_not_needed_any_more),
        TEST(an_undo_reverses_what_may_have_been_touched_and_no_more),
        TEST(the_executor_of_the_site_runs_a_step),
        TEST(a_fence_is_the_holders),
        TEST(there_is_no_candidate_before_all_in_contact_are_severed),
        TEST(the_greatest_position_is_the_candidate),
        TEST(the_timeline_comes_before_the_position),
        TEST(the_target_wins_among_equals),
        TEST(a_silent_candidate_is_none),
        TEST(a_candidate_whose_own_node_says_that_it_is_dead_is_none),
        TEST(an_old_primary_is_no_candidate_of_a_failover),
        TEST(an_old_primary_is_taken_when_a_person_forces_it),
        TEST(a_forced_old_primary_is_not_enforced_before_it_says_so),
        TEST(a_candidate_that_cannot_be_severed_does_not_hold_up_the_others),
        TEST(a_target_that_is_lost_gives_way_to_another_that_was_ready),
        TEST(a_target_that_is_lost_does_not_give_way_to_one_that_was_not_ready),
        TEST(one_that_was_not_ready_may_still_be_ahead_of_the_target),
        TEST(a_target_that_is_lost_after_it_was_severed_leaves_its_position_as_a_measure),
        TEST(nobody_is_promoted_when_nobody_is_left),
        TEST(a_promotion_by_hand_keeps_its_target),
        TEST(a_promotion_by_hand_waits_for_its_target),
        TEST(a_promotion_by_hand_severs_after_the_proof),
        TEST(a_candidate_lacks_no_more_than_the_policy_allows),
        TEST(what_the_fence_found_counts_as_lacking),
        TEST(a_person_may_override_what_is_lacking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
