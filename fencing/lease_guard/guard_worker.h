/* The guard's own process and socket: now, open, close, bypass and status without a database connection, so that neither full connection
 * slots nor a stopped postmaster nor recovery closes a healthy primary. */
#ifndef LEASE_GUARD_GUARD_WORKER_H
#define LEASE_GUARD_GUARD_WORKER_H

#include "postgres.h"

extern char *guard_socket_path; /* lease_guard.socket; relative: to the data directory */

/* Registers the worker; only while the library is preloaded. The server does not start if its socket or the library has an impossible path:
 * PostgreSQL would only warn about such a setting and go on with the default. */
extern void guard_worker_register(void);

#endif
