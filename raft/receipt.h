/* What this node has told others that it holds, in a small file beside libraft's: the only way to tell a directory that lost something from
 * one that never had it. libraft's own files cannot: term and vote have no checksum, and the end of the log is wherever reading stops.
 *
 *   node/receipt   two slots of 4096 bytes, written in turn, each with a number and a checksum; the higher good one counts
 *
 * What it promises, and why it is exactly this:
 *  - term and vote: written and synced after libraft's own file and before libraft acts on them. So after any crash libraft's file is as new
 *    as the receipt, or one version newer, and then nobody was told. An older file, or another content, is damage or an old copy.
 *  - last_index: everything up to it was on the disk when it was written, and it is lowered, synced, before anything below it is removed. So a
 *    good directory never holds less. It runs behind by up to one heartbeat (a sync of its own for each entry would double the time of every
 *    commit): what lies between is protected by the log's checksums alone, and by the leader, who remembers what each member acknowledged
 *    (raft/io_guard.h). It is never ahead: what lies behind it and cannot be read is a write or a removal that did not finish.
 *
 * A slot that is bad is the write that a crash interrupted; two bad ones are damage. */
#ifndef COORD_RAFT_RECEIPT_H
#define COORD_RAFT_RECEIPT_H

#include "base/ids.h"
#include "base/status.h"

#include <uv.h>

#include <stdbool.h>
#include <stdint.h>

#define RECEIPT_SLOT_BYTES 4096
#define RECEIPT_FILE_BYTES (2 * RECEIPT_SLOT_BYTES)

struct receipt_content {
    uint64_t metadata_version; /* of libraft's metadata file; 0: it has written none */
    uint64_t term;
    node_id vote;        /* in that term; 0: none */
    uint64_t last_index; /* at least so far goes the log (or the snapshot) */
};

/* Writes and syncs a new file; the directory is the caller's to sync. */
enum status receipt_create(const char *path, const struct receipt_content *content, struct error *err);
/* NOT_FOUND; CORRUPT: neither slot is good; FAILED: the disk does not give it. */
enum status receipt_read(const char *path, struct receipt_content *out, struct error *err);

/* The file of a node that runs. Owned by the loop's thread; one write at a time, whoever writes. */
struct receipt {
    int fd;
    uv_mutex_t writing;
    uint64_t sequence; /* of the last write */
    struct receipt_content content;
    uint64_t work_index;   /* what content.last_index becomes; these three are under `writing` while the work runs */
    uint64_t stored_index; /* what it is to become later */
    uv_work_t work;        /* in the thread pool: a slow disk must not hold up the loop for this */
    bool work_runs;
    int work_errno;
    bool closing;
    void (*failed)(void *ctx, const char *reason); /* from the loop, at most once: the work's write failed */
    void (*closed)(void *ctx);
    void *ctx;
};

/* Opens a file that receipt_read has read. */
enum status receipt_open(struct receipt *r, const char *path, void (*failed)(void *ctx, const char *reason), void *ctx,
                         struct error *err);
/* Synced when they return; 0 or an errno. They wait for a write that is under way in the thread pool. */
int receipt_term(struct receipt *r, uint64_t metadata_version, uint64_t term, node_id vote);
int receipt_lower(struct receipt *r, uint64_t last_index);
/* Everything up to it is on the disk: written by one of the next receipt_tick. Never lowers; never waits. */
void receipt_stored(struct receipt *r, uint64_t last_index);
void receipt_tick(struct receipt *r, uv_loop_t *loop);
/* Writes what is due; `closed` fires later. */
void receipt_close(struct receipt *r, uv_loop_t *loop, void (*closed)(void *ctx), void *ctx);

#endif
