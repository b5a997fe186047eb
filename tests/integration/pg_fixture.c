#include "tests/integration/pg_fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVERS_MAX 16
#define START_PATIENCE_S 60
#define TICK_MS 10
#define PATIENCE_MS 60000

static char base_dir[64];
static struct pg_server *servers[SERVERS_MAX];
static int server_count;

static _Noreturn void fail(const char *what, const char *with)
{
    (void)fprintf(stderr, "fixture: cannot %s: %s\n", what, with);
    exit(1);
}

static void become_server_user(void)
{
    const struct passwd *user;

    if (geteuid() != 0)
        return;
    user = getpwnam("postgres");
    if (user == NULL || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        fail("become", "postgres");
}

static pid_t spawn(const char *const argv[], bool die_with_us, const char *log_path)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    become_server_user();
    if (die_with_us && (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent))
        _exit(1);
    if (log_path != NULL && (freopen(log_path, "a", stdout) == NULL || dup2(1, 2) < 0))
        _exit(1);
    if (setenv("PATH", PG_BIN_DIR ":/usr/bin:/bin", 1) != 0 || setenv("LC_ALL", "C", 1) != 0)
        _exit(1);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

int pg_fixture_run(const char *const argv[])
{
    int status;
    char log_path[100];
    pid_t pid;

    (void)snprintf(log_path, sizeof log_path, "%s/commands.log", pg_fixture_dir());
    pid = spawn(argv, false, log_path);

    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        fail("run", argv[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run_or_fail(const char *const argv[])
{
    if (pg_fixture_run(argv) != 0)
        fail("run", argv[0]);
}

static void clean_up(void)
{
    const char *argv[] = { "rm", "-rf", base_dir, NULL };

    for (int i = 0; i < server_count; i++) {
        pg_server_signal_all(servers[i], SIGKILL);
        if (servers[i]->postmaster != 0)
            (void)waitpid(servers[i]->postmaster, NULL, 0);
    }
    (void)pg_fixture_run(argv);
    (void)rmdir(base_dir);
}

const char *pg_fixture_dir(void)
{
    const struct passwd *user = getpwnam("postgres");

    if (base_dir[0] != '\0')
        return base_dir;
    (void)snprintf(base_dir, sizeof base_dir, "/tmp/test-pg-XXXXXX");
    if (mkdtemp(base_dir) == NULL)
        fail("make", base_dir);
    if (geteuid() == 0 && (user == NULL || chown(base_dir, user->pw_uid, user->pw_gid) != 0))
        fail("give away", base_dir);
    if (atexit(clean_up) != 0)
        fail("register", "clean_up");
    return base_dir;
}

uint16_t pg_fixture_free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        fail("find", "a free port");
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void server_name(struct pg_server *s, const char *name)
{
    const char *argv[] = { "mkdir", "-p", s->socket_dir, NULL };

    memset(s, 0, sizeof *s);
    (void)snprintf(s->data_dir, sizeof s->data_dir, "%s/%s", pg_fixture_dir(), name);
    (void)snprintf(s->socket_dir, sizeof s->socket_dir, "%s/run-%s", pg_fixture_dir(), name);
    s->port = pg_fixture_free_port();
    (void)snprintf(s->socket_conninfo, sizeof s->socket_conninfo, "host=%s port=%u user=" PG_ROLE " dbname=postgres",
                   s->socket_dir, (unsigned)s->port);
    (void)snprintf(s->tcp_conninfo, sizeof s->tcp_conninfo, "host=127.0.0.1 port=%u user=" PG_ROLE " dbname=postgres",
                   (unsigned)s->port);
    run_or_fail(argv);
    if (server_count == SERVERS_MAX)
        fail("keep", "that many servers");
    servers[server_count++] = s;
}

void pg_server_configure(const struct pg_server *s, const char *settings)
{
    char path[200];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/postgresql.conf", s->data_dir);
    file = fopen(path, "a");
    if (file == NULL)
        fail("open", path);
    (void)fprintf(file, "%s\n", settings);
    if (fclose(file) != 0)
        fail("write", path);
}

static void configure(const struct pg_server *s)
{
    char settings[600];

    (void)snprintf(settings, sizeof settings,
                   "port = %u\nunix_socket_directories = '%s'\nlisten_addresses = '127.0.0.1'\n"
                   "shared_buffers = 8MB\nmax_connections = 30\nwal_level = replica\nwal_log_hints = on",
                   (unsigned)s->port, s->socket_dir);
    pg_server_configure(s, settings);
}

static PGconn *connect_as_superuser(const struct pg_server *s)
{
    char conninfo[300];

    (void)snprintf(conninfo, sizeof conninfo, "host=%s port=%u user=postgres dbname=postgres connect_timeout=10",
                   s->socket_dir, (unsigned)s->port);
    return PQconnectdb(conninfo);
}

static bool answers(const struct pg_server *s)
{
    PGconn *conn = connect_as_superuser(s);
    bool ok = PQstatus(conn) == CONNECTION_OK;

    PQfinish(conn);
    return ok;
}

void pg_server_start(struct pg_server *s, bool wait)
{
    const char *argv[] = { "postgres", "-D", s->data_dir, NULL };
    char log_path[200];

    (void)snprintf(log_path, sizeof log_path, "%s.log", s->data_dir);
    s->postmaster = spawn(argv, true, log_path);
    if (s->postmaster < 0)
        fail("start", s->data_dir);
    for (int i = 0; wait && !answers(s); i++) {
        if (i == START_PATIENCE_S * 20 || waitpid(s->postmaster, NULL, WNOHANG) != 0)
            fail("start", log_path);
        (void)usleep(50 * 1000);
    }
}

void pg_server_create(struct pg_server *s, const char *name, const char *settings)
{
    const char *initdb[] = { "initdb", "-D", s->data_dir,         "-U", "postgres", "-A",
                             "trust",  "-N", "--no-instructions", "-E", "UTF8",     NULL };

    server_name(s, name);
    if (pg_fixture_run(initdb) != 0)
        fail("initdb", s->data_dir);
    configure(s);
    pg_server_configure(s, settings);
    pg_server_start(s, true);
    (void)pg_server_sql(s, "CREATE ROLE " PG_ROLE " LOGIN IN ROLE pg_monitor, pg_checkpoint");
    (void)pg_server_sql(s, "GRANT CREATE ON DATABASE postgres TO " PG_ROLE);
    (void)pg_server_sql(s, "GRANT ALTER SYSTEM ON PARAMETER primary_conninfo, wal_retrieve_retry_interval,"
                           " synchronous_standby_names TO " PG_ROLE);
    (void)pg_server_sql(s, "GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_promote(boolean, integer) TO " PG_ROLE);
}

void pg_server_create_guarded(struct pg_server *s, const char *name, const char *library, char *socket, size_t capacity)
{
    char text[600];

    (void)snprintf(text, sizeof text, "cp '%s' %s/lease_guard.so", library, pg_fixture_dir());
    if (system(text) != 0) /* to where the servers' user can read it */
        fail("cp", library);
    pg_server_create(s, name, "");
    pg_server_signal_wait(s, SIGINT);
    (void)snprintf(socket, capacity, "%s/lease_guard.sock", s->socket_dir);
    (void)snprintf(text, sizeof text, "shared_preload_libraries = '%s/lease_guard.so'\nlease_guard.socket = '%s'",
                   pg_fixture_dir(), socket);
    pg_server_configure(s, text);
    pg_server_start(s, true);
}

void pg_server_create_standby(struct pg_server *s, const char *name, const struct pg_server *primary)
{
    char from[300];
    const char *backup[] = { "pg_basebackup", "-D", s->data_dir, "-R", "-c", "fast", "-d", from, NULL };

    server_name(s, name);
    (void)snprintf(from, sizeof from, "host=127.0.0.1 port=%u user=postgres", (unsigned)primary->port);
    run_or_fail(backup);
    configure(s);
    pg_server_start(s, true);
    for (int i = 0; strcmp(pg_server_sql(s, "SELECT status FROM pg_stat_wal_receiver"), "streaming") != 0; i++) {
        if (i == START_PATIENCE_S * 20)
            fail("stream to", s->data_dir);
        (void)usleep(50 * 1000);
    }
}

void pg_server_signal_wait(struct pg_server *s, int signal_number)
{
    if (s->postmaster == 0)
        return;
    if (kill(s->postmaster, signal_number) != 0 || waitpid(s->postmaster, NULL, 0) != s->postmaster)
        fail("stop", s->data_dir);
    s->postmaster = 0;
}

void pg_server_signal_all(const struct pg_server *s, int signal_number)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;

    if (proc == NULL)
        fail("open", "/proc");
    while ((entry = readdir(proc)) != NULL) {
        char path[300];
        char cwd[300];
        ssize_t length;

        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%s/cwd", entry->d_name);
        length = readlink(path, cwd, sizeof cwd - 1);
        if (length <= 0)
            continue;
        cwd[length] = '\0';
        if (strcmp(cwd, s->data_dir) == 0)
            (void)kill((pid_t)atoi(entry->d_name), signal_number);
    }
    (void)closedir(proc);
}

const char *pg_server_sql(const struct pg_server *s, const char *sql)
{
    static char cell[512];
    PGconn *conn = connect_as_superuser(s);
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        fail(sql, PQerrorMessage(conn));
    (void)snprintf(cell, sizeof cell, "%s",
                   PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return cell;
}

/* Also wakes the loop: UV_RUN_ONCE runs timers first and may then wait for the next one although *flag is set. */
static void on_tick(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

static void on_tick_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

void loop_until(uv_loop_t *loop, const bool *flag)
{
    uv_timer_t tick;
    int ticks = 0;

    if (uv_timer_init(loop, &tick) != 0)
        fail("start", "a timer");
    tick.data = &ticks;
    uv_update_time(loop);
    (void)uv_timer_start(&tick, on_tick, TICK_MS, TICK_MS);
    while (!*flag && ticks < PATIENCE_MS / TICK_MS)
        (void)uv_run(loop, UV_RUN_ONCE);
    if (!*flag)
        fail("wait", "for the operation under test: 60 s");
    uv_close((uv_handle_t *)&tick, on_tick_closed);
    while (tick.data != NULL)
        (void)uv_run(loop, UV_RUN_NOWAIT);
}
