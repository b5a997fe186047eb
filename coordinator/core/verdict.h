/* The opinions of many observers -> one verdict per (service, site). A pure function of the state: quorum, evidence kinds, lease. */
#ifndef COORD_CORE_VERDICT_H
#define COORD_CORE_VERDICT_H

#include "core/state.h"

/* `evidence` gets the kinds behind the verdict, bit per evidence_kind. */
enum verdict verdict_of(const struct state *s, service_id service, site_id site, uint8_t *evidence);

/* `down`, `failed` or `gray`: what may start a failover. */
bool verdict_accuses(enum verdict verdict);

/* How many voters outside the site are needed to call it failed or down, and how many do. */
void verdict_votes(const struct state *s, service_id service, site_id site, unsigned *needed, unsigned *failing);

#endif
