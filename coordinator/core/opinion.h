/* One observer's view of one site of one service: looks (single probe results) become an opinion by rise and fall, never from one
 * sample. Decides the opinion; whether many of them mean "down" is core/verdict's business, and how a look is made is probe/'s. */
#ifndef COORD_CORE_OPINION_H
#define COORD_CORE_OPINION_H

#include "core/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of evidence: looks of one kind count once. KIND_NODE is not looked at but heard: a site whose every coordd is silent. */
#define EVIDENCE_KIND_LIST(X)                                                                                          \
    X(KIND_DATABASE, "database")                                                                                       \
    X(KIND_APPLICATION, "application")                                                                                 \
    X(KIND_PATH, "path")                                                                                               \
    X(KIND_NODE, "node")
#define OPINION_LIST(X)                                                                                                \
    X(OPINION_UNKNOWN, "unknown")                                                                                      \
    X(OPINION_UP, "up")                                                                                                \
    X(OPINION_GRAY, "gray")     /* connects, but does not write */                                                     \
    X(OPINION_FAILED, "failed") /* new clients get no answer from it */
#define LOOK_LIST(X)                                                                                                   \
    X(LOOK_READ_FRESH, "read_fresh")           /* SELECT on a new connection */                                        \
    X(LOOK_READ_PERSISTENT, "read_persistent") /* SELECT on a kept connection */                                       \
    X(LOOK_CANARY, "canary")                   /* our one-row write; only where the primary should be */               \
    X(LOOK_HTTP, "http")                                                                                               \
    X(LOOK_TCP, "tcp")
#define ROLE_LIST(X)                                                                                                   \
    X(ROLE_UNKNOWN, "unknown")                                                                                         \
    X(ROLE_PRIMARY, "primary") /* not in recovery; says nothing about the right to be primary */                       \
    X(ROLE_STANDBY, "standby")
#define OPINION_ENUM(name, word) name,
enum evidence_kind { EVIDENCE_KIND_LIST(OPINION_ENUM) EVIDENCE_KIND_COUNT };
enum opinion_word { OPINION_LIST(OPINION_ENUM) OPINION_WORD_COUNT };
enum look { LOOK_LIST(OPINION_ENUM) LOOK_COUNT };
enum role { ROLE_LIST(OPINION_ENUM) ROLE_COUNT };
#undef OPINION_ENUM

static inline bool evidence_has(uint8_t kinds, unsigned kind)
{
    return (((unsigned)kinds >> kind) & 1u) != 0;
}
/* "database, path"; "" for none. */
void evidence_text(uint8_t kinds, char *out, size_t capacity_bytes);
const char *evidence_kind_word(enum evidence_kind kind);
const char *opinion_word(enum opinion_word word);
const char *look_word(enum look look);
const char *role_word(enum role role);

/* What enters the log when it changes. */
struct opinion {
    enum opinion_word word;
    enum role role;
    uint8_t kinds_failed; /* bit per evidence_kind */
    uint8_t kinds_up;
    bool
        ready; /* as a target: a standby that answers and, by this observer's own canary, lacks no more than the policy allows */
    bool streaming; /* its WAL receiver is connected, and something arrived lately */
};

bool opinion_equal(const struct opinion *a, const struct opinion *b);

enum look_outcome {
    LOOK_NEUTRAL, /* says nothing: not made, or a guard that is closed refused the canary */
    LOOK_OK,
    LOOK_FAILED
};

struct damper {           /* rise/fall hysteresis over one kind of look */
    uint8_t oks, fails;   /* in a row */
    enum look_outcome is; /* LOOK_NEUTRAL until the first rise or fall */
};

/* One observer's memory of one (service, site). */
struct observer {
    struct damper looks[LOOK_COUNT];
    struct damper readiness;
    enum role role;
    bool streaming;
    /* Canary lag, measured by one node that both writes and reads. It stands still when the primary dies: readiness before the event is what
     * counts. -1: not yet measured. */
    int64_t canary_written_ms; /* display time of our last canary that the primary acknowledged */
    int64_t canary_seen_ms;    /* display time that our canary row carries as seen on this standby */
};

void observer_init(struct observer *o);
/* Only a look of the kinds that are made at this site; the others stay neutral. */
void observer_look(struct observer *o, enum look look, enum look_outcome outcome, const struct timing *t);
/* What a read told: its role, streaming, and the canary stamp of this node seen there (-1 when none). `primary_written_ms` is this node's last
 * canary acknowledged by the primary (-1 when none). */
void observer_read(struct observer *o, enum role role, bool streaming, int64_t canary_seen_ms,
                   int64_t primary_written_ms, uint32_t max_lag_ms, const struct timing *t);
/* The looks of this kind are no longer made here (the primary moved): forget them. */
void observer_forget(struct observer *o, enum look look);
struct opinion observer_opinion(const struct observer *o);
/* The lag was measured at least once by this observer; until then its `ready` says nothing, and what was reported before stands. */
static inline bool observer_measured(const struct observer *o)
{
    return o->readiness.is != LOOK_NEUTRAL;
}

#endif
