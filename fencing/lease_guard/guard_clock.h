/* The guard's clock: CLOCK_MONOTONIC_RAW plus the time spent suspended, in microseconds. Raw, because a time daemon may slew the other
 * clocks by percents; suspended time counts, because a lease runs out while its holder sleeps. Readings are compared only with other
 * readings on the same machine since the same boot.
 *
 * The suspended time is the difference of two clocks that are read one after the other; a pause between the two reads falsifies it by its
 * own length. The order of the reads decides in which direction, so there are two readings, each wrong only in its safe direction. */
#ifndef LEASE_GUARD_GUARD_CLOCK_H
#define LEASE_GUARD_GUARD_CLOCK_H

#include "postgres.h"

/* Never later than the true time at return: for a sample from which a deadline will be counted. */
extern int64 guard_clock_early_us(void);

/* Never earlier than the true time at the call: for asking whether a deadline has passed. */
extern int64 guard_clock_late_us(void);

#endif
