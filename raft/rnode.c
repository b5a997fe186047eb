#include "raft/rnode_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "raft/member_list.h"

#include <stdlib.h>
#include <string.h>

#define INSTALL_SNAPSHOT_MS 5000
#define SNAPSHOT_THRESHOLD 1024
#define SNAPSHOT_TRAILING 8192

const char *rnode_role_word(enum rnode_role role)
{
    static const char *const words[] = { [RNODE_FOLLOWER] = "follower",
                                         [RNODE_CANDIDATE] = "candidate",
                                         [RNODE_ELECTED] = "elected",
                                         [RNODE_LEADER] = "leader" };
    return (size_t)role < sizeof words / sizeof words[0] ? words[role] : "?";
}

static bool raft_leads(const struct rnode *node)
{
    return (int)raft_state((struct raft *)&node->raft) == RAFT_LEADER;
}

static struct rnode_leadership leadership_now(struct rnode *node)
{
    struct rnode_leadership now = { .role = RNODE_FOLLOWER, .term = node->raft.current_term };
    raft_id leader = 0;
    const char *address = NULL;
    int state = (int)raft_state(&node->raft);
    if (state == RAFT_LEADER)
        now.role = node->barrier_committed_term == now.term ? RNODE_LEADER : RNODE_ELECTED;
    else if (state == RAFT_CANDIDATE)
        now.role = RNODE_CANDIDATE;
    raft_leader(&node->raft, &leader, &address);
    if (state != RAFT_LEADER || now.role == RNODE_LEADER)
        now.leader = leader;
    return now;
}

/* An empty entry. False: not now (a transfer runs, or disks are full), or never more. */
static bool barrier_submit(struct rnode *node, raft_barrier_cb released, uint64_t *index)
{
    struct raft_barrier *request = calloc(1, sizeof *request);
    if (request == NULL)
        return false;
    request->data = node;
    int rv = raft_barrier(&node->raft, request, released);
    if (rv == 0) {
        *index = request->index;
        return true;
    }
    free(request);
    if (rv != RAFT_NOTLEADER && rv != RAFT_LEADERSHIPLOST && rv != RAFT_NOSPACE)
        io_guard_fail(&node->guard, "proposing an empty entry failed: %s: %s", raft_strerror(rv),
                      raft_errmsg(&node->raft));
    return false;
}

static void on_barrier_released(struct raft_barrier *request, int status)
{
    (void)status; /* at_rest has seen it applied, or this node does not lead that term any more */
    free(request);
}

/* An entry of the new term at once: without one, libraft 0.15 commits old entries by counting, which loses them, and in any version
 * nobody knows yet what of the log is committed. When it is refused, the next tick tries again. */
static void barrier_begin(struct rnode *node)
{
    if (barrier_submit(node, on_barrier_released, &node->barrier_index))
        node->barrier_sent_term = node->raft.current_term;
}

static void on_nudged(struct raft_barrier *request, int status)
{
    struct rnode *node = request->data;
    (void)status; /* committed or not: its sending was its purpose */
    node->nudging = false;
    free(request);
}

void rnode_nudge(struct rnode *node)
{
    uint64_t index;
    ASSERT(!node->in_fsm);
    if (node->closing || node->nudging || node->guard.dead || !raft_leads(node))
        return;
    node->nudging = true;
    if (!barrier_submit(node, on_nudged, &index))
        node->nudging = false; /* the heartbeat does the same, later */
}

static void publish(struct rnode *node)
{
    struct rnode_leadership now = leadership_now(node);
    if (now.role == node->published.role && now.term == node->published.term && now.leader == node->published.leader)
        return;
    if (now.role == RNODE_LEADER)
        node->counters.terms_led++;
    node->published = now;
    node->config.on_leadership(node->config.ctx, &now);
}

/* The only place that looks at what libraft has become, after each of its turns. */
static void at_rest(void *ctx)
{
    struct rnode *node = ctx;
    if (!node->started || node->closing)
        return;
    uint64_t term = node->raft.current_term;
    if (raft_leads(node) && node->barrier_sent_term != term)
        barrier_begin(node);
    /* Whoever leads a term wrote all entries of that term itself, so what stands at that index is this barrier. */
    if (raft_leads(node) && node->barrier_sent_term == term && raft_last_applied(&node->raft) >= node->barrier_index)
        node->barrier_committed_term = term;
    rnode_members_at_rest(node);
    if (!node->guard.dead)
        publish(node);
    rnode_proposals_lose(node, raft_leads(node), node->raft.current_term);
    if (!node->guard.dead && !node->closing)
        rnode_proposals_finish(node);
}

static void on_tick(void *ctx)
{
    struct rnode *node = ctx;
    if (node->config.on_tick != NULL && !node->closing)
        node->config.on_tick(node->config.ctx);
}

/* Our log does not take writes: stop leading before anybody has to elect against us. */
static void on_stalled(void *ctx)
{
    struct rnode *node = ctx;
    if (raft_leads(node))
        rnode_transfer(node, 0, NULL);
}

static int64_t now_us(void *ctx)
{
    struct rnode *node = ctx;
    return node->config.now_us(node->config.ctx);
}

static void on_fatal(void *ctx, const char *reason)
{
    struct rnode *node = ctx;
    node->config.fatal(node->config.ctx, reason);
}

static void on_forgot(void *ctx, node_id id, uint64_t acknowledged, uint64_t has)
{
    struct rnode *node = ctx;
    node->config.on_forgot(node->config.ctx, id, acknowledged, has);
}

static void on_withheld(void *ctx, node_id candidate)
{
    struct rnode *node = ctx;
    if (node->config.on_withheld != NULL)
        node->config.on_withheld(node->config.ctx, candidate);
}

static void configure(struct rnode *node)
{
    struct rnode_timing *t = &node->config.timing;
    if (t->install_snapshot_ms == 0)
        t->install_snapshot_ms = INSTALL_SNAPSHOT_MS;
    if (t->snapshot_threshold == 0)
        t->snapshot_threshold = SNAPSHOT_THRESHOLD;
    if (t->snapshot_trailing ==
        0) /* never 0 for libraft: the guard tells its own snapshots from installed ones by it */
        t->snapshot_trailing = SNAPSHOT_TRAILING;
    raft_set_heartbeat_timeout(&node->raft, t->heartbeat_ms);
    raft_set_election_timeout(&node->raft, t->election_ms);
    raft_set_install_snapshot_timeout(&node->raft, t->install_snapshot_ms);
    raft_set_snapshot_threshold(&node->raft, t->snapshot_threshold);
    raft_set_snapshot_trailing(&node->raft, t->snapshot_trailing);
    raft_set_pre_vote(&node->raft, true);
}

struct rnode *rnode_create(const struct rnode_config *config, struct error *err)
{
    ASSERT(config->on_leadership != NULL && config->fatal != NULL && config->now_us != NULL);
    ASSERT(config->fsm.apply != NULL && config->fsm.snapshot != NULL && config->fsm.restore != NULL);
    if (config->id == 0 || strlen(config->address) >= ADDRESS_MAX_BYTES) {
        error_set(err, STATUS_INVALID, "a node needs an id that is not 0 and an address below %d bytes",
                  ADDRESS_MAX_BYTES);
        return NULL;
    }
    if (config->timing.heartbeat_ms == 0 || config->timing.heartbeat_ms >= config->timing.election_ms) {
        error_set(err, STATUS_INVALID, "heartbeat %u ms must be above 0 and below the election timeout %u ms",
                  config->timing.heartbeat_ms, config->timing.election_ms);
        return NULL;
    }
    struct rnode *node = calloc(1, sizeof *node);
    if (node == NULL) {
        error_set(err, STATUS_FAILED, "out of memory");
        return NULL;
    }
    node->config = *config;
    rnode_fsm_init(node);
    struct io_guard_config guard = { .inner = config->io,
                                     .raft = &node->raft,
                                     .heartbeat_ms = config->timing.heartbeat_ms,
                                     .election_ms = config->timing.election_ms,
                                     .ctx = node,
                                     .after = at_rest,
                                     .ticked = on_tick,
                                     .stalled = on_stalled,
                                     .fatal = on_fatal,
                                     .now_us = now_us,
                                     .receipt_ctx = config->ctx,
                                     .forgot = config->on_forgot != NULL ? on_forgot : NULL,
                                     .withheld = on_withheld };
    if (config->receipt != NULL)
        guard.receipt = *config->receipt;
    io_guard_init(&node->guard, &guard);
    int rv = raft_init(&node->raft, &node->guard.outer, &node->fsm, config->id, config->address);
    if (rv != 0) {
        error_set(err, STATUS_FAILED, "raft: %s: %s", raft_strerror(rv), config->io->errmsg);
        free(node);
        return NULL;
    }
    configure(node);
    return node;
}

enum status rnode_start(struct rnode *node, struct error *err)
{
    int rv = raft_start(&node->raft);
    if (rv != 0)
        return error_set(err, STATUS_FAILED, "the Raft log cannot be started from: %s: %s", raft_strerror(rv),
                         raft_errmsg(&node->raft));
    if (node->guard.dead)
        return error_set(err, STATUS_FAILED, "the Raft log cannot be started from");
    node->started = true;
    at_rest(node); /* a cluster of one elects itself in raft_start */
    return STATUS_OK;
}

static void on_raft_closed(struct raft *raft)
{
    struct rnode *node = raft->data;
    rnode_proposals_finish(node);
    node->closed = true;
    node->closed_cb(node->closed_ctx);
}

void rnode_close(struct rnode *node, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!node->in_fsm && !node->closing);
    node->closing = true;
    node->closed_cb = closed;
    node->closed_ctx = ctx;
    node->raft.data = node;
    raft_close(&node->raft, on_raft_closed);
}

void rnode_destroy(struct rnode *node)
{
    if (node == NULL)
        return;
    ASSERT(node->closed);
    free(node);
}

struct rnode_leadership rnode_leadership(const struct rnode *node)
{
    return node->published;
}

bool rnode_leads(const struct rnode *node, uint64_t term)
{
    return node->published.role == RNODE_LEADER && node->published.term == term && node->raft.current_term == term &&
           raft_leads(node) && !node->guard.dead && !node->closing;
}

uint64_t rnode_applied_index(const struct rnode *node)
{
    return node->applied_index;
}

uint64_t rnode_commit_index(const struct rnode *node)
{
    return node->raft.commit_index;
}

uint64_t rnode_last_index(const struct rnode *node)
{
    return raft_last_index((struct raft *)&node->raft);
}

struct rnode_counters rnode_counters(const struct rnode *node)
{
    struct rnode_counters counters = node->counters;
    counters.install_snapshots_dropped = node->guard.install_snapshots_dropped;
    return counters;
}

static void on_transferred(struct raft_transfer *request)
{
    struct rnode *node = request->data;
    node->transferring = false;
}

enum status rnode_transfer(struct rnode *node, node_id target, struct error *err)
{
    ASSERT(!node->in_fsm);
    if (!raft_leads(node) || node->guard.dead || node->closing)
        return error_set(err, STATUS_REFUSED, "this node does not lead");
    if (node->transferring)
        return error_set(err, STATUS_REFUSED, "leadership is already being handed over");
    struct raft_transfer *request = &node->transfers[node->transfer_next];
    memset(request, 0, sizeof *request);
    request->data = node;
    node->transferring = true;
    int rv = raft_transfer(&node->raft, request, target, on_transferred);
    if (rv != 0) {
        node->transferring = false;
        return error_set(err, STATUS_REFUSED, "leadership cannot go to node %llu: %s", (unsigned long long)target,
                         raft_strerror(rv));
    }
    node->transfer_next = (node->transfer_next + 1) % RNODE_TRANSFERS_KEPT;
    return STATUS_OK;
}

size_t rnode_members(const struct rnode *node, struct rnode_member *out, size_t capacity)
{
    return member_list_from(&node->raft.configuration, out, capacity);
}

const char *rnode_address(const struct rnode *node, node_id id)
{
    const struct raft_configuration *c = &node->raft.configuration;
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return c->servers[i].address;
    return NULL;
}

int64_t rnode_last_heard_us(const struct rnode *node, node_id id)
{
    return io_guard_last_heard_us(&node->guard, id);
}
