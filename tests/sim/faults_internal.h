/* What faults.c and people.c share; nobody else includes it. */
#ifndef COORD_SIM_FAULTS_INTERNAL_H
#define COORD_SIM_FAULTS_INTERNAL_H

#include "tests/sim/faults.h"

enum undo_kind {
    UNDO_NODE_DOWN,
    UNDO_NODE_PAUSE,
    UNDO_SERVER_DOWN,
    UNDO_SERVER_PAUSE,
    UNDO_SITE_DOWN,
    UNDO_SITE_PAUSE,
    UNDO_DISK,
    UNDO_LAG,
    UNDO_NET
};

/* Ends the fault of this kind at `a`, at a time that is drawn now. */
void faults_later(struct world *w, enum undo_kind kind, unsigned a, int64_t most_ms);
/* Any of them. */
struct world_service *faults_service(struct world *w);
/* Where one of the services is primary. */
site_id faults_primary_site(struct world *w);
void faults_lose_primary_site(struct world *w);
/* What this host sends (NET_HOSTS_MAX: any), until the next one; stragglers also let packets overtake each other. */
void faults_degrade(struct world *w, unsigned from, uint32_t loss_ppm, uint32_t straggler_ppm);
/* It dies, is cut off, and comes back before it is joined again. */
void faults_primary_site_returns_cut_off(struct world *w);

/* What faults_later takes for a server. */
unsigned faults_server_number(const struct server *s);

/* faults_machine.c */
void faults_disk(struct world *w);
void faults_wall_clock(struct world *w);
void faults_wipe(struct world *w);
void faults_lag(struct world *w);
void faults_freeze(struct world *w, unsigned host);
void faults_freeze_the_last_lease(struct world *w);
void faults_cut_two_sites(struct world *w);

/* people.c: commands at bad moments */
void people_act(struct world *w);
void people_abort(struct world *w);
void people_move_the_service(struct world *w);
void people_change_ttl(struct world *w);
/* The log has just moved: now. */
void people_at_the_worst_moment(struct world *w);
void people_break_glass(struct world *w);
void people_toggle_and_lose(struct world *w);
void people_toggle_before_the_site_returns(struct world *w);
/* What they do in the end: arm, resume, rebuild; and abort or skip where the report says that it waits for them. */
void people_help(struct world_service *ws, bool patience_is_over);

#endif
