/* The secret that signs updates, from a file that only its owner can read. Never logged, never in an error text. */
#ifndef DNS_TSIG_KEY_H
#define DNS_TSIG_KEY_H

#include "base/status.h"
#include "io/dns_wire.h"

#define TSIG_KEY_FILE_MAX 4096

/* One line `hmac-sha256:NAME:BASE64SECRET`, as `keymgr -t` and `nsupdate -y` have it; '#' begins a comment line. Refuses a file that
 * group or others can read or write. `path` may be given as a reference, "file:/etc/coord/tsig.key" or "env:NAME". */
enum status tsig_key_read(const char *path, struct tsig_key *out, struct error *err);

/* Overwrites the secret. */
void tsig_key_wipe(struct tsig_key *key);

#endif
