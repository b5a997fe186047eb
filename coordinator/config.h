/* The node's own file: only what differs from node to node. One table (config_schema) holds every key with its unit, range, default and
 * help; the sample and the reference in docs/ and in the man page are printed from it. What holds for all nodes is replicated
 * state and comes from services_yaml. */
#ifndef COORD_CONFIG_H
#define COORD_CONFIG_H

#include "base/limits.h"
#include "base/status.h"
#include "core/policy.h"
#include "io/log.h"
#include "io/yaml.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_PATH_MAX_BYTES 256
#define CONFIG_SOCKET_MAX_BYTES 108 /* sun_path */
#define CONFIG_CONNINFO_MAX_BYTES 512

/* One initial member of the cluster; the same list stands at each node and is used by `coordd bootstrap` only. */
struct config_member {
    uint64_t id;
    char node[NAME_MAX_BYTES];
    char site[NAME_MAX_BYTES];
    char address[ADDRESS_MAX_BYTES];
    bool witness;
};

/* A PostgreSQL server on this host. */
struct config_local {
    char service[NAME_MAX_BYTES];
    char data_dir[CONFIG_PATH_MAX_BYTES];
    char bin_dir[CONFIG_PATH_MAX_BYTES];
    char conninfo[CONFIG_CONNINFO_MAX_BYTES];
    char guard_socket[CONFIG_SOCKET_MAX_BYTES]; /* "" : no lease_guard */
};

/* What this node shows to the others, and whom it believes. */
struct config_tls {
    char certificate[CONFIG_PATH_MAX_BYTES];
    char key[CONFIG_PATH_MAX_BYTES];
    char authority[CONFIG_PATH_MAX_BYTES];
};

struct node_config {
    char node[NAME_MAX_BYTES];
    char site[NAME_MAX_BYTES];
    char data_dir[CONFIG_PATH_MAX_BYTES];
    char socket[CONFIG_SOCKET_MAX_BYTES];
    char listen[ADDRESS_MAX_BYTES];
    char api[ADDRESS_MAX_BYTES]; /* "": the socket alone */
    enum timing_profile timing;  /* raft_timing_of() gives its numbers */
    enum log_level log_level;
    bool insecure_loopback; /* plain TCP between nodes, every address is a loopback one */
    bool tls_given;         /* false: insecure_loopback */
    struct config_tls tls;
    uint64_t id;  /* found in `cluster` by the node's name; 0: it is not there */
    bool witness; /* likewise */
    uint32_t cluster_count;
    struct config_member cluster[NODES_MAX];
    uint32_t local_count;
    struct config_local local[SERVICES_MAX];
};

extern const struct yaml_schema config_schema;

/* This node's entry of `cluster`; NULL when it is not there (config_load refuses that). */
const struct config_member *config_own(const struct node_config *config);

/* STATUS_OK and a complete `out`, or STATUS_INVALID. `report`, when not NULL, is given the whole text of mistakes ("" when none): free() it. */
enum status config_load(struct node_config *out, const char *path, char **report, struct error *err);

/* The same, of a parsed file; the mistakes stay in `y`. */
void config_read(struct node_config *out, struct yaml *y);

#endif
