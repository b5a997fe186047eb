#include "dns/tsig_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/secret.h"

/* An open file that belongs to its owner alone. */
static enum status key_open(const char *path, int *out, struct error *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "TSIG key %.250s: %s", path,
                         strerror(errno));
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(fd);
        return error_set(err, STATUS_INVALID, "TSIG key %.250s is not a regular file", path);
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)close(fd);
        return error_set(err, STATUS_REFUSED,
                         "TSIG key %.250s has mode %04o, others can read it: chmod 0600 it, and change the key", path,
                         (unsigned)(info.st_mode & 07777));
    }
    *out = fd;
    return STATUS_OK;
}

/* The one line that is neither empty nor a comment; NULL for none or more than one. Cuts `text` up. */
static char *key_line(char *text)
{
    char *found = NULL, *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        size_t length;
        line += strspn(line, " \t\r");
        if (*line == '\0' || *line == '#')
            continue;
        if (found != NULL)
            return NULL;
        for (length = strlen(line); length > 0 && strchr(" \t\r", line[length - 1]) != NULL;)
            line[--length] = '\0';
        found = line;
    }
    return found;
}

/* Exactly three parts, none of them empty and none with a space in it: a key that is cut wrong must not pass for another one. */
static enum status key_parse(char *text, struct tsig_key *out)
{
    char *rest = key_line(text);
    const char *algorithm, *name, *secret;

    if (rest == NULL || strpbrk(rest, " \t\r") != NULL)
        return STATUS_INVALID;
    algorithm = strsep(&rest, ":");
    name = strsep(&rest, ":");
    secret = strsep(&rest, ":");
    if (secret == NULL || rest != NULL || name[0] == '\0' || secret[0] == '\0')
        return STATUS_INVALID;
    if (strcasecmp(algorithm, "hmac-sha256") != 0 || !text_copy(out->algorithm, sizeof out->algorithm, "hmac-sha256") ||
        !text_copy(out->name, sizeof out->name, name) || !text_copy(out->secret, sizeof out->secret, secret))
        return STATUS_INVALID;
    return STATUS_OK;
}

static enum status key_from_file(const char *path, char *text, size_t capacity_bytes, struct error *err)
{
    ssize_t n;
    int fd;

    if (key_open(path, &fd, err) != STATUS_OK)
        return err != NULL ? err->status : STATUS_FAILED;
    n = read(fd, text, capacity_bytes - 1);
    (void)close(fd);
    if (n < 0 || n == (ssize_t)capacity_bytes - 1)
        return error_set(err, STATUS_INVALID, "TSIG key %.250s cannot be read or is longer than a key", path);
    text[n] = '\0';
    return STATUS_OK;
}

enum status tsig_key_read(const char *path, struct tsig_key *out, struct error *err)
{
    char text[TSIG_KEY_FILE_MAX];
    struct dns_message probe;
    enum status status;

    if (strncmp(path, "file:", 5) == 0)
        path += 5;
    status = strncmp(path, "env:", 4) == 0 ? secret_read(path, text, sizeof text, err)
                                           : key_from_file(path, text, sizeof text, err);
    if (status != STATUS_OK)
        return status;
    memset(out, 0, sizeof *out);
    status = key_parse(text, out);
    explicit_bzero(text, sizeof text);
    /* Signing something shows whether the secret is base64. */
    if (status == STATUS_OK)
        status = dns_wire_query(&probe, "key.test", DNS_TYPE_A, out, NULL);
    if (status != STATUS_OK) {
        tsig_key_wipe(out);
        return error_set(err, STATUS_INVALID, "TSIG key %.250s: expected one line hmac-sha256:NAME:BASE64SECRET", path);
    }
    return STATUS_OK;
}

void tsig_key_wipe(struct tsig_key *key)
{
    explicit_bzero(key, sizeof *key);
}
