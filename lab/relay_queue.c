#include "relay_queue.h"

#include <stdlib.h>
#include <string.h>

static bool before(const struct packet *a, const struct packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void swap(struct queue *q, size_t a, size_t b)
{
    struct packet *kept = q->heap[a];
    q->heap[a] = q->heap[b];
    q->heap[b] = kept;
}

bool queue_add(struct queue *q, int64_t due_ns, size_t to, const unsigned char *bytes, size_t length)
{
    if (q->count == PACKETS_MAX || length > PACKET_BYTES_MAX)
        return false;
    struct packet *p = malloc(sizeof *p);
    if (p == NULL)
        return false;
    p->due_ns = due_ns;
    p->number = q->number++;
    p->to = to;
    p->length = length;
    memcpy(p->bytes, bytes, length);
    size_t at = q->count++;
    q->heap[at] = p;
    for (; at > 0 && before(q->heap[at], q->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(q, at, (at - 1) / 2);
    return true;
}

int64_t queue_due_ns(const struct queue *q)
{
    return q->count > 0 ? q->heap[0]->due_ns : INT64_MAX;
}

struct packet *queue_take(struct queue *q, int64_t now_ns)
{
    if (queue_due_ns(q) > now_ns)
        return NULL;
    struct packet *first = q->heap[0];
    q->heap[0] = q->heap[--q->count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < q->count; child++)
            if (before(q->heap[child], q->heap[least]))
                least = child;
        if (least == at)
            return first;
        swap(q, at, least);
        at = least;
    }
}
