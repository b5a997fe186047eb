/* The operator's way past the guard when no coordinator can open it: a file in the data directory, read once, when the postmaster starts.
 * It names the data directory and the host, so that a copy made by pg_basebackup or pg_rewind breaks no glass elsewhere. */
#ifndef LEASE_GUARD_BREAK_GLASS_H
#define LEASE_GUARD_BREAK_GLASS_H

#include "postgres.h"

#define BREAK_GLASS_FILE "lease_guard.break_glass"

/* Reads the file in the current directory, which is the data directory. Warns about whatever it finds; false also for a file that is
 * wrong: a mistake leaves the server closed. */
extern bool break_glass_read(void);

#endif
