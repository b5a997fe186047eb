/* A file system that loses power, fails, fills up or hangs when it is told to. Speaks the kernel's FUSE protocol itself: no library, and files
 * without a name (O_TMPFILE) work. `faultfs DIRECTORY [UID GID]` mounts for that user (default: whoever runs it), says "mounted", and takes one
 * line each from stdin, answered with one line:
 *
 *   power-loss SEED   forgets what was not synced (store.h) and mounts again -> "lost PAGES NAMES". End the programs that use it first
 *   fail ERRNO        every write, sync, new file and removal fails so; 0: they work again
 *   fail-read ERRNO
 *   hang | go         writes and syncs get no answer until go
 *   free MIB          what statfs says
 *   counts            -> "counts WRITES SYNCS DIRECT" (so that a test knows that it tested something)
 *
 * Ends when stdin ends, and unmounts. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WRITE_MAX (128u << 10)
#define REQUEST_MAX (WRITE_MAX + 4096u)
#define HELD_MAX 256
#define SYNC_MS 2 /* how long a sync takes: a power loss falls into it */

struct request {
    struct fuse_in_header *in;
    const void *arg;
};

static struct store *store;
static const char *mountpoint;
static int device = -1;
static uid_t owner;
static gid_t group;
static int fail, fail_read;
static bool hung;
static uint64_t free_bytes = 4ull << 30;
static unsigned long writes, syncs, direct;
static void *held[HELD_MAX];
static struct {
    struct fuse_in_header in;
    uint32_t written; /* 0: a sync alone */
    int64_t due_ms;
} syncing[HELD_MAX]; /* in order */
static size_t syncing_count;
static size_t held_count;

static void answer(const struct request *r, int wrong, const void *bytes, size_t length)
{
    struct fuse_out_header out = { .len = (uint32_t)(sizeof out + length), .error = -wrong, .unique = r->in->unique };
    struct iovec parts[2] = { { &out, sizeof out }, { (void *)(uintptr_t)bytes, length } };
    if (wrong != 0)
        out.len = sizeof out;
    if (writev(device, parts, wrong == 0 && length > 0 ? 2 : 1) < 0 && errno != ENOENT)
        perror("faultfs: answer"); /* ENOENT: whoever asked was killed */
}

static struct fuse_attr attr_of(uint64_t number)
{
    const struct store_file *f = store_file(store, number);
    return (struct fuse_attr){ .ino = number,
                               .size = f->now_size,
                               .blocks = (f->now_size + 511) / 512,
                               .mode = f->mode,
                               .nlink = 1,
                               .uid = owner,
                               .gid = group,
                               .blksize = 4096 };
}

static struct fuse_entry_out entry_of(uint64_t number)
{
    return (struct fuse_entry_out){ .nodeid = number, .generation = 1, .attr = attr_of(number) };
}

static void answer_entry(const struct request *r, int wrong, uint64_t number)
{
    struct fuse_entry_out out = { 0 };
    if (wrong == 0)
        out = entry_of(number);
    answer(r, wrong, &out, sizeof out);
}

/* ---- requests ---- */

static void on_init(const struct request *r)
{
    const struct fuse_init_in *in = r->arg;
    struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
                                 .minor = FUSE_KERNEL_MINOR_VERSION,
                                 .max_readahead = in->max_readahead,
                                 .flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO,
                                 .max_background = 64,
                                 .congestion_threshold = 48,
                                 .max_write = WRITE_MAX,
                                 .time_gran = 1 };
    answer(r, 0, &out, sizeof out);
}

static void on_lookup(const struct request *r)
{
    uint64_t number = store_lookup(store, r->in->nodeid, r->arg);
    answer_entry(r, number == 0 ? ENOENT : 0, number);
}

static void on_getattr(const struct request *r)
{
    struct fuse_attr_out out = { .attr = attr_of(r->in->nodeid) };
    answer(r, 0, &out, sizeof out);
}

static void on_setattr(const struct request *r)
{
    const struct fuse_setattr_in *in = r->arg;
    int wrong = 0;
    if (in->valid & FATTR_SIZE)
        wrong = fail != 0 ? fail : store_resize(store, r->in->nodeid, in->size);
    if (in->valid & FATTR_MODE)
        store_file(store, r->in->nodeid)->mode = in->mode;
    struct fuse_attr_out out = { .attr = attr_of(r->in->nodeid) };
    answer(r, wrong, &out, sizeof out);
}

static void on_create(const struct request *r)
{
    const struct fuse_create_in *in = r->arg;
    bool tmpfile = r->in->opcode == FUSE_TMPFILE;
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = { 0 };
    uint64_t number = fail != 0 ? 0 : store_make(store, in->mode);
    int wrong = fail != 0 ? fail : number == 0 ? ENOSPC : 0;
    if (wrong == 0 && !tmpfile)
        wrong = store_link(store, r->in->nodeid, (const char *)(in + 1), number);
    if (wrong == 0) {
        out.entry = entry_of(number);
        out.open.fh = number;
        store_file(store, number)->opened++;
    }
    answer(r, wrong, &out, sizeof out);
}

static void on_mkdir(const struct request *r)
{
    const struct fuse_mkdir_in *in = r->arg;
    uint64_t number = fail != 0 ? 0 : store_make(store, in->mode | S_IFDIR);
    int wrong = fail != 0 ? fail : number == 0 ? ENOSPC : 0;
    if (wrong == 0)
        wrong = store_link(store, r->in->nodeid, (const char *)(in + 1), number);
    answer_entry(r, wrong, number);
}

static void on_link(const struct request *r)
{
    const struct fuse_link_in *in = r->arg;
    int wrong = fail != 0 ? fail : store_link(store, r->in->nodeid, (const char *)(in + 1), in->oldnodeid);
    answer_entry(r, wrong, in->oldnodeid);
}

static void on_rename(const struct request *r)
{
    const char *names = r->in->opcode == FUSE_RENAME2 ? (const char *)r->arg + sizeof(struct fuse_rename2_in)
                                                      : (const char *)r->arg + sizeof(struct fuse_rename_in);
    uint64_t to = ((const struct fuse_rename_in *)r->arg)->newdir; /* the first field of both */
    answer(r, fail != 0 ? fail : store_rename(store, r->in->nodeid, names, to, names + strlen(names) + 1), NULL, 0);
}

static void on_open(const struct request *r)
{
    struct fuse_open_out out = { .fh = r->in->nodeid };
    store_file(store, r->in->nodeid)->opened++;
    answer(r, 0, &out, sizeof out);
}

static void on_release(const struct request *r)
{
    struct store_file *f = store_file(store, r->in->nodeid);
    if (f->opened > 0)
        f->opened--;
    store_forget(store, r->in->nodeid);
    answer(r, 0, NULL, 0);
}

static void on_read(const struct request *r)
{
    const struct fuse_read_in *in = r->arg;
    const struct store_file *f = store_file(store, r->in->nodeid);
    size_t length = in->offset >= f->now_size ? 0 : f->now_size - in->offset;
    if (length > in->size)
        length = in->size;
    answer(r, fail_read, length > 0 ? f->now + in->offset : NULL, length);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Answers when it is durable; until then a power loss takes what it likes of it. */
static void sync_begin(const struct request *r, uint32_t written)
{
    if (syncing_count == HELD_MAX)
        abort();
    syncing[syncing_count].in = *r->in;
    syncing[syncing_count].written = written;
    syncing[syncing_count++].due_ms = now_ms() + SYNC_MS;
}

static void syncs_finish(void)
{
    size_t done = 0;
    for (; done < syncing_count && syncing[done].due_ms <= now_ms(); done++) {
        struct request r = { .in = &syncing[done].in };
        struct fuse_write_out out = { .size = syncing[done].written };
        syncs++;
        if (fail == 0 && store_file(store, r.in->nodeid) != NULL)
            store_sync(store, r.in->nodeid);
        answer(&r, fail, &out, out.size > 0 ? sizeof out : 0);
    }
    syncing_count -= done;
    memmove(syncing, syncing + done, syncing_count * sizeof syncing[0]);
}

static void on_write(const struct request *r)
{
    const struct fuse_write_in *in = r->arg;
    struct fuse_write_out out = { .size = in->size };
    int wrong = fail != 0 ? fail : store_write(store, r->in->nodeid, in->offset, in + 1, in->size);
    writes++;
    direct += (in->flags & O_DIRECT) != 0;
    if (wrong == 0 && (in->flags & O_DSYNC)) /* of the file, or of this write */
        sync_begin(r, in->size);
    else
        answer(r, wrong, &out, sizeof out);
}

static void on_sync(const struct request *r)
{
    if (fail != 0)
        answer(r, fail, NULL, 0);
    else
        sync_begin(r, 0);
}

static void on_fallocate(const struct request *r)
{
    const struct fuse_fallocate_in *in = r->arg;
    const struct store_file *f = store_file(store, r->in->nodeid);
    size_t end = in->offset + in->length;
    int wrong = fail != 0 ? fail : in->mode != 0 ? EOPNOTSUPP : 0;
    if (wrong == 0 && end > f->now_size)
        wrong = store_resize(store, r->in->nodeid, end);
    answer(r, wrong, NULL, 0);
}

static void on_readdir(const struct request *r)
{
    const struct fuse_read_in *in = r->arg;
    uint8_t bytes[4096];
    size_t used = 0, most = in->size < sizeof bytes ? in->size : sizeof bytes;
    const char *name = NULL;
    uint64_t number;
    for (size_t i = in->offset; (number = store_entry(store, r->in->nodeid, i, &name)) != 0; i++) {
        struct fuse_dirent head = { .ino = number, .off = i + 1, .namelen = (uint32_t)strlen(name) };
        size_t length = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + head.namelen);
        head.type = (store_file(store, number)->mode & S_IFMT) >> 12;
        if (used + length > most)
            break;
        memset(bytes + used, 0, length);
        memcpy(bytes + used, &head, FUSE_NAME_OFFSET);
        memcpy(bytes + used + FUSE_NAME_OFFSET, name, head.namelen);
        used += length;
    }
    answer(r, 0, bytes, used);
}

static void on_statfs(const struct request *r)
{
    struct fuse_statfs_out out = { .st = { .blocks = (8ull << 30) / 4096,
                                           .bfree = free_bytes / 4096,
                                           .bavail = free_bytes / 4096,
                                           .bsize = 4096,
                                           .frsize = 4096,
                                           .namelen = STORE_NAME_MAX } };
    answer(r, 0, &out, sizeof out);
}

static void on_unlink(const struct request *r)
{
    answer(r, fail != 0 ? fail : store_unlink(store, r->in->nodeid, r->arg, r->in->opcode == FUSE_RMDIR), NULL, 0);
}

static void on_nothing(const struct request *r)
{
    answer(r, 0, NULL, 0);
}

static void on_no_answer(const struct request *r)
{
    (void)r;
}

/* What is not here the kernel is told not to have. */
static const struct {
    uint32_t opcode;
    bool of_a_file; /* nodeid names one */
    void (*act)(const struct request *r);
} operations[] = {
    { FUSE_INIT, false, on_init },
    { FUSE_FORGET, false, on_no_answer },
    { FUSE_BATCH_FORGET, false, on_no_answer },
    { FUSE_INTERRUPT, false, on_no_answer },
    { FUSE_DESTROY, false, on_nothing },
    { FUSE_STATFS, false, on_statfs },
    { FUSE_LOOKUP, true, on_lookup },
    { FUSE_GETATTR, true, on_getattr },
    { FUSE_SETATTR, true, on_setattr },
    { FUSE_CREATE, true, on_create },
    { FUSE_TMPFILE, true, on_create },
    { FUSE_MKDIR, true, on_mkdir },
    { FUSE_UNLINK, true, on_unlink },
    { FUSE_RMDIR, true, on_unlink },
    { FUSE_LINK, true, on_link },
    { FUSE_RENAME, true, on_rename },
    { FUSE_RENAME2, true, on_rename },
    { FUSE_OPEN, true, on_open },
    { FUSE_OPENDIR, true, on_open },
    { FUSE_RELEASE, true, on_release },
    { FUSE_RELEASEDIR, true, on_release },
    { FUSE_READ, true, on_read },
    { FUSE_WRITE, true, on_write },
    { FUSE_FSYNC, true, on_sync },
    { FUSE_FSYNCDIR, true, on_sync },
    { FUSE_FALLOCATE, true, on_fallocate },
    { FUSE_READDIR, true, on_readdir },
    { FUSE_FLUSH, true, on_nothing },
};

static void act(const struct request *r)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (operations[i].opcode == r->in->opcode) {
            if (operations[i].of_a_file && store_file(store, r->in->nodeid) == NULL)
                answer(r, ESTALE, NULL, 0);
            else
                operations[i].act(r);
            return;
        }
    answer(r, ENOSYS, NULL, 0);
}

static void take(void *bytes)
{
    struct request r = { .in = bytes, .arg = (uint8_t *)bytes + sizeof *r.in };
    act(&r);
}

static bool waits(const void *bytes)
{
    uint32_t opcode = ((const struct fuse_in_header *)bytes)->opcode;
    return hung && (opcode == FUSE_WRITE || opcode == FUSE_FSYNC || opcode == FUSE_FSYNCDIR);
}

static void serve(void)
{
    static uint8_t bytes[REQUEST_MAX];
    ssize_t n = read(device, bytes, sizeof bytes);
    if (n < (ssize_t)sizeof(struct fuse_in_header))
        return; /* the request was withdrawn, or the mount is gone */
    if (!waits(bytes) || held_count == HELD_MAX) {
        take(bytes);
        return;
    }
    held[held_count] = malloc((size_t)n);
    if (held[held_count] == NULL)
        abort();
    memcpy(held[held_count++], bytes, (size_t)n);
}

/* ---- orders ---- */

static bool mount_it(void)
{
    char options[200];
    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0)
        return false;
    snprintf(options, sizeof options, "fd=%d,rootmode=40700,user_id=%u,group_id=%u,default_permissions", device, owner,
             group);
    return mount("faultfs", mountpoint, "fuse", MS_NOSUID | MS_NODEV, options) == 0;
}

static void promises_drop(void)
{
    while (held_count > 0)
        free(held[--held_count]);
    syncing_count = 0;
}

static void power_loss(unsigned seed)
{
    unsigned pages = 0, names = 0;
    umount2(mountpoint, MNT_DETACH);
    close(device);
    promises_drop();
    fail = fail_read = 0;
    hung = false;
    store_power_loss(store, seed, &pages, &names);
    if (!mount_it()) {
        perror("faultfs: mount");
        exit(1);
    }
    printf("lost %u %u\n", pages, names);
}

static void order(const char *line)
{
    unsigned number = 0;
    if (sscanf(line, "power-loss %u", &number) == 1) {
        power_loss(number);
        return;
    }
    if (strcmp(line, "counts\n") == 0) {
        printf("counts %lu %lu %lu\n", writes, syncs, direct);
        return;
    }
    if (sscanf(line, "fail-read %u", &number) == 1) {
        fail_read = (int)number;
    } else if (sscanf(line, "fail %u", &number) == 1) {
        fail = (int)number;
    } else if (sscanf(line, "free %u", &number) == 1) {
        free_bytes = (uint64_t)number << 20;
    } else if (strcmp(line, "hang\n") == 0) {
        hung = true;
    } else if (strcmp(line, "go\n") == 0) {
        hung = false;
        for (size_t i = 0; i < held_count; i++) {
            take(held[i]);
            free(held[i]);
        }
        held_count = 0;
    } else {
        printf("what? %s", line);
        return;
    }
    printf("ok\n");
}

int main(int argc, char **argv)
{
    char line[200];
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: faultfs DIRECTORY [UID GID]\n");
        return 2;
    }
    mountpoint = argv[1];
    owner = argc == 4 ? (uid_t)atoi(argv[2]) : getuid();
    group = argc == 4 ? (gid_t)atoi(argv[3]) : getgid();
    store = store_create();
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0); /* poll must see what is left */
    if (store == NULL || !mount_it()) {
        perror("faultfs: mount");
        return 1;
    }
    printf("mounted\n");
    for (;;) {
        struct pollfd ready[2] = { { .fd = device, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
        if (poll(ready, 2, syncing_count > 0 ? 1 : -1) < 0 && errno != EINTR)
            break;
        syncs_finish();
        if (ready[0].revents != 0)
            serve();
        if (ready[1].revents != 0) {
            if (fgets(line, sizeof line, stdin) == NULL)
                break;
            order(line);
        }
    }
    umount2(mountpoint, MNT_DETACH);
    return 0;
}
