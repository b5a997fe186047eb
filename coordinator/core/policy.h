/* The replicated configuration: the numbers and addresses that decisions and steps use. Parsed from services.yaml by
 * coordinator/services_yaml, agreed on by CONFIG_APPLY. Decides whether its numbers fit each other; what they lead to is decided elsewhere.
 * Times are milliseconds. Secrets never stand here, only references (`file:` or `env:`) that each node resolves for itself. */
#ifndef COORD_CORE_POLICY_H
#define COORD_CORE_POLICY_H

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define DRIFT_PPM_DEFAULT 1000u /* bound on the rate of any two clocks against each other (docs/safety.md, Clock) */
#define TTL_MS_MAX 600000u
#define MARGIN_MS_MIN 100u
#define PROBE_LOOKS_MAX 100u /* of rise and fall: an opinion that needs more is never formed */
#define HOST_MAX_BYTES 128
#define URL_MAX_BYTES 200
#define DNS_NAME_MAX_BYTES 256
#define ARGV_MAX_BYTES 512 /* all arguments of one command, each with its NUL */
#define ARGC_MAX 16
#define DNS_SERVERS_MAX 4

#define TIMING_PROFILE_LIST(X)                                                                                         \
    X(PROFILE_METRO, "metro")                                                                                          \
    X(PROFILE_REGION, "region")                                                                                        \
    X(PROFILE_CAUTIOUS, "cautious")
#define MODE_LIST(X)                                                                                                   \
    X(MODE_AUTO, "auto")       /* decides and acts */                                                                  \
    X(MODE_PROPOSE, "propose") /* decides, waits for `coordctl approve` */                                             \
    X(MODE_SHADOW, "shadow")   /* decides everything, does nothing */
#define POLICY_ENUM(name, word) name,
enum timing_profile { TIMING_PROFILE_LIST(POLICY_ENUM) PROFILE_COUNT };
enum mode { MODE_LIST(POLICY_ENUM) MODE_COUNT };
#undef POLICY_ENUM

const char *timing_profile_word(enum timing_profile profile);
const char *mode_word(enum mode mode);

/* Raft's own times, the same at each node of a cluster. */
struct raft_timing {
    uint32_t heartbeat_ms;
    uint32_t election_ms;
};

struct timing {
    uint32_t renew_ms; /* the holder renews this often */
    uint32_t
        margin_ms; /* the holder stops this long before its lease ends: at least the longest freeze of a guest that is tolerated */
    uint32_t ttl_ms;
    uint32_t probe_interval_ms; /* start to start; also the interval of a node's beat to the leader */
    uint32_t probe_timeout_ms;
    uint32_t probe_rise;     /* looks in a row that make an opinion `up` */
    uint32_t probe_fall;     /* looks in a row that make an opinion `failed` */
    uint32_t hold_down_ms;   /* a verdict must stand this long without change before an operation starts */
    uint32_t local_grace_ms; /* local recovery of a site that is reachable gets this long first */
    uint32_t lockout_ms;     /* no second automatic failover of the service within this time */
};

struct raft_timing raft_timing_of(enum timing_profile profile);
struct timing timing_of(enum timing_profile profile);

/* OK, or INVALID with the rule, the numbers and which of them to change. */
enum status timing_check(const struct timing *t, const struct raft_timing *raft, struct error *err);

/* ttl_ms as the leader counts it: ttl * (1 + drift), rounded up, in microseconds. */
int64_t lease_count_us(uint32_t ttl_ms, uint32_t drift_ppm);

struct argv_text { /* count strings, one after the other, each with its NUL */
    uint8_t count;
    char bytes[ARGV_MAX_BYTES];
};

struct site_config { /* one eligible site of one service */
    site_id site;
    char host[HOST_MAX_BYTES]; /* PostgreSQL as every node reaches it; a name is resolved by each node */
    uint16_t port;
    char user[NAME_MAX_BYTES * 2];
    char dbname[NAME_MAX_BYTES * 2];
    char password[URL_MAX_BYTES];            /* reference, may be empty */
    char health_url[URL_MAX_BYTES];          /* the application's; empty: no application evidence */
    char publish_address[ADDRESS_MAX_BYTES]; /* what DNS points at when the service is here */
    struct argv_text deploy;                 /* starts the application here; run by the site's executor */
};

enum dns_method_kind { DNS_NONE, DNS_RFC2136, DNS_METHOD_COUNT };

struct dns_config {
    enum dns_method_kind method;
    char zone[DNS_NAME_MAX_BYTES];
    char name[DNS_NAME_MAX_BYTES];
    uint32_t ttl_s;
    uint8_t server_count;
    char servers
        [DNS_SERVERS_MAX]
        [ADDRESS_MAX_BYTES]; /* authorities, "address:port"; the first that takes the update is used, all are verified */
    char key[URL_MAX_BYTES]; /* reference to the TSIG key */
};

struct service_config {
    char name[NAME_MAX_BYTES];
    enum timing_profile profile; /* what the numbers started from; for display */
    enum mode mode;
    uint32_t tier;   /* 1 is the most critical */
    site_id primary; /* counts for the first grant only */
    bool
        accept_vm_pause; /* docs/safety.md, Limits: an asynchronous service on virtual machines must say so before mode auto */
    uint64_t max_lag_bytes; /* the standby may lack this much acknowledged WAL and still be promoted */
    uint32_t max_lag_ms;
    struct timing timing;
    struct dns_config dns;
    uint8_t site_count;
    struct site_config sites[SITES_MAX];
};

/* The service's entry for `site`, or NULL: not an eligible site of it. */
const struct site_config *service_config_site(const struct service_config *config, site_id site);

#endif
