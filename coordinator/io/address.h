/* Numeric addresses and "host:port" texts. Resolves nothing. */
#ifndef COORD_IO_ADDRESS_H
#define COORD_IO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"

#define ADDRESS_TEXT_MAX 64 /* of address_text, with its NUL */
#define HOST_TEXT_MAX 256   /* a DNS name or an address, with its NUL */

/* True and `out` filled when `text` is a numeric v4 or v6 address (brackets around v6 are allowed, a zone is not). */
bool address_parse(const char *text, uint16_t port, struct sockaddr_storage *out);

/* "192.0.2.1:53", "[2001:db8::1]:53"; without port: "192.0.2.1". Returns `out`. */
const char *address_text(const struct sockaddr_storage *address, bool with_port, char *out, size_t capacity_bytes);

void address_set_port(struct sockaddr_storage *address, uint16_t port);

/* The length that bind and connect want. */
socklen_t address_bytes(const struct sockaddr_storage *address);

/* Splits "host", "host:port", "[v6]:port" or a bare v6 address. `host` has room for HOST_TEXT_MAX. STATUS_INVALID names what is
 * wrong. */
enum status address_split(const char *text, uint16_t default_port, char *host, uint16_t *port, struct error *err);

#endif
