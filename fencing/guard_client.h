/* Talks to one server's lease_guard over its local socket. One connection, kept open and made anew when the next request needs it;
 * requests are answered in order. What the answers mean for a lease is the holder's and the fence's business.
 *
 * When it fails: no answer in time or a broken connection fails the request and all that wait behind it, since answers carry no number.
 * An answer that is not exactly of the protocol is STATUS_CORRUPT and closes the connection. */
#ifndef COORD_FENCING_GUARD_CLIENT_H
#define COORD_FENCING_GUARD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/ids.h"
#include "base/status.h"

#define GUARD_REQUESTS_MAX 16 /* waiting in one client; more is STATUS_FULL */

enum guard_state { GUARD_OPEN, GUARD_CLOSED, GUARD_BYPASS };

struct guard_status {
    instance_id instance;
    enum guard_state state;
    epoch_t epoch;
    int64_t deadline_us; /* on the server's clock; 0 when closed */
    int64_t now_us;
    epoch_t closed_epoch;
    uint64_t refused_count;
    bool in_recovery;
    bool enforcing;
};

/* One answer; which fields are set depends on the request: now: instance, now_us · open: deadline_us · close: none · status: all of it. */
struct guard_answer {
    struct guard_status status;
    pid_t peer_pid;  /* the process that serves the socket; 0 when the system does not tell */
    char reason[16]; /* of STATUS_REFUSED: instance, future, epoch, closed, invalid, break_glass */
};

/* err: STATUS_REFUSED (see reason), STATUS_INVALID (the server did not understand us), STATUS_UNREACHABLE (nothing was sent),
 * STATUS_UNKNOWN or STATUS_TIMED_OUT (sent, not answered, or its queue of connections is full), STATUS_CORRUPT, STATUS_FULL, STATUS_CANCELED. `answer` is never NULL. */
typedef void (*guard_cb)(void *ctx, const struct guard_answer *answer, const struct error *err);

struct guard_client; /* opaque */

/* Copies `socket_path`. NULL without memory or when the path is too long for a socket. */
struct guard_client *guard_client_create(uv_loop_t *loop, const char *socket_path);

void guard_now_begin(struct guard_client *g, uint32_t timeout_ms, guard_cb done, void *ctx);
/* `t0_us` is an earlier answer's now_us of the same instance; the server computes the deadline. */
void guard_open_begin(struct guard_client *g, instance_id instance, epoch_t epoch, int64_t t0_us, uint32_t hold_ms,
                      uint32_t timeout_ms, guard_cb done, void *ctx);
/* Sticky: every epoch up to this one stays refused until the instance ends. */
void guard_close_begin(struct guard_client *g, epoch_t epoch, uint32_t timeout_ms, guard_cb done, void *ctx);
/* Lets every write of this instance and epoch pass, with no deadline: for a service that is not enforced, after the log says so.
 * Off: the guard decides again. (For off, instance and epoch are not used.) */
void guard_bypass_begin(struct guard_client *g, bool on, instance_id instance, epoch_t epoch, uint32_t timeout_ms,
                        guard_cb done, void *ctx);
void guard_status_begin(struct guard_client *g, uint32_t timeout_ms, guard_cb done, void *ctx);

/* All requests under way end, later, with STATUS_CANCELED, and the connection is closed; the client stays usable. */
void guard_client_cancel(struct guard_client *g);

/* Cancels first. `closed` (may be NULL) fires once, later, and the client is gone. */
void guard_client_destroy(struct guard_client *g, void (*closed)(void *ctx), void *ctx);

#endif
