/* One (service, site) as this node looks at it: its probes, the observer that turns their looks into an opinion, and the address and the
 * login that they need. Decides when a look is made, which ones apply, and what is worth a log line; which targets there are is the prober's.
 *
 * When something is missing (a name that does not resolve, a secret that cannot be read) nothing is learned about the site: no look is made,
 * one log line says why, and it is tried again. While new connections get no good answer, name and secret are read again, too: a server
 * may have moved, a password may have been changed. */
#ifndef COORD_PROBE_TARGET_H
#define COORD_PROBE_TARGET_H

#include "probe/prober.h"

struct target; /* opaque; lives until its probes have closed, which may be after its configuration is gone */

/* What the targets of one service know together; the prober's. */
struct target_shared {
    site_id primary;
    uint64_t primary_lsn;      /* last seen there; 0: not yet */
    int64_t canary_written_ms; /* our last canary that it acknowledged, as our wall clock had it; -1: none */
};

struct target_owner {
    const struct prober_config *config; /* borrowed until closed */
    void *ctx;
    void (*closed)(void *ctx); /* once per target_close, later */
};

/* Copies `owner`; borrows `shared` until closed. The applied state has an entry for `site` in `service` now. */
struct target *target_open(const struct target_owner *owner, struct target_shared *shared, service_id service,
                           site_id site);
void target_close(struct target *t);

/* The configuration changed. True: the target looks at what it says (another interval is taken over). False: it looks at something else. */
bool target_follows(struct target *t, const struct service *svc);
/* The service has another primary: what holds for a primary only is forgotten. */
void target_primary_changed(struct target *t);

struct opinion target_opinion(const struct target *t);
bool target_measured(const struct target *t); /* observer_measured() */

#endif
