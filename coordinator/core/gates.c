#include "core/gates.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/text.h"
#include "core/standby.h"
#include "core/verdict.h"

static const struct {
    const char *word;
    bool overridable;
} gates[GATE_COUNT] = {
#define ROW(name, text, override) [name] = { (text), (override) },
    GATE_LIST(ROW)
#undef ROW
};

const char *gate_word(enum gate gate)
{
    return (unsigned)gate < GATE_COUNT ? gates[gate].word : "no_gate";
}

bool gate_overridable(enum gate gate)
{
    return (unsigned)gate < GATE_COUNT && gates[gate].overridable;
}

enum gate gate_from_word(const char *word)
{
    for (int g = 0; g < GATE_COUNT; g++)
        if (text_equal(gates[g].word, word))
            return (enum gate)g;
    return GATE_COUNT;
}

/* At most this many services are moved at the same time. */
#define PARALLEL_MAX 1
/* One that waits for longer, for a person or a broken part, must not keep the others from being moved. */
#define PARALLEL_PATIENCE_MS 60000
/* After an abort the same verdict does not start the next operation at once: who aborts gets the time to pause or to mend. */
#define ABORT_PAUSE_MS 60000

/* On its way to its first write. What follows, DNS and application, takes minutes and does not hold up the next service. */
static bool moves(const struct operation *op, int64_t now_ms)
{
    const struct step_run *canary = operation_run(op, STEP_CANARY, SITE_NONE);

    if (op->state != OPERATION_RUNNING && op->state != OPERATION_PROMOTED)
        return false;
    return now_ms - op->started_ms < PARALLEL_PATIENCE_MS &&
           (canary == (const struct step_run *)0 || !run_ended(canary));
}

static unsigned moving(const struct state *s, service_id but, int64_t now_ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SERVICES_MAX; i++)
        count += i != but && s->services[i].present && moves(&s->services[i].operation, now_ms);
    return count;
}

static bool aborted_just_now(const struct service *svc, int64_t now_ms)
{
    const struct operation *op = &svc->operation;

    return op->state == OPERATION_ABORTED && op->kind == OPERATION_FAILOVER && now_ms - op->ended_ms < ABORT_PAUSE_MS;
}

/* How long the primary's verdict must stand before something starts: a reachable site gets its local grace first. */
static int64_t patience_ms(const struct service *svc)
{
    enum verdict v = svc->primary < SITES_MAX ? svc->views[svc->primary].verdict : VERDICT_UNKNOWN;
    uint32_t grace = v == VERDICT_FAILED || v == VERDICT_GRAY ? svc->config.timing.local_grace_ms : 0;

    return (int64_t)svc->config.timing.hold_down_ms + grace;
}

static bool stands(const struct service *svc, int64_t now_ms)
{
    return svc->primary < SITES_MAX && now_ms - svc->views[svc->primary].verdict_ms >= patience_ms(svc);
}

static int target_slot(const struct state *s, const struct service *svc, site_id target)
{
    node_id executor = target < SITES_MAX ? svc->views[target].executor : 0;

    return state_member_slot(s, executor != 0 ? executor : state_site_node(s, target));
}

/* The target's own executor says whether it was ready, and what it says is kept when it falls silent. */
static const struct opinion *target_opinion(const struct state *s, const struct service *svc, site_id target)
{
    int slot = target_slot(s, svc, target);

    return slot >= 0 && target < SITES_MAX ? &svc->views[target].opinions[slot] : (const struct opinion *)0;
}

static bool is_old_primary(const struct state *s, const struct service *svc, site_id target)
{
    const struct opinion *o = target_opinion(s, svc, target);

    return o != (const struct opinion *)0 && o->role == ROLE_PRIMARY && o->word == OPINION_UP;
}

/* Two kinds of evidence that can be had: the database is always looked at, and a node of the site can fall silent. */
static bool two_kinds(const struct state *s, const struct service *svc)
{
    const struct site_config *at = service_config_site(&svc->config, svc->primary);

    return at != (const struct site_config *)0 && (at->health_url[0] != '\0' || state_site_node(s, svc->primary) != 0);
}

static bool in_contact(const struct state *s, site_id site)
{
    int slot = state_member_slot(s, state_site_node(s, site));

    return slot >= 0 && s->members[slot].heard;
}

static bool gate_says_no(const struct state *s, service_id service, site_id target, enum gate gate, bool automatic,
                         int64_t now_ms)
{
    const struct service *svc = &s->services[service];
    const struct opinion *at_target;

    switch (gate) {
    case GATE_OPERATION:
        return operation_active(&svc->operation);
    case GATE_TARGET:
        return target == svc->primary || service_config_site(&svc->config, target) == (const struct site_config *)0 ||
               !in_contact(s, target);
    case GATE_STANDBY:
        at_target = target_opinion(s, svc, target);
        return at_target == (const struct opinion *)0 || at_target->role != ROLE_STANDBY ||
               at_target->word != OPINION_UP;
    case GATE_ARMED:
        return !svc->armed;
    case GATE_PAUSED:
        return svc->paused;
    case GATE_MODE:
        return automatic && svc->config.mode == MODE_SHADOW;
    case GATE_VM_PAUSE:
        return automatic && !svc->config.accept_vm_pause;
    case GATE_READY:
        return target >= SITES_MAX || !standby_ready(svc, target, target_slot(s, svc, target));
    case GATE_LOCKOUT:
        return automatic && ((svc->last_failover_ms != 0 &&
                              now_ms - svc->last_failover_ms < (int64_t)svc->config.timing.lockout_ms) ||
                             aborted_just_now(svc, now_ms));
    case GATE_HOLD_DOWN:
        return automatic && !stands(svc, now_ms);
    case GATE_EVIDENCE:
        return automatic && !two_kinds(s, svc);
    case GATE_PARALLEL:
        return automatic && moving(s, service, now_ms) >= PARALLEL_MAX;
    case GATE_BOOT: /* only a leader knows: it notes it */
        return automatic && ((svc->gates_noted >> GATE_BOOT) & 1u) != 0;
    case GATE_COUNT:
        break;
    }
    return false;
}

uint32_t gates_check(const struct state *s, service_id service, site_id target, enum operation_kind kind,
                     uint32_t overrides, int64_t now_ms)
{
    uint32_t no = 0;

    ASSERT(service < SERVICES_MAX);
    for (int g = 0; g < GATE_COUNT; g++) {
        bool overridden = gates[g].overridable && ((overrides >> g) & 1u) != 0;

        /* Before the point of no return there is `coordctl abort`; after it a dead target must not hold the service for ever. */
        if (g == GATE_OPERATION && s->services[service].operation.state != OPERATION_PROMOTED)
            overridden = false;
        /* An old primary behind a closed guard may be the only one that has every write; a server that does not answer can't be promoted. */
        if (g == GATE_STANDBY && !is_old_primary(s, &s->services[service], target))
            overridden = false;
        if (!overridden && gate_says_no(s, service, target, (enum gate)g, kind == OPERATION_FAILOVER, now_ms))
            no |= 1u << g;
    }
    return no;
}

static void lockout_reason(const struct service *svc, int64_t now_ms, char *out, size_t capacity_bytes)
{
    if (aborted_just_now(svc, now_ms))
        text_set(out, capacity_bytes, "a failover was aborted %" PRId64 " s ago; the next may begin after %d s",
                 (now_ms - svc->operation.ended_ms) / 1000, ABORT_PAUSE_MS / 1000);
    else
        text_set(out, capacity_bytes, "an automatic failover began %" PRId64 " s ago; lockout is %" PRIu32 " s",
                 (now_ms - svc->last_failover_ms) / 1000, svc->config.timing.lockout_ms / 1000);
}

static void ready_reason(const struct state *s, const struct service *svc, site_id target, char *out,
                         size_t capacity_bytes)
{
    const struct opinion *at_target = target_opinion(s, svc, target);
    const char *to = state_site_name(s, target);

    if (target < SITES_MAX && svc->views[target].behind)
        text_set(out, capacity_bytes,
                 "%s has received nothing for %" PRId64 " ms while the primary wrote; %" PRIu32 " ms are allowed", to,
                 s->now_ms - svc->views[target].unreceived_ms, svc->config.max_lag_ms);
    else
        text_set(out, capacity_bytes,
                 "%s was not ready: role %s, %s; a standby within %" PRIu32 " ms of the primary is needed", to,
                 role_word(at_target ? at_target->role : ROLE_UNKNOWN),
                 at_target && at_target->streaming ? "streaming" : "not streaming", svc->config.max_lag_ms);
}

void gate_reason(const struct state *s, service_id service, site_id target, enum gate gate, int64_t now_ms, char *out,
                 size_t capacity_bytes)
{
    const struct service *svc = &s->services[service];
    const char *to = state_site_name(s, target);
    const struct opinion *at_target = target_opinion(s, svc, target);

    switch (gate) {
    case GATE_OPERATION:
        text_set(out, capacity_bytes, "operation %" PRIu64 " (%s) is active", svc->operation.id,
                 operation_state_word(svc->operation.state));
        return;
    case GATE_TARGET:
        text_set(out, capacity_bytes, "%s is %s", to,
                 target == svc->primary ? "the primary already"
                 : service_config_site(&svc->config, target) == (const struct site_config *)0
                     ? "no eligible site of the service: it has no entry under sites"
                     : "not in contact: no coordinator there is heard");
        return;
    case GATE_STANDBY:
        text_set(out, capacity_bytes, "%s has no standby that answers: its node sees role %s, %s%s", to,
                 role_word(at_target ? at_target->role : ROLE_UNKNOWN),
                 opinion_word(at_target ? at_target->word : OPINION_UNKNOWN),
                 at_target && at_target->role == ROLE_PRIMARY ? "; rejoin it as a standby first" : "");
        return;
    case GATE_ARMED:
        text_set(out, capacity_bytes, "the service is not armed: coordctl arm %s", svc->config.name);
        return;
    case GATE_PAUSED:
        text_set(out, capacity_bytes, "the service is paused: coordctl resume %s", svc->config.name);
        return;
    case GATE_MODE:
        text_set(out, capacity_bytes, "mode is %s: it decides and does nothing", mode_word(svc->config.mode));
        return;
    case GATE_VM_PAUSE:
        text_set(out, capacity_bytes,
                 "asynchronous replication and accept_vm_pause is not true: a guest that its hypervisor pauses may "
                 "wake with its clock behind");
        return;
    case GATE_READY:
        ready_reason(s, svc, target, out, capacity_bytes);
        return;
    case GATE_LOCKOUT:
        lockout_reason(svc, now_ms, out, capacity_bytes);
        return;
    case GATE_HOLD_DOWN:
        text_set(out, capacity_bytes, "the verdict has stood %" PRId64 " ms of %" PRId64 " ms (hold_down%s)",
                 svc->primary < SITES_MAX ? now_ms - svc->views[svc->primary].verdict_ms : 0, patience_ms(svc),
                 patience_ms(svc) > svc->config.timing.hold_down_ms ? " + local_grace" : "");
        return;
    case GATE_EVIDENCE:
        text_set(out, capacity_bytes,
                 "only one kind of evidence can be had: configure `health`, or a coordinator at the site");
        return;
    case GATE_PARALLEL:
        text_set(out, capacity_bytes, "%u other service is being moved; at most %u at a time",
                 moving(s, service, now_ms), PARALLEL_MAX);
        return;
    case GATE_BOOT:
        text_set(out, capacity_bytes,
                 "the cluster was without a quorum and has not heard %s since: it may only be slow to come back; waits "
                 "up to %d min, or coordctl promote %s -s %s",
                 state_site_name(s, svc->primary), BOOT_GRACE_MIN, to, svc->config.name);
        return;
    case GATE_COUNT:
        break;
    }
    text_set(out, capacity_bytes, "no such gate");
}
