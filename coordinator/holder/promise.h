/* Promises: what lets a healthy primary go on while no leader can be reached. The lease's holder asks the executor of every other eligible site; with
 * all their promises its guard stays open as after a renewal. Whoever has promised says in the log when its promises for a lease that has
 * ended have run out (PROMISES_ENDED); before that, the end of the lease proves nothing (core/certificate).
 *
 * Decides what a node promises and when it may say that its promises are over; which of its transmissions a holder may open by them is
 * holder.h's. Pure: time is an argument, in microseconds of this node's monotonic clock. docs/safety.md, Failsafe promises, has the rules. */
#ifndef COORD_HOLDER_PROMISE_H
#define COORD_HOLDER_PROMISE_H

#include "core/command.h"

#define PROMISE_MESSAGE_MAX_BYTES 64

/* A holder's question: the renewal that the log did not answer, so that a node that knows a leader can hand it on. */
struct promise_ask {
    uint64_t token;          /* of the holder's transmission: the answer repeats it */
    uint64_t config_version; /* that the holder has applied */
    struct command_renew renew;
};

#define PROMISE_VERDICT_LIST(X)                                                                                        \
    X(PROMISE_GIVEN, "given")               /* valid for ttl * (1 + drift) from here on, on this node's clock */       \
    X(PROMISE_RENEWED, "renewed")           /* not by a promise: handed on, and the log has accepted it */             \
    X(PROMISE_LEADER_KNOWN, "leader_known") /* the renewal is handed on instead */                                     \
    X(PROMISE_STARTING, "starting") /* this node has not yet written an entry of its own: its state may be old */      \
    X(PROMISE_OTHER_LEASE, "other_lease")   /* its state shows another epoch or holder, or the lease has ended */      \
    X(PROMISE_NOT_ENFORCED, "not_enforced") /* the service is disarmed, paused or in shadow */                         \
    X(PROMISE_OTHER_CONFIG, "other_config") /* the services files differ */                                            \
    X(PROMISE_NOT_EXECUTOR, "not_executor") /* it is the executor of no other eligible site */                         \
    X(PROMISE_LONGER, "longer")             /* than any renewal of this epoch that the log has accepted */
#define PROMISE_ENUM(name, word) name,
enum promise_verdict { PROMISE_VERDICT_LIST(PROMISE_ENUM) PROMISE_VERDICT_COUNT };
#undef PROMISE_ENUM

struct promise_answer {
    service_id service;
    uint64_t token;
    epoch_t epoch;
    enum promise_verdict verdict;
};

/* What this process has promised; in memory only. */
struct promises {
    int64_t
        started_us; /* what an earlier life of this process has promised is not known: it is outwaited from here on */
    struct {
        node_id to; /* 0: nothing yet */
        epoch_t epoch;
        int64_t until_us; /* the latest of all that was given for the service */
    } given[SERVICES_MAX];
};

const char *promise_verdict_word(enum promise_verdict verdict);

/* After every earlier life of this node has ended. */
void promises_init(struct promises *p, int64_t now_us);

/* What `self` answers to `from`. `acts`: its applied state is at least as new as this life of the process. Any verdict but GIVEN and RENEWED. */
enum promise_verdict promise_judge(const struct state *s, node_id self, bool acts, bool leader_known, node_id from,
                                   const struct promise_ask *ask);
/* Judges, and remembers what it gives. */
enum promise_verdict promises_give(struct promises *p, const struct state *s, node_id self, bool acts,
                                   bool leader_known, node_id from, const struct promise_ask *ask, int64_t now_us);

/* When nothing that this node has promised of the service holds any more, at the earliest; in the past when nothing does. */
int64_t promises_until_us(const struct promises *p, const struct state *s, service_id service);
/* `self` should say PROMISES_ENDED of the service's lease: it is among those that were asked, gives nothing for it any more since its state
 * shows the end, and what it gave has run out. Only of a node that acts. */
bool promises_end_due(const struct promises *p, const struct state *s, node_id self, service_id service,
                      int64_t now_us);

/* Whom a holder must have promises of: the executors of all other eligible sites. 0: there are none, or a site has no executor; then it may not
 * go on. */
unsigned promise_askees(const struct service *svc, node_id out[SITES_MAX]);

/* OK or FULL; OK or CORRUPT: a version, verdict or length that is not known here. */
enum status promise_ask_encode(const struct promise_ask *ask, void *out, size_t capacity_bytes, size_t *length_bytes);
enum status promise_ask_decode(struct promise_ask *ask, const void *bytes, size_t length_bytes);
enum status promise_answer_encode(const struct promise_answer *answer, void *out, size_t capacity_bytes,
                                  size_t *length_bytes);
enum status promise_answer_decode(struct promise_answer *answer, const void *bytes, size_t length_bytes);

#endif
