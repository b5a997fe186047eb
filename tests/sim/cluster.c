/* Values are numbered from 1; the list's hash after each count is compared with what other nodes had at that count. */
#include "tests/sim/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "raft/rnode.h"

#define VALUES_MAX 20000
#define NET_DELAY_MIN_US 200
#define NET_DELAY_MAX_US 3000
#define CLOCK_RATE_PPM_MAX 500

struct cluster_node {
    struct cluster *cluster;
    unsigned number;
    bool up;
    bool absent;
    bool fatal; /* the guard gave up: crash it from outside of its own callback */
    struct sim_process process;
    struct sim_clock clock;
    struct disk disk;
    struct arena arena;
    struct raft_io *io; /* in the arena */
    struct raft *raft;  /* plain: in the arena */
    struct raft_fsm fsm;
    struct rnode *rnode;
    uint64_t *values; /* the state machine */
    uint64_t count;
    uint64_t hash;
};

struct proposal {
    struct raft_apply apply; /* plain */
    struct cluster_node *node;
    uint64_t value;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return (hash ^ (hash >> 29)) | 1;
}

static void check_list(struct cluster_node *n)
{
    struct cluster *c = n->cluster;

    if (c->chain[n->count] == 0)
        c->chain[n->count] = n->hash;
    if (c->chain[n->count] != n->hash)
        sim_fail(c->sim, "node %u differs from others after %" PRIu64 " values", n->number, n->count);
    if (n->count > c->highest_count)
        c->highest_count = n->count;
}

static void list_add(struct cluster_node *n, uint64_t value)
{
    ASSERT(n->count + 1 < VALUES_MAX);
    n->values[n->count++] = value;
    n->hash = mix(n->hash, value);
    check_list(n);
}

static void list_load(struct cluster_node *n, const uint8_t *bytes, size_t size_bytes)
{
    uint64_t count = size_bytes / 8;

    n->count = 0;
    n->hash = 1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, bytes + 8 * i, 8);
        n->values[n->count++] = value;
        n->hash = mix(n->hash, value);
    }
    check_list(n);
    n->cluster->restored_count++;
}

static int plain_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct cluster_node *n = fsm->data;
    uint64_t value;

    ASSERT(buf->len == 8);
    memcpy(&value, buf->base, 8);
    list_add(n, value);
    *result = NULL;
    return 0;
}

static int plain_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct cluster_node *n = fsm->data;

    *n_bufs = 1;
    *bufs = raft_malloc(sizeof(struct raft_buffer));
    (*bufs)[0].len = n->count * 8;
    (*bufs)[0].base = raft_malloc((*bufs)[0].len);
    memcpy((*bufs)[0].base, n->values, (*bufs)[0].len);
    return 0;
}

static int plain_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    list_load(fsm->data, buf->base, buf->len);
    raft_free(buf->base);
    return 0;
}

static size_t rnode_apply(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length,
                          uint8_t *outcome)
{
    uint64_t value;

    (void)index;
    (void)term;
    ASSERT(length == 8);
    memcpy(&value, bytes, 8);
    list_add(ctx, value);
    memcpy(outcome, &value, 8);
    return 8;
}

static enum status rnode_snapshot(void *ctx, uint8_t *out, size_t capacity, size_t *used)
{
    struct cluster_node *n = ctx;

    *used = n->count * 8;
    if (*used > capacity)
        return STATUS_FULL;
    memcpy(out, n->values, *used);
    return STATUS_OK;
}

static enum status rnode_restore(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length)
{
    (void)index;
    (void)term;
    list_load(ctx, bytes, length);
    return STATUS_OK;
}

static int64_t node_now_us(void *ctx)
{
    struct cluster_node *n = ctx;

    return sim_clock_now_us(n->cluster->sim, &n->clock);
}

static void on_fatal(void *ctx, const char *reason)
{
    struct cluster_node *n = ctx;

    sim_note(n->cluster->sim, "node %u fatal: %s", n->number, reason);
    n->fatal = true;
}

static void on_leadership(void *ctx, const struct rnode_leadership *now)
{
    struct cluster_node *n = ctx;
    struct cluster *c = n->cluster;

    sim_note(c->sim, "node %u is %s in term %" PRIu64, n->number, rnode_role_word(now->role), now->term);
    if (now->role != RNODE_LEADER && now->role != RNODE_ELECTED)
        return;
    ASSERT(now->term < 4096);
    if (c->term_leader[now->term] == 0)
        c->term_leader[now->term] = cluster_id_of(c, n->number);
    if (c->term_leader[now->term] != cluster_id_of(c, n->number))
        sim_fail(c->sim, "two leaders in term %" PRIu64, now->term);
}

static void bootstrap(struct cluster *c, struct cluster_node *n)
{
    struct raft_configuration conf;
    struct raft_io *io;

    arena_enter(&n->arena);
    raft_configuration_init(&conf);
    for (unsigned i = 0; i < c->options.first_count; i++)
        ASSERT(raft_configuration_add(&conf, c->peers.list[i].id, c->peers.list[i].address, RAFT_VOTER) == 0);
    io = raft_calloc(1, sizeof(*io));
    raft_io_mem_init(io,
                     &(struct raft_io_mem_setup){
                         .sim = c->sim, .disk = &n->disk, .arena = &n->arena, .peers = &c->peers, .self = n->number });
    ASSERT(io->bootstrap(io, &conf) == 0);
    arena_clear(&n->arena);
}

struct cluster *cluster_create(struct sim *sim, const struct cluster_options *options)
{
    struct cluster *c = calloc(1, sizeof(*c));

    ASSERT(c != NULL && options->node_count <= RAFT_IO_MEM_NODES_MAX);
    c->sim = sim;
    c->options = *options;
    if (c->options.first_count == 0)
        c->options.first_count = options->node_count;
    c->chain = calloc(VALUES_MAX, sizeof(uint64_t));
    c->acked = calloc(VALUES_MAX, 1);
    ASSERT(c->chain != NULL && c->acked != NULL);
    net_init(&c->net, sim, options->node_count, NET_DELAY_MIN_US, NET_DELAY_MAX_US);
    c->peers.count = options->node_count;
    for (unsigned i = 0; i < options->node_count; i++) {
        struct cluster_node *n = calloc(1, sizeof(*n));
        ASSERT(n != NULL);
        c->nodes[i] = n;
        n->cluster = c;
        n->number = i;
        n->clock.offset_us = sim_between(sim, 0, 1000 * (int64_t)SIM_US_PER_S);
        n->clock.rate_ppm = (int32_t)sim_between(sim, -CLOCK_RATE_PPM_MAX, CLOCK_RATE_PPM_MAX);
        n->values = calloc(VALUES_MAX, sizeof(uint64_t));
        ASSERT(n->values != NULL);
        sim_process_init(&n->process);
        disk_init(&n->disk);
        arena_init(&n->arena);
        c->peers.list[i] = (struct raft_io_peer){ .id = i + 1, .host = i, .process = &n->process };
        snprintf(c->peers.list[i].address, sizeof(c->peers.list[i].address), "node%u", i);
    }
    for (unsigned i = 0; i < c->options.first_count; i++)
        bootstrap(c, c->nodes[i]);
    for (unsigned i = c->options.first_count; i < options->node_count; i++)
        c->nodes[i]->absent = true;
    return c;
}

void cluster_destroy(struct cluster *c)
{
    for (unsigned i = 0; i < c->options.node_count; i++) {
        if (c->nodes[i]->up)
            cluster_crash(c, i);
        disk_close(&c->nodes[i]->disk);
        free(c->nodes[i]->values);
        free(c->nodes[i]);
    }
    free(c->chain);
    free(c->acked);
    free(c);
}

static void start_plain(struct cluster_node *n)
{
    const struct cluster_options *o = &n->cluster->options;

    n->raft = raft_calloc(1, sizeof(*n->raft));
    n->fsm = (struct raft_fsm){
        .version = 2, .data = n, .apply = plain_apply, .snapshot = plain_snapshot, .restore = plain_restore
    };
    ASSERT(raft_init(n->raft, n->io, &n->fsm, cluster_id_of(n->cluster, n->number),
                     n->cluster->peers.list[n->number].address) == 0);
    raft_set_election_timeout(n->raft, o->election_ms);
    raft_set_heartbeat_timeout(n->raft, o->heartbeat_ms);
    raft_set_snapshot_threshold(n->raft, o->snapshot_threshold);
    raft_set_snapshot_trailing(n->raft, o->snapshot_trailing);
    raft_set_install_snapshot_timeout(n->raft, 1000);
    raft_set_pre_vote(n->raft, true);
    ASSERT(raft_start(n->raft) == 0);
}

static void start_rnode(struct cluster_node *n)
{
    const struct cluster_options *o = &n->cluster->options;
    struct error err = ERROR_NONE;
    struct rnode_config config = {
        .io = n->io,
        .id = cluster_id_of(n->cluster, n->number),
        .address = n->cluster->peers.list[n->number].address,
        .timing = { .heartbeat_ms = o->heartbeat_ms,
                    .election_ms = o->election_ms,
                    .install_snapshot_ms = 1000,
                    .snapshot_threshold = o->snapshot_threshold,
                    .snapshot_trailing = o->snapshot_trailing },
        .fsm = { .ctx = n,
                 .apply = rnode_apply,
                 .snapshot = rnode_snapshot,
                 .restore = rnode_restore,
                 .snapshot_bytes_max = VALUES_MAX * 8 },
        .ctx = n,
        .on_leadership = on_leadership,
        .now_us = node_now_us,
        .fatal = on_fatal,
    };

    n->rnode = rnode_create(&config, &err);
    ASSERT(n->rnode != NULL);
    if (rnode_start(n->rnode, &err) != STATUS_OK)
        sim_fail(n->cluster->sim, "node %u does not start: %s", n->number, err.text);
}

void cluster_start(struct cluster *c, unsigned node)
{
    struct cluster_node *n = c->nodes[node];

    ASSERT(!n->up && !n->absent);
    n->up = true;
    n->fatal = false;
    n->count = 0;
    n->hash = 1;
    arena_enter(&n->arena);
    n->io = raft_calloc(1, sizeof(*n->io));
    raft_io_mem_init(n->io, &(struct raft_io_mem_setup){ .sim = c->sim,
                                                         .net = &c->net,
                                                         .disk = &n->disk,
                                                         .arena = &n->arena,
                                                         .clock = &n->clock,
                                                         .peers = &c->peers,
                                                         .self = node });
    sim_note(c->sim, "node %u starts: term %" PRIu64 ", log %" PRIu64 "..%" PRIu64 ", snapshot %" PRIu64, node,
             n->disk.term, n->disk.first_index, disk_last_index(&n->disk), n->disk.snapshot.index);
    if (c->options.kind == CLUSTER_PLAIN)
        start_plain(n);
    else
        start_rnode(n);
}

void cluster_start_all(struct cluster *c)
{
    for (unsigned i = 0; i < c->options.node_count; i++)
        if (!c->nodes[i]->up && !c->nodes[i]->absent)
            cluster_start(c, i);
}

static void on_closed(void *ctx)
{
    (void)ctx;
}

void cluster_crash(struct cluster *c, unsigned node)
{
    struct cluster_node *n = c->nodes[node];

    ASSERT(n->up);
    sim_note(c->sim, "node %u crashes", node);
    arena_enter(&n->arena);
    raft_io_mem_crash(n->io);
    n->up = false;
    if (n->rnode != NULL) {
        rnode_close(n->rnode, on_closed, n);
        rnode_destroy(n->rnode);
        n->rnode = NULL;
    }
    sim_process_end(c->sim, &n->process);
    arena_clear(&n->arena);
    n->raft = NULL;
    n->io = NULL;
    c->crash_count++;
}

void cluster_pause(struct cluster *c, unsigned node)
{
    sim_note(c->sim, "node %u is paused", node);
    sim_process_pause(&c->nodes[node]->process);
}

void cluster_resume(struct cluster *c, unsigned node)
{
    sim_note(c->sim, "node %u goes on", node);
    sim_process_resume(c->sim, &c->nodes[node]->process);
}

bool cluster_up(const struct cluster *c, unsigned node)
{
    return c->nodes[node]->up;
}

bool cluster_fatal(const struct cluster *c, unsigned node)
{
    return c->nodes[node]->up && c->nodes[node]->fatal;
}

bool cluster_paused(const struct cluster *c, unsigned node)
{
    return c->nodes[node]->process.paused;
}

bool cluster_absent(const struct cluster *c, unsigned node)
{
    return c->nodes[node]->absent;
}

void cluster_leave(struct cluster *c, unsigned node)
{
    if (c->nodes[node]->up)
        cluster_crash(c, node);
    c->nodes[node]->absent = true;
}

void cluster_join(struct cluster *c, unsigned node, uint64_t id)
{
    struct cluster_node *n = c->nodes[node];

    ASSERT(n->absent && !n->up);
    sim_note(c->sim, "node %u joins as %" PRIu64, node, id);
    disk_close(&n->disk);
    disk_init(&n->disk);
    n->absent = false;
    n->count = 0;
    c->peers.list[node].id = id;
}

uint64_t cluster_id_of(const struct cluster *c, unsigned node)
{
    return c->peers.list[node].id;
}

struct rnode *cluster_rnode(struct cluster *c, unsigned node)
{
    arena_enter(&c->nodes[node]->arena);
    return c->nodes[node]->rnode;
}

static uint64_t term_of(const struct cluster_node *n)
{
    return n->rnode != NULL ? rnode_leadership(n->rnode).term : raft_current_term(n->raft);
}

bool cluster_leads(const struct cluster *c, unsigned node)
{
    const struct cluster_node *n = c->nodes[node];

    if (!n->up || n->fatal)
        return false;
    if (n->rnode != NULL)
        return rnode_leadership(n->rnode).role == RNODE_LEADER;
    return raft_state(n->raft) == RAFT_LEADER;
}

bool cluster_elected(const struct cluster *c, unsigned node)
{
    const struct cluster_node *n = c->nodes[node];

    if (!n->up || n->fatal)
        return false;
    if (n->rnode != NULL)
        return rnode_leadership(n->rnode).role >= RNODE_ELECTED;
    return raft_state(n->raft) == RAFT_LEADER;
}

unsigned cluster_leader(const struct cluster *c)
{
    unsigned leader = c->options.node_count;

    for (unsigned i = 0; i < c->options.node_count; i++)
        if (cluster_leads(c, i) && !cluster_paused(c, i) &&
            (leader == c->options.node_count || term_of(c->nodes[i]) > term_of(c->nodes[leader])))
            leader = i;
    return leader;
}

static void proposal_done(struct cluster_node *n, uint64_t value)
{
    struct cluster *c = n->cluster;

    c->acked[value] = 1;
    c->acked_count++;
    if (!cluster_has(c, n->number, value))
        sim_fail(c->sim, "value %" PRIu64 " is acknowledged by node %u, which does not have it", value, n->number);
}

static void on_plain_applied(struct raft_apply *apply, int status, void *result)
{
    struct proposal *p = (struct proposal *)apply;

    (void)result;
    if (status == 0)
        proposal_done(p->node, p->value);
    raft_free(p);
}

static void on_rnode_applied(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct proposal *p = ctx;
    uint64_t value = 0;

    (void)index;
    if (status == STATUS_OK) {
        ASSERT(length == 8);
        memcpy(&value, outcome, 8);
        if (value != p->value)
            sim_fail(p->node->cluster->sim, "the outcome of %" PRIu64 " is that of %" PRIu64, p->value, value);
        proposal_done(p->node, p->value);
    }
    free(p);
}

static bool propose_plain(struct cluster_node *n, uint64_t value)
{
    struct proposal *p = raft_calloc(1, sizeof(*p));
    struct raft_buffer buf = { .base = raft_malloc(8), .len = 8 };
    int rv;

    memcpy(buf.base, &value, 8);
    p->node = n;
    p->value = value;
    rv = raft_apply(n->raft, &p->apply, &buf, 1, on_plain_applied);
    if (rv != 0) /* the buffer's owner is not known after an error: the arena has it */
        raft_free(p);
    return rv == 0;
}

static bool propose_rnode(struct cluster_node *n, uint64_t value)
{
    struct proposal *p = calloc(1, sizeof(*p));

    ASSERT(p != NULL);
    p->node = n;
    p->value = value;
    if (rnode_propose(n->rnode, (const uint8_t *)&value, 8, on_rnode_applied, p) == STATUS_OK)
        return true;
    free(p);
    return false;
}

uint64_t cluster_propose(struct cluster *c, unsigned node)
{
    struct cluster_node *n = c->nodes[node];
    uint64_t value = c->value_count + 1;

    ASSERT(n->up && value < VALUES_MAX);
    arena_enter(&n->arena);
    if (!(n->rnode != NULL ? propose_rnode(n, value) : propose_plain(n, value)))
        return 0;
    c->value_count = value;
    return value;
}

uint64_t cluster_applied_count(const struct cluster *c, unsigned node)
{
    return c->nodes[node]->count;
}

bool cluster_has(const struct cluster *c, unsigned node, uint64_t value)
{
    const struct cluster_node *n = c->nodes[node];

    for (uint64_t i = n->count; i > 0; i--)
        if (n->values[i - 1] == value)
            return true;
    return false;
}

struct disk *cluster_disk(struct cluster *c, unsigned node)
{
    return &c->nodes[node]->disk;
}

struct raft_io *cluster_io(struct cluster *c, unsigned node)
{
    return c->nodes[node]->io;
}

bool cluster_run_until_leads(struct cluster *c, unsigned node, int64_t limit_us)
{
    int64_t end_us = c->sim->now_us + limit_us;

    while (c->sim->now_us < end_us && !c->sim->failed && !cluster_leads(c, node))
        sim_run(c->sim, 10 * SIM_US_PER_MS);
    return cluster_leads(c, node);
}

unsigned cluster_run_until_leader(struct cluster *c, int64_t limit_us)
{
    int64_t end_us = c->sim->now_us + limit_us;

    while (c->sim->now_us < end_us && !c->sim->failed && cluster_leader(c) == c->options.node_count)
        sim_run(c->sim, 10 * SIM_US_PER_MS);
    return cluster_leader(c);
}

void cluster_check_converged(struct cluster *c)
{
    uint8_t *seen = calloc(VALUES_MAX, 1);
    const struct cluster_node *first = c->nodes[0];

    for (unsigned i = 0; i < c->options.node_count && first->absent; i++)
        first = c->nodes[i];
    ASSERT(seen != NULL);
    for (unsigned i = 0; i < c->options.node_count; i++)
        if (!c->nodes[i]->absent && c->nodes[i]->count != c->highest_count)
            sim_fail(c->sim, "node %u has %" PRIu64 " of %" PRIu64 " values", i, c->nodes[i]->count, c->highest_count);
    for (uint64_t i = 0; i < first->count; i++)
        seen[first->values[i]]++;
    for (uint64_t value = 1; value <= c->value_count; value++) {
        if (c->acked[value] && seen[value] == 0)
            sim_fail(c->sim, "value %" PRIu64 " was acknowledged and is lost", value);
        if (seen[value] > 1)
            sim_fail(c->sim, "value %" PRIu64 " was applied %u times", value, seen[value]);
    }
    free(seen);
}
