/* Certificates of a small authority: makes the authority, signs with it, and reads what a certificate says. X.509 v3, EC P-256, SHA-256, random serial
 * numbers. Decides nothing about who may do what: the caller names the identity (a URI), the reader gives it back as it stands. No network and
 * no clock: the caller gives the times. Blocks while it reads and writes files: for coordctl, not for the event loop. */
#ifndef COORD_IO_PKI_H
#define COORD_IO_PKI_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PKI_TEXT_MAX_BYTES 256
#define PKI_NAME_MAX_BYTES 64 /* X.520's bound of a common name */

struct pki_request {
    const char
        *name;       /* the common name, for people's eyes: nothing is decided by it; shorter than PKI_NAME_MAX_BYTES */
    const char *uri; /* who the holder is: coord:node:3, coord:operator:alice; NULL for an authority */
    const char *const *hosts; /* where the holder is reached, for other programs: host names and IP addresses */
    size_t host_count;
    bool serves;                       /* it also answers as a server */
    int64_t not_before_s, not_after_s; /* seconds since 1970, UTC */
};

/* A key and a certificate signed with it. A file that is there already is never touched: REFUSED, with its path. The key file is readable by its
 * owner alone. INVALID: a name, URI or host that no certificate can hold. FAILED: the disk's word. On an error neither file remains. */
enum status pki_make_authority(const struct pki_request *request, const char *certificate_path, const char *key_path,
                               struct error *err);

/* The same, signed by the authority of these two files, and no longer valid than it. NOT_FOUND, INVALID or REFUSED: they are not there, are no
 * authority, do not belong together, or the authority has expired at not_before_s. */
enum status pki_issue(const char *authority_certificate, const char *authority_key, const struct pki_request *request,
                      const char *certificate_path, const char *key_path, struct error *err);

/* What one certificate says, verified by nobody. Control characters are shown as '?'. */
struct pki_facts {
    char name[PKI_TEXT_MAX_BYTES], issuer[PKI_TEXT_MAX_BYTES]; /* common names; "" when there is none */
    char uri[PKI_TEXT_MAX_BYTES];                              /* the coord: URI; "" unless there is exactly one */
    char hosts[PKI_TEXT_MAX_BYTES];                            /* "a1.example.com, 10.0.0.1" */
    char serial[48], fingerprint[100];                         /* hexadecimal; SHA-256 over the whole certificate */
    size_t uri_count;                                          /* how many coord: URIs it names */
    bool authority;
    int64_t not_before_s, not_after_s;
};

/* The first certificate of a PEM file. NOT_FOUND, FAILED: it cannot be read; INVALID: it holds no certificate. */
enum status pki_read(const char *path, struct pki_facts *out, struct error *err);

#endif
