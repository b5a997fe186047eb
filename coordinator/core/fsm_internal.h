/* Shared by the files that make up fsm_apply(). */
#ifndef COORD_CORE_FSM_INTERNAL_H
#define COORD_CORE_FSM_INTERNAL_H

#include "core/fsm.h"

/* Names the executor of a site; 0: it has none. */
void fsm_name_executor(struct state *s, struct site_view *view, node_id node);

void fsm_refuse(struct outcome *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The service, or NULL with the refusal filled in. */
struct service *fsm_service(struct state *s, service_id service, struct outcome *o);
/* The operation has just ended: it is kept among the incidents. */
void fsm_archive(struct state *s, struct service *svc);
/* The service whose active operation has this id, or NULL with the refusal filled in. */
struct service *fsm_operation(struct state *s, operation_id id, struct outcome *o);

void fsm_cluster_init(struct state *s, const struct command *c, struct outcome *o);
void fsm_config_apply(struct state *s, const struct command *c, struct outcome *o);
void fsm_service_set(struct state *s, const struct command *c, struct outcome *o);
void fsm_quorum_back(struct state *s, const struct command *c, struct outcome *o);
void fsm_node_started(struct state *s, const struct command *c, struct outcome *o);
void fsm_cluster_version(struct state *s, const struct command *c, struct outcome *o);
void fsm_node_heard(struct state *s, const struct command *c, struct outcome *o);
void fsm_opinion(struct state *s, const struct command *c, struct outcome *o);
void fsm_executor_set(struct state *s, const struct command *c, struct outcome *o);
void fsm_gates_noted(struct state *s, const struct command *c, struct outcome *o);

void fsm_member_add(struct state *s, const struct command *c, struct outcome *o);
void fsm_member_remove(struct state *s, const struct command *c, struct outcome *o);
void fsm_member_set(struct state *s, const struct command *c, struct outcome *o);
void fsm_lead(struct state *s, const struct command *c, struct outcome *o);
void fsm_recover(struct state *s, const struct command *c, struct outcome *o);

void fsm_grant(struct state *s, const struct command *c, struct outcome *o);
void fsm_renew(struct state *s, const struct command *c, struct outcome *o);
void fsm_lease_expired(struct state *s, const struct command *c, struct outcome *o);
void fsm_promises_ended(struct state *s, const struct command *c, struct outcome *o);
void fsm_sighting(struct state *s, const struct command *c, struct outcome *o);
void fsm_promote(struct state *s, const struct command *c, struct outcome *o);
void fsm_operator_certificate(struct state *s, const struct command *c, struct outcome *o);

/* The agent has proven every server of the epoch stopped or closed. The lease must have ended. */
void fsm_certify_agent(struct state *s, struct service *svc, const char *how);
/* Gives EXPIRED when the lease's end is proof and it was not given yet. */
void fsm_certify_expiry(struct state *s, struct service *svc);
/* The lease has ended, and nothing says yet that its holder does not go on by promises that other sites' nodes gave it. */
bool fsm_promises_may_run(const struct service *svc);

void fsm_operation_start(struct state *s, const struct command *c, struct outcome *o);
void fsm_operation_approve(struct state *s, const struct command *c, struct outcome *o);
void fsm_operation_abort(struct state *s, const struct command *c, struct outcome *o);
void fsm_step_assign(struct state *s, const struct command *c, struct outcome *o);
void fsm_step_result(struct state *s, const struct command *c, struct outcome *o);
void fsm_step_skip(struct state *s, const struct command *c, struct outcome *o);

#endif
