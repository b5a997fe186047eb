/* One line asked, one line answered: the language of the local socket. Knows no socket; the words are described in docs/lease_guard.md. */
#ifndef LEASE_GUARD_GUARD_PROTOCOL_H
#define LEASE_GUARD_GUARD_PROTOCOL_H

#include "postgres.h"

#define GUARD_LINE_BYTES_MAX 255 /* of a request, without its newline */
#define GUARD_ANSWER_BYTES_MAX 320

/* `line` has `size` bytes and then a zero instead of its newline, and is overwritten; the answer written into `answer` ends with a newline.
 * Never fails: what is not understood is answered as invalid, with the reason. */
extern void guard_protocol_answer(char *line, size_t size, char answer[GUARD_ANSWER_BYTES_MAX]);

#endif
