/* Everything that is replicated. Changed by core/fsm only; every node that applied the same entries holds the same bytes.
 * state_check() holds the invariants that no entry may break. */
#ifndef COORD_CORE_STATE_H
#define COORD_CORE_STATE_H

#include "core/event.h"
#include "core/operation.h"
#include "core/opinion.h"
#include "core/policy.h"
#include "core/version.h"

#define INCIDENTS_MAX 24 /* ended operations that are kept for coordctl incidents and report */

struct member {
    node_id id; /* 0: free slot */
    char name[NAME_MAX_BYTES];
    char address[ADDRESS_MAX_BYTES];
    site_id site;
    bool witness;
    bool voter;           /* shall have a vote; the leader carries it over to Raft (core/membership.h) */
    bool heard;           /* by the leader, as it last logged */
    uint8_t version;      /* program_version of its coordd, as of its last start; 0: none heard of yet */
    uint64_t heard_index; /* the entry that said `heard`, and said it again when a quorum was back */
};

struct site {
    char name[NAME_MAX_BYTES]; /* empty: free slot */
};

enum verdict {
    VERDICT_UNKNOWN,
    VERDICT_UP,
    VERDICT_DEGRADED,
    VERDICT_GRAY,
    VERDICT_FAILED,
    VERDICT_DOWN,
    VERDICT_COUNT
};

/* What the cluster thinks of one site of one service. */
struct site_view {
    node_id executor;                   /* the one node that renews, fences and promotes here; 0: none yet */
    uint64_t executor_index;            /* the entry that named it */
    struct opinion opinions[NODES_MAX]; /* by member slot */
    enum verdict verdict;
    uint8_t evidence;      /* kinds behind it, bit per evidence_kind */
    bool behind;           /* the primary was seen to write for longer than the policy's lag since unreceived_ms */
    int64_t verdict_ms;    /* since when; for down, failed and gray: since when it is one of them */
    int64_t unreceived_ms; /* since when its own node does not say that it receives from the primary; 0: it does */
};

struct service {
    bool present;
    struct service_config config;
    bool armed;
    bool paused;
    uint64_t enforced_index; /* the entry that last switched service_enforced(); 0: never */
    site_id primary;         /* SITE_NONE before the first grant */
    struct lease lease;
    struct proof proof;
    struct site_view views[SITES_MAX]; /* by site_id */
    struct operation operation;        /* the one that is active, or the last one */
    int64_t last_failover_ms;          /* start of the last automatic one that promoted; 0: none */
    uint32_t gates_noted;              /* the gates that stand in the way now, as last recorded; bit per gate */
    int64_t gates_noted_ms;
};

struct state {
    uint64_t applied_index;
    int64_t now_ms; /* display time of the last entry; never moves back */
    uint64_t cluster_id;
    uint8_t cluster_version;   /* what every member reads (core/version.h); rises only */
    uint64_t generation;       /* one life of the Raft cluster: 1, and one more with each forced recovery */
    uint64_t generation_index; /* the entry with which it began; 0: the first one */
    node_id next_member_id;    /* ids rise and are never given again: an id below it without a member was removed */
    node_id lead_wanted; /* a person asked this node to lead, until lead_wanted_ms of display time; 0: nobody did */
    int64_t lead_wanted_ms;
    uint64_t quorum_term; /* of the leader that last came to power without knowing of a quorum before it; 0: none yet */
    uint64_t
        quorum_index; /* the entry that said so: whom the log has not named as heard since may only be slow to come back */
    int64_t quorum_ms;
    uint32_t election_ms; /* Raft's, for timing_check */
    uint32_t drift_ppm;
    epoch_t epoch_counter; /* the one counter of every grant of every service */
    uint64_t config_version;
    struct member members[NODES_MAX];
    struct site sites[SITES_MAX];
    struct service services[SERVICES_MAX];
    uint32_t incident_count; /* ever; the last INCIDENTS_MAX are kept, at (number % INCIDENTS_MAX) */
    struct operation incidents[INCIDENTS_MAX];
    struct event_ring events;
};

void state_init(struct state *s);

/* OK, or FAILED with the invariant that does not hold. */
enum status state_check(const struct state *s, struct error *err);

const char *verdict_word(enum verdict verdict);

/* Look-ups; NULL or NONE when there is no such thing. */
int state_member_slot(const struct state *s, node_id id); /* -1: none */
site_id state_site(const struct state *s, const char *name);
service_id state_service(const struct state *s, const char *name);
const char *state_site_name(const struct state *s, site_id site); /* "none" for SITE_NONE */
const char *state_node_name(const struct state *s, node_id node); /* "none" for 0 */
unsigned state_member_count(const struct state *s);
/* The newest cluster version that every member's coordd reads, as far as they have said so; 0: one has not. */
uint8_t state_common_version(const struct state *s);
/* The first configured member at `site`, preferring one that is heard; 0 when the site has none. */
node_id state_site_node(const struct state *s, site_id site);

/* The other eligible site whose executor `node` is, when the holder of the lease cannot go on without its promise: it was the executor when that
 * holder last renewed, so it is among those that are asked. SITE_NONE: it is not. */
site_id service_promiser_site(const struct service *svc, node_id node);
/* One such node that is heard; 0: there is none. */
node_id state_promiser_heard(const struct state *s, const struct service *svc);

/* The deadline is enforced for this service: armed, not paused, not in shadow. Otherwise its guard is open and EXPIRED proves nothing. */
static inline bool service_enforced(const struct service *svc)
{
    return svc->armed && !svc->paused && svc->config.mode != MODE_SHADOW;
}

/* `asks` is another node than the last holder of an enforced service's lease, and nothing proves that the last holder's server is closed. */
bool service_holder_unproven(const struct service *svc, node_id asks);

#endif
