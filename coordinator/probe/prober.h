/* Looks at every site of every configured service on schedule and keeps this node's observers. Decides which targets there are and what is
 * known of a service as a whole; how one target is looked at is probe/target's, what looks mean together is core/opinion's business.
 *
 * interval is start to start, with a phase per target so that nodes and targets do not look in step; a hanging look delays nothing. A change of
 * the configuration leaves alone what it does not concern: evidence that was gathered stays. */
#ifndef COORD_PROBE_PROBER_H
#define COORD_PROBE_PROBER_H

#include "core/state.h"
#include "io/http_client.h"
#include "io/resolve.h"
#include "probe/probe.h"

#include <uv.h>

struct postgres_view;  /* probe/probe_postgres.h */
struct prober_methods; /* below */

struct prober_config {
    uv_loop_t *loop; /* borrowed until closed, like the next two */
    struct resolver *resolver;
    struct http_client *http;
    node_id self;
    const struct prober_methods *methods;    /* NULL: the real probes; tests put their own */
    void *ctx;                               /* of the callbacks */
    const struct state *(*state)(void *ctx); /* as applied now */
    /* This node's opinion differs from the one before. */
    void (*on_opinion)(void *ctx, service_id service, site_id site);
    /* A canary was acknowledged; the look began when `looked_index` was applied and carried `epoch`. */
    void (*on_acknowledged)(void *ctx, service_id service, site_id site, epoch_t epoch, uint64_t looked_index);
};

struct prober_place { /* where one site is looked at; borrowed by `create` until it returns */
    const struct site_config *site;
    const char *address;  /* the host's, numeric */
    const char *conninfo; /* to its PostgreSQL */
};

struct prober_methods {
    /* Without a method: this look is not made here. */
    struct probe (*create)(const struct prober_config *config, enum look look, const struct prober_place *place);
    void (*set_epoch)(struct probe canary, epoch_t epoch); /* the next canary carries it */
    /* What a fresh read that was OK has seen; lives as long as `result`. */
    const struct postgres_view *(*view)(const struct probe_result *result);
};
extern const struct prober_methods prober_methods_real;

struct prober; /* opaque */

/* Copies `config`. NULL without memory. */
struct prober *prober_create(const struct prober_config *config);
/* The applied state changed: follows the configuration and the primary. Cheap when neither did. */
void prober_on_state(struct prober *p);
/* False: this (service, site) is not looked at. `measured`: observer_measured(). */
bool prober_opinion(const struct prober *p, service_id service, site_id site, struct opinion *out, bool *measured);
/* The last WAL position seen at the service's primary; 0: not seen since it became primary. */
uint64_t prober_primary_lsn(const struct prober *p, service_id service);
/* `closed` fires once, before it returns when nothing was looked at; `p` is gone then. */
void prober_close(struct prober *p, void (*closed)(void *ctx), void *ctx);

#endif
