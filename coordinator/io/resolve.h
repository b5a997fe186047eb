/* Names to addresses, by c-ares on the loop: no library of ours ever resolves by itself, because that would block it.
 * Says nothing about which address is the right one. */
#ifndef COORD_IO_RESOLVE_H
#define COORD_IO_RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/status.h"
#include "io/address.h"

#define RESOLVE_ADDRESSES_MAX 8

struct resolve_result {
    struct sockaddr_storage addresses[RESOLVE_ADDRESSES_MAX]; /* port 0 */
    size_t address_count;                                     /* at least 1 on success */
};

struct resolver; /* opaque: a c-ares channel with its polls and timer */
struct resolve;  /* opaque: one question; frees itself after `done` */

/* `servers` is NULL (what the system is configured with) or "127.0.0.1:53,[::1]:5353". NULL with `err` when c-ares cannot start. */
struct resolver *resolver_create(uv_loop_t *loop, const char *servers, struct error *err);

/* No question may be open (their owners cancel them first). `closed` fires once, later; the resolver is freed then. */
void resolver_close(struct resolver *r, void (*closed)(void *ctx), void *ctx);

/* `result` is NULL unless `err` is. STATUS_NOT_FOUND: no such name or no address; STATUS_TIMED_OUT or STATUS_UNREACHABLE: no DNS
 * server answers (c-ares does not tell a closed port from silence); STATUS_INVALID: not a name; STATUS_CANCELED. */
typedef void (*resolve_cb)(void *ctx, const struct resolve_result *result, const struct error *err);

/* A numeric address (v6 also in brackets) needs no server, and still answers later. /etc/hosts counts. */
struct resolve *resolve_begin(struct resolver *r, const char *name, uint32_t timeout_ms, resolve_cb done, void *ctx);
void resolve_cancel(struct resolve *q);

#endif
