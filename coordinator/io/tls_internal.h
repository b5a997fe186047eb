/* What tls_context.c (files, reload) and tls.c (one connection) share; nobody else includes this. */
#ifndef COORD_IO_TLS_INTERNAL_H
#define COORD_IO_TLS_INTERNAL_H

#include "io/tls.h"

#include <openssl/ssl.h>
#include <sys/types.h>
#include <time.h>

enum { FILE_CERTIFICATE, FILE_KEY, FILE_AUTHORITY, FILE_COUNT };

struct tls_file_stamp { /* what tells one version of a file from the next */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed; /* a new mode or a rename into place as well as new bytes */
};

struct tls_context {
    char *paths[FILE_COUNT];
    struct tls_file_stamp stamps[FILE_COUNT]; /* of what was read last */
    SSL_CTX *ssl;
    struct tls_identity identity;
    struct tls_validity validity;
};

/* False: not exactly one URI of ours, or one that says nobody. */
bool tls_identity_of(X509 *certificate, struct tls_identity *out);

/* OpenSSL's text for the first thing that went wrong; its queue is empty then. */
const char *tls_openssl_reason(void);

#endif
