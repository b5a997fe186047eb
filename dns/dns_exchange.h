/* One message to one server and the answer to it: UDP first, TCP when the answer is cut or the first half of the time brought none.
 * What the answer means, and whether its signature suffices, is the caller's decision. A message may arrive twice (by UDP and by TCP):
 * an update needs a prerequisite that makes the second one harmless. */
#ifndef DNS_DNS_EXCHANGE_H
#define DNS_DNS_EXCHANGE_H

#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/status.h"
#include "io/dns_wire.h"

struct dns_exchange; /* frees itself after `done` */

/* `reply` is NULL unless `err` is. STATUS_UNREACHABLE: nothing there took it (closed port, no route); STATUS_TIMED_OUT: it may have
 * been taken; STATUS_CORRUPT: the answer is no DNS message; STATUS_CANCELED. */
typedef void (*dns_exchange_cb)(void *ctx, const struct dns_reply *reply, const struct error *err);

/* Copies all but `key`, which is borrowed until `done` (NULL: unsigned). Never NULL. */
struct dns_exchange *dns_exchange_begin(uv_loop_t *loop, const struct sockaddr_storage *server,
                                        const struct dns_message *message, const struct tsig_key *key,
                                        uint32_t timeout_ms, dns_exchange_cb done, void *ctx);
void dns_exchange_cancel(struct dns_exchange *x);

#endif
