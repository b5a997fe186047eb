/* Real authoritative servers for the tests, each in a directory of its own under /tmp, on a free port of 127.0.0.1: zone example.test,
 * key coord-key that may change A and TXT at app and _coord.app, and a second key, other-key, that may change nothing. */
#ifndef TESTS_DNS_SERVERS_H
#define TESTS_DNS_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DNS_KEY_NAME "coord-key"
#define DNS_KEY_SECRET "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#define DNS_OTHER_KEY_NAME "other-key"
#define DNS_OTHER_KEY_SECRET "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="

enum dns_server_kind { DNS_SERVER_KNOT, DNS_SERVER_BIND };

struct dns_server {
    pid_t pid;
    uint16_t port;
    char text[32]; /* "127.0.0.1:PORT" */
    char directory[64];
};

/* Returns when it answers; fails the test otherwise, with its log. */
void dns_server_start(struct dns_server *s, enum dns_server_kind kind);
void dns_server_stop(struct dns_server *s);

void dns_server_freeze(const struct dns_server *s);
void dns_server_thaw(const struct dns_server *s);

/* Runs nsupdate with `lines` (zone and server are added), signed by the key that is allowed. True when the server took it. */
bool nsupdate(const struct dns_server *s, const char *lines);

/* What dig +short prints, without its last newline. */
void dig(const struct dns_server *s, const char *name, const char *type, char *out, size_t capacity_bytes);

#endif
