/* A binary heap of events ordered by (time, sequence); xorshift128+ seeded by splitmix64. An event belongs to a life of a process:
 * it is held back while the process is paused and dropped when that life is over. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct sim_event {
    int64_t at_us;
    uint64_t sequence;
    struct sim_process *process;
    uint32_t life;
    bool canceled;
    sim_fn fire;
    sim_fn drop;
    void *ctx;
    struct sim_event *next; /* in a held list or in the free list */
};

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct sim *sim_create(uint64_t seed, bool verbose)
{
    struct sim *s = calloc(1, sizeof(*s));
    uint64_t state = seed;

    ASSERT(s != NULL);
    s->seed = seed;
    s->verbose = verbose;
    s->random_state[0] = splitmix(&state);
    s->random_state[1] = splitmix(&state);
    return s;
}

static void event_release(struct sim *s, struct sim_event *e)
{
    e->next = s->free_events;
    s->free_events = e;
}

static void event_drop(struct sim *s, struct sim_event *e)
{
    if (e->drop != NULL)
        e->drop(e->ctx);
    event_release(s, e);
}

void sim_destroy(struct sim *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->heap_count; i++)
        event_drop(s, s->heap[i]);
    while (s->free_events != NULL) {
        struct sim_event *e = s->free_events;
        s->free_events = e->next;
        free(e);
    }
    free(s->heap);
    free(s);
}

uint64_t sim_random(struct sim *s, uint64_t bound)
{
    uint64_t a = s->random_state[0];
    uint64_t b = s->random_state[1];

    ASSERT(bound > 0);
    s->random_state[0] = b;
    a ^= a << 23;
    s->random_state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return (s->random_state[1] + b) % bound;
}

int64_t sim_between(struct sim *s, int64_t low, int64_t high)
{
    ASSERT(low <= high);
    return low + (int64_t)sim_random(s, (uint64_t)(high - low) + 1);
}

bool sim_chance(struct sim *s, uint32_t ppm)
{
    return ppm > 0 && sim_random(s, 1000000) < ppm;
}

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->sequence < b->sequence);
}

static void heap_push(struct sim *s, struct sim_event *e)
{
    size_t i = s->heap_count;

    if (s->heap_count == s->heap_capacity) {
        s->heap_capacity = s->heap_capacity == 0 ? 256 : s->heap_capacity * 2;
        s->heap = realloc(s->heap, s->heap_capacity * sizeof(struct sim_event *));
        ASSERT(s->heap != NULL);
    }
    s->heap_count++;
    while (i > 0 && event_before(e, s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct sim_event *heap_pop(struct sim *s)
{
    struct sim_event *top = s->heap[0];
    struct sim_event *last = s->heap[--s->heap_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count && event_before(s->heap[child + 1], s->heap[child]))
            child++;
        if (!event_before(s->heap[child], last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    if (s->heap_count > 0)
        s->heap[i] = last;
    return top;
}

struct sim_event *sim_after(struct sim *s, int64_t delay_us, struct sim_process *process, sim_fn fire, sim_fn drop,
                            void *ctx)
{
    struct sim_event *e = s->free_events;

    ASSERT(delay_us >= 0);
    if (e != NULL)
        s->free_events = e->next;
    else
        e = malloc(sizeof(*e));
    ASSERT(e != NULL);
    *e = (struct sim_event){ .at_us = s->now_us + delay_us,
                             .sequence = s->sequence++,
                             .process = process,
                             .life = process != NULL ? process->life : 0,
                             .fire = fire,
                             .drop = drop,
                             .ctx = ctx };
    heap_push(s, e);
    return e;
}

void sim_cancel(struct sim_event *event)
{
    event->canceled = true;
}

void *sim_alloc(size_t size_bytes)
{
    void *data = malloc(size_bytes);

    ASSERT(data != NULL);
    return data;
}

void sim_free(void *ctx)
{
    free(ctx);
}

void sim_process_init(struct sim_process *p)
{
    *p = (struct sim_process){ .life = 1 };
}

void sim_process_pause(struct sim_process *p)
{
    p->paused = true;
}

void sim_process_resume(struct sim *s, struct sim_process *p)
{
    struct sim_event *e = p->held_first;

    p->paused = false;
    p->held_first = NULL;
    p->held_last = NULL;
    while (e != NULL) {
        struct sim_event *next = e->next;
        e->next = NULL;
        e->at_us = s->now_us;
        e->sequence = s->sequence++;
        heap_push(s, e);
        e = next;
    }
}

void sim_process_end(struct sim *s, struct sim_process *p)
{
    struct sim_event *e = p->held_first;

    p->life++;
    p->paused = false;
    p->held_first = NULL;
    p->held_last = NULL;
    while (e != NULL) {
        struct sim_event *next = e->next;
        event_drop(s, e);
        e = next;
    }
}

int64_t sim_clock_now_us(const struct sim *s, const struct sim_clock *clock)
{
    return clock->offset_us + s->now_us + (int64_t)((__int128)s->now_us * clock->rate_ppm / 1000000);
}

int64_t sim_clock_span_us(const struct sim_clock *clock, int64_t local_us)
{
    return (int64_t)((__int128)local_us * 1000000 / (1000000 + clock->rate_ppm));
}

static void hold(struct sim_process *p, struct sim_event *e)
{
    e->next = NULL;
    if (p->held_last != NULL)
        p->held_last->next = e;
    else
        p->held_first = e;
    p->held_last = e;
}

int64_t sim_next_us(const struct sim *s)
{
    return s->heap_count > 0 ? s->heap[0]->at_us : INT64_MAX;
}

bool sim_step(struct sim *s)
{
    struct sim_event *e;

    if (s->heap_count == 0 || s->failed)
        return false;
    e = heap_pop(s);
    ASSERT(e->at_us >= s->now_us);
    s->now_us = e->at_us;
    if (e->canceled || (e->process != NULL && e->life != e->process->life)) {
        event_drop(s, e);
    } else if (e->process != NULL && e->process->paused) {
        hold(e->process, e);
    } else {
        s->event_count++;
        e->fire(e->ctx);
        event_release(s, e);
    }
    return !s->failed;
}

void sim_run(struct sim *s, int64_t span_us)
{
    int64_t end_us = s->now_us + span_us;

    while (s->heap_count > 0 && s->heap[0]->at_us <= end_us)
        if (!sim_step(s))
            return;
    s->now_us = end_us;
}

static void note(struct sim *s, const char *format, va_list args)
{
    char *line = s->notes[s->note_count++ % SIM_NOTES_MAX];
    int used = snprintf(line, SIM_NOTE_BYTES, "%10.6f ", (double)s->now_us / SIM_US_PER_S);

    ASSERT(used > 0 && used < SIM_NOTE_BYTES);
    vsnprintf(line + used, SIM_NOTE_BYTES - (size_t)used, format, args);
    if (s->verbose)
        fprintf(stderr, "%s\n", line);
}

void sim_note(struct sim *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    note(s, format, args);
    va_end(args);
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;

    if (s->failed)
        return;
    s->failed = true;
    va_start(args, format);
    vsnprintf(s->failure, sizeof(s->failure), format, args);
    va_end(args);
    sim_note(s, "FAILED: %.150s", s->failure);
}

void sim_print_failure(const struct sim *s, const char *program)
{
    uint64_t first = s->note_count > SIM_NOTES_MAX ? s->note_count - SIM_NOTES_MAX : 0;

    if (!s->verbose)
        for (uint64_t i = first; i < s->note_count; i++)
            fprintf(stderr, "%s\n", s->notes[i % SIM_NOTES_MAX]);
    fprintf(stderr, "seed %" PRIu64 " failed: %s\nagain: %s --seed %" PRIu64 " --verbose\n", s->seed, s->failure,
            program, s->seed);
}
