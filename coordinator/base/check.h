/* ASSERT(condition): what only our own bug can break. Stays on in release: a coordinator that goes on with a broken
 * invariant can lose data, one that stops is replaced by its peers. Bytes from network, disk and log are the world: return a
 * status for those. (Not named assert.h: the system's header must stay reachable.) */
#ifndef COORD_BASE_CHECK_H
#define COORD_BASE_CHECK_H

#define ASSERT(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* Writes one line to standard error and aborts. */
_Noreturn void check_failed(const char *condition, const char *file, int line);

#endif
