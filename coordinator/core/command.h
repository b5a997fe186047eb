/* The closed list of what may enter the log. Each command carries its sender and a display time stamped by the leader that proposed it.
 * A command is a wish: core/fsm accepts or refuses it, the same way on every node. */
#ifndef COORD_CORE_COMMAND_H
#define COORD_CORE_COMMAND_H

#include "core/state.h"

#include <stddef.h>

/* A display time beyond the year 9999 is no time: it is ignored, so that sums of times never overflow. */
#define AT_MS_MAX INT64_C(253402300799999)

#define COMMAND_LIST(X)                                                                                                \
    X(COMMAND_CLUSTER_INIT, "cluster_init")       /* leader, once: members and sites */                                \
    X(COMMAND_CONFIG_APPLY, "config_apply")       /* operator */                                                       \
    X(COMMAND_SERVICE_SET, "service_set")         /* operator: arm, disarm, pause, resume */                           \
    X(COMMAND_NODE_HEARD, "node_heard")           /* leader: a node is heard again, or is silent */                    \
    X(COMMAND_QUORUM_BACK, "quorum_back")         /* leader: there was none for longer than a ttl, or nobody knows */  \
    X(COMMAND_NODE_STARTED, "node_started")       /* each node, once per life of its process: it acts from there on */ \
    X(COMMAND_CLUSTER_VERSION, "cluster_version") /* leader: every member reads it */                                  \
    X(COMMAND_OPINION, "opinion")                 /* each node, on change */                                           \
    X(COMMAND_EXECUTOR_SET, "executor_set")       /* leader */                                                         \
    X(COMMAND_GRANT, "grant")                     /* a site's executor asks for the lease */                           \
    X(COMMAND_RENEW, "renew")                     /* the holder */                                                     \
    X(COMMAND_LEASE_EXPIRED, "lease_expired")     /* leader, by its own count */                                       \
    X(COMMAND_SIGHTING, "sighting")               /* a node saw an acknowledged write after the expiry */              \
    X(COMMAND_GATES_NOTED, "gates_noted")         /* leader: why an operation does not start */                        \
    X(COMMAND_OPERATION_START, "operation_start") /* leader on a verdict, or operator */                               \
    X(COMMAND_OPERATION_APPROVE, "operation_approve")                                                                  \
    X(COMMAND_OPERATION_ABORT, "operation_abort")                                                                      \
    X(COMMAND_OPERATOR_CERTIFICATE, "operator_certificate") /* operator: approve --fenced */                           \
    X(COMMAND_STEP_ASSIGN, "step_assign")                   /* leader */                                               \
    X(COMMAND_STEP_RESULT,                                                                                             \
      "step_result")                  /* the assigned node; the leader for a node that is silent past its deadline */  \
    X(COMMAND_STEP_SKIP, "step_skip") /* operator; never a safety step */                                              \
    X(COMMAND_PROMOTE, "promote")     /* leader: the point of no return */                                             \
    X(COMMAND_MEMBER_ADD, "member_add")         /* operator */                                                         \
    X(COMMAND_MEMBER_REMOVE, "member_remove")   /* operator */                                                         \
    X(COMMAND_MEMBER_SET, "member_set")         /* operator: with or without a vote */                                 \
    X(COMMAND_LEAD, "lead")                     /* operator: that node shall lead for a while */                       \
    X(COMMAND_RECOVER, "recover")               /* the leader of a forced recovery, first of all: a new generation */  \
    X(COMMAND_PROMISES_ENDED, "promises_ended") /* an executor, once per lease that has ended: no promise extends it */
#define COMMAND_ENUM(name, word) name,
enum command_kind { COMMAND_LIST(COMMAND_ENUM) COMMAND_KIND_COUNT };
#undef COMMAND_ENUM

struct command_cluster_init {
    uint64_t cluster_id;
    uint32_t election_ms;
    struct member members[NODES_MAX]; /* heard, heard_index and version are ignored */
    struct site sites[SITES_MAX];
};
struct command_config_apply {
    uint64_t base_version; /* the version that the author has seen; 0: whatever it is */
    uint8_t service_count;
    struct service_config
        services[SERVICES_MAX]; /* the whole list: a service that is missing is removed (its lease must have ended) */
};
enum service_change { SERVICE_ARM, SERVICE_DISARM, SERVICE_PAUSE, SERVICE_RESUME, SERVICE_CHANGE_COUNT };
struct command_service_set {
    service_id service;
    enum service_change change;
};
struct command_node_heard {
    node_id node;
    bool heard;
};
struct command_quorum_back {
    uint64_t term; /* of the leader that says so */
};
struct command_node_started {
    node_id node;
    uint8_t version; /* its program_version */
};
struct command_cluster_version {
    uint8_t version;
};
struct command_opinion {
    node_id node;
    service_id service;
    site_id site;
    struct opinion opinion;
};
struct command_executor_set {
    service_id service;
    site_id site;
    node_id node;
};
struct command_grant {
    service_id service;
    site_id site;
    node_id node;
    epoch_t last_epoch; /* of the lease that it has seen end: a late duplicate is refused */
    struct enforcement enforcement;
};
struct command_renew {
    service_id service;
    epoch_t epoch;
    node_id node;
    uint32_t ttl_ms;
    struct enforcement enforcement;
};
struct command_lease_expired {
    service_id service;
    epoch_t epoch;
    uint64_t renewed_index;
};
struct command_promises_ended {
    service_id service;
    epoch_t epoch;
    node_id node;
};
struct command_sighting {
    service_id service;
    site_id site;
    epoch_t epoch;
    node_id node;
    uint64_t looked_index; /* the index that the node had applied before it began the write */
};
struct command_gates_noted {
    service_id service;
    site_id target;
    uint32_t gates; /* bit per gate that says no; 0: none any more */
};
struct command_operation_start {
    service_id service;
    enum operation_kind kind;
    site_id from, to;
    epoch_t epoch; /* the epoch that it ends; refused when the log has moved on */
    uint32_t overrides;
    char reason[DETAIL_MAX_BYTES];
};
struct command_operation_id { /* approve, abort, operator certificate */
    operation_id operation;
    char reason[DETAIL_MAX_BYTES];
};
struct command_step_assign {
    operation_id operation;
    uint8_t run; /* index into the operation's runs */
    uint32_t attempt;
    node_id node;
};
struct command_step_result {
    operation_id operation;
    uint8_t run;
    uint32_t attempt;
    epoch_t epoch;
    node_id node; /* the assigned one; 0: the leader, for an attempt past its deadline */
    struct step_result result;
};
struct command_step_skip {
    operation_id operation;
    enum step step;
    char reason[DETAIL_MAX_BYTES];
};
struct command_promote {
    operation_id operation;
    epoch_t old_epoch;
    site_id site;
};
struct command_member_add {
    char name[NAME_MAX_BYTES];
    char address[ADDRESS_MAX_BYTES];
    char site[NAME_MAX_BYTES]; /* by name: one that no member has yet is made */
    bool witness;
    bool voter; /* it gets a vote as soon as it is heard */
};
struct command_member_change { /* remove, set */
    node_id node;
    bool voter;         /* set: what it shall be */
    uint32_t overrides; /* bit per member_gate that a person overrides */
    char reason[DETAIL_MAX_BYTES];
};
struct command_lead {
    node_id node;
};
struct command_recover {
    uint64_t generation; /* the one that begins */
    node_id node;        /* the only member that goes on */
    char reason[DETAIL_MAX_BYTES];
};

struct command {
    enum command_kind kind;
    int64_t at_ms;           /* display time, stamped by the leader */
    char who[WHO_MAX_BYTES]; /* "node NAME" or the operator's name, for the audit */
    union {
        struct command_cluster_init cluster_init;
        struct command_config_apply config_apply;
        struct command_service_set service_set;
        struct command_node_heard node_heard;
        struct command_quorum_back quorum_back;
        struct command_node_started node_started;
        struct command_cluster_version cluster_version;
        struct command_opinion opinion;
        struct command_executor_set executor_set;
        struct command_grant grant;
        struct command_renew renew;
        struct command_lease_expired lease_expired;
        struct command_sighting sighting;
        struct command_gates_noted gates_noted;
        struct command_operation_start operation_start;
        struct command_operation_id operation_approve;
        struct command_operation_id operation_abort;
        struct command_operation_id operator_certificate;
        struct command_step_assign step_assign;
        struct command_step_result step_result;
        struct command_step_skip step_skip;
        struct command_promote promote;
        struct command_member_add member_add;
        struct command_member_change member_remove;
        struct command_member_change member_set;
        struct command_lead lead;
        struct command_recover recover;
        struct command_promises_ended promises_ended;
    };
};
/* config_apply makes a command large (about 350 KiB): keep commands static or on the heap, and clear them with command_clear. */

const char *command_word(enum command_kind kind);

/* Zeroes the header and the part of the union that `kind` uses, and sets the kind. */
void command_clear(struct command *c, enum command_kind kind);

/* `version` is the cluster's, as the writer has applied it: every member reads that. OK, INVALID or FULL. */
enum status command_encode(const struct command *c, uint8_t version, void *out, size_t capacity_bytes,
                           size_t *length_bytes);
/* OK, or CORRUPT: a newer version than program_version, a kind, bounds or left-over bytes that are not known. `c` is undefined then. */
enum status command_decode(struct command *c, const void *bytes, size_t length_bytes, struct error *err);
/* Puts the leader's display time into an encoded command, without decoding it whole. CORRUPT when it is too short. */
enum status command_stamp(void *bytes, size_t length_bytes, int64_t at_ms);

/* What the state machine answered. Bounded and encoded, so that a follower's submission gets it too. */
struct outcome {
    enum status status;
    char reason[DETAIL_MAX_BYTES]; /* of a refusal */
    uint64_t value;                /* operation id, epoch or configuration version, by command */
};
#define COMMAND_OUTCOME_MAX_BYTES 256
enum status outcome_encode(const struct outcome *o, void *out, size_t capacity_bytes, size_t *length_bytes);
enum status outcome_decode(struct outcome *o, const void *bytes, size_t length_bytes);

#endif
