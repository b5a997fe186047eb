#include "postgres/saved_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"

#define SAVED_MAGIC 0x53455601u /* "SEV", version 1 */
#define FILE_MAX (SAVED_CONNINFO_MAX + 128)

static enum status failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, STATUS_FAILED, "cannot %s %s: %s", what, path, strerror(errno));
}

static enum status directory_sync(const char *path, struct error *err)
{
    char copy[PATH_MAX];
    int fd;
    int result;

    if (!text_copy(copy, sizeof copy, path))
        return error_set(err, STATUS_INVALID, "the path %s is too long", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(err, "open the directory of", path);
    result = fsync(fd);
    (void)close(fd);
    return result == 0 ? STATUS_OK : failed(err, "sync the directory of", path);
}

static bool write_all(int fd, const uint8_t *data, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = write(fd, data, length_bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data += written;
        length_bytes -= (size_t)written;
    }
    return true;
}

enum status saved_settings_write(const char *path, const struct saved_settings *saved, struct error *err)
{
    uint8_t buffer[FILE_MAX];
    char temporary[PATH_MAX];
    struct writer w;
    int fd;
    bool written;

    writer_init(&w, buffer, sizeof buffer);
    writer_u32(&w, SAVED_MAGIC);
    writer_string(&w, saved->primary_conninfo);
    writer_string(&w, saved->retry_interval);
    writer_u32(&w, crc32c(0, buffer, w.used));
    if (!writer_ok(&w) || snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return error_set(err, STATUS_INVALID, "the settings to save, or the path %s, are too long", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(err, "create", temporary);
    written = write_all(fd, buffer, w.used) && fsync(fd) == 0;
    if (!written)
        (void)failed(err, "write", temporary);
    if (close(fd) != 0 && written)
        return failed(err, "close", temporary);
    if (!written)
        return STATUS_FAILED;
    if (rename(temporary, path) != 0)
        return failed(err, "rename to", path);
    return directory_sync(path, err);
}

enum status saved_settings_read(const char *path, struct saved_settings *saved, struct error *err)
{
    uint8_t buffer[FILE_MAX];
    struct reader r;
    ssize_t length;
    uint32_t magic;
    uint32_t sum;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    memset(saved, 0, sizeof *saved);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "nothing is saved in %s", path);
    if (fd < 0)
        return failed(err, "open", path);
    length = read(fd, buffer, sizeof buffer);
    if (length < 0)
        (void)failed(err, "read", path);
    (void)close(fd);
    if (length < 0)
        return STATUS_FAILED;
    reader_init(&r, buffer, (size_t)length);
    magic = reader_u32(&r);
    reader_string(&r, saved->primary_conninfo, sizeof saved->primary_conninfo);
    reader_string(&r, saved->retry_interval, sizeof saved->retry_interval);
    sum = crc32c(0, buffer, r.used);
    if (magic != SAVED_MAGIC || reader_u32(&r) != sum || !reader_done(&r))
        return error_set(err, STATUS_CORRUPT, "%s is damaged: set primary_conninfo by hand", path);
    return STATUS_OK;
}

enum status saved_settings_remove(const char *path, struct error *err)
{
    if (unlink(path) != 0)
        return errno == ENOENT ? STATUS_OK : failed(err, "remove", path);
    return directory_sync(path, err);
}
