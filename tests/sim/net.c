/* A packet is one allocation, shared by its duplicates. What is on its way when a direction is cut is lost. */
#include "tests/sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct packet {
    struct net *net;
    unsigned references;
    unsigned from;
    unsigned to;
    net_deliver_fn deliver;
    void *receiver;
    size_t size_bytes;
    max_align_t data[];
};

void net_init(struct net *n, struct sim *sim, unsigned host_count, int64_t delay_min_us, int64_t delay_max_us)
{
    ASSERT(host_count <= NET_HOSTS_MAX);
    *n = (struct net){ .sim = sim, .host_count = host_count };
    for (unsigned i = 0; i < host_count; i++)
        for (unsigned j = 0; j < host_count; j++)
            n->links[i][j] = (struct net_link){ .delay_min_us = i == j ? 5 : delay_min_us,
                                                .delay_max_us = i == j ? 50 : delay_max_us };
}

static void packet_release(void *ctx)
{
    struct packet *p = ctx;

    if (--p->references == 0)
        free(p);
}

static void packet_arrive(void *ctx)
{
    struct packet *p = ctx;

    if (p->net->links[p->from][p->to].cut)
        p->net->lost_count++;
    else
        p->deliver(p->receiver, p->from, p->data, p->size_bytes);
    packet_release(p);
}

static void packet_schedule(struct packet *p, struct sim_process *process, bool stream)
{
    struct sim *s = p->net->sim;
    struct net_link *link = &p->net->links[p->from][p->to];
    int64_t delay_us = sim_between(s, link->delay_min_us, link->delay_max_us);
    bool ordered = link->ordered || stream;

    if (!ordered && sim_chance(s, link->straggler_ppm))
        delay_us = sim_between(s, 0, STRAGGLER_MAX_US);
    if (ordered && s->now_us + delay_us < link->last_arrival_us)
        delay_us = link->last_arrival_us - s->now_us;
    if (ordered)
        link->last_arrival_us = s->now_us + delay_us;
    p->references++;
    sim_after(s, delay_us, process, packet_arrive, packet_release, p);
}

static bool send(struct net *n, unsigned from, unsigned to, struct sim_process *process, net_deliver_fn deliver,
                 void *receiver, const void *data, size_t size_bytes, bool stream)
{
    struct net_link *link = &n->links[from][to];
    struct packet *p;

    ASSERT(from < n->host_count && to < n->host_count);
    n->sent_count++;
    if (link->cut || sim_chance(n->sim, link->loss_ppm)) {
        n->lost_count++;
        return !link->cut && !stream;
    }
    p = malloc(sizeof(*p) + size_bytes);
    ASSERT(p != NULL);
    *p = (struct packet){ .net = n,
                          .references = 1,
                          .from = from,
                          .to = to,
                          .deliver = deliver,
                          .receiver = receiver,
                          .size_bytes = size_bytes };
    memcpy(p->data, data, size_bytes);
    packet_schedule(p, process, stream);
    if (!stream && sim_chance(n->sim, link->duplicate_ppm))
        packet_schedule(p, process, false);
    packet_release(p);
    return true;
}

bool net_send(struct net *n, unsigned from, unsigned to, struct sim_process *process, net_deliver_fn deliver,
              void *receiver, const void *data, size_t size_bytes)
{
    return send(n, from, to, process, deliver, receiver, data, size_bytes, false);
}

bool net_send_stream(struct net *n, unsigned from, unsigned to, struct sim_process *process, net_deliver_fn deliver,
                     void *receiver, const void *data, size_t size_bytes)
{
    return send(n, from, to, process, deliver, receiver, data, size_bytes, n->streams);
}

void net_cut(struct net *n, unsigned from, unsigned to, bool cut)
{
    n->links[from][to].cut = cut;
}

void net_partition(struct net *n, uint32_t side, bool cut)
{
    for (unsigned i = 0; i < n->host_count; i++)
        for (unsigned j = 0; j < n->host_count; j++)
            if (((side >> i) & 1) != ((side >> j) & 1))
                n->links[i][j].cut = cut;
}

void net_heal(struct net *n)
{
    for (unsigned i = 0; i < n->host_count; i++)
        for (unsigned j = 0; j < n->host_count; j++)
            n->links[i][j].cut = false;
}
