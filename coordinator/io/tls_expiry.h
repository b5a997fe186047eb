/* How long the certificates of a node are still good, in words, with the way out: 30, 7 and 1 days before one ends, and when it has ended. */
#ifndef COORD_IO_TLS_EXPIRY_H
#define COORD_IO_TLS_EXPIRY_H

#include <stddef.h>
#include <stdint.h>

struct tls_validity { /* seconds since 1970 */
    int64_t certificate_begin_s, certificate_end_s;
    int64_t authority_end_s; /* the first end among those that vouch for our certificate */
};

enum tls_expiry { TLS_EXPIRY_FAR, TLS_EXPIRY_MONTH, TLS_EXPIRY_WEEK, TLS_EXPIRY_DAY, TLS_EXPIRY_NOW };

#define TLS_EXPIRY_TEXT_MAX_BYTES 200

/* The worse of the two, own certificate and authority. "" in both texts when it is TLS_EXPIRY_FAR. A certificate that is not valid yet is as bad as
 * one that has ended. */
enum tls_expiry tls_expiry_say(const struct tls_validity *v, int64_t now_s, char summary[TLS_EXPIRY_TEXT_MAX_BYTES],
                               char way_out[TLS_EXPIRY_TEXT_MAX_BYTES]);

#endif
