/* What this node has applied, as docs/openapi.yaml names it. No decision: every word comes from the core. */
#include "api/api_internal.h"

#include "base/text.h"
#include "core/gates.h"
#include "core/plan.h"
#include "io/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHY_EVENTS_MAX 60

static void put_ms(struct json_t *object, const char *key, int64_t ms)
{
    if (ms == 0)
        json_put(object, key, NULL);
    else
        json_put_int(object, key, ms);
}

static void put_site(struct json_t *object, const char *key, const struct state *s, site_id site)
{
    json_put_text(object, key, site == SITE_NONE ? NULL : state_site_name(s, site));
}

static void put_node(struct json_t *object, const char *key, const struct state *s, node_id node)
{
    json_put_text(object, key, node == 0 ? NULL : state_node_name(s, node));
}

struct json_t *api_view_event(const struct state *s, const struct event *event)
{
    struct json_t *o = json_make_object();

    json_put_int(o, "number", (int64_t)event->number);
    json_put_int(o, "index", (int64_t)event->index);
    json_put_int(o, "at_ms", event->at_ms);
    json_put_text(o, "event", event_kind_word(event->kind));
    json_put_text(o, "service",
                  event->service < SERVICES_MAX && s->services[event->service].present
                      ? s->services[event->service].config.name
                      : NULL);
    put_site(o, "site", s, event->site);
    if (event->operation != 0)
        json_put_int(o, "operation", (int64_t)event->operation);
    else
        json_put(o, "operation", NULL);
    json_put_text(o, "text", event->text);
    return o;
}

static struct json_t *view_run(const struct state *s, const struct step_run *run)
{
    struct json_t *o = json_make_object();

    json_put_text(o, "step", step_word(run->step));
    put_site(o, "site", s, run->site);
    json_put_text(o, "state", run_state_word(run->state));
    put_node(o, "node", s, run->node);
    json_put_int(o, "attempt", run->attempt);
    put_ms(o, "started_ms", run->assigned_ms);
    put_ms(o, "ended_ms", run_ended(run) ? run->ended_ms : 0);
    json_put_text(o, "detail", run->detail);
    if (run->position.known)
        json_put_format(o, "position", "%" PRIX32 "/%" PRIX32 " timeline %" PRIu32, (uint32_t)(run->position.lsn >> 32),
                        (uint32_t)run->position.lsn, run->position.timeline);
    else
        json_put(o, "position", NULL);
    return o;
}

struct json_t *api_view_operation(const struct state *s, const struct operation *op, bool with_steps)
{
    struct json_t *o = json_make_object(), *list = json_make_array();
    struct plan_wait wait;

    json_put_int(o, "id", (int64_t)op->id);
    json_put_text(o, "kind", operation_kind_word(op->kind));
    json_put_text(o, "service",
                  op->service < SERVICES_MAX && s->services[op->service].present ? s->services[op->service].config.name
                                                                                 : NULL);
    put_site(o, "from", s, op->from);
    put_site(o, "to", s, op->to);
    json_put_text(o, "state", operation_state_word(op->state));
    json_put_bool(o, "past_no_return", op->new_epoch != 0);
    json_put_int(o, "old_epoch", (int64_t)op->old_epoch);
    json_put_int(o, "new_epoch", (int64_t)op->new_epoch);
    json_put_text(o, "certificate", op->new_epoch != 0 ? certificate_kind_word(op->certificate) : NULL);
    put_ms(o, "detected_ms", op->detected_ms);
    json_put_int(o, "started_ms", op->started_ms);
    put_ms(o, "certified_ms", op->certified_ms);
    put_ms(o, "promoted_ms", op->promoted_ms);
    put_ms(o, "ended_ms", op->ended_ms);
    json_put_text(o, "by", op->kind == OPERATION_FAILOVER ? "automatic" : op->who);
    json_put_text(o, "reason", op->reason);
    for (int g = 0; g < GATE_COUNT; g++)
        if (((op->overrides >> g) & 1u) != 0)
            json_append_text(list, gate_word((enum gate)g));
    json_put(o, "overrides", list);
    plan_wait(s, op, &wait);
    json_put_text(o, "waits_for", wait.what[0] != '\0' ? wait.what : NULL);
    json_put_text(o, "way_out", wait.way_out[0] != '\0' ? wait.way_out : NULL);
    list = json_make_array();
    for (unsigned i = 0; with_steps && i < op->run_count; i++)
        json_append(list, view_run(s, &op->runs[i]));
    json_put(o, "steps", list);
    return o;
}

struct json_t *api_view_gates(const struct state *s, service_id service, site_id target, enum operation_kind kind,
                              uint32_t overrides, int64_t now_ms)
{
    struct json_t *list = json_make_array();
    uint32_t no = gates_check(s, service, target, kind, overrides, now_ms);
    char reason[GATE_TEXT_MAX_BYTES];

    for (int g = 0; g < GATE_COUNT; g++) {
        struct json_t *o = json_make_object();
        bool passed = ((no >> g) & 1u) == 0;

        json_put_text(o, "gate", gate_word((enum gate)g));
        json_put_bool(o, "passed", passed);
        if (passed) /* gate_reason puts a no into words; a yes needs none */
            text_set(reason, sizeof reason, "%s", ((overrides >> g) & 1u) != 0 ? "overridden" : "");
        else
            gate_reason(s, service, target, (enum gate)g, now_ms, reason, sizeof reason);
        json_put_text(o, "reason", reason);
        json_put_bool(o, "override", gate_overridable((enum gate)g));
        json_append(list, o);
    }
    return list;
}

static void kinds_text(uint8_t kinds, char *out, size_t capacity)
{
    out[0] = '\0';
    for (unsigned k = 0; k < EVIDENCE_KIND_COUNT; k++)
        if ((((unsigned)kinds >> k) & 1u) != 0)
            text_add(out, capacity, "%s%s", out[0] != '\0' ? "," : "", evidence_kind_word((enum evidence_kind)k));
}

/* "b1 failed(database,path); c1 failed(database,path)" */
static void evidence_of(const struct state *s, const struct site_view *view, char *out, size_t capacity)
{
    char kinds[80];

    out[0] = '\0';
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct opinion *opinion = &view->opinions[i];
        if (s->members[i].id == 0)
            continue;
        text_add(out, capacity, "%s%s ", out[0] != '\0' ? "; " : "", s->members[i].name);
        if (!s->members[i].heard) {
            text_add(out, capacity, "silent");
            continue;
        }
        kinds_text(opinion->kinds_failed, kinds, sizeof kinds);
        text_add(out, capacity, "%s", opinion_word(opinion->word));
        if (kinds[0] != '\0')
            text_add(out, capacity, "(%s)", kinds);
    }
}

static struct json_t *view_site(const struct state *s, const struct service *svc, const struct site_config *config)
{
    const struct site_view *view = &svc->views[config->site];
    int slot = state_member_slot(s, view->executor);
    const struct opinion *own = slot >= 0 ? &view->opinions[slot] : NULL;
    struct json_t *o = json_make_object();
    char text[400];

    put_site(o, "site", s, config->site);
    if (svc->primary == config->site)
        json_put_text(o, "role", "primary");
    else if (own == NULL || own->role == ROLE_UNKNOWN)
        json_put_text(o, "role", "unknown");
    else
        json_put_text(o, "role", own->role == ROLE_STANDBY ? "standby" : "old"); /* writable, without the right to be */
    json_put_text(o, "verdict", verdict_word(view->verdict));
    put_ms(o, "verdict_ms", view->verdict_ms);
    evidence_of(s, view, text, sizeof text);
    json_put_text(o, "evidence", text);
    put_node(o, "executor", s, view->executor);
    json_put_text(o, "address", config->publish_address[0] != '\0' ? config->publish_address : NULL);
    json_put_format(o, "postgres", "%s:%u", config->host, (unsigned)config->port);
    json_put_bool(o, "ready", own != NULL && own->ready);
    json_put_bool(o, "streaming", own != NULL && own->streaming);
    return o;
}

static struct json_t *view_lease(const struct state *s, const struct lease *lease)
{
    struct json_t *o = json_make_object();

    json_put_text(o, "state", lease_state_word(lease->state));
    put_site(o, "site", s, lease->state == LEASE_NONE ? SITE_NONE : lease->site);
    put_node(o, "holder", s, lease->state == LEASE_NONE ? 0 : lease->holder);
    json_put_int(o, "epoch", (int64_t)lease->epoch);
    json_put_int(o, "ttl_ms", lease->ttl_ms);
    json_put_int(o, "renewed_index", (int64_t)lease->renewed_index);
    json_put_text(o, "enforcement", lease->enforcement.enforcing ? "lease_guard" : "none");
    return o;
}

static struct json_t *view_certificate(const struct state *s, const struct service *svc)
{
    enum certificate_kind kind;
    struct json_t *o;

    if (!certificate_any(&svc->proof, &svc->lease, &kind))
        return NULL;
    o = json_make_object();
    json_put_text(o, "kind", certificate_kind_word(kind));
    put_site(o, "site", s, svc->lease.site);
    json_put_int(o, "epoch", (int64_t)svc->lease.epoch);
    return o;
}

void api_promises_of(const struct api *api, service_id service, struct api_promises *out)
{
    memset(out, 0, sizeof *out);
    if (api->hooks.promises != NULL)
        api->hooks.promises(api->hooks.ctx, service, out);
}

static struct json_t *view_promises(const struct api_promises *promises)
{
    static const char *const words[] = { "nothing", "serving", "closed", "given" };
    struct json_t *o;

    if (promises->what == API_PROMISED_NOTHING)
        return NULL;
    o = json_make_object();
    json_put_text(o, "what", words[promises->what]);
    json_put_int(o, "ms", promises->ms);
    json_put_text(o, "nodes", promises->nodes);
    json_put_text(o, "missing", promises->missing);
    return o;
}

static void put_judgement(struct json_t *o, const struct api_judgement *judgement)
{
    json_put_text(o, "health", api_health_word(judgement->health));
    json_put_text(o, "summary", judgement->summary[0] != '\0' ? judgement->summary : NULL);
    json_put_text(o, "way_out", judgement->way_out[0] != '\0' ? judgement->way_out : NULL);
}

struct json_t *api_view_service(const struct api *api, service_id service, int64_t now_ms)
{
    const struct state *s = api_state(api);
    const struct service *svc = &s->services[service];
    struct json_t *o = json_make_object(), *sites = json_make_array();
    struct api_promises promises;
    struct api_judgement judgement;

    json_put_text(o, "name", svc->config.name);
    json_put_text(o, "mode", mode_word(svc->config.mode));
    json_put_text(o, "profile", timing_profile_word(svc->config.profile));
    json_put_bool(o, "armed", svc->armed);
    json_put_bool(o, "paused", svc->paused);
    json_put_int(o, "epoch", (int64_t)svc->lease.epoch);
    put_site(o, "primary", s, svc->primary);
    json_put(o, "lease", view_lease(s, &svc->lease));
    json_put(o, "certificate", view_certificate(s, svc));
    for (unsigned i = 0; i < svc->config.site_count; i++)
        json_append(sites, view_site(s, svc, &svc->config.sites[i]));
    json_put(o, "sites", sites);
    json_put(o, "operation", operation_active(&svc->operation) ? api_view_operation(s, &svc->operation, true) : NULL);
    api_promises_of(api, service, &promises);
    json_put(o, "promises", view_promises(&promises));
    api_judge(s, service, &promises, now_ms, &judgement);
    put_judgement(o, &judgement);
    return o;
}

struct json_t *api_view_why(const struct api *api, service_id service, int64_t now_ms)
{
    const struct state *s = api_state(api);
    const struct service *svc = &s->services[service];
    struct json_t *o = json_make_object(), *lines = json_make_array();
    site_id target = api_likely_target(s, service, now_ms);
    struct api_promises promises;
    struct api_judgement judgement;
    uint64_t first = 1, found = 0;

    api_promises_of(api, service, &promises);
    api_judge(s, service, &promises, now_ms, &judgement);
    json_put_text(o, "service", svc->config.name);
    json_put_text(o, "summary", judgement.summary);
    json_put_text(o, "way_out", judgement.way_out[0] != '\0' ? judgement.way_out : NULL);
    put_site(o, "target", s, target);
    json_put(o, "gates",
             target != SITE_NONE ? api_view_gates(s, service, target, OPERATION_FAILOVER, 0, now_ms)
                                 : json_make_array());
    /* The last ones of this service, and what was said of nodes: a silent node is evidence for every service. */
    for (uint64_t n = s->events.last_number; n >= 1 && found < WHY_EVENTS_MAX; n--) {
        const struct event *event = event_get(s, n);
        if (event == NULL)
            break;
        first = n;
        found += event->service == service || event->service == SERVICE_NONE ? 1 : 0;
    }
    for (uint64_t n = first; n <= s->events.last_number; n++) {
        const struct event *event = event_get(s, n);
        if (event != NULL && (event->service == service || event->service == SERVICE_NONE))
            json_append(lines, api_view_event(s, event));
    }
    json_put(o, "lines", lines);
    return o;
}

/* The leader hears them; without one, what it said last says nothing about now. */
void api_put_heard(struct json_t *o, const struct member *m, const struct api_node *node)
{
    if (node->leader == 0)
        json_put(o, "heard", NULL);
    else
        json_put_bool(o, "heard", m->heard);
}

static struct json_t *view_cluster(const struct state *s, const struct api_node *node)
{
    struct json_t *o = json_make_object(), *nodes = json_make_array();

    if (node->leader != 0 && state_member_slot(s, node->leader) < 0) /* before the cluster's first entry */
        json_put_format(o, "leader", "node %" PRIu64, node->leader);
    else
        put_node(o, "leader", s, node->leader);
    json_put_int(o, "term", (int64_t)node->term);
    json_put_int(o, "applied_index", (int64_t)s->applied_index);
    json_put_int(o, "config_version", (int64_t)s->config_version);
    json_put_int(o, "version", s->cluster_version);
    json_put(o, "warnings", api_view_warnings(s));
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *member = &s->members[i];
        struct json_t *n;
        if (member->id == 0)
            continue;
        n = json_make_object();
        json_put_int(n, "id", (int64_t)member->id);
        json_put_text(n, "name", member->name);
        put_site(n, "site", s, member->site);
        json_put_text(n, "address", member->address);
        json_put_bool(n, "witness", member->witness);
        api_put_heard(n, member, node);
        json_put_int(n, "version", member->version);
        json_append(nodes, n);
    }
    json_put(o, "nodes", nodes);
    return o;
}

static struct json_t *view_disk(const struct api_node *node)
{
    struct json_t *o = json_make_object();
    struct api_judgement judgement;

    api_judge_disk(node, &judgement);
    put_judgement(o, &judgement);
    json_put_int(o, "free_bytes", (int64_t)node->space.free_bytes);
    return o;
}

static struct json_t *view_certificates(const struct api_node *node, int64_t now_ms)
{
    struct json_t *o = json_make_object();
    struct api_judgement judgement;

    api_judge_certificates(node, now_ms, &judgement);
    put_judgement(o, &judgement);
    json_put_int(o, "certificate_end_s", node->validity.certificate_end_s);
    json_put_int(o, "authority_end_s", node->validity.authority_end_s);
    return o;
}

struct json_t *api_view_status(const struct api *api)
{
    const struct state *s = api_state(api);
    struct json_t *o = json_make_object(), *self = json_make_object(), *services = json_make_array();
    struct api_node node;
    int64_t now_ms = clock_wall_ms();

    api->hooks.node(api->hooks.ctx, &node);
    json_put_int(o, "now_ms", now_ms);
    json_put_int(self, "id", (int64_t)node.id);
    json_put_text(self, "name", node.name);
    json_put_text(self, "site", node.site);
    json_put_text(self, "version", COORD_VERSION);
    json_put_text(self, "role", node.role);
    json_put(self, "certificates", view_certificates(&node, now_ms));
    json_put(self, "disk", view_disk(&node));
    json_put(o, "node", self);
    json_put(o, "cluster", view_cluster(s, &node));
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present)
            json_append(services, api_view_service(api, (service_id)i, now_ms));
    json_put(o, "services", services);
    return o;
}
