#include "tests/fuzz/live.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"

struct beginning {
    const struct state *s;
    void (*apply)(void *ctx, struct command *c);
    void *ctx;
    struct command c;
};

static struct command *next(struct beginning *b, enum command_kind kind)
{
    command_clear(&b->c, kind);
    text_set(b->c.who, sizeof b->c.who, "node a1");
    return &b->c;
}

static void applied(struct beginning *b)
{
    b->apply(b->ctx, &b->c);
}

static void cluster(struct beginning *b)
{
    struct command *c = next(b, COMMAND_CLUSTER_INIT);

    c->cluster_init.cluster_id = 77;
    c->cluster_init.election_ms = raft_timing_of(PROFILE_METRO).election_ms;
    for (unsigned i = 0; i < 3; i++) {
        struct member *m = &c->cluster_init.members[i];

        m->id = i + 1;
        m->site = (site_id)i;
        m->witness = i == 2;
        text_set(m->name, sizeof m->name, "%c1", 'a' + (int)i);
        text_set(m->address, sizeof m->address, "127.10.%u.1:7400", i + 1);
        text_set(c->cluster_init.sites[i].name, NAME_MAX_BYTES, "site-%c", 'a' + (int)i);
    }
    applied(b);
    for (node_id node = 1; node <= 3; node++) {
        c = next(b, COMMAND_NODE_HEARD);
        c->node_heard.node = node;
        c->node_heard.heard = true;
        applied(b);
        next(b, COMMAND_NODE_STARTED)->node_started.node = node;
        applied(b);
    }
}

static void service(struct beginning *b)
{
    struct command *c = next(b, COMMAND_CONFIG_APPLY);
    struct service_config *config = &c->config_apply.services[0];

    c->config_apply.service_count = 1;
    text_set(config->name, sizeof config->name, "app");
    config->tier = 1;
    config->accept_vm_pause = true;
    config->max_lag_bytes = 1000;
    config->max_lag_ms = 10000;
    config->timing = timing_of(PROFILE_METRO);
    config->site_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        config->sites[i].site = (site_id)i;
        config->sites[i].port = 5432;
        text_set(config->sites[i].host, sizeof config->sites[i].host, "127.10.%u.1", i + 1);
        text_set(config->sites[i].health_url, sizeof config->sites[i].health_url, "http://127.10.%u.1/health", i + 1);
    }
    applied(b);
    next(b, COMMAND_SERVICE_SET)->service_set.change = SERVICE_ARM;
    applied(b);
    for (node_id node = 1; node <= 3; node++)
        for (site_id site = 0; site < 2; site++) {
            c = next(b, COMMAND_OPINION);
            c->opinion.node = node;
            c->opinion.site = site;
            c->opinion.opinion = (struct opinion){ .word = OPINION_UP,
                                                   .role = site == 0 ? ROLE_PRIMARY : ROLE_STANDBY,
                                                   .kinds_up = 1u << KIND_DATABASE | 1u << KIND_PATH,
                                                   .ready = site == 1,
                                                   .streaming = site == 1 };
            applied(b);
        }
}

static void lease(struct beginning *b)
{
    struct command *c = next(b, COMMAND_GRANT);
    const struct service *svc = &b->s->services[0];
    struct enforcement enforcing = { .enforcing = true, .instance = 0xa1, .known_index = svc->enforced_index };

    c->grant.node = 1;
    c->grant.enforcement = enforcing;
    applied(b);
    c = next(b, COMMAND_RENEW);
    c->renew = (struct command_renew){
        .epoch = svc->lease.epoch, .node = 1, .ttl_ms = svc->config.timing.ttl_ms, .enforcement = enforcing
    };
    applied(b);
    ASSERT(lease_live(&svc->lease) && svc->lease.enforcement.enforcing);
}

void live_begin(const struct state *s, void (*apply)(void *ctx, struct command *c), void *ctx)
{
    struct beginning *b = malloc(sizeof *b);

    ASSERT(b != NULL);
    b->s = s;
    b->apply = apply;
    b->ctx = ctx;
    cluster(b);
    service(b);
    lease(b);
    free(b);
}
