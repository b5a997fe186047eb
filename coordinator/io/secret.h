/* The text behind a reference: `file:/absolute/path` (its first line; readable by its owner only) or `env:NAME`. Configuration and log carry the
 * reference, never the text; the caller wipes what it was given. */
#ifndef COORD_IO_SECRET_H
#define COORD_IO_SECRET_H

#include "base/status.h"

#include <stddef.h>

/* STATUS_OK and a NUL-terminated `out`; INVALID (no reference, empty, too long), NOT_FOUND, REFUSED (others may read the file). The error
 * names the reference and the fix. Reads a small local file: not for a path on a network file system. */
enum status secret_read(const char *reference, char *out, size_t capacity_bytes, struct error *err);

#endif
