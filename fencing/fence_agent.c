/* A round: close the guard and let it report (STATUS), prove that it enforces and stands in our directory (PEER, HOLDS); when any of that
 * fails, look at the directory itself (DECIDE), end orphans (KILLED), end the server when asked (STOP, the tombstone first). What is not
 * proven yet starts another round after a short pause, until the deadline, whose error names the last obstacle. Beside it PostgreSQL is
 * asked what it would preload. The single control flow is agent_step(). */
#include "fencing/fence_agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "fencing/data_dir_job.h"
#include "fencing/guard_client.h"
#include "fencing/preload.h"
#include "io/clock.h"

#define PAUSE_MS 20 /* between two rounds */
#define GUARD_TIMEOUT_MS                                                                                               \
    1000                   /* a guard that answers at all answers at once; a stopped one must not use up the deadline */
#define STOP_GRACE_MS 1000 /* after SIGQUIT, before SIGKILL */

/* What the next step does. */
enum agent_phase {
    ROUND,  /* begin with the guard, or with the directory when there is no guard to ask */
    STATUS, /* the guard said closed */
    PEER,   /* and reports it so */
    HOLDS,  /* and stands in our directory */
    DECIDE, /* what the directory itself says */
    PROVEN, /* every instance is; what about the future? */
    STOP,   /* the tombstone is written */
    KILLED,
    LAST
};

enum preloaded { PRELOAD_ASKED, PRELOAD_YES, PRELOAD_NO, PRELOAD_UNKNOWN };

struct fence_agent {
    uv_loop_t *loop;
    char *data_dir;
    char *bin_dir;
    bool has_guard;
    struct child_config child;
    struct guard_client *guard;
    uv_timer_t deadline;
    uv_timer_t pause;
    uint32_t handles_open;

    bool busy;
    bool checking; /* fence_method.check: looks, changes nothing */
    struct fence_target target;
    int64_t t0_us;
    enum agent_phase phase;
    struct preload *preload; /* NULL: not under way */
    enum preloaded preloaded;
    struct data_dir_job *job; /* NULL: not under way */
    enum data_dir_action action;
    bool guard_asked; /* an answer is due */
    struct guard_answer answer;
    struct data_dir_state state;
    struct error answer_err; /* of the last guard answer or job */
    bool stop_ordered;       /* SIGQUIT was sent */
    int64_t stop_us;
    bool ending;
    struct error guard_err; /* why the guard proved nothing in this round */
    bool guard_proven;
    struct error obstacle; /* why the last round proved nothing */
    struct error err;
    struct fence_result result;
    fence_cb done;
    fence_check_cb checked;
    void *ctx;

    bool destroying;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void agent_step(struct fence_agent *a);

static uint32_t left_ms(const struct fence_agent *a)
{
    return (uint32_t)clock_left_ms(a->t0_us, a->target.timeout_ms);
}

static void timer_set(uv_timer_t *timer, uv_timer_cb callback, uint64_t after_ms)
{
    int failed;

    uv_update_time(timer->loop);
    failed = uv_timer_start(timer, callback, after_ms, 0);
    ASSERT(failed == 0); /* only a closing timer does not start */
}

/* --- ending -------------------------------------------------------------------------------------------------------------------- */

static void on_agent_handle_closed(uv_handle_t *handle);
static void on_guard_gone(void *ctx);

static void close_handles(struct fence_agent *a)
{
    guard_client_destroy(a->guard, on_guard_gone, a);
    uv_close((uv_handle_t *)&a->deadline, on_agent_handle_closed);
    uv_close((uv_handle_t *)&a->pause, on_agent_handle_closed);
}

static void on_end(uv_timer_t *timer)
{
    struct fence_agent *a = timer->data;
    bool destroying = a->destroying;

    if (a->guard_asked || a->preload != NULL)
        return; /* their callbacks come here again */
    a->busy = false;
    if (a->checking)
        a->checked(a->ctx, error_or_null(&a->err));
    else
        a->done(a->ctx, &a->result, error_or_null(&a->err));
    if (destroying)
        close_handles(a);
}

/* From here on every callback only leads to on_end. */
static void agent_end(struct fence_agent *a)
{
    if (a->ending)
        return;
    a->ending = true;
    (void)uv_timer_stop(&a->deadline);
    if (a->job != NULL)
        data_dir_job_abandon(a->job);
    a->job = NULL;
    if (a->guard_asked)
        guard_client_cancel(a->guard);
    if (a->preload != NULL)
        preload_cancel(a->preload);
    timer_set(&a->pause, on_end, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct fence_agent *a = timer->data;

    if (a->obstacle.status == STATUS_OK)
        (void)error_set(&a->obstacle, STATUS_TIMED_OUT, "%s could not be looked at in time: its disk may hang",
                        a->data_dir);
    a->err = a->obstacle;
    a->err.status = STATUS_TIMED_OUT;
    agent_end(a);
}

/* --- callbacks: record, then step ------------------------------------------------------------------------------------------------ */

static void record(struct fence_agent *a, const struct error *err)
{
    a->answer_err = err != NULL ? *err : ERROR_NONE;
    agent_step(a);
}

static void on_guard(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct fence_agent *a = ctx;

    a->guard_asked = false;
    a->answer = *answer;
    record(a, err);
}

static void on_job(void *ctx, const struct data_dir_state *state, const struct error *err)
{
    struct fence_agent *a = ctx;

    a->job = NULL;
    if (a->action == DATA_DIR_INSPECT)
        a->state = *state;
    record(a, err);
}

static void on_pause(uv_timer_t *timer)
{
    record(timer->data, NULL);
}

static void on_preload(void *ctx, bool preloaded, const struct error *err)
{
    struct fence_agent *a = ctx;

    a->preload = NULL;
    a->preloaded = err != NULL ? PRELOAD_UNKNOWN : preloaded ? PRELOAD_YES : PRELOAD_NO;
    if (a->ending)
        timer_set(&a->pause, on_end, 0);
    else if (a->phase == PROVEN)
        agent_step(a); /* this is what the proof waited for */
}

/* --- the parts of a round -------------------------------------------------------------------------------------------------------- */

static void job_begin(struct fence_agent *a, enum agent_phase next, enum data_dir_action action, pid_t pid)
{
    a->phase = next;
    a->action = action;
    a->job = data_dir_job_begin(a->loop, action, a->data_dir, pid, on_job, a);
}

/* `obstacle` says why; the next round may find it gone. */
static void pause_begin(struct fence_agent *a)
{
    a->phase = ROUND;
    timer_set(&a->pause, on_pause, PAUSE_MS);
}

static uint32_t guard_ms(const struct fence_agent *a)
{
    uint32_t left = left_ms(a);

    return left < GUARD_TIMEOUT_MS ? left : GUARD_TIMEOUT_MS;
}

static void step_round(struct fence_agent *a)
{
    a->guard_err = ERROR_NONE;
    a->guard_proven = false;
    if (!a->has_guard || a->stop_ordered) {
        job_begin(a, DECIDE, DATA_DIR_INSPECT, 0);
        return; /* on_job continues */
    }
    a->guard_asked = true;
    if (a->checking) {
        a->phase = PEER;
        guard_status_begin(a->guard, guard_ms(a), on_guard, a);
    } else {
        a->phase = STATUS;
        guard_close_begin(a->guard, a->target.epoch, guard_ms(a), on_guard, a);
    }
}

/* The guard reports: is that a proof that its instance is closed for the epoch? */
static bool guard_is_closed(struct fence_agent *a)
{
    const struct guard_status *s = &a->answer.status;

    if (!s->enforcing || s->state == GUARD_BYPASS)
        (void)error_set(&a->guard_err, STATUS_FAILED, "the guard of instance %016" PRIx64 " enforces nothing (bypass)",
                        s->instance);
    else if (!a->checking && s->closed_epoch < a->target.epoch)
        (void)error_set(&a->guard_err, STATUS_FAILED,
                        "the guard of instance %016" PRIx64 " is closed up to epoch %" PRIu64 " only", s->instance,
                        s->closed_epoch);
    else if (!a->checking && s->state != GUARD_CLOSED)
        (void)error_set(&a->guard_err, STATUS_FAILED,
                        "the guard of instance %016" PRIx64 " is closed up to epoch %" PRIu64
                        " and open under epoch %" PRIu64 ": another service's node file may name the same guard_socket",
                        s->instance, s->closed_epoch, s->epoch);
    else if (a->answer.peer_pid <= 0)
        (void)error_set(&a->guard_err, STATUS_FAILED, "the process behind the guard's socket is not visible");
    else
        return true;
    return false;
}

/* The guard proved nothing: look at the directory. */
static void guard_failed(struct fence_agent *a)
{
    if (a->answer_err.status != STATUS_OK)
        a->guard_err = a->answer_err;
    job_begin(a, DECIDE, DATA_DIR_INSPECT, 0);
}

static void prove_all(struct fence_agent *a, instance_id running)
{
    a->result.running = running;
    a->result.stopped = running == 0;
    for (uint32_t i = 0; i < a->target.instance_count; i++)
        a->result.proofs[i] =
            running != 0 && a->target.instances[i] == running ? FENCE_CONFIRMED_CLOSED : FENCE_CONFIRMED_STOPPED;
    a->phase = PROVEN;
    agent_step(a);
}

/* A check proves that a fence could: it sees the running server, its guard and its shared memory. */
static void check_running(struct fence_agent *a)
{
    if (a->has_guard && !a->guard_proven) {
        a->obstacle = a->guard_err;
        pause_begin(a);
    } else if (a->state.attached_count == 0) {
        (void)error_set(&a->err, STATUS_FAILED,
                        "the shared memory of the server in %s is not visible: coordd must run in its IPC namespace",
                        a->data_dir);
        agent_end(a);
    } else if (!a->has_guard) {
        agent_end(a);
    } else {
        prove_all(a, a->answer.status.instance);
    }
}

/* A server runs, and nothing proves its guard closed. */
static void step_running(struct fence_agent *a)
{
    if (a->checking) {
        check_running(a);
    } else if (a->stop_ordered) {
        (void)error_set(&a->obstacle, STATUS_FAILED, "server %d of %s does not end", (int)a->state.postmaster,
                        a->data_dir);
        if (clock_now_us() - a->stop_us > STOP_GRACE_MS * (int64_t)1000)
            job_begin(a, KILLED, DATA_DIR_KILL, 0);
        else
            pause_begin(a);
    } else if (a->target.stop) {
        job_begin(a, STOP, DATA_DIR_TOMBSTONE, 0);
    } else {
        (void)error_set(&a->obstacle, STATUS_FAILED,
                        "server %d runs and is not proven closed (to end it: pg_ctl stop -m immediate -D %s): %.200s",
                        (int)a->state.postmaster, a->data_dir,
                        a->guard_err.status != STATUS_OK ? a->guard_err.text : "no guard is configured");
        pause_begin(a);
    }
}

/* In this round. A frozen one does not answer, but its kernel connects. */
static bool guard_was_there(const struct fence_agent *a)
{
    return a->guard_err.status != STATUS_OK && a->guard_err.status != STATUS_UNREACHABLE;
}

static void step_decide(struct fence_agent *a)
{
    if (a->answer_err.status != STATUS_OK) {
        a->obstacle = a->answer_err;
        pause_begin(a);
        return; /* on_pause continues */
    }
    switch (a->state.life) {
    case DATA_DIR_EMPTY:
        if (guard_was_there(a)) {
            (void)error_set(
                &a->obstacle, STATUS_FAILED,
                "no server is seen in %s, but one serves its guard's socket: data_dir or guard_socket is another "
                "server's, or coordd is not in PostgreSQL's PID and IPC namespaces",
                a->data_dir);
            pause_begin(a);
        } else {
            prove_all(a, 0);
        }
        return;
    case DATA_DIR_RUNNING:
        step_running(a);
        return;
    case DATA_DIR_ORPHANED:
        (void)error_set(&a->obstacle, STATUS_FAILED,
                        "the postmaster of %s is gone, but %" PRIu32 " of its processes (one is %d) and %" PRIu64
                        " attachments to its shared memory are left and may still commit: end them with kill -9",
                        a->data_dir, a->state.process_count, (int)a->state.some_process, a->state.attached_count);
        if (a->checking || a->state.process_count == 0)
            pause_begin(a); /* attached by something that stands elsewhere: only time or an operator ends it */
        else
            job_begin(a, KILLED, DATA_DIR_KILL, 0);
        return;
    }
}

/* Every instance is proven. Can the directory come up read-write? */
static void step_proven(struct fence_agent *a)
{
    bool stopped = a->result.stopped;

    if (!a->checking && a->target.stop && !stopped) {
        job_begin(a, STOP, DATA_DIR_TOMBSTONE, 0);
        return; /* on_job continues */
    }
    if (a->preloaded == PRELOAD_ASKED && a->result.protected_by == 0)
        return; /* on_preload continues */
    if (a->preloaded == PRELOAD_YES)
        a->result.protected_by |= FENCE_GUARD_PRELOADED;
    if (a->result.protected_by != 0) {
        agent_end(a);
        return;
    }
    if (stopped && !a->checking) {
        job_begin(a, LAST, DATA_DIR_TOMBSTONE, 0);
        return; /* on_job continues */
    }
    (void)error_set(&a->err, STATUS_FAILED,
                    "%s could come up read-write: %s; add lease_guard to shared_preload_libraries there", a->data_dir,
                    a->preloaded == PRELOAD_NO ? "it does not preload lease_guard"
                                               : "its preloaded libraries are not known");
    agent_end(a);
}

/* The tombstone is on the disk, or the order to stop was given. */
static void step_stop(struct fence_agent *a)
{
    if (a->answer_err.status != STATUS_OK) {
        a->err = a->answer_err;
        agent_end(a);
        return;
    }
    a->result.protected_by |= FENCE_TOMBSTONE;
    if (a->stop_ordered) {
        a->phase = ROUND;
        agent_step(a);
        return;
    }
    a->stop_ordered = true;
    a->stop_us = clock_now_us();
    job_begin(a, STOP, DATA_DIR_STOP, 0);
}

static void agent_step(struct fence_agent *a)
{
    if (a->ending) {
        timer_set(&a->pause, on_end, 0);
        return; /* on_end continues */
    }
    switch (a->phase) {
    case ROUND:
        step_round(a);
        return;
    case STATUS:
        if (a->answer_err.status != STATUS_OK) {
            guard_failed(a);
            return;
        }
        a->phase = PEER;
        a->guard_asked = true;
        guard_status_begin(a->guard, guard_ms(a), on_guard, a);
        return;
    case PEER:
        if (a->answer_err.status != STATUS_OK || !guard_is_closed(a))
            guard_failed(a);
        else
            job_begin(a, HOLDS, DATA_DIR_HOLDS, a->answer.peer_pid);
        return;
    case HOLDS:
        a->guard_proven = a->answer_err.status == STATUS_OK;
        if (a->guard_proven && !a->checking)
            prove_all(a, a->answer.status.instance);
        else
            guard_failed(a); /* another server answers at that socket, or it has just ended; or a check looks further */
        return;
    case DECIDE:
        step_decide(a);
        return;
    case PROVEN:
        step_proven(a);
        return;
    case STOP:
        step_stop(a);
        return;
    case KILLED:
        if (a->answer_err.status != STATUS_OK)
            a->obstacle = a->answer_err;
        pause_begin(a);
        return;
    case LAST:
        if (a->answer_err.status != STATUS_OK)
            a->err = a->answer_err;
        else
            a->result.protected_by |= FENCE_TOMBSTONE;
        agent_end(a);
        return;
    }
}

/* --- the interface --------------------------------------------------------------------------------------------------------------- */

static void start(struct fence_agent *a, void *ctx)
{
    a->busy = true;
    a->ctx = ctx;
    a->t0_us = clock_now_us();
    a->phase = ROUND;
    a->preloaded = PRELOAD_ASKED;
    a->stop_ordered = false;
    a->ending = false;
    a->obstacle = ERROR_NONE;
    a->err = ERROR_NONE;
    memset(&a->result, 0, sizeof a->result);
    a->result.instance_count = a->target.instance_count;
    timer_set(&a->deadline, on_deadline, a->target.timeout_ms);
    a->preload = preload_begin(a->loop, &a->child, a->bin_dir, a->data_dir, a->target.timeout_ms, on_preload, a);
    agent_step(a);
}

static void agent_begin(void *self, const struct fence_target *target, fence_cb done, void *ctx)
{
    struct fence_agent *a = self;

    ASSERT(!a->busy && !a->destroying);
    ASSERT(target->instance_count <= FENCE_INSTANCES_MAX);
    a->target = *target;
    a->checking = false;
    a->done = done;
    start(a, ctx);
}

static void agent_check(void *self, uint32_t timeout_ms, fence_check_cb done, void *ctx)
{
    struct fence_agent *a = self;

    ASSERT(!a->busy && !a->destroying);
    memset(&a->target, 0, sizeof a->target);
    a->target.timeout_ms = timeout_ms;
    a->checking = true;
    a->checked = done;
    start(a, ctx);
}

static void agent_cancel(void *self)
{
    struct fence_agent *a = self;

    if (!a->busy || a->ending)
        return;
    (void)error_set(&a->err, STATUS_CANCELED, "canceled");
    agent_end(a);
}

const struct fence_method fence_agent_method = {
    .name = "agent", .begin = agent_begin, .cancel = agent_cancel, .check = agent_check
};

static void agent_free(struct fence_agent *a)
{
    free(a->data_dir);
    free(a->bin_dir);
    free(a);
}

static void handle_closed(struct fence_agent *a)
{
    void (*closed)(void *ctx) = a->closed;
    void *ctx = a->closed_ctx;

    a->handles_open--;
    if (a->handles_open > 0)
        return; /* the next one continues */
    agent_free(a);
    if (closed != NULL)
        closed(ctx);
}

static void on_agent_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_guard_gone(void *ctx)
{
    handle_closed(ctx);
}

struct fence_agent *fence_agent_create(uv_loop_t *loop, const struct fence_agent_config *config)
{
    struct fence_agent *a = calloc(1, sizeof *a);
    int failed;

    if (a == NULL)
        return NULL;
    a->loop = loop;
    a->child = config->child;
    a->has_guard = config->guard_socket[0] != '\0';
    a->data_dir = strdup(config->data_dir);
    a->bin_dir = strdup(config->bin_dir);
    a->guard = guard_client_create(loop, config->guard_socket);
    if (a->data_dir == NULL || a->bin_dir == NULL || a->guard == NULL) {
        if (a->guard != NULL)
            guard_client_destroy(a->guard, NULL, NULL);
        agent_free(a);
        return NULL;
    }
    failed = uv_timer_init(loop, &a->deadline);
    ASSERT(failed == 0); /* cannot fail on Linux */
    failed = uv_timer_init(loop, &a->pause);
    ASSERT(failed == 0);
    a->deadline.data = a;
    a->pause.data = a;
    a->handles_open = 3; /* the guard's client counts as one */
    return a;
}

void fence_agent_destroy(struct fence_agent *agent, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!agent->destroying);
    agent->closed = closed;
    agent->closed_ctx = ctx;
    agent->destroying = true;
    if (agent->busy)
        agent_cancel(agent); /* on_end continues */
    else
        close_handles(agent);
}
