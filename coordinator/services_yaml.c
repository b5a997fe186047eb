/* Reading goes in two steps: the tables fill plain structs with names and "was it written" flags; then each service starts from its
 * profile's numbers, takes what was written, and is checked as a whole. */
#include "services_yaml.h"

#include "base/check.h"
#include "config_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const profile_words[] = { "metro", "region", "cautious", NULL };
_Static_assert(PROFILE_METRO == 0 && PROFILE_REGION == 1 && PROFILE_CAUTIOUS == 2 && PROFILE_COUNT == 3,
               "profile_words stands in the order of the enum");
static const char *const mode_words[] = { "auto", "propose", "shadow", NULL };
_Static_assert(MODE_AUTO == 0 && MODE_PROPOSE == 1 && MODE_SHADOW == 2 && MODE_COUNT == 3,
               "mode_words stands in the order of the enum");
static const char *const dns_words[] = { "none", "rfc2136", NULL };
_Static_assert(DNS_NONE == 0 && DNS_RFC2136 == 1 && DNS_METHOD_COUNT == 2, "dns_words stands in the order of the enum");

struct written_timing {
    struct timing value;
    bool renew, margin, ttl, probe_interval, probe_timeout, rise, fall, hold_down, local_grace, lockout;
};

struct written_site {
    char site[NAME_MAX_BYTES];
    struct site_config value;
    uint32_t deploy_count;
    char deploy[ARGC_MAX][ARGV_MAX_BYTES];
};

struct written_dns {
    struct dns_config value;
    uint32_t server_count;
};

struct written_service {
    struct service_config value;
    char primary[NAME_MAX_BYTES];
    uint32_t max_lag_s;
    struct written_timing timing;
    bool timing_written, dns_written;
    struct written_dns dns;
    uint32_t site_count;
    struct written_site sites[SITES_MAX];
};

struct written {
    uint32_t count;
    struct written_service services[SERVICES_MAX];
};

#define FIELDS(list) list, sizeof list / sizeof list[0]
#define NAME .valid = config_value_is_name, .expected = CONFIG_NAME_EXPECTED

static const struct yaml_field postgres_fields[] = {
    { .key = "host",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct site_config, host),
      .valid = config_value_is_host,
      .expected = CONFIG_HOST_EXPECTED,
      .example = "10.1.0.5",
      .help = "PostgreSQL as every node reaches it." },
    { .key = "port",
      .type = YAML_INT,
      YAML_AT(struct site_config, port),
      .min = 1,
      .max = 65535,
      .fallback = "5432",
      .help = "Its port." },
    { .key = "user",
      .type = YAML_TEXT,
      YAML_AT(struct site_config, user),
      .fallback = "coord",
      .help = "The role that probes and writes the canary." },
    { .key = "dbname",
      .type = YAML_TEXT,
      YAML_AT(struct site_config, dbname),
      .fallback = "postgres",
      .help = "The database that holds the canary table." },
    { .key = "password",
      .type = YAML_TEXT,
      YAML_AT(struct site_config, password),
      .valid = config_value_is_secret,
      .expected = CONFIG_SECRET_EXPECTED,
      .help = "Where each node finds the password; the password itself never enters the log." },
};
static const struct yaml_schema postgres_schema = { "postgres", FIELDS(postgres_fields) };

static const struct yaml_field site_fields[] = {
    { .key = "site",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct written_site, site),
      NAME,
      .example = "site-a",
      .help = "A site of the cluster that has a database of this service." },
    { .key = "postgres",
      .type = YAML_MAPPING,
      .required = true,
      YAML_AT(struct written_site, value),
      .schema = &postgres_schema,
      .help = "The database there." },
    { .key = "health",
      .type = YAML_TEXT,
      YAML_AT(struct written_site, value.health_url),
      .valid = config_value_is_url,
      .expected = CONFIG_URL_EXPECTED,
      .help =
          "The application's health page there: a second kind of evidence, and what `verify` asks. 2xx is healthy." },
    { .key = "address",
      .type = YAML_TEXT,
      YAML_AT(struct written_site, value.publish_address),
      .valid = config_value_is_ip,
      .expected = CONFIG_IP_EXPECTED,
      .help = "What DNS points at while the service is here." },
    { .key = "deploy",
      .type = YAML_TEXTS,
      YAML_LIST_AT(struct written_site, deploy, deploy_count),
      .expected = "a word of a command",
      .help = "Starts the application here: program and arguments, without a shell, run by the site's executor. Must "
              "tolerate being run twice." },
};
static const struct yaml_schema site_schema = { "sites", FIELDS(site_fields) };

#define SPAN(name, flag, most, text)                                                                                   \
    .type = YAML_DURATION, YAML_AT(struct written_timing, value.name),                                                 \
    .present = offsetof(struct written_timing, flag), .max = (most), .help = (text)
static const struct yaml_field timing_fields[] = {
    { .key = "renew", SPAN(renew_ms, renew, 60000, "The holder renews its lease this often."), .min = 50 },
    { .key = "margin",
      SPAN(margin_ms, margin, 60000,
           "The holder stops this long before its lease ends: at least the longest freeze of a guest that is "
           "tolerated."),
      .min = MARGIN_MS_MIN },
    { .key = "ttl",
      SPAN(ttl_ms, ttl, TTL_MS_MAX, "How long a lease lasts after a renewal; a lost site costs about this long."),
      .min = 500 },
    { .key = "probe_interval",
      SPAN(probe_interval_ms, probe_interval, 60000, "From the start of one look to the start of the next."),
      .min = 50 },
    { .key = "probe_timeout",
      SPAN(probe_timeout_ms, probe_timeout, 60000, "A look without an answer for this long has failed."),
      .min = 50 },
    { .key = "rise",
      .type = YAML_INT,
      YAML_AT(struct written_timing, value.probe_rise),
      .unit = "looks",
      .min = 1,
      .max = 100,
      .present = offsetof(struct written_timing, rise),
      .help = "Good looks in a row that make an opinion `up`." },
    { .key = "fall",
      .type = YAML_INT,
      YAML_AT(struct written_timing, value.probe_fall),
      .unit = "looks",
      .min = 2,
      .max = 100,
      .present = offsetof(struct written_timing, fall),
      .help = "Failed looks in a row that make an opinion `failed`." },
    { .key = "hold_down",
      SPAN(hold_down_ms, hold_down, 3600000, "A verdict stands this long without change before an operation starts.") },
    { .key = "local_grace",
      SPAN(local_grace_ms, local_grace, 3600000, "Local recovery of a site that is reachable gets this long first.") },
    { .key = "lockout",
      SPAN(lockout_ms, lockout, 7 * 86400000, "No second automatic failover of the service within this time.") },
};
static const struct yaml_schema timing_schema = { "timing", FIELDS(timing_fields) };

static const struct yaml_field dns_fields[] = {
    { .key = "method",
      .type = YAML_ENUM,
      .required = true,
      YAML_AT(struct written_dns, value.method),
      .words = dns_words,
      .example = "rfc2136",
      .help = "How the record is changed: rfc2136 is a dynamic update signed with TSIG; none leaves DNS alone." },
    { .key = "zone",
      .type = YAML_TEXT,
      YAML_AT(struct written_dns, value.zone),
      .valid = config_value_is_domain,
      .expected = CONFIG_DOMAIN_EXPECTED,
      .example = "example.org",
      .help = "The zone that is updated." },
    { .key = "name",
      .type = YAML_TEXT,
      YAML_AT(struct written_dns, value.name),
      .valid = config_value_is_domain,
      .expected = CONFIG_DOMAIN_EXPECTED,
      .example = "app.example.org",
      .help = "The name whose address records follow the service." },
    { .key = "ttl",
      .type = YAML_INT,
      YAML_AT(struct written_dns, value.ttl_s),
      .unit = "seconds",
      .max = 86400,
      .fallback = "5",
      .help = "Of the records: how long a resolver may still send clients to the old site." },
    { .key = "servers",
      .type = YAML_TEXTS,
      YAML_LIST_AT(struct written_dns, value.servers, server_count),
      .valid = config_value_is_address,
      .expected = CONFIG_ADDRESS_EXPECTED,
      .help =
          "The authorities. The first that takes the update is used; all of them must show it before `dns` is done." },
    { .key = "key",
      .type = YAML_TEXT,
      YAML_AT(struct written_dns, value.key),
      .valid = config_value_is_secret,
      .expected = CONFIG_SECRET_EXPECTED,
      .example = "file:/etc/coord/tsig.key",
      .help = "Where each node finds the TSIG key; the file holds one line, hmac-sha256:NAME:BASE64." },
};
static const struct yaml_schema dns_schema = { "dns", FIELDS(dns_fields) };

static const struct yaml_field service_fields[] = {
    { .key = "name",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct written_service, value.name),
      NAME,
      .example = "app",
      .help = "The service's name." },
    { .key = "profile",
      .type = YAML_ENUM,
      YAML_AT(struct written_service, value.profile),
      .words = profile_words,
      .fallback = "region",
      .help = "The timing that all numbers start from: metro moves in about 3 s, region in half a minute, cautious in "
              "minutes." },
    { .key = "mode",
      .type = YAML_ENUM,
      YAML_AT(struct written_service, value.mode),
      .words = mode_words,
      .fallback = "propose",
      .help =
          "auto acts by itself; propose decides and waits for `coordctl approve`; shadow decides and does nothing." },
    { .key = "tier",
      .type = YAML_INT,
      YAML_AT(struct written_service, value.tier),
      .min = 1,
      .max = 9,
      .fallback = "1",
      .help = "Which service moves first when a site with several is lost; 1 is the most critical." },
    { .key = "primary",
      .type = YAML_TEXT,
      .required = true,
      YAML_AT(struct written_service, primary),
      NAME,
      .example = "site-a",
      .help = "The site that is granted the first lease. Later the cluster knows better, and this line says nothing." },
    { .key = "accept_vm_pause",
      .type = YAML_BOOL,
      YAML_AT(struct written_service, value.accept_vm_pause),
      .fallback = "false",
      .help = "A hypervisor that pauses or reverts a guest may freeze its clock; an asynchronous service on virtual "
              "machines accepts that by this line before mode auto." },
    { .key = "max_lag",
      .type = YAML_SIZE,
      YAML_AT(struct written_service, value.max_lag_bytes),
      .fallback = "64MiB",
      .help = "A standby that lacks more WAL than this is not promoted: the data that may be lost." },
    { .key = "max_lag_seconds",
      .type = YAML_INT,
      YAML_AT(struct written_service, max_lag_s),
      .unit = "seconds",
      .min = 1,
      .max = 86400,
      .fallback = "10",
      .help = "The same in time, by the canary row." },
    { .key = "timing",
      .type = YAML_MAPPING,
      YAML_AT(struct written_service, timing),
      .schema = &timing_schema,
      .present = offsetof(struct written_service, timing_written),
      .help = "Single numbers in place of the profile's." },
    { .key = "sites",
      .type = YAML_MAPPINGS,
      .required = true,
      YAML_LIST_AT(struct written_service, sites, site_count),
      .schema = &site_schema,
      .min = 2,
      .help = "Where the service can be." },
    { .key = "dns",
      .type = YAML_MAPPING,
      YAML_AT(struct written_service, dns),
      .schema = &dns_schema,
      .present = offsetof(struct written_service, dns_written),
      .help = "How clients find it." },
};
static const struct yaml_schema service_schema = { "services", FIELDS(service_fields) };

static const struct yaml_field file_fields[] = {
    { .key = "services",
      .type = YAML_MAPPINGS,
      .required = true,
      YAML_LIST_AT(struct written, services, count),
      .schema = &service_schema,
      .min = -1,
      .help = "Every service of the cluster. One that is missing is removed, once its lease has ended." },
};
const struct yaml_schema services_schema = { "services", FIELDS(file_fields) };

static struct timing timing_from(const struct written_service *w)
{
    struct timing t = timing_of(w->value.profile);
    const struct written_timing *o = &w->timing;

    t.renew_ms = o->renew ? o->value.renew_ms : t.renew_ms;
    t.margin_ms = o->margin ? o->value.margin_ms : t.margin_ms;
    t.ttl_ms = o->ttl ? o->value.ttl_ms : t.ttl_ms;
    t.probe_interval_ms = o->probe_interval ? o->value.probe_interval_ms : t.probe_interval_ms;
    t.probe_timeout_ms = o->probe_timeout ? o->value.probe_timeout_ms : t.probe_timeout_ms;
    t.probe_rise = o->rise ? o->value.probe_rise : t.probe_rise;
    t.probe_fall = o->fall ? o->value.probe_fall : t.probe_fall;
    t.hold_down_ms = o->hold_down ? o->value.hold_down_ms : t.hold_down_ms;
    t.local_grace_ms = o->local_grace ? o->value.local_grace_ms : t.local_grace_ms;
    t.lockout_ms = o->lockout ? o->value.lockout_ms : t.lockout_ms;
    return t;
}

struct reading {
    struct yaml *y;
    const struct services_context *context;
    const struct written *w;
    struct services_config *out;
};

static void take_deploy(const struct reading *r, const struct written_site *from, struct site_config *to,
                        const char *path)
{
    size_t used = 0;

    for (uint32_t i = 0; i < from->deploy_count; i++) {
        size_t length = strlen(from->deploy[i]) + 1;
        if (used + length > sizeof to->deploy.bytes) {
            yaml_error(r->y, path, "key 'deploy': all words together have more than %d bytes; put it into a script",
                       ARGV_MAX_BYTES);
            return;
        }
        memcpy(to->deploy.bytes + used, from->deploy[i], length);
        used += length;
    }
    to->deploy.count = (uint8_t)from->deploy_count;
    if (from->deploy_count > 0 && from->deploy[0][0] != '/')
        yaml_error(r->y, path, "key 'deploy': the program is an absolute path, got '%.60s'", from->deploy[0]);
}

static void take_sites(const struct reading *r, uint32_t service)
{
    const struct written_service *from = &r->w->services[service];
    struct service_config *to = &r->out->services[service];
    char path[YAML_PATH_MAX_BYTES];
    bool primary_named = false;

    to->primary = SITE_NONE;
    for (uint32_t i = 0; i < from->site_count; i++) {
        const struct written_site *site = &from->sites[i];
        struct site_config *config = &to->sites[i];

        *config = site->value;
        config->site = r->context->site_of(r->context->ctx, site->site);
        (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/sites/%" PRIu32 "/site", service, i);
        if (config->site == SITE_NONE)
            yaml_error(r->y, path, "the cluster has no site '%s'", site->site);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(from->sites[j].site, site->site) == 0)
                yaml_error(r->y, path, "site '%s' stands twice in service '%s'", site->site, to->name);
        if (strcmp(site->site, from->primary) == 0) {
            primary_named = true;
            to->primary = config->site;
        }
        (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/sites/%" PRIu32 "/deploy", service, i);
        take_deploy(r, site, config, path);
        (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/sites/%" PRIu32 "/address", service, i);
        if (from->dns_written && from->dns.value.method != DNS_NONE && config->publish_address[0] == '\0')
            yaml_error(r->y, path, "site '%s' needs key 'address': DNS must know what to point at", site->site);
    }
    to->site_count = (uint8_t)from->site_count;
    (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/primary", service);
    if (!primary_named)
        yaml_error(r->y, path, "primary '%s' is none of the service's sites", from->primary);
}

/* `name` is `zone` or ends in ".zone", without regard to case and final dots. */
static bool name_in_zone(const char *name, const char *zone)
{
    size_t n = strlen(name), z = strlen(zone);

    n -= n > 0 && name[n - 1] == '.' ? 1 : 0;
    z -= z > 0 && zone[z - 1] == '.' ? 1 : 0;
    return n >= z && strncasecmp(name + (n - z), zone, z) == 0 && (n == z || name[n - z - 1] == '.');
}

static void take_dns(const struct reading *r, uint32_t service)
{
    const struct written_service *from = &r->w->services[service];
    struct dns_config *to = &r->out->services[service].dns;
    char path[YAML_PATH_MAX_BYTES];

    if (!from->dns_written || from->dns.value.method == DNS_NONE) {
        *to = (struct dns_config){ .method = DNS_NONE };
        return;
    }
    *to = from->dns.value;
    to->server_count = (uint8_t)from->dns.server_count;
    (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/dns", service);
    if (to->zone[0] == '\0' || to->name[0] == '\0' || to->key[0] == '\0' || to->server_count == 0)
        yaml_error(r->y, path, "method rfc2136 needs the keys zone, name, servers and key");
    (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/dns/name", service);
    if (to->zone[0] != '\0' && to->name[0] != '\0' && !name_in_zone(to->name, to->zone))
        yaml_error(r->y, path, "name %.100s is not in zone %.100s", to->name, to->zone);
}

static void take_timing(const struct reading *r, uint32_t service)
{
    const struct written_service *from = &r->w->services[service];
    struct service_config *to = &r->out->services[service];
    struct raft_timing raft = r->context->raft != NULL ? *r->context->raft : raft_timing_of(to->profile);
    struct error err = ERROR_NONE;
    char path[YAML_PATH_MAX_BYTES];

    to->timing = timing_from(from);
    if (timing_check(&to->timing, &raft, &err) == STATUS_OK)
        return;
    /* The rule joins several numbers: point at the one that was written, ttl first, since it is the one to raise. */
    (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/%s", service,
                   !from->timing_written ? "profile"
                   : from->timing.ttl    ? "timing/ttl"
                   : from->timing.renew  ? "timing/renew"
                   : from->timing.margin ? "timing/margin"
                                         : "timing");
    yaml_error(r->y, path, "timing of service '%s': %s", to->name, err.text);
}

static void check_uniqueness(const struct reading *r, uint32_t service)
{
    const struct service_config *mine = &r->out->services[service];
    char path[YAML_PATH_MAX_BYTES];

    for (uint32_t other = 0; other < service; other++) {
        const struct service_config *theirs = &r->out->services[other];

        (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/name", service);
        if (strcmp(mine->name, theirs->name) == 0)
            yaml_error(r->y, path, "service '%s' stands twice", mine->name);
        for (uint8_t i = 0; i < mine->site_count; i++)
            for (uint8_t j = 0; j < theirs->site_count; j++) {
                if (strcmp(mine->sites[i].host, theirs->sites[j].host) != 0 ||
                    mine->sites[i].port != theirs->sites[j].port)
                    continue;
                (void)snprintf(path, sizeof path, "/services/%" PRIu32 "/sites/%u/postgres/host", service, (unsigned)i);
                yaml_error(r->y, path, "%s port %u already belongs to service '%s': one PostgreSQL, one service",
                           mine->sites[i].host, (unsigned)mine->sites[i].port, theirs->name);
            }
    }
}

void services_read(struct services_config *out, struct yaml *y, const struct services_context *context)
{
    struct written *w = calloc(1, sizeof *w);
    struct reading r = { .y = y, .context = context, .w = w, .out = out };

    ASSERT(w != NULL);
    memset(out, 0, sizeof *out);
    if (yaml_walk(y, &services_schema,
                  w)) { /* rules between values of which some are missing would only repeat the mistake */
        out->count = w->count;
        for (uint32_t i = 0; i < w->count; i++) {
            out->services[i] = w->services[i].value;
            out->services[i].max_lag_ms = w->services[i].max_lag_s * 1000;
            take_sites(&r, i);
            take_dns(&r, i);
            take_timing(&r, i);
            check_uniqueness(&r, i);
        }
    }
    free(w);
}

site_id services_offline_site(void *ctx, const char *name)
{
    struct services_offline *o = ctx;

    for (uint32_t i = 0; i < o->count; i++)
        if (strcmp(o->names[i], name) == 0)
            return (site_id)i;
    if (o->count == SITES_MAX)
        return SITE_NONE;
    (void)snprintf(o->names[o->count], NAME_MAX_BYTES, "%s", name);
    return (site_id)o->count++;
}

const char *services_offline_name(void *ctx, site_id site)
{
    const struct services_offline *o = ctx;
    return site < o->count ? o->names[site] : "none";
}
