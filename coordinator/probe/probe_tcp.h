/* Path evidence: does the port accept a connection? Says nothing about what listens there. */
#ifndef COORD_PROBE_PROBE_TCP_H
#define COORD_PROBE_PROBE_TCP_H

#include <uv.h>

#include "io/resolve.h"
#include "probe/probe.h"

struct probe_tcp_config {
    const char *host; /* name or address */
    uint16_t port;
};

/* Copies `config`; borrows `loop` and `resolver` until closed. */
struct probe probe_tcp_create(uv_loop_t *loop, struct resolver *resolver, const struct probe_tcp_config *config);

#endif
