/* The whole cluster in one process: coordinators (the real core, raft room and holder), simulated PostgreSQL servers, DNS, people, faults.
 * What must never happen is checked at every instant (world_check.c); what must happen in the end is checked when the faults are over. */
#ifndef COORD_SIM_WORLD_H
#define COORD_SIM_WORLD_H

#include "core/fsm.h"
#include "tests/sim/net.h"
#include "tests/sim/raft_io_mem.h"
#include "tests/sim/server.h"
#include "tests/sim/sim.h"

#define WORLD_INDEX_MAX 20000 /* log entries of one run */
#define WORLD_SERVICE 0       /* one service; its number in the state */
#define WORLD_DNS_HOST (NET_HOSTS_MAX - 1)

struct simnode;

struct world_options {
    unsigned data_sites; /* each with a server; one more site holds the witness */
    unsigned node_count; /* the first ones stand at the data sites in order, all others are witnesses */
    enum mode mode;
    enum timing_profile profile; /* of Raft's own times */
    struct timing timing;
    uint64_t max_lag_bytes;
    unsigned snapshot_threshold;
    unsigned snapshot_trailing;
    int32_t clock_ppm_max;
    uint32_t step_fails_ppm; /* for a reason of its own */
};

struct dns_register { /* the sentinel: takes nothing older than what it holds */
    epoch_t epoch;
    site_id site;
};

struct world {
    struct sim *sim;
    struct world_options options;
    struct net net;
    struct raft_io_peers peers;
    struct simnode *nodes[NODES_MAX];
    struct server servers[SITES_MAX];
    unsigned server_count;
    struct dns_register dns;
    uint32_t timeline;       /* the highest that a promotion has made: each is new */
    struct command *scratch; /* a command is large */

    /* What the log says, taken from whoever applied an entry first. */
    uint64_t applied_index;
    epoch_t epoch;
    site_id primary; /* SITE_NONE before the first grant */
    int64_t primary_since_us;
    uint64_t *digests; /* of state and outcome, by index; 0: nobody applied it yet */
    enum operation_state operation_state;
    uint64_t operation_count;
    uint64_t promoted_count;
    uint64_t entry_count; /* commands applied, ever */
    epoch_t glass_epoch;  /* the last one in which somebody broke the glass */
    bool vouched;         /* a person vouched in this epoch */
    bool proven; /* a certificate that is no person's word counts: nobody may acknowledge before the next grant */
    /* A test's own look at each new entry; may be NULL. `command` and `state` are borrowed. */
    void (*on_entry)(struct world *w, uint64_t index, const struct command *command, const struct state *state);
    void *test;
};

struct world *world_create(struct sim *sim, const struct world_options *options);
void world_destroy(struct world *w);
struct world_options world_options_default(void);

/* Starts everybody, configures and arms the service, and runs until its primary acknowledges writes. */
void world_boot(struct world *w);
/* Runs and checks at every event. */
void world_run(struct world *w, int64_t span_us);
/* Runs until `done` says so, at most `limit_us`; true when it did. */
bool world_run_until(struct world *w, bool (*done)(struct world *w), int64_t limit_us);

/* A person's command, given to any node that is up; false when none took it. Filled by the caller in w->scratch. */
bool world_operator(struct world *w);
/* The same, through that node. */
bool world_operator_at(struct world *w, unsigned node);

/* CONFIG_APPLY with w->options as they are now, by a person. */
bool world_configure(struct world *w);

/* The state of the node that has applied most. */
const struct state *world_state(const struct world *w);
const struct service *world_service(const struct world *w);
struct server *world_server(struct world *w, site_id site);
/* The healthy end: no operation is open, the primary acknowledges writes, DNS and application stand there. */
bool world_settled(struct world *w);

/* world_check.c */
void world_on_acknowledged(struct world *w, struct server *s);
void world_on_applied(struct world *w, const struct simnode *n, uint64_t index, const struct command *command,
                      const uint8_t *outcome, size_t outcome_bytes);
void world_on_restored(struct world *w, const struct simnode *n);
/* A step touches the world: never for a service that is not enforced. */
void world_on_effect(struct world *w, const struct simnode *n, const char *what);
void world_check_instant(struct world *w);

#endif
