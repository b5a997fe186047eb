/* One outgoing connection to another node: name, TCP, TLS, hello, answer, all within HELLO_TIMEOUT_MS. Decides nothing about when to try again.
 * In TLS the certificate that answers must be that of the dialed node. The socket is bound to the host that this node listens on, so that
 * rules by address hold both ways. */
#ifndef COORD_RAFT_DIAL_H
#define COORD_RAFT_DIAL_H

#include "base/status.h"
#include "io/resolve.h"
#include "raft/channel.h"
#include "raft/hello.h"

#include <uv.h>

struct dial; /* opaque; frees itself after `done` */

struct dial_request {
    uv_loop_t *loop;
    struct resolver *resolver; /* NULL: numeric addresses only */
    struct tls_context *tls;   /* NULL: plain TCP */
    /* AF_UNSPEC: the system's choice, also for a peer of another family. Its port is ignored. */
    struct sockaddr_storage source;
    struct hello hello; /* to_address is dialed */
};

/* `channel` is NULL unless `err` is. It is given: ready, paused, its events still to be set. REFUSED: the peer's verdict, or who it is;
 * UNREACHABLE, TIMED_OUT, CANCELED, INVALID. */
typedef void (*dial_cb)(void *ctx, struct channel *channel, const struct error *err);

/* `done` fires exactly once, later. NULL only when out of memory; then it never fires. */
struct dial *dial_begin(const struct dial_request *request, dial_cb done, void *ctx);
void dial_cancel(struct dial *d);
/* What the peer answered to the hello; HELLO_ACCEPTED when it did not come to that. For the time of `done`. */
enum hello_verdict dial_verdict(const struct dial *d);

#endif
