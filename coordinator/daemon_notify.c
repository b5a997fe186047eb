/* Tells the service manager how far this process is (systemd's Type=notify): one datagram, no library. Nothing happens without such a manager. */
#include "daemon.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/log.h"

void daemon_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length;
    int fd;

    if (path == NULL || (path[0] != '/' && path[0] != '@'))
        return;
    length = strlen(path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && length < sizeof address.sun_path) {
        memcpy(address.sun_path, path, length);
        if (path[0] == '@')
            address.sun_path[0] = '\0'; /* an abstract socket */
        length += offsetof(struct sockaddr_un, sun_path);
        if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, (socklen_t)length) < 0)
            log_event(LOG_LEVEL_WARNING, "notify_failed", "socket=%s", path);
    }
    if (fd >= 0)
        (void)close(fd);
}
