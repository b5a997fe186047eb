/* One look or order of data_dir on a thread of its own: a directory on a hung disk must block neither the loop nor the threads of libuv's
 * pool, which Raft's disk writes need. A job that hangs is abandoned: its thread frees it if it ever ends. */
#ifndef COORD_FENCING_DATA_DIR_JOB_H
#define COORD_FENCING_DATA_DIR_JOB_H

#include <uv.h>

#include "fencing/data_dir.h"

enum data_dir_action { DATA_DIR_INSPECT, DATA_DIR_HOLDS, DATA_DIR_STOP, DATA_DIR_KILL, DATA_DIR_TOMBSTONE };

struct data_dir_job;

/* `state` is filled by DATA_DIR_INSPECT. */
typedef void (*data_dir_job_cb)(void *ctx, const struct data_dir_state *state, const struct error *err);

/* Copies `path`; `pid` is for DATA_DIR_HOLDS. Valid until `done` returns or until it is abandoned. Never NULL. */
struct data_dir_job *data_dir_job_begin(uv_loop_t *loop, enum data_dir_action action, const char *path, pid_t pid,
                                        data_dir_job_cb done, void *ctx);

/* `done` will not fire. What the job does to the directory may still happen. */
void data_dir_job_abandon(struct data_dir_job *job);

#endif
