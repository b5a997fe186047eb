/* The disk of one Raft node: what is on it after a crash. Term and vote are written at once, as libraft does it; the log changes
 * through operations that the writer (raft_io_mem) completes in order. Lives outside of every arena: it survives its node. */
#ifndef COORD_SIM_DISK_H
#define COORD_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_entry {
    uint64_t term;
    int type;
    size_t size_bytes;
    void *data;
};

struct disk_snapshot {
    uint64_t index; /* 0: there is none */
    uint64_t term;
    uint64_t configuration_index;
    size_t configuration_bytes;
    void *configuration; /* as libraft encodes it */
    size_t size_bytes;
    void *data;
};

struct disk {
    int64_t latency_min_us; /* of one write */
    int64_t latency_max_us;
    uint64_t term;
    uint64_t vote;
    uint64_t first_index; /* of entries[0]; what follows the snapshot when there is no entry */
    size_t entry_count;
    size_t entry_capacity;
    struct disk_entry *entries;
    struct disk_snapshot snapshot;
};

void disk_init(struct disk *d);
/* As fast as it was at first. */
void disk_heal(struct disk *d);
void disk_close(struct disk *d);
uint64_t disk_last_index(const struct disk *d);
/* Copies the data. */
void disk_append(struct disk *d, uint64_t term, int type, const void *data, size_t size_bytes);
/* Forgets every entry from `index` on. */
void disk_truncate(struct disk *d, uint64_t index);
/* Takes the snapshot's allocations. Keeps `trailing` entries before its index; with 0 the whole log goes, as when a snapshot is installed. */
void disk_put_snapshot(struct disk *d, const struct disk_snapshot *snapshot, unsigned trailing);
/* A copy of the whole disk, for tests that go back to an earlier one. */
void disk_copy(struct disk *to, const struct disk *from);

#endif
