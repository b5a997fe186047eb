#include "raft/storage_uv.h"

#include "io/log.h"
#include "raft/space.h"
#include "raft/storage_check.h"
#include "raft/storage_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* ---- checks ---- */

static bool digits(const char **text)
{
    const char *begin = *text;
    while (**text >= '0' && **text <= '9')
        (*text)++;
    return *text > begin;
}

/* metadata1 metadata2 open-N FIRST-LAST snapshot-TERM-INDEX-TIME[.meta] tmp-* */
static bool written_by_libraft(const char *name)
{
    if (strcmp(name, "metadata1") == 0 || strcmp(name, "metadata2") == 0 || strncmp(name, "tmp-", 4) == 0)
        return true;
    bool snapshot = strncmp(name, "snapshot-", 9) == 0;
    bool open_segment = strncmp(name, "open-", 5) == 0;
    const char *p = name + (snapshot ? 9 : 0) + (open_segment ? 5 : 0);
    if (!digits(&p))
        return false;
    if (open_segment)
        return *p == '\0';
    for (int more = snapshot ? 2 : 1; more > 0; more--)
        if (*p++ != '-' || !digits(&p))
            return false;
    return *p == '\0' || (snapshot && strcmp(p, ".meta") == 0);
}

static enum status content_check(const char *raft_dir, struct error *err)
{
    DIR *dir = opendir(raft_dir);
    if (dir == NULL)
        return error_set(err, errno == ENOENT ? STATUS_CORRUPT : STATUS_FAILED, "%s: %m%s", raft_dir,
                         errno == ENOENT ? STORAGE_WAY_OUT : "");
    enum status status = STATUS_OK;
    for (struct dirent *e; status == STATUS_OK && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !written_by_libraft(e->d_name))
            status = error_set(err, STATUS_INVALID,
                               "%s holds '%.100s', which the Raft log did not put there: move it out of the directory",
                               raft_dir, e->d_name);
    }
    closedir(dir);
    return status;
}

static enum status space_check(const struct storage_uv *storage, struct error *err)
{
    struct statvfs fs;
    if (statvfs(storage->raft_dir, &fs) != 0)
        return error_set(err, STATUS_FAILED, "%s: %m", storage->raft_dir);
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < SPACE_MIN_BYTES)
        return error_set(err, STATUS_REFUSED, "%s: %" PRIu64 " MiB free; a node needs %llu MiB", storage->raft_dir,
                         free_bytes >> 20, SPACE_MIN_BYTES >> 20);
    return STATUS_OK;
}

/* ---- what it has told others ---- */

static enum status identity_replace(const char *node_dir, const struct storage_identity *identity, struct error *err)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    uint8_t bytes[STORAGE_IDENTITY_BYTES];
    enum status status = storage_path(path, sizeof path, node_dir, "identity", err);
    if (status == STATUS_OK)
        status = storage_path(fresh, sizeof fresh, node_dir, "identity.new", err);
    if (status != STATUS_OK)
        return status;
    storage_identity_encode(identity, bytes);
    (void)unlink(fresh); /* of an attempt that did not finish */
    status = storage_file_write(fresh, bytes, sizeof bytes, err);
    if (status == STATUS_OK && rename(fresh, path) != 0)
        status = error_set(err, STATUS_FAILED, "rename of %s: %m", fresh);
    return status == STATUS_OK ? storage_directory_sync(node_dir, err) : status;
}

/* A directory of format 1 gets a receipt for what it holds now, and then the format that demands one. */
static enum status receipt_add(struct storage_uv *storage, struct error *err)
{
    struct receipt_content found;
    enum status status = storage_check(storage->raft_dir, NULL, &found, err);
    if (status == STATUS_OK)
        status = receipt_create(storage->receipt_path, &found, err);
    if (status == STATUS_OK)
        status = storage_directory_sync(storage->node_dir, err);
    if (status == STATUS_OK)
        status = identity_replace(storage->node_dir, &storage->identity, err);
    if (status == STATUS_OK)
        log_event(LOG_LEVEL_INFO, "directory_upgraded", "directory=%s format=%d", storage->node_dir, STORAGE_FORMAT);
    return status;
}

static enum status condemned_check(const struct storage_uv *storage, struct error *err)
{
    char text[200] = "";
    int fd = open(storage->condemned_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return STATUS_OK;
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", storage->condemned_path);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return error_set(err, STATUS_CORRUPT, "%s: %s" STORAGE_WAY_OUT, storage->condemned_path, text);
}

static enum status log_check(struct storage_uv *storage, uint32_t format, struct error *err)
{
    struct receipt_content told, found;
    enum status status = content_check(storage->raft_dir, err);
    if (status == STATUS_OK && format == 1)
        status = receipt_add(storage, err);
    if (status == STATUS_OK)
        status = receipt_read(storage->receipt_path, &told, err);
    if (status == STATUS_NOT_FOUND)
        status = STATUS_CORRUPT; /* "... No such file or directory" */
    if (status == STATUS_OK)
        status = storage_check(storage->raft_dir, &told, &found, err);
    if (status == STATUS_CORRUPT) {
        struct error what = *err;
        return error_set(err, STATUS_CORRUPT, "%s" STORAGE_WAY_OUT, what.text);
    }
    storage->metadata = found;
    return status;
}

static enum status paths_make(struct storage_uv *storage, const char *data_dir, char *identity, size_t capacity,
                              struct error *err)
{
    enum status status = storage_path(storage->node_dir, sizeof storage->node_dir, data_dir, "node", err);
    if (status == STATUS_OK)
        status = storage_path(identity, capacity, storage->node_dir, "identity", err);
    if (status == STATUS_OK)
        status = storage_path(storage->raft_dir, sizeof storage->raft_dir, storage->node_dir, "raft", err);
    if (status == STATUS_OK)
        status = storage_path(storage->receipt_path, sizeof storage->receipt_path, storage->node_dir, "receipt", err);
    if (status == STATUS_OK)
        status =
            storage_path(storage->condemned_path, sizeof storage->condemned_path, storage->node_dir, "condemned", err);
    return status;
}

enum status storage_uv_open(struct storage_uv *storage, const char *data_dir, struct error *err)
{
    char identity[PATH_MAX];
    struct error unasked;
    uint32_t format = 0;
    if (err == NULL)
        err = &unasked;
    *storage = (struct storage_uv){ .lock_fd = -1 };
    if (access(data_dir, F_OK) != 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "%s" STORAGE_NOTHING_HERE, data_dir);
    enum status status = storage_lock(data_dir, &storage->lock_fd, err);
    if (status == STATUS_OK)
        status = paths_make(storage, data_dir, identity, sizeof identity, err);
    if (status == STATUS_OK)
        status = storage_identity_read(identity, &storage->identity, &format, err);
    if (status == STATUS_OK)
        status = condemned_check(storage, err);
    if (status == STATUS_OK)
        status = storage_generation_read(storage->node_dir, &storage->generation, err);
    if (status == STATUS_OK)
        status = log_check(storage, format, err);
    if (status == STATUS_OK)
        status = space_check(storage, err);
    if (status != STATUS_OK)
        storage_uv_close(storage);
    return status;
}

enum status storage_uv_condemn(const struct storage_uv *storage, const char *reason, struct error *err)
{
    enum status status = storage_file_write(storage->condemned_path, (const uint8_t *)reason, strlen(reason),
                                            err); /* refuses a second one */
    return status == STATUS_OK ? storage_directory_sync(storage->node_dir, err) : status;
}

enum status storage_uv_quarantine(const char *data_dir, struct storage_identity *identity, char *moved_to,
                                  size_t capacity, struct error *err)
{
    char node_dir[PATH_MAX], path[PATH_MAX], name[64];
    struct timespec now;
    struct tm utc;
    uint32_t format = 0;
    int lock_fd = -1;
    *identity = (struct storage_identity){ 0 };
    enum status status = storage_path(node_dir, sizeof node_dir, data_dir, "node", err);
    if (status == STATUS_OK)
        status = storage_path(path, sizeof path, node_dir, "identity", err);
    if (status == STATUS_OK && access(node_dir, F_OK) != 0 && errno != EACCES) /* the lock says more */
        status = error_set(err, STATUS_NOT_FOUND, "%s: %m: nothing to put aside", node_dir);
    if (status == STATUS_OK)
        status = storage_lock(data_dir, &lock_fd, err);
    if (status != STATUS_OK)
        return status;
    if (storage_identity_read(path, identity, &format, NULL) != STATUS_OK)
        *identity = (struct storage_identity){ 0 }; /* the id is the operator's to know */
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(name, sizeof name, "quarantine-%Y%m%dT%H%M%SZ", &utc);
    status = storage_path(moved_to, capacity, data_dir, name, err);
    if (status == STATUS_OK && access(moved_to, F_OK) == 0)
        status = error_set(err, STATUS_REFUSED, "%s exists: try again in a second", moved_to);
    if (status == STATUS_OK && rename(node_dir, moved_to) != 0)
        status = error_set(err, STATUS_FAILED, "rename of %s to %s: %m", node_dir, moved_to);
    if (status == STATUS_OK)
        status = storage_directory_sync(data_dir, err);
    close(lock_fd);
    return status;
}

void storage_uv_close(struct storage_uv *storage)
{
    if (storage->lock_fd >= 0)
        close(storage->lock_fd);
    storage->lock_fd = -1;
}
