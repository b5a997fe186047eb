/* The record that says for whom a name was published last: TXT `_coord.<name>` with "epoch=7 service=app site=site-b". An update is
 * conditional on it, so that the authority itself orders the writers. Pure text. */
#ifndef DNS_SENTINEL_H
#define DNS_SENTINEL_H

#include <stddef.h>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"

#define SENTINEL_LABEL "_coord."
#define SENTINEL_TEXT_MAX 128

struct sentinel {
    epoch_t epoch;
    char service[NAME_MAX_BYTES];
    char site[NAME_MAX_BYTES];
};

/* STATUS_INVALID: service or site is empty, too long, or holds a space. */
enum status sentinel_set(struct sentinel *out, epoch_t epoch, const char *service, const char *site, struct error *err);

void sentinel_format(const struct sentinel *s, char *out, size_t capacity_bytes);

/* STATUS_INVALID: not one of ours. */
enum status sentinel_parse(struct sentinel *out, const char *text);

#endif
