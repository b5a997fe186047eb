#include "fencing/data_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROCESSES_MAX 4096              /* of one server; more cannot be told apart from a fault */
#define FIRST_PID_NAMESPACE 4026531836U /* its number in every Linux since 3.8: PROC_PID_INIT_INO */

struct directory {
    const char *path;
    struct stat stat;
};

struct processes {
    uint32_t count;
    pid_t pids[PROCESSES_MAX];
};

/* What postmaster.pid says; zeros when there is none. */
struct lock_file {
    pid_t postmaster;
    bool has_memory;
    key_t memory_key;
    int memory_id;
};

static enum status failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, STATUS_FAILED, "cannot %s %s: %s", what, path, strerror(errno));
}

static enum status directory_open(struct directory *d, const char *path, struct error *err)
{
    d->path = path;
    if (stat(path, &d->stat) != 0)
        return failed(err, "look at data directory", path);
    if (!S_ISDIR(d->stat.st_mode))
        return error_set(err, STATUS_INVALID, "%s is not a directory", path);
    if (geteuid() != 0 && geteuid() != d->stat.st_uid)
        return error_set(err, STATUS_FAILED, "processes of %s can be seen only by root and by its owner (uid %u)", path,
                         (unsigned)d->stat.st_uid);
    return STATUS_OK;
}

/* A shell that somebody left in the directory is no server. */
static bool is_postgres(const char *exe)
{
    const char *name = strrchr(exe, '/');

    name = name != NULL ? name + 1 : exe;
    return strstr(name, "postgres") != NULL; /* also "postgres (deleted)", after an upgrade */
}

/* Ended, but nobody has waited for it: it has no memory and no files any more. Only root may look at its `cwd`. */
static bool is_zombie(pid_t pid)
{
    char path[64];
    char text[256];
    const char *state;
    FILE *file;
    size_t length;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    length = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    state = strrchr(text, ')'); /* the name before it may hold anything */
    return state != NULL && (strncmp(state, ") Z", 3) == 0 || strncmp(state, ") X", 3) == 0);
}

/* STATUS_OK: a process of a server of this directory. STATUS_NOT_FOUND: not, or gone. */
static enum status process_check(const struct directory *d, pid_t pid, struct error *err)
{
    char path[64];
    char exe[PATH_MAX];
    struct stat process;
    struct stat cwd;
    ssize_t length = -1;

    (void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
    if (stat(path, &process) != 0)
        return STATUS_NOT_FOUND;
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    if (stat(path, &cwd) == 0) {
        if (cwd.st_dev != d->stat.st_dev || cwd.st_ino != d->stat.st_ino)
            return STATUS_NOT_FOUND;
        (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
        length = readlink(path, exe, sizeof exe - 1);
    }
    if (length > 0) {
        exe[length] = '\0';
        return is_postgres(exe) ? STATUS_OK : STATUS_NOT_FOUND;
    }
    if ((errno == EACCES || errno == EPERM) && process.st_uid == d->stat.st_uid && !is_zombie(pid))
        return error_set(err, STATUS_FAILED,
                         "process %d belongs to the owner of %s and cannot be looked at: run coordd as root", (int)pid,
                         d->path);
    return STATUS_NOT_FOUND; /* it ended meanwhile, is a zombie or a kernel thread, or is another user's: a server runs as the owner */
}

static enum status processes_find(const struct directory *d, struct processes *found, struct error *err)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    enum status status = STATUS_OK;

    found->count = 0;
    if (proc == NULL)
        return failed(err, "open", "/proc");
    errno = 0;
    while (status == STATUS_OK && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid <= 0)
            continue;
        status = process_check(d, pid, err);
        if (status == STATUS_OK && found->count == PROCESSES_MAX)
            status = error_set(err, STATUS_FULL, "more than %d processes stand in %s", PROCESSES_MAX, d->path);
        else if (status == STATUS_OK)
            found->pids[found->count++] = pid;
        else if (status == STATUS_NOT_FOUND)
            status = STATUS_OK;
        errno = 0;
    }
    if (status == STATUS_OK && errno != 0)
        status = failed(err, "read", "/proc");
    (void)closedir(proc);
    return status;
}

/* Line 1 is the postmaster's process id (negative for a stand-alone backend), line 7 the shared memory's key and id. */
static enum status lock_file_read(const struct directory *d, struct lock_file *lock, struct error *err)
{
    char path[PATH_MAX];
    char line[1024];
    FILE *file;
    long pid = 0;

    memset(lock, 0, sizeof *lock);
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", d->path);
    file = fopen(path, "re");
    if (file == NULL)
        return errno == ENOENT ? STATUS_OK : failed(err, "open", path);
    for (int number = 1; number <= 7 && fgets(line, sizeof line, file) != NULL; number++) {
        unsigned long key;
        int id;

        if (number == 1)
            pid = strtol(line, NULL, 10);
        if (number == 7 && sscanf(line, "%lu %d", &key, &id) == 2) {
            lock->has_memory = true;
            lock->memory_key = (key_t)key;
            lock->memory_id = id;
        }
    }
    (void)fclose(file);
    /* A number that is none cut to a pid_t could be 0, -1 or another process. */
    lock->postmaster = pid >= -INT_MAX && pid <= INT_MAX ? (pid_t)labs(pid) : 0;
    if (lock->postmaster == 0)
        return error_set(err, STATUS_FAILED, "%s holds no process id: a server may be starting", path);
    return STATUS_OK;
}

/* `seen`: it is here, and it is the one that this postmaster made, by our count of process ids. */
static enum status memory_attached(const struct directory *d, const struct lock_file *lock, uint64_t *attached,
                                   bool *seen, struct error *err)
{
    struct shmid_ds memory;

    *attached = 0;
    *seen = false;
    if (!lock->has_memory)
        return STATUS_OK; /* the server died before it had any, or none was started since a clean stop */
    if (shmctl(lock->memory_id, IPC_STAT, &memory) != 0) {
        if (errno == EINVAL || errno == EIDRM)
            return STATUS_OK; /* gone */
        return error_set(err, STATUS_FAILED, "shared memory %d of %s cannot be looked at: %s", lock->memory_id, d->path,
                         strerror(errno));
    }
    if (memory.shm_perm.__key != lock->memory_key)
        return STATUS_OK; /* another one under a number used again: ours is gone */
    *attached = (uint64_t)memory.shm_nattch;
    *seen = memory.shm_cpid == lock->postmaster;
    return STATUS_OK;
}

static enum status not_here(const struct directory *d, struct error *err)
{
    return error_set(
        err, STATUS_FAILED,
        "the server of %s runs, or ran last, where it cannot be looked at: coordd must run in PostgreSQL's PID "
        "and IPC namespaces (is no server left there: start it)",
        d->path);
}

/* 0: the process is gone. */
static ino_t pid_namespace_of(const char *process)
{
    char path[64];
    struct stat name;

    (void)snprintf(path, sizeof path, "/proc/%s/ns/pid", process);
    return stat(path, &name) == 0 ? name.st_ino : 0;
}

/* Elsewhere a process has another number than in postmaster.pid: its postmaster would be taken for absent. */
static enum status processes_are_here(const struct directory *d, const struct processes *found, struct error *err)
{
    ino_t here = pid_namespace_of("self");

    for (uint32_t i = 0; i < found->count; i++) {
        char process[16];
        ino_t theirs;

        (void)snprintf(process, sizeof process, "%d", (int)found->pids[i]);
        theirs = pid_namespace_of(process);
        if (theirs != 0 && theirs != here)
            return not_here(d, err);
    }
    return STATUS_OK;
}

static bool processes_hold(const struct processes *found, pid_t pid)
{
    for (uint32_t i = 0; i < found->count; i++)
        if (found->pids[i] == pid)
            return true;
    return false;
}

static enum status inspect(const struct directory *d, struct processes *found, struct data_dir_state *state,
                           struct error *err)
{
    struct lock_file lock;
    bool memory_seen;

    memset(state, 0, sizeof *state);
    if (lock_file_read(d, &lock, err) != STATUS_OK || processes_find(d, found, err) != STATUS_OK ||
        processes_are_here(d, found, err) != STATUS_OK ||
        memory_attached(d, &lock, &state->attached_count, &memory_seen, err) != STATUS_OK)
        return err->status;
    state->process_count = found->count;
    state->some_process = found->count > 0 ? found->pids[0] : 0;
    if (lock.postmaster != 0 && processes_hold(found, lock.postmaster)) {
        state->life = DATA_DIR_RUNNING;
        state->postmaster = lock.postmaster;
    } else if (found->count > 0 || state->attached_count > 0) {
        state->life = DATA_DIR_ORPHANED;
    } else if (lock.postmaster != 0 && !memory_seen && pid_namespace_of("self") != FIRST_PID_NAMESPACE) {
        return not_here(d, err); /* not stopped in order, and nothing shows that we would see it */
    } else {
        state->life = DATA_DIR_EMPTY;
    }
    return STATUS_OK;
}

enum status data_dir_inspect(const char *path, struct data_dir_state *state, struct error *err)
{
    struct directory d;
    struct processes *found = malloc(sizeof *found);
    enum status status;

    if (found == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    status = directory_open(&d, path, err);
    if (status == STATUS_OK)
        status = inspect(&d, found, state, err);
    free(found);
    return status;
}

enum status data_dir_holds(const char *path, pid_t pid, struct error *err)
{
    struct directory d;
    enum status status = directory_open(&d, path, err);

    if (status == STATUS_OK)
        status = process_check(&d, pid, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "process %d is not a PostgreSQL server's in %s", (int)pid, path);
    return status;
}

/* The process is looked at again after it can no longer be exchanged for another one with its number. */
static enum status process_signal(const struct directory *d, pid_t pid, int signal_number, struct error *err)
{
    int fd = pidfd_open(pid, 0);
    enum status status;

    if (fd < 0)
        return errno == ESRCH ? STATUS_OK : error_set(err, STATUS_FAILED, "process %d: %s", (int)pid, strerror(errno));
    status = process_check(d, pid, err);
    if (status == STATUS_OK && pidfd_send_signal(fd, signal_number, NULL, 0) != 0 && errno != ESRCH)
        status = error_set(err, STATUS_FAILED, "signal %d to process %d: %s", signal_number, (int)pid, strerror(errno));
    (void)close(fd);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status signal_all(const char *path, bool postmaster_only, int signal_number, struct error *err)
{
    struct directory d;
    struct data_dir_state state;
    struct processes *found = malloc(sizeof *found);
    enum status status;

    if (found == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    status = directory_open(&d, path, err);
    if (status == STATUS_OK)
        status = inspect(&d, found, &state, err);
    /* The postmaster first: it would start new processes for the dead. */
    if (status == STATUS_OK && state.postmaster != 0)
        status = process_signal(&d, state.postmaster, signal_number, err);
    for (uint32_t i = 0; status == STATUS_OK && !postmaster_only && i < found->count; i++)
        status = process_signal(&d, found->pids[i], signal_number, err);
    free(found);
    return status;
}

enum status data_dir_stop(const char *path, struct error *err)
{
    return signal_all(path, true, SIGQUIT, err);
}

enum status data_dir_kill(const char *path, struct error *err)
{
    return signal_all(path, false, SIGKILL, err);
}

enum status data_dir_tombstone(const char *path, struct error *err)
{
    struct directory d;
    enum status status = directory_open(&d, path, err);
    int directory_fd;
    int fd;

    if (status != STATUS_OK)
        return status;
    directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return failed(err, "open", path);
    fd = openat(directory_fd, "standby.signal", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        status = failed(err, "create standby.signal in", path);
    else if (geteuid() == 0 && fchown(fd, d.stat.st_uid, d.stat.st_gid) != 0)
        status = failed(err, "give standby.signal to the owner of", path);
    else if (fsync(fd) != 0)
        status = failed(err, "sync standby.signal in", path);
    if (fd >= 0)
        (void)close(fd);
    if (status == STATUS_OK && fsync(directory_fd) != 0)
        status = failed(err, "sync", path);
    (void)close(directory_fd);
    return status;
}
