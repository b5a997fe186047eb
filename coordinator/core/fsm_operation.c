/* Commands that start, undo and carry on an operation. */
#include "core/fsm_internal.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "core/gates.h"
#include "core/plan.h"
#include "core/verdict.h"

#define RETRY_SAME_PAUSE 10u /* attempts with the plan's own pause; then it grows */
#define RETRY_MS_MAX 15000

struct service *fsm_operation(struct state *s, operation_id id, struct outcome *o)
{
    for (unsigned i = 0; id != 0 && i < SERVICES_MAX; i++) {
        struct service *svc = &s->services[i];

        if (svc->present && svc->operation.id == id && operation_active(&svc->operation))
            return svc;
    }
    fsm_refuse(o, "there is no active operation %" PRIu64, id);
    return (struct service *)0;
}

void fsm_archive(struct state *s, struct service *svc)
{
    struct operation *op = &svc->operation;

    op->ended_ms = s->now_ms;
    s->incidents[s->incident_count % INCIDENTS_MAX] = *op;
    s->incident_count++;
    event_add(s, EVENT_OPERATION, op->service, op->to, op->id, "%s: operation %" PRIu64 " %s after %" PRId64 " ms",
              svc->config.name, op->id, operation_state_word(op->state), op->ended_ms - op->started_ms);
}

/* An operation that has nothing left to run ends. */
static void settle(struct state *s, struct service *svc)
{
    struct operation *op = &svc->operation;

    for (unsigned i = 0; i < op->run_count; i++)
        if (!run_ended(&op->runs[i]))
            return;
    if (op->state == OPERATION_UNDOING && operation_move(op, OPERATION_EV_UNDONE) == (const char *)0)
        fsm_archive(s, svc);
    else if (op->state == OPERATION_PROMOTED && operation_move(op, OPERATION_EV_FINISHED) == (const char *)0)
        fsm_archive(s, svc);
}

/* From here on the old epoch ends: nothing extends its lease, and the steps that prove its end begin. */
static void run_begins(struct state *s, struct service *svc)
{
    struct operation *op = &svc->operation;

    op->started_ms = s->now_ms;
    if (lease_revoke(&svc->lease, op->old_epoch, s->applied_index) == (const char *)0)
        event_add(s, EVENT_LEASE, op->service, op->from, op->id, "%s: lease of %s revoked, epoch %" PRIu64,
                  svc->config.name, state_site_name(s, op->from), op->old_epoch);
    plan_begin(s, op);
    fsm_certify_expiry(s, svc); /* the lease may have run out before, under an operation that was aborted */
    if (certificate_any(&svc->proof, &svc->lease, (enum certificate_kind *)0))
        op->certified_ms = s->now_ms;
}

static void refuse_gates(const struct state *s, service_id service, site_id to, uint32_t no, struct outcome *o)
{
    const struct service *svc = &s->services[service];
    char force[80] = "";
    char why[GATE_TEXT_MAX_BYTES] = "";
    bool overridable = true;

    for (int g = 0; g < GATE_COUNT; g++) {
        if (((no >> g) & 1u) == 0)
            continue;
        if (why[0] == '\0' ||
            (overridable && !gate_overridable((enum gate)g))) /* what cannot be forced is the reason */
            gate_reason(s, service, to, (enum gate)g, s->now_ms, why, sizeof why);
        text_add(force, sizeof force, "%s%s", force[0] ? "," : "", gate_word((enum gate)g));
        overridable = overridable && gate_overridable((enum gate)g);
    }
    fsm_refuse(o, "gate %s of %s: %.110s%s", force, svc->config.name, why, overridable ? "" : " (cannot be forced)");
    o->value = no;
}

static const char *start_refused(const struct service *svc, const struct command_operation_start *in)
{
    if (svc->primary == SITE_NONE || in->from != svc->primary)
        return svc->primary == SITE_NONE ? "the service has no primary yet" : "the primary is another site now";
    if (in->epoch != svc->lease.epoch)
        return "the log has moved on: the epoch is over";
    if (in->kind == OPERATION_FAILOVER && !verdict_accuses(svc->views[in->from].verdict))
        return "the primary is not down, failed or gray";
    return (const char *)0;
}

/* A person gives up on a promotion whose target died after the point of no return. */
static void supersede(struct state *s, struct service *svc)
{
    struct operation *op = &svc->operation;

    for (unsigned i = 0; i < op->run_count; i++)
        if (!run_ended(&op->runs[i])) {
            (void)run_move(&op->runs[i], RUN_EV_SKIP);
            text_set(op->runs[i].detail, sizeof op->runs[i].detail, "given up: another promotion was forced");
        }
    settle(s, svc);
}

void fsm_operation_start(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_operation_start *in = &c->operation_start;
    struct service *svc = fsm_service(s, in->service, o);
    bool automatic = in->kind == OPERATION_FAILOVER;
    uint32_t overrides = automatic ? 0 : in->overrides;
    const char *why;
    uint32_t no;

    if (svc == (struct service *)0)
        return;
    no = gates_check(s, in->service, in->to, in->kind, overrides, s->now_ms);
    if (no != 0) {
        refuse_gates(s, in->service, in->to, no, o);
        return;
    }
    why = start_refused(svc, in);
    if (why != (const char *)0) {
        fsm_refuse(o, "%s", why);
        return;
    }
    if (operation_active(&svc->operation))
        supersede(s, svc);
    svc->operation = (struct operation){ .id = s->applied_index,
                                         .kind = in->kind,
                                         .service = in->service,
                                         .from = in->from,
                                         .to = in->to,
                                         .old_epoch = in->epoch,
                                         .detected_ms = automatic ? svc->views[in->from].verdict_ms : s->now_ms,
                                         .started_ms = s->now_ms,
                                         .overrides = overrides };
    (void)text_copy(svc->operation.who, sizeof svc->operation.who, c->who);
    (void)text_copy(svc->operation.reason, sizeof svc->operation.reason, in->reason);
    svc->gates_noted = 0;
    o->value = s->applied_index;
    if (automatic && svc->config.mode == MODE_PROPOSE) {
        (void)operation_move(&svc->operation, OPERATION_EV_PROPOSE);
        event_add(s, EVENT_ALARM, in->service, in->to, o->value,
                  "%s: failover from %s to %s is proposed: coordctl approve %" PRIu64 " (or abort)", svc->config.name,
                  state_site_name(s, in->from), state_site_name(s, in->to), o->value);
        return;
    }
    (void)operation_move(&svc->operation, OPERATION_EV_START);
    event_add(s, EVENT_OPERATION, in->service, in->to, o->value, "%s: %s from %s to %s starts, by %s: %.70s",
              svc->config.name, operation_kind_word(in->kind), state_site_name(s, in->from), state_site_name(s, in->to),
              c->who, in->reason);
    run_begins(s, svc);
}

void fsm_operation_approve(struct state *s, const struct command *c, struct outcome *o)
{
    struct service *svc = fsm_operation(s, c->operation_approve.operation, o);
    uint32_t no;

    if (svc == (struct service *)0)
        return;
    if (svc->operation.state != OPERATION_PROPOSED || svc->lease.epoch != svc->operation.old_epoch) {
        fsm_refuse(o, "operation %" PRIu64 " does not wait for approval", svc->operation.id);
        return;
    }
    /* The world has gone on since it was proposed: what would stop a promotion by hand now stops this one. */
    no = gates_check(s, svc->operation.service, svc->operation.to, OPERATION_PROMOTE, 0, s->now_ms) &
         ~(1u << GATE_OPERATION);
    if (no != 0) {
        refuse_gates(s, svc->operation.service, svc->operation.to, no, o);
        return;
    }
    (void)operation_move(&svc->operation, OPERATION_EV_START);
    event_add(s, EVENT_OPERATION, svc->operation.service, svc->operation.to, svc->operation.id,
              "%s: operation %" PRIu64 " approved by %s: %.70s", svc->config.name, svc->operation.id, c->who,
              c->operation_approve.reason);
    run_begins(s, svc);
}

void fsm_operation_abort(struct state *s, const struct command *c, struct outcome *o)
{
    struct service *svc = fsm_operation(s, c->operation_abort.operation, o);
    const char *why;

    if (svc == (struct service *)0)
        return;
    why = operation_move(&svc->operation, OPERATION_EV_ABORT);
    if (why != (const char *)0) {
        fsm_refuse(o, "operation %" PRIu64 ": %s", svc->operation.id, why);
        return;
    }
    event_add(s, EVENT_OPERATION, svc->operation.service, svc->operation.to, svc->operation.id,
              "%s: operation %" PRIu64 " aborted by %s: %.70s", svc->config.name, svc->operation.id, c->who,
              c->operation_abort.reason);
    if (svc->operation.state == OPERATION_ABORTED) {
        fsm_archive(s, svc);
        return;
    }
    certificate_void_all(&svc->proof); /* first this entry, then the world is touched */
    plan_undo(&svc->operation);
    settle(s, svc);
}

/* The run that a step command speaks of, or NULL with the refusal filled in. */
static struct step_run *run_of(struct service *svc, uint8_t index, struct outcome *o)
{
    if (index >= svc->operation.run_count) {
        fsm_refuse(o, "operation %" PRIu64 " has no run %u", svc->operation.id, index);
        return (struct step_run *)0;
    }
    return &svc->operation.runs[index];
}

void fsm_step_assign(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_step_assign *in = &c->step_assign;
    struct service *svc = fsm_operation(s, in->operation, o);
    struct step_run *run = svc == (struct service *)0 ? (struct step_run *)0 : run_of(svc, in->run, o);

    if (run == (struct step_run *)0)
        return;
    if (in->attempt != run->attempt + 1 || !plan_run_due(svc, &svc->operation, run, s->now_ms)) {
        fsm_refuse(o, "step %s is not due, or another attempt was first", step_word(run->step));
        return;
    }
    if (in->node == 0 || in->node != plan_run_node(s, &svc->operation, run)) {
        fsm_refuse(o, "node %" PRIu64 " is not the executor of %s", in->node, state_site_name(s, run->site));
        return;
    }
    (void)run_move(run, RUN_EV_ASSIGN); /* due means pending */
    run->attempt = in->attempt;
    run->node = in->node;
    run->epoch = svc->lease.epoch;
    run->assigned_ms = s->now_ms;
    run->ended_ms = 0;
}

/* Every server that the epoch may have opened is among those that are proven stopped or closed. */
static bool covers_instances(const struct lease *lease, const struct step_result *result)
{
    for (unsigned i = 0; i < lease->instance_count; i++) {
        bool found = false;

        for (unsigned j = 0; j < result->instance_count; j++)
            found = found || result->instances[j] == lease->instances[i];
        if (!found)
            return false;
    }
    return true;
}

/* What must hold of a success beyond the word; NULL when it does. */
static const char *success_refused(const struct service *svc, const struct step_run *run,
                                   const struct step_result *result)
{
    if (run->step == STEP_SEVER && !result->position.known)
        return "it brought no position";
    if (run->step == STEP_FENCE && !lease_ended(&svc->lease))
        return "the lease can still be extended";
    if (run->step == STEP_FENCE && run->node != svc->lease.holder)
        return "another node than the lease's holder cannot prove the end of what the holder has opened";
    if (run->step == STEP_FENCE && !covers_instances(&svc->lease, result))
        return "it does not speak of every server that was opened in this epoch";
    return (const char *)0;
}

/* A step that fails for hours must not push everything else out of the events and the log: the pause grows, and only news is recorded. */
static void attempt_failed(struct state *s, struct service *svc, struct step_run *run, const char *why)
{
    const struct plan_step *step = plan_step_of(run->step);
    int64_t pause_ms = (int64_t)step->retry_ms * (1 + run->attempt / RETRY_SAME_PAUSE);
    bool news = !text_equal(run->detail, why);

    run->retry_after_ms = s->now_ms + (pause_ms < RETRY_MS_MAX ? pause_ms : RETRY_MS_MAX);
    (void)text_copy(run->detail, sizeof run->detail, why);
    if (!news && (run->attempt & (run->attempt - 1)) != 0)
        return; /* the same again: recorded at attempts 1, 2, 4, 8 ... */
    event_add(s, step->on_failure == PLAN_ALERT ? EVENT_ALARM : EVENT_STEP, svc->operation.service, run->site,
              svc->operation.id, "%s at %s failed (attempt %" PRIu32 "): %.120s", step_word(run->step),
              state_site_name(s, run->site), run->attempt, run->detail);
}

void fsm_step_result(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_step_result *in = &c->step_result;
    struct service *svc = fsm_operation(s, in->operation, o);
    struct step_run *run = svc == (struct service *)0 ? (struct step_run *)0 : run_of(svc, in->run, o);
    const char *why;

    if (run == (struct step_run *)0)
        return;
    if (run->state != RUN_ASSIGNED || in->attempt != run->attempt || in->epoch != run->epoch ||
        (in->node != run->node && (in->node != 0 || in->result.ok))) {
        fsm_refuse(o, "stale: attempt %" PRIu32 " of step %s in epoch %" PRIu64 " is not open", in->attempt,
                   step_word(run->step), in->epoch);
        return;
    }
    why = in->result.ok ? success_refused(svc, run, &in->result) : in->result.detail;
    (void)run_move(run, why == (const char *)0 ? RUN_EV_OK : RUN_EV_FAILED); /* assigned lets both through */
    run->ended_ms = s->now_ms;
    if (why != (const char *)0) {
        attempt_failed(s, svc, run, why);
        return;
    }
    (void)text_copy(run->detail, sizeof run->detail, in->result.detail);
    run->position = in->result.position;
    event_add(s, EVENT_STEP, svc->operation.service, run->site, svc->operation.id,
              "%s at %s done in %" PRId64 " ms: %.120s", step_word(run->step), state_site_name(s, run->site),
              run->ended_ms - run->assigned_ms, run->detail);
    if (run->step == STEP_FENCE)
        fsm_certify_agent(s, svc, run->detail);
    settle(s, svc);
}

void fsm_step_skip(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_step_skip *in = &c->step_skip;
    struct service *svc = fsm_operation(s, in->operation, o);
    bool found = false;

    if (svc == (struct service *)0)
        return;
    if ((unsigned)in->step >= STEP_COUNT || plan_step_of(in->step)->safety) {
        fsm_refuse(o, "step %s is a safety step: it can't be skipped", step_word(in->step));
        return;
    }
    for (unsigned i = 0; i < svc->operation.run_count; i++) {
        struct step_run *run = &svc->operation.runs[i];

        if (run->step != in->step || run_ended(run))
            continue;
        (void)run_move(run, RUN_EV_SKIP);
        run->ended_ms = s->now_ms;
        text_set(run->detail, sizeof run->detail, "skipped by %.40s: %.90s", c->who, in->reason);
        event_add(s, EVENT_ALARM, svc->operation.service, run->site, svc->operation.id, "step %s at %s %.120s",
                  step_word(run->step), state_site_name(s, run->site), run->detail);
        found = true;
    }
    if (!found)
        fsm_refuse(o, "no run of step %s is open", step_word(in->step));
    else
        settle(s, svc);
}
