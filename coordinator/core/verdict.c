#include "core/verdict.h"

#include "base/check.h"

static bool opinion_fails(const struct opinion *o)
{
    return o->word == OPINION_FAILED || o->word == OPINION_GRAY;
}

/* What is counted, once, for every rule below. Opinions of nodes that are silent are not counted: absence of data is not "down". */
struct tally {
    unsigned outside, outside_failing; /* voters in other sites; those of them that are heard and say failed or gray */
    unsigned inside, inside_heard, inside_failing;
    unsigned up, failing, gray; /* of all that are heard */
    uint8_t kinds;              /* evidence of those that say failed or gray */
};

static struct tally count(const struct state *s, const struct site_view *view, site_id site)
{
    struct tally t = { 0 };

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct member *m = &s->members[i];
        const struct opinion *o = &view->opinions[i];
        bool inside = m->site == site;

        if (m->id == 0 || (!inside && !m->voter)) /* outside, voters speak; inside, whoever is there */
            continue;
        t.inside += inside;
        t.outside += !inside;
        if (!m->heard)
            continue;
        t.inside_heard += inside;
        t.up += o->word == OPINION_UP;
        t.gray += o->word == OPINION_GRAY;
        if (!opinion_fails(o))
            continue;
        t.failing++;
        t.kinds |= o->kinds_failed;
        t.inside_failing += inside;
        t.outside_failing += !inside;
    }
    if (t.inside > 0 && t.inside_heard == 0)
        t.kinds |= 1u << KIND_NODE;
    return t;
}

static unsigned kind_count(uint8_t kinds)
{
    unsigned n = 0;

    for (unsigned k = 0; k < EVIDENCE_KIND_COUNT; k++)
        n += evidence_has(kinds, k);
    return n;
}

static bool majority_outside(const struct tally *t)
{
    return t->outside > 0 && 2 * t->outside_failing > t->outside;
}

bool verdict_accuses(enum verdict verdict)
{
    return verdict == VERDICT_DOWN || verdict == VERDICT_FAILED || verdict == VERDICT_GRAY;
}

void verdict_votes(const struct state *s, service_id service, site_id site, unsigned *needed, unsigned *failing)
{
    struct tally t = count(s, &s->services[service].views[site], site);

    *needed = t.outside / 2 + 1;
    *failing = t.outside_failing;
}

enum verdict verdict_of(const struct state *s, service_id service, site_id site, uint8_t *evidence)
{
    const struct service *svc = &s->services[service];
    struct tally t;

    ASSERT(service < SERVICES_MAX);
    ASSERT(site < SITES_MAX);
    t = count(s, &svc->views[site], site);
    *evidence = t.kinds;

    /* The site is reachable and its own node agrees: local recovery may still help, and its own node can prove the end of a server. */
    if (t.inside_failing > 0 && majority_outside(&t))
        return t.gray == t.failing ? VERDICT_GRAY : VERDICT_FAILED;
    /* Nobody there speaks for it, or what it says is not that it fails. Its right to be primary must have ended first. */
    if (svc->primary == site && svc->lease.state == LEASE_EXPIRED && majority_outside(&t) && t.up == 0 &&
        kind_count(t.kinds) >= 2)
        return VERDICT_DOWN;
    if (t.failing > 0 || (t.inside > 0 && t.inside_heard == 0))
        return VERDICT_DEGRADED;
    if (t.up > 0) {
        *evidence = 0;
        return VERDICT_UP;
    }
    return VERDICT_UNKNOWN;
}
