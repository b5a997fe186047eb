/* Looks at every site of every configured service on schedule and keeps this node's observers. Decides when to look and which looks apply at a
 * site; what looks mean together is core/opinion's business.
 *
 * interval is start to start, with a phase per target so that nodes and targets do not look in step; a hanging look delays nothing. */
#ifndef COORD_PROBE_PROBER_H
#define COORD_PROBE_PROBER_H

#include "core/state.h"
#include "io/http_client.h"
#include "io/resolve.h"

#include <uv.h>

struct prober_config {
    uv_loop_t *loop; /* borrowed until closed, like the next two */
    struct resolver *resolver;
    struct http_client *http;
    node_id self;
    void *ctx;                               /* of the callbacks */
    const struct state *(*state)(void *ctx); /* as applied now */
    /* The text behind a reference (`file:`, `env:`); false and a log line of its own when it cannot be had. */
    bool (*secret)(void *ctx, const char *reference, char *out, size_t capacity_bytes);
    /* This node's opinion differs from the one before. */
    void (*on_opinion)(void *ctx, service_id service, site_id site);
    /* A canary was acknowledged; the look began when `looked_index` was applied and carried `epoch`. */
    void (*on_acknowledged)(void *ctx, service_id service, site_id site, epoch_t epoch, uint64_t looked_index);
};

struct prober; /* opaque */

/* Copies `config`. NULL without memory. */
struct prober *prober_create(const struct prober_config *config);
/* The applied state changed: follows the configuration and the primary. Cheap when neither did. */
void prober_on_state(struct prober *p);
/* False: this (service, site) is not looked at. `measured`: observer_measured(). */
bool prober_opinion(const struct prober *p, service_id service, site_id site, struct opinion *out, bool *measured);
/* The last WAL position seen at the service's primary; 0: not seen since it became primary. */
uint64_t prober_primary_lsn(const struct prober *p, service_id service);
/* Lag of the site's standby in bytes and milliseconds by this node's own looks; -1: not known. */
void prober_lag(const struct prober *p, service_id service, site_id site, int64_t *bytes, int64_t *ms);
/* `closed` fires once, before it returns when nothing was looked at; `p` is gone then. */
void prober_close(struct prober *p, void (*closed)(void *ctx), void *ctx);

#endif
