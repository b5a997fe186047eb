/* A simulated network of hosts: it loses, delays, reorders, duplicates and cuts, each direction of each pair on its own.
 * What a packet means is the receiver's business. */
#ifndef COORD_SIM_NET_H
#define COORD_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/sim.h"

#define NET_HOSTS_MAX 20
#define STRAGGLER_MAX_US (3 * SIM_US_PER_S)

struct net_link {
    bool cut;
    bool ordered; /* like one stream: a later packet never overtakes an earlier one */
    uint32_t loss_ppm;
    uint32_t duplicate_ppm;
    uint32_t straggler_ppm; /* on its way for up to STRAGGLER_MAX_US, where packets may overtake each other */
    int64_t delay_min_us;
    int64_t delay_max_us;
    int64_t last_arrival_us; /* of what keeps its order */
};

/* Borrows `data` until it returns. Called in the receiver's process, once per copy that arrives. */
typedef void (*net_deliver_fn)(void *receiver, unsigned from, const void *data, size_t size_bytes);

struct net {
    struct sim *sim;
    unsigned host_count;
    bool streams; /* net_send_stream sends streams; else packets like all others: harsher than any stream */
    struct net_link links[NET_HOSTS_MAX][NET_HOSTS_MAX]; /* [from][to] */
    uint64_t sent_count;
    uint64_t lost_count;
};

void net_init(struct net *n, struct sim *sim, unsigned host_count, int64_t delay_min_us, int64_t delay_max_us);
/* Copies the data into one packet for `process` at host `to`. False when the direction is cut. */
bool net_send(struct net *n, unsigned from, unsigned to, struct sim_process *process, net_deliver_fn deliver,
              void *receiver, const void *data, size_t size_bytes);
/* The same on a stream: nothing overtakes or is doubled, what is lost breaks the connection, and the sender notices. (What is on its way when a direction is cut is lost all the
 * same, without a word.) */
bool net_send_stream(struct net *n, unsigned from, unsigned to, struct sim_process *process, net_deliver_fn deliver,
                     void *receiver, const void *data, size_t size_bytes);
void net_cut(struct net *n, unsigned from, unsigned to, bool cut);
/* Both directions between the hosts of `side` (a bit mask) and all others. */
void net_partition(struct net *n, uint32_t side, bool cut);
void net_heal(struct net *n);

#endif
