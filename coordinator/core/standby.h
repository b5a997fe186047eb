/* Does a standby receive what the primary acknowledges? Its own lag measure (core/opinion) needs a look at the primary; where the path between the
 * two sites is cut, or its coordinator is silent, others see the primary write on while nothing arrives. Decides when that makes the
 * standby no target; the lag itself is core/opinion's. */
#ifndef COORD_CORE_STANDBY_H
#define COORD_CORE_STANDBY_H

#include "core/state.h"

/* After each entry: notes since when each site's own node does not say that it receives, and whether the primary was seen to write for longer than
 * the policy's lag since then. What a site has missed counts until its node says that it receives again. */
void standby_follow(struct state *s, service_id service);

/* It was a standby within the lag that the policy allows, as its own node said last, and has missed no more since. `slot` is that node's, or -1. */
bool standby_ready(const struct service *svc, site_id site, int slot);

#endif
