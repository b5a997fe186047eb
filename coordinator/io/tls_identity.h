/* For whom a certificate speaks: one URI among its subject alternative names, `coord:node:ID` (the id of the member list, decimal),
 * `coord:operator:NAME` or `coord:viewer:NAME`. Host names and addresses in a certificate are for people and identify nobody here. */
#ifndef COORD_IO_TLS_IDENTITY_H
#define COORD_IO_TLS_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_NAME_MAX_BYTES 64            /* of an operator or viewer, with its NUL */
#define TLS_IDENTITY_TEXT_MAX_BYTES 80   /* "operator alice", with its NUL */
#define TLS_IDENTITY_URI_PREFIX "coord:" /* what makes a URI ours */

enum tls_kind { TLS_NOBODY, TLS_NODE, TLS_OPERATOR, TLS_VIEWER, TLS_KIND_COUNT };

struct tls_identity {
    enum tls_kind kind;            /* TLS_NOBODY: no certificate was shown */
    uint64_t id;                   /* of a node; else 0 */
    char name[TLS_NAME_MAX_BYTES]; /* of an operator or viewer: letters, digits and . _ @ -; else "" */
};

/* "node", "operator", "viewer"; "nobody". */
const char *tls_kind_word(enum tls_kind kind);

/* False, and nobody in `out`, when these bytes (no NUL needed) are none of the three forms. */
bool tls_identity_parse(const char *uri, size_t length, struct tls_identity *out);

/* "node 3", "operator alice", "no certificate"; returns `out`. */
const char *tls_identity_text(const struct tls_identity *identity, char out[TLS_IDENTITY_TEXT_MAX_BYTES]);

#endif
