/* A disk that does what it is told (tests/faultfs), mounted for a test. Failures of the tool itself abort the test. */
#ifndef FAULT_DISK_H
#define FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fault_disk {
    pid_t pid; /* 0: none */
    int in, out;
    char dir[256];
};

/* May FUSE be used here (/dev/fuse, the right to mount)? From now on this process has its own mounts, which go with it. Call first in main. */
bool fault_disk_possible(void);
void fault_disk_mount(struct fault_disk *d, const char *dir);
void fault_disk_close(struct fault_disk *d);
/* Gives an order (the top of tests/faultfs/faultfs.c) and its answer. */
void fault_disk_order(struct fault_disk *d, char *answer, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
