/* Is lease_guard among the libraries that a data directory's server would preload at its next start? Asked of PostgreSQL itself
 * (`postgres -C`), since the setting may come from several files. */
#ifndef COORD_FENCING_PRELOAD_H
#define COORD_FENCING_PRELOAD_H

#include <stdbool.h>
#include <uv.h>

#include "base/status.h"
#include "io/child.h"

typedef void (*preload_cb)(void *ctx, bool preloaded, const struct error *err);

struct preload; /* frees itself after `done` */

/* Copies what it is given. Valid until `done` returns. Never NULL. */
struct preload *preload_begin(uv_loop_t *loop, const struct child_config *child, const char *bin_dir,
                              const char *data_dir, uint32_t timeout_ms, preload_cb done, void *ctx);
void preload_cancel(struct preload *p);

/* "a, '$libdir/lease_guard'" holds it, whatever directory and suffix it is named with. */
bool preload_list_has_guard(const char *list);

#endif
