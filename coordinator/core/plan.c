#include "core/plan.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/text.h"
#include "core/gates.h"
#include "core/standby.h"

#define BIT(step) (1u << (step))

/* CHECKPOINT runs beside the way to the first write: only a later rewind needs it, and on a large database it takes minutes. */
static const struct plan_step steps[STEP_COUNT] = {
    [STEP_SEVER] = { .needs = 0,
                     .safety = true,
                     .deadline_ms = 5000,
                     .retry_ms = 200,
                     .what = "the standby's WAL receiver to end and its position to be read",
                     .way = PLAN_WAY_ABORT },
    [STEP_FENCE] = { .needs = 0,
                     .safety = true,
                     .deadline_ms = 5000,
                     .retry_ms = 300,
                     .what = "the old site's node to prove its servers stopped or closed (or the lease to expire)",
                     .way = PLAN_WAY_FENCED,
                     .by_hand = "switch the old primary off" },
    [STEP_PROMOTE] = { .needs = 0,
                       .after_promote = true,
                       .safety = true,
                       .deadline_ms = 60000,
                       .retry_ms = 300,
                       .what = "pg_promote at the target",
                       .way = PLAN_WAY_ELSEWHERE,
                       .by_hand = "look at PostgreSQL's log there" },
    [STEP_CHECKPOINT] = { .needs = BIT(STEP_PROMOTE),
                          .after_promote = true,
                          .deadline_ms = 600000,
                          .retry_ms = 1000,
                          .what = "a checkpoint on the new timeline",
                          .way = PLAN_WAY_SKIP },
    [STEP_CANARY] = { .needs = BIT(STEP_PROMOTE),
                      .after_promote = true,
                      .deadline_ms = 10000,
                      .retry_ms = 200,
                      .what = "the first acknowledged write at the target",
                      .way = PLAN_WAY_SKIP,
                      .by_hand = "look at PostgreSQL's log there" },
    [STEP_DNS] = { .needs = BIT(STEP_CANARY),
                   .after_promote = true,
                   .deadline_ms = 10000,
                   .retry_ms = 1000,
                   .on_failure = PLAN_RETRY,
                   .what = "the DNS authority to take the update",
                   .way = PLAN_WAY_SKIP,
                   .by_hand = "change the record by hand" },
    [STEP_DEPLOY] = { .needs = BIT(STEP_CANARY),
                      .after_promote = true,
                      .deadline_ms = 300000,
                      .retry_ms = 2000,
                      .on_failure = PLAN_RETRY,
                      .what = "the deploy command to succeed",
                      .way = PLAN_WAY_SKIP,
                      .by_hand = "start the application by hand" },
    [STEP_VERIFY] = { .needs = BIT(STEP_DNS) | BIT(STEP_DEPLOY),
                      .after_promote = true,
                      .deadline_ms = 10000,
                      .retry_ms = 500,
                      .on_failure = PLAN_ALERT,
                      .what = "the application to be healthy and every DNS authority to answer with the new address",
                      .way = PLAN_WAY_SKIP },
    [STEP_RECONNECT] = { .needs = 0,
                         .deadline_ms = 10000,
                         .retry_ms = 1000,
                         .what = "the standby's WAL receiver to be allowed again",
                         .way = PLAN_WAY_SKIP,
                         .by_hand = "restore primary_conninfo there" },
};

const struct plan_step *plan_step_of(enum step step)
{
    ASSERT((unsigned)step < STEP_COUNT);
    return &steps[step];
}

void plan_begin(const struct state *s, struct operation *op)
{
    const struct service_config *config = &s->services[op->service].config;

    op->run_count = 0;
    for (unsigned i = 0; i < config->site_count; i++)
        if (config->sites[i].site != op->from)
            (void)operation_add_run(op, STEP_SEVER, config->sites[i].site);
    if (op->from != SITE_NONE)
        (void)operation_add_run(op, STEP_FENCE, op->from);
}

void plan_promoted(const struct state *s, struct operation *op)
{
    static const enum step rest[] = { STEP_PROMOTE, STEP_CHECKPOINT, STEP_CANARY, STEP_DNS, STEP_DEPLOY, STEP_VERIFY };

    for (unsigned i = 0; i < op->run_count; i++) {
        struct step_run *run = &op->runs[i];

        if (!run_ended(run)) {
            (void)run_move(run, RUN_EV_SKIP);
            run->ended_ms = s->now_ms;
            if (run->detail[0] == '\0')
                text_set(run->detail, sizeof run->detail, "not needed: another proof or candidate was first");
        }
    }
    for (unsigned i = 0; i < sizeof rest / sizeof rest[0]; i++)
        (void)operation_add_run(op, rest[i], op->to);
}

void plan_undo(struct operation *op)
{
    unsigned count = op->run_count;

    for (unsigned i = 0; i < count; i++) {
        struct step_run *run = &op->runs[i];
        /* A sever that was assigned may have happened, whatever its result was. */
        bool touched = run->step == STEP_SEVER && run->attempt > 0;
        site_id site = run->site;

        if (!run_ended(run))
            (void)run_move(run, RUN_EV_SKIP);
        if (touched)
            (void)operation_add_run(op, STEP_RECONNECT, site);
    }
}

bool plan_run_due(const struct service *svc, const struct operation *op, const struct step_run *run, int64_t now_ms)
{
    const struct plan_step *step = plan_step_of(run->step);

    if (run->state != RUN_PENDING || now_ms < run->retry_after_ms)
        return false;
    if (step->after_promote != (op->state == OPERATION_PROMOTED))
        return false;
    /* By hand the old primary is often alive: the standby receives until nothing more is acknowledged there, and lacks nothing. In a failover
     * the standby is cut off from whatever the old primary may still send, and beside the proof, since time counts. */
    if (run->step == STEP_SEVER && op->kind == OPERATION_PROMOTE && op->certified_ms == 0)
        return false;
    /* While promises may keep the old primary open, the standby goes on receiving what is acknowledged there. */
    if (run->step == STEP_SEVER && svc->lease.promises_ended_index == 0 && op->certified_ms == 0)
        return false;
    for (unsigned i = 0; i < op->run_count; i++)
        if ((step->needs & BIT(op->runs[i].step)) != 0 && !run_ended(&op->runs[i]))
            return false;
    return true;
}

node_id plan_run_node(const struct state *s, const struct operation *op, const struct step_run *run)
{
    const struct service *svc = &s->services[op->service];
    node_id executor = svc->views[run->site].executor;

    if (run->step == STEP_FENCE && svc->lease.site == run->site && svc->lease.holder != 0)
        return svc->lease.holder;
    return executor != 0 ? executor : state_site_node(s, run->site);
}

static bool was_ready(const struct state *s, const struct service *svc, site_id site)
{
    return standby_ready(svc, site, state_member_slot(s, svc->views[site].executor));
}

/* What became of a standby's chance to be the candidate. */
enum chance { CHANCE_OPEN, CHANCE_GONE, CHANCE_TAKEN };

/* `why` says what is in its way. */
static enum chance chance_of(const struct state *s, const struct operation *op, const struct step_run *run, char *why,
                             size_t capacity_bytes)
{
    static const struct opinion nothing = { 0 };
    int slot = state_member_slot(s, plan_run_node(s, op, run));
    bool heard = slot >= 0 && s->members[slot].heard; /* also after it was severed: its site may be gone by now */
    const struct opinion *own = heard ? &s->services[op->service].views[run->site].opinions[slot] : &nothing;
    /* An old primary may hold what nobody else has, and lack what was acknowledged since, on a timeline that only looks newer: only a person
     * takes it. */
    bool forced = run->site == op->to && ((op->overrides >> GATE_STANDBY) & 1u) != 0;
    bool fit = heard && own->word != OPINION_FAILED && (own->role != ROLE_PRIMARY || forced);
    bool tried = run->state == RUN_PENDING && run->attempt >= SEVER_TRIES;

    if (fit && run->state == RUN_DONE && run->position.known)
        return CHANCE_TAKEN;
    if (!heard)
        text_set(why, capacity_bytes, "%s: its coordinator is not in contact", state_site_name(s, run->site));
    else
        text_set(why, capacity_bytes, "%s: %s%s%s", state_site_name(s, run->site), steps[STEP_SEVER].what,
                 run->detail[0] ? "; last: " : "", run->detail);
    if (op->kind == OPERATION_PROMOTE && run->site == op->to)
        return CHANCE_OPEN;
    return fit && !tried ? CHANCE_OPEN : CHANCE_GONE;
}

static bool ahead(const struct position *a, const struct position *b)
{
    return a->timeline != b->timeline ? a->timeline > b->timeline : a->lsn > b->lsn;
}

/* What it is known to lack of the old primary's WAL, in bytes: as that was seen when the standby was severed, and as it stood when the fence had
 * closed it. */
static uint64_t lacks(const struct operation *op, const struct step_run *standby)
{
    const struct step_run *fence = operation_run(op, STEP_FENCE, SITE_NONE);
    const struct position *p = &standby->position;
    uint64_t bytes = p->gap_known ? p->gap_bytes : 0;
    bool fenced = fence != (const struct step_run *)0 && fence->state == RUN_DONE && fence->position.known &&
                  fence->position.timeline == p->timeline;

    if (fenced && fence->position.lsn > p->lsn && fence->position.lsn - p->lsn > bytes)
        bytes = fence->position.lsn - p->lsn;
    return bytes;
}

site_id plan_candidate(const struct state *s, const struct operation *op, char *why, size_t capacity_bytes)
{
    const struct service *svc = &s->services[op->service];
    const struct step_run *best = (const struct step_run *)0;
    const struct step_run *target = operation_run(op, STEP_SEVER, op->to);
    uint64_t bytes;
    bool lost;

    why[0] = '\0';
    for (unsigned i = 0; i < op->run_count; i++) {
        const struct step_run *run = &op->runs[i];
        enum chance chance;

        if (run->step != STEP_SEVER)
            continue;
        chance = chance_of(s, op, run, why, capacity_bytes);
        if (chance == CHANCE_OPEN)
            return SITE_NONE;
        if (chance == CHANCE_GONE)
            continue;
        if (best == (const struct step_run *)0 || ahead(&run->position, &best->position) ||
            (run->site == op->to && !ahead(&best->position, &run->position)))
            best = run;
    }
    if (best == (const struct step_run *)0) {
        if (why[0] == '\0')
            text_set(why, capacity_bytes, "the service has no standby");
        return SITE_NONE;
    }
    lost = best->site != op->to && (target == (const struct step_run *)0 || !target->position.known ||
                                    ahead(&target->position, &best->position));
    if (lost && op->kind == OPERATION_FAILOVER && !was_ready(s, svc, best->site)) {
        text_set(why, capacity_bytes, "%s is lost, and %s was not ready", state_site_name(s, op->to),
                 state_site_name(s, best->site));
        return SITE_NONE;
    }
    if (op->kind == OPERATION_PROMOTE && best->site != op->to) {
        text_set(why, capacity_bytes,
                 "%s is ahead of %s (0x%" PRIx64 " on timeline %" PRIu32 "): abort, and promote that site",
                 state_site_name(s, best->site), state_site_name(s, op->to), best->position.lsn,
                 best->position.timeline);
        return SITE_NONE;
    }
    bytes = lacks(op, best);
    if (bytes > svc->config.max_lag_bytes && ((op->overrides >> GATE_READY) & 1u) == 0) {
        text_set(why, capacity_bytes,
                 "%s lacks %" PRIu64 " bytes of WAL, max_lag is %" PRIu64
                 ": abort, then coordctl promote --force=ready",
                 state_site_name(s, best->site), bytes, svc->config.max_lag_bytes);
        return SITE_NONE;
    }
    return best->site;
}

static void way_out(const struct state *s, const struct operation *op, const struct plan_step *step, enum step which,
                    struct plan_wait *out)
{
    const char *service = s->services[op->service].config.name;

    if (step->by_hand != (const char *)0)
        text_set(out->way_out, sizeof out->way_out, "%s, then ", step->by_hand);
    switch (step->way) {
    case PLAN_WAY_ABORT:
        text_add(out->way_out, sizeof out->way_out, "coordctl abort %" PRIu64, op->id);
        return;
    case PLAN_WAY_FENCED:
        text_add(out->way_out, sizeof out->way_out,
                 "coordctl approve %" PRIu64 " --fenced --reason \"WHY\" --confirm %s", op->id, service);
        return;
    case PLAN_WAY_SKIP:
        text_add(out->way_out, sizeof out->way_out, "coordctl skip %" PRIu64 " %s --reason \"WHY\"", op->id,
                 step_word(which));
        return;
    case PLAN_WAY_ELSEWHERE:
        text_add(out->way_out, sizeof out->way_out,
                 "coordctl promote SITE -s %s --force=operation --reason \"WHY\" --confirm %s", service, service);
        return;
    }
}

static void wait_for_run(const struct state *s, const struct operation *op, const struct step_run *run,
                         struct plan_wait *out)
{
    text_set(out->what, sizeof out->what, "%s at %s (attempt %" PRIu32 "): %s%s%s", step_word(run->step),
             state_site_name(s, run->site), run->attempt, steps[run->step].what, run->detail[0] ? "; last: " : "",
             run->detail);
    way_out(s, op, &steps[run->step], run->step, out);
}

/* What stands between the end of a lease and the proof: the nodes that may have promised its holder to go on. */
static void promises_wait(const struct state *s, const struct service *svc, char *out, size_t capacity_bytes)
{
    node_id promiser = state_promiser_heard(s, svc);

    out[0] = '\0';
    if (svc->lease.promises_ended_index != 0)
        return;
    if (promiser != 0)
        text_set(out, capacity_bytes, "; what %s has promised it ends by itself within %" PRIu32 " ms",
                 state_node_name(s, promiser), svc->lease.ttl_ms);
    else
        text_set(out, capacity_bytes, "; no node is in contact that can say that no promise extends it");
}

void plan_wait(const struct state *s, const struct operation *op, struct plan_wait *out)
{
    const struct service *svc = &s->services[op->service];
    const struct step_run *fence = operation_run(op, STEP_FENCE, SITE_NONE);
    char why[DETAIL_MAX_BYTES] = "";
    char promises[DETAIL_MAX_BYTES];

    *out = (struct plan_wait){ .what = "" };
    promises_wait(s, svc, promises, sizeof promises);
    if (!operation_active(op))
        return;
    if (op->state == OPERATION_PROPOSED) {
        text_set(out->what, sizeof out->what, "approval");
        text_set(out->way_out, sizeof out->way_out, "coordctl approve %" PRIu64 ", or coordctl abort %" PRIu64, op->id,
                 op->id);
        return;
    }
    if (op->state == OPERATION_RUNNING && !certificate_any(&svc->proof, &svc->lease, (enum certificate_kind *)0)) {
        text_set(out->what, sizeof out->what, "proof that %s can no longer acknowledge (its lease is %s%s)%s%s",
                 state_site_name(s, op->from), lease_state_word(svc->lease.state), promises,
                 fence != (const struct step_run *)0 && fence->detail[0] ? "; fence: " : "",
                 fence != (const struct step_run *)0 ? fence->detail : "");
        way_out(s, op, &steps[STEP_FENCE], STEP_FENCE, out);
        return;
    }
    if (op->state == OPERATION_RUNNING && plan_candidate(s, op, why, sizeof why) == SITE_NONE) {
        text_set(out->what, sizeof out->what, "a candidate: %s", why);
        way_out(s, op, &steps[STEP_SEVER], STEP_SEVER, out);
        return;
    }
    for (unsigned i = 0; i < op->run_count; i++) {
        const struct step_run *run = &op->runs[i];

        if (!run_ended(run) &&
            (run->state == RUN_ASSIGNED || plan_run_due(svc, op, run, s->now_ms) || run->detail[0] != '\0')) {
            wait_for_run(s, op, run, out);
            return;
        }
    }
}
