#include "core/leader.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "core/gates.h"
#include "core/plan.h"
#include "core/verdict.h"

#define STALL_TICKS 5 /* a tick that comes this many intervals late is a stall */
#define STALL_WINDOW_US (60 * INT64_C(1000000))
#define ATTEMPT_SLACK_US                                                                                               \
    (2 * INT64_C(1000000))  /* for the result of an attempt to arrive after its node's own deadline */
#define SETTLED_ELECTIONS 4 /* a new leader leads this many election timeouts before it hands over */

void leader_init(struct leader *l, node_id self, uint32_t beat_ms, uint32_t tick_ms)
{
    ASSERT(beat_ms > 0);
    ASSERT(tick_ms > 0);
    memset(l, 0, sizeof *l);
    l->self = self;
    l->beat_ms = beat_ms;
    l->tick_ms = tick_ms;
    l->stamped_us = LEADER_NOT_YET;
}

void leader_begin(struct leader *l, uint64_t term, bool cold, int64_t now_us)
{
    leader_init(l, l->self, l->beat_ms, l->tick_ms);
    l->leading = true;
    l->cold = cold;
    l->term = term;
    l->tick_us = now_us;
    for (unsigned i = 0; i < NODES_MAX; i++)
        l->heard_us[i] = LEADER_NOT_YET;
}

void leader_end(struct leader *l)
{
    l->leading = false;
}

void leader_applied(struct leader *l, const struct state *s)
{
    for (unsigned i = 0; l->leading && i < NODES_MAX; i++)
        if (l->heard_of[i] != s->members[i].id) {
            l->heard_of[i] = s->members[i].id;
            l->heard_us[i] = LEADER_NOT_YET;
        }
    if (s->quorum_term == l->term)
        l->cold = false;
    for (unsigned i = 0; l->leading && i < SERVICES_MAX; i++) {
        const struct lease *lease = &s->services[i].lease;
        struct leader_count *count = &l->counts[i];

        /* Counting starts with the next tick: counted time stands still between ticks, and a count must never begin too early. */
        if (count->epoch != lease->epoch || count->renewed_index != lease->renewed_index)
            *count = (struct leader_count){ lease->epoch, lease->renewed_index, LEADER_NOT_YET };
    }
}

void leader_heard(struct leader *l, const struct state *s, node_id node, bool warm)
{
    int slot = state_member_slot(s, node);

    if (!l->leading || slot < 0)
        return;
    l->heard_of[slot] = node;
    l->heard_us[slot] = l->counted_us;
    if (warm)
        l->cold = false;
}

static void note_stall(struct leader *l, int64_t now_us)
{
    l->stalls_us[l->stall_count % 3] = now_us;
    l->stall_count++;
    if (l->stall_count >= 3 && now_us - l->stalls_us[l->stall_count % 3] <= STALL_WINDOW_US)
        l->wants_transfer = true;
}

static void start_counts(struct leader *l, const struct state *s)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct operation *op = &s->services[i].operation;
        char why[DETAIL_MAX_BYTES];

        if (l->counts[i].since_us == LEADER_NOT_YET || l->counts[i].epoch != s->services[i].lease.epoch)
            l->counts[i] =
                (struct leader_count){ s->services[i].lease.epoch, s->services[i].lease.renewed_index, l->counted_us };
        if (op->state != OPERATION_RUNNING || plan_candidate(s, op, why, sizeof why) != SITE_NONE)
            l->candidate_us[i] = l->counted_us;
        for (unsigned r = 0; s->services[i].present && r < op->run_count; r++)
            if (l->runs[i][r].operation != op->id || l->runs[i][r].attempt != op->runs[r].attempt)
                l->runs[i][r] = (struct leader_run){ op->id, op->runs[r].attempt, l->counted_us };
    }
}

void leader_tick(struct leader *l, const struct state *s, int64_t now_us)
{
    int64_t tick_us = (int64_t)l->tick_ms * 1000;
    int64_t passed_us = now_us - l->tick_us;

    if (!l->leading)
        return;
    if (passed_us > STALL_TICKS * tick_us)
        note_stall(l, now_us);
    l->counted_us += passed_us < 0 ? 0 : passed_us < 2 * tick_us ? passed_us : 2 * tick_us;
    l->tick_us = now_us;
    leader_heard(l, s, l->self, false);
    start_counts(l, s);
}

static int64_t silence_us(const struct leader *l, const struct state *s)
{
    int64_t by_beat = 3 * (int64_t)l->beat_ms * 1000;
    int64_t by_election = 2 * (int64_t)s->election_ms * 1000;

    return by_beat > by_election ? by_beat : by_election;
}

/* A node that this term has not heard yet is given the silence from the start of the term. */
static bool silent(const struct leader *l, const struct state *s, unsigned slot)
{
    int64_t last_us = l->heard_us[slot] == LEADER_NOT_YET ? 0 : l->heard_us[slot];

    return l->counted_us - last_us > silence_us(l, s);
}

static bool say_heard(node_id node, bool heard, struct command *out)
{
    command_clear(out, COMMAND_NODE_HEARD);
    out->node_heard = (struct command_node_heard){ .node = node, .heard = heard };
    return true;
}

static bool next_for_cluster(const struct leader *l, const struct state *s, struct command *out)
{
    if (l->cold && l->counted_us > silence_us(l, s)) { /* whoever knows better has had the time to say so */
        command_clear(out, COMMAND_QUORUM_BACK);
        out->quorum_back.term = l->term;
        return true;
    }
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];
        bool is_silent = silent(l, s, i);

        if (m->id == 0)
            continue;
        if (!l->cold && !is_silent && l->heard_us[i] != LEADER_NOT_YET && m->heard_index <= s->quorum_index)
            return say_heard(m->id, true, out);
        if (m->heard ? is_silent : !is_silent && l->heard_us[i] != LEADER_NOT_YET)
            return say_heard(m->id, !m->heard, out);
    }
    if (state_common_version(s) > s->cluster_version) {
        command_clear(out, COMMAND_CLUSTER_VERSION);
        out->cluster_version.version = state_common_version(s);
        return true;
    }
    return false;
}

static bool node_heard(const struct state *s, node_id node)
{
    int slot = state_member_slot(s, node);

    return slot >= 0 && s->members[slot].heard;
}

static bool next_expiry(const struct leader *l, const struct state *s, service_id service, struct command *out)
{
    const struct lease *lease = &s->services[service].lease;
    const struct leader_count *count = &l->counts[service];

    if (!lease_runs(lease))
        return false;
    if (count->epoch != lease->epoch || count->renewed_index != lease->renewed_index ||
        count->since_us == LEADER_NOT_YET)
        return false;
    if (l->counted_us - count->since_us < lease_count_us(lease->ttl_ms, s->drift_ppm))
        return false;
    command_clear(out, COMMAND_LEASE_EXPIRED);
    out->lease_expired = (struct command_lease_expired){ service, lease->epoch, lease->renewed_index };
    return true;
}

static bool next_executor(const struct state *s, service_id service, struct command *out)
{
    const struct service *svc = &s->services[service];

    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;
        node_id other = state_site_node(s, site);

        if (other == 0 || other == svc->views[site].executor || !node_heard(s, other))
            continue;
        if (lease_runs(&svc->lease) && svc->lease.site == site)
            continue;
        if (operation_binds_executor(&svc->operation, site))
            continue;
        command_clear(out, COMMAND_EXECUTOR_SET);
        out->executor_set = (struct command_executor_set){ service, site, other };
        return true;
    }
    return false;
}

/* The attempt is past its node's own deadline, by which that node has ended it. A checkpoint may take minutes and changes nothing: that of a node
 * which is silent binds nobody for so long. */
static bool overdue(const struct leader *l, const struct state *s, service_id service, unsigned r)
{
    const struct step_run *run = &s->services[service].operation.runs[r];
    const struct leader_run *seen = &l->runs[service][r];
    bool given_up = run->step == STEP_CHECKPOINT && !node_heard(s, run->node);
    uint32_t deadline_ms = given_up ? 0 : plan_step_of(run->step)->deadline_ms;
    int64_t patience_us = lease_count_us(deadline_ms, s->drift_ppm) + ATTEMPT_SLACK_US;

    return run->state == RUN_ASSIGNED && seen->operation == s->services[service].operation.id &&
           seen->attempt == run->attempt && l->counted_us - seen->since_us > patience_us;
}

static bool next_step(const struct leader *l, const struct state *s, service_id service, int64_t now_ms,
                      struct command *out)
{
    const struct operation *op = &s->services[service].operation;

    for (unsigned r = 0; r < op->run_count; r++) {
        const struct step_run *run = &op->runs[r];

        if (overdue(l, s, service, r)) {
            command_clear(out, COMMAND_STEP_RESULT);
            out->step_result = (struct command_step_result){
                .operation = op->id, .run = (uint8_t)r, .attempt = run->attempt, .epoch = run->epoch
            };
            text_set(out->step_result.result.detail, DETAIL_MAX_BYTES,
                     "no result from node %s, which is %s (its deadline is %" PRIu32 " ms)",
                     state_node_name(s, run->node), node_heard(s, run->node) ? "heard" : "silent",
                     plan_step_of(run->step)->deadline_ms);
            return true;
        }
        if (plan_run_due(&s->services[service], op, run, now_ms) && node_heard(s, plan_run_node(s, op, run))) {
            command_clear(out, COMMAND_STEP_ASSIGN);
            out->step_assign =
                (struct command_step_assign){ op->id, (uint8_t)r, run->attempt + 1, plan_run_node(s, op, run) };
            return true;
        }
    }
    return false;
}

/* The old site's server answers its own node, but may not write, since its right was revoked; and nobody can take over from it. The
 * operation that keeps both from serving ends. */
static bool next_give_up(const struct leader *l, const struct state *s, service_id service, struct command *out)
{
    const struct service *svc = &s->services[service];
    const struct operation *op = &svc->operation;
    int slot = state_member_slot(s, svc->lease.holder);
    const struct opinion *own;
    char why[DETAIL_MAX_BYTES];

    if (op->kind != OPERATION_FAILOVER || l->counted_us - l->candidate_us[service] < GIVE_UP_US || slot < 0 ||
        !s->members[slot].heard)
        return false;
    own = &svc->views[op->from].opinions[slot];
    if (own->role != ROLE_PRIMARY || (own->word != OPINION_UP && own->word != OPINION_GRAY) ||
        plan_candidate(s, op, why, sizeof why) != SITE_NONE)
        return false;
    command_clear(out, COMMAND_OPERATION_ABORT);
    out->operation_abort.operation = op->id;
    text_set(out->operation_abort.reason, DETAIL_MAX_BYTES, "no candidate for %d s (%.70s), and %s answers",
             (int)(GIVE_UP_US / 1000000), why, state_site_name(s, op->from));
    return true;
}

static bool next_promote(const struct state *s, service_id service, struct command *out)
{
    const struct service *svc = &s->services[service];
    char why[DETAIL_MAX_BYTES];
    site_id site;

    if (svc->operation.state != OPERATION_RUNNING ||
        !certificate_any(&svc->proof, &svc->lease, (enum certificate_kind *)0))
        return false;
    site = plan_candidate(s, &svc->operation, why, sizeof why);
    if (site == SITE_NONE)
        return false;
    command_clear(out, COMMAND_PROMOTE);
    out->promote = (struct command_promote){ svc->operation.id, svc->lease.epoch, site };
    return true;
}

/* After a time without quorum, a site that was not heard since may only be slow to come back. */
static bool too_early(const struct leader *l, const struct state *s, site_id site, int64_t now_ms)
{
    if (!l->cold && now_ms - s->quorum_ms >= BOOT_GRACE_MS)
        return false;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];
        bool since = l->heard_us[i] != LEADER_NOT_YET || (!l->cold && m->heard_index > s->quorum_index);

        if (m->id != 0 && m->site == site && since)
            return false;
    }
    return true;
}

/* The eligible site with the fewest gates in its way; the first configured of equals. */
static site_id best_target(const struct state *s, service_id service, int64_t now_ms, uint32_t *gates)
{
    const struct service *svc = &s->services[service];
    site_id best = SITE_NONE;
    unsigned fewest = GATE_COUNT + 1;

    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;
        uint32_t no;
        unsigned count = 0;

        if (site == svc->primary)
            continue;
        no = gates_check(s, service, site, OPERATION_FAILOVER, 0, now_ms);
        for (unsigned g = 0; g < GATE_COUNT; g++)
            count += (no >> g) & 1u;
        if (count < fewest) {
            fewest = count;
            best = site;
            *gates = no;
        }
    }
    return best;
}

static bool note_gates(const struct service *svc, service_id service, site_id target, uint32_t gates,
                       struct command *out)
{
    if (gates == svc->gates_noted)
        return false;
    command_clear(out, COMMAND_GATES_NOTED);
    out->gates_noted = (struct command_gates_noted){ service, target, gates };
    return true;
}

static bool next_decision(const struct leader *l, const struct state *s, service_id service, int64_t now_ms,
                          struct command *out)
{
    const struct service *svc = &s->services[service];
    const uint32_t boot = 1u << GATE_BOOT;
    unsigned needed, failing;
    uint32_t gates = 0;
    enum verdict v;
    site_id target;

    if (svc->primary == SITE_NONE)
        return false;
    v = svc->views[svc->primary].verdict;
    if (!verdict_accuses(v))
        return note_gates(svc, service, svc->primary, 0, out);
    target = best_target(s, service, now_ms, &gates);
    if (target == SITE_NONE)
        return false;
    gates &= ~boot; /* that was what a leader noted: this one decides anew */
    if (v == VERDICT_DOWN && too_early(l, s, svc->primary, now_ms))
        gates |= boot;
    if (gates != 0 || (svc->gates_noted & boot) != 0)
        return note_gates(svc, service, target, gates, out);
    verdict_votes(s, service, svc->primary, &needed, &failing);
    command_clear(out, COMMAND_OPERATION_START);
    out->operation_start = (struct command_operation_start){
        .service = service, .kind = OPERATION_FAILOVER, .from = svc->primary, .to = target, .epoch = svc->lease.epoch
    };
    text_set(out->operation_start.reason, DETAIL_MAX_BYTES,
             "%s is %s: %u voters outside say so (%u needed), for %" PRId64 " ms", state_site_name(s, svc->primary),
             verdict_word(v), failing, needed, now_ms - svc->views[svc->primary].verdict_ms);
    return true;
}

static bool next_for_service(const struct leader *l, const struct state *s, service_id service, int64_t now_ms,
                             struct command *out)
{
    const struct service *svc = &s->services[service];

    if (next_expiry(l, s, service, out) || next_executor(s, service, out))
        return true;
    switch (svc->operation.state) {
    case OPERATION_RUNNING:
        return next_promote(s, service, out) || next_give_up(l, s, service, out) ||
               next_step(l, s, service, now_ms, out);
    case OPERATION_PROMOTED:
    case OPERATION_UNDOING:
        return next_step(l, s, service, now_ms, out);
    case OPERATION_PROPOSED:
        if (verdict_accuses(svc->views[svc->operation.from].verdict))
            return false;
        command_clear(out, COMMAND_OPERATION_ABORT);
        out->operation_abort.operation = svc->operation.id;
        text_set(out->operation_abort.reason, DETAIL_MAX_BYTES, "%s is %s again",
                 state_site_name(s, svc->operation.from), verdict_word(svc->views[svc->operation.from].verdict));
        return true;
    case OPERATION_NONE:
    case OPERATION_DONE:
    case OPERATION_ABORTED:
    case OPERATION_STATE_COUNT:
        break;
    }
    return next_decision(l, s, service, now_ms, out);
}

int64_t leader_stamp_ms(struct leader *l, const struct state *s, int64_t wall_ms, int64_t now_us)
{
    int64_t passed_us = now_us - l->stamped_us;
    int64_t wall_us = (wall_ms < 0 ? 0 : wall_ms > AT_MS_MAX ? AT_MS_MAX : wall_ms) * 1000;
    int64_t behind_us;

    if (l->stamped_us == LEADER_NOT_YET) {
        l->stamp_us = wall_us;
    } else if (passed_us > 0) {
        behind_us = wall_us - l->stamp_us;
        l->stamp_us += behind_us < passed_us / 2   ? passed_us / 2
                       : behind_us > 2 * passed_us ? 2 * passed_us
                                                   : behind_us;
    }
    if (l->stamp_us / 1000 < s->now_ms)
        l->stamp_us = s->now_ms * 1000;
    l->stamped_us = now_us;
    return l->stamp_us / 1000;
}

static bool hand_out(struct leader *l, const struct state *s, int64_t stamp_ms, struct command *out, unsigned slot)
{
    l->busy[slot] = true;
    out->at_ms = stamp_ms;
    text_set(out->who, sizeof out->who, "leader %s", state_node_name(s, l->self));
    return true;
}

/* Present services, critical tier first: when only one may be moved at a time, that is the order. */
static unsigned by_tier(const struct state *s, service_id *order)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        unsigned at;

        if (!s->services[i].present)
            continue;
        for (at = count++; at > 0 && s->services[order[at - 1]].config.tier > s->services[i].config.tier; at--)
            order[at] = order[at - 1];
        order[at] = (service_id)i;
    }
    return count;
}

bool leader_next(struct leader *l, const struct state *s, int64_t stamp_ms, struct command *out, unsigned *slot)
{
    int64_t now_ms = stamp_ms > s->now_ms ? stamp_ms : s->now_ms; /* as the entry will see it */
    service_id order[SERVICES_MAX];
    unsigned count;

    if (!l->leading || s->cluster_id == 0)
        return false;
    if (!l->busy[LEADER_SLOT_CLUSTER] && next_for_cluster(l, s, out)) {
        *slot = LEADER_SLOT_CLUSTER;
        return hand_out(l, s, stamp_ms, out, *slot);
    }
    count = by_tier(s, order);
    for (unsigned i = 0; i < count; i++) {
        if (l->busy[order[i]] || !next_for_service(l, s, order[i], now_ms, out))
            continue;
        *slot = order[i];
        return hand_out(l, s, stamp_ms, out, *slot);
    }
    return false;
}

void leader_proposed_done(struct leader *l, unsigned slot)
{
    ASSERT(slot < LEADER_SLOTS);
    l->busy[slot] = false;
}

static bool at_a_primary(const struct state *s, site_id site)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present && s->services[i].primary == site)
            return true;
    return false;
}

/* The node that a person asked to lead, while that stands; 0: none. */
static node_id wanted_leader(const struct state *s)
{
    return s->lead_wanted_ms > s->now_ms ? s->lead_wanted : 0;
}

/* Another voter that this leader hears now. */
static bool can_lead(const struct leader *l, const struct state *s, unsigned slot)
{
    const struct member *m = &s->members[slot];

    return m->id != 0 && m->id != l->self && m->voter && l->heard_us[slot] != LEADER_NOT_YET && !silent(l, s, slot);
}

/* Of those that can lead: the one that a person asked for, a witness, else one away from every primary, else (`anyone`) any; 0: none. */
static node_id best_successor(const struct leader *l, const struct state *s, bool anyone)
{
    node_id witness = 0, away = 0, other = 0;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];

        if (!can_lead(l, s, i))
            continue;
        if (m->id == wanted_leader(s))
            return m->id;
        if (witness == 0 && m->witness)
            witness = m->id;
        if (away == 0 && !at_a_primary(s, m->site))
            away = m->id;
        if (other == 0 && anyone)
            other = m->id;
    }
    if (witness != 0)
        return witness;
    return away != 0 ? away : other;
}

node_id leader_successor(const struct leader *l, const struct state *s)
{
    return best_successor(l, s, true);
}

node_id leader_transfer_to(const struct leader *l, const struct state *s)
{
    int self = state_member_slot(s, l->self);
    node_id wanted = wanted_leader(s), best;
    int slot;

    if (!l->leading || s->cluster_id == 0)
        return 0;
    if (self < 0 || !s->members[self].voter) /* removed, or demoted: at once */
        return leader_successor(l, s);
    if (l->counted_us < SETTLED_ELECTIONS * (int64_t)s->election_ms * 1000)
        return 0;
    if (l->wants_transfer)
        return leader_successor(l, s);
    if (l->cold) /* the log is told first what this leader does not know */
        return 0;
    best = best_successor(l, s, false);
    slot = state_member_slot(s, best);
    if (slot < 0 || wanted == l->self)
        return 0;
    if (best == wanted)
        return best;
    if (s->members[self].witness)
        return 0;
    return s->members[slot].witness || at_a_primary(s, s->members[self].site) ? best : 0;
}
