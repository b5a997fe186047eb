#include "core/state.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "core/certificate.h"

static const char *const verdict_words[VERDICT_COUNT] = {
    [VERDICT_UNKNOWN] = "unknown", [VERDICT_UP] = "up",         [VERDICT_DEGRADED] = "degraded",
    [VERDICT_GRAY] = "gray",       [VERDICT_FAILED] = "failed", [VERDICT_DOWN] = "down",
};

const char *verdict_word(enum verdict verdict)
{
    return (unsigned)verdict < VERDICT_COUNT ? verdict_words[verdict] : "no_verdict";
}

void state_init(struct state *s)
{
    memset(s, 0, sizeof *s);
    s->drift_ppm = DRIFT_PPM_DEFAULT;
    s->cluster_version = CLUSTER_VERSION_FIRST;
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        s->services[i].primary = SITE_NONE;
}

uint8_t state_common_version(const struct state *s)
{
    uint8_t common = UINT8_MAX;

    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].id != 0 && s->members[i].version < common)
            common = s->members[i].version;
    return common == UINT8_MAX ? 0 : common;
}

int state_member_slot(const struct state *s, node_id id)
{
    for (int i = 0; id != 0 && i < NODES_MAX; i++)
        if (s->members[i].id == id)
            return i;
    return -1;
}

site_id state_site(const struct state *s, const char *name)
{
    for (unsigned i = 0; i < SITES_MAX; i++)
        if (s->sites[i].name[0] != '\0' && text_equal(s->sites[i].name, name))
            return (site_id)i;
    return SITE_NONE;
}

service_id state_service(const struct state *s, const char *name)
{
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present && text_equal(s->services[i].config.name, name))
            return (service_id)i;
    return SERVICE_NONE;
}

const char *state_site_name(const struct state *s, site_id site)
{
    return site < SITES_MAX && s->sites[site].name[0] != '\0' ? s->sites[site].name : "none";
}

const char *state_node_name(const struct state *s, node_id node)
{
    int slot = state_member_slot(s, node);

    return slot >= 0 ? s->members[slot].name : "none";
}

unsigned state_member_count(const struct state *s)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NODES_MAX; i++)
        count += s->members[i].id != 0;
    return count;
}

node_id state_site_node(const struct state *s, site_id site)
{
    node_id first = 0;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];

        if (m->id == 0 || m->site != site)
            continue;
        if (m->heard)
            return m->id;
        if (first == 0)
            first = m->id;
    }
    return first;
}

bool service_holder_unproven(const struct service *svc, node_id asks)
{
    enum certificate_kind kind;

    return svc->lease.holder != asks && svc->lease.state != LEASE_NONE && service_enforced(svc) &&
           !certificate_any(&svc->proof, &svc->lease, &kind);
}

site_id service_promiser_site(const struct service *svc, node_id node)
{
    for (unsigned i = 0; node != 0 && i < svc->config.site_count; i++) {
        site_id site = svc->config.sites[i].site;

        if (site != svc->lease.site && svc->views[site].executor == node &&
            svc->views[site].executor_index <= svc->lease.enforcement.known_index)
            return site;
    }
    return SITE_NONE;
}

node_id state_promiser_heard(const struct state *s, const struct service *svc)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].heard && service_promiser_site(svc, s->members[i].id) != SITE_NONE)
            return s->members[i].id;
    return 0;
}

static enum status check_promises(const struct state *s, const struct service *svc, struct error *err)
{
    const struct lease *l = &svc->lease;

    if (l->promises_ended_index > s->applied_index || (l->promises_ended_index != 0 && !lease_ended(l)))
        return error_set(err, STATUS_FAILED, "service %s: promises ended at %" PRIu64 " under a lease that is %s",
                         svc->config.name, l->promises_ended_index, lease_state_word(l->state));
    if (l->enforcement.known_index > s->applied_index)
        return error_set(err, STATUS_FAILED, "service %s: its holder knows entry %" PRIu64 ", %" PRIu64 " is applied",
                         svc->config.name, l->enforcement.known_index, s->applied_index);
    for (unsigned i = 0; i < SITES_MAX; i++)
        if ((svc->views[i].executor != 0) != (svc->views[i].executor_index != 0) ||
            svc->views[i].executor_index > s->applied_index)
            return error_set(err, STATUS_FAILED, "service %s: the executor at %s was named by entry %" PRIu64,
                             svc->config.name, state_site_name(s, (site_id)i), svc->views[i].executor_index);
    return STATUS_OK;
}

static enum status check_operation(const struct state *s, const struct service *svc, struct error *err)
{
    const struct operation *op = &svc->operation;
    const char *name = svc->config.name;

    if (op->run_count > RUNS_MAX)
        return error_set(err, STATUS_FAILED, "service %s: %u runs", name, op->run_count);
    if ((op->state == OPERATION_PROMOTED || op->state == OPERATION_DONE) && op->new_epoch <= op->old_epoch)
        return error_set(err, STATUS_FAILED, "service %s: operation promoted without a new epoch", name);
    if (op->state == OPERATION_RUNNING && lease_live(&svc->lease) && svc->lease.epoch == op->old_epoch)
        return error_set(err, STATUS_FAILED,
                         "service %s: the lease of epoch %" PRIu64 " is live under a running operation", name,
                         svc->lease.epoch);
    if (op->state == OPERATION_PROMOTED && svc->primary != op->to)
        return error_set(err, STATUS_FAILED, "service %s: promoted to %s, primary is %s", name,
                         state_site_name(s, op->to), state_site_name(s, svc->primary));
    return STATUS_OK;
}

static enum status check_versions(const struct state *s, struct error *err)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].version != 0 && s->members[i].version < s->cluster_version)
            return error_set(err, STATUS_FAILED, "node %s reads up to version %u, and the cluster is at %u",
                             s->members[i].name, s->members[i].version, s->cluster_version);
    return STATUS_OK;
}

enum status state_check(const struct state *s, struct error *err)
{
    if (check_versions(s, err) != STATUS_OK)
        return STATUS_FAILED;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        const struct service *svc = &s->services[i];
        const char *name = svc->config.name;

        if (!svc->present)
            continue;
        if (svc->lease.epoch > s->epoch_counter)
            return error_set(err, STATUS_FAILED, "service %s: epoch %" PRIu64 " above the counter %" PRIu64, name,
                             svc->lease.epoch, s->epoch_counter);
        if (svc->lease.state != LEASE_NONE && svc->lease.site != svc->primary)
            return error_set(err, STATUS_FAILED, "service %s: the lease is %s's, the primary is %s", name,
                             state_site_name(s, svc->lease.site), state_site_name(s, svc->primary));
        if (lease_live(&svc->lease) && certificate_any(&svc->proof, &svc->lease, (enum certificate_kind *)0))
            return error_set(err, STATUS_FAILED, "service %s: a certificate counts while the lease is live", name);
        if (lease_live(&svc->lease) && (svc->lease.ttl_ms == 0 || svc->lease.holder == 0))
            return error_set(err, STATUS_FAILED, "service %s: a live lease without ttl or holder", name);
        for (unsigned j = 0; j < i; j++) /* an epoch belongs to one grant */
            if (s->services[j].present && svc->lease.epoch != 0 && s->services[j].lease.epoch == svc->lease.epoch)
                return error_set(err, STATUS_FAILED, "services %s and %s share epoch %" PRIu64, name,
                                 s->services[j].config.name, svc->lease.epoch);
        if (check_promises(s, svc, err) != STATUS_OK || check_operation(s, svc, err) != STATUS_OK)
            return err == NULL ? STATUS_FAILED : err->status;
    }
    return STATUS_OK;
}
