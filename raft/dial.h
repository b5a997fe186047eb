/* One outgoing connection to another node: name, TCP, hello, answer, all within HELLO_TIMEOUT_MS. Decides nothing about when to try again.
 *
 * The socket has no delay, gives up unacknowledged data after 3 s and an idle dead peer after 1 s + 3 probes: with TCP's own patience a
 * healed partition was noticed after 40 s. It is bound to the host that this node listens on, so that rules by address hold both ways. */
#ifndef COORD_RAFT_DIAL_H
#define COORD_RAFT_DIAL_H

#include "base/status.h"
#include "io/resolve.h"
#include "raft/hello.h"

#include <uv.h>

struct dial; /* opaque; frees itself after `done` */

struct dial_request {
    uv_loop_t *loop;
    struct resolver *resolver; /* NULL: numeric addresses only */
    /* AF_UNSPEC: the system's choice, also for a peer of another family. Its port is ignored. */
    struct sockaddr_storage source;
    struct hello hello; /* to_address is dialed */
};

/* `stream` is NULL unless `err` is. It is given: allocated by raft_malloc, not reading; uv_close it, then raft_free. REFUSED: the peer's verdict,
 * UNREACHABLE, TIMED_OUT, CANCELED, INVALID. */
typedef void (*dial_cb)(void *ctx, uv_tcp_t *stream, const struct error *err);

/* `done` fires exactly once, later. NULL only when out of memory; then it never fires. */
struct dial *dial_begin(const struct dial_request *request, dial_cb done, void *ctx);
void dial_cancel(struct dial *d);

/* The options named above, for an accepted socket too. */
enum status dial_socket_options(uv_tcp_t *tcp, struct error *err);

#endif
