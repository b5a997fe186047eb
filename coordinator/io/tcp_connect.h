/* One TCP connection, by name or address, before a deadline. What is said over it is the caller's business. */
#ifndef COORD_IO_TCP_CONNECT_H
#define COORD_IO_TCP_CONNECT_H

#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/status.h"
#include "io/resolve.h"

struct tcp_connect_result {
    int fd; /* connected, non-blocking, close-on-exec; given to the callback, which closes or opens it in uv */
    struct sockaddr_storage peer; /* the address that answered */
    int64_t rtt_us;               /* of the connect alone, without the name's resolution */
};

struct tcp_connect; /* opaque; frees itself after `done` */

/* `result` is NULL unless `err` is. STATUS_UNREACHABLE: refused or no route, says which address; STATUS_TIMED_OUT; STATUS_NOT_FOUND:
 * the name; STATUS_CANCELED. */
typedef void (*tcp_connect_cb)(void *ctx, const struct tcp_connect_result *result, const struct error *err);

/* Several addresses are tried in turn, each with its share of the time that is left. `host` is copied. */
struct tcp_connect *tcp_connect_begin(uv_loop_t *loop, struct resolver *resolver, const char *host, uint16_t port,
                                      uint32_t timeout_ms, tcp_connect_cb done, void *ctx);
void tcp_connect_cancel(struct tcp_connect *c);

#endif
