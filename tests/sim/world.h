/* The whole cluster in one process: coordinators (the real core, raft room and holder), simulated PostgreSQL servers, DNS, people, faults.
 * What must never happen is checked at every instant (world_check.c); what must happen in the end is checked when the faults are over. */
#ifndef COORD_SIM_WORLD_H
#define COORD_SIM_WORLD_H

#include "core/fsm.h"
#include "tests/sim/net.h"
#include "tests/sim/raft_io_mem.h"
#include "tests/sim/server.h"
#include "tests/sim/sim.h"

#define WORLD_INDEX_MAX 200000 /* log entries of one run */
#define WORLD_DATA_SITES_MAX 4
#define WORLD_TIMELINES_MAX 400 /* of one service in one run */
#define WORLD_DNS_HOST (NET_HOSTS_MAX - 1)

struct simnode;
struct world;

struct world_options {
    unsigned data_sites; /* each with a server of every service, and with one node */
    unsigned
        witness_sites;   /* the other nodes are spread over these; with none they stand beside the last data site's */
    unsigned node_count; /* the first ones stand at the data sites in order */
    unsigned service_count;
    enum mode mode;
    enum timing_profile profile; /* of Raft's own times */
    struct timing timing;
    uint64_t max_lag_bytes;
    uint32_t max_lag_ms;
    unsigned snapshot_threshold;
    unsigned snapshot_trailing;
    int32_t clock_ppm_max;
    bool clock_ppm_extreme;    /* each is as fast or as slow as it may be */
    uint32_t step_fails_ppm;   /* for a reason of its own */
    bool leaders_only;         /* no fault but in who leads: nothing may move */
    uint32_t step_strange_ppm; /* answers late, not at all, or with nonsense */
};

struct dns_register { /* the sentinel: takes nothing older than what it holds */
    epoch_t epoch;
    site_id site;
};

/* A timeline begins where a promotion leaves its parent; each promotion makes one of its own. */
struct timeline {
    uint32_t parent;
    uint64_t begin_lsn;
};

/* One service: its servers, its DNS record, and what the log says of it, taken from whoever applied an entry first. Its number here is its
 * number in the replicated state. */
struct world_service {
    struct world *world;
    service_id number;
    struct server servers[WORLD_DATA_SITES_MAX];
    struct dns_register dns;
    struct timeline timelines[WORLD_TIMELINES_MAX]; /* by number; the first is 1 */
    uint32_t timeline_count;

    epoch_t epoch;
    site_id primary; /* SITE_NONE before the first grant */
    int64_t primary_since_us;
    enum operation_state operation_state;
    int64_t operation_us; /* simulated time at which it moved into this state */
    uint64_t operation_count;
    uint64_t promoted_count;
    epoch_t expired_epoch; /* the last one that ran out under a reported guard; a sighting takes it back */
    epoch_t ended_epoch;   /* the last one that was fenced, or that a person vouched for */
    bool glass_broken;     /* somebody broke it, once */
    unsigned glass_grants; /* since the last time */
    bool enforced;         /* as the last renewal of the lease says */
    bool proven; /* a certificate that is no person's word counts: nobody may acknowledge before the next grant */
    bool
        changed; /* since it was last checked: something that lets a server acknowledge, or the log's word about who may */
};

struct world {
    struct sim *sim;
    struct world_options options;
    struct net net;
    struct raft_io_peers peers;
    struct simnode *nodes[NODES_MAX];
    unsigned server_count; /* of each service: one at each data site */
    unsigned site_count;
    unsigned service_count;
    struct world_service services[SERVICES_MAX];
    struct command *scratch; /* a command is large */
    int64_t thawed_us;       /* when the last frozen host went on, or will */
    bool changed;            /* one of the services has */

    uint64_t applied_index;
    uint64_t *digests;    /* of state and outcome, by index; 0: nobody applied it yet */
    uint64_t entry_count; /* commands applied, ever */
    /* A look at each new entry; may be NULL. `command` and `state` are borrowed. */
    void (*on_entry)(struct world *w, uint64_t index, const struct command *command, const struct state *state);
    void *test;
};

/* The rate of one machine's clock. */
int32_t world_draw_ppm(struct world *w);
struct world *world_create(struct sim *sim, const struct world_options *options);
void world_destroy(struct world *w);
struct world_options world_options_default(void);

/* Starts everybody, configures and arms the services, and runs until their primaries acknowledge writes. */
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
/* What it says of the service. */
const struct service *world_service(const struct world_service *ws);
/* The primaries are spread over the data sites. */
site_id world_first_primary(const struct world *w, unsigned service);
/* NULL: no server there. */
struct server *world_server(struct world_service *ws, site_id site);
/* The healthy end: no operation is open, the primary acknowledges writes, DNS and application stand there. */
bool world_service_settled(struct world_service *ws);
/* All of them. */
bool world_settled(struct world *w);
uint64_t world_operation_count(const struct world *w);
uint64_t world_promoted_count(const struct world *w);

/* world_check.c */
/* Something happened that may let a server of the service acknowledge. */
void world_changed(struct world_service *ws);
void world_on_acknowledged(struct world_service *ws, struct server *s);
void world_on_applied(struct world *w, const struct simnode *n, uint64_t index, const struct command *command,
                      const uint8_t *outcome, size_t outcome_bytes);
void world_on_restored(struct world *w, const struct simnode *n);
/* A step touches the world: never for a service that is not enforced. */
void world_on_effect(struct world_service *ws, const struct simnode *n, const char *what);
void world_check_instant(struct world *w);

#endif
