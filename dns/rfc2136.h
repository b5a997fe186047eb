/* Publishes by DNS UPDATE (RFC 2136) signed with TSIG, at Knot, BIND, PowerDNS and the like.
 *
 * Beside the address stands a sentinel, TXT `_coord.<name>` with "epoch=7 service=app site=site-b". Each update carries the
 * prerequisite that the sentinel is exactly what was read just before (or does not exist), so that of two writers one is refused by the
 * server. The key needs the right to change both names: A (or AAAA) at <name>, TXT at _coord.<name>. Only the address's own type is
 * replaced: the sites of one service are all v4 or all v6.
 *
 * Happy path: read sentinel and address, update, signed NOERROR. Failures: the sentinel shows a newer epoch: refused; the prerequisite
 * fails: read again; no answer: what happened is unknown, read again before a retry; a server stays silent or has no right answer: the
 * next one. An answer without a valid signature counts as none. */
#ifndef DNS_RFC2136_H
#define DNS_RFC2136_H

#include <stddef.h>
#include <uv.h>

#include "dns/dns_method.h"
#include "dns/tsig_key.h"
#include "io/resolve.h"

#define RFC2136_SERVERS_MAX 4

struct rfc2136_config {
    const char *const *servers; /* "host", "host:port", "[v6]:port"; tried in this order */
    size_t server_count;
    struct tsig_key key;
    uint32_t attempt_ms; /* how long one server's answer is waited for; 0 = 1000 */
};

struct rfc2136; /* the `self` of dns_rfc2136 */

extern const struct dns_method dns_rfc2136;

/* Copies `config`; borrows `loop` and `resolver`. STATUS_INVALID names the wrong server. */
enum status rfc2136_create(uv_loop_t *loop, struct resolver *resolver, const struct rfc2136_config *config,
                           struct rfc2136 **out, struct error *err);
/* No publish is under way. Wipes the key; the memory goes with the loop's next turn. */
void rfc2136_destroy(struct rfc2136 *r);

#endif
