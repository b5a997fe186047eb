/* Each block has a header with its neighbours in the arena it was made in. A free needs no current arena: the header knows. */
#include "tests/sim/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <raft.h>

#include "base/check.h"

#define ARENA_HEADER_BYTES 64 /* keeps the alignment that malloc gives */

struct arena_block {
    struct arena *owner;
    struct arena_block *previous;
    struct arena_block *next;
    size_t size_bytes;
};

_Static_assert(sizeof(struct arena_block) <= ARENA_HEADER_BYTES, "the header must fit");

/* The one mutable global of the simulator, because libraft's own allocator is one. */
static struct arena *current;

static struct arena_block *block_of(void *data)
{
    return (struct arena_block *)((char *)data - ARENA_HEADER_BYTES);
}

static void *block_data(struct arena_block *b)
{
    return (char *)b + ARENA_HEADER_BYTES;
}

static void link_block(struct arena *a, struct arena_block *b)
{
    b->owner = a;
    b->previous = NULL;
    b->next = a->blocks;
    if (a->blocks != NULL)
        a->blocks->previous = b;
    a->blocks = b;
    a->block_count++;
}

static void unlink_block(struct arena_block *b)
{
    if (b->previous != NULL)
        b->previous->next = b->next;
    else
        b->owner->blocks = b->next;
    if (b->next != NULL)
        b->next->previous = b->previous;
    b->owner->block_count--;
}

static void *arena_malloc(void *unused, size_t size)
{
    struct arena_block *b = malloc(ARENA_HEADER_BYTES + size);

    (void)unused;
    ASSERT(b != NULL);
    ASSERT(current != NULL);
    b->size_bytes = size;
    link_block(current, b);
    return block_data(b);
}

static void arena_free(void *unused, void *data)
{
    (void)unused;
    if (data == NULL)
        return;
    unlink_block(block_of(data));
    free(block_of(data));
}

static void *arena_calloc(void *unused, size_t count, size_t size)
{
    void *data = arena_malloc(unused, count * size);

    memset(data, 0, count * size);
    return data;
}

static void *arena_realloc(void *unused, void *data, size_t size)
{
    void *moved = arena_malloc(unused, size);

    if (data != NULL) {
        size_t old = block_of(data)->size_bytes;
        memcpy(moved, data, old < size ? old : size);
        arena_free(unused, data);
    }
    return moved;
}

static void *arena_aligned_alloc(void *unused, size_t alignment, size_t size)
{
    ASSERT(alignment <= 16);
    return arena_malloc(unused, size);
}

static void arena_aligned_free(void *unused, size_t alignment, void *data)
{
    (void)alignment;
    arena_free(unused, data);
}

void arena_init(struct arena *a)
{
    *a = (struct arena){ 0 };
}

struct arena *arena_enter(struct arena *a)
{
    static struct raft_heap heap = { .malloc = arena_malloc,
                                     .free = arena_free,
                                     .calloc = arena_calloc,
                                     .realloc = arena_realloc,
                                     .aligned_alloc = arena_aligned_alloc,
                                     .aligned_free = arena_aligned_free };
    struct arena *previous = current;

    if (raft_heap_get() != &heap)
        raft_heap_set(&heap);
    current = a;
    return previous;
}

void arena_clear(struct arena *a)
{
    while (a->blocks != NULL)
        arena_free(NULL, block_data(a->blocks));
    ASSERT(a->block_count == 0);
}
