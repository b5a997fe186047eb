/* What this node promises. Decided by holder/promise; here are the messages and the log. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"

#define ENDED_DEADLINE_MS 3000u

struct ending {
    struct daemon *daemon;
    service_id service;
};

static void on_ended(void *ctx, enum status status, const struct outcome *outcome)
{
    struct ending *e = ctx;

    (void)status;
    (void)outcome; /* whatever came of it: the next tick looks at the applied state again */
    e->daemon->ending_promises[e->service] = false;
    free(e);
}

static void end_promises(struct daemon *d, service_id service)
{
    struct ending *e = malloc(sizeof *e);
    struct command *c = d->proposing;

    ASSERT(e != NULL);
    *e = (struct ending){ d, service };
    d->ending_promises[service] = true;
    command_clear(c, COMMAND_PROMISES_ENDED);
    text_set(c->who, sizeof c->who, "node %s", daemon_name(d));
    c->promises_ended = (struct command_promises_ended){ service, d->state->services[service].lease.epoch, d->self };
    daemon_submit(d, c, ENDED_DEADLINE_MS, on_ended, e);
}

void daemon_promise_init(struct daemon *d)
{
    promises_init(&d->promises, clock_now_us());
}

void daemon_promise_tick(struct daemon *d)
{
    int64_t now_us = clock_now_us();

    for (unsigned i = 0; i < SERVICES_MAX && daemon_acts(d); i++)
        if (!d->ending_promises[i] && rnode_leadership(node_uv_rnode(d->node)).leader != 0 &&
            promises_end_due(&d->promises, d->state, d->self, (service_id)i, now_us))
            end_promises(d, (service_id)i);
}
