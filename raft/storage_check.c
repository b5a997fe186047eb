/* In order: term and vote; the newest snapshot; the closed segments, which must connect; the open ones, which go on from there; then whether
 * all of that reaches as far as the receipt says. */
#include "raft/storage_check.h"

#include "base/bytes.h"
#include "base/check.h"
#include "io/log.h"
#include "raft/entry.h"
#include "raft/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METADATA_BYTES 32
#define METADATA_FORMAT 1
#define FILE_BYTES_MAX (1ll << 30)

struct file {
    char name[NAME_MAX + 1];
    bool open;      /* segments: open-N */
    uint64_t first; /* of a closed segment; N of an open one; a snapshot's term */
    uint64_t last;  /* of a closed segment; a snapshot's index */
    uint64_t time;  /* a snapshot's */
};

struct check {
    const char *dir;
    const struct receipt_content *told;
    struct file *files; /* segments: closed ones by index, then open ones by number */
    size_t count;
    struct file snapshot; /* the newest that is complete; its name is "" when there is none */
    uint64_t last;        /* where the log ends so far; 0: nothing of it was seen yet */
    struct error *err;
};

struct bytes {
    uint8_t *base;
    size_t length;
};

static enum status file_read(struct check *c, const char *name, struct bytes *out)
{
    char path[PATH_MAX];
    struct stat st;
    *out = (struct bytes){ 0 };
    if (snprintf(path, sizeof path, "%s/%s", c->dir, name) >= (int)sizeof path)
        return error_set(c->err, STATUS_INVALID, "%s: name too long", c->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > FILE_BYTES_MAX)
        goto fail;
    out->base = malloc((size_t)st.st_size + 1);
    while (out->base != NULL && out->length < (size_t)st.st_size) {
        ssize_t n = read(fd, out->base + out->length, (size_t)st.st_size - out->length);
        if (n < 0)
            goto fail;
        if (n == 0)
            break;
        out->length += (size_t)n;
    }
    close(fd);
    return out->base != NULL ? STATUS_OK : error_set(c->err, STATUS_FAILED, "out of memory for %s", path);
fail:
    error_set(c->err, STATUS_FAILED, "%s cannot be read: %s", path,
              fd >= 0 && errno == 0 ? "too large" : strerror(errno));
    free(out->base);
    out->base = NULL;
    if (fd >= 0)
        close(fd);
    return STATUS_FAILED;
}

/* ---- term and vote ---- */

/* *version 0: not there, or a first write that did not finish. */
static enum status metadata_read(struct check *c, const char *name, struct receipt_content *out)
{
    struct bytes bytes;
    struct reader r;
    char path[PATH_MAX];
    *out = (struct receipt_content){ 0 };
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return STATUS_OK;
    enum status status = file_read(c, name, &bytes);
    if (status != STATUS_OK)
        return status;
    if (bytes.length < METADATA_BYTES) {
        free(bytes.base);
        return STATUS_OK;
    }
    reader_init(&r, bytes.base, bytes.length);
    uint64_t format = reader_u64(&r);
    out->metadata_version = reader_u64(&r);
    out->term = reader_u64(&r);
    out->vote = reader_u64(&r);
    bool good = reader_done(&r) && format == METADATA_FORMAT && out->metadata_version > 0;
    free(bytes.base);
    return good ? STATUS_OK : error_set(c->err, STATUS_CORRUPT, "%s/%s (term and vote) is damaged", c->dir, name);
}

static enum status metadata_check(struct check *c, struct receipt_content *found)
{
    struct receipt_content one, two;
    const struct receipt_content *told = c->told;
    enum status status = metadata_read(c, "metadata1", &one);
    if (status == STATUS_OK)
        status = metadata_read(c, "metadata2", &two);
    if (status != STATUS_OK)
        return status;
    bool one_newer = one.metadata_version > two.metadata_version;
    *found = one_newer ? one : two;
    uint64_t apart =
        one_newer ? one.metadata_version - two.metadata_version : two.metadata_version - one.metadata_version;
    if (one.metadata_version > 0 && two.metadata_version > 0 && apart != 1)
        return error_set(c->err, STATUS_CORRUPT, "%s/metadata1 and metadata2 (term and vote) do not follow each other",
                         c->dir);
    if (told == NULL)
        return found->metadata_version > 0 ? STATUS_OK
                                           : error_set(c->err, STATUS_CORRUPT, "%s has lost its term and vote", c->dir);
    if (found->metadata_version < told->metadata_version)
        return error_set(c->err, STATUS_CORRUPT,
                         "%s has lost its term and vote: metadata1 and metadata2 hold term %" PRIu64
                         ", and this node has acted in term %" PRIu64,
                         c->dir, found->term, told->term);
    if (found->metadata_version == told->metadata_version && found->term == told->term && found->vote == told->vote)
        return STATUS_OK;
    /* One newer: written, and nobody was told before the crash. */
    if (found->metadata_version == told->metadata_version + 1 && found->term >= told->term &&
        found->term - told->term <= STORAGE_TERM_JUMP_MAX)
        return STATUS_OK;
    return error_set(c->err, STATUS_CORRUPT,
                     "%s/metadata%d (term and vote) is damaged: it says term %" PRIu64
                     ", this node was in term %" PRIu64,
                     c->dir, one_newer ? 1 : 2, found->term, told->term);
}

/* ---- the newest snapshot ---- */

static enum status snapshot_check(struct check *c)
{
    char meta[NAME_MAX + 8];
    struct bytes bytes;
    struct entry_view view;
    struct error why = ERROR_NONE;
    struct reader r;
    if (c->snapshot.name[0] == '\0')
        return STATUS_OK;
    enum status status = file_read(c, c->snapshot.name, &bytes);
    if (status != STATUS_OK)
        return status;
    status = entry_open(ENTRY_SNAPSHOT, bytes.base, bytes.length, &view, &why);
    free(bytes.base);
    if (status != STATUS_OK)
        return error_set(c->err, STATUS_CORRUPT, "%s/%s is damaged: %s", c->dir, c->snapshot.name, why.text);
    snprintf(meta, sizeof meta, "%s.meta", c->snapshot.name);
    status = file_read(c, meta, &bytes);
    if (status != STATUS_OK)
        return status;
    reader_init(&r, bytes.base, bytes.length);
    uint64_t format = reader_u64(&r);
    uint64_t crc = reader_u64(&r);
    (void)reader_u64(&r); /* index of the member list */
    uint64_t length = reader_u64(&r);
    if (!reader_ok(&r) || format != 1 || length != bytes.length - r.used ||
        crc != segment_crc(0, bytes.base + 16, bytes.length - 16))
        status = error_set(c->err, STATUS_CORRUPT, "%s/%s (the member list of the snapshot) is damaged", c->dir, meta);
    free(bytes.base);
    return status;
}

/* ---- segments ---- */

static int by_place(const void *a, const void *b)
{
    const struct file *one = a, *two = b;
    if (one->open != two->open)
        return one->open ? 1 : -1;
    if (one->first != two->first)
        return one->first < two->first ? -1 : 1;
    return one->last < two->last ? -1 : one->last > two->last;
}

static enum status file_drop(struct check *c, const struct file *file, const char *reason)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", c->dir, file->name);
    log_event(LOG_LEVEL_WARNING, "log_file_dropped", "file=%s reason=%s", path, reason);
    return unlink(path) == 0 ? STATUS_OK : error_set(c->err, STATUS_FAILED, "cannot remove %s: %m", path);
}

static uint64_t snapshot_index(const struct check *c)
{
    return c->snapshot.name[0] != '\0' ? c->snapshot.last : 0;
}

/* May segment i join the log? *drop: nothing connects it, and nothing in it was acknowledged. */
static enum status segment_connect(struct check *c, size_t i, bool *drop)
{
    const struct file *f = &c->files[i];
    uint64_t needed_from = snapshot_index(c) + 1;
    uint64_t missing = c->last + 1 > needed_from ? c->last + 1 : needed_from;
    *drop = i + 1 < c->count && !c->files[i + 1].open && c->files[i + 1].first == f->first;
    if (*drop) /* a truncation writes the shorter file before it removes the longer one */
        return STATUS_OK;
    if (c->last == 0 ? f->first <= needed_from : f->first == c->last + 1)
        return STATUS_OK;
    if (f->first <= c->last)
        return error_set(c->err, STATUS_CORRUPT, "%s/%s holds entries that another file holds, too", c->dir, f->name);
    if (f->first <= needed_from)
        return STATUS_OK; /* what is missing before it is in the snapshot */
    *drop = c->told != NULL && missing > c->told->last_index;
    if (*drop)
        return STATUS_OK;
    return error_set(c->err, STATUS_CORRUPT, "%s: entries %" PRIu64 " to %" PRIu64 " are missing before %s", c->dir,
                     missing, f->first - 1, f->name);
}

static enum status closed_check(struct check *c, size_t i)
{
    struct file *f = &c->files[i];
    struct bytes bytes;
    struct segment_scan scan;
    bool drop;
    enum status status = segment_connect(c, i, &drop);
    if (status != STATUS_OK || drop)
        return status == STATUS_OK ? file_drop(c, f, "a truncation of the log did not finish") : status;
    status = file_read(c, f->name, &bytes);
    if (status != STATUS_OK)
        return status;
    segment_scan(bytes.base, bytes.length, f->first, &scan);
    free(bytes.base);
    c->last = f->last;
    if (scan.end == SEGMENT_WHOLE && scan.entries == f->last - f->first + 1)
        return STATUS_OK;
    return error_set(c->err, STATUS_CORRUPT, "%s/%s is damaged at byte %zu, entry %" PRIu64 ": %s", c->dir, f->name,
                     scan.good_bytes, f->first + scan.entries,
                     scan.end == SEGMENT_WHOLE ? "not as many entries as its name says" : segment_end_text(scan.end));
}

static enum status open_check(struct check *c, size_t i, bool *ended)
{
    struct file *f = &c->files[i];
    struct bytes bytes;
    struct segment_scan scan;
    uint64_t before = c->last;
    enum status status = file_read(c, f->name, &bytes);
    if (status != STATUS_OK)
        return status;
    segment_scan(bytes.base, bytes.length, c->last + 1, &scan);
    free(bytes.base);
    c->last += scan.entries;
    bool torn = scan.end == SEGMENT_TORN && (c->told == NULL || c->last >= c->told->last_index);
    if (*ended && scan.entries > 0)
        return error_set(c->err, STATUS_CORRUPT,
                         "%s/%s goes on behind an entry %" PRIu64 " that is damaged in the file before it", c->dir,
                         f->name, before + 1);
    if (torn) {
        *ended = true;
        log_event(LOG_LEVEL_WARNING, "log_end_torn",
                  "file=%s/%s byte=%zu entry=%" PRIu64 " reason=a write that was never acknowledged did not finish",
                  c->dir, f->name, scan.good_bytes, c->last + 1);
        if (scan.entries == 0) /* libraft does not go on when the first block is the one that is missing */
            return file_drop(c, f, "its first write did not finish");
    }
    if (torn || scan.end == SEGMENT_ZEROS || scan.end == SEGMENT_WHOLE)
        return STATUS_OK;
    return error_set(c->err, STATUS_CORRUPT,
                     "%s/%s is damaged at byte %zu: entry %" PRIu64
                     ", which this node has acknowledged, cannot be read: %s",
                     c->dir, f->name, scan.good_bytes, c->last + 1, segment_end_text(scan.end));
}

static enum status segments_check(struct check *c)
{
    enum status status = STATUS_OK;
    bool ended = false;
    size_t i = 0;
    for (; status == STATUS_OK && i < c->count && !c->files[i].open; i++)
        status = closed_check(c, i);
    if (c->last == 0)
        c->last = snapshot_index(c); /* open segments go on from there */
    for (; status == STATUS_OK && i < c->count; i++)
        status = open_check(c, i, &ended);
    if (status != STATUS_OK || c->last >= snapshot_index(c))
        return status;
    /* A snapshot from the leader was stored, and what it replaces was not removed before a crash: libraft does not start from that. */
    for (i = 0; status == STATUS_OK && i < c->count; i++)
        status = file_drop(c, &c->files[i], "the snapshot replaces it");
    c->last = snapshot_index(c);
    return status;
}

/* ---- all of it ---- */

static bool number(const char **text, uint64_t *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *out = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

static bool segment_name(const char *name, struct file *f)
{
    const char *p = name;
    *f = (struct file){ .open = strncmp(name, "open-", 5) == 0 };
    if (f->open)
        p += 5;
    if (!number(&p, &f->first) || (!f->open && (*p++ != '-' || !number(&p, &f->last))) || *p != '\0')
        return false;
    text_copy(f->name, sizeof f->name, name);
    return f->open || (f->first > 0 && f->last >= f->first);
}

static bool snapshot_name(const char *name, struct file *f)
{
    const char *p = name + 9;
    *f = (struct file){ 0 };
    if (strncmp(name, "snapshot-", 9) != 0 || !number(&p, &f->first) || *p++ != '-' || !number(&p, &f->last) ||
        *p++ != '-' || !number(&p, &f->time) || *p != '\0')
        return false;
    text_copy(f->name, sizeof f->name, name);
    return true;
}

static bool snapshot_newer(const struct file *a, const struct file *b)
{
    if (b->name[0] == '\0' || a->first != b->first)
        return b->name[0] == '\0' || a->first > b->first;
    return a->last != b->last ? a->last > b->last : a->time > b->time;
}

/* libraft takes a snapshot for complete when both of its files are there and this one is not empty. */
static bool snapshot_complete(DIR *dir, const char *name)
{
    char meta[NAME_MAX + 8];
    struct stat st;
    snprintf(meta, sizeof meta, "%s.meta", name);
    return fstatat(dirfd(dir), name, &st, 0) == 0 && st.st_size > 0 && faccessat(dirfd(dir), meta, F_OK, 0) == 0;
}

static enum status files_list(struct check *c)
{
    DIR *dir = opendir(c->dir);
    if (dir == NULL)
        return error_set(c->err, errno == ENOENT ? STATUS_CORRUPT : STATUS_FAILED, "%s: %m", c->dir);
    enum status status = STATUS_OK;
    size_t capacity = 0;
    for (struct dirent *e; status == STATUS_OK && (e = readdir(dir)) != NULL;) {
        struct file f;
        if (snapshot_name(e->d_name, &f)) {
            if (snapshot_complete(dir, e->d_name) && snapshot_newer(&f, &c->snapshot))
                c->snapshot = f;
        } else if (segment_name(e->d_name, &f)) {
            if (c->count == capacity) {
                capacity = capacity * 2 + 64;
                struct file *more = realloc(c->files, capacity * sizeof f);
                if (more == NULL)
                    status = error_set(c->err, STATUS_FAILED, "out of memory");
                else
                    c->files = more;
            }
            if (status == STATUS_OK)
                c->files[c->count++] = f;
        }
    }
    closedir(dir);
    if (c->count > 0)
        qsort(c->files, c->count, sizeof c->files[0], by_place);
    return status;
}

enum status storage_check(const char *raft_dir, const struct receipt_content *told, struct receipt_content *found,
                          struct error *err)
{
    struct error unasked;
    struct check c = { .dir = raft_dir, .told = told, .err = err != NULL ? err : &unasked };
    enum status status = metadata_check(&c, found);
    if (status == STATUS_OK)
        status = files_list(&c);
    if (status == STATUS_OK)
        status = snapshot_check(&c);
    if (status == STATUS_OK)
        status = segments_check(&c);
    free(c.files);
    if (status != STATUS_OK)
        return status;
    found->last_index = c.last;
    if (told != NULL && c.last < told->last_index)
        return error_set(err, STATUS_CORRUPT,
                         "%s: the log ends at entry %" PRIu64 ", and this node has acknowledged entry %" PRIu64,
                         raft_dir, c.last, told->last_index);
    return STATUS_OK;
}
