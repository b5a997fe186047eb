#include "core/membership.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/text.h"

static const struct {
    const char *word;
    bool overridable;
} gates[MEMBER_GATE_COUNT] = {
#define GATE_ROW(name, word, override) [name] = { word, override },
    MEMBER_GATE_LIST(GATE_ROW)
#undef GATE_ROW
};

const char *member_gate_word(enum member_gate gate)
{
    return (unsigned)gate < MEMBER_GATE_COUNT ? gates[gate].word : "no_gate";
}

bool member_gate_overridable(enum member_gate gate)
{
    return (unsigned)gate < MEMBER_GATE_COUNT && gates[gate].overridable;
}

enum member_gate member_gate_from_word(const char *word)
{
    for (int g = 0; g < MEMBER_GATE_COUNT; g++)
        if (text_equal(gates[g].word, word))
            return (enum member_gate)g;
    return MEMBER_GATE_COUNT;
}

static unsigned majority(unsigned voters)
{
    return voters / 2 + 1;
}

static void count_voters(const struct state *s, node_id without, unsigned *voters, unsigned *heard)
{
    *voters = *heard = 0;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];

        if (m->id == 0 || m->id == without || !m->voter)
            continue;
        (*voters)++;
        *heard += m->heard;
    }
}

unsigned member_voter_count(const struct state *s)
{
    unsigned voters, heard;

    count_voters(s, 0, &voters, &heard);
    return voters;
}

/* The service whose lease this node holds and may still act on, or whose open step is assigned to it; SERVICE_NONE. */
static service_id busy_with(const struct state *s, node_id node)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct service *svc = &s->services[i];
        const struct operation *op = &svc->operation;

        if (!svc->present)
            continue;
        if (lease_runs(&svc->lease) && svc->lease.holder == node)
            return (service_id)i;
        for (unsigned r = 0; operation_active(op) && r < op->run_count; r++)
            if (op->runs[r].state == RUN_ASSIGNED && op->runs[r].node == node)
                return (service_id)i;
    }
    return SERVICE_NONE;
}

uint32_t member_gates_check(const struct state *s, node_id node, bool leaves, uint32_t overrides)
{
    int slot = state_member_slot(s, node);
    unsigned voters, heard;
    uint32_t no = 0;

    if (slot < 0)
        return 0;
    if (s->members[slot].voter) {
        count_voters(s, node, &voters, &heard);
        no |= heard < majority(voters) ? 1u << MEMBER_GATE_QUORUM : 0;
        no |= voters < 2 ? 1u << MEMBER_GATE_VOTERS : 0;
    }
    if (leaves && busy_with(s, node) != SERVICE_NONE)
        no |= 1u << MEMBER_GATE_LEASE;
    for (int g = 0; g < MEMBER_GATE_COUNT; g++)
        if (member_gate_overridable((enum member_gate)g))
            no &= ~(overrides & 1u << g);
    return no;
}

void member_gate_reason(const struct state *s, node_id node, enum member_gate gate, char *out, size_t capacity_bytes)
{
    const char *name = state_node_name(s, node);
    service_id busy = busy_with(s, node);
    unsigned voters, heard;

    count_voters(s, node, &voters, &heard);
    switch (gate) {
    case MEMBER_GATE_QUORUM:
        text_set(
            out, capacity_bytes,
            "without %s there are %u voters, of which %u are heard and %u are needed: nothing could be decided any "
            "more; start the silent ones, or remove those first",
            name, voters, heard, majority(voters));
        return;
    case MEMBER_GATE_VOTERS:
        text_set(out, capacity_bytes, "without %s only %u voter remains: its loss would be the loss of the cluster",
                 name, voters);
        return;
    case MEMBER_GATE_LEASE:
        text_set(out, capacity_bytes,
                 "%s holds the lease of service %s, or runs a step for it: without it the primary refuses writes until "
                 "another node of its site has the lease",
                 name, busy != SERVICE_NONE ? s->services[busy].config.name : "none");
        return;
    case MEMBER_GATE_COUNT:
        break;
    }
    text_set(out, capacity_bytes, "no such gate");
}

bool member_removed(const struct state *s, node_id id)
{
    return s->cluster_id != 0 && id != 0 && id < s->next_member_id && state_member_slot(s, id) < 0;
}

static unsigned voters_at(const struct state *s, site_id site)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NODES_MAX; i++)
        count += s->members[i].id != 0 && s->members[i].voter && s->members[i].site == site;
    return count;
}

bool member_warning(const struct state *s, unsigned number, char *out, size_t capacity_bytes)
{
    unsigned voters = member_voter_count(s);

    if (voters == 0)
        return false;
    if (voters % 2 == 0 && number-- == 0) {
        text_set(out, capacity_bytes,
                 "%u voters survive the loss of no more nodes than %u would: coordctl members add or demote one",
                 voters, voters - 1);
        return true;
    }
    if (voters == 1 && number-- == 0) {
        text_set(out, capacity_bytes,
                 "the only voter's loss is the loss of the cluster: coordctl members add two more");
        return true;
    }
    for (unsigned i = 0; i < SITES_MAX && voters > 1; i++) {
        unsigned here = voters_at(s, (site_id)i);

        if (here < majority(voters) || number-- != 0)
            continue;
        text_set(
            out, capacity_bytes,
            "site %s has %u of %u voters: without that site nothing is decided; coordctl members add one elsewhere, "
            "or demote one there",
            s->sites[i].name, here, voters);
        return true;
    }
    return false;
}

static bool at_a_primary(const struct state *s, site_id site)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present && s->services[i].primary == site)
            return true;
    return false;
}

node_id member_successor(const struct state *s, node_id leader)
{
    node_id away = 0, any = 0;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];

        if (m->id == 0 || m->id == leader || !m->voter || !m->heard)
            continue;
        if (m->witness)
            return m->id;
        if (away == 0 && !at_a_primary(s, m->site))
            away = m->id;
        if (any == 0)
            any = m->id;
    }
    return away != 0 ? away : any;
}

/* --- Raft's own list --- */

static const struct raft_seat *seat_of(const struct raft_seat *seats, size_t count, node_id id)
{
    for (size_t i = 0; i < count; i++)
        if (seats[i].id == id)
            return &seats[i];
    return (const struct raft_seat *)0;
}

/* Of the seats that vote, but for one, a majority is heard. */
static bool majority_without(const struct raft_seat *seats, size_t count, node_id without)
{
    unsigned voters = 0, heard = 0;

    for (size_t i = 0; i < count; i++) {
        if (seats[i].kind != SEAT_VOTER || seats[i].id == without)
            continue;
        voters++;
        heard += seats[i].heard;
    }
    return heard >= majority(voters);
}

/* Those who shall not be there, or shall not vote: voters that are heard, or all others. */
static bool next_leaving(const struct state *s, node_id self, const struct raft_seat *seats, size_t count,
                         bool heard_voters, struct membership_step *out)
{
    for (size_t i = 0; i < count; i++) {
        int slot = state_member_slot(s, seats[i].id);
        bool votes = seats[i].kind == SEAT_VOTER;

        if (seats[i].id == self || (votes && seats[i].heard) != heard_voters ||
            (slot >= 0 && (!votes || s->members[slot].voter)) ||
            (votes && !majority_without(seats, count, seats[i].id)))
            continue;
        *out = (struct membership_step){ slot < 0 ? MEMBERSHIP_REMOVE : MEMBERSHIP_STANDBY, seats[i].id };
        return true;
    }
    return false;
}

static bool next_joining(const struct state *s, const struct raft_seat *seats, size_t count,
                         struct membership_step *out)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];
        const struct raft_seat *seat = seat_of(seats, count, m->id);
        enum membership_act act = MEMBERSHIP_SETTLED;

        if (m->id == 0)
            continue;
        if (seat == (const struct raft_seat *)0)
            act = count < NODES_MAX ? MEMBERSHIP_ADD : MEMBERSHIP_SETTLED; /* else one must leave first */
        else if (seat->kind == SEAT_SPARE)
            act = MEMBERSHIP_STANDBY;
        else if (seat->kind == SEAT_STANDBY && m->voter && m->heard && seat->heard)
            act = MEMBERSHIP_VOTER;
        if (act == MEMBERSHIP_SETTLED)
            continue;
        *out = (struct membership_step){ act, m->id };
        return true;
    }
    return false;
}

struct membership_step membership_next(const struct state *s, node_id self, const struct raft_seat *seats, size_t count)
{
    struct membership_step step = { MEMBERSHIP_SETTLED, 0 };

    if (s->cluster_id == 0 || next_leaving(s, self, seats, count, false, &step) ||
        next_joining(s, seats, count, &step) || next_leaving(s, self, seats, count, true, &step))
        return step;
    return step;
}
