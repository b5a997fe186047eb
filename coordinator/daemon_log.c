/* The log's side of a node. Happy path: submit -> (forward) -> admit stamps the leader's time -> the log -> apply on every node ->
 * the outcome comes back to the submitter. An entry that cannot be decoded ends the process: to skip it would be to diverge. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"

#define PROPOSAL_DEADLINE_MS 10000u
#define COLD_US_MIN (10 * INT64_C(1000000))
#define PATIENCE_US (3 * INT64_C(1000000))
#define TRANSFER_PAUSE_US (5 * INT64_C(1000000))

/* Entries that another node is waited for. */
static bool concerns_another(const struct command *c)
{
    return c->kind == COMMAND_STEP_ASSIGN || c->kind == COMMAND_PROMOTE || c->kind == COMMAND_GRANT;
}

/* The cluster's events, in the log of the node that leads: one place to read what was decided, and why. */
static void log_events(struct daemon *d)
{
    const struct state *s = d->state;

    for (uint64_t n = d->events_seen + 1; d->leader.leading && n <= s->events.last_number; n++) {
        const struct event *e = event_get(s, n);

        if (e == NULL)
            continue; /* the ring has moved on */
        if (e->service < SERVICES_MAX)
            log_event(e->kind == EVENT_ALARM ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "cluster",
                      "kind=%s service=%s index=%" PRIu64 " text=%s", event_kind_word(e->kind),
                      s->services[e->service].config.name, e->index, e->text);
        else
            log_event(e->kind == EVENT_ALARM ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "cluster",
                      "kind=%s index=%" PRIu64 " text=%s", event_kind_word(e->kind), e->index, e->text);
    }
    d->events_seen = s->events.last_number;
}

static size_t apply(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length, uint8_t *out)
{
    struct daemon *d = ctx;
    struct error err = ERROR_NONE;
    struct outcome outcome;
    size_t used = 0;

    (void)term;
    if (command_decode(d->applying, bytes, length, &err) != STATUS_OK) {
        log_event(LOG_LEVEL_ERROR, "entry_unreadable", "index=%" PRIu64 " error=%s fix=%s", index, err.text,
                  "this coordd is older than the one that wrote it: upgrade it");
        _exit(DAEMON_EXIT_FATAL);
    }
    fsm_apply(d->state, index, d->applying, &outcome);
    if (state_check(d->state, &err) != STATUS_OK) {
        log_event(LOG_LEVEL_ERROR, "invariant_broken", "index=%" PRIu64 " command=%s error=%s", index,
                  command_word(d->applying->kind), err.text);
        abort();
    }
    leader_applied(&d->leader, d->state);
    log_events(d);
    d->nudge = d->nudge || (d->leader.leading && concerns_another(d->applying));
    (void)uv_async_send(&d->wake);
    if (outcome_encode(&outcome, out, COMMAND_OUTCOME_MAX_BYTES, &used) != STATUS_OK)
        return 0;
    return used;
}

static enum status snapshot(void *ctx, uint8_t *out, size_t capacity, size_t *used)
{
    struct daemon *d = ctx;

    return snapshot_encode(d->state, out, capacity, used);
}

static enum status restore(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length)
{
    struct daemon *d = ctx;
    struct state *previous = d->state;
    struct error err = ERROR_NONE;

    (void)term;
    if (snapshot_decode(d->spare, bytes, length, &err) != STATUS_OK) {
        log_event(LOG_LEVEL_ERROR, "snapshot_unreadable", "index=%" PRIu64 " error=%s", index, err.text);
        return STATUS_CORRUPT;
    }
    d->state = d->spare;
    d->spare = previous;
    d->events_seen = d->state->events.last_number;
    leader_applied(&d->leader, d->state);
    (void)uv_async_send(&d->wake);
    return STATUS_OK;
}

struct rnode_fsm daemon_fsm(struct daemon *d)
{
    return (struct rnode_fsm){
        .ctx = d, .apply = apply, .snapshot = snapshot, .restore = restore, .snapshot_bytes_max = SNAPSHOT_MAX_BYTES
    };
}

static int64_t stamp_ms(struct daemon *d)
{
    return leader_stamp_ms(&d->leader, d->state, clock_wall_ms(), clock_now_us());
}

enum status daemon_admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity)
{
    (void)from;
    (void)capacity;
    if (daemon_recovery_due(ctx) && (*length < 2 || bytes[1] != COMMAND_RECOVER))
        return STATUS_NO_LEADER;
    return command_stamp(bytes, *length, stamp_ms(ctx));
}

/* --- submissions --- */

struct submission {
    daemon_submitted done;
    void *ctx;
};

static void on_forwarded(void *ctx, enum status status, uint64_t index, const uint8_t *bytes, size_t length)
{
    struct submission *sub = ctx;
    struct outcome outcome;

    (void)index;
    if (status == STATUS_OK && outcome_decode(&outcome, bytes, length) != STATUS_OK)
        status = STATUS_UNKNOWN; /* it was applied; what came of it is in the state */
    sub->done(sub->ctx, status, status == STATUS_OK ? &outcome : NULL);
    free(sub);
}

static void unsent(struct daemon *d, enum status status, daemon_submitted done, void *ctx)
{
    struct daemon_unsent *u = malloc(sizeof *u);

    ASSERT(u != NULL);
    *u = (struct daemon_unsent){ .next = d->unsent, .status = status, .done = done, .ctx = ctx };
    d->unsent = u;
    (void)uv_async_send(&d->wake);
}

void daemon_flush_unsent(struct daemon *d)
{
    struct daemon_unsent *list = d->unsent;

    d->unsent = NULL; /* what `done` submits anew waits for the next turn */
    while (list != NULL) {
        struct daemon_unsent *u = list;

        list = u->next;
        u->done(u->ctx, u->status, NULL);
        free(u);
    }
}

void daemon_submit(struct daemon *d, const struct command *c, unsigned deadline_ms, daemon_submitted done, void *ctx)
{
    struct submission *sub;
    size_t length = 0;
    enum status status = d->closing
                             ? STATUS_CANCELED
                             : command_encode(c, d->state->cluster_version, d->entry, RNODE_PAYLOAD_MAX_BYTES, &length);

    if (status == STATUS_OK) {
        sub = malloc(sizeof *sub);
        ASSERT(sub != NULL);
        *sub = (struct submission){ .done = done, .ctx = ctx };
        status = forward_submit(node_uv_forward(d->node), d->entry, length, deadline_ms, on_forwarded, sub);
        if (status == STATUS_OK)
            return;
        free(sub);
    }
    unsent(d, status, done, ctx);
}

/* A person's command waits for a leader: one is replaced within an election, and nothing has been done until then. */
struct daemon_patient {
    struct daemon_patient *next;
    struct daemon *daemon;
    int64_t until_us;
    unsigned deadline_ms;
    daemon_submitted done;
    void *ctx;
    size_t length;
    uint8_t bytes[];
};

static void on_patient_forwarded(void *ctx, enum status status, uint64_t index, const uint8_t *bytes, size_t length);

static void patient_send(struct daemon_patient *p)
{
    struct daemon *d = p->daemon;
    enum status status = d->closing ? STATUS_CANCELED
                                    : forward_submit(node_uv_forward(d->node), p->bytes, p->length, p->deadline_ms,
                                                     on_patient_forwarded, p);

    if (status != STATUS_OK)
        on_patient_forwarded(p, status, 0, NULL, 0);
}

static void on_patient_forwarded(void *ctx, enum status status, uint64_t index, const uint8_t *bytes, size_t length)
{
    struct daemon_patient *p = ctx;
    struct daemon *d = p->daemon;
    bool untouched = status == STATUS_NO_LEADER || status == STATUS_UNREACHABLE; /* surely not in the log */
    struct submission *sub;

    if (untouched && !d->closing && clock_now_us() < p->until_us) {
        p->next = d->patient;
        d->patient = p;
        return;
    }
    sub = malloc(sizeof *sub);
    ASSERT(sub != NULL);
    *sub = (struct submission){ .done = p->done, .ctx = p->ctx };
    free(p);
    on_forwarded(sub, status, index, bytes, length);
}

void daemon_retry_patient(struct daemon *d)
{
    struct daemon_patient *list = d->patient;

    d->patient = NULL;
    while (list != NULL) {
        struct daemon_patient *p = list;

        list = p->next;
        patient_send(p);
    }
}

void daemon_submit_patiently(struct daemon *d, const struct command *c, unsigned deadline_ms, daemon_submitted done,
                             void *ctx)
{
    size_t length = 0;
    enum status status = command_encode(c, d->state->cluster_version, d->entry, RNODE_PAYLOAD_MAX_BYTES, &length);
    struct daemon_patient *p;

    if (status != STATUS_OK) {
        unsent(d, status, done, ctx);
        return;
    }
    p = malloc(sizeof *p + length);
    ASSERT(p != NULL);
    *p = (struct daemon_patient){ .next = d->patient,
                                  .daemon = d,
                                  .until_us = clock_now_us() + PATIENCE_US,
                                  .deadline_ms = deadline_ms,
                                  .done = done,
                                  .ctx = ctx,
                                  .length = length };
    memcpy(p->bytes, d->entry, length);
    d->patient = p; /* sent from the loop: `done` never fires from inside */
    (void)uv_async_send(&d->wake);
}

/* --- leadership --- */

static int64_t cold_after_us(const struct state *s)
{
    int64_t most_us = COLD_US_MIN;

    for (unsigned i = 0; i < SERVICES_MAX; i++)
        if (s->services[i].present && lease_count_us(s->services[i].config.timing.ttl_ms, s->drift_ppm) > most_us)
            most_us = lease_count_us(s->services[i].config.timing.ttl_ms, s->drift_ppm);
    return most_us;
}

void daemon_on_leadership(void *ctx, const struct rnode_leadership *now)
{
    struct daemon *d = ctx;
    int64_t now_us = clock_now_us();
    bool cold = d->leader_known_us < 0 || now_us - d->leader_known_us > cold_after_us(d->state);

    if (d->closing)
        return; /* whoever leads now is somebody else's concern */
    if (now->leader != 0 && now->term != d->contact_term) {
        d->contact_term = now->term;
        d->warm = !cold;
    }
    if (now->role == RNODE_LEADER && !(d->leader.leading && d->leader.term == now->term)) {
        leader_begin(&d->leader, now->term, cold, now_us);
        log_event(LOG_LEVEL_INFO, "leader_begins", "node=%s term=%" PRIu64 " cold=%d", daemon_name(d), now->term, cold);
    } else if (now->role != RNODE_LEADER && d->leader.leading) {
        leader_end(&d->leader);
        log_event(LOG_LEVEL_INFO, "leader_ends", "node=%s term=%" PRIu64, daemon_name(d), now->term);
    }
    (void)uv_async_send(&d->wake);
}

struct proposal {
    struct daemon *daemon;
    uint64_t term;
    unsigned slot;
};

static void on_proposed(void *ctx, enum status status, const struct outcome *outcome)
{
    struct proposal *p = ctx;
    struct daemon *d = p->daemon;

    if (status == STATUS_OK && outcome->status != STATUS_OK)
        log_event(LOG_LEVEL_DEBUG, "proposal_refused", "reason=%s", outcome->reason);
    if (d->leader.leading && d->leader.term == p->term)
        leader_proposed_done(&d->leader, p->slot);
    free(p);
    if (status == STATUS_OK || status == STATUS_UNKNOWN)
        (void)uv_async_send(&d->wake); /* what could not be sent waits for the next tick: a transfer may be under way */
}

static void on_initialised(void *ctx, enum status status, const struct outcome *outcome)
{
    struct daemon *d = ctx;

    (void)status;
    (void)outcome; /* refused means that another leader was first */
    d->initialising = false;
}

/* The first leader of a cluster writes its member list from the node's file into the log; the same list stands at every node. */
static void initialise(struct daemon *d)
{
    struct command *c = d->proposing;
    site_id site_count = 0;

    if (d->initialising)
        return;
    command_clear(c, COMMAND_CLUSTER_INIT);
    (void)text_copy(c->who, sizeof c->who, daemon_name(d));
    c->cluster_init.election_ms = raft_timing_of(d->config.timing).election_ms;
    for (unsigned i = 0; i < d->config.cluster_count; i++) {
        const struct config_member *from = &d->config.cluster[i];
        struct member *m = &c->cluster_init.members[i];
        site_id site = 0;

        while (site < site_count && !text_equal(c->cluster_init.sites[site].name, from->site))
            site++;
        if (site == site_count) {
            ASSERT(site_count < SITES_MAX); /* config.c refuses more */
            (void)text_copy(c->cluster_init.sites[site_count++].name, NAME_MAX_BYTES, from->site);
        }
        m->id = from->id;
        m->site = site;
        m->witness = from->witness;
        (void)text_copy(m->name, sizeof m->name, from->node);
        (void)text_copy(m->address, sizeof m->address, from->address);
        c->cluster_init.cluster_id = c->cluster_init.cluster_id * 31 + from->id; /* never 0: ids are above 0 */
    }
    d->initialising = true;
    daemon_submit(d, c, PROPOSAL_DEADLINE_MS, on_initialised, d);
}

void daemon_drive(struct daemon *d)
{
    unsigned slot = 0;

    if (!d->leader.leading || d->closing)
        return;
    if (d->state->cluster_id == 0) {
        initialise(d);
        return;
    }
    if (daemon_recovery_due(d)) {
        daemon_recover(d);
        return;
    }
    while (leader_next(&d->leader, d->state, stamp_ms(d), d->proposing, &slot)) {
        struct proposal *p = malloc(sizeof *p);

        ASSERT(p != NULL);
        *p = (struct proposal){ .daemon = d, .term = d->leader.term, .slot = slot };
        daemon_submit(d, d->proposing, PROPOSAL_DEADLINE_MS, on_proposed, p);
        d->nudge = false; /* that entry's message does it */
    }
    if (d->nudge)
        rnode_nudge(node_uv_rnode(d->node));
    d->nudge = false;
}

static bool transfer(struct daemon *d, node_id target)
{
    struct error err = ERROR_NONE;

    if (rnode_transfer(node_uv_rnode(d->node), target, &err) != STATUS_OK) {
        log_event(LOG_LEVEL_WARNING, "transfer_failed", "to=%s error=%s", state_node_name(d->state, target), err.text);
        return false;
    }
    log_event(LOG_LEVEL_INFO, "transfer", "to=%s", state_node_name(d->state, target));
    return true;
}

static void hand_over(struct daemon *d, int64_t now_us)
{
    node_id target = leader_transfer_to(&d->leader, d->state);

    if (target == 0 || d->ending_us != 0 || now_us - d->transferred_us < TRANSFER_PAUSE_US)
        return;
    if (!d->leader.wants_transfer && rnode_undecided(node_uv_rnode(d->node)) > 0)
        return; /* what is proposed and not yet committed would be answered "unknown": the next tick will do */
    d->transferred_us = now_us;
    (void)transfer(d, target);
}

bool daemon_resign(struct daemon *d)
{
    return d->leader.leading && transfer(d, leader_successor(&d->leader, d->state));
}

void daemon_leader_tick(struct daemon *d)
{
    int64_t now_us = clock_now_us();

    if (rnode_leadership(node_uv_rnode(d->node)).leader != 0)
        d->leader_known_us = now_us;
    if (!d->leader.leading)
        return;
    leader_tick(&d->leader, d->state, now_us);
    daemon_drive(d);
    daemon_follow_members(d);
    hand_over(d, now_us);
}
