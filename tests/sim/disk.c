#include "tests/sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define DISK_LATENCY_MIN_US 50
#define DISK_LATENCY_MAX_US 4000

void disk_init(struct disk *d)
{
    *d = (struct disk){ .first_index = 1 };
    disk_heal(d);
}

void disk_heal(struct disk *d)
{
    d->latency_min_us = DISK_LATENCY_MIN_US;
    d->latency_max_us = DISK_LATENCY_MAX_US;
}

static void *copy_of(const void *data, size_t size_bytes)
{
    void *copy = malloc(size_bytes > 0 ? size_bytes : 1);

    ASSERT(copy != NULL);
    if (size_bytes > 0)
        memcpy(copy, data, size_bytes);
    return copy;
}

static void snapshot_free(struct disk_snapshot *s)
{
    free(s->configuration);
    free(s->data);
    *s = (struct disk_snapshot){ 0 };
}

void disk_close(struct disk *d)
{
    disk_truncate(d, d->first_index);
    free(d->entries);
    snapshot_free(&d->snapshot);
    disk_init(d);
}

uint64_t disk_last_index(const struct disk *d)
{
    return d->first_index + d->entry_count - 1;
}

void disk_append(struct disk *d, uint64_t term, int type, const void *data, size_t size_bytes)
{
    if (d->entry_count == d->entry_capacity) {
        d->entry_capacity = d->entry_capacity == 0 ? 64 : d->entry_capacity * 2;
        d->entries = realloc(d->entries, d->entry_capacity * sizeof(struct disk_entry));
        ASSERT(d->entries != NULL);
    }
    d->entries[d->entry_count++] =
        (struct disk_entry){ .term = term, .type = type, .size_bytes = size_bytes, .data = copy_of(data, size_bytes) };
}

void disk_truncate(struct disk *d, uint64_t index)
{
    ASSERT(index >= d->first_index);
    while (d->entry_count > 0 && disk_last_index(d) >= index)
        free(d->entries[--d->entry_count].data);
}

static void drop_first(struct disk *d, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(d->entries[i].data);
    d->entry_count -= count;
    memmove(d->entries, d->entries + count, d->entry_count * sizeof(struct disk_entry));
    d->first_index += count;
}

void disk_put_snapshot(struct disk *d, const struct disk_snapshot *snapshot, unsigned trailing)
{
    uint64_t keep_from = snapshot->index > trailing ? snapshot->index - trailing + 1 : 1;

    ASSERT(snapshot->index > 0);
    snapshot_free(&d->snapshot);
    d->snapshot = *snapshot;
    if (trailing == 0) {
        disk_truncate(d, d->first_index);
        d->first_index = snapshot->index + 1;
        return;
    }
    ASSERT(disk_last_index(d) >= snapshot->index);
    if (keep_from > d->first_index)
        drop_first(d, (size_t)(keep_from - d->first_index));
}

void disk_copy(struct disk *to, const struct disk *from)
{
    *to = *from;
    to->entries = NULL;
    to->entry_count = 0;
    to->entry_capacity = 0;
    for (size_t i = 0; i < from->entry_count; i++) {
        const struct disk_entry *e = &from->entries[i];
        disk_append(to, e->term, e->type, e->data, e->size_bytes);
    }
    to->snapshot.configuration = copy_of(from->snapshot.configuration, from->snapshot.configuration_bytes);
    to->snapshot.data = copy_of(from->snapshot.data, from->snapshot.size_bytes);
}
