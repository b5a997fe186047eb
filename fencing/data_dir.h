/* What is true about one PostgreSQL data directory: which processes stand in it, whether its shared memory is in use, and the two orders
 * that a fence gives there. Blocking (a directory on a hung disk blocks for ever): called through data_dir_job alone.
 *
 * Every process of a server has its data directory as working directory, and every one that can commit is attached to the shared memory
 * whose id stands in postmaster.pid. Neither is believed alone: a directory is empty when no process stands in it and nothing is attached.
 * What cannot be looked at (rights, another namespace's process) is an error, never "empty". Processes and shared memory of another
 * namespace look absent. So where a postmaster.pid was left, "empty" needs that its server would be seen: its shared memory is here, or we
 * are in the first PID namespace, to which no process is hidden. */
#ifndef COORD_FENCING_DATA_DIR_H
#define COORD_FENCING_DATA_DIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

enum data_dir_life {
    DATA_DIR_EMPTY,    /* proven: nothing of any server is left */
    DATA_DIR_RUNNING,  /* the postmaster that postmaster.pid names is alive */
    DATA_DIR_ORPHANED, /* no postmaster, but processes or attached shared memory: they may still commit */
};

struct data_dir_state {
    enum data_dir_life life;
    pid_t postmaster; /* 0: none */
    uint32_t process_count;
    pid_t some_process; /* one of them, for the message; 0: none */
    uint64_t attached_count;
};

enum status data_dir_inspect(const char *path, struct data_dir_state *state, struct error *err);

/* Does this process stand in the directory, and is it PostgreSQL's? STATUS_NOT_FOUND: it does not. */
enum status data_dir_holds(const char *path, pid_t pid, struct error *err);

/* SIGQUIT to the postmaster: what `pg_ctl stop -m immediate` does, without a race on the process id. */
enum status data_dir_stop(const char *path, struct error *err);
/* SIGKILL to every process of the server. A shared memory without its postmaster is lost anyway. */
enum status data_dir_kill(const char *path, struct error *err);

/* Writes standby.signal, and it is on the disk when this returns: the directory cannot come up read-write any more. */
enum status data_dir_tombstone(const char *path, struct error *err);

#endif
