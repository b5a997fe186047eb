/* A holder over the fixture's cluster, on the test's own clock; what it does is written down instead of done. */
#ifndef COORD_TESTS_HOLDER_FIXTURE_H
#define COORD_TESTS_HOLDER_FIXTURE_H

#include "core_fixture.h"

#include "holder/holder.h"

#define EFFECTS_MAX 64
#define FIRST_TOKEN UINT64_C(1000)

enum effect_kind { ASKED, OPENED, BYPASSED, SUBMITTED, PROMISE };

struct effect {
    enum effect_kind kind;
    uint64_t token;
    instance_id instance;
    epoch_t epoch;
    int64_t t0_us;
    uint32_t hold_ms;
    bool on;
    enum command_kind command;
    struct command_renew renew;
    struct command_grant grant;
    node_id to;
    struct promise_ask ask;
};

extern struct holder holder;
extern struct effect effects[EFFECTS_MAX];
extern unsigned effect_count;
extern int64_t now_us;
extern struct holder_guard guard; /* what the guard answers */

int holder_setup(void **state);  /* for cmocka: core_setup() and the holder at node A, which acts */
void holder_begin(node_id self); /* another life, or another node's */
/* The last effect of a kind, or NULL. */
struct effect *holder_last(enum effect_kind kind);
unsigned holder_count(enum effect_kind kind);
/* One transmission up to its submission; its token. */
uint64_t holder_transmit(struct core *k);
epoch_t holder_epoch(struct core *k);

#endif
