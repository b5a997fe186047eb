/* Understands one line of lease_guard's answers. The bytes are the world: what is not exactly of the protocol is refused. */
#ifndef COORD_FENCING_GUARD_ANSWER_H
#define COORD_FENCING_GUARD_ANSWER_H

#include "base/status.h"
#include "fencing/guard_client.h"

enum guard_request_kind {
    GUARD_REQUEST_NOW,
    GUARD_REQUEST_OPEN,
    GUARD_REQUEST_CLOSE,
    GUARD_REQUEST_STATUS,
    GUARD_REQUEST_BYPASS
};

/* `line` is without its newline. STATUS_REFUSED fills answer->reason; STATUS_CORRUPT for what cannot be understood. */
enum status guard_answer_parse(enum guard_request_kind kind, const char *line, struct guard_answer *answer,
                               struct error *err);

#endif
