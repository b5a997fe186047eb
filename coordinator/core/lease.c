#include "core/lease.h"

#include "base/check.h"

static const char *const state_words[LEASE_STATE_COUNT] = {
#define WORD(name, word) [name] = (word),
    LEASE_STATE_LIST(WORD)
};
static const char *const event_words[LEASE_EVENT_COUNT] = { LEASE_EVENT_LIST(WORD) };
#undef WORD

const char *lease_state_word(enum lease_state state)
{
    return (unsigned)state < LEASE_STATE_COUNT ? state_words[state] : "no_state";
}

const char *lease_event_word(enum lease_event event)
{
    return (unsigned)event < LEASE_EVENT_COUNT ? event_words[event] : "no_event";
}

/* A grant over a revoked lease is safe in two cases only, which core/fsm_lease checks: the same site again, or a certificate. */
static const struct rule rules[LEASE_STATE_COUNT][LEASE_EVENT_COUNT] = {
    [LEASE_NONE] = {
        [LEASE_EV_GRANT] = { MOVE, LEASE_LIVE, "the first grant" },
        [LEASE_EV_RENEW] = { REFUSE, LEASE_NONE, "no lease was granted" },
        [LEASE_EV_REVOKE] = { REFUSE, LEASE_NONE, "no lease was granted" },
        [LEASE_EV_EXPIRE] = { REFUSE, LEASE_NONE, "no lease was granted" },
    },
    [LEASE_LIVE] = {
        [LEASE_EV_GRANT] = { REFUSE, LEASE_LIVE, "a lease is live: its holder may accept writes" },
        [LEASE_EV_RENEW] = { MOVE, LEASE_LIVE, "extended" },
        [LEASE_EV_REVOKE] = { MOVE, LEASE_REVOKED, "nothing extends it from here; its count runs on" },
        [LEASE_EV_EXPIRE] = { MOVE, LEASE_EXPIRED, "a full ttl passed after the renewal that the entry names" },
    },
    [LEASE_REVOKED] = {
        [LEASE_EV_GRANT] = { MOVE, LEASE_LIVE, "a new epoch follows the revoked one" },
        [LEASE_EV_RENEW] = { REFUSE, LEASE_REVOKED, "the lease was revoked" },
        [LEASE_EV_REVOKE] = { STAY, LEASE_REVOKED, "it is revoked" },
        [LEASE_EV_EXPIRE] = { MOVE, LEASE_EXPIRED, "a full ttl passed after the renewal that the entry names" },
    },
    [LEASE_EXPIRED] = {
        [LEASE_EV_GRANT] = { MOVE, LEASE_LIVE, "a new epoch follows the expired one" },
        [LEASE_EV_RENEW] = { REFUSE, LEASE_EXPIRED, "the lease has expired" },
        [LEASE_EV_REVOKE] = { STAY, LEASE_EXPIRED, "it has expired" },
        [LEASE_EV_EXPIRE] = { STAY, LEASE_EXPIRED, "it has expired" },
    },
};

struct rule lease_rule(enum lease_state state, enum lease_event event)
{
    ASSERT((unsigned)state < LEASE_STATE_COUNT);
    ASSERT((unsigned)event < LEASE_EVENT_COUNT);
    return rules[state][event];
}

/* NULL when the rule lets the event through. */
static const char *refusal(const struct lease *l, enum lease_event event)
{
    struct rule rule = lease_rule(l->state, event);

    return rule.verb == MOVE ? (const char *)0 : rule.why;
}

/* Remembers a server life that this renewal lets its holder open; NULL, or why the renewal must not extend. A life that is followed by
 * another is over: a late report of it says nothing about the server that runs now. */
static const char *remember_instance(struct lease *l, instance_id instance)
{
    if (instance == 0 || (l->instance_count > 0 && l->instances[l->instance_count - 1] == instance))
        return (const char *)0;
    for (unsigned i = 0; i < l->instance_count; i++)
        if (l->instances[i] == instance)
            return "it speaks of an earlier life of the server";
    if (l->instance_count == INSTANCES_MAX)
        return "too many servers were opened in this epoch; it ends, and a new grant follows";
    l->instances[l->instance_count++] = instance;
    return (const char *)0;
}

/* The guard may be open for as long as an earlier renewal allowed: a lease never gets shorter while something of it may still be open. */
static uint32_t longer(uint32_t a_ms, uint32_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

const char *lease_grant(struct lease *l, site_id site, node_id holder, epoch_t epoch, uint64_t index, uint32_t ttl_ms,
                        struct enforcement enforcement)
{
    const char *why = refusal(l, LEASE_EV_GRANT);

    if (why != (const char *)0)
        return why;
    if (epoch <= l->epoch)
        return "the epoch does not rise";
    if (l->site == site && !(l->state == LEASE_EXPIRED && l->promises_ended_index != 0))
        ttl_ms = longer(ttl_ms, l->ttl_ms);
    enforcement.known_index = index; /* its holder acts on it from this entry on */
    *l = (struct lease){ .state = LEASE_LIVE,
                         .site = site,
                         .holder = holder,
                         .epoch = epoch,
                         .renewed_index = index,
                         .ttl_ms = ttl_ms,
                         .enforcement = enforcement };
    (void)remember_instance(l, enforcement.instance); /* the list is empty: it fits */
    return (const char *)0;
}

/* Reports are ordered by what their holder had applied. One that comes late must not say of an earlier life of the server that it enforces when the
 * life that runs now does not; of two lives that were looked at with nothing applied in between, nobody knows which is the later. */
static bool report_is_later(const struct enforcement *last, const struct enforcement *next)
{
    if (next->known_index != last->known_index)
        return next->known_index > last->known_index;
    return last->instance == 0 || next->instance == last->instance;
}

const char *lease_renew(struct lease *l, node_id holder, epoch_t epoch, uint64_t index, uint32_t ttl_ms,
                        struct enforcement enforcement)
{
    const char *why = refusal(l, LEASE_EV_RENEW);

    if (why != (const char *)0)
        return why;
    if (l->epoch != epoch)
        return "another epoch";
    if (l->holder != holder)
        return "another node is the executor";
    if (!report_is_later(&l->enforcement, &enforcement))
        return "the holder's last report is later, or may be of a later life of the server";
    why = remember_instance(l, enforcement.instance);
    if (why != (const char *)0)
        return why;
    l->renewed_index = index;
    l->ttl_ms = longer(ttl_ms, l->ttl_ms);
    l->enforcement = enforcement;
    return (const char *)0;
}

const char *lease_revoke(struct lease *l, epoch_t epoch, uint64_t index)
{
    const char *why = refusal(l, LEASE_EV_REVOKE);

    if (why != (const char *)0)
        return why;
    if (l->epoch != epoch)
        return "another epoch";
    l->state = LEASE_REVOKED;
    l->ended_index = index;
    return (const char *)0;
}

const char *lease_expire(struct lease *l, epoch_t epoch, uint64_t renewed_index, uint64_t index)
{
    const char *why = refusal(l, LEASE_EV_EXPIRE);

    if (why != (const char *)0)
        return why;
    if (l->epoch != epoch)
        return "another epoch";
    if (l->renewed_index != renewed_index)
        return "a later renewal extended the lease: expiry and renewal are ordered by the log";
    l->state = LEASE_EXPIRED; /* from here on every renewal under this epoch is refused */
    l->ended_index = index;
    return (const char *)0;
}

void lease_void(struct lease *l, uint64_t index, uint32_t ttl_ms)
{
    if (l->state == LEASE_NONE)
        return;
    l->state = LEASE_REVOKED;
    l->renewed_index = index;
    l->ended_index = index;
    l->promises_ended_index = 0;
    l->ttl_ms = longer(ttl_ms, l->ttl_ms);
    l->enforcement.enforcing = false;
}

const char *lease_end_promises(struct lease *l, epoch_t epoch, uint64_t index)
{
    if (l->epoch != epoch)
        return "another epoch";
    if (!lease_ended(l))
        return "the lease is not over: promises for it may still be given";
    if (l->promises_ended_index != 0)
        return "another node has said so";
    l->promises_ended_index = index;
    return (const char *)0;
}
