/* A small cluster for the tests of core/ and holder/: three sites with one node each, one service with its database at two of them, and a log
 * that applies one command after the other. After each entry the invariants must hold, and one that is refused must have changed nothing. */
#ifndef COORD_TESTS_CORE_FIXTURE_H
#define COORD_TESTS_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/text.h"
#include "core/fsm.h"
#include "core/gates.h"
#include "core/plan.h"

enum { A, B, C };                               /* sites; C has no database unless a test adds it */
enum { NODE_A = 11, NODE_B = 12, NODE_C = 13 }; /* their nodes; C's is the witness */
#define APP ((service_id)0)
#define INSTANCE UINT64_C(0xa1)

struct core {
    struct state state;
    struct command command;
    struct outcome outcome; /* of the last entry */
    struct state before;
    int64_t now_ms; /* stamped into the next entry */
    uint8_t bytes[2][1024 * 1024];
};

/* A configured, unarmed service whose nodes are all heard and have not said anything yet. Freed by core_free. */
struct core *core_create(void);
void core_free(struct core *k);
int core_setup(void **state); /* for cmocka: a core after core_primary() */
int core_setup_bare(void **state);
int core_teardown(void **state);

/* Site A is the armed, granted and renewing primary, B its ready standby, everybody says so. */
void core_primary(struct core *k);

/* Site C gets a database too: the service's second ready standby. */
void core_add_c(struct core *k);

/* A cleared command to fill in, then core_apply(). */
struct command *core_command(struct core *k, enum command_kind kind);
/* True when it was accepted. */
bool core_apply(struct core *k);
void core_pass(struct core *k, int64_t span_ms);

static inline struct service *core_app(struct core *k)
{
    return &k->state.services[APP];
}
static inline struct operation *core_operation(struct core *k)
{
    return &k->state.services[APP].operation;
}
/* The last event's text, and whether one of the last few of this kind holds `part`. */
bool core_event_says(const struct core *k, enum event_kind kind, const char *part);

/* One entry each. */
void core_config(struct service_config *config); /* of the service "app", as core_create applies it */
bool core_configure(struct core *k, const struct service_config *config, unsigned count);
bool core_set(struct core *k, enum service_change change);
bool core_heard(struct core *k, node_id node, bool heard);
bool core_opinion(struct core *k, node_id node, site_id site, enum opinion_word word, enum role role, uint8_t kinds);
bool core_ready(struct core *k, site_id site, bool ready); /* by the site's own node, which sees a standby that is up */
bool core_grant(struct core *k, site_id site, bool enforcing);
bool core_renew(struct core *k, bool enforcing);
bool core_renew_as(struct core *k, node_id node, epoch_t epoch, instance_id instance, uint32_t ttl_ms);
bool core_expire(struct core *k); /* and the other site's node says that no promise extends it */
bool core_expire_alone(struct core *k);
bool core_promises_ended(struct core *k, node_id node);
bool core_sight(struct core *k, node_id node, uint64_t looked_index);
bool core_start(struct core *k, enum operation_kind kind, site_id to, uint32_t overrides);
bool core_abort(struct core *k);
bool core_approve(struct core *k);
bool core_vouch(struct core *k);
bool core_skip(struct core *k, enum step step);
bool core_promote(struct core *k, site_id site);
bool core_executor(struct core *k, site_id site, node_id node);

/* The run of a step at a site; fails the test when there is none. */
uint8_t core_run(struct core *k, enum step step, site_id site);
bool core_assign(struct core *k, enum step step, site_id site);
/* The assigned node's success; a sever brings the position, a fence every instance of the lease. */
bool core_done(struct core *k, enum step step, site_id site);
bool core_failed(struct core *k, enum step step, site_id site);
bool core_severed(struct core *k, site_id site, uint32_t timeline, uint64_t lsn);

/* The primary's site is lost: its node is silent, its lease has expired, everybody outside says so. Nothing has started. */
void core_lose_a(struct core *k);
/* The failover after core_lose_a, up to its point of no return and not beyond. */
void core_ready_to_promote(struct core *k);

#define assert_accepted(call, k) core_expect((call), true, (k), __FILE__, __LINE__)
#define assert_refused(call, k) core_expect((call), false, (k), __FILE__, __LINE__)
void core_expect(bool accepted, bool expected, const struct core *k, const char *file, int line);
/* The last refusal's reason holds these words. */
void core_expect_reason(const struct core *k, const char *part);

#endif
