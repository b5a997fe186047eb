#include "io/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Cuts at the end of the line, also a line of Windows. A zero byte would cut it silently, and a secret that is cut is a wrong one. */
static enum status first_line(const char *reference, char *out, size_t length, struct error *err)
{
    size_t line = strcspn(out, "\r\n");

    if (memchr(out, '\0', length) != NULL)
        return error_set(err, STATUS_INVALID, "secret %s: holds a zero byte", reference);
    explicit_bzero(out + line, length - line);
    if (out[0] == '\0')
        return error_set(err, STATUS_INVALID, "secret %s is empty", reference);
    return STATUS_OK;
}

static enum status from_file(const char *reference, const char *path, char *out, size_t capacity_bytes,
                             struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t got;

    if (fd < 0 && errno == EACCES)
        return error_set(err, STATUS_FAILED, "secret %s: this user (uid %u) may not read it", reference,
                         (unsigned)geteuid());
    if (fd < 0)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "secret %s: %s", reference,
                         strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd); /* read only: nothing can be lost */
        return error_set(err, STATUS_INVALID, "secret %s: not a regular file", reference);
    }
    if ((st.st_mode & 077) != 0) {
        (void)close(fd);
        return error_set(err, STATUS_REFUSED, "secret %s: others may read it (mode %o): chmod 600 %s", reference,
                         (unsigned)(st.st_mode & 0777), path);
    }
    got = read(fd, out, capacity_bytes - 1);
    (void)close(fd);
    if (got < 0)
        return error_set(err, STATUS_FAILED, "secret %s: %s", reference, strerror(errno));
    if ((size_t)got < (size_t)st.st_size) {
        explicit_bzero(out, capacity_bytes);
        return error_set(err, STATUS_INVALID, "secret %s: longer than %zu bytes", reference, capacity_bytes - 1);
    }
    out[got] = '\0';
    return first_line(reference, out, (size_t)got, err);
}

enum status secret_read(const char *reference, char *out, size_t capacity_bytes, struct error *err)
{
    const char *text;

    out[0] = '\0';
    if (strncmp(reference, "file:/", 6) == 0)
        return from_file(reference, reference + 5, out, capacity_bytes, err);
    if (strncmp(reference, "env:", 4) != 0)
        return error_set(err, STATUS_INVALID, "a secret is given as file:/absolute/path or env:NAME");
    text = getenv(reference + 4);
    if (text == NULL)
        return error_set(err, STATUS_NOT_FOUND, "secret %s: not in coordd's environment", reference);
    if (strlen(text) >= capacity_bytes)
        return error_set(err, STATUS_INVALID, "secret %s: longer than %zu bytes", reference, capacity_bytes - 1);
    memcpy(out, text, strlen(text) + 1);
    return first_line(reference, out, strlen(text), err);
}
