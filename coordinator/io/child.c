/* All the knowledge about the program comes over the control pipe, in the supervisor's words (supervise.c); its exit ends the
 * operation. Should the supervisor itself not do its work (stopped, killed), a later timer of ours kills both. */
#include "io/child.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"

extern char **environ;

#define SUPERVISOR_LATE_MS                                                                                             \
    8000 /* after deadline and grace; longer than the supervisor fights a process that does not die */
#define CONTROL_TEXT_MAX 256

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, PIPE_CONTROL, PIPE_COUNT };

struct tail {
    char text[CHILD_OUTPUT_MAX + 1];
    size_t used;
    bool cut;
};

struct child {
    uv_process_t process;
    uv_pipe_t pipes[PIPE_COUNT];
    uv_timer_t timer;
    uv_write_t write;
    int open_count; /* handles that have not said closed */
    bool closing;
    bool cancel_wanted;
    bool supervisor_late;
    uint32_t grace_ms;
    uint32_t deadline_ms;
    int64_t begun_us;
    char *stdin_text;
    size_t stdin_bytes;
    char program[PATH_MAX];
    char supervise_path[PATH_MAX];
    struct tail output, errors;
    char control[CONTROL_TEXT_MAX];
    size_t control_used;
    char read_buffer[CHILD_OUTPUT_MAX];
    struct child_result result;
    struct error err;
    child_cb done;
    void *ctx;
};

static void tail_add(struct tail *t, const char *data, size_t length_bytes)
{
    if (length_bytes > CHILD_OUTPUT_MAX) {
        data += length_bytes - CHILD_OUTPUT_MAX;
        length_bytes = CHILD_OUTPUT_MAX;
        t->cut = true;
    }
    if (t->used + length_bytes > CHILD_OUTPUT_MAX) {
        size_t drop = t->used + length_bytes - CHILD_OUTPUT_MAX;
        memmove(t->text, t->text + drop, t->used - drop);
        t->used -= drop;
        t->cut = true;
    }
    memcpy(t->text + t->used, data, length_bytes);
    t->used += length_bytes;
}

static const char *tail_finish(struct tail *t)
{
    for (size_t i = 0; i < t->used; i++) {
        unsigned char c = (unsigned char)t->text[i];
        if ((c < ' ' && c != '\n' && c != '\t' && c != '\r') || c >= 0x7f)
            t->text[i] = '?';
    }
    t->text[t->used] = '\0';
    return t->text;
}

static void pipe_data(struct child *c, int which, const char *data, size_t length_bytes)
{
    if (which == PIPE_OUT)
        tail_add(&c->output, data, length_bytes);
    else if (which == PIPE_ERR)
        tail_add(&c->errors, data, length_bytes);
    else
        for (size_t i = 0; i < length_bytes && c->control_used + 1 < sizeof c->control; i++)
            c->control[c->control_used++] = data[i];
}

/* What the supervisor said with `word`: its number, 0 without one, -1 when it did not say it. Control text is NUL-terminated by being
 * zeroed at the start. */
static int control_said(const struct child *c, const char *word)
{
    size_t word_bytes = strlen(word);

    for (const char *line = c->control; *line != '\0';) {
        if (strncmp(line, word, word_bytes) == 0 && (line[word_bytes] == ' ' || line[word_bytes] == '\n'))
            return (int)strtol(line + word_bytes, NULL, 10);
        line = strchr(line, '\n');
        if (line == NULL)
            break;
        line++;
    }
    return -1;
}

static void stdin_wipe(struct child *c)
{
    if (c->stdin_text == NULL)
        return;
    explicit_bzero(c->stdin_text, c->stdin_bytes);
    free(c->stdin_text);
    c->stdin_text = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct child *c = handle->data;

    if (--c->open_count > 0)
        return;
    stdin_wipe(c);
    c->result.output = tail_finish(&c->output);
    c->result.errors = tail_finish(&c->errors);
    c->result.output_cut = c->output.cut || c->errors.cut;
    c->result.duration_us = clock_now_us() - c->begun_us;
    c->done(c->ctx, &c->result, error_or_null(&c->err));
    free(c);
}

static void close_all(struct child *c)
{
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->timer, on_closed);
    for (int i = 0; i < PIPE_COUNT; i++)
        if (!uv_is_closing((uv_handle_t *)&c->pipes[i]))
            uv_close((uv_handle_t *)&c->pipes[i], on_closed);
    if (c->process.data != NULL)
        uv_close((uv_handle_t *)&c->process, on_closed);
}

/* From what the supervisor said to the result; the order is that of certainty. */
static void conclude(struct child *c, int supervisor_signal)
{
    int number;

    c->result.started = control_said(c, "started") > 0 && control_said(c, "failed") < 0;
    if ((number = control_said(c, "failed")) >= 0) {
        error_set(&c->err, number == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "%.200s cannot be run: %s (errno %d)",
                  c->program, strerror(number), number);
    } else if ((number = control_said(c, "exited")) >= 0) {
        c->result.exit_code = number;
    } else if ((number = control_said(c, "signaled")) >= 0) {
        c->result.term_signal = number;
        error_set(&c->err, STATUS_FAILED, "%.200s was ended by signal %d (%s)", c->program, number, strsignal(number));
    } else if (control_said(c, "stuck") >= 0) {
        error_set(&c->err, STATUS_UNKNOWN, "%.200s does not die of SIGKILL (hung in the kernel?); process group %d",
                  c->program, control_said(c, "started"));
    } else if (control_said(c, "gone") >= 0 && control_said(c, "canceled") >= 0) {
        error_set(&c->err, STATUS_CANCELED, "%.200s was canceled; its process group is dead", c->program);
    } else if (control_said(c, "gone") >= 0) {
        error_set(&c->err, STATUS_TIMED_OUT, "%.200s did not end within %" PRIu32 " ms; its process group is dead",
                  c->program, c->deadline_ms);
    } else {
        error_set(&c->err, STATUS_UNKNOWN, "the supervisor of %.200s %s (signal %d); descendants of it may be alive",
                  c->program, c->supervisor_late ? "hung and was killed" : "was killed", supervisor_signal);
    }
}

/* The supervisor is gone, and what it and the program wrote is in the pipes: take it without waiting for the end of file, which a
 * program in the background may hold off for ever. */
static void drain(struct child *c, int which)
{
    uv_os_fd_t fd;

    if (uv_is_closing((uv_handle_t *)&c->pipes[which]) || uv_fileno((uv_handle_t *)&c->pipes[which], &fd) != 0)
        return;
    for (size_t total = 0; total < 16 * (size_t)CHILD_OUTPUT_MAX;) {
        ssize_t n = read(fd, c->read_buffer, sizeof c->read_buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        pipe_data(c, which, c->read_buffer, (size_t)n);
        total += (size_t)n;
    }
}

static void on_supervisor_exit(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct child *c = process->data;

    (void)exit_status; /* the control pipe says more */
    if (term_signal != 0) {
        int program = control_said(c, "started");
        if (program > 0)
            (void)kill(-program, SIGKILL); /* nobody else does it now */
    }
    drain(c, PIPE_OUT);
    drain(c, PIPE_ERR);
    drain(c, PIPE_CONTROL);
    conclude(c, term_signal);
    close_all(c);
}

static void on_late(uv_timer_t *timer)
{
    struct child *c = timer->data;

    c->supervisor_late = true;
    (void)uv_process_kill(&c->process, SIGKILL); /* on_supervisor_exit continues */
}

static void late_timer_arm(struct child *c, uint64_t left_ms)
{
    int failed = uv_timer_start(&c->timer, on_late, left_ms + c->grace_ms + SUPERVISOR_LATE_MS, 0);

    ASSERT(failed == 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buf)
{
    struct child *c = handle->data;

    (void)suggested_bytes;
    *buf = uv_buf_init(c->read_buffer, sizeof c->read_buffer); /* used up before the next read */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct child *c = stream->data;

    if (n > 0)
        pipe_data(c, (int)((uv_pipe_t *)stream - c->pipes), buf->base, (size_t)n);
    else if (n < 0)
        (void)uv_read_stop(stream); /* on_supervisor_exit continues */
}

static void on_written(uv_write_t *write, int status)
{
    struct child *c = write->data;

    (void)status; /* a program need not read its input */
    stdin_wipe(c);
    if (!uv_is_closing((uv_handle_t *)&c->pipes[PIPE_IN]))
        uv_close((uv_handle_t *)&c->pipes[PIPE_IN], on_closed);
}

/* coordd's environment with the request's over it: NULL-terminated, the strings are borrowed. The caller frees the array. */
static char **env_build(const char *const *additions)
{
    size_t inherited = 0, used = 0;

    while (environ != NULL && environ[inherited] != NULL)
        inherited++;
    char **env = calloc(inherited + CHILD_ENV_MAX + 1, sizeof *env);
    ASSERT(env != NULL);
    for (size_t i = 0; additions != NULL && additions[i] != NULL; i++) {
        ASSERT(i < CHILD_ENV_MAX && strchr(additions[i], '=') != NULL);
        env[used++] = (char *)(uintptr_t)additions[i]; /* uv_spawn only reads them */
    }
    size_t added = used;
    for (size_t i = 0; i < inherited; i++) {
        size_t name_bytes = strcspn(environ[i], "=") + 1;
        bool replaced = false;
        for (size_t k = 0; k < added && !replaced; k++)
            replaced = strncmp(env[k], environ[i], name_bytes) == 0;
        if (!replaced)
            env[used++] = environ[i];
    }
    return env;
}

static int spawn(struct child *c, const struct child_config *config, const struct child_request *request)
{
    char deadline[32], grace[16];
    char *args[CHILD_ARGS_MAX + 4] = { c->supervise_path, deadline, grace };
    uv_stdio_container_t stdio[4] = { 0 };
    uv_process_options_t options = {
        .exit_cb = on_supervisor_exit, .file = c->supervise_path, .args = args, .stdio = stdio, .stdio_count = 4
    };

    (void)snprintf(deadline, sizeof deadline, "%" PRId64, request->t0_us + (int64_t)request->deadline_ms * 1000);
    (void)snprintf(grace, sizeof grace, "%" PRIu32, config->grace_ms);
    for (size_t i = 0; request->argv[i] != NULL; i++)
        args[3 + i] = (char *)(uintptr_t)request->argv[i]; /* uv_spawn only reads them */
    options.flags = UV_PROCESS_DETACHED;                   /* a Ctrl-C at coordd's terminal is coordd's to handle */
    stdio[0].flags = UV_IGNORE;
    if (c->stdin_text != NULL)
        stdio[0].flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE);
    stdio[0].data.stream = (uv_stream_t *)&c->pipes[PIPE_IN];
    for (int i = 1; i < 3; i++) {
        stdio[i].flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
        stdio[i].data.stream = (uv_stream_t *)&c->pipes[i];
    }
    stdio[3].flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE);
    stdio[3].data.stream = (uv_stream_t *)&c->pipes[PIPE_CONTROL];
    options.env = env_build(request->env);
    c->process.data = c;
    c->open_count++;
    int failed = uv_spawn(c->timer.loop, &c->process, &options);
    free(options.env);
    return failed;
}

static void pipes_start(struct child *c)
{
    for (int i = PIPE_OUT; i < PIPE_COUNT; i++)
        ASSERT(uv_read_start((uv_stream_t *)&c->pipes[i], on_alloc, on_read) == 0);
    if (c->stdin_text == NULL)
        return;
    uv_buf_t buf = uv_buf_init(c->stdin_text, (unsigned)c->stdin_bytes);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->pipes[PIPE_IN], &buf, 1, on_written) != 0)
        on_written(&c->write, 0);
}

static struct child *child_new(uv_loop_t *loop, const struct child_config *config, const struct child_request *request)
{
    struct child *c = calloc(1, sizeof *c);

    ASSERT(c != NULL);
    c->result.exit_code = -1;
    c->grace_ms = config->grace_ms;
    c->deadline_ms = request->deadline_ms;
    c->begun_us = clock_now_us();
    (void)text_copy(c->supervise_path, sizeof c->supervise_path, config->supervise_path);
    if (request->argv[0] != NULL)
        (void)text_copy(c->program, sizeof c->program, request->argv[0]);
    if (request->stdin_text != NULL) {
        c->stdin_text = strdup(request->stdin_text);
        ASSERT(c->stdin_text != NULL);
        c->stdin_bytes = strlen(c->stdin_text);
    }
    ASSERT(uv_timer_init(loop, &c->timer) == 0);
    c->timer.data = c;
    for (int i = 0; i < PIPE_COUNT; i++) {
        ASSERT(uv_pipe_init(loop, &c->pipes[i], 0) == 0);
        c->pipes[i].data = c;
    }
    c->open_count = 1 + PIPE_COUNT;
    return c;
}

static enum status request_check(struct child *c, const struct child_request *request)
{
    size_t count = 0;

    while (request->argv[count] != NULL && count <= CHILD_ARGS_MAX)
        count++;
    if (count == 0 || c->program[0] == '\0')
        return error_set(&c->err, STATUS_INVALID, "no program to run");
    if (count > CHILD_ARGS_MAX)
        return error_set(&c->err, STATUS_INVALID, "%.200s: more than %d arguments", c->program, CHILD_ARGS_MAX);
    if (clock_left_ms(request->t0_us, request->deadline_ms) == 0)
        return error_set(&c->err, STATUS_TIMED_OUT, "%.200s was not started: its deadline of %" PRIu32 " ms has passed",
                         c->program, request->deadline_ms);
    return STATUS_OK;
}

struct child *child_begin(uv_loop_t *loop, const struct child_config *config, const struct child_request *request,
                          child_cb done, void *ctx)
{
    struct child *c = child_new(loop, config, request);
    int failed;

    c->done = done;
    c->ctx = ctx;
    if (request_check(c, request) != STATUS_OK) {
        close_all(c); /* on_closed continues, later */
        return c;
    }
    failed = spawn(c, config, request);
    if (failed != 0) {
        error_set(&c->err, failed == UV_ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED,
                  "the supervisor %.200s cannot be run: %s", c->supervise_path, uv_strerror(failed));
        close_all(c);
        return c;
    }
    pipes_start(c);
    late_timer_arm(c, clock_left_ms(request->t0_us, request->deadline_ms));
    return c; /* on_supervisor_exit continues */
}

void child_cancel(struct child *c)
{
    if (c->closing || c->cancel_wanted)
        return;
    c->cancel_wanted = true;
    late_timer_arm(c, 0);
    uv_buf_t word = uv_buf_init("c", 1);
    if (uv_try_write((uv_stream_t *)&c->pipes[PIPE_CONTROL], &word, 1) != 1)
        (void)uv_process_kill(&c->process, SIGTERM); /* asks the same, and on_late what remains */
    /* on_supervisor_exit continues */
}
