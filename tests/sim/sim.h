/* Simulated time: one queue of events, one seeded generator, clocks that run at their own rate, and processes that can be paused,
 * crashed and started again. Everything that happens in a simulation happens in an event; the same seed gives the same events.
 * What the events mean (disks, networks, nodes) is left to the files beside this one. */
#ifndef COORD_SIM_SIM_H
#define COORD_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_US_PER_MS 1000
#define SIM_US_PER_S 1000000
#define SIM_NOTES_MAX 400 /* the last notes, printed when a run fails */
#define SIM_NOTE_BYTES 200

typedef void (*sim_fn)(void *ctx);

struct sim_event; /* opaque: valid until it fired, was dropped, or was canceled */

/* One life after another of one program. Embedded by its owner, who calls sim_process_init once. */
struct sim_process {
    uint32_t life; /* events of an earlier life are dropped */
    bool paused;   /* events wait, in their order, until it resumes: SIGSTOP */
    struct sim_event *held_first;
    struct sim_event *held_last;
};

/* The monotonic clock of one machine: its own start and its own rate. */
struct sim_clock {
    int64_t offset_us;
    int32_t rate_ppm;
};

struct sim {
    uint64_t seed;
    uint64_t random_state[2];
    int64_t now_us;
    uint64_t event_count; /* fired so far */
    bool verbose;
    bool failed;
    char failure[SIM_NOTE_BYTES * 2];
    char notes[SIM_NOTES_MAX][SIM_NOTE_BYTES];
    uint64_t note_count;
    uint64_t sequence;
    struct sim_event **heap;
    size_t heap_count;
    size_t heap_capacity;
    struct sim_event *free_events;
};

struct sim *sim_create(uint64_t seed, bool verbose);
void sim_destroy(struct sim *s);

/* 0 .. bound-1; bound > 0. */
uint64_t sim_random(struct sim *s, uint64_t bound);
int64_t sim_between(struct sim *s, int64_t low, int64_t high);
/* True in `ppm` of a million cases. */
bool sim_chance(struct sim *s, uint32_t ppm);

/* Runs `fire` after `delay_us`; when the process has ended by then, runs `drop` (may be NULL) instead, which frees what ctx owns.
 * `process` may be NULL: the world itself. */
struct sim_event *sim_after(struct sim *s, int64_t delay_us, struct sim_process *process, sim_fn fire, sim_fn drop,
                            void *ctx);
/* The event will not fire; `drop` runs when its time comes (or at the end of the simulation). */
void sim_cancel(struct sim_event *event);

/* Never NULL. For what an event carries; sim_free is also its `drop`. */
void *sim_alloc(size_t size_bytes);
void sim_free(void *ctx);

void sim_process_init(struct sim_process *p);
void sim_process_pause(struct sim_process *p);
void sim_process_resume(struct sim *s, struct sim_process *p);
/* Ends this life: what waits for it is dropped. A paused process is unpaused. */
void sim_process_end(struct sim *s, struct sim_process *p);

int64_t sim_clock_now_us(const struct sim *s, const struct sim_clock *clock);
/* How long a span of this clock takes in simulated time. */
int64_t sim_clock_span_us(const struct sim_clock *clock, int64_t local_us);

/* When the next event is due; INT64_MAX: none is left. */
int64_t sim_next_us(const struct sim *s);
/* Fires the next event. False when none is left or the run has failed. */
bool sim_step(struct sim *s);
/* Fires every event up to and including now + span. */
void sim_run(struct sim *s, int64_t span_us);

void sim_note(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first failure counts; the run stops after the event at hand. */
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The seed, the failure and the last notes, to standard error. */
void sim_print_failure(const struct sim *s, const char *program);

#endif
