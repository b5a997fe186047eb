#include "codec_full.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void full_member(struct member *m, node_id id)
{
    m->id = id;
    END(m->name);
    END(m->address);
}

void full_config(struct service_config *c)
{
    END(c->name);
    c->profile = PROFILE_CAUTIOUS;
    c->mode = MODE_SHADOW;
    c->primary = SITE_NONE;
    c->dns.method = DNS_RFC2136;
    c->dns.server_count = DNS_SERVERS_MAX;
    END(c->dns.zone);
    END(c->dns.name);
    END(c->dns.key);
    for (unsigned i = 0; i < DNS_SERVERS_MAX; i++)
        END(c->dns.servers[i]);
    c->site_count = SITES_MAX;
    for (unsigned i = 0; i < SITES_MAX; i++) {
        struct site_config *s = &c->sites[i];

        s->site = (site_id)i;
        END(s->host);
        END(s->user);
        END(s->dbname);
        END(s->password);
        END(s->health_url);
        END(s->publish_address);
        s->deploy.count = ARGC_MAX;
        for (unsigned k = 1; k < ARGC_MAX; k++)
            s->deploy.bytes[k * 20] = '\0';
        END(s->deploy.bytes);
    }
}

void full_opinion(struct opinion *o)
{
    o->word = OPINION_FAILED;
    o->role = ROLE_STANDBY;
    o->kinds_failed = KINDS_ALL;
}

static void full_operation(struct operation *op)
{
    op->kind = OPERATION_PROMOTE;
    op->state = OPERATION_ABORTED;
    op->service = SERVICES_MAX - 1;
    op->from = SITE_NONE;
    op->certificate = CERT_OPERATOR;
    END(op->who);
    END(op->reason);
    op->overrides = GATES_ALL;
    op->run_count = RUNS_MAX;
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        op->runs[i].step = STEP_RECONNECT;
        op->runs[i].state = RUN_SKIPPED;
        END(op->runs[i].detail);
    }
}

static void full_service(struct service *svc)
{
    full_config(&svc->config);
    svc->lease.state = LEASE_EXPIRED;
    svc->lease.instance_count = INSTANCES_MAX;
    for (unsigned i = 0; i < SITES_MAX; i++) {
        svc->views[i].verdict = VERDICT_DOWN;
        svc->views[i].evidence = KINDS_ALL;
        svc->views[i].unreceived_ms = INT64_MAX;
        svc->views[i].behind = true;
        for (unsigned k = 0; k < NODES_MAX; k++)
            full_opinion(&svc->views[i].opinions[k]);
    }
    full_operation(&svc->operation);
    svc->gates_noted = GATES_ALL;
}

void full_state(struct state *s)
{
    memset(s, 1, sizeof(*s));
    for (unsigned i = 0; i < NODES_MAX; i++)
        full_member(&s->members[i], i + 1);
    for (unsigned i = 0; i < SITES_MAX; i++)
        END(s->sites[i].name);
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        full_service(&s->services[i]);
    for (unsigned i = 0; i < INCIDENTS_MAX; i++)
        full_operation(&s->incidents[i]);
    s->events.last_number = 3 * EVENTS_MAX + 5;
    for (uint64_t n = s->events.last_number - EVENTS_MAX + 1; n <= s->events.last_number; n++) {
        struct event *e = &s->events.slots[n % EVENTS_MAX];

        e->number = n;
        e->kind = EVENT_ALARM;
        e->service = SERVICE_NONE;
        END(e->text);
    }
}

size_t bytes_lost(const void *sent, const void *received, size_t length_bytes)
{
    const uint8_t *a = sent, *b = received;
    size_t count = 0;

    for (size_t i = 0; i < length_bytes; i++) {
        if (a[i] == b[i])
            continue;
        assert_int_equal(b[i], 0); /* and none came back as another */
        count++;
    }
    return count;
}
