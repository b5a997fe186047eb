#include "raft/storage_files.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY_MAGIC 0x44494f43u /* "COID" */
#define RAFT_DIR_MAX 880           /* libraft's own limit on the directory's name */

enum status storage_path(char *out, size_t capacity, const char *dir, const char *name, struct error *err)
{
    int n = snprintf(out, capacity, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= capacity || n >= RAFT_DIR_MAX)
        return error_set(err, STATUS_INVALID, "data directory name is too long: %.100s...", dir);
    return STATUS_OK;
}

/* ---- identity ---- */

void storage_identity_encode(const struct storage_identity *identity, uint8_t out[STORAGE_IDENTITY_BYTES])
{
    struct writer w;
    char address[ADDRESS_MAX_BYTES];
    text_copy(address, sizeof address, identity->address);
    writer_init(&w, out, STORAGE_IDENTITY_BYTES);
    writer_u32(&w, IDENTITY_MAGIC);
    writer_u32(&w, STORAGE_FORMAT);
    writer_u64(&w, identity->cluster);
    writer_u64(&w, identity->id);
    writer_bytes(&w, address, sizeof address);
    writer_u32(&w, crc32c(0, out, w.used));
    ASSERT(writer_ok(&w) && w.used == STORAGE_IDENTITY_BYTES);
}

/* *version is what the file says, also when that is too new to be read. */
enum status storage_identity_decode(const uint8_t *in, size_t length, struct storage_identity *out, uint32_t *version)
{
    struct reader r;
    reader_init(&r, in, length);
    uint32_t magic = reader_u32(&r);
    *version = reader_u32(&r);
    out->cluster = reader_u64(&r);
    out->id = reader_u64(&r);
    reader_bytes(&r, out->address, sizeof out->address);
    uint32_t crc = reader_u32(&r);
    if (magic == IDENTITY_MAGIC && *version > STORAGE_FORMAT)
        return STATUS_REFUSED; /* its checksum is where that version puts it */
    if (!reader_done(&r) || magic != IDENTITY_MAGIC || *version == 0 || out->id == 0 ||
        crc != crc32c(0, in, STORAGE_IDENTITY_BYTES - 4) || memchr(out->address, 0, sizeof out->address) == NULL)
        return STATUS_CORRUPT;
    return STATUS_OK;
}

enum status storage_identity_read(const char *path, struct storage_identity *out, uint32_t *version, struct error *err)
{
    uint8_t bytes[STORAGE_IDENTITY_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "%s" STORAGE_NOTHING_HERE, path);
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    ssize_t n = read(fd, bytes, sizeof bytes);
    int saved = errno;
    close(fd);
    errno = saved;
    if (n < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    enum status status = storage_identity_decode(bytes, (size_t)n, out, version);
    if (status == STATUS_REFUSED)
        return error_set(err, STATUS_INVALID,
                         "%s: the directory has format %" PRIu32
                         ", and this program knows formats up to %d: a newer coordd "
                         "ran here; install that version again",
                         path, *version, STORAGE_FORMAT);
    return status == STATUS_OK ? status : error_set(err, STATUS_CORRUPT, "%s is damaged" STORAGE_WAY_OUT, path);
}

/* Three lines: "generation N", who, why; then a checksum of them. Control characters do not come here: each line ends where it should. */
#define GENERATION_MAX_BYTES 300

static size_t generation_text(const struct storage_generation *generation, char text[GENERATION_MAX_BYTES])
{
    int n = snprintf(text, GENERATION_MAX_BYTES, "generation %" PRIu64 "\nwho %s\nreason %s", generation->number,
                     generation->who, generation->reason);
    n += snprintf(text + n, GENERATION_MAX_BYTES - (size_t)n, "\ncrc %08" PRIx32 "\n", crc32c(0, text, (size_t)n));
    ASSERT(n > 0 && n < GENERATION_MAX_BYTES);
    return (size_t)n;
}

/* Takes one line that begins with `word`; false when it does not, or is too long. */
static bool line_take(const char **at, const char *word, char *out, size_t capacity)
{
    size_t skip = strlen(word);
    const char *end = strncmp(*at, word, skip) == 0 ? strchr(*at, '\n') : NULL;
    if (end == NULL || (size_t)(end - *at) - skip >= capacity)
        return false;
    memcpy(out, *at + skip, (size_t)(end - *at) - skip);
    out[(size_t)(end - *at) - skip] = '\0';
    *at = end + 1;
    return true;
}

/* It is what generation_text writes, byte for byte. */
static enum status generation_parse(const char *text, size_t length, struct storage_generation *out)
{
    char number[24], again[GENERATION_MAX_BYTES];
    const char *at = text;
    *out = (struct storage_generation){ .number = 0 };
    if (!line_take(&at, "generation ", number, sizeof number) || !line_take(&at, "who ", out->who, sizeof out->who) ||
        !line_take(&at, "reason ", out->reason, sizeof out->reason))
        return STATUS_CORRUPT;
    out->number = strtoull(number, NULL, 10);
    return out->number > 0 && generation_text(out, again) == length && memcmp(again, text, length) == 0
               ? STATUS_OK
               : STATUS_CORRUPT;
}

enum status storage_generation_read(const char *node_dir, struct storage_generation *out, struct error *err)
{
    char path[PATH_MAX], text[GENERATION_MAX_BYTES];
    *out = (struct storage_generation){ .number = 1 };
    if (storage_path(path, sizeof path, node_dir, "generation", err) != STATUS_OK)
        return err->status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return STATUS_OK;
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    ssize_t n = read(fd, text, sizeof text - 1);
    int saved = errno;
    close(fd);
    errno = saved;
    if (n < 0)
        return error_set(err, STATUS_FAILED, "%s: %m", path);
    text[n] = '\0';
    if (generation_parse(text, (size_t)n, out) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "%s is damaged" STORAGE_WAY_OUT, path);
    return STATUS_OK;
}

enum status storage_generation_write(const char *node_dir, const struct storage_generation *generation,
                                     struct error *err)
{
    char path[PATH_MAX], fresh[PATH_MAX], text[GENERATION_MAX_BYTES];
    size_t n = generation_text(generation, text);
    if (storage_path(path, sizeof path, node_dir, "generation", err) != STATUS_OK ||
        storage_path(fresh, sizeof fresh, node_dir, "generation.new", err) != STATUS_OK)
        return err->status;
    (void)unlink(fresh); /* of an attempt that did not finish */
    enum status status = storage_file_write(fresh, (const uint8_t *)text, n, err);
    if (status == STATUS_OK && rename(fresh, path) != 0)
        status = error_set(err, STATUS_FAILED, "rename of %s: %m", fresh);
    return status == STATUS_OK ? storage_directory_sync(node_dir, err) : status;
}

enum status storage_file_write(const char *path, const uint8_t *bytes, size_t length, struct error *err)
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

enum status storage_directory_sync(const char *path, struct error *err)
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

/* Whoever is not the user that coordd runs as is told who that is. */
static enum status denied(const char *data_dir, const char *path, struct error *err)
{
    struct stat st;
    if (stat(data_dir, &st) != 0)
        return error_set(err, STATUS_FAILED, "%s: %s", path, strerror(EACCES));
    const struct passwd *owner = getpwuid(st.st_uid);
    return error_set(err, STATUS_FAILED, "%s: %s: %s belongs to the user %s (uid %u): be that user, or root", path,
                     strerror(EACCES), data_dir, owner != NULL ? owner->pw_name : "?", (unsigned)st.st_uid);
}

enum status storage_lock(const char *data_dir, int *fd, struct error *err)
{
    char path[PATH_MAX];
    if (storage_path(path, sizeof path, data_dir, "lock", err) != STATUS_OK)
        return err->status;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return errno == EACCES ? denied(data_dir, path, err) : error_set(err, STATUS_FAILED, "%s: %m", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    error_set(err, errno == EWOULDBLOCK ? STATUS_REFUSED : STATUS_FAILED,
              errno == EWOULDBLOCK ? "%s: another process runs this node" : "%s: %m", path);
    close(*fd);
    *fd = -1;
    return err->status;
}
