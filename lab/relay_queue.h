/* Packets that are under way, in the order in which they arrive. Owned by one thread. */
#ifndef LAB_RELAY_QUEUE_H
#define LAB_RELAY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKET_BYTES_MAX = 2048, PACKETS_MAX = 32768 };

struct packet {
    int64_t due_ns;
    uint64_t number; /* of two that are due at the same time the one that was sent first arrives first */
    size_t to;
    size_t length;
    unsigned char bytes[PACKET_BYTES_MAX];
};

struct queue {
    struct packet *heap[PACKETS_MAX];
    size_t count;
    uint64_t number;
};

/* Copies `bytes`. False when the queue is full: the packet is lost, as in a router. */
bool queue_add(struct queue *q, int64_t due_ns, size_t to, const unsigned char *bytes, size_t length);

/* When the next packet is due; INT64_MAX without one. */
int64_t queue_due_ns(const struct queue *q);

/* Gives the next packet, which the caller frees; NULL while none is due at `now_ns`. */
struct packet *queue_take(struct queue *q, int64_t now_ns);

#endif
