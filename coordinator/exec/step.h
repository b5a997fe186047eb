/* What a step gets and gives: one file per kind behind one small interface, so that exec walks them alike and a test can put its own.
 * A step does one thing at one site for one epoch, is idempotent, and says in one line what happened. */
#ifndef COORD_EXEC_STEP_H
#define COORD_EXEC_STEP_H

#include "core/state.h"
#include "io/child.h"
#include "io/http_client.h"
#include "io/resolve.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* A PostgreSQL server on this host, from the node's own file. */
struct exec_local {
    const char *service;
    const char *data_dir;
    const char *bin_dir;
    const char *conninfo;
    const char *guard_socket; /* "" or NULL: no lease_guard */
};

struct step_attempt;

/* What all steps of this node share; borrowed. */
struct step_env {
    uv_loop_t *loop;
    struct resolver *resolver;
    struct http_client *http;
    struct child_config child;
    node_id self;
    void *ctx;                                                   /* of the owner's callback */
    uint64_t (*last_primary_lsn)(void *ctx, service_id service); /* 0: not known */
    /* NULL when the applied state still shows this attempt assigned here, its operation promoted, and its site primary under its epoch, and no
     * promise of this node forbids it; else why not. */
    const char *(*promotion_objection)(void *exec, const struct step_attempt *a);
    void *exec;
};

/* One attempt. What it needs of the applied state is copied when it begins: the state moves on under it. */
struct step_attempt {
    const struct step_env *env;
    enum step step;
    service_id service;
    operation_id operation;
    uint8_t run;
    uint32_t attempt;
    epoch_t epoch;     /* of the run: goes with every outside effect */
    epoch_t old_epoch; /* the one that the operation ends */
    site_id site;
    char site_name[NAME_MAX_BYTES];
    char node_name[NAME_MAX_BYTES];
    bool enforced; /* service_enforced() */
    struct service_config config;
    const struct exec_local *local; /* NULL: this node's file names no server of the service */
    char saved_path[512];           /* where sever keeps the settings that it replaced */
    uint8_t instance_count;         /* fence: every server life that may have been opened in old_epoch */
    instance_id instances[INSTANCES_MAX];
    uint64_t fenced_lsn; /* sever: where the old primary's WAL ended when it was proven closed; 0: not known */
    int64_t t0_us;       /* clock_now_us() from which the deadline counts */
    uint32_t deadline_ms;

    char
        waits_for[DETAIL_MAX_BYTES]; /* kept by the step: what it waits for now; goes into the detail at the deadline */
    struct step_result result;       /* filled by the step */
    void *self;                      /* the step's own memory, freed by it before step_end() */
};

struct step_method {
    /* Begins, or ends at once by step_end(). */
    void (*begin)(struct step_attempt *a);
    /* At most once, only before step_end(): the step ends soon, by step_end(). What it was about to report counts only if it is ok. */
    void (*cancel)(struct step_attempt *a);
};

struct step_table {
    const struct step_method *methods[STEP_COUNT];
    uint32_t deadline_ms; /* of each attempt; 0: the plan's */
};
extern const struct step_table step_table_real;

/* The step has ended: exactly once per attempt, from begin or later. The attempt is not touched by the step after it. */
void step_end(struct step_attempt *a);

/* What the step files have in common. */

/* Sets the result's line. */
void step_ok(struct step_attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void step_failed(struct step_attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and that was all. */
void step_end_ok(struct step_attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void step_end_failed(struct step_attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void step_waits(struct step_attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For the adapter that does the step: until a little before the deadline, so that the adapter's own words on what was missing come first.
 * At least 1. */
uint32_t step_left_ms(const struct step_attempt *a);
/* The service's server on this host, or the attempt has ended. */
bool step_has_local(struct step_attempt *a);
/* The attempt's site in the service's configuration, or NULL and the attempt has ended. */
const struct site_config *step_site(struct step_attempt *a);
/* Memory for the step, or a crash: a node without memory for one step is of no use, and its peers go on without it. */
void *step_memory(size_t size_bytes);

/* A look that failed is repeated after a pause, until the attempt's deadline. */
struct step_pause {
    uv_timer_t timer;
    void (*then)(struct step_attempt *a);
    struct step_attempt *a;
};
void step_pause_init(struct step_pause *p, struct step_attempt *a);
void step_pause_begin(struct step_pause *p, uint32_t pause_ms, void (*then)(struct step_attempt *a));
/* True when one was under way: `then` is not called. */
bool step_pause_stop(struct step_pause *p);
/* For the end: `then` is called when the timer is closed. */
void step_pause_close(struct step_pause *p, void (*then)(struct step_attempt *a));

#endif
