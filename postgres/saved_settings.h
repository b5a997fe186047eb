/* A small file of ours with what sever replaced, so that unsever can put it back, also by another process after a crash.
 * Blocking: sever calls it on a worker thread. The directory is coordd's own, not PostgreSQL's: the file holds a replication password,
 * which PostgreSQL would show to its users in a setting, and pg_basebackup would copy out of its directory. */
#ifndef COORD_POSTGRES_SAVED_SETTINGS_H
#define COORD_POSTGRES_SAVED_SETTINGS_H

#include "base/status.h"

#define SAVED_CONNINFO_MAX 2048

struct saved_settings {
    char primary_conninfo[SAVED_CONNINFO_MAX];
    char retry_interval[32]; /* wal_retrieve_retry_interval */
};

/* Whole or not at all, and on the disk before it returns. */
enum status saved_settings_write(const char *path, const struct saved_settings *saved, struct error *err);
/* STATUS_NOT_FOUND: nothing is saved. STATUS_CORRUPT: not a file of ours. */
enum status saved_settings_read(const char *path, struct saved_settings *saved, struct error *err);
/* Removing what is not there succeeds. */
enum status saved_settings_remove(const char *path, struct error *err);

#endif
