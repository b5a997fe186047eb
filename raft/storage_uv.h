/* The directory of one node's Raft log on a real disk.
 *
 *   data_dir/lock            flock: one process per directory (libraft takes no lock of its own)
 *   data_dir/node/identity   format of all of this, cluster, raft id and address, with a checksum; written once
 *   data_dir/node/receipt    what the node has told others that it holds: raft/receipt.h
 *   data_dir/node/generation which life of the cluster the log belongs to, and who began it; none: the first
 *   data_dir/node/condemned  why the node must never start from here again, when its leader found that it forgot something
 *   data_dir/node/raft/      libraft's own; holds nothing else
 *   data_dir/node.new/       a bootstrap that has not finished; the next one removes it
 *   data_dir/quarantine-*    a node/ that was put aside; nobody starts from it, and its id is not taken again
 *
 * Decides: may this directory be started from, may it be bootstrapped. A directory that lost its content is never bootstrapped again
 * under the same id, because the node would forget what it acknowledged: bootstrap is one explicit act of the operator.
 * Bootstrap is atomic: everything is written and synced in node.new, then renamed. */
#ifndef COORD_RAFT_STORAGE_UV_H
#define COORD_RAFT_STORAGE_UV_H

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "raft/receipt.h"
#include "raft/rnode.h"

#include <limits.h>

struct storage_identity {
    uint64_t cluster; /* made from the first member list; two clusters never talk to each other */
    node_id id;
    char address[ADDRESS_MAX_BYTES];
};

#define STORAGE_WHO_MAX_BYTES 64
#define STORAGE_REASON_MAX_BYTES 128

struct storage_generation {
    uint64_t number; /* 1: the first */
    char who[STORAGE_WHO_MAX_BYTES];
    char reason[STORAGE_REASON_MAX_BYTES]; /* of the forced recovery that began it at this node; "" elsewhere */
};

struct storage_uv {
    int lock_fd;
    struct storage_identity identity;
    struct storage_generation generation;
    struct receipt_content metadata; /* what libraft's files hold */
    char node_dir[PATH_MAX];
    char raft_dir[PATH_MAX];
    char receipt_path[PATH_MAX];
    char condemned_path[PATH_MAX];
};

/* Writes the first log entry of a new cluster, the member list, at node `id` (one of `members`). Every first member does this once with
 * the same list. REFUSED when the directory already holds a node, or one that was put aside. */
enum status storage_uv_bootstrap(const char *data_dir, const struct rnode_member *members, size_t member_count,
                                 node_id id, struct error *err);

/* A directory for a node that joins a cluster which runs: its identity, and an empty log that the leader fills. REFUSED when the directory already
 * holds a node, or one of this id that was put aside. */
enum status storage_uv_join(const char *data_dir, const struct storage_identity *identity, uint64_t generation,
                            struct error *err);

/* Locks the directory and checks identity, free space and content (raft/storage_check.h). REFUSED: another process has it, or too little space;
 * NOT_FOUND: never bootstrapped; INVALID: a newer format, or a file in raft/ that libraft did not write; CORRUPT: the node may have forgotten
 * what it acknowledged, only storage_uv_quarantine gets out; FAILED: the disk does not answer, another try may work. */
enum status storage_uv_open(struct storage_uv *storage, const char *data_dir, struct error *err);
void storage_uv_close(struct storage_uv *storage);

/* From now on CORRUPT, with this reason; synced. The directory is open. */
enum status storage_uv_condemn(const struct storage_uv *storage, const char *reason, struct error *err);

/* Renames node/ to a quarantine-* (given) beside it; nothing is removed. `identity` is what it was, zero when that cannot be read. REFUSED: a
 * process runs it; NOT_FOUND: there is none. */
enum status storage_uv_quarantine(const char *data_dir, struct storage_identity *identity, char *moved_to,
                                  size_t capacity, struct error *err);

#endif
