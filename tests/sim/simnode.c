/* Life of a node, its timers, its submissions and its messages. */
#include "tests/sim/simnode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"

#define TICK_US (50 * SIM_US_PER_MS)
#define WALL_BASE_MS INT64_C(1700000000000)
#define WALL_SKEW_MS 2000    /* wall clocks are never trusted, so they may be wrong */
#define MESSAGE_HEAD_BYTES 2 /* type, sender */

int64_t simnode_now_us(const struct simnode *n)
{
    return sim_clock_now_us(n->world->sim, &n->clock);
}

int64_t simnode_wall_ms(const struct simnode *n)
{
    return WALL_BASE_MS + n->wall_jump_ms + n->world->sim->now_us / SIM_US_PER_MS +
           (int64_t)(n->id * 7919 % (2 * WALL_SKEW_MS)) - WALL_SKEW_MS;
}

struct server *simnode_server(const struct simnode *n, service_id service)
{
    return n->has_servers ? &n->world->services[service].servers[n->site] : NULL;
}

static int64_t ctx_now_us(void *ctx)
{
    return simnode_now_us(ctx);
}

bool simnode_leads(const struct simnode *n)
{
    return n->up && !n->fatal && rnode_leadership(n->rnode).role == RNODE_LEADER;
}

void simnode_set_name(const struct simnode *n, struct command *c)
{
    text_set(c->who, sizeof c->who, "node %u", n->number);
}

/* --- messages --- */

static void on_message(void *receiver, unsigned from, const void *data, size_t size_bytes)
{
    struct simnode *n = receiver;
    const uint8_t *bytes = data;
    node_id sender = bytes[1];

    (void)from; /* two nodes may share a host */
    ASSERT(size_bytes >= MESSAGE_HEAD_BYTES);
    if (!n->up || n->fatal)
        return;
    arena_enter(&n->arena);
    if (bytes[0] == MESSAGE_BEAT)
        leader_heard(&n->leader, n->state, sender,
                     size_bytes > MESSAGE_HEAD_BYTES + 1 && bytes[MESSAGE_HEAD_BYTES + 1] == 1);
    else if (bytes[0] > MESSAGE_BEAT)
        simnode_promise_receive(n, sender, bytes[0], bytes + MESSAGE_HEAD_BYTES, size_bytes - MESSAGE_HEAD_BYTES);
    else
        forward_receive(n->forward, sender, bytes[0], bytes + MESSAGE_HEAD_BYTES, size_bytes - MESSAGE_HEAD_BYTES);
}

static enum status link_send(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    static uint8_t buffer[MESSAGE_MAX_BYTES + MESSAGE_HEAD_BYTES];
    struct simnode *n = ctx;
    struct simnode *peer;

    if (to == 0 || to > n->world->options.node_count || length > MESSAGE_MAX_BYTES)
        return STATUS_UNREACHABLE;
    peer = n->world->nodes[to - 1];
    if (!peer->up)
        return STATUS_UNREACHABLE;
    buffer[0] = type;
    buffer[1] = (uint8_t)n->id;
    memcpy(buffer + MESSAGE_HEAD_BYTES, bytes, length);
    return net_send(&n->world->net, n->host, peer->host, &peer->process, on_message, peer, buffer,
                    length + MESSAGE_HEAD_BYTES)
               ? STATUS_OK
               : STATUS_UNREACHABLE;
}

void simnode_send(struct simnode *n, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    (void)link_send(n, to, type, bytes, length);
}

/* --- submissions --- */

struct submission {
    struct simnode *node;
    simnode_submitted done;
    void *ctx;
    enum status status;
};

static void on_forwarded(void *ctx, enum status status, uint64_t index, const uint8_t *bytes, size_t length)
{
    struct submission *sub = ctx;
    struct outcome outcome;

    (void)index;
    if (status == STATUS_OK && outcome_decode(&outcome, bytes, length) != STATUS_OK)
        status = STATUS_UNKNOWN;
    if (sub->node->up)
        sub->done(sub->node, sub->ctx, status, status == STATUS_OK ? &outcome : NULL);
    free(sub);
}

static void on_unsent(void *ctx)
{
    struct submission *sub = ctx;

    arena_enter(&sub->node->arena);
    sub->done(sub->node, sub->ctx, sub->status, NULL);
    free(sub);
}

void simnode_submit(struct simnode *n, const struct command *c, unsigned deadline_ms, simnode_submitted done, void *ctx)
{
    static uint8_t entry[ENTRY_MAX_BYTES];
    struct submission *sub = malloc(sizeof(*sub));
    size_t length = 0;

    ASSERT(sub != NULL);
    *sub = (struct submission){ .node = n, .done = done, .ctx = ctx };
    arena_enter(&n->arena);
    sub->status = command_encode(c, n->state->cluster_version, entry, RNODE_PAYLOAD_MAX_BYTES, &length);
    if (sub->status == STATUS_OK)
        sub->status = forward_submit(n->forward, entry, length, deadline_ms, on_forwarded, sub);
    if (sub->status != STATUS_OK)
        sim_after(n->world->sim, 0, &n->process, on_unsent, free, sub);
}

static enum status admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity)
{
    (void)from;
    (void)capacity;
    return command_stamp(bytes, *length, simnode_stamp_ms(ctx));
}

/* --- timers --- */

static void on_wake(void *ctx)
{
    struct simnode *n = ctx;

    n->wake_due = false;
    if (n->fatal)
        return;
    arena_enter(&n->arena);
    simnode_lease_tick(n);
    simnode_promise_tick(n);
    if (simnode_acts(n))
        simnode_steps_on_state(n);
    simnode_drive(n);
}

void simnode_wake(struct simnode *n)
{
    if (n->wake_due)
        return;
    n->wake_due = true;
    sim_after(n->world->sim, 0, &n->process, on_wake, NULL, n);
}

static void on_tick_after_poll(void *ctx)
{
    struct simnode *n = ctx;

    if (n->fatal)
        return;
    arena_enter(&n->arena);
    simnode_leader_tick(n);
    simnode_lease_tick(n);
    simnode_promise_tick(n);
    if (simnode_acts(n))
        simnode_steps_on_state(n);
}

static void on_tick(void *ctx)
{
    struct simnode *n = ctx;

    sim_after(n->world->sim, sim_clock_span_us(&n->clock, TICK_US), &n->process, on_tick, NULL, n);
    sim_after(n->world->sim, 0, &n->process, on_tick_after_poll, NULL, n);
}

static int64_t beat_us(const struct simnode *n)
{
    return (int64_t)n->world->options.timing.probe_interval_ms * SIM_US_PER_MS;
}

static void on_beat(void *ctx)
{
    struct simnode *n = ctx;
    struct rnode_leadership now = rnode_leadership(n->rnode);
    uint8_t beat[2] = { 1, n->warm ? 1 : 0 };

    sim_after(n->world->sim, sim_clock_span_us(&n->clock, beat_us(n)), &n->process, on_beat, NULL, n);
    if (n->fatal)
        return;
    arena_enter(&n->arena);
    if (now.leader != 0 && now.leader != n->id)
        (void)link_send(n, now.leader, MESSAGE_BEAT, beat, sizeof beat);
    simnode_report(n);
}

static void on_raft_tick(void *ctx)
{
    struct simnode *n = ctx;

    forward_tick(n->forward);
}

static void on_fatal(void *ctx, const char *reason)
{
    struct simnode *n = ctx;

    sim_note(n->world->sim, "node %u fatal: %s", n->number, reason);
    n->fatal = true;
}

/* --- life --- */

static void bootstrap(struct simnode *n)
{
    struct world *w = n->world;
    struct raft_configuration conf;
    struct raft_io *io;

    arena_enter(&n->arena);
    raft_configuration_init(&conf);
    for (unsigned i = 0; i < w->peers.count; i++)
        ASSERT(raft_configuration_add(&conf, w->peers.list[i].id, w->peers.list[i].address, RAFT_VOTER) == 0);
    io = raft_calloc(1, sizeof(*io));
    raft_io_mem_init(io,
                     &(struct raft_io_mem_setup){
                         .sim = w->sim, .disk = &n->disk, .arena = &n->arena, .peers = &w->peers, .self = n->number });
    ASSERT(io->bootstrap(io, &conf) == 0);
    arena_clear(&n->arena);
}

struct simnode *simnode_create(struct world *w, unsigned number, site_id site, unsigned host)
{
    struct simnode *n = calloc(1, sizeof(*n));

    ASSERT(n != NULL);
    n->world = w;
    n->number = number;
    n->id = number + 1;
    n->site = site;
    n->host = host;
    n->has_servers = site < w->server_count;
    n->state = calloc(1, sizeof(struct state));
    n->spare = calloc(1, sizeof(struct state));
    ASSERT(n->state != NULL && n->spare != NULL);
    n->clock.offset_us = sim_between(w->sim, 1, 1000 * (int64_t)SIM_US_PER_S);
    n->clock.rate_ppm = world_draw_ppm(w);
    sim_process_init(&n->process);
    disk_init(&n->disk);
    arena_init(&n->arena);
    n->link = (struct message_link){ .ctx = n, .send = link_send };
    w->peers.list[number] = (struct raft_io_peer){ .id = n->id, .host = host, .process = &n->process };
    snprintf(w->peers.list[number].address, sizeof(w->peers.list[number].address), "node%u", number);
    w->peers.count = number + 1;
    return n;
}

void simnode_destroy(struct simnode *n)
{
    if (n->up)
        simnode_crash(n);
    disk_close(&n->disk);
    free(n->state);
    free(n->spare);
    free(n);
}

static void start_raft(struct simnode *n)
{
    struct world *w = n->world;
    struct raft_timing timing = raft_timing_of(w->options.profile);
    struct error err = ERROR_NONE;

    n->io = raft_calloc(1, sizeof(*n->io));
    raft_io_mem_init(n->io, &(struct raft_io_mem_setup){ .sim = w->sim,
                                                         .net = &w->net,
                                                         .disk = &n->disk,
                                                         .arena = &n->arena,
                                                         .clock = &n->clock,
                                                         .peers = &w->peers,
                                                         .self = n->number });
    n->rnode = rnode_create(&(struct rnode_config){ .io = n->io,
                                                    .id = n->id,
                                                    .address = w->peers.list[n->number].address,
                                                    .timing = { .heartbeat_ms = timing.heartbeat_ms,
                                                                .election_ms = timing.election_ms,
                                                                .install_snapshot_ms = 1000,
                                                                .snapshot_threshold = w->options.snapshot_threshold,
                                                                .snapshot_trailing = w->options.snapshot_trailing },
                                                    .fsm = simnode_fsm(n),
                                                    .ctx = n,
                                                    .on_leadership = simnode_on_leadership,
                                                    .on_tick = on_raft_tick,
                                                    .now_us = ctx_now_us,
                                                    .fatal = on_fatal },
                            &err);
    ASSERT(n->rnode != NULL);
    n->forward = forward_create(&(struct forward_config){
        .node = n->rnode, .id = n->id, .link = &n->link, .ctx = n, .now_us = ctx_now_us, .admit = admit });
    ASSERT(n->forward != NULL);
    if (rnode_start(n->rnode, &err) != STATUS_OK)
        sim_fail(w->sim, "node %u does not start: %s", n->number, err.text);
}

void simnode_start(struct simnode *n)
{
    ASSERT(!n->up);
    if (n->wiped)
        return;
    if (n->disk.term == 0)
        bootstrap(n);
    sim_note(n->world->sim, "node %u starts", n->number);
    n->up = true;
    n->fatal = false;
    n->initialising = false;
    n->starting = false;
    n->acts_from = 0;
    n->wake_due = false;
    n->leader_known_us = -1;
    n->contact_term = 0;
    n->warm = false;
    n->transferred_us = INT64_MIN / 2;
    state_init(n->state);
    leader_init(&n->leader, n->id, n->world->options.timing.probe_interval_ms, TICK_US / SIM_US_PER_MS);
    arena_enter(&n->arena);
    simnode_steps_start(n);
    simnode_watch_start(n);
    simnode_lease_start(n);
    simnode_promise_start(n);
    start_raft(n);
    sim_after(n->world->sim, sim_between(n->world->sim, 0, TICK_US), &n->process, on_tick, NULL, n);
    sim_after(n->world->sim, sim_between(n->world->sim, 0, beat_us(n)), &n->process, on_beat, NULL, n);
}

static void on_closed(void *ctx)
{
    (void)ctx;
}

void simnode_crash(struct simnode *n)
{
    ASSERT(n->up);
    sim_note(n->world->sim, "node %u crashes", n->number);
    arena_enter(&n->arena);
    n->up = false;
    raft_io_mem_crash(n->io);
    forward_destroy(n->forward);
    rnode_close(n->rnode, on_closed, n);
    rnode_destroy(n->rnode);
    sim_process_end(n->world->sim, &n->process);
    arena_clear(&n->arena);
    n->rnode = NULL;
    n->forward = NULL;
    n->io = NULL;
}

void simnode_wipe(struct simnode *n)
{
    sim_note(n->world->sim, "node %u loses its data directory", n->number);
    if (n->up)
        simnode_crash(n);
    n->wiped = true;
    disk_close(&n->disk);
}

void simnode_pause(struct simnode *n)
{
    sim_note(n->world->sim, "node %u is paused", n->number);
    sim_process_pause(&n->process);
}

void simnode_resume(struct simnode *n)
{
    sim_note(n->world->sim, "node %u goes on", n->number);
    sim_process_resume(n->world->sim, &n->process);
}
