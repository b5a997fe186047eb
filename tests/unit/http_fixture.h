/* One HTTP server on one loop, and raw sockets to it from the same thread: a test pumps the loop while it waits for its own bytes.
 * GET /later keeps its exchange, GET /stream begins a stream with the line "one"; everything else is answered at once. */
#ifndef COORD_TEST_HTTP_FIXTURE_H
#define COORD_TEST_HTTP_FIXTURE_H

#include "io/http_server.h"

extern uv_loop_t loop;
extern struct http_server *server;
extern char directory[64], path[96];
extern struct http_exchange *kept; /* of /later and /stream */
extern unsigned handled, gone;     /* requests that reached the handler; streams whose owner was told */
extern char seen[512];             /* what the last request was */
extern bool peer_seen;
extern uint32_t peer_uid;
extern int32_t peer_pid;
extern size_t body_seen;

int setup(void **state);
int teardown(void **state); /* no handle may be left */
void begin(struct http_server_options options);
void end(void);
int dial(void);
/* Sends all of it, pumping; false when the server closed before everything was taken. */
bool put(int fd, const char *bytes, size_t length);
/* Reads until the server closes, or until `needle` has arrived. */
char *get_until(int fd, const char *needle);
/* Pumps until the flag is set or the counter has the value; bounded. */
void pump_until(const bool *flag, const unsigned *counter, unsigned value);
/* One connection, one request, everything that comes back until the server closes. */
char *whole(const char *request);
void on_closed(void *ctx); /* sets the bool */

#endif
