/* Refused connections, so that each is counted and none floods the log: one line per peer and reason in REFUSALS_PERIOD_US, with how many there
 * were since the last one. Beyond REFUSALS_MAX peers and reasons of one period the rest share a line. */
#ifndef COORD_IO_REFUSALS_H
#define COORD_IO_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFUSALS_MAX 64
#define REFUSALS_PERIOD_US (60 * 1000 * 1000)
#define REFUSALS_PEER_MAX_BYTES 48 /* an address without its port, which changes each time */

struct refusals { /* zeroed before use */
    struct refusal {
        char peer[REFUSALS_PEER_MAX_BYTES];
        uint32_t reason; /* its checksum */
        int64_t logged_us;
        uint64_t count; /* since then */
    } seen[REFUSALS_MAX];
    struct refusal others;
};

/* True: write a line now, and say *count. */
bool refusals_note(struct refusals *r, int64_t now_us, const char *peer, const char *reason, uint64_t *count);

#endif
