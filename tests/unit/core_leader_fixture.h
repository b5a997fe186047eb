/* A leader on the test's own clock over the fixture's cluster: node C, the witness, in term 1. */
#ifndef COORD_TESTS_CORE_LEADER_FIXTURE_H
#define COORD_TESTS_CORE_LEADER_FIXTURE_H

#include "core_fixture.h"

#include "core/leader.h"

#define TICK_MS 50u
#define TICK_US (TICK_MS * INT64_C(1000))
#define BEAT_MS 250u
#define SECOND_US INT64_C(1000000)

extern struct leader leader;
extern struct command next; /* what core_proposes() found */
extern int64_t now_us;      /* the leader's own clock */

int leader_setup(void **state); /* for cmocka: core_setup() and a leader */
void leader_lead(struct core *k, uint64_t term);
/* Ticks in step for this long; everybody is heard before each. */
void leader_run(struct core *k, int64_t span_us);
void leader_run_deaf(struct core *k, int64_t span_us);
/* A command of this kind is proposed now, whatever else is; asking changes nothing. */
bool leader_proposes(struct core *k, enum command_kind kind);

#endif
