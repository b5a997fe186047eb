/* How a service's name is pointed at a site's address. A method publishes for an epoch: a late actor with an older epoch is refused by
 * the authority itself (compare-and-swap on a sentinel record), never by our own bookkeeping. Whether the world sees the change is
 * authority_check's question. */
#ifndef DNS_DNS_METHOD_H
#define DNS_DNS_METHOD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/status.h"

#define DNS_NAME_MAX 256 /* a full name in text with its NUL */

struct dns_publish {
    const char *zone;    /* "example.test" */
    const char *name;    /* "app.example.test", inside the zone; a final dot makes no difference */
    const char *address; /* numeric: a v4 address becomes an A record, a v6 address AAAA */
    uint32_t ttl_s;
    epoch_t epoch;
    const char *service;
    const char *site;
    int64_t t0_us; /* clock_now_us() from which the deadline counts */
    uint32_t deadline_ms;
};

struct dns_published {
    bool changed;                /* false: it was ours already, with the right address */
    char server[80];             /* the authority that confirmed */
    char previous[DNS_NAME_MAX]; /* the sentinel that was replaced, "" for none */
};

/* `result` is NULL unless `err` is. STATUS_REFUSED: a newer epoch stands there, we were deposed, or the name is another service's;
 * STATUS_UNKNOWN: the change may or may not have happened (publish again, it is idempotent); STATUS_TIMED_OUT, STATUS_UNREACHABLE:
 * nothing was changed; STATUS_FAILED: the text says what to check at the server; STATUS_INVALID; STATUS_CANCELED. */
typedef void (*dns_cb)(void *ctx, const struct dns_published *result, const struct error *err);

struct dns_method {
    const char *name;
    /* One publish at a time for each `self`. `done` fires exactly once, later. Copies `request`. */
    void (*begin)(void *self, const struct dns_publish *request, dns_cb done, void *ctx);
    /* `done` still fires, with STATUS_CANCELED; a change that is already on its way may still happen. */
    void (*cancel)(void *self);
};

#endif
