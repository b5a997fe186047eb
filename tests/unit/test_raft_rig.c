#include "test_raft_rig.h"

static size_t on_apply(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length, uint8_t *outcome)
{
    struct rig_node *n = ctx;
    struct reader r;
    struct writer w;
    assert_true(index > 0 && term > 0);
    reader_init(&r, bytes, length);
    uint32_t number = reader_u32(&r);
    assert_true(reader_done(&r));
    assert_true(n->applied_count < APPLIED_MAX);
    n->applied[n->applied_count++] = number;
    writer_init(&w, outcome, OUTCOME_MAX_BYTES);
    writer_u32(&w, number * 10);
    return w.used;
}

static enum status on_snapshot(void *ctx, uint8_t *out, size_t capacity, size_t *used)
{
    (void)ctx, (void)out, (void)capacity;
    *used = 0;
    return STATUS_OK;
}

static enum status on_restore(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length)
{
    (void)ctx, (void)index, (void)term, (void)bytes, (void)length;
    return STATUS_OK;
}

static void on_leadership(void *ctx, const struct rnode_leadership *now)
{
    struct rig_node *n = ctx;
    n->led += now->role == RNODE_LEADER;
    if (n->forward != NULL)
        forward_leadership(n->forward, now);
}

static void on_tick(void *ctx)
{
    struct rig_node *n = ctx;
    if (n->forward != NULL)
        forward_tick(n->forward);
}

int64_t rig_now_us(void *ctx)
{
    struct rig_node *n = ctx;
    return 1000 * (int64_t)raft_fixture_time(&n->rig->fixture);
}

static void on_fatal(void *ctx, const char *reason)
{
    struct rig_node *n = ctx;
    n->fatals++;
    snprintf(n->reason, sizeof n->reason, "%s", reason);
}

static struct rig_node *node_of_io(struct raft_io *io)
{
    return (struct rig_node *)(void *)((char *)io - offsetof(struct rig_node, io));
}

static int io_random(struct raft_io *io, int min, int max)
{
    struct rig_node *n = node_of_io(io);
    unsigned x = (n->self + 1) * 2654435761u + ++n->randoms * 40503u;
    return min + (int)((x >> 8) % ((unsigned)max - (unsigned)min + 1u));
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    node_of_io(io)->close_cb = cb; /* called when what is under way in the fixture is done */
}

static enum status link_send(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct rig_node *n = ctx;
    struct rig *r = n->rig;
    if (r->link_refuses)
        return STATUS_UNREACHABLE;
    r->answers_taken += type == MESSAGE_FORWARD_ANSWER;
    struct rig_message *m = &r->messages[r->message_count];
    assert_true(r->message_count < MESSAGES_MAX && length <= sizeof m->bytes && to >= 1 && to <= NODES);
    if (r->link_down[n->self][to - 1])
        return STATUS_OK; /* lost on the way */
    *m = (struct rig_message){ .from = n->self, .to = (unsigned)to - 1, .type = type, .length = length };
    memcpy(m->bytes, bytes, length);
    r->message_count++;
    return STATUS_OK;
}

static enum status on_admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity)
{
    struct rig_node *n = ctx;
    assert_true(*length == 4 && capacity == RNODE_PAYLOAD_MAX_BYTES);
    n->rig->admit_from = from;
    bytes[3] = 1; /* the leader's stamp */
    return n->rig->admit_says;
}

static void node_make(struct rig *r, unsigned i)
{
    struct rig_node *n = &r->nodes[i];
    struct raft *theirs = raft_fixture_get(&r->fixture, i);
    struct error err;
    n->rig = r;
    n->self = i;
    n->real = theirs->io;
    n->io = *n->real;
    n->io.random = io_random;
    n->io.close = io_close;
    struct rnode_config config = {
        .io = &n->io,
        .id = i + 1,
        .address = theirs->address,
        .timing = { .heartbeat_ms = 50, .election_ms = 400 },
        .fsm = { .ctx = n, .apply = on_apply, .snapshot = on_snapshot, .restore = on_restore, .snapshot_bytes_max = 8 },
        .ctx = n,
        .on_leadership = on_leadership,
        .on_tick = on_tick,
        .now_us = rig_now_us,
        .fatal = on_fatal
    };
    n->rnode = rnode_create(&config, &err);
    assert_non_null(n->rnode);
    n->real->data = n->io.data; /* the fixture calls back with its own raft_io */
    n->link = (struct message_link){ .ctx = n, .send = link_send };
    struct forward_config forward = {
        .node = n->rnode, .id = i + 1, .link = &n->link, .ctx = n, .now_us = rig_now_us, .admit = on_admit
    };
    n->forward = forward_create(&forward);
    assert_non_null(n->forward);
}

int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct raft_configuration configuration;
    assert_int_equal(raft_fixture_initialize(&r->fixture), 0);
    for (unsigned i = 0; i < NODES; i++) {
        r->no_fsm[i].version = 1;
        assert_int_equal(raft_fixture_grow(&r->fixture, &r->no_fsm[i]), 0);
    }
    assert_int_equal(raft_fixture_configuration(&r->fixture, NODES, &configuration), 0);
    assert_int_equal(raft_fixture_bootstrap(&r->fixture, &configuration), 0);
    raft_configuration_close(&configuration);
    for (unsigned i = 0; i < NODES; i++)
        node_make(r, i);
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(rnode_start(r->nodes[i].rnode, NULL), STATUS_OK);
    *state = r;
    return 0;
}

static void on_closed(void *ctx)
{
    ((struct rig_node *)ctx)->closed = true;
}

int rig_teardown(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < NODES; i++) {
        forward_destroy(r->nodes[i].forward);
        r->nodes[i].forward = NULL;
        rnode_close(r->nodes[i].rnode, on_closed, &r->nodes[i]);
    }
    raft_fixture_step_until_elapsed(&r->fixture, 1000);
    for (unsigned i = 0; i < NODES; i++) {
        r->nodes[i].close_cb(&r->nodes[i].io);
        assert_true(r->nodes[i].closed);
        rnode_destroy(r->nodes[i].rnode);
        r->nodes[i].real->data = raft_fixture_get(&r->fixture, i);
    }
    raft_fixture_close(&r->fixture);
    for (unsigned i = 0; i < ANSWERS_MAX; i++)
        assert_true(r->answers[i].times <= 1);
    free(r);
    return 0;
}

static void step(struct rig *r)
{
    raft_fixture_step(&r->fixture);
    for (unsigned i = 0; i < r->message_count; i++) { /* answers are added behind while we go */
        struct rig_message m = r->messages[i];
        forward_receive(r->nodes[m.to].forward, m.from + 1, m.type, m.bytes, m.length);
    }
    r->message_count = 0;
}

bool rig_run_until(struct rig *r, rig_condition met, unsigned a, unsigned b)
{
    raft_time end = raft_fixture_time(&r->fixture) + 60000;
    while (!met(r, a, b)) {
        if (raft_fixture_time(&r->fixture) > end)
            return false;
        step(r);
    }
    return true;
}

void rig_run_ms(struct rig *r, unsigned ms)
{
    raft_time end = raft_fixture_time(&r->fixture) + ms;
    while (raft_fixture_time(&r->fixture) < end)
        step(r);
}

enum rnode_role rig_role(struct rig *r, unsigned i)
{
    return rnode_leadership(r->nodes[i].rnode).role;
}

bool rig_leads(struct rig *r, unsigned a, unsigned b)
{
    (void)b;
    return rig_role(r, a) == RNODE_LEADER;
}

bool rig_one_of_leads(struct rig *r, unsigned a, unsigned b)
{
    return rig_role(r, a) == RNODE_LEADER || rig_role(r, b) == RNODE_LEADER;
}

static bool all_know(struct rig *r, unsigned a, unsigned b)
{
    (void)a, (void)b;
    for (unsigned i = 0; i < NODES; i++)
        if (rnode_leadership(r->nodes[i].rnode).leader == 0)
            return false;
    return true;
}

bool rig_has_applied(struct rig *r, unsigned a, unsigned b)
{
    return r->nodes[a].applied_count >= b;
}

bool rig_answered(struct rig *r, unsigned a, unsigned b)
{
    (void)b;
    return r->answers[a].times > 0;
}

void rig_cut(struct rig *r, unsigned a, unsigned b, bool down)
{
    if (down) {
        raft_fixture_saturate(&r->fixture, a, b);
        raft_fixture_saturate(&r->fixture, b, a);
    } else {
        raft_fixture_desaturate(&r->fixture, a, b);
        raft_fixture_desaturate(&r->fixture, b, a);
    }
    r->link_down[a][b] = r->link_down[b][a] = down;
}

void rig_isolate(struct rig *r, unsigned a, bool down)
{
    for (unsigned b = 0; b < NODES; b++)
        if (b != a)
            rig_cut(r, a, b, down);
}

unsigned rig_elect(struct rig *r)
{
    assert_true(rig_run_until(r, all_know, 0, 0));
    return (unsigned)rnode_leadership(r->nodes[0].rnode).leader - 1;
}

void rig_on_answer(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct answer *a = ctx;
    struct reader r;
    reader_init(&r, outcome, length);
    a->status = status;
    a->index = index;
    a->outcome = reader_u32(&r);
    a->times++;
}

enum status rig_propose(struct rig *r, unsigned node, uint32_t number, unsigned answer)
{
    uint8_t bytes[4];
    struct writer w;
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, number);
    return rnode_propose(r->nodes[node].rnode, bytes, sizeof bytes, rig_on_answer, &r->answers[answer]);
}

enum status rig_submit(struct rig *r, unsigned node, uint32_t number, unsigned answer)
{
    uint8_t bytes[4];
    struct writer w;
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, number);
    return forward_submit(r->nodes[node].forward, bytes, sizeof bytes, 3000, rig_on_answer, &r->answers[answer]);
}
