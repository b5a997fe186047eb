#include "exec/exec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "core/plan.h"
#include "io/clock.h"
#include "io/log.h"

#define RESUBMIT_MS 100  /* after a submission that is not, or may not be, in the log */
#define REFRESH_MS 1000  /* after one that was applied, while the state here has not caught up */
#define ATTEMPTS_MAX 256 /* under way at once; more wait for the next change of the state */

enum attempt_phase { ATTEMPT_RUNNING, ATTEMPT_REPORTING, ATTEMPT_CLOSING };

/* One attempt from its start to its end. A step calls step_end() at any time, also within begin and cancel, so the timer alone carries an
 * attempt on: it is the deadline while the step runs, then the way back to the loop, then the pause between submissions. */
struct attempt {
    struct step_attempt step; /* first */
    struct exec *exec;
    struct attempt *next;
    uv_timer_t timer;
    enum attempt_phase phase;
    bool ended;      /* by step_end() */
    bool cancelled;  /* the step was told to end */
    bool late;       /* because of its deadline */
    bool stale;      /* the state shows it no longer: nobody waits for its result */
    bool submitting; /* a submission waits for its `done` */
};

struct exec {
    uv_loop_t *loop;
    const struct step_table *steps;
    const char *state_dir;
    unsigned local_count;
    struct exec_local *locals;
    void *ctx;
    const struct state *(*state)(void *ctx);
    void (*submit)(void *ctx, const struct command *command, exec_submitted_cb done, void *done_ctx);
    bool (*promises_hold)(void *ctx, service_id service);
    struct step_env env;
    struct attempt *attempts;
    unsigned attempt_count;
    struct command *command; /* scratch */
    uv_timer_t closer;
    bool closing;
    bool closed_pending; /* the closer is being closed */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void attempt_step(struct attempt *at);

/* Its run as the state shows it now, or NULL: superseded, aborted, reassigned, or never like this. */
static const struct step_run *attempt_run(const struct state *s, const struct step_attempt *a, node_id self)
{
    const struct service *svc = &s->services[a->service];
    const struct step_run *run = &svc->operation.runs[a->run];

    if (!svc->present || svc->operation.id != a->operation || !operation_active(&svc->operation) ||
        a->run >= svc->operation.run_count)
        return NULL;
    if (run->state != RUN_ASSIGNED || run->node != self || run->attempt != a->attempt || run->step != a->step)
        return NULL;
    return run;
}

static const char *promotion_objection(void *ctx, const struct step_attempt *a)
{
    struct exec *e = ctx;
    const struct state *s = e->state(e->ctx);
    const struct service *svc = &s->services[a->service];

    if (attempt_run(s, a, e->env.self) == NULL || svc->operation.state != OPERATION_PROMOTED ||
        svc->primary != a->site || svc->lease.site != a->site || svc->lease.epoch != a->epoch ||
        svc->lease.holder != e->env.self)
        return "the site is not primary in this epoch any more, or another node of it holds the lease";
    /* With EXPIRED the log knows that the promises are over, with AGENT the old primary is closed for good; a person may not know. */
    if (svc->operation.certificate == CERT_OPERATOR && e->promises_hold != NULL && e->promises_hold(e->ctx, a->service))
        return "what this node promised the old primary's still holds; that ends by itself within a ttl";
    return NULL;
}

static void log_end(const struct attempt *at)
{
    const struct step_attempt *a = &at->step;

    log_event(a->result.ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, a->result.ok ? "step_done" : "step_failed",
              "service=%s operation=%" PRIu64 " step=%s attempt=%" PRIu32 " epoch=%" PRIu64 " ms=%" PRId64 " detail=%s",
              a->config.name, a->operation, step_word(a->step), a->attempt, a->epoch,
              (clock_now_us() - a->t0_us) / 1000, a->result.detail);
}

static void on_timer(uv_timer_t *timer)
{
    attempt_step(timer->data);
}

static void timer_set(struct attempt *at, uint64_t timeout_ms)
{
    int rc;

    uv_update_time(at->exec->loop); /* a loop that was busy would count the time before this call, too */
    rc = uv_timer_start(&at->timer, on_timer, timeout_ms, 0);
    ASSERT(rc == 0);
}

void step_end(struct step_attempt *a)
{
    struct attempt *at = (struct attempt *)(void *)a;

    ASSERT(at->phase == ATTEMPT_RUNNING && !at->ended);
    at->ended = true;
    timer_set(at, 0); /* from the loop: the caller may still stand on the step's memory */
}

static void on_submitted(void *ctx, enum status status, const struct outcome *outcome)
{
    struct attempt *at = ctx;
    const struct step_attempt *a = &at->step;

    ASSERT(at->submitting);
    at->submitting = false;
    if (status == STATUS_OK && outcome->status != STATUS_OK && !at->stale)
        log_event(LOG_LEVEL_WARNING, "step_result_refused",
                  "service=%s operation=%" PRIu64 " step=%s attempt=%" PRIu32 " reason=%s", a->config.name,
                  a->operation, step_word(a->step), a->attempt, outcome->reason);
    timer_set(at, at->stale || at->exec->closing ? 0 : status == STATUS_OK ? REFRESH_MS : RESUBMIT_MS);
}

static void attempt_submit(struct attempt *at)
{
    const struct step_attempt *a = &at->step;
    struct command *c = at->exec->command;

    command_clear(c, COMMAND_STEP_RESULT);
    text_set(c->who, sizeof c->who, "node %s", a->node_name);
    c->step_result = (struct command_step_result){ .operation = a->operation,
                                                   .run = a->run,
                                                   .attempt = a->attempt,
                                                   .epoch = a->epoch,
                                                   .node = a->env->self,
                                                   .result = a->result };
    at->submitting = true;
    at->exec->submit(at->exec->ctx, c, on_submitted, at);
}

static void on_exec_closed(uv_handle_t *handle)
{
    struct exec *e = handle->data;
    void (*closed)(void *ctx) = e->closed;
    void *ctx = e->closed_ctx;

    for (unsigned i = 0; i < e->local_count; i++) {
        free((void *)(uintptr_t)e->locals[i].service);
        free((void *)(uintptr_t)e->locals[i].data_dir);
        free((void *)(uintptr_t)e->locals[i].bin_dir);
        free((void *)(uintptr_t)e->locals[i].conninfo);
        free((void *)(uintptr_t)e->locals[i].guard_socket);
    }
    free(e->locals);
    free((void *)(uintptr_t)e->state_dir);
    free((void *)(uintptr_t)e->env.child.supervise_path);
    free(e->command);
    free(e);
    if (closed != NULL)
        closed(ctx);
}

static void close_if_idle(struct exec *e)
{
    if (!e->closing || e->attempts != NULL || e->closed_pending)
        return;
    e->closed_pending = true;
    uv_close((uv_handle_t *)&e->closer, on_exec_closed);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct attempt *at = handle->data;
    struct exec *e = at->exec;
    struct attempt **link = &e->attempts;

    while (*link != at)
        link = &(*link)->next;
    *link = at->next;
    e->attempt_count--;
    free(at);
    close_if_idle(e);
    exec_on_state(e); /* another attempt may have waited for the end of this one */
}

/* The deadline has passed: what the step found counts if it is a success, else it failed for lack of time. */
static void judge_late(struct attempt *at)
{
    struct step_attempt *a = &at->step;

    if (!at->late || a->result.ok)
        return;
    memset(&a->result, 0, sizeof a->result);
    text_set(a->result.detail, sizeof a->result.detail, "not within %" PRIu32 " ms; it waited for %s", a->deadline_ms,
             a->waits_for[0] != '\0' ? a->waits_for : plan_step_of(a->step)->what);
}

static void attempt_cancel(struct attempt *at)
{
    if (at->ended || at->cancelled)
        return;
    at->cancelled = true;
    at->exec->steps->methods[at->step.step]->cancel(&at->step);
}

/* All that an attempt does, in order. Each way out says who continues. */
static void attempt_step(struct attempt *at)
{
    bool unwanted = at->stale || at->exec->closing;

    switch (at->phase) {
    case ATTEMPT_RUNNING:
        if (!at->ended) {
            at->late = at->late || !unwanted;
            attempt_cancel(at);
            return; /* step_end continues */
        }
        at->phase = ATTEMPT_REPORTING;
        if (!unwanted) {
            judge_late(at);
            log_end(at);
        }
        /* fall through */
    case ATTEMPT_REPORTING:
        if (at->submitting)
            return; /* on_submitted continues */
        if (!unwanted) {
            attempt_submit(at);
            return; /* on_submitted continues */
        }
        at->phase = ATTEMPT_CLOSING;
        uv_close((uv_handle_t *)&at->timer, on_attempt_closed);
        return; /* on_attempt_closed continues */
    case ATTEMPT_CLOSING:
        return;
    }
}

static void attempt_forget(struct attempt *at)
{
    if (at->stale)
        return;
    at->stale = true;
    if (at->phase == ATTEMPT_RUNNING)
        log_event(LOG_LEVEL_INFO, "step_superseded",
                  "service=%s operation=%" PRIu64 " step=%s attempt=%" PRIu32 " epoch=%" PRIu64, at->step.config.name,
                  at->step.operation, step_word(at->step.step), at->step.attempt, at->step.epoch);
    attempt_step(at);
}

/* What the step needs of the state, copied. */
static void attempt_fill(struct exec *e, struct step_attempt *a, const struct state *s, service_id service,
                         uint8_t index)
{
    const struct service *svc = &s->services[service];
    const struct step_run *run = &svc->operation.runs[index];
    const struct step_run *fence;

    a->env = &e->env;
    a->step = run->step;
    a->service = service;
    a->operation = svc->operation.id;
    a->run = index;
    a->attempt = run->attempt;
    a->epoch = run->epoch;
    a->old_epoch = svc->operation.old_epoch;
    a->site = run->site;
    (void)text_copy(a->site_name, sizeof a->site_name, state_site_name(s, run->site));
    (void)text_copy(a->node_name, sizeof a->node_name, state_node_name(s, e->env.self));
    a->enforced = service_enforced(svc);
    a->config = svc->config;
    for (unsigned i = 0; i < e->local_count; i++)
        if (strcmp(e->locals[i].service, svc->config.name) == 0)
            a->local = &e->locals[i];
    (void)snprintf(a->saved_path, sizeof a->saved_path, "%s/severed-%s", e->state_dir, svc->config.name);
    if (svc->lease.epoch == a->old_epoch) {
        a->instance_count = svc->lease.instance_count;
        memcpy(a->instances, svc->lease.instances, sizeof a->instances);
    }
    fence = operation_run(&svc->operation, STEP_FENCE, svc->operation.from);
    if (fence != NULL && fence->state == RUN_DONE && fence->position.known)
        a->fenced_lsn = fence->position.lsn;
    a->t0_us = clock_now_us();
    a->deadline_ms = e->steps->deadline_ms != 0 ? e->steps->deadline_ms : plan_step_of(run->step)->deadline_ms;
}

static void attempt_begin(struct exec *e, const struct state *s, service_id service, uint8_t index)
{
    struct attempt *at = step_memory(sizeof *at);

    at->exec = e;
    at->next = e->attempts;
    e->attempts = at;
    e->attempt_count++;
    (void)uv_timer_init(e->loop, &at->timer); /* never fails */
    at->timer.data = at;
    attempt_fill(e, &at->step, s, service, index);
    log_event(LOG_LEVEL_INFO, "step_begins",
              "service=%s operation=%" PRIu64 " step=%s site=%s attempt=%" PRIu32 " epoch=%" PRIu64,
              at->step.config.name, at->step.operation, step_word(at->step.step), at->step.site_name, at->step.attempt,
              at->step.epoch);
    timer_set(at, at->step.deadline_ms);
    e->steps->methods[at->step.step]->begin(&at->step);
}

/* It is under way, or must wait: two steps of one service would get into each other's way if the first is still being cancelled. */
static bool must_wait(const struct exec *e, const struct step_attempt *wanted)
{
    for (const struct attempt *at = e->attempts; at != NULL; at = at->next) {
        const struct step_attempt *a = &at->step;

        if (a->service != wanted->service)
            continue;
        if (at->stale && !at->ended)
            return true;
        if (!at->stale && a->operation == wanted->operation && a->run == wanted->run && a->attempt == wanted->attempt &&
            a->step == wanted->step)
            return true;
    }
    return false;
}

static void scan_service(struct exec *e, const struct state *s, service_id service)
{
    const struct operation *op = &s->services[service].operation;

    for (uint8_t i = 0; i < op->run_count; i++) {
        const struct step_run *run = &op->runs[i];
        const struct step_attempt wanted = {
            .service = service, .operation = op->id, .run = i, .attempt = run->attempt, .step = run->step
        };

        if (run->state == RUN_ASSIGNED && run->node == e->env.self && e->attempt_count < ATTEMPTS_MAX &&
            !must_wait(e, &wanted))
            attempt_begin(e, s, service, i);
    }
}

void exec_on_state(struct exec *e)
{
    const struct state *s;

    if (e->closing)
        return;
    s = e->state(e->ctx);
    for (struct attempt *at = e->attempts; at != NULL; at = at->next)
        if (attempt_run(s, &at->step, e->env.self) == NULL)
            attempt_forget(at);
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present && operation_active(&s->services[i].operation))
            scan_service(e, s, (service_id)i);
}

unsigned exec_busy(const struct exec *e)
{
    return e->attempt_count;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text != NULL ? text : "");

    ASSERT(copy != NULL); /* as step_memory */
    return copy;
}

struct exec *exec_create(const struct exec_config *config, struct error *err)
{
    struct exec *e;

    if (config->self == 0 || config->state_dir == NULL || strlen(config->state_dir) > 400) {
        (void)error_set(err, STATUS_INVALID, "exec: no node id, or no state directory of at most 400 bytes");
        return NULL;
    }
    e = step_memory(sizeof *e);
    e->loop = config->loop;
    e->steps = config->steps != NULL ? config->steps : &step_table_real;
    e->state_dir = copy_text(config->state_dir);
    e->local_count = config->local_count;
    e->locals = step_memory((config->local_count + 1) * sizeof *e->locals);
    for (unsigned i = 0; i < config->local_count; i++)
        e->locals[i] = (struct exec_local){ .service = copy_text(config->locals[i].service),
                                            .data_dir = copy_text(config->locals[i].data_dir),
                                            .bin_dir = copy_text(config->locals[i].bin_dir),
                                            .conninfo = copy_text(config->locals[i].conninfo),
                                            .guard_socket = copy_text(config->locals[i].guard_socket) };
    e->ctx = config->ctx;
    e->state = config->state;
    e->submit = config->submit;
    e->promises_hold = config->promises_hold;
    e->env = (struct step_env){ .loop = config->loop,
                                .resolver = config->resolver,
                                .http = config->http,
                                .child = config->child,
                                .self = config->self,
                                .ctx = config->ctx,
                                .last_primary_lsn = config->last_primary_lsn,
                                .exec = e,
                                .promotion_objection = promotion_objection };
    e->env.child.supervise_path = copy_text(config->child.supervise_path);
    e->command = step_memory(sizeof *e->command);
    (void)uv_timer_init(e->loop, &e->closer); /* never fails */
    e->closer.data = e;
    return e;
}

static void on_closer(uv_timer_t *timer)
{
    close_if_idle(timer->data);
}

void exec_close(struct exec *e, void (*closed)(void *ctx), void *ctx)
{
    int rc;

    ASSERT(!e->closing);
    e->closing = true;
    e->closed = closed;
    e->closed_ctx = ctx;
    for (struct attempt *at = e->attempts; at != NULL; at = at->next)
        attempt_step(at);
    rc = uv_timer_start(&e->closer, on_closer, 0, 0);
    ASSERT(rc == 0);
}
