/* Real PostgreSQL servers for a test program: made in a temporary directory, on a Unix socket and a free loopback port, and gone with the
 * program, also when it crashes (each postmaster is told to stop when its parent dies). Blocking; failures end the program. */
#ifndef COORD_TESTS_PG_FIXTURE_H
#define COORD_TESTS_PG_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define PG_BIN_DIR "/usr/lib/postgresql/15/bin"
#define PG_ROLE "coord" /* not a superuser: exactly the rights that coordd needs */

struct pg_server {
    char data_dir[160];
    char socket_dir[160];
    char socket_conninfo[256]; /* as PG_ROLE, over the socket */
    char tcp_conninfo[256];    /* as PG_ROLE, over 127.0.0.1 */
    uint16_t port;
    pid_t postmaster; /* 0: not running */
};

/* The program's own directory, owned by the servers' user; removed at exit. */
const char *pg_fixture_dir(void);

uint16_t pg_fixture_free_port(void);

/* initdb, with PG_ROLE and its rights; `settings` (may be "") is appended to postgresql.conf. Starts it. */
void pg_server_create(struct pg_server *s, const char *name, const char *settings);
/* The same with lease_guard (`library`), which listens on `socket` (given). */
void pg_server_create_guarded(struct pg_server *s, const char *name, const char *library, char *socket,
                              size_t capacity);
/* A streaming standby of `primary`, made by pg_basebackup -R. Starts it and waits until it streams. */
void pg_server_create_standby(struct pg_server *s, const char *name, const struct pg_server *primary);

/* Appended to postgresql.conf; works from the next start on. */
void pg_server_configure(const struct pg_server *s, const char *settings);

/* Starts it and waits until it answers (or, with wait == false, does not wait). */
void pg_server_start(struct pg_server *s, bool wait);
/* Sends the signal to the postmaster and waits for its end. */
void pg_server_signal_wait(struct pg_server *s, int signal_number);
/* Every process that stands in the data directory gets the signal. */
void pg_server_signal_all(const struct pg_server *s, int signal_number);

/* One statement as superuser; the first cell, or "". The text lives until the next call. */
const char *pg_server_sql(const struct pg_server *s, const char *sql);

/* Runs argv as the servers' user and waits; its exit code. */
int pg_fixture_run(const char *const argv[]);

/* Runs the loop until *flag; fails the program after 60 s. */
void loop_until(uv_loop_t *loop, const bool *flag);

#endif
