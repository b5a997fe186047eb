/* What storage_uv.c and storage_bootstrap.c share: names, the identity, the lock, writes that are on the disk when they return. */
#ifndef COORD_RAFT_STORAGE_FILES_H
#define COORD_RAFT_STORAGE_FILES_H

#include "raft/storage_uv.h"

#define STORAGE_FORMAT 2 /* of the whole directory. 1: it has no receipt yet */
#define STORAGE_IDENTITY_BYTES (28 + ADDRESS_MAX_BYTES)
#define STORAGE_WAY_OUT                                                                                                \
    " - never to be started from again; `coordd quarantine -c FILE` puts it aside and says how to rejoin"
#define STORAGE_NOTHING_HERE                                                                                           \
    " does not exist: this node was never bootstrapped, or its directory was emptied; a node that was a member "       \
    "before comes back under a new id (`coordctl members remove`, `add`), never by a second bootstrap"

/* dir/name; INVALID when it is longer than libraft takes. */
enum status storage_path(char *out, size_t capacity, const char *dir, const char *name, struct error *err);

void storage_identity_encode(const struct storage_identity *identity, uint8_t out[STORAGE_IDENTITY_BYTES]);
/* CORRUPT, or REFUSED: a newer format. *format is what the file says. */
enum status storage_identity_decode(const uint8_t *in, size_t length, struct storage_identity *out, uint32_t *format);
/* As storage_uv_open says. */
enum status storage_identity_read(const char *path, struct storage_identity *out, uint32_t *format, struct error *err);

/* node_dir/generation; the first one when there is no such file. CORRUPT, FAILED. */
enum status storage_generation_read(const char *node_dir, struct storage_generation *out, struct error *err);
/* Replaces it, synced. */
enum status storage_generation_write(const char *node_dir, const struct storage_generation *generation,
                                     struct error *err);

/* A new file, synced; fails when it exists. */
enum status storage_file_write(const char *path, const uint8_t *bytes, size_t length, struct error *err);
enum status storage_directory_sync(const char *path, struct error *err);
/* data_dir/lock; *fd is to be closed. REFUSED: another process has it. */
enum status storage_lock(const char *data_dir, int *fd, struct error *err);

#endif
