/* A streaming pair with lease_guard, a Knot, and the nodes that run steps on them. The replicated state is the test's: it assigns, and takes what
 * is submitted. */
#ifndef COORD_TESTS_EXEC_RIG_H
#define COORD_TESTS_EXEC_RIG_H

#include "exec/exec.h"
#include "tests/integration/dns_servers.h"
#include "tests/integration/pg_fixture.h"

enum { SITE_A, SITE_B };
#define NODE_A 1u
#define NODE_B 2u
#define OLD_EPOCH 4u
#define NEW_EPOCH 5u

extern uv_loop_t loop;
extern struct pg_server primary, standby;
extern struct dns_server knot;
extern struct exec *node_a, *node_b, *node_b_hasty; /* the last has little patience */
extern struct state state_now;
extern struct exec_local local_b;
extern char guard_b[200], key_reference[220];
extern uint64_t primary_lsn;            /* what the prober of both nodes saw last */
extern struct command_step_result last; /* what was submitted */
extern bool submitted;

/* For cmocka_run_group_tests. */
int exec_rig_open(void **state);
int exec_rig_close(void **state);

struct exec *make_node(node_id self, const struct exec_local *local, const struct step_table *steps);
void close_node(struct exec *e);
struct operation *operation(void);
/* The point of no return, in the state. */
void promote_in_state(void);

/* Assigns a new run of the step and brings its result. */
const struct step_result *must_succeed(struct exec *e, enum step step, site_id site);
void must_fail(struct exec *e, enum step step, site_id site, const char *part);
void assert_says(const struct step_result *r, const char *part);

/* What the holder's renewal does; the server's instance. */
instance_id open_guard(const char *path, epoch_t epoch);
void bypass_guard(const char *path, bool on, epoch_t epoch);
bool write_is_acknowledged(const struct pg_server *s, const char *sql);
void text(char *out, size_t capacity_bytes, const char *value);

#endif
