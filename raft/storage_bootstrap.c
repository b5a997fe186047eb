/* A new node's directory, complete in node.new before it gets its name. */
#include "raft/storage_check.h"
#include "raft/storage_files.h"

#include "base/bytes.h"
#include "base/check.h"
#include "io/log.h"

#include <stdarg.h>

#include <raft/uv.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same member list gives the same cluster, whoever computes it and in whatever order it was written. */
static uint64_t cluster_of(const struct rnode_member *members, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += raft_digest(members[i].address, members[i].id * 2 + (members[i].voter ? 1 : 0));
    return raft_digest("coord cluster", sum);
}

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

/* libraft writes metadata and, unless `configuration` is NULL, a segment with the member list as the first entry. Runs a loop of its own until it has closed. */
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
        rv = configuration != NULL ? io.bootstrap(&io, configuration) : io.set_term(&io, 1);
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
    return status == STATUS_OK ? storage_directory_sync(dir_path, err) : status;
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

static enum status first_receipt_write(const char *new_dir, const char *raft_dir, struct error *err)
{
    char path[PATH_MAX];
    struct receipt_content found;
    enum status status = storage_path(path, sizeof path, new_dir, "receipt", err);
    if (status == STATUS_OK)
        status = storage_check(raft_dir, NULL, &found, err);
    return status == STATUS_OK ? receipt_create(path, &found, err) : status;
}

/* Everything below node.new, synced. */
static enum status node_write(const char *new_dir, const struct storage_identity *identity, uint64_t generation,
                              const struct raft_configuration *configuration, struct error *err)
{
    char raft_dir[PATH_MAX], path[PATH_MAX];
    uint8_t bytes[STORAGE_IDENTITY_BYTES];
    if (storage_path(raft_dir, sizeof raft_dir, new_dir, "raft", err) != STATUS_OK ||
        storage_path(path, sizeof path, new_dir, "identity", err) != STATUS_OK)
        return err->status;
    /* An earlier attempt that did not finish. */
    if (directory_remove(raft_dir, err) != STATUS_OK || directory_remove(new_dir, err) != STATUS_OK)
        return err->status;
    if (mkdir(new_dir, 0700) != 0 || mkdir(raft_dir, 0700) != 0)
        return error_set(err, STATUS_FAILED, "cannot make %s: %m", raft_dir);
    enum status status = first_entry_write(raft_dir, configuration, identity->id, identity->address, err);
    if (status != STATUS_OK)
        return status;
    storage_identity_encode(identity, bytes);
    status = storage_file_write(path, bytes, sizeof bytes, err);
    if (status == STATUS_OK && generation > 1)
        status = storage_generation_write(
            new_dir, &(struct storage_generation){ .number = generation, .who = "-", .reason = "-" }, err);
    if (status == STATUS_OK)
        status = first_receipt_write(new_dir, raft_dir, err);
    if (status == STATUS_OK)
        status = files_sync(raft_dir, err);
    if (status == STATUS_OK)
        status = storage_directory_sync(new_dir, err);
    return status;
}

/* data_dir/name was put aside here: it has voted and acknowledged under its id, and what is made now knows nothing of that. */
static enum status aside_check(const char *data_dir, const char *name, const struct storage_identity *identity,
                               bool joins, struct error *err)
{
    char aside[PATH_MAX], path[PATH_MAX];
    struct storage_identity was;
    struct error unread = ERROR_NONE;
    uint32_t format = 0;
    enum status status = storage_path(aside, sizeof aside, data_dir, name, err);
    if (status == STATUS_OK)
        status = storage_path(path, sizeof path, aside, "identity", err);
    if (status != STATUS_OK)
        return status;
    if (!joins)
        return error_set(err, STATUS_REFUSED,
                         "%s: this node's log was lost or put aside: it comes back under a new id (`coordctl members "
                         "add` at a node that runs, then `coordd join` here), never by a second bootstrap; if this is "
                         "truly a new cluster, move that directory away first",
                         aside);
    if (storage_identity_read(path, &was, &format, &unread) != STATUS_OK)
        log_event(LOG_LEVEL_WARNING, "quarantine_unreadable", "directory=%s joins_as=%" PRIu64 " error=%s", aside,
                  identity->id, unread.text); /* the id that `coordctl members add` gives is never one of before */
    else if (was.id == identity->id)
        return error_set(err, STATUS_REFUSED,
                         "%s: the log of node %" PRIu64 " was lost or put aside: it comes back under a new id, the one "
                         "that `coordctl members add` prints; if that was another cluster's, move that directory away "
                         "first",
                         aside, was.id);
    return STATUS_OK;
}

static enum status asides_check(const char *data_dir, const struct storage_identity *identity, bool joins,
                                struct error *err)
{
    DIR *dir = opendir(data_dir);
    if (dir == NULL)
        return error_set(err, STATUS_FAILED, "%s: %m", data_dir);
    enum status status = STATUS_OK;
    for (struct dirent *e; status == STATUS_OK && (errno = 0, e = readdir(dir)) != NULL;)
        if (strncmp(e->d_name, "quarantine-", 11) == 0)
            status = aside_check(data_dir, e->d_name, identity, joins, err);
    if (status == STATUS_OK && errno != 0) /* what was not read may be the one that refuses */
        status = error_set(err, STATUS_FAILED, "%s: %m", data_dir);
    closedir(dir);
    return status;
}

static enum status node_make(const char *data_dir, const struct storage_identity *identity, uint64_t generation,
                             const struct raft_configuration *configuration, struct error *err)
{
    char node_dir[PATH_MAX], new_dir[PATH_MAX];
    int lock_fd = -1;
    enum status status = storage_path(node_dir, sizeof node_dir, data_dir, "node", err);
    if (status == STATUS_OK)
        status = storage_path(new_dir, sizeof new_dir, data_dir, "node.new", err);
    if (status != STATUS_OK)
        return status;
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return error_set(err, STATUS_FAILED, "cannot make %s: %m", data_dir);
    status = storage_lock(data_dir, &lock_fd, err);
    if (status != STATUS_OK)
        return status;
    bool joins = configuration == NULL;
    if (access(node_dir, F_OK) == 0)
        status =
            error_set(err, STATUS_REFUSED,
                      joins ? "%s exists: there is a node here already; `coordd quarantine -c FILE` puts it aside, "
                              "and then the host joins under the new id that `coordctl members add` prints"
                            : "%s exists: a node is bootstrapped once, and starts with `coordd run`; one whose log "
                              "is lost comes back under a new id (`coordctl members add`, `coordd join`), never by "
                              "a second bootstrap",
                      node_dir);
    if (status == STATUS_OK)
        status = asides_check(data_dir, identity, joins, err);
    if (status == STATUS_OK)
        status = node_write(new_dir, identity, generation, configuration, err);
    if (status == STATUS_OK && rename(new_dir, node_dir) != 0)
        status = error_set(err, STATUS_FAILED, "rename of %s: %m", new_dir);
    if (status == STATUS_OK)
        status = storage_directory_sync(data_dir, err);
    close(lock_fd);
    return status;
}

enum status storage_uv_bootstrap(const char *data_dir, const struct rnode_member *members, size_t member_count,
                                 node_id id, struct error *err)
{
    struct raft_configuration configuration;
    size_t self = 0;
    enum status status = members_check(members, member_count, id, &self, err);
    if (status == STATUS_OK)
        status = configuration_fill(&configuration, members, member_count, err);
    if (status != STATUS_OK)
        return status;
    struct storage_identity identity = { .cluster = cluster_of(members, member_count), .id = id };
    text_copy(identity.address, sizeof identity.address, members[self].address);
    status = node_make(data_dir, &identity, 1, &configuration, err);
    raft_configuration_close(&configuration);
    return status;
}

enum status storage_uv_join(const char *data_dir, const struct storage_identity *identity, uint64_t generation,
                            struct error *err)
{
    if (identity->id == 0 || identity->cluster == 0 || identity->address[0] == '\0' || generation == 0)
        return error_set(err, STATUS_INVALID, "a node joins a cluster with an id, an address and a generation");
    return node_make(data_dir, identity, generation, NULL, err);
}
