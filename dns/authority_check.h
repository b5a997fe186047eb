/* Asks each authority of a name directly, without recursion and without a cache between, whether it answers the expected address.
 * All are asked at once. What follows from a disagreement is the caller's decision. */
#ifndef DNS_AUTHORITY_CHECK_H
#define DNS_AUTHORITY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "io/resolve.h"

#define AUTHORITIES_MAX 8

struct authority_check_request {
    const char *const *servers; /* "host", "host:port", "[v6]:port" */
    size_t server_count;
    const char *name;
    const char *address; /* numeric; decides between A and AAAA */
    uint32_t timeout_ms;
};

struct authority_answer {
    const char *server;
    bool answered;      /* something came back */
    bool authoritative; /* the AA bit */
    bool matches;       /* authoritative, and exactly the expected address and no other */
    uint32_t ttl_s;     /* of the answer; 0 without one */
    char detail[120];   /* "198.51.100.7 ttl 5", "NXDOMAIN", "no answer within 1000 ms" */
};

struct authority_check_result {
    struct authority_answer answers[AUTHORITIES_MAX];
    size_t answer_count;
    bool all_match;
    uint32_t ttl_max_s; /* the longest that a cache may keep any of the answers */
};

struct authority_check; /* frees itself after `done` */

/* `err` is NULL when every authority was asked, whatever they answered; STATUS_INVALID, STATUS_CANCELED. `result` is NULL then. */
typedef void (*authority_check_cb)(void *ctx, const struct authority_check_result *result, const struct error *err);

/* Copies `request`. Never NULL. */
struct authority_check *authority_check_begin(uv_loop_t *loop, struct resolver *resolver,
                                              const struct authority_check_request *request, authority_check_cb done,
                                              void *ctx);
void authority_check_cancel(struct authority_check *c);

#endif
