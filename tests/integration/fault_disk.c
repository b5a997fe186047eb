#include "fault_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

bool fault_disk_possible(void)
{
    char dir[] = "/tmp/test-fuse-XXXXXX", options[100];
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        close(fd);
        return false;
    }
    assert_non_null(mkdtemp(dir));
    snprintf(options, sizeof options, "fd=%d,rootmode=40700,user_id=0,group_id=0", fd);
    bool may = mount("probe", dir, "fuse", 0, options) == 0;
    if (may)
        umount2(dir, MNT_DETACH);
    close(fd);
    rmdir(dir);
    return may;
}

static void answer_read(struct fault_disk *d, char *answer, size_t capacity)
{
    size_t used = 0;
    while (used + 1 < capacity) {
        ssize_t n = read(d->out, answer + used, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            fail_msg("the disk at %s has ended", d->dir);
        if (answer[used] == '\n')
            break;
        used++;
    }
    answer[used] = '\0';
}

void fault_disk_mount(struct fault_disk *d, const char *dir)
{
    int to[2], from[2];
    char line[100];
    *d = (struct fault_disk){ 0 };
    snprintf(d->dir, sizeof d->dir, "%s", dir);
    assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    d->pid = fork();
    assert_true(d->pid >= 0);
    if (d->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(FAULTFS_PATH, "faultfs", dir, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    d->in = to[1];
    d->out = from[0];
    answer_read(d, line, sizeof line);
    assert_string_equal(line, "mounted");
}

void fault_disk_close(struct fault_disk *d)
{
    if (d->pid == 0)
        return;
    close(d->in); /* it unmounts and ends */
    while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(d->out);
    d->pid = 0;
}

void fault_disk_order(struct fault_disk *d, char *answer, size_t capacity, const char *format, ...)
{
    char line[100];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    line[length++] = '\n';
    assert_int_equal(write(d->in, line, (size_t)length), length);
    char unasked[100];
    answer_read(d, answer != NULL ? answer : unasked, answer != NULL ? capacity : sizeof unasked);
}
