/* A cluster of test_raft_peer processes in a temporary directory, on loopback addresses of its own, in TLS with certificates of its own. Failures of the harness itself abort the test. */
#ifndef TEST_RAFT_HARNESS_H
#define TEST_RAFT_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CLUSTER_NODES 3
#define WAIT_MS 60000 /* how long anything may take on a busy machine before it counts as never */

struct cluster_node {
    pid_t pid; /* 0: not running */
    int in, out;
    char line[4096]; /* what it said and nobody has taken yet */
    size_t used;
    char address[64];
    char dir[256];
    const char *certificate; /* its files in the fixture's directory; NULL: plain TCP */
};

struct cluster {
    char dir[200];
    const char *threshold, *trailing;             /* NULL: defaults */
    struct cluster_node nodes[CLUSTER_NODES + 1]; /* by id, from 1 */
};

/* The program's own network namespace, so that packets can be dropped. False: not root. Call first in main. */
bool cluster_own_network(void);

void cluster_make(struct cluster *c);
/* A certificate for node `id` as NAME.crt and NAME.key in the fixture's directory. */
void cluster_certificate(unsigned id, const char *name, const char *authority);
void cluster_bootstrap(struct cluster *c);
void cluster_bootstrap_node(struct cluster *c, unsigned id);
/* Kills what runs and removes the directory. */
void cluster_remove(struct cluster *c);

void cluster_start(struct cluster *c, unsigned id);
void cluster_start_all(struct cluster *c);
/* SIGKILL, and waits. Fails if it had already ended by itself. */
void cluster_kill(struct cluster *c, unsigned id);
/* Waits until it ends by itself; returns its exit status. */
int cluster_ended(struct cluster *c, unsigned id);
/* Asks it to end; returns its exit status. */
int cluster_quit(struct cluster *c, unsigned id);
/* Starts it although that must fail; returns its exit status and what it wrote to stderr. */
int cluster_start_refused(struct cluster *c, unsigned id, char *text, size_t capacity);

void cluster_tell(struct cluster *c, unsigned id, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The next line that begins with `begin`; what follows it is copied to `rest`. False: not within ms. */
bool cluster_hear_within(struct cluster *c, unsigned id, const char *begin, char *rest, size_t capacity, int ms);
void cluster_hear(struct cluster *c, unsigned id, const char *begin, char *rest, size_t capacity);

/* The node that all running ones call leader; waits for it. */
unsigned cluster_leader(struct cluster *c);
/* One put by that node, repeated until it is acknowledged; returns the outcome, the count after it. */
uint64_t cluster_put(struct cluster *c, unsigned id, unsigned number);
/* Waits until the node has applied `count` numbers. False: not within ms. */
bool cluster_applied_within(struct cluster *c, unsigned id, uint64_t count, int ms);
/* All running nodes have applied `count` numbers in the same order, none of [0, count) is missing. */
void cluster_expect_all(struct cluster *c, uint64_t count);

/* Waits until the node's receipt on the disk covers all of its log: within a heartbeat. */
void cluster_receipt(struct cluster *c, unsigned id);

int64_t cluster_now_ms(void);
/* Runs a shell command that must succeed. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
