/* One TCP connection between two nodes, in mutual TLS unless it is set up without: plain bytes in and out, on the loop.
 * Decides that a broken or refused connection is over; leaves to its owner when to connect, what is said, and when to give up.
 *
 * The socket has no delay, gives up unacknowledged data after 3 s and an idle dead peer after 1 s + 3 probes: with TCP's own patience a
 * healed partition was noticed after 40 s. */
#ifndef COORD_RAFT_CHANNEL_H
#define COORD_RAFT_CHANNEL_H

#include "base/status.h"
#include "io/tls.h"

#include <uv.h>

struct channel; /* opaque */

/* None comes from inside a function of this header. In each of them the owner may close the channel or hand it to another owner. */
struct channel_events {
    void *ctx;
    void (*ready)(
        void *ctx); /* TLS: the peer has proved who it is. Never without TLS: such a channel is ready when it begins */
    void (*bytes)(void *ctx, const uint8_t *bytes, size_t length); /* borrowed for the call */
    void (*drained)(void *ctx); /* all that was written is the kernel's; may be NULL */
    /* The last event; the owner still has to close it. NULL: the peer has ended it. REFUSED: the peer is not who it should be, or refuses us;
     * CORRUPT: it speaks something else; UNREACHABLE. */
    void (*ended)(void *ctx, const struct error *err);
};

/* NULL: out of memory. `family`: AF_UNSPEC for a socket that uv_accept will bring. */
struct channel *channel_create(uv_loop_t *loop, unsigned family, struct error *err);
/* To bind, connect and accept; and its options, once there is a socket. */
uv_tcp_t *channel_tcp(struct channel *c);
enum status channel_options(struct channel *c, struct error *err);

/* Connected: the handshake, if any, and reading begin. `tls` NULL: plain. Both are borrowed for the call. */
enum status channel_begin(struct channel *c, struct tls_context *tls, const struct tls_options *options,
                          const struct channel_events *events, struct error *err);
/* Hands it to another owner. */
void channel_set_events(struct channel *c, const struct channel_events *events);
/* The peer's certificate; NULL without TLS. */
const struct tls_identity *channel_peer(const struct channel *c);

/* Only when ready. Copies. UNREACHABLE: it is over; close it. FAILED: out of memory. */
enum status channel_write(struct channel *c, const uint8_t *bytes, size_t length);
/* Written and not yet the kernel's. */
size_t channel_queue_bytes(const struct channel *c);

/* Stops and goes on reading: a slow owner slows the peer down. Nothing more is delivered after a pause. */
void channel_pause(struct channel *c);
enum status channel_resume(struct channel *c);

/* What is queued is tried once and dropped. `closed` fires later; the channel is gone then. */
void channel_close(struct channel *c, void (*closed)(void *ctx), void *ctx);

#endif
