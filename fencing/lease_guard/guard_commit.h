/* Where a transaction meets the guard: before it commits (a clear error), and again after the WAL flush (no answer at all).
 *
 * Decides who is asked and what counts as a write. Whether the guard is open is guard_state's business. */
#ifndef LEASE_GUARD_GUARD_COMMIT_H
#define LEASE_GUARD_GUARD_COMMIT_H

#include "postgres.h"

#define ERRCODE_LEASE_GUARD_CLOSED MAKE_SQLSTATE('L', 'G', '0', '0', '1')
#define ERRCODE_LEASE_GUARD_NOT_SYNCHRONOUS MAKE_SQLSTATE('L', 'G', '0', '0', '2')
#define ERRCODE_LEASE_GUARD_OPEN_REFUSED MAKE_SQLSTATE('L', 'G', '0', '0', '3')

extern bool guard_require_sync; /* lease_guard.require_sync */
extern char *guard_canary_role; /* lease_guard.canary_role; empty: nobody */

/* Installs the transaction callback and the hooks; only while the library is preloaded. */
extern void guard_commit_install(void);

#endif
