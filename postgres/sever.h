/* Ends a standby's WAL receiver, keeps it off, and reads the position it froze at; and the way back.
 * Under a synchronous primary that names only severed standbys this alone ends every acknowledgement; otherwise it makes the comparison
 * of candidates stable. When to sever, and when to reverse it, is core's decision.
 *
 * Order: the settings in force are saved to `saved_path` (written, synced, renamed) → primary_conninfo = '' and a short
 * wal_retrieve_retry_interval → reload → the receiver process is gone → and only then the position is read. Severing a severed server, or
 * one without a receiver, succeeds. A primary is refused.
 *
 * On the way back the postmaster logs the new value of primary_conninfo when it reloads, as after every change of it, and no setting of
 * our session keeps a password in it out of that line: the password belongs into a file (`passfile=` in primary_conninfo). */
#ifndef COORD_POSTGRES_SEVER_H
#define COORD_POSTGRES_SEVER_H

#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "postgres/position.h"

struct sever_request {
    const char *conninfo;
    const char *saved_path; /* on this node, outside the data directory; holds a secret, so it is made 0600 */
    uint32_t timeout_ms;
};

/* `state` is NULL when err is set. After sever: frozen. After unsever: as read after the reload, the receiver may not run yet. */
typedef void (*sever_cb)(void *ctx, const struct server_state *state, const struct error *err);

struct sever; /* frees itself after `done` */

/* Copies the request. Valid until `done` returns. Never NULL. A failure leaves either nothing changed or the receiver off: unsever
 * restores both. */
struct sever *sever_begin(uv_loop_t *loop, const struct sever_request *request, sever_cb done, void *ctx);

/* Puts the saved settings back; success when nothing is saved. On a server that was promoted meanwhile it restores them too. */
struct sever *unsever_begin(uv_loop_t *loop, const struct sever_request *request, sever_cb done, void *ctx);

void sever_cancel(struct sever *s);

#endif
