/* libraft's files, looked at before libraft is: it believes its files, forgets what it cannot read, and ends the process on some of them.
 *
 * Decides: may a node go on from these files, given what it has told others (raft/receipt.h). What was acknowledged must be there, whole and
 * in its place. What lies behind that and cannot be read is a write or a removal that a crash interrupted: libraft cuts a torn end by itself,
 * files that nothing connects to the log any more are removed here. Everything else is refused, with the file's name. */
#ifndef COORD_RAFT_STORAGE_CHECK_H
#define COORD_RAFT_STORAGE_CHECK_H

#include "base/status.h"
#include "raft/receipt.h"

#define STORAGE_TERM_JUMP_MAX 1000000u /* no election counts so far in one step: a flipped bit does */

/* `told` NULL: a directory from before there were receipts. OK: *found is what the files hold. CORRUPT: never start from it. FAILED: the disk
 * does not give it, another try may. */
enum status storage_check(const char *raft_dir, const struct receipt_content *told, struct receipt_content *found,
                          struct error *err);

#endif
