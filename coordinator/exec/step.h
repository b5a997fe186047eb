/* What a step gets and gives: one file per kind behind one small interface, so that exec walks them alike and a test can put its own.
 * A step does one thing at one site for one epoch, is idempotent, and says in one line what happened. */
#ifndef COORD_EXEC_STEP_H
#define COORD_EXEC_STEP_H

#include "core/state.h"
#include "io/child.h"
#include "io/http_client.h"
#include "io/resolve.h"

#include <stdbool.h>
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
    void *ctx;
    uint64_t (*last_primary_lsn)(void *ctx, service_id service); /* 0: not known */
    /* The applied state still shows this attempt assigned here, its operation promoted, and its site primary under its epoch. */
    bool (*promotion_stands)(void *ctx, const struct step_attempt *a);
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
    struct service_config config;
    const struct exec_local *local; /* NULL: this node's file names no server of the service */
    char saved_path[512];           /* where sever keeps the settings that it replaced */
    uint8_t instance_count;         /* fence: every server life that may have been opened in old_epoch */
    instance_id instances[INSTANCES_MAX];
    int64_t t0_us; /* clock_now_us() from which the deadline counts */
    uint32_t deadline_ms;

    char
        waits_for[DETAIL_MAX_BYTES]; /* kept by the step: what it waits for now; goes into the detail at the deadline */
    struct step_result result;       /* filled by the step */
    void *self;                      /* the step's own memory, freed by it before step_end() */
};

struct step_method {
    /* Begins, or ends at once by step_end(). */
    void (*begin)(struct step_attempt *a);
    /* Once, only before step_end(): the step ends soon, by step_end(); its result is not used. */
    void (*cancel)(struct step_attempt *a);
};

struct step_table {
    struct step_method methods[STEP_COUNT];
};
extern const struct step_table step_table_real;

/* The step has ended: exactly once per attempt, from begin or later. The attempt is not touched by the step after it. */
void step_end(struct step_attempt *a);

#endif
