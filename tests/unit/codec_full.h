/* Structs whose every byte is 1, made valid: a field that a codec forgot comes back as 0. So does padding; how much of it each struct has is
 * counted here by hand, so that a field which is added to a struct alone makes the tests fail. */
#ifndef COORD_TESTS_CODEC_FULL_H
#define COORD_TESTS_CODEC_FULL_H

#include "core/command.h"
#include "core/gates.h"
#include "core/membership.h"

#define PADDING_MEMBER 3
#define PADDING_ENFORCEMENT 7
#define PADDING_POSITION 10
#define PADDING_LEASE (3 + 4 + PADDING_ENFORCEMENT + 7)
#define PADDING_RUN (3 + PADDING_POSITION)
#define PADDING_OPERATION (5 + 4 + 3 + RUNS_MAX * PADDING_RUN)
#define PADDING_SITE_CONFIG 2
#define PADDING_DNS_CONFIG 3
#define PADDING_CONFIG (2 + 1 + 2 + PADDING_DNS_CONFIG + SITES_MAX * PADDING_SITE_CONFIG)
#define PADDING_VIEW 6
#define PADDING_SERVICE (7 + 6 + 7 + 4 + PADDING_CONFIG + PADDING_LEASE + SITES_MAX * PADDING_VIEW + PADDING_OPERATION)
#define PADDING_EVENT 2
#define PADDING_STATE                                                                                                  \
    (11 + NODES_MAX * PADDING_MEMBER + SERVICES_MAX * PADDING_SERVICE + INCIDENTS_MAX * PADDING_OPERATION +            \
     EVENTS_MAX * PADDING_EVENT)

#define END(text) ((text)[sizeof(text) - 1] = '\0')
#define GATES_ALL ((UINT32_C(1) << GATE_COUNT) - 1)
#define MEMBER_GATES_ALL ((UINT32_C(1) << MEMBER_GATE_COUNT) - 1)
#define KINDS_ALL ((uint8_t)((1u << EVIDENCE_KIND_COUNT) - 1))

void full_member(struct member *m, node_id id);
void full_config(struct service_config *c);
void full_opinion(struct opinion *o);
void full_state(struct state *s);

/* How many bytes did not come back; fails the test when one came back as another. */
size_t bytes_lost(const void *sent, const void *received, size_t length_bytes);

#endif
