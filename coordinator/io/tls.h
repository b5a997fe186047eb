/* Mutual TLS 1.3, as bytes: what came from the socket goes in, plain bytes come out, and the other way round. Owns no socket and no timer.
 * Decides whether a peer's certificate is valid, of our authority, and for whom it speaks (io/tls_identity.h). Leaves to its user which of
 * those may do what, the time that a handshake may take, and how much may wait for a slow peer.
 *
 * No session is resumed and none of 0-RTT is accepted: each connection shows its certificate. One thread. */
#ifndef COORD_IO_TLS_H
#define COORD_IO_TLS_H

#include "base/status.h"
#include "io/tls_expiry.h"
#include "io/tls_identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_RECORD_MAX_BYTES                                                                                           \
    (16 * 1024 + 512) /* how much may come out more than went in: one record that was incomplete before */

/* ---- what this side shows, and whom it believes ---- */

/* PEM files. `certificate`: our own, then intermediate ones if any. `key`: unencrypted, readable by its owner only. `authority`: one or several, of
 * which each is believed: two while one replaces the other. */
struct tls_files {
    const char *certificate, *key, *authority;
};

struct tls_context; /* opaque */

/* The paths are copied. NULL and `err`, which names the file and the fix: NOT_FOUND, REFUSED (others may read the key), INVALID (no PEM, key of another
 * certificate, not of this authority, not exactly one coord: URI). Validity in time is not looked at: see tls_context_validity. */
struct tls_context *tls_context_create(const struct tls_files *files, struct error *err);

/* Reads all three again: connections made from now on use them. On failure what was read before stays in force. INVALID also when the new
 * certificate speaks for somebody else. */
enum status tls_context_reload(struct tls_context *c, struct error *err);

/* The files are not those that were last read, successfully or not. */
bool tls_context_stale(const struct tls_context *c);

/* For whom our own certificate speaks. */
const struct tls_identity *tls_context_identity(const struct tls_context *c);

struct tls_validity tls_context_validity(const struct tls_context *c);

/* Connections that it made live on. */
void tls_context_destroy(struct tls_context *c);

/* ---- one connection ---- */

enum tls_side { TLS_CLIENT, TLS_SERVER };

struct tls_options {
    enum tls_side side;
    bool
        certificate_optional; /* server: a client without a certificate is let in as TLS_NOBODY; a bad certificate is not */
    enum tls_kind peer_kind; /* TLS_NOBODY: any kind */
    uint64_t peer_id;        /* of a node; 0: any node */
};

struct tls; /* opaque */

/* A client's first bytes are output at once. NULL and `err` (FAILED) when out of memory. */
struct tls *tls_create(struct tls_context *c, const struct tls_options *options, struct error *err);
void tls_destroy(struct tls *t);

/* Takes all bytes and drives the handshake. Then call tls_read until it gives nothing, and write the output, after a failure too: it says why to
 * the peer. REFUSED: the peer is not who it should be, or refuses us; CORRUPT: this is no TLS. The text is for a person. */
enum status tls_receive(struct tls *t, const uint8_t *bytes, size_t length, struct error *err);

/* Plain bytes in `out`; *length 0: more must be received first. Errors as for tls_receive. */
enum status tls_read(struct tls *t, uint8_t *out, size_t capacity, size_t *length, struct error *err);

/* Encrypts all; only when established. FAILED: out of memory, or the connection is broken. */
enum status tls_write(struct tls *t, const uint8_t *bytes, size_t length, struct error *err);

/* Says that nothing more will be written. */
void tls_end(struct tls *t);

/* What must go to the socket: how much, and the next of it. */
size_t tls_output_bytes(const struct tls *t);
size_t tls_output(struct tls *t, uint8_t *out, size_t capacity);

bool tls_established(const struct tls *t);
bool tls_ended(const struct tls *t);                      /* the peer has said that it writes nothing more */
const struct tls_identity *tls_peer(const struct tls *t); /* TLS_NOBODY before tls_established */

#endif
