/* A child process that serves the real API over the real core: its state machine, and its leader driving it, with every node heard, the
 * lease renewed, and every step that is assigned done at once. No PostgreSQL, no Raft: what is tested is what the API says and does. */
#ifndef COORD_TEST_API_FIXTURE_H
#define COORD_TEST_API_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

enum fixture_mode {
    FIXTURE_EMPTY,     /* the cluster is initialised, no service */
    FIXTURE_READY,     /* service app: primary site-a under a live, enforced lease; site-b ready; armed */
    FIXTURE_PROPOSE,   /* the same with mode propose, and site-a failed: an operation is proposed */
    FIXTURE_STUCK,     /* READY, but no step is ever done */
    FIXTURE_NO_LEADER, /* READY, but nothing can enter the log */
    FIXTURE_UNKNOWN,   /* READY, but contact to the leader is lost after the command was sent */
    FIXTURE_LAGGING,   /* READY, at a follower that applies what was answered 200 ms later */
};

struct api_fixture {
    pid_t pid;
    char directory[64];
    char socket_path[96];
    char server[32]; /* "127.0.0.1:PORT" of api_fixture_begin_port, else "" */
};

/* Returns when the socket answers. Asserts by cmocka. */
void api_fixture_begin(struct api_fixture *f, enum fixture_mode mode);
/* The same, and it also listens on a port: under TLS with what tls_fixture made as `certificate` (of the authority "ca"), or with NULL in the open. */
void api_fixture_begin_port(struct api_fixture *f, enum fixture_mode mode, const char *certificate);
/* Asks the child to close everything and checks that it ended with nothing left over (leaks are its exit code). */
void api_fixture_end(struct api_fixture *f);

#endif
