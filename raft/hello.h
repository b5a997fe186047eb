/* What the one who dials says first, and what it is answered. Decides whether a connection may go on; the reason goes both ways, so that
 * either log explains a cluster that does not come together. */
#ifndef COORD_RAFT_HELLO_H
#define COORD_RAFT_HELLO_H

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "io/tls_identity.h"

#include <stdbool.h>
#include <stdint.h>

#define HELLO_BYTES (44 + 2 * ADDRESS_MAX_BYTES)
#define HELLO_ANSWER_BYTES 8
#define HELLO_TIMEOUT_MS 2000 /* from the connection's begin to the end of this exchange */

enum hello_kind { HELLO_RAFT, HELLO_MESSAGES, HELLO_KIND_COUNT };

/* X(enumerator, text): the text is for the log of both sides. */
#define HELLO_VERDICT_LIST(X)                                                                                          \
    X(HELLO_ACCEPTED, "accepted")                                                                                      \
    X(HELLO_MALFORMED, "not a hello of this protocol version")                                                         \
    X(HELLO_OTHER_CLUSTER, "belongs to another cluster")                                                               \
    X(HELLO_UNKNOWN_NODE, "no member of this cluster has that id: it was removed")                                     \
    X(HELLO_OTHER_ADDRESS, "its address is not the one in the member list")                                            \
    X(HELLO_NOT_ME, "it looks for another node at this address")                                                       \
    X(HELLO_MYSELF, "it says that it is this node")                                                                    \
    X(HELLO_FULL, "too many connections")                                                                              \
    X(HELLO_OTHER_CERTIFICATE, "its certificate belongs to another node than it says it is")                           \
    X(HELLO_SPEAKS_TLS, "it speaks TLS, and this node takes plain TCP (insecure_loopback: true)")                      \
    X(HELLO_OLD_GENERATION,                                                                                            \
      "its log is of an older generation of this cluster: a forced recovery ended it, or it joined without "           \
      "--generation; coordd quarantine there, then back under a new id")                                               \
    X(HELLO_NEW_GENERATION,                                                                                            \
      "this node's log is of an older generation of that cluster: a forced recovery ended it, or coordd join was "     \
      "given no --generation; coordd quarantine here, then coordctl members add and the coordd join that it prints")

#define HELLO_VERDICT_ENUM(name, text) name,
enum hello_verdict { HELLO_VERDICT_LIST(HELLO_VERDICT_ENUM) HELLO_VERDICT_COUNT };
#undef HELLO_VERDICT_ENUM

const char *hello_verdict_text(enum hello_verdict verdict);

struct hello {
    enum hello_kind kind;
    uint64_t cluster;
    uint64_t generation; /* of the cluster's life: one more with each forced recovery */
    node_id from;
    node_id to;
    char from_address[ADDRESS_MAX_BYTES];
    char to_address[ADDRESS_MAX_BYTES];
};

void hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES]);
enum status hello_decode(const uint8_t in[HELLO_BYTES], struct hello *out);

/* What the one who is dialed knows of itself and of the one who dials. */
struct hello_facts {
    uint64_t cluster;
    node_id self;
    const char *self_address;
    uint64_t generation;
    const char *member_address;             /* the member list's, for hello.from; NULL: no member */
    bool perhaps_newer;                     /* no member here, but perhaps only not yet: this node's list may be old */
    const struct tls_identity *certificate; /* the dialer's; NULL: plain TCP, where nobody proves anything */
};

/* May a connection with this hello go on? */
enum hello_verdict hello_judge(const struct hello *h, const struct hello_facts *facts);

void hello_answer_encode(enum hello_verdict verdict, uint8_t out[HELLO_ANSWER_BYTES]);
enum status hello_answer_decode(const uint8_t in[HELLO_ANSWER_BYTES], enum hello_verdict *verdict);

#endif
