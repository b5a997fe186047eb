#include "core/fsm.h"

#include <stdarg.h>

#include "base/check.h"
#include "base/text.h"
#include "core/fsm_internal.h"
#include "core/standby.h"
#include "core/verdict.h"

void fsm_refuse(struct outcome *o, const char *format, ...)
{
    va_list args;

    o->status = STATUS_REFUSED;
    va_start(args, format);
    text_set_list(o->reason, sizeof o->reason, format, args);
    va_end(args);
}

struct service *fsm_service(struct state *s, service_id service, struct outcome *o)
{
    if (service >= SERVICES_MAX || !s->services[service].present) {
        fsm_refuse(o, "there is no service number %u", service);
        return (struct service *)0;
    }
    return &s->services[service];
}

/* Verdicts are derived: they change only with what an entry changed, and only a change is recorded. */
static void update_verdicts(struct state *s, service_id service)
{
    struct service *svc = &s->services[service];

    for (unsigned i = 0; i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;
        struct site_view *view = &svc->views[site];
        uint8_t evidence = 0;
        enum verdict now = verdict_of(s, service, site, &evidence);
        char kinds[80];

        view->evidence = evidence;
        if (now == view->verdict)
            continue;
        evidence_text(evidence, kinds, sizeof kinds);
        event_add(s, EVENT_VERDICT, service, site, 0, "%s: %s is %s (was %s)%s%s", svc->config.name,
                  state_site_name(s, site), verdict_word(now), verdict_word(view->verdict),
                  kinds[0] ? "; evidence: " : "", kinds);
        /* An accusation that only changes its word goes on: else a dying site that is gray and failed in turns would never be old enough. */
        if (!verdict_accuses(now) || !verdict_accuses(view->verdict))
            view->verdict_ms = s->now_ms;
        view->verdict = now;
    }
}

static void (*const handlers[COMMAND_KIND_COUNT])(struct state *, const struct command *, struct outcome *) = {
    [COMMAND_CLUSTER_INIT] = fsm_cluster_init,
    [COMMAND_CONFIG_APPLY] = fsm_config_apply,
    [COMMAND_SERVICE_SET] = fsm_service_set,
    [COMMAND_NODE_HEARD] = fsm_node_heard,
    [COMMAND_QUORUM_BACK] = fsm_quorum_back,
    [COMMAND_NODE_STARTED] = fsm_node_started,
    [COMMAND_CLUSTER_VERSION] = fsm_cluster_version,
    [COMMAND_OPINION] = fsm_opinion,
    [COMMAND_EXECUTOR_SET] = fsm_executor_set,
    [COMMAND_GRANT] = fsm_grant,
    [COMMAND_RENEW] = fsm_renew,
    [COMMAND_LEASE_EXPIRED] = fsm_lease_expired,
    [COMMAND_SIGHTING] = fsm_sighting,
    [COMMAND_GATES_NOTED] = fsm_gates_noted,
    [COMMAND_OPERATION_START] = fsm_operation_start,
    [COMMAND_OPERATION_APPROVE] = fsm_operation_approve,
    [COMMAND_OPERATION_ABORT] = fsm_operation_abort,
    [COMMAND_OPERATOR_CERTIFICATE] = fsm_operator_certificate,
    [COMMAND_STEP_ASSIGN] = fsm_step_assign,
    [COMMAND_STEP_RESULT] = fsm_step_result,
    [COMMAND_STEP_SKIP] = fsm_step_skip,
    [COMMAND_PROMOTE] = fsm_promote,
    [COMMAND_MEMBER_ADD] = fsm_member_add,
    [COMMAND_MEMBER_REMOVE] = fsm_member_remove,
    [COMMAND_MEMBER_SET] = fsm_member_set,
    [COMMAND_LEAD] = fsm_lead,
    [COMMAND_RECOVER] = fsm_recover,
    [COMMAND_PROMISES_ENDED] = fsm_promises_ended,
};

void fsm_apply(struct state *s, uint64_t index, const struct command *c, struct outcome *outcome)
{
    ASSERT((unsigned)c->kind < COMMAND_KIND_COUNT);
    ASSERT(index > s->applied_index);
    s->applied_index = index;
    if (c->at_ms > s->now_ms && c->at_ms <= AT_MS_MAX) /* patience and display only: it never moves back */
        s->now_ms = c->at_ms;
    *outcome = (struct outcome){ .status = STATUS_OK };
    handlers[c->kind](s, c, outcome);
    if (outcome->status != STATUS_OK)
        return;
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present) {
            update_verdicts(s, (service_id)i);
            standby_follow(s, (service_id)i);
        }
}
