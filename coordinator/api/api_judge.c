/* One line about a service for a person in a hurry, worst news first: what is moving or lost, then what would keep it from moving. */
#include "api/api_internal.h"

#include "base/text.h"
#include "core/gates.h"
#include "core/plan.h"

#include <inttypes.h>
#include <string.h>

/* Gates that a failover would pass by itself when the time comes: they say nothing about readiness. */
#define GATES_OF_THE_MOMENT ((1u << GATE_HOLD_DOWN) | (1u << GATE_OPERATION) | (1u << GATE_PARALLEL))

static uint32_t standing_gates(const struct state *s, service_id service, site_id target, int64_t now_ms)
{
    return gates_check(s, service, target, OPERATION_FAILOVER, 0, now_ms) & ~GATES_OF_THE_MOMENT;
}

site_id api_likely_target(const struct state *s, service_id service, int64_t now_ms)
{
    const struct service *svc = &s->services[service];
    site_id first = SITE_NONE;

    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;
        if (site == svc->primary)
            continue;
        if (standing_gates(s, service, site, now_ms) == 0)
            return site;
        if (first == SITE_NONE)
            first = site;
    }
    return first;
}

static void judge_operation(const struct state *s, const struct operation *op, struct api_judgement *out)
{
    struct plan_wait wait;

    plan_wait(s, op, &wait);
    out->health = API_CRITICAL;
    text_set(out->summary, sizeof out->summary, "operation %" PRIu64 ": %s from %s to %s %s; waits for %s", op->id,
             operation_kind_word(op->kind), state_site_name(s, op->from), state_site_name(s, op->to),
             operation_state_word(op->state), wait.what[0] != '\0' ? wait.what : "its next step");
    if (wait.way_out[0] != '\0')
        text_set(out->way_out, sizeof out->way_out, "%s", wait.way_out);
    else
        text_set(out->way_out, sizeof out->way_out, "coordctl report %" PRIu64, op->id);
}

/* The first gate that stands, in words. */
static void gate_in_words(const struct state *s, service_id service, site_id target, int64_t now_ms, char *out,
                          size_t capacity)
{
    uint32_t no = standing_gates(s, service, target, now_ms);

    text_set(out, capacity, "no other site is configured");
    for (int g = 0; target != SITE_NONE && g < GATE_COUNT; g++)
        if (((no >> g) & 1u) != 0) {
            gate_reason(s, service, target, (enum gate)g, now_ms, out, capacity);
            return;
        }
}

/* An aborted operation can leave a primary that was never promoted: its own node sees a standby. It is promoted by a person, or another site is. */
static bool never_promoted(const struct state *s, const struct service *svc)
{
    const struct site_view *view = &svc->views[svc->primary];
    int slot = state_member_slot(s, view->executor);

    return slot >= 0 && !lease_live(&svc->lease) && view->opinions[slot].role == ROLE_STANDBY;
}

static void judge_primary(const struct state *s, service_id service, int64_t now_ms, struct api_judgement *out)
{
    const struct service *svc = &s->services[service];
    const struct site_view *view = &svc->views[svc->primary];
    const char *primary = state_site_name(s, svc->primary);
    site_id target = api_likely_target(s, service, now_ms);
    char why[GATE_TEXT_MAX_BYTES];

    gate_in_words(s, service, target, now_ms, why, sizeof why);
    out->health = API_CRITICAL;
    text_set(out->way_out, sizeof out->way_out, "coordctl why %s", svc->config.name);
    if (never_promoted(s, svc)) {
        text_set(out->summary, sizeof out->summary,
                 "primary %s is still a standby and its lease is %s: nothing is written anywhere", primary,
                 lease_state_word(svc->lease.state));
        text_set(out->way_out, sizeof out->way_out,
                 "pg_ctl promote at %s (its guard stays closed until its lease is granted), or coordctl promote SITE "
                 "-s %s",
                 primary, svc->config.name);
    } else if (view->verdict == VERDICT_DOWN || view->verdict == VERDICT_FAILED || view->verdict == VERDICT_GRAY) {
        if (target != SITE_NONE && standing_gates(s, service, target, now_ms) == 0)
            text_set(out->summary, sizeof out->summary, "primary %s is %s; a failover to %s is about to start", primary,
                     verdict_word(view->verdict), state_site_name(s, target));
        else
            text_set(out->summary, sizeof out->summary, "primary %s is %s and nothing is moved: %s", primary,
                     verdict_word(view->verdict), why);
        if (target != SITE_NONE)
            text_set(out->way_out, sizeof out->way_out, "coordctl promote %s -s %s", state_site_name(s, target),
                     svc->config.name);
    } else if (lease_ended(&svc->lease) && svc->lease.promises_ended_index == 0 &&
               view->executor != svc->lease.holder && state_promiser_heard(s, svc) == 0 &&
               svc->lease.renewed_index > s->generation_index) {
        text_set(out->summary, sizeof out->summary,
                 "the lease of %s (epoch %" PRIu64 ") is %s, its holder was replaced, and no node is in contact that "
                 "can say that no promise extends it: nothing is written",
                 primary, svc->lease.epoch, lease_state_word(svc->lease.state));
        text_set(out->way_out, sizeof out->way_out,
                 "start the coordinator that held it, or switch its server off and coordctl promote SITE -s %s, then "
                 "coordctl approve ID --fenced",
                 svc->config.name);
    } else if (lease_ended(&svc->lease) && svc->lease.promises_ended_index != 0 &&
               service_holder_unproven(svc, view->executor)) {
        text_set(out->summary, sizeof out->summary,
                 "the lease of %s (epoch %" PRIu64 ") is %s, the node that held it was replaced, and nothing proves "
                 "that its server is closed: nothing is written",
                 primary, svc->lease.epoch, lease_state_word(svc->lease.state));
        text_set(out->way_out, sizeof out->way_out,
                 "make sure that no other server of %s takes writes, then coordctl disarm %s, wait until its lease is "
                 "live, and coordctl arm %s",
                 primary, svc->config.name, svc->config.name);
    } else if (!lease_live(&svc->lease)) {
        text_set(out->summary, sizeof out->summary,
                 "the lease of %s (epoch %" PRIu64 ") is %s: nothing is written until it is granted again", primary,
                 svc->lease.epoch, lease_state_word(svc->lease.state));
    } else {
        out->health = API_WARNING;
        if (service_enforced(svc) && !svc->lease.enforcement.enforcing)
            text_set(out->summary, sizeof out->summary,
                     "primary %s does not enforce its lease: if the site is lost, its end cannot be proven", primary);
        else if (target == SITE_NONE || standing_gates(s, service, target, now_ms) != 0)
            text_set(out->summary, sizeof out->summary, "primary %s; no automatic failover is possible: %s", primary,
                     why);
        else {
            out->health = API_OK;
            out->way_out[0] = '\0';
            text_set(out->summary, sizeof out->summary, "primary %s, epoch %" PRIu64 "; %s is ready%s", primary,
                     svc->lease.epoch, state_site_name(s, target),
                     svc->config.mode == MODE_PROPOSE ? " (mode propose: a failover waits for approval)" : "");
        }
    }
}

/* Without a leader this node's state is as old as the last entry; what it does meanwhile is news. */
static bool judge_promises(const struct state *s, service_id service, const struct api_promises *promises,
                           struct api_judgement *out)
{
    const char *primary = state_site_name(s, s->services[service].primary);

    switch (promises->what) {
    case API_PROMISED_NOTHING:
        return false;
    case API_PROMISED_SERVING:
        out->health = API_WARNING;
        text_set(out->summary, sizeof out->summary,
                 "primary %s goes on by the promises of %s, for %" PRId64 " s: no leader answers, and no failover is "
                 "possible",
                 primary, promises->nodes, promises->ms / 1000);
        break;
    case API_PROMISED_CLOSED:
        out->health = API_CRITICAL;
        text_set(out->summary, sizeof out->summary,
                 "primary %s has stopped writing, for %" PRId64 " s: no leader answers, and not every other site's "
                 "node promises not to take over (%s)",
                 primary, promises->ms / 1000, promises->nodes);
        break;
    case API_PROMISED_GIVEN:
        out->health = API_WARNING;
        text_set(out->summary, sizeof out->summary,
                 "primary %s; this node has promised %s not to take over, for %" PRId64 " ms yet", primary,
                 promises->nodes, promises->ms);
        break;
    }
    text_set(out->way_out, sizeof out->way_out, "start coordinators until a majority runs: %s", promises->missing);
    return true;
}

void api_judge(const struct state *s, service_id service, const struct api_promises *promises, int64_t now_ms,
               struct api_judgement *out)
{
    const struct service *svc = &s->services[service];

    memset(out, 0, sizeof *out);
    if (operation_active(&svc->operation)) {
        judge_operation(s, &svc->operation, out);
        return;
    }
    if (svc->primary == SITE_NONE) {
        out->health = API_WARNING;
        text_set(out->summary, sizeof out->summary,
                 "no site was granted the lease yet; %s asks for it when its coordinator and PostgreSQL run",
                 state_site_name(s, svc->config.primary));
        text_set(out->way_out, sizeof out->way_out,
                 "see that both run there, and what its coordd logs about this service (journalctl -u coordd)");
        return;
    }
    if (judge_promises(s, service, promises, out))
        return;
    judge_primary(s, service, now_ms, out);
    if (out->health == API_WARNING && !svc->armed)
        text_set(out->way_out, sizeof out->way_out, "coordctl arm %s", svc->config.name);
    else if (out->health == API_WARNING && svc->paused)
        text_set(out->way_out, sizeof out->way_out, "coordctl resume %s", svc->config.name);
}

void api_judge_certificates(const struct api_node *node, int64_t now_ms, struct api_judgement *out)
{
    char summary[TLS_EXPIRY_TEXT_MAX_BYTES] = "", way_out[TLS_EXPIRY_TEXT_MAX_BYTES] = "";
    enum tls_expiry expiry = TLS_EXPIRY_FAR;

    memset(out, 0, sizeof *out);
    if (node->tls)
        expiry = tls_expiry_say(&node->validity, now_ms / 1000, summary, way_out);
    out->health = expiry == TLS_EXPIRY_FAR ? API_OK : expiry == TLS_EXPIRY_NOW ? API_CRITICAL : API_WARNING;
    text_set(out->summary, sizeof out->summary, "%s", node->tls ? summary : "none: the nodes talk in plain TCP");
    text_set(out->way_out, sizeof out->way_out, "%s", way_out);
}

void api_judge_disk(const struct api_node *node, struct api_judgement *out)
{
    uint64_t free_mib = node->space.free_bytes >> 20;

    memset(out, 0, sizeof *out);
    if (node->space.level == SPACE_ENOUGH)
        return;
    out->health = node->space.level == SPACE_SHORT ? API_CRITICAL : API_WARNING;
    text_set(out->summary, sizeof out->summary, "%" PRIu64 " MiB free on the disk of %s: %s", free_mib, node->data_dir,
             node->space.level == SPACE_SHORT ? "this node would not start again" : "a full disk ends this node");
    text_set(out->way_out, sizeof out->way_out, "make room there: at least %llu MiB", SPACE_ALARM_BYTES >> 20);
}

const char *api_health_word(enum api_health health)
{
    static const char *const words[] = { "ok", "warning", "critical" };

    return words[health];
}
