/* Commands about who belongs to the cluster. They change the state's list only; the leader carries it over to Raft (core/membership.h). */
#include "core/fsm_internal.h"

#include <inttypes.h>

#include "base/text.h"
#include "core/membership.h"

/* How long a person's wish who shall lead stands against the cluster's own preference, in display time. */
#define LEAD_WANTED_MS INT64_C(600000)
/* More grants than the lost part of a log can have had: an epoch of the new generation is above all of the old one. */
#define GENERATION_EPOCHS 1000000u

static bool operation_names(const struct operation *op, site_id site)
{
    return op->id != 0 && (op->from == site || op->to == site);
}

/* Neither a member, nor a service, nor a report knows it: its place may be given to another name. */
static bool site_unused(const struct state *s, site_id site)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].id != 0 && s->members[i].site == site)
            return false;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct service *svc = &s->services[i];

        if (svc->present && (svc->primary == site || operation_names(&svc->operation, site) ||
                             service_config_site(&svc->config, site) != (const struct site_config *)0))
            return false;
    }
    for (unsigned i = 0; i < INCIDENTS_MAX; i++)
        if (operation_names(&s->incidents[i], site))
            return false;
    return true;
}

/* The site of that name, or a place for it, or SITE_NONE. */
static site_id site_for(const struct state *s, const char *name)
{
    site_id site = state_site(s, name);

    for (unsigned i = 0; i < SITES_MAX && site == SITE_NONE; i++)
        if (s->sites[i].name[0] == '\0')
            site = (site_id)i;
    for (unsigned i = 0; i < SITES_MAX && site == SITE_NONE; i++)
        if (site_unused(s, (site_id)i))
            site = (site_id)i;
    return site;
}

static struct member *free_member(struct state *s)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].id == 0)
            return &s->members[i];
    return (struct member *)0;
}

static bool add_refused(const struct state *s, const struct command_member_add *in, struct outcome *o)
{
    if (s->cluster_id == 0 || in->name[0] == '\0' || in->address[0] == '\0' || in->site[0] == '\0') {
        fsm_refuse(o, "a member needs a cluster, a name, an address and a site");
        return true;
    }
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];

        if (m->id == 0 || (!text_equal(m->name, in->name) && !text_equal(m->address, in->address)))
            continue;
        fsm_refuse(o, "node %s (id %" PRIu64 ", %s) has that name or address: coordctl members remove %s first",
                   m->name, m->id, m->address, m->name);
        return true;
    }
    return false;
}

void fsm_member_add(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_member_add *in = &c->member_add;
    struct member *m = free_member(s);
    site_id site;

    if (add_refused(s, in, o))
        return;
    if (m == (struct member *)0) {
        fsm_refuse(o, "the cluster has %d members, which is the most: remove one first", NODES_MAX);
        return;
    }
    site = site_for(s, in->site);
    if (site == SITE_NONE) {
        fsm_refuse(o, "the cluster has %d sites, which is the most, and %s is none of them", SITES_MAX, in->site);
        return;
    }
    text_set(s->sites[site].name, NAME_MAX_BYTES, "%s", in->site);
    *m = (struct member){ .id = s->next_member_id++, .site = site, .witness = in->witness, .voter = in->voter };
    text_set(m->name, sizeof m->name, "%s", in->name);
    text_set(m->address, sizeof m->address, "%s", in->address);
    o->value = m->id;
    event_add(s, EVENT_NODE, SERVICE_NONE, site, 0, "node %s (id %" PRIu64 ", %s) at %s added %s a vote by %s", m->name,
              m->id, m->address, in->site, m->voter ? "with" : "without", c->who);
}

/* Nothing that was known of it, or was its business, is left for the one that gets its place. */
static void forget(struct state *s, unsigned slot)
{
    node_id node = s->members[slot].id;

    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned j = 0; s->services[i].present && j < SITES_MAX; j++) {
            struct site_view *view = &s->services[i].views[j];

            view->opinions[slot] = (struct opinion){ 0 };
            if (view->executor == node)
                fsm_name_executor(s, view, 0); /* the leader names the site's next one */
        }
    s->members[slot] = (struct member){ 0 };
    if (s->lead_wanted == node)
        s->lead_wanted = 0;
}

static bool change_refused(const struct state *s, const struct command_member_change *in, bool leaves,
                           struct outcome *o)
{
    uint32_t no = member_gates_check(s, in->node, leaves, in->overrides);

    for (int g = 0; g < MEMBER_GATE_COUNT; g++) {
        char why[MEMBER_GATE_TEXT_MAX_BYTES];

        if (((no >> g) & 1u) == 0)
            continue;
        member_gate_reason(s, in->node, (enum member_gate)g, why, sizeof why);
        fsm_refuse(o, "gate %s: %s", member_gate_word((enum member_gate)g), why);
        return true;
    }
    return false;
}

static void note_overrides(struct state *s, const struct command *c, const struct command_member_change *in,
                           const char *name)
{
    for (int g = 0; g < MEMBER_GATE_COUNT; g++)
        if (((in->overrides >> g) & 1u) != 0)
            event_add(s, EVENT_ALARM, SERVICE_NONE, SITE_NONE, 0, "gate %s overridden for node %s by %s: %.80s",
                      member_gate_word((enum member_gate)g), name, c->who, in->reason);
}

void fsm_member_remove(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_member_change *in = &c->member_remove;
    int slot = state_member_slot(s, in->node);
    char name[NAME_MAX_BYTES];

    if (slot < 0) {
        fsm_refuse(o, "node %" PRIu64 " is no member", in->node);
        return;
    }
    if (change_refused(s, in, true, o))
        return;
    text_set(name, sizeof name, "%s", s->members[slot].name);
    note_overrides(s, c, in, name);
    event_add(s, EVENT_NODE, SERVICE_NONE, s->members[slot].site, 0, "node %s (id %" PRIu64 ") removed by %s", name,
              in->node, c->who);
    forget(s, (unsigned)slot);
}

void fsm_member_set(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_member_change *in = &c->member_set;
    int slot = state_member_slot(s, in->node);
    struct member *m;

    if (slot < 0) {
        fsm_refuse(o, "node %" PRIu64 " is no member", in->node);
        return;
    }
    m = &s->members[slot];
    if (m->voter == in->voter)
        return; /* it is so already, and that is success */
    if (!in->voter && change_refused(s, in, false, o))
        return;
    note_overrides(s, c, in, m->name);
    m->voter = in->voter;
    if (!m->voter && s->lead_wanted == m->id)
        s->lead_wanted = 0;
    event_add(s, EVENT_NODE, SERVICE_NONE, m->site, 0, "node %s %s by %s", m->name,
              m->voter ? "gets a vote as soon as it is heard and has caught up," : "loses its vote,", c->who);
}

void fsm_lead(struct state *s, const struct command *c, struct outcome *o)
{
    int slot = state_member_slot(s, c->lead.node);

    if (slot < 0 || !s->members[slot].voter || !s->members[slot].heard) {
        fsm_refuse(o, "node %s is %s: it cannot lead", state_node_name(s, c->lead.node),
                   slot < 0                  ? "no member"
                   : !s->members[slot].voter ? "a member without vote"
                                             : "not heard");
        return;
    }
    s->lead_wanted = c->lead.node;
    s->lead_wanted_ms = s->now_ms + LEAD_WANTED_MS;
    o->value = (uint64_t)LEAD_WANTED_MS;
    event_add(s, EVENT_NODE, SERVICE_NONE, s->members[slot].site, 0,
              "node %s shall lead for %" PRId64 " minutes, says %s", s->members[slot].name, LEAD_WANTED_MS / 60000,
              c->who);
}

/* What the lost majority may have decided after this log's end is not known here. So no right of before is renewed, and no proof of before
 * counts; an end of a lease that nobody here renewed proves nothing about who holds another one. Grants of this generation are above all
 * that can have been given. */
static void void_rights(struct state *s)
{
    s->epoch_counter += GENERATION_EPOCHS;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        struct service *svc = &s->services[i];

        if (!svc->present)
            continue;
        lease_void(&svc->lease, s->applied_index, svc->config.timing.ttl_ms);
        certificate_void_all(&svc->proof);
    }
}

void fsm_recover(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_recover *in = &c->recover;
    int kept = state_member_slot(s, in->node);

    if (kept < 0 || in->generation <= s->generation) {
        fsm_refuse(o, "generation %" PRIu64 " has begun, or node %" PRIu64 " is no member", s->generation, in->node);
        return;
    }
    event_add(s, EVENT_ALARM, SERVICE_NONE, SITE_NONE, 0,
              "generation %" PRIu64 " begins with node %s alone: a forced recovery by %s: %.80s", in->generation,
              s->members[kept].name, c->who, in->reason);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (s->members[i].id == 0 || (int)i == kept)
            continue;
        event_add(s, EVENT_NODE, SERVICE_NONE, s->members[i].site, 0,
                  "node %s (id %" PRIu64 ") removed by the recovery: add it under a new id", s->members[i].name,
                  s->members[i].id);
        forget(s, i);
    }
    s->members[kept].voter = true;
    s->generation = in->generation;
    s->generation_index = s->applied_index;
    void_rights(s);
    o->value = s->generation;
}
