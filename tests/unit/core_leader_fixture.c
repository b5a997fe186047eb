#include "core_leader_fixture.h"

struct leader leader;
struct command next;
int64_t now_us;

void leader_lead(struct core *k, uint64_t term)
{
    leader_begin(&leader, term, false, now_us);
    leader_applied(&leader, &k->state);
}

int leader_setup(void **state)
{
    (void)core_setup(state);
    now_us = 77 * SECOND_US;
    leader_init(&leader, NODE_C, BEAT_MS, TICK_MS);
    leader_lead(*state, 1);
    return 0;
}

static void run_with(struct core *k, int64_t span_us, bool hear)
{
    for (int64_t end_us = now_us + span_us; now_us < end_us;) {
        now_us += TICK_US;
        for (node_id n = NODE_A; hear && n <= NODE_C; n++)
            leader_heard(&leader, &k->state, n, false);
        leader_tick(&leader, &k->state, now_us);
    }
}

void leader_run(struct core *k, int64_t span_us)
{
    run_with(k, span_us, true);
}

void leader_run_deaf(struct core *k, int64_t span_us)
{
    run_with(k, span_us, false);
}

bool leader_proposes(struct core *k, enum command_kind kind)
{
    struct leader probe = leader;
    unsigned slot;

    while (leader_next(&probe, &k->state, k->now_ms, &next, &slot))
        if (next.kind == kind)
            return true;
    return false;
}
