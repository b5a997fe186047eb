/* The node's file: the table, and the rules that hold between its values. */
#include "config.h"

#include "base/check.h"
#include "config_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const profile_words[] = { "metro", "region", "cautious", NULL };
_Static_assert(PROFILE_METRO == 0 && PROFILE_REGION == 1 && PROFILE_CAUTIOUS == 2 && PROFILE_COUNT == 3,
               "profile_words stands in the order of the enum");
static const char *const log_words[] = { "debug", "info", "warning", "error", NULL };
_Static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_INFO == 1 && LOG_LEVEL_WARNING == 2 && LOG_LEVEL_ERROR == 3,
               "log_words stands in the order of the enum");

static const struct yaml_field member_fields[] = {
    { .key = "id",
      .type = YAML_INT,
      .required = true,
      YAML_AT(struct config_member, id),
      .min = 1,
      .max = INT32_MAX,
      .example = "1",
      .help = "The node's number in Raft. Never given to another node, also after this one is gone." },
    { .key = "node",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_member, node),
      .valid = config_value_is_name,
      .expected = CONFIG_NAME_EXPECTED,
      .example = "a1",
      .help = "The node's name; each once." },
    { .key = "site",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_member, site),
      .valid = config_value_is_name,
      .expected = CONFIG_NAME_EXPECTED,
      .example = "site-a",
      .help = "The site that it fails with." },
    { .key = "address",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_member, address),
      .valid = config_value_is_node_address,
      .expected = CONFIG_NODE_ADDRESS_EXPECTED,
      .example = "\"127.10.1.1:7400\"",
      .help = "Where the other nodes reach it. Numeric: byte for byte what stands in its own `listen`. A DNS name is "
              "looked "
              "up at each connection; a cluster that must not depend on DNS uses addresses." },
    { .key = "witness",
      .type = YAML_BOOL,
      YAML_AT(struct config_member, witness),
      .fallback = "false",
      .help = "It votes at a site without a database. Leadership prefers witnesses: they do not fail with a primary." },
};
static const struct yaml_schema member_schema = { "cluster", member_fields,
                                                  sizeof member_fields / sizeof member_fields[0] };

static const struct yaml_field local_fields[] = {
    { .key = "service",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_local, service),
      .valid = config_value_is_name,
      .expected = CONFIG_NAME_EXPECTED,
      .example = "app",
      .help = "The service, as the services file names it." },
    { .key = "data_dir",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_local, data_dir),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .example = "/var/lib/postgresql/15/main",
      .help = "PostgreSQL's data directory." },
    { .key = "bin_dir",
      .type = YAML_TEXT,
      YAML_AT(struct config_local, bin_dir),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .fallback = "/usr/lib/postgresql/15/bin",
      .help = "Where pg_ctl and its like are." },
    { .key = "conninfo",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_local, conninfo),
      .expected = "a libpq connection string",
      .example = "\"host=/run/postgresql port=5432 user=coord dbname=postgres\"",
      .help =
          "How this node reaches its own server: `host` is the directory of its socket or a numeric address. The user "
          "must be a superuser." },
    { .key = "guard_socket",
      .type = YAML_TEXT,
      YAML_AT(struct config_local, guard_socket),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .example = "/run/postgresql/lease_guard.sock",
      .help = "Where lease_guard listens inside that server. Without it nothing proves by itself that a lost primary "
              "has stopped." },
};
static const struct yaml_schema local_schema = { "local", local_fields, sizeof local_fields / sizeof local_fields[0] };

static const struct yaml_field tls_fields[] = {
    { .key = "certificate",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_tls, certificate),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .example = "/etc/coord/tls/node.crt",
      .help = "This node's certificate (PEM), with intermediate ones after it. It names the URI coord:node:ID, with "
              "the id of "
              "the member list." },
    { .key = "key",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_tls, key),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .example = "/etc/coord/tls/node.key",
      .help = "Its private key (PEM, no passphrase), readable by coordd's user only." },
    { .key = "authority",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct config_tls, authority),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .example = "/etc/coord/tls/authority.crt",
      .help = "The certificates (PEM) of the authority whose nodes and people are believed: it signs for this cluster "
              "only. Two "
              "while one replaces the other." },
};
static const struct yaml_schema tls_schema = { "tls", tls_fields, sizeof tls_fields / sizeof tls_fields[0] };

static const struct yaml_field fields[] = {
    { .key = "node",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct node_config, node),
      .valid = config_value_is_name,
      .expected = CONFIG_NAME_EXPECTED,
      .example = "a1",
      .help = "This node's name." },
    { .key = "site",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct node_config, site),
      .valid = config_value_is_name,
      .expected = CONFIG_NAME_EXPECTED,
      .example = "site-a",
      .help = "The site that this node fails with." },
    { .key = "data_dir",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct node_config, data_dir),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .example = "/var/lib/coord/a1",
      .help = "The Raft log and snapshots; made by `coordd bootstrap`. Never copy or restore it: a node that forgot "
              "what it acknowledged breaks the cluster." },
    { .key = "socket",
      .type = YAML_TEXT,
      YAML_AT(struct node_config, socket),
      .valid = config_value_is_path,
      .expected = CONFIG_PATH_EXPECTED,
      .fallback = "/run/coord/coordd.sock",
      .help = "The local API, for coordctl; mode 0660." },
    { .key = "listen",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct node_config, listen),
      .valid = config_value_is_address,
      .expected = CONFIG_ADDRESS_EXPECTED,
      .example = "\"127.10.1.1:7400\"",
      .help = "Where this node takes the other nodes' connections." },
    { .key = "api",
      .type = YAML_TEXT,
      YAML_AT(struct node_config, api),
      .valid = config_value_is_address,
      .expected = CONFIG_ADDRESS_EXPECTED,
      .example = "\"127.10.1.1:7401\"",
      .help = "Where this node answers coordctl --server, load balancers and scrapers: HTTPS with the certificates of "
              "tls. Operators do everything, viewers and "
              "nodes look; without a certificate only /healthz, /metrics and .../primary are answered. With "
              "insecure_loopback: HTTP "
              "on a loopback address, and those three alone. Left out: the socket alone." },
    { .key = "timing",
      .type = YAML_ENUM,
      YAML_AT(struct node_config, timing),
      .words = profile_words,
      .fallback = "region",
      .help = "Raft's heartbeat and election: metro 60 ms and 300 ms, region 250 ms and 1 s, cautious 500 ms and 3 s. "
              "The same at every node." },
    { .key = "log_level",
      .type = YAML_ENUM,
      YAML_AT(struct node_config, log_level),
      .words = log_words,
      .fallback = "info",
      .help = "What is written to standard error." },
    { .key = "tls",
      .type = YAML_MAPPING,
      YAML_AT(struct node_config, tls),
      .present = offsetof(struct node_config, tls_given),
      .schema = &tls_schema,
      .example = "", /* written out in the sample: who leaves it away has decided so */
      .help = "What this node shows to the others, and whom it believes. Required, but for insecure_loopback. Read "
              "again on "
              "SIGHUP, and by itself within a minute after a file has changed." },
    { .key = "insecure_loopback",
      .type = YAML_BOOL,
      YAML_AT(struct node_config, insecure_loopback),
      .fallback = "false",
      .help =
          "Plain TCP between nodes, in place of tls: whoever reaches the port controls the cluster. Every address of "
          "the cluster must be a loopback address. For a demonstration on one machine." },
    { .key = "cluster",
      .type = YAML_MAPPINGS,
      .required = true,
      YAML_LIST_AT(struct node_config, cluster, cluster_count),
      .schema = &member_schema,
      .help = "The first members, the same list at each node. Read by `coordd bootstrap` and, for this node's own "
              "entry, at each start. A node that joins later needs its own entry alone." },
    { .key = "local",
      .type = YAML_MAPPINGS,
      YAML_LIST_AT(struct node_config, local, local_count),
      .schema = &local_schema,
      .help = "The PostgreSQL servers on this host." },
};
const struct yaml_schema config_schema = { "node", fields, sizeof fields / sizeof fields[0] };

const struct config_member *config_own(const struct node_config *config)
{
    for (uint32_t i = 0; i < config->cluster_count; i++)
        if (strcmp(config->cluster[i].node, config->node) == 0)
            return &config->cluster[i];
    return NULL;
}

/* `listen` is where the own address of the cluster list leads: the same when that is numeric; of a name only the port can be compared. */
static void check_listen(const struct node_config *c, const struct config_member *own, struct yaml *y)
{
    if (config_value_is_address(own->address) && strcmp(own->address, c->listen) != 0)
        yaml_error(y, "/listen", "listen is %s, the cluster list says %s: write the same", c->listen, own->address);
    else if (strcmp(strrchr(own->address, ':'), strrchr(c->listen, ':')) != 0)
        yaml_error(y, "/listen", "listen is %s, the cluster list says %s: write the same port", c->listen,
                   own->address);
}

/* HTTP in the open never leaves this machine. */
static void check_api(const struct node_config *c, struct yaml *y)
{
    if (c->api[0] == '\0')
        return;
    if (strcmp(c->api, c->listen) == 0)
        yaml_error(y, "/api", "%s is where this node listens for the other nodes: take another port", c->api);
    if (c->insecure_loopback && !config_value_is_loopback(c->api))
        yaml_error(y, "/api", "%s is no loopback address, and insecure_loopback is true", c->api);
}

static void check_members(struct node_config *c, struct yaml *y)
{
    char path[YAML_PATH_MAX_BYTES];
    const struct config_member *own = config_own(c);

    for (uint32_t i = 0; i < c->cluster_count; i++) {
        const struct config_member *m = &c->cluster[i];
        for (uint32_t j = 0; j < i; j++) {
            const struct config_member *other = &c->cluster[j];
            (void)snprintf(path, sizeof path, "/cluster/%" PRIu32 "/id", i);
            if (m->id == other->id)
                yaml_error(y, path, "id %" PRIu64 " is already node '%s'", m->id, other->node);
            (void)snprintf(path, sizeof path, "/cluster/%" PRIu32 "/node", i);
            if (strcmp(m->node, other->node) == 0)
                yaml_error(y, path, "node '%s' stands twice in the cluster", m->node);
            (void)snprintf(path, sizeof path, "/cluster/%" PRIu32 "/address", i);
            if (strcmp(m->address, other->address) == 0)
                yaml_error(y, path, "address %s is already that of node '%s'", m->address, other->node);
        }
        (void)snprintf(path, sizeof path, "/cluster/%" PRIu32 "/address", i);
        if (c->insecure_loopback && !config_value_is_loopback(m->address))
            yaml_error(y, path, "%s is no loopback address, and insecure_loopback is true", m->address);
    }
    if (own == NULL) {
        yaml_error(y, "/node", "node '%s' does not stand in the cluster list", c->node);
        return;
    }
    c->id = own->id;
    c->witness = own->witness;
    check_listen(c, own, y);
    if (strcmp(own->site, c->site) != 0)
        yaml_error(y, "/site", "site is '%s', the cluster list says '%s' for node '%s'", c->site, own->site, c->node);
}

static void check_local(const struct node_config *c, struct yaml *y)
{
    char path[YAML_PATH_MAX_BYTES];
    char why[ERROR_TEXT_MAX];

    for (uint32_t i = 0; i < c->local_count; i++) {
        (void)snprintf(path, sizeof path, "/local/%" PRIu32 "/conninfo", i);
        if (!config_value_check_conninfo(c->local[i].conninfo, why, sizeof why))
            yaml_error(y, path, "conninfo: %s", why);
        for (uint32_t j = 0; j < i; j++) {
            (void)snprintf(path, sizeof path, "/local/%" PRIu32 "/service", i);
            if (strcmp(c->local[i].service, c->local[j].service) == 0)
                yaml_error(y, path, "service '%s' stands twice under local", c->local[i].service);
            (void)snprintf(path, sizeof path, "/local/%" PRIu32 "/data_dir", i);
            if (strcmp(c->local[i].data_dir, c->local[j].data_dir) == 0)
                yaml_error(y, path, "data_dir %s already belongs to service '%s'", c->local[i].data_dir,
                           c->local[j].service);
            (void)snprintf(path, sizeof path, "/local/%" PRIu32 "/guard_socket", i);
            if (c->local[i].guard_socket[0] != '\0' && strcmp(c->local[i].guard_socket, c->local[j].guard_socket) == 0)
                yaml_error(
                    y, path,
                    "guard_socket %s already belongs to service '%s': write this server's own lease_guard.socket",
                    c->local[i].guard_socket, c->local[j].service);
        }
        if (c->witness) {
            (void)snprintf(path, sizeof path, "/local/%" PRIu32, i);
            yaml_error(y, path, "node '%s' is a witness: its site has no database", c->node);
        }
    }
}

static void check_sites(const struct node_config *c, struct yaml *y)
{
    const char *sites[NODES_MAX];
    uint32_t count = 0;
    char path[YAML_PATH_MAX_BYTES];

    for (uint32_t i = 0; i < c->cluster_count; i++) {
        uint32_t known = 0;
        while (known < count && strcmp(sites[known], c->cluster[i].site) != 0)
            known++;
        if (known < count)
            continue;
        if (count == SITES_MAX) {
            (void)snprintf(path, sizeof path, "/cluster/%" PRIu32 "/site", i);
            yaml_error(y, path, "site '%s' is one too many; at most %d sites", c->cluster[i].site, SITES_MAX);
            return;
        }
        sites[count++] = c->cluster[i].site;
    }
}

void config_read(struct node_config *out, struct yaml *y)
{
    memset(out, 0, sizeof *out);
    if (!yaml_walk(y, &config_schema, out))
        return; /* rules between values of which some are missing would only repeat the mistake */
    if (out->tls_given && out->insecure_loopback)
        yaml_error(y, "/insecure_loopback", "either tls or insecure_loopback: remove one of them");
    if (!out->tls_given && !out->insecure_loopback)
        yaml_error(y, "/listen",
                   "'tls' is missing: this node's certificate, key and authority (coordctl pki makes them), or "
                   "insecure_loopback: true for a demonstration on loopback addresses");
    check_api(out, y);
    check_members(out, y);
    check_local(out, y);
    check_sites(out, y);
}

enum status config_load(struct node_config *out, const char *path, char **report, struct error *err)
{
    struct yaml *y = yaml_from_file(path);
    enum status status;

    config_read(out, y);
    status = yaml_result(y, err);
    if (report != NULL)
        *report = yaml_report(y);
    yaml_destroy(y);
    return status;
}
