/* Commands that move the right to accept writes: grant, renewal, expiry, proof, and the promotion itself. docs/safety.md has the rules. */
#include "core/fsm_internal.h"

#include <inttypes.h>

#include "base/text.h"
#include "core/gates.h"
#include "core/plan.h"

/* A report counts under the setting that it was made under, and only while the deadline is meant to be enforced. */
static struct enforcement believed(const struct service *svc, struct enforcement reported)
{
    if (!service_enforced(svc) || reported.known_index < svc->enforced_index)
        reported.enforcing = false;
    return reported;
}

/* The first grant follows the configuration, so somebody must look: every other eligible site's own node sees a standby there. */
static const char *others_are_standbys(const struct state *s, const struct service *svc, site_id primary)
{
    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;
        int slot = state_member_slot(s, svc->views[site].executor);

        if (site == primary)
            continue;
        if (slot < 0 || !s->members[slot].heard)
            return "another eligible site has no coordinator in contact: the first grant needs all of them";
        if (svc->views[site].opinions[slot].role != ROLE_STANDBY)
            return "another eligible site's server is not seen in recovery by its own node";
    }
    return (const char *)0;
}

bool fsm_promises_may_run(const struct service *svc)
{
    return lease_ended(&svc->lease) && svc->lease.promises_ended_index == 0 && svc->config.site_count > 1 &&
           !certificate_counts(&svc->proof, CERT_AGENT, &svc->lease);
}

/* Another node than the last holder asks at its site, perhaps for another server. The end of the new lease would say nothing about the last one: it may
 * not know that its lease has ended, and go on by promises of a node that is no executor any more by the time of this grant; or its server
 * may enforce nothing (bypass, break-glass), or have written after the expiry. So it takes the same proof as a promotion. */
static const char *other_holder(const struct service *svc, node_id asks)
{
    if (svc->lease.holder != asks && fsm_promises_may_run(svc))
        return "the last holder may go on by promises: another site's node says when they are over";
    if (service_holder_unproven(svc, asks))
        return "another node held the lease, and nothing proves that its server is closed: make sure of it, then "
               "disarm, wait for the lease, and arm";
    return (const char *)0;
}

/* The lost part of the log may have given the right to another site, whose guard may be open until a ttl has passed. Who gave that part up has
 * also given up the nodes that may have promised something. */
static bool of_an_earlier_generation(const struct state *s, const struct lease *lease)
{
    return s->generation_index != 0 && lease->renewed_index <= s->generation_index;
}

static const char *grant_refused(const struct state *s, const struct service *svc, const struct command_grant *in)
{
    const char *other = of_an_earlier_generation(s, &svc->lease) ? (const char *)0 : other_holder(svc, in->node);

    if (in->site >= SITES_MAX || service_config_site(&svc->config, in->site) == (const struct site_config *)0)
        return "it is no eligible site of the service";
    if (in->node == 0 || svc->views[in->site].executor != in->node)
        return "the node is not the site's executor";
    if (in->last_epoch != svc->lease.epoch)
        return "the log has moved on";
    if (lease_live(&svc->lease))
        return "a lease is live";
    if (svc->operation.state == OPERATION_RUNNING)
        return "an operation is ending the old epoch: it goes on, or is aborted";
    if (service_enforced(svc) && !believed(svc, in->enforcement).enforcing)
        return "the server's lease_guard is not enforcing";
    if (of_an_earlier_generation(s, &svc->lease) && svc->lease.state == LEASE_REVOKED)
        return "the lease is of before the recovery: it runs out first";
    if (other != (const char *)0)
        return other;
    if (svc->primary == SITE_NONE)
        return in->site == svc->config.primary
                   ? others_are_standbys(s, svc, in->site)
                   : "the first grant goes to the site that the configuration calls primary";
    if (svc->primary != in->site)
        return "another site is primary: only a promotion moves the right";
    return (const char *)0;
}

/* The site whose lease has ended says itself that its server enforces nothing (break-glass): then that end proves nothing any more. */
static bool confesses(const struct service *svc, const struct command_grant *in)
{
    return lease_ended(&svc->lease) && in->last_epoch == svc->lease.epoch && in->site == svc->lease.site &&
           in->node == svc->views[in->site].executor && service_enforced(svc) &&
           in->enforcement.known_index >= svc->enforced_index && !in->enforcement.enforcing &&
           svc->lease.enforcement.enforcing;
}

void fsm_grant(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_grant *in = &c->grant;
    struct service *svc = fsm_service(s, in->service, o);
    const char *why;

    if (svc == (struct service *)0)
        return;
    if (confesses(svc, in)) { /* accepted, since it changes something; but nothing is granted */
        svc->lease.enforcement.enforcing = false;
        svc->proof.kinds[CERT_EXPIRED] = (struct certificate){ 0 };
        o->value = svc->lease.epoch;
        event_add(s, EVENT_ALARM, in->service, in->site, 0,
                  "%s: %s reports that its lease_guard enforces nothing: the end of its lease proves nothing, and it "
                  "is not granted a new one",
                  svc->config.name, state_site_name(s, in->site));
        return;
    }
    why = grant_refused(s, svc, in);
    if (why == (const char *)0)
        why = lease_grant(&svc->lease, in->site, in->node, s->epoch_counter + 1, s->applied_index,
                          svc->config.timing.ttl_ms, believed(svc, in->enforcement));
    if (why != (const char *)0) {
        fsm_refuse(o, "%s", why);
        return;
    }
    s->epoch_counter++;
    svc->primary = in->site;
    svc->proof = (struct proof){ 0 };
    o->value = s->epoch_counter;
    event_add(s, EVENT_LEASE, in->service, in->site, 0, "%s: lease granted to %s, epoch %" PRIu64 ", held by node %s%s",
              svc->config.name, state_site_name(s, in->site), svc->lease.epoch, state_node_name(s, in->node),
              service_enforced(svc) ? "" : " (not enforcing)");
    if (svc->operation.state == OPERATION_PROPOSED) {
        (void)operation_move(&svc->operation, OPERATION_EV_ABORT); /* PROPOSED lets go without a trace in the world */
        event_add(s, EVENT_OPERATION, in->service, in->site, svc->operation.id,
                  "operation %" PRIu64 " withdrawn: %s is back", svc->operation.id, state_site_name(s, in->site));
        fsm_archive(s, svc);
    }
}

void fsm_renew(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_renew *in = &c->renew;
    struct service *svc = fsm_service(s, in->service, o);
    struct enforcement before;
    const char *why;

    if (svc == (struct service *)0)
        return;
    if (in->ttl_ms == 0 || in->ttl_ms > TTL_MS_MAX) {
        fsm_refuse(o, "ttl %" PRIu32 " ms is out of bounds", in->ttl_ms);
        return;
    }
    if (in->enforcement.known_index >= s->applied_index) {
        fsm_refuse(o, "it knows entry %" PRIu64 ", which is not before this one", in->enforcement.known_index);
        return;
    }
    before = svc->lease.enforcement;
    why = lease_renew(&svc->lease, in->node, in->epoch, s->applied_index, in->ttl_ms, believed(svc, in->enforcement));
    if (why != (const char *)0) {
        fsm_refuse(o, "%s", why);
        return;
    }
    o->value = in->epoch;
    if (before.enforcing != svc->lease.enforcement.enforcing)
        event_add(
            s, svc->lease.enforcement.enforcing || !service_enforced(svc) ? EVENT_LEASE : EVENT_ALARM, in->service,
            svc->lease.site, 0, "%s: %s reports its deadline %s", svc->config.name, state_site_name(s, svc->lease.site),
            svc->lease.enforcement.enforcing ? "enforced by lease_guard" : "NOT enforced: its expiry proves nothing");
}

static void certify(struct state *s, struct service *svc, enum certificate_kind kind, const char *how)
{
    service_id service = (service_id)(svc - s->services);
    bool first = !certificate_any(&svc->proof, &svc->lease, (enum certificate_kind *)0);

    certificate_give(&svc->proof, kind, svc->lease.epoch, s->applied_index);
    if (first && svc->operation.state == OPERATION_RUNNING)
        svc->operation.certified_ms = s->now_ms;
    event_add(s, EVENT_CERTIFICATE, service, svc->lease.site, operation_active(&svc->operation) ? svc->operation.id : 0,
              "%s: certificate %s: %s can no longer acknowledge in epoch %" PRIu64 ": %.90s", svc->config.name,
              certificate_kind_word(kind), state_site_name(s, svc->lease.site), svc->lease.epoch, how);
}

void fsm_certify_agent(struct state *s, struct service *svc, const char *how)
{
    certify(s, svc, CERT_AGENT, how);
}

void fsm_certify_expiry(struct state *s, struct service *svc)
{
    if (certificate_expiry_is_proof(&svc->lease) && svc->proof.kinds[CERT_EXPIRED].epoch != svc->lease.epoch)
        certify(s, svc, CERT_EXPIRED, "its lease ran out, lease_guard was enforcing it, and no promise extends it");
}

void fsm_lease_expired(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_lease_expired *in = &c->lease_expired;
    struct service *svc = fsm_service(s, in->service, o);
    const char *why;

    if (svc == (struct service *)0)
        return;
    why = lease_expire(&svc->lease, in->epoch, in->renewed_index, s->applied_index);
    if (why != (const char *)0) {
        fsm_refuse(o, "%s", why);
        return;
    }
    event_add(s, EVENT_LEASE, in->service, svc->lease.site, 0, "%s: lease of %s expired, epoch %" PRIu64,
              svc->config.name, state_site_name(s, svc->lease.site), in->epoch);
    fsm_certify_expiry(s, svc);
    if (!svc->lease.enforcement.enforcing)
        event_add(s, service_enforced(svc) ? EVENT_ALARM : EVENT_LEASE, in->service, svc->lease.site, 0,
                  "%s: the expiry proves nothing: the deadline was not reported enforced", svc->config.name);
}

void fsm_promises_ended(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_promises_ended *in = &c->promises_ended;
    struct service *svc = fsm_service(s, in->service, o);
    const char *why;

    if (svc == (struct service *)0)
        return;
    if (service_promiser_site(svc, in->node) == SITE_NONE) {
        fsm_refuse(o, "the holder of the lease may go on without a promise of node %" PRIu64, in->node);
        return;
    }
    why = lease_end_promises(&svc->lease, in->epoch, s->applied_index);
    if (why != (const char *)0) {
        fsm_refuse(o, "%s", why);
        return;
    }
    event_add(s, EVENT_LEASE, in->service, svc->lease.site, 0,
              "%s: node %s has promised %s nothing any more: without it no promise extends the lease of epoch %" PRIu64,
              svc->config.name, state_node_name(s, in->node), state_site_name(s, svc->lease.site), in->epoch);
    fsm_certify_expiry(s, svc);
}

void fsm_sighting(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_sighting *in = &c->sighting;
    struct service *svc = fsm_service(s, in->service, o);

    if (svc == (struct service *)0)
        return;
    if (in->epoch != svc->lease.epoch || in->site != svc->lease.site ||
        !lease_forbids_since(&svc->lease, in->looked_index)) {
        fsm_refuse(o, "the write began before the end of the lease and of all promises was applied there, or the "
                      "epoch is over");
        return;
    }
    if (!service_enforced(svc)) {
        fsm_refuse(o, "the service is not enforced: its writes go on by design");
        return;
    }
    svc->proof.veto = (struct veto){ .epoch = in->epoch, .index = s->applied_index, .seen_by = in->node };
    event_add(s, EVENT_ALARM, in->service, in->site, 0,
              "%s: node %s wrote at %s after its lease had expired: enforcement is broken there; the expiry proves "
              "nothing until a fence or "
              "`approve --fenced`",
              svc->config.name, state_node_name(s, in->node), state_site_name(s, in->site));
}

void fsm_operator_certificate(struct state *s, const struct command *c, struct outcome *o)
{
    struct service *svc = fsm_operation(s, c->operator_certificate.operation, o);
    node_id waiting;
    bool vetoed;

    if (svc == (struct service *)0)
        return;
    vetoed = svc->proof.veto.epoch != 0 && svc->proof.veto.epoch == svc->lease.epoch;
    if (svc->operation.state != OPERATION_RUNNING || !lease_ended(&svc->lease)) {
        fsm_refuse(o, "operation %" PRIu64 " does not wait for a proof", svc->operation.id);
        return;
    }
    if (!vetoed && svc->lease.state == LEASE_REVOKED && svc->lease.enforcement.enforcing) {
        fsm_refuse(o, "waiting for at most %" PRIu32 " ms gives proof by itself: the lease is running out",
                   svc->lease.ttl_ms);
        return;
    }
    waiting = !vetoed && svc->lease.promises_ended_index == 0 ? state_promiser_heard(s, svc) : 0;
    if (waiting != 0) {
        fsm_refuse(o, "node %s has yet to say that its promises are over: it does so by itself, within %" PRIu32 " ms",
                   state_node_name(s, waiting), svc->lease.ttl_ms);
        return;
    }
    certify(s, svc, CERT_OPERATOR, c->who);
    event_add(s, EVENT_ALARM, svc->operation.service, svc->lease.site, svc->operation.id,
              "%s: %s vouches that %s is fenced: %.80s", svc->config.name, c->who, state_site_name(s, svc->lease.site),
              c->operator_certificate.reason);
}

/* Nothing is open at a standby yet: it is in recovery, and pg_promote runs only behind a guard that says it is enforcing. An old primary
 * that a person forced is not in recovery: only its renewal can say what its guard does. */
static struct enforcement enforced_before_renewal(const struct service *svc)
{
    bool in_recovery = ((svc->operation.overrides >> GATE_STANDBY) & 1u) == 0;

    return (struct enforcement){ .enforcing = service_enforced(svc) && in_recovery };
}

void fsm_promote(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_promote *in = &c->promote;
    struct service *svc = fsm_operation(s, in->operation, o);
    struct operation *op;
    enum certificate_kind kind;
    char why[DETAIL_MAX_BYTES];
    const char *refused;
    node_id executor;

    if (svc == (struct service *)0)
        return;
    op = &svc->operation;
    if (op->state != OPERATION_RUNNING || in->old_epoch != svc->lease.epoch || in->old_epoch != op->old_epoch) {
        fsm_refuse(o, "operation %" PRIu64 " is not before its point of no return, or the epoch is over", op->id);
        return;
    }
    /* The planner asked the same; only the answer here counts. */
    if (!certificate_any(&svc->proof, &svc->lease, &kind)) {
        fsm_refuse(o, "no certificate: nothing proves that %s can no longer acknowledge", state_site_name(s, op->from));
        return;
    }
    if (plan_candidate(s, op, why, sizeof why) != in->site || in->site >= SITES_MAX) {
        fsm_refuse(o, "%s is not the candidate", state_site_name(s, in->site));
        return;
    }
    executor = svc->views[in->site].executor;
    refused = executor == 0 ? "the site has no executor"
                            : lease_grant(&svc->lease, in->site, executor, s->epoch_counter + 1, s->applied_index,
                                          svc->config.timing.ttl_ms, enforced_before_renewal(svc));
    if (refused != (const char *)0) {
        fsm_refuse(o, "%s", refused);
        return;
    }
    s->epoch_counter++;
    svc->primary = in->site;
    svc->proof = (struct proof){ 0 };
    op->to = in->site;
    op->new_epoch = s->epoch_counter;
    op->certificate = kind;
    op->promoted_ms = s->now_ms;
    (void)operation_move(op, OPERATION_EV_PROMOTE); /* RUNNING was checked above */
    plan_promoted(s, op);
    if (op->kind == OPERATION_FAILOVER)
        svc->last_failover_ms = op->started_ms;
    o->value = op->new_epoch;
    event_add(s, EVENT_PROMOTE, op->service, op->to, op->id,
              "%s: point of no return: %s is primary in epoch %" PRIu64
              " (certificate %s, candidate at timeline %" PRIu32 " 0x%" PRIx64 ")",
              svc->config.name, state_site_name(s, op->to), op->new_epoch, certificate_kind_word(kind),
              operation_run(op, STEP_SEVER, op->to)->position.timeline,
              operation_run(op, STEP_SEVER, op->to)->position.lsn);
}
