/* The cluster version: which formats and rules all members know. It makes a rolling upgrade possible: a newer coordd behaves and writes like the
 * older ones until every member has started one that is new enough; then the leader moves the version by a log entry, and never back.
 *
 * Whoever changes what an entry or a snapshot holds, or what applying one does, raises program_version, and makes the change depend on the
 * version: codec.version in a visitor, state.cluster_version in core/fsm. Two programs that apply the same entries must hold the same state.
 *
 *   1  the first
 */
#ifndef COORD_CORE_VERSION_H
#define COORD_CORE_VERSION_H

#include <stdint.h>

#define CLUSTER_VERSION_FIRST 1

/* The newest that this program reads and writes; it reads every older one. */
extern const uint8_t program_version;

#endif
