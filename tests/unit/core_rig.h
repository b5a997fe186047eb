/* A replicated state to test core/ on: site-a (node 1, the primary), site-b (node 2, a standby), site-c (node 3, the witness), one armed service. */
#ifndef COORD_TESTS_CORE_RIG_H
#define COORD_TESTS_CORE_RIG_H

#include "core/fsm.h"

enum { SITE_A, SITE_B, SITE_C };
#define NODE_A 1
#define NODE_B 2
#define NODE_C 3
#define SERVICE 0
#define INSTANCE_A 0xa1

struct rig {
    struct state state;
    struct command command; /* the next one */
    struct outcome outcome; /* of the last one */
    int64_t now_ms;
};

/* Configured and armed; every node is heard; no grant yet. */
struct rig *rig_create(void);
void rig_destroy(struct rig *r);
/* The same, and granted to site-a, renewed with an enforcing guard, looked at by everybody: up, site-b ready. */
struct rig *rig_create_live(void);

/* Clears the command and sets kind and sender; the caller fills the rest and calls rig_apply. */
struct command *rig_next(struct rig *r, enum command_kind kind);
/* Applies it as the next entry, checks state_check(), gives the outcome's status. */
enum status rig_apply(struct rig *r);

struct service *rig_service(struct rig *r);
/* What node thinks of site. */
void rig_opinion(struct rig *r, node_id node, site_id site, enum opinion_word word, uint8_t kinds_failed);
void rig_heard(struct rig *r, node_id node, bool heard);
enum status rig_grant(struct rig *r, site_id site, node_id node);
enum status rig_renew(struct rig *r, node_id node, epoch_t epoch, instance_id instance, bool enforcing);
enum status rig_expire(struct rig *r);
enum status rig_set(struct rig *r, enum service_change change);
enum status rig_start(struct rig *r, enum operation_kind kind, site_id to, uint32_t overrides);
enum status rig_abort(struct rig *r);
/* Assigns the run of `step` at `site` to the node, and ends it. */
enum status rig_assign(struct rig *r, enum step step, site_id site, node_id node);
enum status rig_result(struct rig *r, enum step step, site_id site, node_id node, bool ok);
enum status rig_promote(struct rig *r, site_id site);
/* Both: the fence names the instances of the lease; sever brings a position. */
enum status rig_do(struct rig *r, enum step step, site_id site, node_id node);

#endif
