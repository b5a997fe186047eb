/* What happened, for people: a bounded, replicated ring that `coordctl events` follows. Decides nothing. */
#ifndef COORD_CORE_EVENT_H
#define COORD_CORE_EVENT_H

#include "base/ids.h"

#include <stdint.h>

#define EVENTS_MAX 256
#define EVENT_TEXT_MAX_BYTES 200

#define EVENT_KIND_LIST(X)                                                                                             \
    X(EVENT_CLUSTER, "cluster")                                                                                        \
    X(EVENT_CONFIG, "config")                                                                                          \
    X(EVENT_SERVICE, "service") /* armed, disarmed, paused, resumed */                                                 \
    X(EVENT_NODE, "node")       /* heard, silent */                                                                    \
    X(EVENT_OPINION, "opinion")                                                                                        \
    X(EVENT_VERDICT, "verdict")                                                                                        \
    X(EVENT_LEASE, "lease")                                                                                            \
    X(EVENT_CERTIFICATE, "certificate")                                                                                \
    X(EVENT_GATE, "gate")                                                                                              \
    X(EVENT_OPERATION, "operation")                                                                                    \
    X(EVENT_STEP, "step")                                                                                              \
    X(EVENT_PROMOTE, "promote") /* the point of no return */                                                           \
    X(EVENT_ALARM, "alarm")     /* somebody must act */
#define EVENT_ENUM(name, word) name,
enum event_kind { EVENT_KIND_LIST(EVENT_ENUM) EVENT_KIND_COUNT };
#undef EVENT_ENUM

struct event {
    uint64_t number; /* rises by one; 0: free slot */
    uint64_t index;  /* log entry */
    int64_t at_ms;
    enum event_kind kind;
    service_id service;     /* SERVICE_NONE */
    site_id site;           /* SITE_NONE */
    operation_id operation; /* 0 */
    char text[EVENT_TEXT_MAX_BYTES];
};

struct event_ring {
    uint64_t last_number;
    struct event slots[EVENTS_MAX]; /* event n at n % EVENTS_MAX */
};

struct state;
const char *event_kind_word(enum event_kind kind);
/* Takes index and time from the entry that is being applied. */
void event_add(struct state *s, enum event_kind kind, service_id service, site_id site, operation_id operation,
               const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Event `number`, or NULL when it is not kept (any more). */
const struct event *event_get(const struct state *s, uint64_t number);

#endif
