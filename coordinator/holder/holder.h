/* The lease on this node's side: samples the local server's guard, renews through the log, and opens the guard for as long as the log allows.
 * Decides when to ask and what may be concluded from an answer; the right itself is core/lease's, the enforcement lease_guard's.
 *
 * Happy path, per service of which this node is the executor at the primary's site, each renew_ms: ask the guard (t0 on the server's own
 * clock) -> RENEW through the log -> open(instance, epoch, t0, ttl - margin). Everything is asynchronous and per service: a hung server starves
 * no other. When it fails: no answer means no renewal, and the guard closes by itself at its deadline.
 *
 * Without a leader: when a renewal is due and the one before was not answered, the executors of all other eligible sites are asked for a promise, too
 * (holder/promise.h); with the promises of all of them the same open() follows. The log's next answer takes over.
 *
 * Knows no socket and no clock: time is an argument, effects are `ops`, so that the simulator runs the same code. */
#ifndef COORD_HOLDER_HOLDER_H
#define COORD_HOLDER_HOLDER_H

#include "holder/promise.h"

/* Transmissions of one service that may wait for an answer; an older one is forgotten, and its answer with it. */
#define HOLDER_SAMPLES_MAX 8

/* What the guard says of itself; fencing/guard_client's answer in core's words. */
struct holder_guard {
    instance_id instance;
    int64_t now_us; /* of the server's clock */
    bool enforcing;
    bool bypass;
    bool in_recovery;
};

struct holder_ops {
    void *ctx;
    /* The answer comes by holder_on_guard(), later or never. `token` names this transmission. */
    void (*guard_status)(void *ctx, service_id service, uint64_t token);
    /* Effects without an answer: what became of them shows in the next status. */
    void (*guard_open)(void *ctx, service_id service, instance_id instance, epoch_t epoch, int64_t t0_us,
                       uint32_t hold_ms);
    void (*guard_bypass)(void *ctx, service_id service, bool on, instance_id instance, epoch_t epoch);
    /* RENEW or GRANT into the log; the answer comes by holder_on_outcome(), later or never. */
    void (*submit)(void *ctx, service_id service, uint64_t token, const struct command *command);
    /* To another node, which may answer by holder_on_promise(), later or never. */
    void (*ask)(void *ctx, node_id to, const struct promise_ask *ask);
};

/* What became of a RENEW or GRANT. */
enum holder_answer {
    HOLDER_ACCEPTED,
    HOLDER_REFUSED,
    HOLDER_UNREACHED /* it may or may not be in the log */
};

struct holder_sample { /* one transmission: in memory only */
    uint64_t token;    /* 0: free */
    bool submitted;
    instance_id instance;
    int64_t t0_us; /* server's clock, before anything was sent */
    epoch_t epoch;
    uint32_t hold_ms;
    uint64_t known_index; /* what was applied here before the guard was asked */
    unsigned asked_count; /* for promises; 0: nobody was */
    node_id asked[SITES_MAX];
    uint32_t missing; /* bit per asked one that has not promised yet */
};

struct holder_service {
    int64_t due_us;     /* the next sample */
    epoch_t seen_epoch; /* a new one is renewed at once */
    bool local;         /* this host has a server of the service */
    unsigned next_sample;
    unsigned unanswered; /* renewals since the log has last answered one */
    bool on_promises;    /* what opened the guard last were promises, not the log */
    struct holder_sample samples[HOLDER_SAMPLES_MAX];
};

struct holder {
    node_id self;
    uint64_t last_token;
    uint64_t acts_from; /* log index; 0: not known yet */
    struct holder_ops ops;
    struct command command; /* scratch */
    struct holder_service services[SERVICES_MAX];
};

/* `first_token` is random, so that an answer to an earlier life of this process is not taken for one to this. */
void holder_init(struct holder *h, node_id self, uint64_t first_token, const struct holder_ops *ops);
/* Nothing is done before the applied state has reached `index`, an entry that this life of the process has written: a state that was restored
 * from a snapshot is older than what this node has acted on before. */
void holder_act_from(struct holder *h, uint64_t index);
/* This host has (or no longer has) a server of the service with a guard. */
void holder_set_local(struct holder *h, service_id service, bool local);
/* On a timer of at most a third of renew_ms, and whenever the applied state changed. Returns when it wants to be called again (microseconds
 * of now_us's clock). */
int64_t holder_tick(struct holder *h, const struct state *s, int64_t now_us);
/* `guard` is NULL when it did not answer: that transmission ends without a renewal. */
void holder_on_guard(struct holder *h, const struct state *s, service_id service, uint64_t token,
                     const struct holder_guard *guard);
/* Only a renewal that the log accepted opens the guard, or the promises of all that were asked. */
void holder_on_outcome(struct holder *h, service_id service, uint64_t token, enum holder_answer answer, uint64_t value);
/* `from` has promised, in answer to the transmission `token`. */
void holder_on_promise(struct holder *h, const struct state *s, service_id service, uint64_t token, node_id from);

#endif
