#include "tests/sim/member_chaos.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"
#include "raft/rnode_members.h"

#define WISH_EVERY_MAX_US (900 * SIM_US_PER_MS)
#define SETTLE_STEP_US (100 * SIM_US_PER_MS)
#define IDLE_TURNS                                                                                                     \
    20 /* a member that lost its last entry may wait for the next one: no cluster of ours is idle for long */
#define SETTLE_MAX_US (90 * (int64_t)SIM_US_PER_S)

struct run {
    struct cluster *c;
    struct state *wanted;
    struct member_chaos_counts *counts;
};

static unsigned node_of(const struct cluster *c, node_id id)
{
    unsigned i = 0;

    while (i < c->options.node_count && (cluster_absent(c, i) || cluster_id_of(c, i) != id))
        i++;
    return i;
}

static void member_put(struct run *r, unsigned node, node_id id)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct member *m = &r->wanted->members[i];

        if (m->id != 0)
            continue;
        *m = (struct member){ .id = id, .voter = true };
        text_set(m->name, sizeof m->name, "n%" PRIu64, id);
        text_set(m->address, sizeof m->address, "%s", r->c->peers.list[node].address);
        return;
    }
}

/* What the leader's log would say of each: it is there, or it is silent. */
static void look_who_is_heard(struct run *r)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct member *m = &r->wanted->members[i];
        unsigned node = node_of(r->c, m->id);

        m->heard =
            m->id != 0 && node < r->c->options.node_count && cluster_up(r->c, node) && !cluster_paused(r->c, node);
    }
}

static void add(struct run *r)
{
    unsigned node = (unsigned)sim_random(r->c->sim, r->c->options.node_count);

    if (!cluster_absent(r->c, node) || state_member_count(r->wanted) == NODES_MAX)
        return;
    cluster_join(r->c, node, r->wanted->next_member_id);
    member_put(r, node, r->wanted->next_member_id++);
    cluster_start(r->c, node);
    r->counts->added++;
}

static struct member *any_member(struct run *r)
{
    struct member *m = &r->wanted->members[sim_random(r->c->sim, NODES_MAX)];

    return m->id != 0 ? m : NULL;
}

static void take_away(struct run *r, bool vote_only)
{
    struct member *m = any_member(r);
    unsigned leader = cluster_leader(r->c);

    if (m == NULL || (vote_only && !m->voter) || member_gates_check(r->wanted, m->id, !vote_only, 0) != 0)
        return;
    sim_note(r->c->sim, "%s shall %s", m->name, vote_only ? "lose its vote" : "leave");
    r->counts->demoted += vote_only;
    r->counts->removed += !vote_only;
    r->counts->leaders_removed +=
        !vote_only && leader < r->c->options.node_count && cluster_id_of(r->c, leader) == m->id;
    if (vote_only)
        m->voter = false;
    else
        *m = (struct member){ 0 };
}

static void give_vote(struct run *r)
{
    struct member *m = any_member(r);

    if (m == NULL || m->voter)
        return;
    m->voter = true;
    r->counts->promoted++;
}

static void hand_over(struct run *r)
{
    unsigned leader = cluster_leader(r->c);
    struct member *m = any_member(r);

    if (leader < r->c->options.node_count && m != NULL &&
        rnode_transfer(cluster_rnode(r->c, leader), m->id, NULL) == STATUS_OK)
        r->counts->handed_over++;
}

static void wish(struct run *r)
{
    switch (sim_random(r->c->sim, 7)) {
    case 0:
    case 1:
        add(r);
        return;
    case 2:
    case 3:
        take_away(r, false);
        return;
    case 4:
        take_away(r, true);
        return;
    case 5:
        give_vote(r);
        return;
    default:
        hand_over(r);
    }
}

/* One that was removed runs on for a while, and disturbs whom it can. It stops when one who does not have it in Raft's list any more tells it;
 * its disk is worth nothing then. */
static void end_removed(struct run *r, uint32_t chance_ppm)
{
    unsigned leader = cluster_leader(r->c);

    if (leader == r->c->options.node_count)
        return;
    for (unsigned i = 0; i < r->c->options.node_count; i++)
        if (!cluster_absent(r->c, i) && state_member_slot(r->wanted, cluster_id_of(r->c, i)) < 0 &&
            rnode_address(cluster_rnode(r->c, leader), cluster_id_of(r->c, i)) == NULL &&
            sim_chance(r->c->sim, chance_ppm))
            cluster_leave(r->c, i);
}

static void follow(struct run *r)
{
    for (unsigned i = 0; i < r->c->options.node_count; i++) {
        struct membership_step step;
        struct error err;
        node_id self = cluster_id_of(r->c, i);
        int slot = state_member_slot(r->wanted, self);

        if (cluster_absent(r->c, i) || !cluster_up(r->c, i) || cluster_paused(r->c, i) || !cluster_leads(r->c, i))
            continue;
        if ((slot < 0 || !r->wanted->members[slot].voter) &&
            rnode_transfer(cluster_rnode(r->c, i), member_successor(r->wanted, self), NULL) == STATUS_OK)
            continue; /* else its successor must get its vote first */
        if (rnode_members_follow(cluster_rnode(r->c, i), r->wanted, self, &step, &err)) {
            sim_note(r->c->sim, "node %u: step %d of %" PRIu64 " %s", i, (int)step.act, step.node, err.text);
            r->counts->steps += err.status == STATUS_OK;
        }
    }
}

static void turn(struct run *r, int64_t span_us)
{
    sim_run(r->c->sim, span_us);
    chaos_restart_fatal(r->c);
    look_who_is_heard(r);
    follow(r);
}

/* Raft's list, as the leader has it, is the one that shall be. */
static bool settled(struct run *r)
{
    struct rnode_member list[2 * NODES_MAX];
    unsigned leader = cluster_leader(r->c);
    size_t count;

    if (leader == r->c->options.node_count)
        return false;
    count = rnode_members(cluster_rnode(r->c, leader), list, sizeof list / sizeof list[0]);
    if (count != state_member_count(r->wanted))
        return false;
    for (size_t i = 0; i < count; i++) {
        int slot = state_member_slot(r->wanted, list[i].id);

        if (slot < 0 || r->wanted->members[slot].voter != list[i].voter)
            return false;
    }
    return true;
}

static void note_lists(struct run *r)
{
    struct rnode_member list[2 * NODES_MAX];
    unsigned leader = cluster_leader(r->c);
    size_t count = 0;

    if (leader < r->c->options.node_count)
        count = rnode_members(cluster_rnode(r->c, leader), list, sizeof list / sizeof list[0]);
    for (size_t i = 0; i < count; i++)
        sim_note(r->c->sim, "node %u has in Raft's list: %" PRIu64 " %s", leader, list[i].id,
                 list[i].voter   ? "voter"
                 : list[i].spare ? "spare"
                                 : "standby");
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (r->wanted->members[i].id != 0)
            sim_note(r->c->sim, "shall be: %" PRIu64 "%s%s", r->wanted->members[i].id,
                     r->wanted->members[i].voter ? " voter" : "", r->wanted->members[i].heard ? " heard" : "");
}

static void settle(struct run *r)
{
    struct sim *s = r->c->sim;
    int64_t end_us = s->now_us + SETTLE_MAX_US;
    uint64_t before = r->c->acked_count;
    unsigned patience = IDLE_TURNS;

    chaos_end_faults(r->c);
    while (s->now_us < end_us && !s->failed && !(settled(r) && chaos_equal(r->c) && r->c->acked_count > before)) {
        turn(r, SETTLE_STEP_US);
        end_removed(r, 1000000);
        if (cluster_leader(r->c) < r->c->options.node_count && (r->c->acked_count == before || --patience == 0)) {
            (void)cluster_propose(r->c, cluster_leader(r->c));
            patience = IDLE_TURNS;
        }
    }
    if (!s->failed && r->c->acked_count == before)
        sim_fail(s, "no write is acknowledged after the faults have ended");
    if (!s->failed && !settled(r))
        note_lists(r);
    if (!s->failed && !settled(r))
        sim_fail(s, "the members of Raft are not those that shall be");
    if (!s->failed)
        cluster_check_converged(r->c);
}

void member_chaos_run(struct cluster *c, const struct chaos_options *options, struct member_chaos_counts *counts)
{
    struct run r = { .c = c, .wanted = calloc(1, sizeof(struct state)), .counts = counts };
    struct sim *s = c->sim;
    int64_t end_us = s->now_us + options->span_us;
    uint64_t acked = 0;
    int64_t next_fault_us = s->now_us, next_wish_us = s->now_us + WISH_EVERY_MAX_US;

    ASSERT(r.wanted != NULL && c->options.node_count <= NODES_MAX);
    state_init(r.wanted);
    r.wanted->cluster_id = 1;
    r.wanted->next_member_id = c->options.node_count + 1;
    for (unsigned i = 0; i < c->options.first_count; i++)
        member_put(&r, i, cluster_id_of(c, i));
    while (s->now_us < end_us && !s->failed) {
        turn(&r, options->write_every_us);
        chaos_write(c);
        end_removed(&r, 5000);
        if (s->now_us >= next_fault_us) {
            chaos_fault(c, options);
            next_fault_us = s->now_us + sim_between(s, 0, 2 * WISH_EVERY_MAX_US);
        }
        if (s->now_us >= next_wish_us && c->acked_count > acked) { /* a wish is an entry: it needs a majority */
            look_who_is_heard(&r);
            wish(&r);
            acked = c->acked_count;
            next_wish_us = s->now_us + sim_between(s, 0, WISH_EVERY_MAX_US);
        }
    }
    settle(&r);
    free(r.wanted);
}
