#include "raft/receipt.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECEIPT_MAGIC 0x50435243u /* "CRCP" */
#define RECEIPT_VERSION 1
#define RECORD_BYTES 52

static void record_encode(const struct receipt_content *c, uint64_t sequence, uint8_t out[RECORD_BYTES])
{
    struct writer w;
    writer_init(&w, out, RECORD_BYTES);
    writer_u32(&w, RECEIPT_MAGIC);
    writer_u32(&w, RECEIPT_VERSION);
    writer_u64(&w, sequence);
    writer_u64(&w, c->metadata_version);
    writer_u64(&w, c->term);
    writer_u64(&w, c->vote);
    writer_u64(&w, c->last_index);
    writer_u32(&w, crc32c(0, out, w.used));
    ASSERT(writer_ok(&w) && w.used == RECORD_BYTES);
}

static bool record_decode(const uint8_t in[RECORD_BYTES], struct receipt_content *c, uint64_t *sequence)
{
    struct reader r;
    reader_init(&r, in, RECORD_BYTES);
    uint32_t magic = reader_u32(&r);
    uint32_t version = reader_u32(&r);
    *sequence = reader_u64(&r);
    c->metadata_version = reader_u64(&r);
    c->term = reader_u64(&r);
    c->vote = reader_u64(&r);
    c->last_index = reader_u64(&r);
    uint32_t crc = reader_u32(&r);
    return reader_done(&r) && magic == RECEIPT_MAGIC && version == RECEIPT_VERSION &&
           crc == crc32c(0, in, RECORD_BYTES - 4);
}

/* 0 or an errno. In place: the slot is there, so that nothing but its bytes needs the sync. */
static int slot_write(int fd, const struct receipt_content *content, uint64_t sequence)
{
    uint8_t record[RECORD_BYTES];
    record_encode(content, sequence, record);
    ssize_t n = pwrite(fd, record, sizeof record, (off_t)(sequence % 2 * RECEIPT_SLOT_BYTES));
    if (n != RECORD_BYTES)
        return n < 0 ? errno : ENOSPC;
    return fdatasync(fd) == 0 ? 0 : errno;
}

enum status receipt_create(const char *path, const struct receipt_content *content, struct error *err)
{
    static const uint8_t zeros[RECEIPT_FILE_BYTES];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    ssize_t n = write(fd, zeros, sizeof zeros);
    int wrong = n == (ssize_t)sizeof zeros ? slot_write(fd, content, 1) : n < 0 ? errno : ENOSPC;
    if (wrong == 0 && fsync(fd) != 0)
        wrong = errno;
    if (close(fd) != 0 && wrong == 0)
        wrong = errno;
    return wrong == 0 ? STATUS_OK : error_set(err, STATUS_FAILED, "%s: %s", path, strerror(wrong));
}

static enum status slots_read(int fd, const char *path, struct receipt_content *out, uint64_t *sequence,
                              struct error *err)
{
    *sequence = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t record[RECORD_BYTES];
        struct receipt_content content;
        uint64_t number;
        ssize_t n = pread(fd, record, sizeof record, (off_t)slot * RECEIPT_SLOT_BYTES);
        if (n < 0)
            return error_set(err, STATUS_FAILED, "%s: %m", path);
        if (n != RECORD_BYTES || !record_decode(record, &content, &number) || number <= *sequence)
            continue;
        *sequence = number;
        *out = content;
    }
    return *sequence > 0 ? STATUS_OK : error_set(err, STATUS_CORRUPT, "%s is damaged", path);
}

enum status receipt_read(const char *path, struct receipt_content *out, struct error *err)
{
    uint64_t sequence;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "%s: %m", path);
    enum status status = slots_read(fd, path, out, &sequence, err);
    close(fd);
    return status;
}

enum status receipt_open(struct receipt *r, const char *path, void (*failed)(void *ctx, const char *reason), void *ctx,
                         struct error *err)
{
    *r = (struct receipt){ .failed = failed, .ctx = ctx };
    r->fd = open(path, O_RDWR | O_CLOEXEC);
    if (r->fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    enum status status = slots_read(r->fd, path, &r->content, &r->sequence, err);
    if (status != STATUS_OK) {
        close(r->fd);
        return status;
    }
    r->stored_index = r->content.last_index;
    int rv = uv_mutex_init(&r->writing);
    ASSERT(rv == 0);
    return STATUS_OK;
}

/* Under the lock. */
static int content_write(struct receipt *r, const struct receipt_content *content)
{
    int wrong = slot_write(r->fd, content, r->sequence + 1);
    if (wrong == 0) {
        r->sequence++;
        r->content = *content;
    }
    return wrong;
}

int receipt_term(struct receipt *r, uint64_t metadata_version, uint64_t term, node_id vote)
{
    uv_mutex_lock(&r->writing);
    struct receipt_content next = r->content;
    next.metadata_version = metadata_version;
    next.term = term;
    next.vote = vote;
    int wrong = content_write(r, &next);
    uv_mutex_unlock(&r->writing);
    return wrong;
}

int receipt_lower(struct receipt *r, uint64_t last_index)
{
    int wrong = 0;
    if (r->stored_index > last_index)
        r->stored_index = last_index;
    uv_mutex_lock(&r->writing);
    if (r->work_index > last_index)
        r->work_index = last_index; /* for a work that has not begun */
    if (r->content.last_index > last_index) {
        struct receipt_content next = r->content;
        next.last_index = last_index;
        wrong = content_write(r, &next);
    }
    uv_mutex_unlock(&r->writing);
    return wrong;
}

void receipt_stored(struct receipt *r, uint64_t last_index)
{
    if (last_index > r->stored_index)
        r->stored_index = last_index;
}

static void on_work(uv_work_t *work)
{
    struct receipt *r = work->data;
    uv_mutex_lock(&r->writing);
    if (r->content.last_index < r->work_index) {
        struct receipt_content next = r->content;
        next.last_index = r->work_index;
        r->work_errno = content_write(r, &next);
    }
    uv_mutex_unlock(&r->writing);
}

static void finish(struct receipt *r)
{
    close(r->fd);
    uv_mutex_destroy(&r->writing);
    r->closed(r->ctx);
}

static void on_worked(uv_work_t *work, int status)
{
    struct receipt *r = work->data;
    (void)status; /* nobody cancels it */
    r->work_runs = false;
    if (r->closing)
        finish(r);
    else if (r->work_errno != 0)
        r->failed(r->ctx, strerror(r->work_errno));
}

static void work_begin(struct receipt *r, uv_loop_t *loop)
{
    r->work.data = r;
    r->work_index = r->stored_index;
    r->work_errno = 0;
    r->work_runs = true;
    int rv = uv_queue_work(loop, &r->work, on_work, on_worked);
    ASSERT(rv == 0);
}

void receipt_tick(struct receipt *r, uv_loop_t *loop)
{
    if (!r->work_runs && r->stored_index > r->content.last_index)
        work_begin(r, loop);
}

void receipt_close(struct receipt *r, uv_loop_t *loop, void (*closed)(void *ctx), void *ctx)
{
    r->closing = true;
    r->closed = closed;
    r->ctx = ctx;
    if (!r->work_runs)
        work_begin(r, loop); /* so that a node that was stopped has told all of it */
}
