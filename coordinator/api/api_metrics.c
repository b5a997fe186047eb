/* Prometheus text: what an alert needs, in plain gauges. Names are restricted (config_value_is_name), so labels need no escaping. */
#include "api/api_internal.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void services(FILE *out, const struct state *s, const char *name, const char *help,
                     int64_t (*value)(const struct service *svc))
{
    head(out, name, "gauge", help);
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present)
            (void)fprintf(out, "%s{service=\"%s\"} %" PRId64 "\n", name, s->services[i].config.name,
                          value(&s->services[i]));
}

static int64_t epoch(const struct service *svc)
{
    return (int64_t)svc->lease.epoch;
}
static int64_t live(const struct service *svc)
{
    return lease_live(&svc->lease) ? 1 : 0;
}
static int64_t enforcing(const struct service *svc)
{
    return svc->lease.enforcement.enforcing ? 1 : 0;
}
static int64_t armed(const struct service *svc)
{
    return svc->armed && !svc->paused ? 1 : 0;
}
static int64_t active(const struct service *svc)
{
    return operation_active(&svc->operation) ? 1 : 0;
}
static int64_t gates(const struct service *svc)
{
    return svc->gates_noted != 0 ? 1 : 0;
}

static void sites(FILE *out, const struct state *s)
{
    head(out, "coord_site_primary", "gauge", "1 at the site that has the right to be primary.");
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned j = 0; s->services[i].present && j < s->services[i].config.site_count; j++)
            (void)fprintf(out, "coord_site_primary{service=\"%s\",site=\"%s\"} %d\n", s->services[i].config.name,
                          state_site_name(s, s->services[i].config.sites[j].site),
                          s->services[i].primary == s->services[i].config.sites[j].site);
    head(out, "coord_site_verdict", "gauge", "1 for the verdict that the cluster has of a site.");
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned j = 0; s->services[i].present && j < s->services[i].config.site_count; j++)
            (void)fprintf(out, "coord_site_verdict{service=\"%s\",site=\"%s\",verdict=\"%s\"} 1\n",
                          s->services[i].config.name, state_site_name(s, s->services[i].config.sites[j].site),
                          verdict_word(s->services[i].views[s->services[i].config.sites[j].site].verdict));
}

/* By service, 1 where this node says `what`. */
static void promises(FILE *out, const struct api *api, const char *name, const char *help, enum api_promised what)
{
    const struct state *s = api_state(api);
    struct api_promises now;

    head(out, name, "gauge", help);
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        if (!s->services[i].present)
            continue;
        api_promises_of(api, (service_id)i, &now);
        (void)fprintf(out, "%s{service=\"%s\"} %d\n", name, s->services[i].config.name, now.what == what);
    }
}

static void connections(FILE *out, const struct api_node *node)
{
    const struct transport_counters *c = &node->connections;
    const struct {
        const char *reason;
        uint64_t count;
    } refused[] = { { "certificate", c->refused_certificate },
                    { "hello", c->refused_hello },
                    { "slow", c->refused_slow },
                    { "full", c->refused_full } };

    head(out, "coord_node_connections_accepted_total", "counter", "Connections of other nodes that were accepted.");
    (void)fprintf(out, "coord_node_connections_accepted_total %" PRIu64 "\n", c->accepted);
    head(out, "coord_node_connections_refused_total", "counter",
         "Connections to the nodes' address that were refused: by their certificate, by what they say they are, as too "
         "slow, as too many.");
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++)
        (void)fprintf(out, "coord_node_connections_refused_total{reason=\"%s\"} %" PRIu64 "\n", refused[i].reason,
                      refused[i].count);
}

static void certificates(FILE *out, const struct api_node *node)
{
    if (!node->tls)
        return;
    head(out, "coord_certificate_expiry_seconds", "gauge",
         "When this node's certificate and its authority end, in seconds since 1970.");
    (void)fprintf(out, "coord_certificate_expiry_seconds{of=\"certificate\"} %" PRId64 "\n",
                  node->validity.certificate_end_s);
    (void)fprintf(out, "coord_certificate_expiry_seconds{of=\"authority\"} %" PRId64 "\n",
                  node->validity.authority_end_s);
}

char *api_metrics(const struct api *api)
{
    const struct state *s = api_state(api);
    struct api_node node;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    ASSERT(out != NULL);
    api->hooks.node(api->hooks.ctx, &node);
    head(out, "coord_leader_known", "gauge", "1 while this node knows a leader: without one nothing can be decided.");
    (void)fprintf(out, "coord_leader_known %d\n", node.leader != 0);
    head(out, "coord_leads", "gauge", "1 at the leader.");
    (void)fprintf(out, "coord_leads %d\n", node.leader != 0 && node.leader == node.id);
    head(out, "coord_term", "counter", "Raft's term: each election raises it.");
    (void)fprintf(out, "coord_term %" PRIu64 "\n", node.term);
    head(out, "coord_applied_index", "counter", "The last entry that this node has applied.");
    (void)fprintf(out, "coord_applied_index %" PRIu64 "\n", s->applied_index);
    head(out, "coord_config_version", "gauge", "The applied version of the services file.");
    (void)fprintf(out, "coord_config_version %" PRIu64 "\n", s->config_version);
    head(out, "coord_operations_ended", "counter", "Failovers and promotions that ended, however they ended.");
    (void)fprintf(out, "coord_operations_ended %" PRIu32 "\n", s->incident_count);
    head(out, "coord_api_refused", "counter", "Connections and requests that this node's API has refused.");
    (void)fprintf(out, "coord_api_refused{what=\"connection\"} %" PRIu64 "\n", api->refused_connections);
    (void)fprintf(out, "coord_api_refused{what=\"request\"} %" PRIu64 "\n", api->refused_requests);
    head(out, "coord_node_heard", "gauge", "1 for a node that the leader hears.");
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].id != 0)
            (void)fprintf(out, "coord_node_heard{node=\"%s\"} %d\n", s->members[i].name, s->members[i].heard);
    connections(out, &node);
    certificates(out, &node);
    head(out, "coord_disk_free_bytes", "gauge", "Free on the disk of this node's log.");
    (void)fprintf(out, "coord_disk_free_bytes %" PRIu64 "\n", node.space.free_bytes);
    services(out, s, "coord_service_epoch", "Rises with each grant of the right to be primary.", epoch);
    services(out, s, "coord_lease_live", "1 while the primary's lease can be extended.", live);
    services(out, s, "coord_lease_enforcing", "1 while the primary's server itself enforces the lease.", enforcing);
    services(out, s, "coord_service_armed", "1 while an automatic failover may start.", armed);
    services(out, s, "coord_operation_active", "1 while a failover or promotion is under way.", active);
    services(out, s, "coord_gate_stands", "1 while a failover is wanted and a gate says no.", gates);
    promises(out, api, "coord_serving_on_promises",
             "1 while the primary at this node goes on by other nodes' promises: no leader answers.",
             API_PROMISED_SERVING);
    promises(out, api, "coord_closed_without_leader",
             "1 while the primary at this node has stopped: neither a leader nor all promises in time.",
             API_PROMISED_CLOSED);
    promises(out, api, "coord_promise_given", "1 while this node has promised the primary's node not to take over.",
             API_PROMISED_GIVEN);
    sites(out, s);
    ASSERT(fclose(out) == 0);
    return text;
}
