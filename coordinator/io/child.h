/* Runs one program: an argv, never a shell line, in a process group of its own, under `coord-supervise`.
 * The supervisor owns the deadline, so that the group dies in time also while coordd is frozen, and at once when coordd is killed.
 * What the exit code means is the caller's decision.
 *
 * The process must ignore SIGPIPE: a program may end without reading its input.
 *
 * Happy path: spawn, feed stdin, collect output, the program exits, `done` with its exit code. What it left running in the background
 * stays (a start script's application); only a deadline, a cancel or the death of coordd kill the whole group, and every descendant that
 * left the group: SIGTERM, then SIGKILL after `grace_ms`. */
#ifndef COORD_IO_CHILD_H
#define COORD_IO_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"

#define CHILD_OUTPUT_MAX (16 * 1024) /* the tail that is kept, of each of stdout and stderr */
#define CHILD_ARGS_MAX 64
#define CHILD_ENV_MAX 32

struct child_config {
    const char *supervise_path; /* the coord-supervise executable */
    uint32_t grace_ms;          /* between SIGTERM and SIGKILL; 0 = SIGKILL at once */
};

struct child_request {
    const char *const *argv; /* NULL-terminated; argv[0] is searched on PATH when it has no slash */
    const char *const *env;  /* NULL, or NULL-terminated "NAME=value": added to coordd's own, or replacing it */
    /* NULL: the program reads /dev/null. May hold a secret: it is copied, and wiped after use. */
    const char *stdin_text;
    int64_t t0_us; /* clock_now_us() from which the deadline counts */
    uint32_t deadline_ms;
};

struct child_result {
    bool started;    /* the program itself ran; false when it could not be executed */
    int exit_code;   /* 0-255 after an exit, -1 when it did not exit by itself */
    int term_signal; /* what ended it, else 0 */
    /* The last CHILD_OUTPUT_MAX bytes of each, NUL-terminated; bytes that are neither printable nor white space are '?'. */
    const char *output; /* stdout */
    const char *errors; /* stderr */
    bool output_cut;    /* something before one of them was dropped */
    int64_t duration_us;
};

struct child; /* opaque: owns the supervisor's process handle, its pipes and a timer; frees itself after `done` */

/* `err` is NULL when the program exited by itself, whatever its code. Otherwise STATUS_NOT_FOUND or STATUS_FAILED (not executed: names
 * the path and the reason), STATUS_FAILED (ended by a signal that is not ours), STATUS_TIMED_OUT, STATUS_CANCELED (both: the group is
 * dead). `result` is never NULL and lives until the callback returns. */
typedef void (*child_cb)(void *ctx, const struct child_result *result, const struct error *err);

/* Copies `config` and `request`. The returned child is valid until `done` returns. Never NULL. */
struct child *child_begin(uv_loop_t *loop, const struct child_config *config, const struct child_request *request,
                          child_cb done, void *ctx);

/* Ends the group; `done` still fires, with STATUS_CANCELED unless the program's own end came first. A second call does nothing. */
void child_cancel(struct child *c);

#endif
