/* How the other nodes' connections fared: a plain value, for metrics. */
#ifndef COORD_RAFT_TRANSPORT_COUNTERS_H
#define COORD_RAFT_TRANSPORT_COUNTERS_H

#include <stdint.h>

struct transport_counters {
    uint64_t accepted;
    uint64_t refused_certificate; /* the handshake failed */
    uint64_t refused_hello;       /* who it is, or says it is, may not connect */
    uint64_t refused_slow;        /* no hello in time */
    uint64_t refused_full;        /* more at once than TRANSPORT_HELLOS_MAX */
    uint64_t bad_raft_messages, dials, dials_failed;
};

#endif
