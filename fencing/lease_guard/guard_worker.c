/* One thread around ppoll. Requests are answered in the order in which they arrive, each with one write; nothing is queued. A client that
 * sends garbage gets an answer, one that sends an endless line or does not read its answers loses its connection. When all places are
 * taken the connection that has been silent for longest makes room: a client that leaks connections cannot lock out the one that renews.
 *
 * If the worker dies the postmaster starts it again after a second; if it cannot bind, it logs why and tries again in the same way. */
#include "guard_worker.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/postmaster.h"
#include "storage/ipc.h"

#include "guard_protocol.h"

#define READS_PER_TURN_MAX 64 /* of one connection; more than all requests that a node has under way */
#define CONNECTIONS_MAX 16
#define BACKLOG 128 /* a client that does not wait finds no room in a full one */
#define RESTART_SECONDS 1

enum { POLL_POSTMASTER, POLL_LISTEN, POLL_CONNECTIONS };

struct connection {
    int fd; /* -1: the place is free */
    uint64 last_turn;
    size_t used;
    char line[GUARD_LINE_BYTES_MAX + 1];
};

struct worker {
    int listen_fd;
    uint64 turn;
    struct connection connections[CONNECTIONS_MAX];
};

char *guard_socket_path = NULL;
static volatile sig_atomic_t stop_requested = 0;

PGDLLEXPORT void guard_worker_main(Datum arg);

/* pg_rewind copies every file that it finds at the source, fails on a socket, and leaves out only some directories below the data
 * directory. */
static bool is_directly_in_data_directory(const char *path)
{
    char parent[MAXPGPATH];

    strlcpy(parent, path, sizeof parent);
    canonicalize_path(parent);
    get_parent_directory(parent);
    return parent[0] == '\0' || strcmp(parent, ".") == 0 || strcmp(parent, DataDir) == 0;
}

static void check_socket_path(const char *path)
{
    struct sockaddr_un address;

    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path)
        ereport(FATAL, (errcode(ERRCODE_CONFIG_FILE_ERROR),
                        errmsg("lease_guard: \"lease_guard.socket\" cannot be \"%s\"", path),
                        errdetail("The path of a socket has between 1 and %zu bytes.", sizeof address.sun_path - 1)));
    if (is_directly_in_data_directory(path))
        ereport(
            FATAL,
            (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("lease_guard: \"lease_guard.socket\" cannot be \"%s\"", path),
             errdetail(
                 "A socket directly in the data directory makes pg_rewind fail; \"pg_stat_tmp/\" below it does not.")));
}

static struct sockaddr_un socket_address(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strlcpy(address.sun_path, guard_socket_path, sizeof address.sun_path); /* its length was checked at the start */
    return address;
}

/* A socket file that nobody serves is a leftover of a crash. One that somebody serves belongs to another server with the same setting. */
static void remove_stale_socket(const struct sockaddr_un *address)
{
    struct stat st;
    int fd;
    int connected;

    if (lstat(address->sun_path, &st) != 0) {
        if (errno == ENOENT)
            return;
        ereport(FATAL,
                (errcode_for_file_access(), errmsg("lease_guard: cannot look at \"%s\": %m", address->sun_path)));
    }
    if (!S_ISSOCK(st.st_mode))
        ereport(FATAL, (errmsg("lease_guard: \"%s\" exists and is not a socket", address->sun_path),
                        errhint("Move it away or change \"lease_guard.socket\".")));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        ereport(FATAL, (errmsg("lease_guard: no socket: %m")));
    connected = connect(fd, (const struct sockaddr *)address, sizeof *address);
    if (connected == 0 || errno == EAGAIN)
        ereport(FATAL, (errmsg("lease_guard: another server answers at \"%s\"", address->sun_path),
                        errhint("Give each server its own \"lease_guard.socket\".")));
    close(fd);
    if (unlink(address->sun_path) != 0)
        ereport(FATAL, (errcode_for_file_access(), errmsg("lease_guard: cannot remove \"%s\": %m", address->sun_path)));
}

static void remove_socket(int code, Datum arg)
{
    (void)code;
    (void)arg;
    unlink(guard_socket_path);
}

static int listen_begin(void)
{
    struct sockaddr_un address = socket_address();
    mode_t old_mask;
    int bound;
    int fd;

    remove_stale_socket(&address);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        ereport(FATAL, (errmsg("lease_guard: no socket: %m")));
    old_mask = umask(S_IXUSR | S_IRWXG | S_IRWXO); /* mode 0600 from the first moment */
    bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(old_mask);
    if (bound != 0 || listen(fd, BACKLOG) != 0)
        ereport(FATAL,
                (errcode_for_file_access(), errmsg("lease_guard: cannot listen at \"%s\": %m", address.sun_path)));
    on_proc_exit(remove_socket, (Datum)0);
    return fd;
}

static void connection_close(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

/* The free place, or the one that was silent for longest. */
static struct connection *connection_place(struct worker *w)
{
    struct connection *place = &w->connections[0];

    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &w->connections[i];

        if (c->fd < 0)
            return c;
        if (c->last_turn < place->last_turn)
            place = c;
    }
    connection_close(place);
    return place;
}

static void on_connect(struct worker *w)
{
    int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *c;

    if (fd < 0)
        return; /* it went away again, or no descriptor is free: the next turn tries again */
    c = connection_place(w);
    c->fd = fd;
    c->used = 0;
    c->last_turn = w->turn;
}

/* One answer is one write. A full socket buffer means thousands of unread answers: such a client is not worth a queue. */
static bool answer_line(struct connection *c, char *line, size_t size)
{
    char answer[GUARD_ANSWER_BYTES_MAX];
    size_t answer_size;

    guard_protocol_answer(line, size, answer);
    answer_size = strlen(answer);
    return send(c->fd, answer, answer_size, MSG_NOSIGNAL) == (ssize_t)answer_size;
}

static bool answer_lines(struct connection *c)
{
    char *start = c->line;
    char *newline;

    while ((newline = memchr(start, '\n', c->used)) != NULL) {
        *newline = '\0';
        if (!answer_line(c, start, (size_t)(newline - start)))
            return false;
        c->used -= (size_t)(newline + 1 - start);
        start = newline + 1;
    }
    memmove(c->line, start, c->used);
    if (c->used < sizeof c->line)
        return true;
    (void)send(c->fd, "invalid reason=line_too_long\n", 29,
               MSG_NOSIGNAL); /* a courtesy: the connection ends either way */
    return false;
}

/* All that waits, not only the first piece: after a freeze a node's older connection may hold a close or a bypass, and its newer one a
 * question about the state; answered out of turn, the question would get the state of before. */
static void on_readable(struct worker *w, struct connection *c)
{
    for (int reads = 0; reads < READS_PER_TURN_MAX; reads++) {
        ssize_t got = recv(c->fd, c->line + c->used, sizeof c->line - c->used, 0);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            connection_close(c);
            return;
        }
        c->used += (size_t)got;
        c->last_turn = w->turn;
        if (!answer_lines(c)) {
            connection_close(c);
            return;
        }
    }
}

static void on_stop(SIGNAL_ARGS)
{
    (void)postgres_signal_arg;
    stop_requested = 1;
}

/* Signals are delivered only while ppoll waits, so that none is missed between the test of a flag and the wait. */
static void turn(struct worker *w)
{
    struct pollfd fds[POLL_CONNECTIONS + CONNECTIONS_MAX];

    fds[POLL_POSTMASTER] = (struct pollfd){ .fd = postmaster_alive_fds[POSTMASTER_FD_WATCH], .events = POLLIN };
    fds[POLL_LISTEN] = (struct pollfd){ .fd = w->listen_fd, .events = POLLIN };
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        fds[POLL_CONNECTIONS + i] = (struct pollfd){ .fd = w->connections[i].fd, .events = POLLIN };

    if (ppoll(fds, lengthof(fds), NULL, &UnBlockSig) < 0) {
        if (errno != EINTR)
            ereport(FATAL, (errmsg("lease_guard: ppoll failed: %m")));
        return;
    }
    if (fds[POLL_POSTMASTER].revents != 0)
        proc_exit(1); /* the postmaster is gone; no new lease is taken, and the running one ends by itself */
    w->turn++;
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (fds[POLL_CONNECTIONS + i].revents != 0)
            on_readable(w, &w->connections[i]);
    if (fds[POLL_LISTEN].revents != 0)
        on_connect(w); /* last, because it may give away a place that this turn has looked at */
}

void guard_worker_main(Datum arg)
{
    struct worker w = { 0 };

    (void)arg;
    pqsignal(SIGTERM, on_stop);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        w.connections[i].fd = -1;
    w.listen_fd = listen_begin();
    ereport(LOG, (errmsg("lease_guard: listening at \"%s\"", guard_socket_path)));
    while (!stop_requested)
        turn(&w);
    proc_exit(1); /* not 0: that would mean "never start me again" */
}

/* The path of this very library: it may have been preloaded from a build directory, by an absolute name. */
static void set_library_name(BackgroundWorker *worker)
{
    Dl_info info;

    if (dladdr((const void *)&guard_socket_path, &info) == 0 || info.dli_fname == NULL)
        ereport(FATAL, (errmsg("lease_guard: the path of the library is unknown")));
    if (strlen(info.dli_fname) >= sizeof worker->bgw_library_name)
        ereport(FATAL,
                (errmsg("lease_guard: the path of the library is too long: \"%s\"", info.dli_fname),
                 errhint("PostgreSQL allows %zu bytes here: install the library, or load it through a shorter path.",
                         sizeof worker->bgw_library_name - 1)));
    strlcpy(worker->bgw_library_name, info.dli_fname, sizeof worker->bgw_library_name);
}

void guard_worker_register(void)
{
    BackgroundWorker worker = {
        .bgw_name = "lease_guard",
        .bgw_type = "lease_guard",
        .bgw_flags = BGWORKER_SHMEM_ACCESS,
        .bgw_start_time = BgWorkerStart_PostmasterStart,
        .bgw_restart_time = RESTART_SECONDS,
        .bgw_function_name = "guard_worker_main",
    };

    check_socket_path(guard_socket_path);
    set_library_name(&worker);
    RegisterBackgroundWorker(&worker);
}
