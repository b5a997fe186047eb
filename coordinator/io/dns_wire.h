/* DNS messages to bytes and back, and their TSIG signatures, by ldns. Sends nothing: dns/ does that.
 * An answer whose signature cannot be verified is marked so; that it must not count is the caller's rule. */
#ifndef COORD_IO_DNS_WIRE_H
#define COORD_IO_DNS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define DNS_WIRE_NAME_MAX 256
#define DNS_WIRE_VALUE_MAX 256 /* one record's value in text with its NUL: an address, or the text of a TXT */
#define DNS_WIRE_MESSAGE_MAX 1232
#define DNS_WIRE_RECORDS_MAX 16
#define DNS_WIRE_MAC_MAX 64
#define TSIG_FUDGE_S 300

enum dns_type { DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_TXT, DNS_TYPE_SOA };

struct tsig_key {
    char name[DNS_WIRE_NAME_MAX]; /* with or without a final dot */
    char algorithm[32];           /* "hmac-sha256" */
    char secret[256];             /* base64 */
};

struct dns_record {
    enum dns_type type;
    char name[DNS_WIRE_NAME_MAX];
    char value[DNS_WIRE_VALUE_MAX]; /* a TXT without its quotes */
    uint32_t ttl_s;
};

enum dns_prerequisite { DNS_NO_PREREQUISITE, DNS_RRSET_ABSENT, DNS_RRSET_EQUALS };

/* Replaces the RRsets named by `records`, all of them in one atomic update. */
struct dns_update {
    const char *zone;
    enum dns_prerequisite prerequisite;
    const struct dns_record *expected; /* name and type for both kinds, the value for DNS_RRSET_EQUALS */
    const struct dns_record *records;  /* one per RRset: delete what is there, add this */
    size_t record_count;
};

struct dns_message {
    uint8_t bytes[DNS_WIRE_MESSAGE_MAX];
    size_t length;
    uint16_t id;                   /* random */
    uint8_t mac[DNS_WIRE_MAC_MAX]; /* of our signature: the answer's is chained to it */
    size_t mac_bytes;              /* 0: unsigned */
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_YXDOMAIN = 6,
    DNS_YXRRSET = 7,
    DNS_NXRRSET = 8,
    DNS_NOTAUTH = 9,
    DNS_NOTZONE = 10
};

enum tsig_state {
    TSIG_NONE,        /* the answer carries no signature */
    TSIG_VERIFIED,    /* right key, right bytes, right time */
    TSIG_BADSIG,      /* the server says: our signature is wrong (the secret differs) */
    TSIG_BADKEY,      /* the server says: it does not know this key or algorithm */
    TSIG_BADTIME,     /* the server says, or we see: clocks differ by more than TSIG_FUDGE_S */
    TSIG_UNVERIFIABLE /* a signature that is not right */
};

struct dns_reply {
    enum dns_rcode rcode;
    bool authoritative;
    bool truncated; /* ask again by TCP */
    enum tsig_state tsig;
    struct dns_record records[DNS_WIRE_RECORDS_MAX]; /* of the answer section, those of the types above */
    size_t record_count;
    bool records_cut; /* there were more, or of other types */
};

/* Without recursion. `key` NULL: unsigned. STATUS_INVALID: a name or the key's secret is malformed. */
enum status dns_wire_query(struct dns_message *out, const char *name, enum dns_type type, const struct tsig_key *key,
                           struct error *err);
enum status dns_wire_update(struct dns_message *out, const struct dns_update *update, const struct tsig_key *key,
                            struct error *err);

/* STATUS_CORRUPT: not a message. STATUS_NOT_FOUND: a message, but not the answer to `request` (another id, no response): go on waiting. */
enum status dns_wire_parse(struct dns_reply *out, const void *bytes, size_t length, const struct dns_message *request,
                           const struct tsig_key *key, struct error *err);

/* "NXRRSET"; never NULL. */
const char *dns_rcode_word(enum dns_rcode rcode);
/* "TXT" */
const char *dns_type_word(enum dns_type type);

#endif
