/* Faults, people and their mistakes, drawn from the seed; and the calm after them in which everything must end well. */
#ifndef COORD_SIM_FAULTS_H
#define COORD_SIM_FAULTS_H

#include "tests/sim/world.h"

struct faults_options {
    int64_t span_us;      /* how long faults happen */
    int64_t every_max_us; /* the longest pause between two of them */
    bool people;          /* operators give commands at bad moments */
    bool servers;         /* servers die and are paused */
    bool focused;         /* mostly what makes failovers */
    bool sites;           /* whole sites die, are paused, are cut off */
};

/* Faults, then calm; in the end the service is settled, or the run has failed. */
void faults_run(struct world *w, const struct faults_options *options);

/* The whole site at once: servers, coordinators, and nobody answers. */
void site_kill(struct world *w, site_id site);
/* What is dead there starts again; a server as what it was. */
void site_start(struct world *w, site_id site);
void site_pause(struct world *w, site_id site, bool pause);
/* Ends every fault at once and starts what is dead. */
void faults_end(struct world *w);
/* What a person does about servers that are of no use as they are: a diverged or stale primary becomes a standby of the primary again. */
void people_rebuild(struct world_service *ws);

#endif
