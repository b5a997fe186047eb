/* The log's side of a simulated node, as coordinator/daemon_log.c: apply, snapshot, restore, and what the leader proposes. */
#include "tests/sim/simnode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "raft/rnode_members.h"

#define PROPOSAL_DEADLINE_MS 10000u
#define COLD_US (10 * INT64_C(1000000))
#define TRANSFER_PAUSE_US (5 * INT64_C(1000000))
#define CLUSTER_ID 4711

static size_t apply(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length, uint8_t *out)
{
    struct simnode *n = ctx;
    struct command *c = n->world->scratch;
    struct error err = ERROR_NONE;
    struct outcome outcome;
    size_t used = 0;

    (void)term;
    if (command_decode(c, bytes, length, &err) != STATUS_OK) {
        sim_fail(n->world->sim, "entry %" PRIu64 " cannot be decoded: %s", index, err.text);
        return 0;
    }
    fsm_apply(n->state, index, c, &outcome);
    if (state_check(n->state, &err) != STATUS_OK)
        sim_fail(n->world->sim, "entry %" PRIu64 " (%s) breaks an invariant: %s", index, command_word(c->kind),
                 err.text);
    if (outcome_encode(&outcome, out, COMMAND_OUTCOME_MAX_BYTES, &used) != STATUS_OK)
        sim_fail(n->world->sim, "the outcome of entry %" PRIu64 " cannot be encoded", index);
    world_on_applied(n->world, n, index, c, out, used);
    leader_applied(&n->leader, n->state);
    simnode_wake(n);
    return used;
}

static enum status snapshot(void *ctx, uint8_t *out, size_t capacity, size_t *used)
{
    struct simnode *n = ctx;

    return snapshot_encode(n->state, out, capacity, used);
}

static enum status restore(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length)
{
    struct simnode *n = ctx;
    struct state *previous = n->state;
    struct error err = ERROR_NONE;

    (void)term;
    if (snapshot_decode(n->spare, bytes, length, &err) != STATUS_OK) {
        sim_fail(n->world->sim, "the snapshot at %" PRIu64 " cannot be decoded: %s", index, err.text);
        return STATUS_CORRUPT;
    }
    n->state = n->spare;
    n->spare = previous;
    world_on_restored(n->world, n);
    leader_applied(&n->leader, n->state);
    simnode_wake(n);
    return STATUS_OK;
}

struct rnode_fsm simnode_fsm(struct simnode *n)
{
    return (struct rnode_fsm){
        .ctx = n, .apply = apply, .snapshot = snapshot, .restore = restore, .snapshot_bytes_max = 1024 * 1024
    };
}

void simnode_on_leadership(void *ctx, const struct rnode_leadership *now)
{
    struct simnode *n = ctx;
    int64_t now_us = simnode_now_us(n);
    bool cold = n->leader_known_us < 0 || now_us - n->leader_known_us > COLD_US;

    if (now->leader != 0 && now->term != n->contact_term) {
        n->contact_term = now->term;
        n->warm = !cold;
    }
    forward_leadership(n->forward, now);
    if (now->role == RNODE_LEADER && !(n->leader.leading && n->leader.term == now->term)) {
        leader_begin(&n->leader, now->term, cold, now_us);
        sim_note(n->world->sim, "node %u leads in term %" PRIu64 "%s", n->number, now->term, cold ? " (cold)" : "");
    } else if (now->role != RNODE_LEADER && n->leader.leading) {
        leader_end(&n->leader);
        sim_note(n->world->sim, "node %u leads no more", n->number);
    }
    simnode_wake(n);
}

int64_t simnode_stamp_ms(struct simnode *n)
{
    return leader_stamp_ms(&n->leader, n->state, simnode_wall_ms(n), simnode_now_us(n));
}

static void on_initialised(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    (void)ctx;
    (void)status;
    (void)outcome;
    n->initialising = false;
}

static void initialise(struct simnode *n)
{
    struct world *w = n->world;
    struct command *c = w->scratch;

    if (n->initialising)
        return;
    n->initialising = true;
    command_clear(c, COMMAND_CLUSTER_INIT);
    simnode_set_name(n, c);
    c->cluster_init.cluster_id = CLUSTER_ID;
    c->cluster_init.election_ms = raft_timing_of(w->options.profile).election_ms;
    for (unsigned i = 0; i < w->options.node_count; i++) {
        struct member *m = &c->cluster_init.members[i];
        m->id = w->nodes[i]->id;
        m->site = w->nodes[i]->site;
        m->witness = !w->nodes[i]->has_servers;
        text_set(m->name, sizeof m->name, "n%u", i);
        text_set(m->address, sizeof m->address, "node%u", i);
    }
    for (unsigned i = 0; i < w->site_count; i++)
        text_set(c->cluster_init.sites[i].name, NAME_MAX_BYTES, "site-%c", 'a' + (int)i);
    simnode_submit(n, c, PROPOSAL_DEADLINE_MS, on_initialised, NULL);
}

/* What a proposal's end is told: the slot, and the term that it was made in. */
static void on_proposed(struct simnode *n, void *ctx, enum status status, const struct outcome *outcome)
{
    uint64_t packed = (uint64_t)(uintptr_t)ctx;

    (void)outcome;
    if (n->leader.leading && n->leader.term == packed / LEADER_SLOTS)
        leader_proposed_done(&n->leader, (unsigned)(packed % LEADER_SLOTS));
    if (status == STATUS_OK || status == STATUS_UNKNOWN) /* else it was not even sent: the next tick tries again */
        simnode_wake(n);
}

void simnode_drive(struct simnode *n)
{
    struct command *c = n->world->scratch;
    unsigned slot = 0;

    if (!n->leader.leading)
        return;
    if (n->state->cluster_id == 0) {
        initialise(n);
        return;
    }
    while (leader_next(&n->leader, n->state, simnode_stamp_ms(n), c, &slot))
        simnode_submit(n, c, PROPOSAL_DEADLINE_MS, on_proposed,
                       (void *)(uintptr_t)(n->leader.term * LEADER_SLOTS + slot));
}

static void hand_over(struct simnode *n, int64_t now_us)
{
    node_id target = leader_transfer_to(&n->leader, n->state);

    if (target == 0 || now_us - n->transferred_us < TRANSFER_PAUSE_US)
        return;
    n->transferred_us = now_us;
    (void)rnode_transfer(n->rnode, target, NULL);
}

static void follow_members(struct simnode *n)
{
    struct membership_step step;
    struct error err;

    if (rnode_members_follow(n->rnode, n->state, n->id, &step, &err))
        sim_note(n->world->sim, "node %u changes the members: %d of node %" PRIu64 " %s", n->number, (int)step.act,
                 step.node, err.text);
}

void simnode_leader_tick(struct simnode *n)
{
    int64_t now_us = simnode_now_us(n);

    if (rnode_leadership(n->rnode).leader != 0)
        n->leader_known_us = now_us;
    if (!n->leader.leading)
        return;
    leader_tick(&n->leader, n->state, now_us);
    simnode_drive(n);
    follow_members(n);
    hand_over(n, now_us);
}
