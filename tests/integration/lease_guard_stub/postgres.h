/* What guard_clock.c needs of PostgreSQL, so that its test can give it clocks of its own. */
#ifndef LEASE_GUARD_STUB_POSTGRES_H
#define LEASE_GUARD_STUB_POSTGRES_H

#include <stdint.h>
#include <stdlib.h>

typedef int64_t int64;

#define PANIC 0
#define elog(level, ...) abort()

#endif
