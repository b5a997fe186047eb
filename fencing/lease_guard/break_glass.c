#include "break_glass.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "miscadmin.h"

/* Two lines: the data directory, the host's name. */
static bool names_this_server(char *text, const char *host)
{
    char wanted[PATH_MAX];
    char named[PATH_MAX];
    char *rest = NULL;
    char *path = strtok_r(text, "\n", &rest);
    char *name = strtok_r(NULL, "\n", &rest);

    if (path == NULL || name == NULL || strtok_r(NULL, "\n", &rest) != NULL || path[0] != '/')
        return false;
    if (realpath(DataDir, wanted) == NULL || realpath(path, named) == NULL)
        return false;
    return strcmp(wanted, named) == 0 && strcmp(name, host) == 0;
}

static bool is_safe_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid()) &&
           (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool break_glass_read(void)
{
    char text[PATH_MAX + 128];
    struct utsname host;
    ssize_t got;
    bool valid;
    int fd = open(BREAK_GLASS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) {
        if (errno != ENOENT)
            ereport(WARNING,
                    (errcode_for_file_access(), errmsg("lease_guard: \"%s\" is ignored: %m", BREAK_GLASS_FILE)));
        return false;
    }
    valid = is_safe_file(fd) && uname(&host) == 0;
    got = valid ? read(fd, text, sizeof text - 1) : -1;
    close(fd);
    if (got >= 0)
        text[got] = '\0';
    if (got < 0 || !names_this_server(text, host.nodename)) {
        ereport(WARNING, (errmsg("lease_guard: \"%s\" is ignored: it does not name this server", BREAK_GLASS_FILE),
                          errhint("It must have two lines, the data directory \"%s\" and the host's name as \"uname "
                                  "-n\" prints it, belong to the "
                                  "server's user or root, and be writable by nobody else.",
                                  DataDir)));
        return false;
    }
    ereport(
        WARNING,
        (errmsg("lease_guard: GLASS BROKEN: this server commits without a lease until it is restarted without \"%s\"",
                BREAK_GLASS_FILE),
         errdetail("Nothing here prevents a second primary.")));
    return true;
}
