/* The canary's table at a primary that has just been given to coord: made by the lease's own node, once per epoch, as soon as its guard is
 * open. Without it nobody sees that the primary writes, nor how far its standby is behind, and no failover is possible. */
#include "daemon.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/text.h"
#include "io/log.h"

#define SETUP_TIMEOUT_MS 5000u
#define SETUP_RETRY_BEATS 8u /* pause after a failure, in beats */

static struct daemon_setup *setup_of(struct daemon *d, unsigned local)
{
    return &d->setups[local];
}

/* Only an in-flight setup counts as a handle that is open. */
static void on_setup(void *ctx, const struct canary_result *result, const struct error *err)
{
    struct daemon_setup *setup = ctx;

    setup->running = NULL;
    if (setup->closed != NULL) {
        setup->closed(setup->closed_ctx);
        return; /* the owner may have freed us */
    }
    if (err == NULL) {
        setup->done_epoch = setup->epoch;
        return;
    }
    setup->pause_beats = SETUP_RETRY_BEATS;
    if (!result->guard_closed) /* a lease that has just been granted opens the guard in a moment */
        log_event(LOG_LEVEL_WARNING, "canary_setup_failed", "epoch=%" PRIu64 " error=%s", setup->epoch, err->text);
}

static void setup_beat(struct daemon *d, unsigned local, const struct service *svc)
{
    struct daemon_setup *setup = setup_of(d, local);

    if (setup->running != NULL || !lease_live(&svc->lease) || svc->lease.holder != d->self ||
        setup->done_epoch == svc->lease.epoch)
        return;
    if (setup->pause_beats > 0) {
        setup->pause_beats--;
        return;
    }
    setup->epoch = svc->lease.epoch;
    setup->running = canary_setup_begin(&d->loop,
                                        &(struct canary_request){ .conninfo = d->config.local[local].conninfo,
                                                                  .node = d->self,
                                                                  .epoch = setup->epoch,
                                                                  .timeout_ms = SETUP_TIMEOUT_MS },
                                        on_setup, setup);
}

void daemon_setup_beat(struct daemon *d)
{
    for (unsigned local = 0; local < d->config.local_count && !d->closing; local++) {
        service_id service = state_service(d->state, d->config.local[local].service);

        if (service < SERVICES_MAX)
            setup_beat(d, local, &d->state->services[service]);
    }
}

void daemon_setup_close(struct daemon *d, void (*closed)(void *ctx))
{
    for (unsigned local = 0; local < d->config.local_count; local++) {
        struct daemon_setup *setup = setup_of(d, local);

        if (setup->running == NULL)
            continue;
        d->handles_open++;
        setup->closed = closed;
        setup->closed_ctx = d;
        canary_cancel(setup->running);
    }
}
