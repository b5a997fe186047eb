/* coord-supervise DEADLINE_US GRACE_MS PROGRAM [ARGUMENT...]
 *
 * Runs one program for coordd and sees to it that it ends: at the deadline (clock_now_us() of this machine), when coordd asks for it
 * (a byte on descriptor 3, or SIGTERM), and when coordd is gone (end of file there). libc only: it must work while everything around it hangs.
 *
 * Happy path: the program exits, its exit code is passed through, what it left in the background lives on. Otherwise: SIGTERM to its
 * group and to every descendant (orphans become ours, PR_SET_CHILD_SUBREAPER), SIGKILL after the grace, until none is left.
 * Descriptor 3 is told, one line each: "started PID", "failed ERRNO", "exited CODE", "signaled NUMBER"; before a kill "deadline" or
 * "canceled", and after it "gone" or "stuck".
 *
 * Nothing is reaped before the end: the program's zombie keeps its process group's number from being given to somebody else. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "io/clock.h"

#define CONTROL_FD 3
#define PROCESSES_MAX 65536
#define STUCK_MS 5000 /* a process that outlives SIGKILL so long sits in the kernel; child.c waits longer than this */
#define POLL_KILL_MS 20

enum exit_code { EXIT_DEADLINE = 124, EXIT_CANCELED = 125, EXIT_USAGE = 126, EXIT_NOT_EXECUTED = 127 };

enum phase { PHASE_RUNNING, PHASE_TERM, PHASE_KILL };

struct supervisor {
    pid_t program;
    int signal_fd;
    int exec_fd; /* the reading end of a pipe that an exec closes and a failed exec writes its errno to; -1 afterwards */
    enum phase phase;
    int64_t deadline_us; /* of the program; later of the grace, then of the kill */
    uint32_t grace_ms;
    int exit_code; /* after a kill */
};

struct process {
    pid_t pid;
    pid_t parent;
    bool ours;
};

static struct process processes[PROCESSES_MAX];

/* coordd may be gone: then nobody is left to be told. */
static void tell(const char *word, int number)
{
    char line[64];
    int length =
        number < 0 ? snprintf(line, sizeof line, "%s\n", word) : snprintf(line, sizeof line, "%s %d\n", word, number);

    ssize_t sent = write(CONTROL_FD, line, (size_t)length);
    (void)sent;
}

/* From /proc/PID/stat: "PID (name) STATE PARENT ...". False for a zombie, which is dead for our purpose, and for one just gone. */
static bool process_read(const char *pid_text, struct process *out)
{
    char path[64], text[512];
    int parent;
    char state;

    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid_text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *after_name = strrchr(text, ')'); /* the name may hold anything, also parentheses */
    if (after_name == NULL || sscanf(after_name + 1, " %c %d", &state, &parent) != 2 || state == 'Z' || state == 'X')
        return false;
    *out = (struct process){ .pid = (pid_t)strtol(pid_text, NULL, 10), .parent = (pid_t)parent };
    return true;
}

/* PROCESSES_MAX: the list is not complete, or there is none. */
static size_t processes_list(void)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");

    if (proc == NULL)
        return PROCESSES_MAX;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL && count < PROCESSES_MAX;)
        if (isdigit((unsigned char)entry->d_name[0]) && process_read(entry->d_name, &processes[count]))
            count++;
    (void)closedir(proc);
    return count;
}

static bool is_ours(size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (processes[i].pid == pid)
            return processes[i].ours || pid == getpid();
    return false;
}

/* Sends `signal_number` to every living descendant. Returns how many there were; not 0 when that cannot be known. */
static size_t descendants_signal(int signal_number)
{
    size_t count = processes_list(), found = 0;
    bool changed;

    if (count == PROCESSES_MAX)
        return 1; /* the group has had its signal; "gone" cannot be claimed */

    do {
        changed = false;
        for (size_t i = 0; i < count; i++) {
            if (!processes[i].ours && processes[i].pid != getpid() && is_ours(count, processes[i].parent)) {
                processes[i].ours = changed = true;
                found++;
            }
        }
    } while (changed);
    for (size_t i = 0; i < count; i++)
        if (processes[i].ours)
            (void)kill(processes[i].pid, signal_number); /* it may have ended meanwhile */
    return found;
}

/* Returns how many were alive. The first call also reaches who is forking just now, the second who left the group. */
static size_t group_signal(const struct supervisor *s, int signal_number)
{
    (void)kill(-s->program, signal_number);
    return descendants_signal(signal_number);
}

/* Only now is reaped: what is left as a zombie would burden an init that does not expect it. */
static _Noreturn void leave(int exit_code)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    exit(exit_code);
}

static _Noreturn void program_exec(char *const *argv, const sigset_t *mask, pid_t parent, int exec_fd)
{
    int reason;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the supervisor itself be killed */
    if (getppid() != parent)
        _exit(EXIT_NOT_EXECUTED);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execvp(argv[0], argv);
    reason = errno;
    ssize_t sent = write(exec_fd, &reason, sizeof reason);
    (void)sent;
    _exit(EXIT_NOT_EXECUTED);
}

static void start(struct supervisor *s, char *const *argv)
{
    sigset_t watched, before;
    int exec_pipe[2];
    pid_t self = getpid();

    (void)sigemptyset(&watched);
    (void)sigaddset(&watched, SIGCHLD);
    (void)sigaddset(&watched, SIGTERM);
    (void)sigaddset(&watched, SIGINT);
    (void)sigaddset(&watched, SIGHUP);
    ASSERT(sigprocmask(SIG_BLOCK, &watched, &before) == 0);
    s->signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0 || pipe2(exec_pipe, O_CLOEXEC) != 0 || (s->program = fork()) < 0) {
        tell("failed", errno);
        exit(EXIT_NOT_EXECUTED);
    }
    if (s->program == 0)
        program_exec(argv, &before, self, exec_pipe[1]);
    (void)setpgid(s->program, s->program); /* on both sides: whoever comes first */
    (void)close(exec_pipe[1]);
    s->exec_fd = exec_pipe[0];
    tell("started", (int)s->program);
}

/* The program's pipes must end when the program does: give up our copies. */
static void pipes_release(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd <= 2; fd++)
        if (null_fd < 0 || dup2(null_fd, fd) < 0)
            (void)close(fd);
}

static void kill_begin(struct supervisor *s, const char *word, int exit_code)
{
    if (s->phase != PHASE_RUNNING)
        return;
    tell(word, -1);
    s->exit_code = exit_code;
    s->phase = PHASE_TERM;
    s->deadline_us = clock_now_us() + (int64_t)s->grace_ms * 1000;
    if (s->grace_ms == 0)
        return;
    (void)group_signal(s, SIGTERM);
    (void)group_signal(s, SIGCONT); /* a stopped process cannot answer SIGTERM */
}

/* Leaves the process when the program has ended by itself. */
static void exit_check(const struct supervisor *s)
{
    siginfo_t info = { .si_pid = 0 };

    if (s->phase != PHASE_RUNNING || waitid(P_PID, (id_t)s->program, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    if (info.si_code == CLD_EXITED) {
        tell("exited", info.si_status);
        leave(info.si_status);
    }
    tell("signaled", info.si_status);
    leave(128 + info.si_status);
}

static void kill_step(struct supervisor *s)
{
    if (s->phase == PHASE_TERM && clock_now_us() >= s->deadline_us) {
        s->phase = PHASE_KILL;
        s->deadline_us = clock_now_us() + (int64_t)STUCK_MS * 1000;
    }
    /* In the last phase again each time: somebody may have been forking. */
    if (group_signal(s, s->phase == PHASE_KILL ? SIGKILL : 0) == 0) {
        tell("gone", -1);
        leave(s->exit_code);
    }
    if (s->phase == PHASE_KILL && clock_now_us() >= s->deadline_us) {
        tell("stuck", -1);
        leave(s->exit_code);
    }
}

static int wait_ms(const struct supervisor *s)
{
    uint64_t left_ms = clock_left_ms(s->deadline_us, 0);

    if (s->phase != PHASE_RUNNING && left_ms > POLL_KILL_MS)
        return POLL_KILL_MS;
    return left_ms > 60000 ? 60000 : (int)left_ms;
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD)
            kill_begin(s, "canceled", EXIT_CANCELED);
}

static void on_exec(struct supervisor *s)
{
    int reason;
    ssize_t n = read(s->exec_fd, &reason, sizeof reason);

    (void)close(s->exec_fd);
    s->exec_fd = -1;
    if (n == (ssize_t)sizeof reason) {
        tell("failed", reason);
        leave(EXIT_NOT_EXECUTED);
    }
}

static void on_control(struct supervisor *s)
{
    char word;
    ssize_t n = read(CONTROL_FD, &word, 1);

    if (n >= 0 || (errno != EINTR && errno != EAGAIN))
        kill_begin(s, "canceled", EXIT_CANCELED); /* asked for, or coordd is gone */
}

static _Noreturn void supervise(struct supervisor *s)
{
    for (;;) {
        struct pollfd fds[] = { { .fd = s->signal_fd, .events = POLLIN },
                                { .fd = s->exec_fd, .events = POLLIN },
                                /* After its end of file it would be ready for ever. */
                                { .fd = s->phase == PHASE_RUNNING ? CONTROL_FD : -1, .events = POLLIN } };
        int ready = poll(fds, 3, wait_ms(s));

        ASSERT(ready >= 0 || errno == EINTR);
        if (ready > 0 && fds[1].revents != 0)
            on_exec(s); /* before the exit: a failed exec is an exit with a reason */
        if (s->exec_fd < 0)
            exit_check(s);
        if (ready > 0 && fds[0].revents != 0)
            on_signal(s);
        if (ready > 0 && fds[2].revents != 0)
            on_control(s);
        if (s->phase == PHASE_RUNNING && clock_now_us() >= s->deadline_us)
            kill_begin(s, "deadline", EXIT_DEADLINE);
        if (s->phase != PHASE_RUNNING)
            kill_step(s);
    }
}

int main(int argc, char **argv)
{
    struct supervisor s = { .exec_fd = -1 };
    char *deadline_end = NULL, *grace_end = NULL;

    if (argc >= 4) {
        s.deadline_us = strtoll(argv[1], &deadline_end, 10);
        s.grace_ms = (uint32_t)strtoul(argv[2], &grace_end, 10);
    }
    if (argc < 4 || *deadline_end != '\0' || *grace_end != '\0' || fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0) {
        (void)fprintf(stderr, "usage: coord-supervise DEADLINE_US GRACE_MS PROGRAM [ARGUMENT...], with descriptor 3 "
                              "open to its parent\n");
        return EXIT_USAGE;
    }
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)signal(SIGPIPE, SIG_IGN);
    start(&s, argv + 3);
    pipes_release();
    supervise(&s);
}
