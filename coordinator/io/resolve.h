/* Names to addresses, by c-ares on the loop: no library of ours ever resolves by itself, because that would block it.
 * Says nothing about which address is the right one. */
#ifndef COORD_IO_RESOLVE_H
#define COORD_IO_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/status.h"

#define RESOLVE_ADDRESSES_MAX 8
#define RESOLVE_NAME_MAX 256

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

/* `result` is NULL unless `err` is. STATUS_NOT_FOUND: no such name or no address; STATUS_TIMED_OUT; STATUS_UNREACHABLE: no DNS server
 * answers; STATUS_CANCELED. */
typedef void (*resolve_cb)(void *ctx, const struct resolve_result *result, const struct error *err);

/* A numeric address (v6 also in brackets) needs no server, and still answers later. /etc/hosts counts. */
struct resolve *resolve_begin(struct resolver *r, const char *name, uint32_t timeout_ms, resolve_cb done, void *ctx);
void resolve_cancel(struct resolve *q);

/* True and `out` filled when `text` is a numeric v4 or v6 address (brackets allowed around v6). */
bool address_parse(const char *text, uint16_t port, struct sockaddr_storage *out);
/* "192.0.2.1:53", "[2001:db8::1]:53"; without port: "192.0.2.1". Returns out. */
const char *address_text(const struct sockaddr_storage *address, bool with_port, char *out, size_t capacity_bytes);
void address_set_port(struct sockaddr_storage *address, uint16_t port);
/* Splits "host", "host:port", "[v6]:port", "v6" into host and port (default_port when none). STATUS_INVALID names what is wrong. */
enum status address_split(const char *text, uint16_t default_port, char *host, size_t host_capacity_bytes,
                          uint16_t *port, struct error *err);

#endif
