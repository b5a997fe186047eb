#include "raft/storage_uv.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "io/log.h"

#include <stdarg.h>

#include <raft/uv.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define IDENTITY_MAGIC 0x44494f43u /* "COID" */
#define IDENTITY_VERSION 1
#define IDENTITY_BYTES (28 + ADDRESS_MAX_BYTES)
#define RAFT_DIR_MAX 880 /* libraft's own limit on the directory's name */

static enum status path_join(char *out, size_t capacity, const char *dir, const char *name, struct error *err)
{
    int n = snprintf(out, capacity, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= capacity || n >= RAFT_DIR_MAX)
        return error_set(err, STATUS_INVALID, "data directory name is too long: %.100s...", dir);
    return STATUS_OK;
}

/* ---- identity ---- */

static void identity_encode(const struct storage_identity *identity, uint8_t out[IDENTITY_BYTES])
{
    struct writer w;
    char address[ADDRESS_MAX_BYTES];
    text_copy(address, sizeof address, identity->address);
    writer_init(&w, out, IDENTITY_BYTES);
    writer_u32(&w, IDENTITY_MAGIC);
    writer_u32(&w, IDENTITY_VERSION);
    writer_u64(&w, identity->cluster);
    writer_u64(&w, identity->id);
    writer_bytes(&w, address, sizeof address);
    writer_u32(&w, crc32c(0, out, w.used));
    ASSERT(writer_ok(&w) && w.used == IDENTITY_BYTES);
}

static enum status identity_decode(const uint8_t *in, size_t length, struct storage_identity *out)
{
    struct reader r;
    reader_init(&r, in, length);
    uint32_t magic = reader_u32(&r);
    uint32_t version = reader_u32(&r);
    out->cluster = reader_u64(&r);
    out->id = reader_u64(&r);
    reader_bytes(&r, out->address, sizeof out->address);
    uint32_t crc = reader_u32(&r);
    if (!reader_done(&r) || magic != IDENTITY_MAGIC || version != IDENTITY_VERSION || out->id == 0 ||
        crc != crc32c(0, in, IDENTITY_BYTES - 4) || memchr(out->address, 0, sizeof out->address) == NULL)
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static enum status identity_read(const char *path, struct storage_identity *out, struct error *err)
{
    uint8_t bytes[IDENTITY_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "%s: this node was never bootstrapped, or its directory was emptied",
                         path);
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    ssize_t n = read(fd, bytes, sizeof bytes);
    close(fd);
    if (n != IDENTITY_BYTES || identity_decode(bytes, (size_t)n, out) != STATUS_OK)
        return error_set(
            err, STATUS_CORRUPT,
            "%s is damaged: move the directory away, remove this node from the cluster and add it under a new id",
            path);
    return STATUS_OK;
}

static enum status file_write(const char *path, const uint8_t *bytes, size_t length, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    bool good = write(fd, bytes, length) == (ssize_t)length && fsync(fd) == 0;
    int saved = errno;
    good = close(fd) == 0 && good;
    errno = saved;
    return good ? STATUS_OK : error_set(err, STATUS_FAILED, "%s: %m", path);
}

static enum status directory_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        error_set(err, STATUS_FAILED, "sync of %s: %m", path);
        if (fd >= 0)
            close(fd);
        return STATUS_FAILED;
    }
    close(fd);
    return STATUS_OK;
}

/* The same member list gives the same cluster, whoever computes it and in whatever order it was written. */
static uint64_t cluster_of(const struct rnode_member *members, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += raft_digest(members[i].address, members[i].id * 2 + (members[i].voter ? 1 : 0));
    return raft_digest("coord cluster", sum);
}

/* ---- lock and checks ---- */

static enum status lock_take(const char *data_dir, int *fd, struct error *err)
{
    char path[PATH_MAX];
    if (path_join(path, sizeof path, data_dir, "lock", err) != STATUS_OK)
        return err->status;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    error_set(err, errno == EWOULDBLOCK ? STATUS_REFUSED : STATUS_FAILED,
              errno == EWOULDBLOCK ? "%s: another process runs this node" : "%s: %m", path);
    close(*fd);
    *fd = -1;
    return err->status;
}

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
        return error_set(err, STATUS_CORRUPT, "%s: %m", raft_dir);
    enum status status = STATUS_OK;
    bool metadata = false;
    for (struct dirent *e; status == STATUS_OK && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        metadata = metadata || strncmp(e->d_name, "metadata", 8) == 0;
        if (!written_by_libraft(e->d_name))
            status = error_set(err, STATUS_CORRUPT,
                               "%s holds '%.100s', which the Raft log did not put there: move it out of the directory",
                               raft_dir, e->d_name);
    }
    closedir(dir);
    if (status == STATUS_OK && !metadata)
        status = error_set(err, STATUS_CORRUPT,
                           "%s has lost its term and vote: move the directory away, remove this node from the cluster "
                           "and add it under a new id",
                           raft_dir);
    return status;
}

uint64_t storage_uv_free_bytes(const struct storage_uv *storage)
{
    struct statvfs fs;
    if (statvfs(storage->raft_dir, &fs) != 0)
        return 0;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static enum status space_check(const struct storage_uv *storage, struct error *err)
{
    uint64_t free_bytes = storage_uv_free_bytes(storage);
    if (free_bytes < STORAGE_FREE_MIN_BYTES)
        return error_set(err, STATUS_REFUSED, "%s: %" PRIu64 " MiB free; a node needs %llu MiB", storage->raft_dir,
                         free_bytes >> 20, STORAGE_FREE_MIN_BYTES >> 20);
    if (free_bytes < STORAGE_FREE_ALARM_BYTES)
        log_event(LOG_LEVEL_WARNING, "disk_space_low", "directory=%s free_mib=%" PRIu64 " wanted_mib=%llu",
                  storage->raft_dir, free_bytes >> 20, STORAGE_FREE_ALARM_BYTES >> 20);
    return STATUS_OK;
}

enum status storage_uv_open(struct storage_uv *storage, const char *data_dir, struct error *err)
{
    char identity[PATH_MAX];
    *storage = (struct storage_uv){ .lock_fd = -1 };
    if (access(data_dir, F_OK) != 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "%s does not exist: this node was never bootstrapped", data_dir);
    enum status status = lock_take(data_dir, &storage->lock_fd, err);
    if (status == STATUS_OK)
        status = path_join(identity, sizeof identity, data_dir, "node/identity", err);
    if (status == STATUS_OK)
        status = path_join(storage->raft_dir, sizeof storage->raft_dir, data_dir, "node/raft", err);
    if (status == STATUS_OK)
        status = identity_read(identity, &storage->identity, err);
    if (status == STATUS_OK)
        status = content_check(storage->raft_dir, err);
    if (status == STATUS_OK)
        status = space_check(storage, err);
    if (status != STATUS_OK)
        storage_uv_close(storage);
    return status;
}

void storage_uv_close(struct storage_uv *storage)
{
    if (storage->lock_fd >= 0)
        close(storage->lock_fd);
    storage->lock_fd = -1;
}

/* ---- bootstrap ---- */

static int no_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
    (void)t, (void)id, (void)address;
    return 0;
}

static void no_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
    cb(t);
}

static void on_io_closed(struct raft_io *io)
{
    raft_uv_close(io);
}

/* libraft writes the first entry: metadata and a segment with the member list. Runs a loop of its own until it has closed. */
static enum status first_entry_write(const char *raft_dir, const struct raft_configuration *configuration, node_id id,
                                     const char *address, struct error *err)
{
    uv_loop_t loop;
    struct raft_io io;
    struct raft_uv_transport transport;
    memset(&io, 0, sizeof io);
    memset(&transport, 0, sizeof transport);
#ifdef RAFT_VERSION_NUMBER
    transport.version = 1;
#endif
    transport.init = no_init; /* nothing else is called before start */
    transport.close = no_close;
    if (uv_loop_init(&loop) != 0)
        return error_set(err, STATUS_FAILED, "no event loop");
    int rv = raft_uv_init(&io, &loop, raft_dir, &transport);
    if (rv != 0) {
        error_set(err, STATUS_FAILED, "bootstrap in %s: %s: %s", raft_dir, raft_strerror(rv), io.errmsg);
        uv_loop_close(&loop);
        return err->status;
    }
    rv = io.init(&io, id, address);
    if (rv == 0)
        rv = io.bootstrap(&io, configuration);
    enum status status = STATUS_OK;
    if (rv != 0)
        status = error_set(err, STATUS_FAILED, "bootstrap in %s: %s: %s", raft_dir, raft_strerror(rv), io.errmsg);
    io.close(&io, on_io_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    rv = uv_loop_close(&loop);
    ASSERT(rv == 0 || status != STATUS_OK);
    return status;
}

static enum status files_sync(const char *dir_path, struct error *err)
{
    DIR *dir = opendir(dir_path);
    if (dir == NULL)
        return error_set(err, STATUS_FAILED, "%s: %m", dir_path);
    enum status status = STATUS_OK;
    for (struct dirent *e; status == STATUS_OK && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) != 0)
            status = error_set(err, STATUS_FAILED, "sync of %s/%.100s: %m", dir_path, e->d_name);
        if (fd >= 0)
            close(fd);
    }
    closedir(dir);
    return status == STATUS_OK ? directory_sync(dir_path, err) : status;
}

/* Removes the plain files of a directory, then itself. What does not exist is fine. */
static enum status directory_remove(const char *path, struct error *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? STATUS_OK : error_set(err, STATUS_FAILED, "%s: %m", path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), e->d_name, 0); /* what remains fails the rmdir below */
    closedir(dir);
    return rmdir(path) == 0 ? STATUS_OK : error_set(err, STATUS_FAILED, "cannot remove %s: %m", path);
}

static enum status members_check(const struct rnode_member *members, size_t count, node_id id, size_t *self,
                                 struct error *err)
{
    *self = count;
    if (count == 0 || count > NODES_MAX)
        return error_set(err, STATUS_INVALID, "a cluster begins with 1 to %d members, not %zu", NODES_MAX, count);
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id)
            *self = i;
        if (members[i].id == 0 || members[i].address[0] == '\0')
            return error_set(err, STATUS_INVALID, "member %zu needs an id above 0 and an address", i + 1);
        for (size_t j = 0; j < i; j++)
            if (members[i].id == members[j].id || strcmp(members[i].address, members[j].address) == 0)
                return error_set(err, STATUS_INVALID, "two members have the id %" PRIu64 " or the address %s",
                                 members[i].id, members[i].address);
    }
    if (*self == count)
        return error_set(err, STATUS_INVALID, "node %" PRIu64 " is not in the list of members", id);
    return STATUS_OK;
}

static enum status configuration_fill(struct raft_configuration *c, const struct rnode_member *members, size_t count,
                                      struct error *err)
{
    raft_configuration_init(c);
    for (size_t i = 0; i < count; i++) {
        int rv =
            raft_configuration_add(c, members[i].id, members[i].address, members[i].voter ? RAFT_VOTER : RAFT_STANDBY);
        if (rv != 0) {
            raft_configuration_close(c);
            return error_set(err, STATUS_FAILED, "member %" PRIu64 ": %s", members[i].id, raft_strerror(rv));
        }
    }
    return STATUS_OK;
}

/* Everything below node.new, synced. */
static enum status node_write(const char *new_dir, const struct rnode_member *members, size_t count, size_t self,
                              struct error *err)
{
    char raft_dir[PATH_MAX], path[PATH_MAX];
    uint8_t bytes[IDENTITY_BYTES];
    struct raft_configuration configuration;
    struct storage_identity identity = { .cluster = cluster_of(members, count), .id = members[self].id };
    text_copy(identity.address, sizeof identity.address, members[self].address);
    if (path_join(raft_dir, sizeof raft_dir, new_dir, "raft", err) != STATUS_OK ||
        path_join(path, sizeof path, new_dir, "identity", err) != STATUS_OK)
        return err->status;
    /* An earlier attempt that did not finish. */
    if (unlink(path) != 0 && errno != ENOENT)
        return error_set(err, STATUS_FAILED, "cannot remove %s: %m", path);
    if (directory_remove(raft_dir, err) != STATUS_OK || directory_remove(new_dir, err) != STATUS_OK)
        return err->status;
    if (mkdir(new_dir, 0700) != 0 || mkdir(raft_dir, 0700) != 0)
        return error_set(err, STATUS_FAILED, "cannot make %s: %m", raft_dir);
    if (configuration_fill(&configuration, members, count, err) != STATUS_OK)
        return err->status;
    enum status status = first_entry_write(raft_dir, &configuration, identity.id, identity.address, err);
    raft_configuration_close(&configuration);
    if (status != STATUS_OK)
        return status;
    identity_encode(&identity, bytes);
    status = file_write(path, bytes, sizeof bytes, err);
    if (status == STATUS_OK)
        status = files_sync(raft_dir, err);
    if (status == STATUS_OK)
        status = directory_sync(new_dir, err);
    return status;
}

enum status storage_uv_bootstrap(const char *data_dir, const struct rnode_member *members, size_t member_count,
                                 node_id id, struct error *err)
{
    char node_dir[PATH_MAX], new_dir[PATH_MAX];
    size_t self = 0;
    int lock_fd = -1;
    enum status status = members_check(members, member_count, id, &self, err);
    if (status == STATUS_OK)
        status = path_join(node_dir, sizeof node_dir, data_dir, "node", err);
    if (status == STATUS_OK)
        status = path_join(new_dir, sizeof new_dir, data_dir, "node.new", err);
    if (status != STATUS_OK)
        return status;
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return error_set(err, STATUS_FAILED, "cannot make %s: %m", data_dir);
    status = lock_take(data_dir, &lock_fd, err);
    if (status != STATUS_OK)
        return status;
    if (access(node_dir, F_OK) == 0)
        status =
            error_set(err, STATUS_REFUSED,
                      "%s exists: a node is bootstrapped once, and never again with the same id after its log was lost",
                      node_dir);
    if (status == STATUS_OK)
        status = node_write(new_dir, members, member_count, self, err);
    if (status == STATUS_OK && rename(new_dir, node_dir) != 0)
        status = error_set(err, STATUS_FAILED, "rename of %s: %m", new_dir);
    if (status == STATUS_OK)
        status = directory_sync(data_dir, err);
    close(lock_fd);
    return status;
}
