/* The lease: the right of one site to let a service accept writes. Decides grant, renewal, revocation and expiry, all ordered by the
 * log and never by comparing two machines' clocks. Who may propose an expiry, and when, is core/leader's business; stopping in time is
 * the holder's (holder/ and lease_guard). */
#ifndef COORD_CORE_LEASE_H
#define COORD_CORE_LEASE_H

#include "base/ids.h"
#include "core/rule.h"

#include <stdbool.h>
#include <stdint.h>

#define INSTANCES_MAX                                                                                                  \
    8 /* PostgreSQL servers that one epoch may open: a ninth restart within one epoch needs a new grant */

#define LEASE_STATE_LIST(X)                                                                                            \
    X(LEASE_NONE, "none")       /* never granted */                                                                    \
    X(LEASE_LIVE, "live")       /* its holder may act until t0 + ttl - margin of its last renewal */                   \
    X(LEASE_REVOKED, "revoked") /* nothing extends it; the holder may still act until its deadline */                  \
    X(LEASE_EXPIRED, "expired") /* a full ttl passed on the leader's clock after the renewal named in the entry */
#define LEASE_EVENT_LIST(X)                                                                                            \
    X(LEASE_EV_GRANT, "grant")                                                                                         \
    X(LEASE_EV_RENEW, "renew")                                                                                         \
    X(LEASE_EV_REVOKE, "revoke")                                                                                       \
    X(LEASE_EV_EXPIRE, "expire")
#define LEASE_ENUM(name, word) name,
enum lease_state { LEASE_STATE_LIST(LEASE_ENUM) LEASE_STATE_COUNT };
enum lease_event { LEASE_EVENT_LIST(LEASE_ENUM) LEASE_EVENT_COUNT };
#undef LEASE_ENUM

/* What a renewal says about who enforces the deadline. */
struct enforcement {
    bool enforcing;       /* lease_guard is loaded, not bypassed, and refuses commits after the deadline */
    instance_id instance; /* the server life that it speaks of; 0: no server answered */
    /* The reporter had applied the log up to here before it looked at the guard: a report from before a disarm says nothing after it, and
     * whoever was an executor by then is among those that it asks for promises from then on (holder/promise.h). */
    uint64_t known_index;
};

struct lease {
    enum lease_state state;
    site_id site;
    node_id holder; /* the executor that renews */
    epoch_t epoch;
    uint64_t renewed_index;        /* log index of the grant or of the last renewal that extended it */
    uint64_t ended_index;          /* log index of the revocation or expiry; 0 while live */
    uint64_t promises_ended_index; /* of the entry that says that no promise extends it any more; 0: none says so yet */
    uint32_t ttl_ms; /* the longest that it was renewed with: a lower one counts from the next expiry or promotion on */
    struct enforcement enforcement; /* as reported by that renewal, or by the grant */
    uint8_t instance_count;
    instance_id instances[INSTANCES_MAX]; /* every server life that may have been opened in this epoch */
};

const char *lease_state_word(enum lease_state state);
const char *lease_event_word(enum lease_event event);
/* The rule for (state, event), its `why` in words; never UNDECIDED. */
struct rule lease_rule(enum lease_state state, enum lease_event event);

static inline bool lease_live(const struct lease *l)
{
    return l->state == LEASE_LIVE;
}
/* Its holder may still act on it: live, or revoked and not run out yet. */
static inline bool lease_runs(const struct lease *l)
{
    return l->state == LEASE_LIVE || l->state == LEASE_REVOKED;
}
/* It was granted once and no renewal extends it any more. */
static inline bool lease_ended(const struct lease *l)
{
    return l->state == LEASE_REVOKED || l->state == LEASE_EXPIRED;
}

/* A write that its site has acknowledged, and that began when the log was applied up to `index`, should have been refused there: the lease had
 * expired by then, and no promise extended it. */
static inline bool lease_forbids_since(const struct lease *l, uint64_t index)
{
    return l->state == LEASE_EXPIRED && index >= l->ended_index && l->promises_ended_index != 0 &&
           index >= l->promises_ended_index;
}

/* Each returns NULL when it changed the lease, else the reason why it did not. `index` is the log index of the entry. */
const char *lease_grant(struct lease *l, site_id site, node_id holder, epoch_t epoch, uint64_t index, uint32_t ttl_ms,
                        struct enforcement enforcement);
const char *lease_renew(struct lease *l, node_id holder, epoch_t epoch, uint64_t index, uint32_t ttl_ms,
                        struct enforcement enforcement);
const char *lease_revoke(struct lease *l, epoch_t epoch, uint64_t index);
const char *lease_expire(struct lease *l, epoch_t epoch, uint64_t renewed_index, uint64_t index);
/* After `index` nothing is known of who holds what of before: it has to run out anew, and its end proves nothing. */
void lease_void(struct lease *l, uint64_t index, uint32_t ttl_ms);
/* A node that its holder needs a promise of gives none for it any more, and all that it gave have run out. */
const char *lease_end_promises(struct lease *l, epoch_t epoch, uint64_t index);

#endif
