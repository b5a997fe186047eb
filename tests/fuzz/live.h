/* The first commands of a small cluster: site-a (node 1) is primary of service `app` under a live lease that is enforced, site-b (node 2) a
 * standby that is ready, site-c (node 3) the witness. */
#ifndef COORD_TESTS_FUZZ_LIVE_H
#define COORD_TESTS_FUZZ_LIVE_H

#include "core/command.h"

/* `apply` gets one command after the other; `s` is the state that they are applied to, at first as state_init() makes it. */
void live_begin(const struct state *s, void (*apply)(void *ctx, struct command *c), void *ctx);

#endif
