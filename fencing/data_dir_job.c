#include "fencing/data_dir_job.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

#define STACK_BYTES (256 * 1024)

/* Owned by two, the loop and the thread; the last one frees it. */
struct data_dir_job {
    atomic_int owners;
    enum data_dir_action action;
    char *path;
    pid_t pid;
    struct data_dir_state state;
    struct error err;
    int finished_fd; /* written by the thread at its end */
    uv_poll_t finished;
    data_dir_job_cb done;
    void *ctx;
};

static void let_go(struct data_dir_job *job)
{
    if (atomic_fetch_sub(&job->owners, 1) > 1)
        return; /* the other owner frees it */
    (void)close(job->finished_fd);
    free(job->path);
    free(job);
}

static void run(void *arg)
{
    struct data_dir_job *job = arg;
    uint64_t one = 1;
    ssize_t written;

    switch (job->action) {
    case DATA_DIR_INSPECT:
        (void)data_dir_inspect(job->path, &job->state, &job->err);
        break;
    case DATA_DIR_HOLDS:
        (void)data_dir_holds(job->path, job->pid, &job->err);
        break;
    case DATA_DIR_STOP:
        (void)data_dir_stop(job->path, &job->err);
        break;
    case DATA_DIR_KILL:
        (void)data_dir_kill(job->path, &job->err);
        break;
    case DATA_DIR_TOMBSTONE:
        (void)data_dir_tombstone(job->path, &job->err);
        break;
    }
    written = write(job->finished_fd, &one, sizeof one);
    ASSERT(written == (ssize_t)sizeof one);
    let_go(job);
}

static void on_poll_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

static void on_finished(uv_poll_t *poll, int uv_status, int events)
{
    struct data_dir_job *job = poll->data;

    (void)events;
    ASSERT(uv_status == 0); /* an eventfd has no other state */
    uv_close((uv_handle_t *)poll, on_poll_closed);
    job->done(job->ctx, &job->state, error_or_null(&job->err));
}

struct data_dir_job *data_dir_job_begin(uv_loop_t *loop, enum data_dir_action action, const char *path, pid_t pid,
                                        data_dir_job_cb done, void *ctx)
{
    struct data_dir_job *job = calloc(1, sizeof *job);
    const uv_thread_options_t options = { .flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES };
    uv_thread_t thread;
    int failed;

    ASSERT(
        job !=
        NULL); /* a node without memory, descriptors or threads for one look is of no use: its peers go on without it */
    job->path = strdup(path);
    ASSERT(job->path != NULL);
    atomic_init(&job->owners, 2);
    job->action = action;
    job->pid = pid;
    job->done = done;
    job->ctx = ctx;
    job->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(job->finished_fd >= 0);
    failed = uv_poll_init(loop, &job->finished, job->finished_fd);
    ASSERT(failed == 0);
    job->finished.data = job;
    failed = uv_poll_start(&job->finished, UV_READABLE, on_finished);
    ASSERT(failed == 0);
    failed = uv_thread_create_ex(&thread, &options, run, job);
    ASSERT(failed == 0);
    failed = pthread_detach(thread);
    ASSERT(failed == 0);
    return job;
}

void data_dir_job_abandon(struct data_dir_job *job)
{
    uv_close((uv_handle_t *)&job->finished, on_poll_closed);
}
