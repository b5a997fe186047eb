/* A TCP server on a free port of 127.0.0.1, on the test's own loop, for the faults that a real peer cannot be made to show: it answers
 * each connection with fixed bytes after the first bytes arrive, or with silence. */
#ifndef TESTS_SCRIPT_SERVER_H
#define TESTS_SCRIPT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define SCRIPT_CONNECTIONS_MAX 16

struct script_server {
    uv_tcp_t listener;
    uint16_t port;
    const char *answer; /* NULL: never answers */
    size_t answer_bytes;
    bool keep_open; /* after the answer */
    int connection_count;
    char received[4096]; /* of all connections */
    size_t received_bytes;
    struct script_connection {
        uv_tcp_t tcp;
        uv_write_t write;
        struct script_server *server;
        bool open, answered;
    } connections[SCRIPT_CONNECTIONS_MAX];
    char buffer[4096];
};

void script_server_start(struct script_server *s, uv_loop_t *loop, const char *answer);
void script_server_stop(struct script_server *s);

/* A port on 127.0.0.1 where nothing listened a moment ago. */
uint16_t free_port(void);

#endif
