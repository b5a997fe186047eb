/* Recorded proof that the old primary of an epoch can no longer acknowledge a write. Decides when a proof counts; how it is obtained is
 * the business of fencing/ (AGENT), of core/lease (EXPIRED) and of a person (OPERATOR). docs/safety.md, Certificates. */
#ifndef COORD_CORE_CERTIFICATE_H
#define COORD_CORE_CERTIFICATE_H

#include "base/ids.h"
#include "core/lease.h"

#include <stdbool.h>
#include <stdint.h>

#define CERTIFICATE_KIND_LIST(X)                                                                                       \
    X(CERT_AGENT, "AGENT") /* every server opened in the epoch is proven stopped or its guard closed */                \
    X(CERT_EXPIRED,                                                                                                    \
      "EXPIRED") /* the lease expired, its last renewal reported an enforcing guard, and no promise extends it */      \
    X(CERT_OPERATOR, "OPERATOR") /* a person vouches, typed and audited */
#define CERTIFICATE_ENUM(name, word) name,
enum certificate_kind { CERTIFICATE_KIND_LIST(CERTIFICATE_ENUM) CERTIFICATE_KIND_COUNT };
#undef CERTIFICATE_ENUM

struct certificate {
    epoch_t epoch;  /* 0: not given */
    uint64_t index; /* the log entry that gave it */
};

/* A sighting of an acknowledged write at the old primary, by a node that had applied the expiry before it looked: enforcement is broken there. */
struct veto {
    epoch_t epoch; /* 0: none */
    uint64_t index;
    node_id seen_by;
};

struct proof {
    struct certificate kinds[CERTIFICATE_KIND_COUNT];
    struct veto veto;
};

const char *certificate_kind_word(enum certificate_kind kind);

void certificate_give(struct proof *proof, enum certificate_kind kind, epoch_t epoch, uint64_t index);
/* An abort voids all certificates before the world is touched; a sighting stays until the next grant. */
void certificate_void_all(struct proof *proof);

/* EXPIRED may be given for this lease: it expired, what enforces its end needs no contact, and no promise extends it. */
bool certificate_expiry_is_proof(const struct lease *lease);

/* Counts now: given for the lease's epoch, the lease can no longer be extended, and no later sighting speaks against it. */
bool certificate_counts(const struct proof *proof, enum certificate_kind kind, const struct lease *lease);
/* Any kind counts; `kind` (may be NULL) gets the strongest one, AGENT first. */
bool certificate_any(const struct proof *proof, const struct lease *lease, enum certificate_kind *kind);

#endif
