/* The two clocks. Only spans on one machine are ever compared; what another machine's clock says is display. */
#ifndef COORD_IO_CLOCK_H
#define COORD_IO_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC_RAW + (CLOCK_BOOTTIME - CLOCK_MONOTONIC), in microseconds: runs at the raw rate of the hardware (a time daemon slews
 * the others by percents) and counts the time asleep. Never goes back within a process; two processes of one machine
 * read it the same to a few microseconds. */
int64_t clock_now_us(void);

/* The wall clock in milliseconds since 1970: for people's eyes and for TSIG, never for a decision. */
int64_t clock_wall_ms(void);

/* Milliseconds from now until `t0_us + span_ms`, rounded up; 0 when that is past. What a uv timer is armed with. */
uint64_t clock_left_ms(int64_t t0_us, uint32_t span_ms);

#endif
