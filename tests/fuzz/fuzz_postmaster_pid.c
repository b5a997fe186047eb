/* fencing: PostgreSQL's postmaster.pid, whatever stands in it. The file itself is included. */
#include "fencing/data_dir.c" /* NOLINT: its static functions are what is tested */

#include "tests/fuzz/fuzz.h"

static char folder[] = "/dev/shm/fuzz-pid-XXXXXX";
static char path[sizeof folder + 32];

static void clean(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    ASSERT(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", folder);
    ASSERT(atexit(clean) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct directory d = { .path = folder };
    struct error err = ERROR_NONE;
    struct lock_file lock;
    uint64_t attached = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    ASSERT(close(fd) == 0);
    if (lock_file_read(&d, &lock, &err) == STATUS_OK) {
        ASSERT(lock.postmaster > 0); /* 0 and below are whole groups of processes to kill() */
        (void)memory_attached(&d, &lock, &attached, &err);
    }
    return 0;
}
