/* Commands about the cluster, its configuration, and what nodes think: everything that moves no right to be primary. */
#include "core/fsm_internal.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/text.h"
#include "core/gates.h"

void fsm_cluster_init(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_cluster_init *in = &c->cluster_init;

    if (s->cluster_id != 0) {
        fsm_refuse(o, "the cluster is initialised");
        return;
    }
    if (in->cluster_id == 0) {
        fsm_refuse(o, "a cluster's id is not 0");
        return;
    }
    s->cluster_id = in->cluster_id;
    s->generation = 1;
    s->election_ms = in->election_ms;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        s->members[i] = in->members[i];
        s->members[i].voter = in->members[i].id != 0;
        s->members[i].heard = false;
        s->members[i].heard_index = 0;
        if (in->members[i].id >= s->next_member_id)
            s->next_member_id = in->members[i].id + 1;
    }
    for (unsigned i = 0; i < SITES_MAX; i++)
        s->sites[i] = in->sites[i];
    event_add(s, EVENT_CLUSTER, SERVICE_NONE, SITE_NONE, 0, "cluster of %u nodes initialised", state_member_count(s));
}

/* NULL when the service's configuration may be replaced by `next` (NULL: removed) now. */
static const char *change_refused(const struct service *svc, const struct service_config *next)
{
    if (operation_active(&svc->operation))
        return "an operation of it is active: finish or abort it first";
    if (next == (const struct service_config *)0)
        return lease_runs(&svc->lease)
                   ? "its lease has not run out: disarm it, stop its primary's coordinator, and wait for a ttl"
               : fsm_promises_may_run(svc)
                   ? "its primary may go on by promises: a coordinator at another of its sites must be heard first"
                   : (const char *)0;
    if (svc->primary != SITE_NONE && service_config_site(next, svc->primary) == (const struct site_config *)0)
        return "its primary's site is missing under sites";
    for (unsigned i = 0; i < svc->config.site_count && fsm_promises_may_run(svc); i++)
        if (service_config_site(next, svc->config.sites[i].site) == (const struct site_config *)0)
            return "its primary may go on by promises of a site that is missing under sites: the coordinator there "
                   "must be heard first";
    return (const char *)0;
}

static const struct service_config *config_by_name(const struct command_config_apply *in, const char *name)
{
    for (unsigned i = 0; i < in->service_count; i++)
        if (text_equal(in->services[i].name, name))
            return &in->services[i];
    return (const struct service_config *)0;
}

static bool config_sound(const struct state *s, const struct command_config_apply *in, struct outcome *o)
{
    struct raft_timing raft = { .heartbeat_ms = s->election_ms / 5, .election_ms = s->election_ms };

    for (unsigned i = 0; i < in->service_count; i++) {
        const struct service_config *config = &in->services[i];
        struct error err = ERROR_NONE;

        if (timing_check(&config->timing, &raft, &err) != STATUS_OK) {
            fsm_refuse(o, "service %s: %.110s", config->name, err.text);
            return false;
        }
        if (config->name[0] == '\0' || config->site_count == 0 || config->site_count > SITES_MAX ||
            config_by_name(in, config->name) != config) {
            fsm_refuse(o, "service number %u has no name, no sites, or the name of another", i + 1);
            return false;
        }
        for (unsigned j = 0; j < config->site_count; j++) {
            site_id site = config->sites[j].site;

            if (site >= SITES_MAX || s->sites[site].name[0] == '\0' ||
                service_config_site(config, site) != &config->sites[j]) {
                fsm_refuse(o, "service %s: its site number %u is not one of the cluster's, or stands there twice",
                           config->name, j + 1);
                return false;
            }
        }
        if (service_config_site(config, config->primary) == (const struct site_config *)0) {
            fsm_refuse(o, "service %s: primary is not one of its sites", config->name);
            return false;
        }
    }
    return true;
}

static bool config_allowed(const struct state *s, const struct command_config_apply *in, struct outcome *o)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct service *svc = &s->services[i];
        const struct service_config *next;
        const char *why;

        if (!svc->present)
            continue;
        next = config_by_name(in, svc->config.name);
        why = change_refused(svc, next);
        if (why != (const char *)0) {
            fsm_refuse(o, "service %s: %s", svc->config.name, why);
            return false;
        }
    }
    return true;
}

/* The entry from which on the deadline is, or is not, enforced. What was reported under the old setting no longer proves anything; the
 * nodes act on the new one after they have applied it. */
static void enforcement_switched(struct state *s, struct service *svc)
{
    svc->enforced_index = s->applied_index;
    svc->lease.enforcement.enforcing = false;
    certificate_void_all(&svc->proof);
}

/* What was thought of a site that is no longer one of the service's must not count when it is one again. */
static void forget_removed_sites(struct service *svc)
{
    for (unsigned i = 0; i < SITES_MAX; i++)
        if (service_config_site(&svc->config, (site_id)i) == (const struct site_config *)0)
            svc->views[i] = (struct site_view){ 0 };
}

void fsm_name_executor(struct state *s, struct site_view *view, node_id node)
{
    view->executor = node;
    view->executor_index = node != 0 ? s->applied_index : 0;
}

static void add_service(struct state *s, const struct service_config *config)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        struct service *svc = &s->services[i];

        if (svc->present)
            continue;
        *svc = (struct service){ .present = true, .config = *config, .primary = SITE_NONE };
        for (unsigned j = 0; j < config->site_count; j++)
            fsm_name_executor(s, &svc->views[config->sites[j].site], state_site_node(s, config->sites[j].site));
        return;
    }
}

void fsm_config_apply(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_config_apply *in = &c->config_apply;

    if (in->base_version != 0 && in->base_version != s->config_version) {
        fsm_refuse(o,
                   "the configuration is at version %" PRIu64 ", yours starts from %" PRIu64
                   ": run coordctl diff and apply again",
                   s->config_version, in->base_version);
        return;
    }
    if (!config_sound(s, in, o) || !config_allowed(s, in, o))
        return;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        struct service *svc = &s->services[i];
        const struct service_config *next;
        bool enforced;

        if (!svc->present)
            continue;
        next = config_by_name(in, svc->config.name);
        if (next == (const struct service_config *)0) {
            event_add(s, EVENT_CONFIG, (service_id)i, SITE_NONE, 0, "service %s removed", svc->config.name);
            *svc = (struct service){ .primary = SITE_NONE };
            continue;
        }
        enforced = service_enforced(svc);
        svc->config = *next;
        if (enforced != service_enforced(svc))
            enforcement_switched(s, svc);
        forget_removed_sites(svc);
        for (unsigned j = 0; j < next->site_count; j++)
            if (svc->views[next->sites[j].site].executor == 0)
                fsm_name_executor(s, &svc->views[next->sites[j].site], state_site_node(s, next->sites[j].site));
    }
    for (unsigned i = 0; i < in->service_count; i++)
        if (state_service(s, in->services[i].name) == SERVICE_NONE)
            add_service(s, &in->services[i]);
    o->value = ++s->config_version;
    event_add(s, EVENT_CONFIG, SERVICE_NONE, SITE_NONE, 0,
              "configuration version %" PRIu64 " applied by %s: %u services", s->config_version, c->who,
              in->service_count);
}

void fsm_service_set(struct state *s, const struct command *c, struct outcome *o)
{
    static const char *const words[SERVICE_CHANGE_COUNT] = { "armed", "disarmed", "paused", "resumed" };
    const struct command_service_set *in = &c->service_set;
    struct service *svc = fsm_service(s, in->service, o);
    bool armed, paused, enforced;

    if (svc == (struct service *)0)
        return;
    armed = in->change == SERVICE_ARM || (svc->armed && in->change != SERVICE_DISARM);
    paused = in->change == SERVICE_PAUSE || (svc->paused && in->change != SERVICE_RESUME);
    if (armed == svc->armed && paused == svc->paused)
        return; /* it is so already, and that is success */
    if (svc->operation.state == OPERATION_RUNNING) {
        fsm_refuse(o, "operation %" PRIu64 " is active: coordctl abort it first", svc->operation.id);
        return;
    }
    if (svc->operation.state == OPERATION_UNDOING) {
        fsm_refuse(o, "operation %" PRIu64 " is being undone: wait, or coordctl skip its reconnect", svc->operation.id);
        return;
    }
    enforced = service_enforced(svc);
    svc->armed = armed;
    svc->paused = paused;
    if (enforced != service_enforced(svc))
        enforcement_switched(s, svc);
    event_add(s, EVENT_SERVICE, in->service, SITE_NONE, 0, "%s %s by %s", svc->config.name, words[in->change], c->who);
}

/* A node that starts from a snapshot sees an old state first. It acts on nothing before it has applied this entry of its own, which is behind
 * everything that was ever acknowledged to it. */
void fsm_node_started(struct state *s, const struct command *c, struct outcome *o)
{
    int slot = state_member_slot(s, c->node_started.node);

    if (slot < 0) {
        fsm_refuse(o, "node %" PRIu64 " is no member", c->node_started.node);
        return;
    }
    if (c->node_started.version < s->cluster_version) {
        fsm_refuse(o, "node %s reads up to cluster version %u, and the cluster is at %u: install the newer coordd",
                   s->members[slot].name, c->node_started.version, s->cluster_version);
        return;
    }
    s->members[slot].version = c->node_started.version;
    o->value = s->applied_index;
    event_add(s, EVENT_NODE, SERVICE_NONE, s->members[slot].site, 0, "node %s has started", s->members[slot].name);
}

void fsm_cluster_version(struct state *s, const struct command *c, struct outcome *o)
{
    uint8_t version = c->cluster_version.version;

    if (version <= s->cluster_version || version > state_common_version(s)) {
        fsm_refuse(o, "the cluster is at version %u, and every member reads up to %u", s->cluster_version,
                   state_common_version(s));
        return;
    }
    s->cluster_version = version;
    event_add(s, EVENT_NODE, SERVICE_NONE, SITE_NONE, 0,
              "every node runs a coordd of cluster version %u: older ones can no longer be started", version);
}

/* What a silent node's server receives is not known: when the node is heard again, it says so anew. */
static void forget_streaming(struct state *s, unsigned slot)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        for (unsigned site = 0; site < SITES_MAX; site++)
            s->services[i].views[site].opinions[slot].streaming = false;
}

/* No leader of a later term forgets it, so that handing over does not end the grace of a site that is slow to come back. */
void fsm_quorum_back(struct state *s, const struct command *c, struct outcome *o)
{
    if (c->quorum_back.term <= s->quorum_term) {
        fsm_refuse(o, "a leader of term %" PRIu64 " has said so", s->quorum_term);
        return;
    }
    s->quorum_term = c->quorum_back.term;
    s->quorum_index = s->applied_index;
    s->quorum_ms = s->now_ms;
    event_add(s, EVENT_CLUSTER, SERVICE_NONE, SITE_NONE, 0,
              "a quorum is there: a site that is not heard from now on is given %d min before it is called down",
              BOOT_GRACE_MIN);
}

void fsm_node_heard(struct state *s, const struct command *c, struct outcome *o)
{
    int slot = state_member_slot(s, c->node_heard.node);
    struct member *m;

    if (slot < 0) {
        fsm_refuse(o, "node %" PRIu64 " is no member", c->node_heard.node);
        return;
    }
    m = &s->members[slot];
    if (m->heard == c->node_heard.heard && (!m->heard || m->heard_index > s->quorum_index))
        return;
    m->heard = c->node_heard.heard;
    if (!m->heard)
        forget_streaming(s, (unsigned)slot);
    if (m->heard || m->heard_index > s->quorum_index) /* silence is no sign of life */
        m->heard_index = s->applied_index;
    event_add(s, EVENT_NODE, SERVICE_NONE, m->site, 0, "node %s at %s is %s", m->name, state_site_name(s, m->site),
              m->heard ? "heard" : "silent");
}

void fsm_opinion(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_opinion *in = &c->opinion;
    struct service *svc = fsm_service(s, in->service, o);
    int slot = state_member_slot(s, in->node);
    struct opinion *known;

    if (svc == (struct service *)0)
        return;
    if (slot < 0 || in->site >= SITES_MAX ||
        service_config_site(&svc->config, in->site) == (const struct site_config *)0) {
        fsm_refuse(o, "node %" PRIu64 " or site %u is not known here", in->node, in->site);
        return;
    }
    known = &svc->views[in->site].opinions[slot];
    if (known->word != in->opinion.word || known->kinds_failed != in->opinion.kinds_failed) {
        char kinds[80];

        evidence_text(in->opinion.kinds_failed, kinds, sizeof kinds);
        event_add(s, EVENT_OPINION, in->service, in->site, 0, "node %s says %s of %s is %s (was %s)%s%s",
                  state_node_name(s, in->node), svc->config.name, state_site_name(s, in->site),
                  opinion_word(in->opinion.word), opinion_word(known->word), kinds[0] != '\0' ? "; failed: " : "",
                  kinds);
    }
    *known = in->opinion;
}

void fsm_executor_set(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_executor_set *in = &c->executor_set;
    struct service *svc = fsm_service(s, in->service, o);
    int slot = state_member_slot(s, in->node);

    if (svc == (struct service *)0)
        return;
    if (slot < 0 || in->site >= SITES_MAX || s->members[slot].site != in->site) {
        fsm_refuse(o, "node %" PRIu64 " is no member at site %u", in->node, in->site);
        return;
    }
    if (lease_runs(&svc->lease) && svc->lease.site == in->site) {
        fsm_refuse(o, "the lease has not run out: its holder stays the executor");
        return;
    }
    if (operation_binds_executor(&svc->operation, in->site)) {
        fsm_refuse(o, "a step is open at the site, or was done on its executor's host");
        return;
    }
    fsm_name_executor(s, &svc->views[in->site], in->node);
    event_add(s, EVENT_NODE, in->service, in->site, 0, "node %s is the executor of %s at %s",
              state_node_name(s, in->node), svc->config.name, state_site_name(s, in->site));
}

void fsm_gates_noted(struct state *s, const struct command *c, struct outcome *o)
{
    const struct command_gates_noted *in = &c->gates_noted;
    struct service *svc = fsm_service(s, in->service, o);
    uint32_t fresh;

    if (svc == (struct service *)0 || in->gates == svc->gates_noted)
        return;
    fresh = in->gates & ~svc->gates_noted;
    for (int g = 0; g < GATE_COUNT; g++) {
        char why[GATE_TEXT_MAX_BYTES];

        if (((fresh >> g) & 1u) == 0)
            continue;
        gate_reason(s, in->service, in->target, (enum gate)g, s->now_ms, why, sizeof why);
        event_add(s, EVENT_GATE, in->service, in->target, 0, "%s is not moved to %s: gate %s: %.110s", svc->config.name,
                  state_site_name(s, in->target), gate_word((enum gate)g), why);
    }
    if (in->gates == 0)
        event_add(s, EVENT_GATE, in->service, in->target, 0, "%s: no gate stands in the way any more",
                  svc->config.name);
    svc->gates_noted = in->gates;
    svc->gates_noted_ms = s->now_ms;
}
