/* The runner with steps of our own: what it begins, cancels and reports, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "exec/exec.h"
#include "io/log.h"

#define SELF 2u
#define CALLS_MAX 64
#define DEADLINE_MS 40

/* In place of the real steps, which need servers. */
const struct step_table step_table_real = { .deadline_ms = 0 };

struct submission {
    struct command_step_result result;
    exec_submitted_cb done; /* NULL: answered */
    void *done_ctx;
};

struct world {
    uv_loop_t loop;
    struct exec *exec;
    struct state state;
    /* The fake steps: what was begun and not yet ended, in order. */
    struct step_attempt *begun[CALLS_MAX];
    unsigned begun_count;
    unsigned cancel_count;
    bool promises_hold;
    bool end_on_cancel; /* a step that is cancelled ends at once, as failed */
    bool end_in_begin;
    /* The fake log. */
    struct submission submissions[CALLS_MAX];
    unsigned submission_count;
    bool answer_at_once;
    enum status answer_status;
    bool apply_within_submit; /* as a leader of one node would */
    unsigned closed_count;
};
static struct world *w;

static void fake_begin(struct step_attempt *a)
{
    assert_true(w->begun_count < CALLS_MAX);
    w->begun[w->begun_count++] = a;
    step_waits(a, "the test");
    if (w->end_in_begin)
        step_end_ok(a, "done at once");
}

static void fake_cancel(struct step_attempt *a)
{
    w->cancel_count++;
    if (w->end_on_cancel)
        step_end_failed(a, "canceled");
}

static const struct step_method fake = { .begin = fake_begin, .cancel = fake_cancel };
static struct step_table table;

static const struct state *applied(void *ctx)
{
    return &((struct world *)ctx)->state;
}

static void apply_result(const struct command_step_result *in)
{
    struct step_run *run = &w->state.services[in->operation == 70 ? 0 : 1].operation.runs[in->run];

    if (run->state == RUN_ASSIGNED && run->attempt == in->attempt)
        run->state = in->result.ok ? RUN_DONE : RUN_PENDING;
}

static void submit(void *ctx, const struct command *command, exec_submitted_cb done, void *done_ctx)
{
    static const struct outcome accepted = { .status = STATUS_OK };
    struct submission *s = &w->submissions[w->submission_count++];

    (void)ctx;
    assert_true(w->submission_count < CALLS_MAX);
    assert_int_equal(command->kind, COMMAND_STEP_RESULT);
    *s = (struct submission){ .result = command->step_result, .done = done, .done_ctx = done_ctx };
    if (w->apply_within_submit) {
        apply_result(&s->result);
        exec_on_state(w->exec);
    }
    if (w->answer_at_once) {
        s->done = NULL;
        done(done_ctx, w->answer_status, w->answer_status == STATUS_OK ? &accepted : NULL);
    }
}

static bool promises_hold(void *ctx, service_id service)
{
    (void)ctx;
    assert_int_equal(service, 0);
    return w->promises_hold;
}

static void answer(unsigned number, enum status status, const struct outcome *outcome)
{
    struct submission *s = &w->submissions[number];
    exec_submitted_cb done = s->done;

    s->done = NULL;
    done(s->done_ctx, status, outcome);
}

static void quiet(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static struct step_run *add_run(unsigned service, enum step step, site_id site, node_id node, enum run_state run_state)
{
    struct operation *op = &w->state.services[service].operation;
    struct step_run *run = &op->runs[op->run_count++];

    *run = (struct step_run){ .step = step, .site = site, .state = run_state, .attempt = 1, .node = node, .epoch = 5 };
    return run;
}

static void add_service(unsigned slot, const char *name)
{
    struct service *svc = &w->state.services[slot];

    svc->present = true;
    svc->armed = true;
    (void)text_copy(svc->config.name, NAME_MAX_BYTES, name);
    svc->primary = 1;
    svc->lease = (struct lease){ .state = LEASE_LIVE, .site = 1, .holder = SELF, .epoch = 5 };
    svc->operation = (struct operation){ .id = 70 + slot,
                                         .state = OPERATION_PROMOTED,
                                         .service = (service_id)slot,
                                         .to = 1,
                                         .old_epoch = 4,
                                         .new_epoch = 5 };
}

static int setup(void **state)
{
    static const struct exec_local locals[] = { { .service = "app",
                                                  .data_dir = "/srv/pg",
                                                  .bin_dir = "/usr/bin",
                                                  .conninfo = "host=/run",
                                                  .guard_socket = NULL } };
    struct exec_config config = { .self = SELF,
                                  .state_dir = "/var/lib/coord/b1",
                                  .locals = locals,
                                  .local_count = 1,
                                  .steps = &table,
                                  .state = applied,
                                  .submit = submit,
                                  .promises_hold = promises_hold };
    struct error err;

    (void)state;
    log_set_sink(quiet, NULL);
    w = calloc(1, sizeof(*w));
    assert_non_null(w);
    for (unsigned i = 0; i < STEP_COUNT; i++)
        table.methods[i] = &fake;
    table.deadline_ms = 0;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    state_init(&w->state);
    (void)text_copy(w->state.sites[1].name, NAME_MAX_BYTES, "site-b");
    w->state.members[0] = (struct member){ .id = SELF, .site = 1 };
    (void)text_copy(w->state.members[0].name, NAME_MAX_BYTES, "b1");
    add_service(0, "app");
    w->end_on_cancel = true;
    config.loop = &w->loop;
    config.ctx = w;
    w->exec = exec_create(&config, &err);
    assert_non_null(w->exec);
    return 0;
}

static void on_closed(void *ctx)
{
    ((struct world *)ctx)->closed_count++;
}

static int teardown(void **state)
{
    (void)state;
    w->end_on_cancel = true;
    if (w->exec != NULL)
        exec_close(w->exec, on_closed, w);
    for (unsigned i = 0; i < w->submission_count; i++)
        if (w->submissions[i].done != NULL)
            answer(i, STATUS_UNKNOWN, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->closed_count, 1);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    log_set_sink(NULL, NULL);
    free(w);
    return 0;
}

static void wake(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Runs the loop for this long. */
static void run_for(uint64_t span_ms)
{
    uv_timer_t timer;
    bool over = false;

    assert_int_equal(uv_timer_init(&w->loop, &timer), 0);
    timer.data = &over;
    uv_update_time(&w->loop);
    assert_int_equal(uv_timer_start(&timer, wake, span_ms, 0), 0);
    while (!over)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* Until `count` submissions were made; forever is the runner's time limit. */
static void run_until_submissions(unsigned count)
{
    while (w->submission_count < count)
        run_for(1);
}

static void an_assigned_run_begins_once_with_what_it_needs(void **state)
{
    struct step_attempt *a;

    (void)state;
    add_run(0, STEP_SEVER, 1, SELF, RUN_PENDING);
    add_run(0, STEP_PROMOTE, 1, SELF, RUN_ASSIGNED)->attempt = 3;
    add_run(0, STEP_FENCE, 0, 9, RUN_ASSIGNED);
    w->state.services[0].lease.epoch = 4;
    w->state.services[0].lease.instance_count = 1;
    w->state.services[0].lease.instances[0] = 77;
    exec_on_state(w->exec);
    exec_on_state(w->exec);
    run_for(1);
    assert_int_equal(w->begun_count, 1);
    assert_int_equal(exec_busy(w->exec), 1);
    a = w->begun[0];
    assert_int_equal(a->step, STEP_PROMOTE);
    assert_int_equal(a->operation, 70);
    assert_int_equal(a->run, 1);
    assert_int_equal(a->attempt, 3);
    assert_int_equal(a->epoch, 5);
    assert_int_equal(a->old_epoch, 4);
    assert_int_equal(a->instance_count, 1);
    assert_int_equal(a->instances[0], 77);
    assert_string_equal(a->site_name, "site-b");
    assert_string_equal(a->config.name, "app");
    assert_string_equal(a->local->data_dir, "/srv/pg");
    assert_string_equal(a->local->guard_socket, "");
    assert_string_equal(a->saved_path, "/var/lib/coord/b1/severed-app");
    assert_int_equal(a->deadline_ms, 60000);
}

/* After the point of no return the lease is the new one: its servers are not the old epoch's. */
static void a_fence_does_not_take_the_new_lease_for_the_old(void **state)
{
    (void)state;
    add_run(0, STEP_FENCE, 0, SELF, RUN_ASSIGNED);
    w->state.services[0].lease.instance_count = 1;
    w->state.services[0].lease.instances[0] = 77;
    exec_on_state(w->exec);
    assert_int_equal(w->begun[0]->instance_count, 0);
}

static void a_result_is_submitted_once_when_the_state_takes_it(void **state)
{
    struct command_step_result *sent = &w->submissions[0].result;

    (void)state;
    w->answer_at_once = true;
    w->apply_within_submit = true;
    add_run(0, STEP_CANARY, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    step_end_ok(w->begun[0], "acknowledged");
    run_until_submissions(1);
    run_for(150);
    assert_int_equal(w->submission_count, 1);
    assert_int_equal(exec_busy(w->exec), 0);
    assert_int_equal(sent->operation, 70);
    assert_int_equal(sent->run, 0);
    assert_int_equal(sent->attempt, 1);
    assert_int_equal(sent->epoch, 5);
    assert_int_equal(sent->node, SELF);
    assert_true(sent->result.ok);
    assert_string_equal(sent->result.detail, "acknowledged");
}

static void a_step_may_end_within_its_begin(void **state)
{
    (void)state;
    w->end_in_begin = true;
    w->answer_at_once = true;
    w->apply_within_submit = true;
    add_run(0, STEP_DNS, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    assert_int_equal(w->submission_count, 0); /* never before exec_on_state returns: it may stand within apply */
    run_until_submissions(1);
    run_for(1);
    assert_int_equal(exec_busy(w->exec), 0);
}

static void a_result_is_submitted_again_while_the_state_lacks_it(void **state)
{
    static const struct outcome refused = { .status = STATUS_REFUSED, .reason = "stale" };

    (void)state;
    add_run(0, STEP_CANARY, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    step_end_ok(w->begun[0], "acknowledged");
    run_until_submissions(1);
    run_for(150); /* one submission at a time, however long it takes */
    assert_int_equal(w->submission_count, 1);
    answer(0, STATUS_NO_LEADER, NULL);
    run_until_submissions(2);
    answer(1, STATUS_UNKNOWN, NULL);
    run_until_submissions(3);
    answer(2, STATUS_OK, &refused);
    run_until_submissions(4);
    assert_memory_equal(&w->submissions[0].result, &w->submissions[3].result, sizeof(struct command_step_result));
    apply_result(&w->submissions[0].result); /* the first was in the log after all */
    exec_on_state(w->exec);
    answer(3, STATUS_TIMED_OUT, NULL);
    run_for(150);
    assert_int_equal(w->submission_count, 4);
    assert_int_equal(exec_busy(w->exec), 0);
    assert_int_equal(w->begun_count, 1);
}

static void a_superseded_attempt_is_cancelled_at_once_and_the_next_waits_for_its_end(void **state)
{
    struct step_run *run = add_run(0, STEP_SEVER, 1, SELF, RUN_ASSIGNED);

    (void)state;
    w->end_on_cancel = false;
    w->answer_at_once = true;
    w->apply_within_submit = true;
    exec_on_state(w->exec);
    run->attempt = 2;
    exec_on_state(w->exec);
    exec_on_state(w->exec);
    assert_int_equal(w->cancel_count, 1);
    run_for(1);
    assert_int_equal(w->begun_count, 1);
    step_end_failed(w->begun[0], "canceled");
    while (w->begun_count < 2)
        run_for(1);
    assert_int_equal(w->begun[1]->attempt, 2);
    assert_int_equal(w->submission_count, 0);
    step_end_ok(w->begun[1], "severed");
    run_until_submissions(1);
    assert_int_equal(w->submissions[0].result.attempt, 2);
}

/* An undo must not run beside what it undoes. */
static void a_reconnect_waits_for_the_end_of_the_cancelled_sever(void **state)
{
    struct step_run *run = add_run(0, STEP_SEVER, 1, SELF, RUN_ASSIGNED);

    (void)state;
    w->end_on_cancel = false;
    exec_on_state(w->exec);
    run->state = RUN_SKIPPED;
    w->state.services[0].operation.state = OPERATION_UNDOING;
    add_run(0, STEP_RECONNECT, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    assert_int_equal(w->cancel_count, 1);
    assert_int_equal(w->begun_count, 1);
    step_end_failed(w->begun[0], "canceled");
    while (w->begun_count < 2)
        run_for(1);
    assert_int_equal(w->begun[1]->step, STEP_RECONNECT);
}

static void each_way_of_losing_an_assignment_cancels(void **state)
{
    struct service *svc = &w->state.services[0];

    (void)state;
    for (unsigned way = 0; way < 6; way++) {
        struct service was;

        svc->operation.run_count = 0;
        add_run(0, STEP_DEPLOY, 1, SELF, RUN_ASSIGNED);
        was = *svc;
        w->cancel_count = 0;
        w->begun_count = 0;
        exec_on_state(w->exec);
        assert_int_equal(w->begun_count, 1);
        switch (way) {
        case 0:
            svc->operation.runs[0].node = 9;
            break;
        case 1:
            svc->operation.state = OPERATION_ABORTED;
            break;
        case 2:
            svc->operation.id = 99;
            svc->operation.run_count = 0;
            break;
        case 3:
            svc->present = false;
            break;
        case 4:
            svc->operation.runs[0].state = RUN_SKIPPED;
            break;
        default:
            svc->operation.runs[0].state = RUN_PENDING;
            break;
        }
        exec_on_state(w->exec);
        assert_int_equal(w->cancel_count, 1);
        run_for(1);
        assert_int_equal(exec_busy(w->exec), 0);
        *svc = was;
    }
    assert_int_equal(w->submission_count, 0);
}

static void a_late_attempt_is_cancelled_and_says_what_it_waited_for(void **state)
{
    (void)state;
    table.deadline_ms = DEADLINE_MS;
    add_run(0, STEP_VERIFY, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    run_until_submissions(1);
    assert_int_equal(w->cancel_count, 1);
    assert_false(w->submissions[0].result.result.ok);
    assert_string_equal(w->submissions[0].result.result.detail, "not within 40 ms; it waited for the test");
}

static void what_succeeded_although_late_is_a_success(void **state)
{
    (void)state;
    table.deadline_ms = DEADLINE_MS;
    w->end_on_cancel = false;
    add_run(0, STEP_PROMOTE, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    while (w->cancel_count == 0)
        run_for(1);
    step_end_ok(w->begun[0], "promoted");
    run_until_submissions(1);
    assert_true(w->submissions[0].result.result.ok);
    assert_string_equal(w->submissions[0].result.result.detail, "promoted");
}

static void a_promotion_stands_only_while_the_state_says_so(void **state)
{
    struct service *svc = &w->state.services[0];
    struct step_run *run = add_run(0, STEP_PROMOTE, 1, SELF, RUN_ASSIGNED);
    const struct step_attempt *a;

    (void)state;
    exec_on_state(w->exec);
    a = w->begun[0];
    assert_null(a->env->promotion_objection(a->env->exec, a));
    svc->primary = 0;
    assert_non_null(a->env->promotion_objection(a->env->exec, a));
    svc->primary = 1;
    svc->lease.epoch = 6;
    assert_non_null(a->env->promotion_objection(a->env->exec, a));
    svc->lease.epoch = 5;
    svc->lease.site = 0;
    assert_non_null(a->env->promotion_objection(a->env->exec, a));
    svc->lease.site = 1;
    svc->operation.state = OPERATION_UNDOING;
    assert_non_null(a->env->promotion_objection(a->env->exec, a));
    svc->operation.state = OPERATION_PROMOTED;
    run->attempt = 2;
    assert_non_null(a->env->promotion_objection(a->env->exec, a));
    run->attempt = 1;
    assert_null(a->env->promotion_objection(a->env->exec, a));
}

static void a_persons_word_does_not_end_a_promise_of_this_node(void **state)
{
    struct service *svc = &w->state.services[0];
    const struct step_attempt *a;

    (void)state;
    (void)add_run(0, STEP_PROMOTE, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    a = w->begun[0];
    w->promises_hold = true;
    svc->operation.certificate = CERT_EXPIRED; /* the log knows that they are over */
    assert_null(a->env->promotion_objection(a->env->exec, a));
    svc->operation.certificate = CERT_AGENT;
    assert_null(a->env->promotion_objection(a->env->exec, a));
    svc->operation.certificate = CERT_OPERATOR;
    assert_non_null(strstr(a->env->promotion_objection(a->env->exec, a), "still holds"));
    w->promises_hold = false;
    assert_null(a->env->promotion_objection(a->env->exec, a));
}

static void services_do_not_wait_for_each_other(void **state)
{
    (void)state;
    add_service(1, "other");
    add_run(0, STEP_SEVER, 1, SELF, RUN_ASSIGNED);
    w->end_on_cancel = false;
    exec_on_state(w->exec);
    w->state.services[0].operation.runs[0].state = RUN_SKIPPED;
    add_run(1, STEP_SEVER, 1, SELF, RUN_ASSIGNED);
    exec_on_state(w->exec);
    assert_int_equal(w->begun_count, 2);
    assert_string_equal(w->begun[1]->config.name, "other");
    assert_null(w->begun[1]->local);
    assert_false(step_has_local(w->begun[1]));
    assert_non_null(strstr(w->begun[1]->result.detail, "node b1 names no PostgreSQL server of service other"));
    step_end_failed(w->begun[0], "canceled");
}

static void closing_cancels_waits_and_submits_no_more(void **state)
{
    (void)state;
    add_run(0, STEP_DNS, 1, SELF, RUN_ASSIGNED);
    add_run(0, STEP_DEPLOY, 1, SELF, RUN_ASSIGNED);
    w->end_on_cancel = false;
    exec_on_state(w->exec);
    assert_int_equal(w->begun_count, 2);
    step_end_ok(w->begun[0], "published");
    run_until_submissions(1);
    exec_close(w->exec, on_closed, w);
    assert_int_equal(w->cancel_count, 1);
    exec_on_state(w->exec);
    run_for(20);
    assert_int_equal(w->closed_count, 0);
    step_end_failed(w->begun[1], "canceled");
    run_for(20);
    assert_int_equal(w->closed_count, 0); /* the submission's done may still come */
    answer(0, STATUS_UNKNOWN, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->closed_count, 1);
    assert_int_equal(w->submission_count, 1);
    w->exec = NULL;
}

static void a_runner_without_identity_is_refused(void **state)
{
    struct exec_config config = { .loop = &w->loop, .state_dir = "/var/lib/coord/b1" };
    struct error err = ERROR_NONE;

    (void)state;
    assert_null(exec_create(&config, &err));
    assert_int_equal(err.status, STATUS_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_assigned_run_begins_once_with_what_it_needs),
        TEST(a_fence_does_not_take_the_new_lease_for_the_old),
        TEST(a_result_is_submitted_once_when_the_state_takes_it),
        TEST(a_step_may_end_within_its_begin),
        TEST(a_result_is_submitted_again_while_the_state_lacks_it),
        TEST(a_superseded_attempt_is_cancelled_at_once_and_the_next_waits_for_its_end),
        TEST(a_reconnect_waits_for_the_end_of_the_cancelled_sever),
        TEST(each_way_of_losing_an_assignment_cancels),
        TEST(a_late_attempt_is_cancelled_and_says_what_it_waited_for),
        TEST(what_succeeded_although_late_is_a_success),
        TEST(a_promotion_stands_only_while_the_state_says_so),
        TEST(a_persons_word_does_not_end_a_promise_of_this_node),
        TEST(services_do_not_wait_for_each_other),
        TEST(closing_cancels_waits_and_submits_no_more),
        TEST(a_runner_without_identity_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
