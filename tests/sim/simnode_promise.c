/* What a simulated node promises, as coordinator/daemon_promise.c. */
#include "tests/sim/simnode.h"

#define ENDED_DEADLINE_MS 3000u

static void on_ended(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    (void)ctx;
    (void)status;
    (void)outcome;
    n->ending_promises = false;
}

void simnode_promise_start(struct simnode *n)
{
    promises_init(&n->promises, simnode_now_us(n));
    n->ending_promises = false;
}

void simnode_promise_tick(struct simnode *n)
{
    struct command *c = n->world->scratch;

    if (!simnode_acts(n) || n->ending_promises || rnode_leadership(n->rnode).leader == 0 ||
        !promises_end_due(&n->promises, n->state, n->id, WORLD_SERVICE, simnode_now_us(n)))
        return;
    n->ending_promises = true;
    command_clear(c, COMMAND_PROMISES_ENDED);
    simnode_set_name(n, c);
    c->promises_ended =
        (struct command_promises_ended){ WORLD_SERVICE, n->state->services[WORLD_SERVICE].lease.epoch, n->id };
    simnode_submit(n, c, ENDED_DEADLINE_MS, on_ended, NULL);
}
