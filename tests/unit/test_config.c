/* The node's file, the services file, and the pages that are printed from their tables. */
#include "config.h"
#include "config_text.h"
#include "config_value.h"
#include "services_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE_HEAD "node: b1\nsite: site-b\ndata_dir: /var/lib/coord/b1\nlisten: \"127.10.2.1:7400\"\n"
#define NODE_LOOPBACK "insecure_loopback: true\n"
#define NODE_TLS "tls: { certificate: /t/node.crt, key: /t/node.key, authority: /t/authority.crt }\n"
#define NODE_CLUSTER                                                                                                   \
    "cluster:\n"                                                                                                       \
    "  - { id: 1, node: a1, site: site-a, address: \"127.10.1.1:7400\" }\n"                                            \
    "  - { id: 2, node: b1, site: site-b, address: \"127.10.2.1:7400\" }\n"                                            \
    "  - { id: 3, node: c1, site: site-c, address: \"127.10.3.1:7400\", witness: true }\n"

static struct node_config node;

/* The mistakes of a node's file, one per line, without excerpts: "line:column: text". */
static char *node_mistakes(const char *text)
{
    struct yaml *y = yaml_from_bytes("n.yaml", text, strlen(text));
    char *said = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&said, &length);

    config_read(&node, y);
    for (size_t i = 0; i < yaml_error_count(y); i++)
        (void)fprintf(out, "%d:%d: %s\n", yaml_error_at(y, i)->line, yaml_error_at(y, i)->column,
                      yaml_error_at(y, i)->text);
    (void)fclose(out);
    yaml_destroy(y);
    return said;
}

static void expect_node(const char *text, const char *mistakes)
{
    char *said = node_mistakes(text);
    assert_string_equal(said, mistakes);
    free(said);
}

static void the_api_has_an_address_of_its_own(void **state)
{
    (void)state;
    expect_node(NODE_HEAD NODE_TLS "api: \"10.0.0.5:7401\"\n" NODE_CLUSTER, "");
    assert_string_equal(node.api, "10.0.0.5:7401");
    expect_node(NODE_HEAD NODE_TLS NODE_CLUSTER, "");
    assert_string_equal(node.api, "");
    expect_node(NODE_HEAD NODE_LOOPBACK "api: \"127.10.2.1:7401\"\n" NODE_CLUSTER, "");
    expect_node(NODE_HEAD NODE_LOOPBACK "api: \"10.0.0.5:7401\"\n" NODE_CLUSTER,
                "6:6: 10.0.0.5:7401 is no loopback address, and insecure_loopback is true\n");
    expect_node(NODE_HEAD NODE_TLS "api: \"127.10.2.1:7400\"\n" NODE_CLUSTER,
                "6:6: 127.10.2.1:7400 is where this node listens for the other nodes: take another port\n");
    expect_node(NODE_HEAD NODE_TLS "api: node.example.org:7401\n" NODE_CLUSTER,
                "6:6: key 'api': expected a numeric address and port (127.0.0.1:7400), got 'node.example.org:7401'\n");
}

static void a_complete_node_file_is_read(void **state)
{
    (void)state;
    expect_node(NODE_HEAD NODE_LOOPBACK
                "timing: metro\n" NODE_CLUSTER
                "local:\n  - service: app\n    data_dir: /srv/pg\n    conninfo: \"host=/run user=coord\"\n",
                "");
    assert_int_equal(node.id, 2);
    assert_false(node.witness);
    assert_int_equal(node.timing, PROFILE_METRO);
    assert_int_equal(node.cluster_count, 3);
    assert_true(node.cluster[2].witness);
    assert_string_equal(node.socket, "/run/coord/coordd.sock");
    assert_int_equal(node.log_level, LOG_LEVEL_INFO);
    assert_int_equal(node.local_count, 1);
    assert_string_equal(node.local[0].bin_dir, "/usr/lib/postgresql/15/bin");
    assert_string_equal(node.local[0].guard_socket, "");
}

static void a_node_must_stand_in_its_own_cluster_list_as_it_describes_itself(void **state)
{
    (void)state;
    expect_node("node: z9\nsite: site-b\ndata_dir: /d\nlisten: \"127.10.2.1:7400\"\n" NODE_LOOPBACK NODE_CLUSTER,
                "1:7: node 'z9' does not stand in the cluster list\n");
    expect_node("node: b1\nsite: site-a\ndata_dir: /d\nlisten: \"127.10.2.9:7400\"\n" NODE_LOOPBACK NODE_CLUSTER,
                "2:7: site is 'site-a', the cluster list says 'site-b' for node 'b1'\n"
                "4:9: listen is 127.10.2.9:7400, the cluster list says 127.10.2.1:7400: write the same\n");
}

static void plain_tcp_must_be_asked_for_and_stays_on_loopback(void **state)
{
    (void)state;
    expect_node(NODE_HEAD NODE_CLUSTER,
                "4:9: 'tls' is missing: this node's certificate, key and authority (coordctl pki makes them), or "
                "insecure_loopback: true for a demonstration on loopback addresses\n");
    expect_node(NODE_HEAD NODE_TLS NODE_LOOPBACK NODE_CLUSTER,
                "6:20: either tls or insecure_loopback: remove one of them\n");
    expect_node(NODE_HEAD "tls: { certificate: /t/node.crt, key: node.key }\n" NODE_CLUSTER,
                "5:6: missing required key 'authority': an absolute path\n"
                "5:39: key 'key': expected an absolute path, got 'node.key'\n");
    expect_node(NODE_HEAD NODE_LOOPBACK "cluster:\n  - { id: 1, node: a1, site: site-a, address: \"10.0.0.1:7400\" }\n"
                                        "  - { id: 2, node: b1, site: site-b, address: \"127.10.2.1:7400\" }\n",
                "7:47: 10.0.0.1:7400 is no loopback address, and insecure_loopback is true\n");
    expect_node(NODE_HEAD NODE_TLS "cluster:\n  - { id: 1, node: a1, site: site-a, address: \"10.0.0.1:7400\" }\n"
                                   "  - { id: 2, node: b1, site: site-b, address: \"127.10.2.1:7400\" }\n",
                "");
}

static void the_certificates_files_are_read(void **state)
{
    (void)state;
    expect_node(NODE_HEAD NODE_TLS NODE_CLUSTER, "");
    assert_true(node.tls_given);
    assert_string_equal(node.tls.certificate, "/t/node.crt");
    assert_string_equal(node.tls.key, "/t/node.key");
    assert_string_equal(node.tls.authority, "/t/authority.crt");
    expect_node(NODE_HEAD NODE_LOOPBACK NODE_CLUSTER, "");
    assert_false(node.tls_given);
}

static void ids_names_and_addresses_stand_once(void **state)
{
    (void)state;
    expect_node(NODE_HEAD NODE_LOOPBACK
                "cluster:\n  - { id: 2, node: b1, site: site-b, address: \"127.10.2.1:7400\" }\n"
                "  - { id: 2, node: b1, site: site-b, address: \"127.10.2.1:7400\" }\n",
                "8:11: id 2 is already node 'b1'\n8:20: node 'b1' stands twice in the cluster\n"
                "8:47: address 127.10.2.1:7400 is already that of node 'b1'\n");
}

/* Two services at one guard: one would renew it while the other one's fence reports it closed. */
static void each_local_service_has_a_server_and_a_guard_of_its_own(void **state)
{
    (void)state;
    expect_node(
        NODE_HEAD NODE_LOOPBACK NODE_CLUSTER
        "local:\n"
        "  - { service: app, data_dir: /pg/1, conninfo: host=/run user=coord, guard_socket: /run/guard.sock }\n"
        "  - { service: app2, data_dir: /pg/2, conninfo: host=/run user=coord, guard_socket: /run/guard.sock }\n",
        "12:85: guard_socket /run/guard.sock already belongs to service 'app': write this server's own "
        "lease_guard.socket\n");
    expect_node(NODE_HEAD NODE_LOOPBACK NODE_CLUSTER
                "local:\n  - { service: app, data_dir: /pg/1, conninfo: host=/run user=coord }\n"
                "  - { service: app2, data_dir: /pg/2, conninfo: host=/run user=coord }\n",
                ""); /* neither has one */
}

static void a_witness_has_no_database(void **state)
{
    (void)state;
    expect_node("node: c1\nsite: site-c\ndata_dir: /d\nlisten: \"127.10.3.1:7400\"\n" NODE_LOOPBACK NODE_CLUSTER
                "local:\n  - { service: app, data_dir: /pg, conninfo: host=/run user=coord }\n",
                "11:5: node 'c1' is a witness: its site has no database\n");
}

static void addresses_are_numeric_and_canonical(void **state)
{
    (void)state;
    assert_true(config_value_is_address("127.0.0.1:1"));
    assert_true(config_value_is_address("[::1]:65535"));
    assert_false(config_value_is_address("127.0.0.01:1"));
    assert_false(config_value_is_address("[0:0:0:0:0:0:0:1]:1"));
    assert_false(config_value_is_address("localhost:1"));
    assert_false(config_value_is_address("127.0.0.1"));
    assert_false(config_value_is_address("127.0.0.1:"));
    assert_false(config_value_is_address("127.0.0.1:0"));
    assert_false(config_value_is_address("127.0.0.1:65536"));
    assert_false(config_value_is_address("127.0.0.1:080"));
    assert_false(config_value_is_address("::1:80"));
    assert_true(config_value_is_loopback("127.200.0.1:1"));
    assert_true(config_value_is_loopback("[::1]:1"));
    assert_false(config_value_is_loopback("128.0.0.1:1"));
}

static void a_node_may_be_reached_by_name_over_a_network(void **state)
{
    (void)state;
    assert_true(config_value_is_node_address("a1.example.org:7400"));
    assert_true(config_value_is_node_address("[::1]:7400"));
    assert_false(config_value_is_node_address("a1.example.org"));
    assert_false(config_value_is_node_address("a1.example.org:07400"));
    assert_false(config_value_is_node_address("127.0.0.256:7400"));
    assert_false(config_value_is_node_address(":7400"));
    expect_node(
        NODE_HEAD NODE_TLS "cluster:\n  - { id: 2, node: b1, site: site-b, address: \"b1.example.org:7400\" }\n", "");
    expect_node(NODE_HEAD NODE_TLS
                "cluster:\n  - { id: 2, node: b1, site: site-b, address: \"b1.example.org:7401\" }\n",
                "4:9: listen is 127.10.2.1:7400, the cluster list says b1.example.org:7401: write the same port\n");
    expect_node(NODE_HEAD NODE_LOOPBACK
                "cluster:\n  - { id: 2, node: b1, site: site-b, address: \"b1.example.org:7400\" }\n",
                "7:47: b1.example.org:7400 is no loopback address, and insecure_loopback is true\n");
}

static void expect_conninfo(const char *text, const char *wrong)
{
    char why[ERROR_TEXT_MAX];

    assert_int_equal(config_value_check_conninfo(text, why, sizeof why), wrong[0] == '\0');
    assert_string_equal(why, wrong);
}

/* What io/pg would refuse at each connection is refused when the file is read. */
static void a_conninfo_names_a_directory_or_an_address_and_a_user(void **state)
{
    static const char form[] = "expected libpq's keywords: \"host=/run/postgresql port=5432 user=coord\"";

    (void)state;
    expect_conninfo("host=/run/postgresql port=5432 user=coord dbname=postgres", "");
    expect_conninfo("  user = 'co\\'ord'  host=192.0.2.1 ", "");
    expect_conninfo("host=db.example.org hostaddr=192.0.2.1 user=coord", "");
    expect_conninfo("host='::1' user=coord", "");
    expect_conninfo("host=db.example.org user=coord", "host 'db.example.org' is a name: write the directory of the "
                                                      "server's socket, or a numeric address");
    expect_conninfo("hostaddr=db user=coord", "hostaddr 'db' is no numeric address");
    expect_conninfo("user=coord", "`host` is missing: the directory of the server's socket, or a numeric address");
    expect_conninfo("host=/run", "`user` is missing");
    expect_conninfo("host=/run user=\\", "`user` is missing"); /* libpq drops the backslash */
    expect_conninfo("host=/run user=coord pasword=x", "libpq knows no keyword 'pasword'");
    expect_conninfo("service=app user=coord", "`service` is not supported: write its settings out");
    expect_conninfo("postgresql://coord@db/postgres", form);
    expect_conninfo("host='/run user=coord", form);
    expect_conninfo("host", form);
    expect_node(NODE_HEAD NODE_LOOPBACK NODE_CLUSTER
                "local:\n  - { service: app, data_dir: /pg, conninfo: host=db user=coord }\n",
                "11:46: conninfo: host 'db' is a name: write the directory of the server's socket, or a numeric "
                "address\n");
}

static void names_paths_urls_and_secrets_have_a_shape(void **state)
{
    (void)state;
    assert_true(config_value_is_name("site-a1"));
    assert_false(config_value_is_name("Site"));
    assert_false(config_value_is_name("-a"));
    assert_false(config_value_is_name("a-"));
    assert_false(config_value_is_name("a.b"));
    assert_false(config_value_is_name("abcdefghijklmnopqrstuvwxyz0123456"));
    assert_true(config_value_is_path("/a/b..c"));
    assert_false(config_value_is_path("a"));
    assert_false(config_value_is_path("/a/../b"));
    assert_true(config_value_is_host("10.0.0.1"));
    assert_true(config_value_is_host("db.example.org"));
    assert_false(config_value_is_host("10.0.0.256"));
    assert_false(config_value_is_host("a..b"));
    assert_true(config_value_is_url("http://127.0.0.1:8080/health"));
    assert_false(config_value_is_url("ftp://x/"));
    assert_false(config_value_is_url("http:///x"));
    assert_false(config_value_is_url("http://a b/"));
    assert_true(config_value_is_secret("file:/etc/key"));
    assert_true(config_value_is_secret("env:KEY"));
    assert_false(config_value_is_secret("hunter2"));
    assert_false(config_value_is_secret("file:key"));
}

/* ---- services ---- */

#define SERVICE(name, extra)                                                                                           \
    "  - name: " name "\n    profile: metro\n    mode: auto\n    primary: site-a\n" extra "    sites:\n"
#define SITE(name, host, extra)                                                                                        \
    "      - site: " name "\n        postgres: { host: " host ", port: 5432 }\n        address: 10.0.0.1\n" extra

static const char full[] =
    "services:\n"
    "  - name: app\n    profile: metro\n    mode: auto\n    tier: 2\n    primary: site-a\n    accept_vm_pause: true\n"
    "    max_lag: 1MiB\n    max_lag_seconds: 7\n    timing: { ttl: 3s, hold_down: 5s, fall: 4 }\n    sites:\n"
    "      - site: site-a\n        postgres: { host: 127.10.1.1, port: 5433, user: u, dbname: d, password: env:PW }\n"
    "        health: \"http://127.10.1.1:8080/health\"\n        address: 127.10.1.1\n"
    "        deploy: [ /opt/app/appctl, \"start \\\"it\\\"\" ]\n"
    "      - site: site-b\n        postgres: { host: db.example.org }\n        address: 127.10.2.1\n"
    "    dns: { method: rfc2136, zone: example.test., name: App.Example.Test, ttl: 1, servers: [ \"127.0.0.1:5353\" "
    "],\n"
    "           key: \"file:/etc/coord/tsig.key\" }\n"
    "  - name: other\n    primary: site-b\n    sites:\n"
    "      - { site: site-a, postgres: { host: 10.0.0.1 } }\n      - { site: site-b, postgres: { host: 10.0.0.2 } }\n";

static struct services_config *services;
static struct services_offline offline;

static char *read_services(struct services_config *into, const char *text, const struct raft_timing *raft)
{
    struct yaml *y = yaml_from_bytes("s.yaml", text, strlen(text));
    struct services_context context = { services_offline_site, services_offline_name, &offline, raft };
    char *said = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&said, &length);

    services_read(into, y, &context);
    for (size_t i = 0; i < yaml_error_count(y); i++)
        (void)fprintf(out, "%d:%d: %s\n", yaml_error_at(y, i)->line, yaml_error_at(y, i)->column,
                      yaml_error_at(y, i)->text);
    (void)fclose(out);
    yaml_destroy(y);
    return said;
}

static void expect_services(const char *text, const char *mistakes)
{
    char *said;
    memset(&offline, 0, sizeof offline);
    said = read_services(services, text, NULL);
    assert_string_equal(said, mistakes);
    free(said);
}

static void a_services_file_becomes_the_cores_configuration(void **state)
{
    const struct service_config *app = &services->services[0];
    (void)state;
    expect_services(full, "");
    assert_int_equal(services->count, 2);
    assert_string_equal(app->name, "app");
    assert_int_equal(app->profile, PROFILE_METRO);
    assert_int_equal(app->mode, MODE_AUTO);
    assert_int_equal(app->tier, 2);
    assert_int_equal(app->primary, 0);
    assert_true(app->accept_vm_pause);
    assert_int_equal(app->max_lag_bytes, 1048576);
    assert_int_equal(app->max_lag_ms, 7000);
    assert_int_equal(app->timing.ttl_ms, 3000);
    assert_int_equal(app->timing.hold_down_ms, 5000);
    assert_int_equal(app->timing.probe_fall, 4);
    assert_int_equal(app->timing.renew_ms, 300); /* the profile's */
    assert_int_equal(app->site_count, 2);
    assert_int_equal(app->sites[0].port, 5433);
    assert_string_equal(app->sites[0].password, "env:PW");
    assert_int_equal(app->sites[0].deploy.count, 2);
    assert_memory_equal(app->sites[0].deploy.bytes, "/opt/app/appctl\0start \"it\"", 27);
    assert_int_equal(app->sites[1].port, 5432);
    assert_string_equal(app->sites[1].user, "coord");
    assert_int_equal(app->dns.method, DNS_RFC2136);
    assert_int_equal(app->dns.ttl_s, 1);
    assert_int_equal(app->dns.server_count, 1);
    assert_int_equal(services->services[1].dns.method, DNS_NONE);
    assert_int_equal(services->services[1].profile, PROFILE_REGION);
    assert_int_equal(services->services[1].mode, MODE_PROPOSE);
}

/* What print forgets, apply after config show would silently drop. */
static void a_printed_configuration_reads_back_byte_for_byte(void **state)
{
    struct services_context context = { services_offline_site, services_offline_name, &offline, NULL };
    struct services_config *again = calloc(1, sizeof *again);
    char *text, *said;
    (void)state;
    expect_services(full, "");
    text = services_print(services, &context);
    said = read_services(again, text, NULL);
    assert_string_equal(said, "");
    assert_memory_equal(again, services, sizeof *again);
    free(said);
    free(text);
    free(again);
}

struct changes {
    char text[2000];
};
static void note_change(void *ctx, const char *path, const char *before, const char *after)
{
    struct changes *c = ctx;
    size_t used = strlen(c->text);
    (void)snprintf(c->text + used, sizeof c->text - used, "%s: %s -> %s\n", path, before != NULL ? before : "none",
                   after != NULL ? after : "none");
}

static void a_difference_names_every_path_that_changed_and_no_other(void **state)
{
    struct services_context context = { services_offline_site, services_offline_name, &offline, NULL };
    struct services_config *after = calloc(1, sizeof *after);
    struct changes changes = { "" };
    (void)state;
    expect_services(full, "");
    *after = *services;
    assert_int_equal(services_diff(services, after, &context, note_change, &changes), 0);
    after->services[0].max_lag_bytes = 4096;
    after->services[0].sites[1].publish_address[0] = '\0';
    (void)snprintf(after->services[1].sites[0].health_url, URL_MAX_BYTES, "http://x/");
    assert_int_equal(services_diff(services, after, &context, note_change, &changes), 3);
    assert_string_equal(changes.text, "services/app/max_lag: 1MiB -> 4KiB\n"
                                      "services/app/sites/site-b/address: \"127.10.2.1\" -> none\n"
                                      "services/other/sites/site-a/health: none -> \"http://x/\"\n");
    free(after);
}

static void a_timing_rule_that_does_not_hold_is_named_with_its_numbers(void **state)
{
    const struct raft_timing slow = { .heartbeat_ms = 500, .election_ms = 3000 };
    char *said;
    (void)state;
    expect_services("services:\n" SERVICE("app", "    timing: { ttl: 1s }\n") SITE("site-a", "10.0.0.1", "")
                        SITE("site-b", "10.0.0.2", ""),
                    "6:20: timing of service 'app': ttl - margin (800 ms) must be at least renew + 4 * election + 2 * "
                    "RTT (1560 ms: renew 300, election 300, RTT 30): raise ttl or choose a faster node timing\n");
    /* The cluster's own election counts, not the profile's. */
    memset(&offline, 0, sizeof offline);
    said = read_services(services, full, &slow);
    assert_non_null(strstr(said, "10:20: timing of service 'app': ttl - margin (2800 ms)"));
    free(said);
}

static void sites_must_exist_differ_and_hold_the_primary(void **state)
{
    (void)state;
    expect_services("services:\n" SERVICE("app", "") SITE("site-b", "10.0.0.1", "") SITE("site-b", "10.0.0.2", ""),
                    "5:14: primary 'site-a' is none of the service's sites\n"
                    "10:15: site 'site-b' stands twice in service 'app'\n");
    expect_services("services:\n" SERVICE("app", "") SITE("site-a", "10.0.0.1", ""),
                    "6:5: key 'sites': 1 items; expected 2 to 6\n");
}

static void one_server_belongs_to_one_service_and_one_name_too(void **state)
{
    (void)state;
    expect_services("services:\n" SERVICE("app", "") SITE("site-a", "10.0.0.1", "") SITE("site-b", "10.0.0.2", "")
                        SERVICE("app", "") SITE("site-a", "10.0.0.1", "") SITE("site-b", "10.0.0.3", ""),
                    "13:11: service 'app' stands twice\n"
                    "19:27: 10.0.0.1 port 5432 already belongs to service 'app': one PostgreSQL, one service\n");
}

static void dns_needs_its_keys_an_address_per_site_and_a_name_in_the_zone(void **state)
{
    (void)state;
    expect_services("services:\n" SERVICE("app", "    dns: { method: rfc2136, zone: a.org, name: x.b.org }\n")
                        SITE("site-a", "10.0.0.1", "") "      - { site: site-b, postgres: { host: 10.0.0.2 } }\n",
                    "6:5: method rfc2136 needs the keys zone, name, servers and key\n"
                    "6:48: name x.b.org is not in zone a.org\n"
                    "11:9: site 'site-b' needs key 'address': DNS must know what to point at\n");
}

static void a_deploy_command_is_an_absolute_path_with_arguments(void **state)
{
    (void)state;
    expect_services("services:\n" SERVICE("app", "") SITE("site-a", "10.0.0.1", "        deploy: [ ./run ]\n")
                        SITE("site-b", "10.0.0.2", ""),
                    "10:9: key 'deploy': the program is an absolute path, got './run'\n");
}

static void no_services_is_a_configuration_too(void **state)
{
    (void)state;
    expect_services("services: []\n", "");
    assert_int_equal(services->count, 0);
}

/* ---- text ---- */

static void the_samples_are_read_without_a_wrong_type(void **state)
{
    char *text = config_text_sample(&config_schema), *said = node_mistakes(text);
    (void)state;
    assert_string_equal(said, "");
    free(said);
    free(text);
    text = config_text_sample(&services_schema);
    memset(&offline, 0, sizeof offline);
    said = read_services(services, text, NULL);
    assert_non_null(strstr(said, "key 'sites': 1 items; expected 2 to 6")); /* and nothing else */
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    free(said);
    free(text);
}

/* Every fallback of a table is a value that the table itself accepts. */
static void check_fallbacks(const struct yaml_schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct yaml_field *f = &schema->fields[i];
        assert_non_null(f->help);
        assert_true(f->fallback == NULL || !f->required);
        assert_true(f->type != YAML_TEXT || f->valid == NULL || f->fallback == NULL || f->valid(f->fallback));
        assert_true(f->valid == NULL || f->expected != NULL);
        if (f->schema != NULL)
            check_fallbacks(f->schema);
    }
}

static void the_tables_are_sound(void **state)
{
    (void)state;
    check_fallbacks(&config_schema);
    check_fallbacks(&services_schema);
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "re");
    char *bytes = calloc(1, 262144);
    assert_non_null(file);
    assert_true(fread(bytes, 1, 262143, file) > 0);
    (void)fclose(file);
    return bytes;
}

/* The committed pages say what the tables say; docs/man/regenerate writes them. */
static void the_committed_pages_are_printed_from_the_tables(void **state)
{
    const struct yaml_schema *schemas[] = { &config_schema, &services_schema };
    static const char *const pages[] = { COORD_SOURCE "/docs/man/coordd.yaml.5",
                                         COORD_SOURCE "/docs/man/coord-services.yaml.5" };
    char *reference = slurp(COORD_SOURCE "/docs/configuration.md");
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char *markdown = config_text_markdown(schemas[i]), *man = config_text_man(schemas[i]), *page = slurp(pages[i]);
        assert_non_null(strstr(reference, markdown));
        assert_non_null(strstr(page, man));
        free(markdown);
        free(man);
        free(page);
    }
    free(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_complete_node_file_is_read),
        cmocka_unit_test(the_api_has_an_address_of_its_own),
        cmocka_unit_test(a_node_must_stand_in_its_own_cluster_list_as_it_describes_itself),
        cmocka_unit_test(plain_tcp_must_be_asked_for_and_stays_on_loopback),
        cmocka_unit_test(the_certificates_files_are_read),
        cmocka_unit_test(ids_names_and_addresses_stand_once),
        cmocka_unit_test(each_local_service_has_a_server_and_a_guard_of_its_own),
        cmocka_unit_test(a_witness_has_no_database),
        cmocka_unit_test(addresses_are_numeric_and_canonical),
        cmocka_unit_test(a_node_may_be_reached_by_name_over_a_network),
        cmocka_unit_test(a_conninfo_names_a_directory_or_an_address_and_a_user),
        cmocka_unit_test(names_paths_urls_and_secrets_have_a_shape),
        cmocka_unit_test(a_services_file_becomes_the_cores_configuration),
        cmocka_unit_test(a_printed_configuration_reads_back_byte_for_byte),
        cmocka_unit_test(a_difference_names_every_path_that_changed_and_no_other),
        cmocka_unit_test(a_timing_rule_that_does_not_hold_is_named_with_its_numbers),
        cmocka_unit_test(sites_must_exist_differ_and_hold_the_primary),
        cmocka_unit_test(one_server_belongs_to_one_service_and_one_name_too),
        cmocka_unit_test(dns_needs_its_keys_an_address_per_site_and_a_name_in_the_zone),
        cmocka_unit_test(a_deploy_command_is_an_absolute_path_with_arguments),
        cmocka_unit_test(no_services_is_a_configuration_too),
        cmocka_unit_test(the_samples_are_read_without_a_wrong_type),
        cmocka_unit_test(the_tables_are_sound),
        cmocka_unit_test(the_committed_pages_are_printed_from_the_tables),
    };
    int failed;

    services = calloc(1, sizeof *services);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(services);
    return failed;
}
