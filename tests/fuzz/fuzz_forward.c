/* raft: commands and their answers between nodes. The input is a list of events (a byte each, with what it needs behind it): messages from
 * peers, submissions, time, changes of leadership, ends of proposals. Every submission ends exactly once, and a request is answered at most once. */
#include "base/bytes.h"
#include "raft/forward.h"
#include "tests/fuzz/fuzz.h"

#define EVENTS_MAX 256
#define PROPOSALS_MAX 64
#define SUBMISSIONS_MAX 256

/* The rnode of this test: the few functions that forward.c calls. */
struct rnode {
    struct rnode_leadership leadership;
    struct {
        rnode_propose_cb done; /* NULL: free */
        void *ctx;
    } proposals[PROPOSALS_MAX];
};

static struct rnode node;
static int64_t now_us;
static unsigned ended[SUBMISSIONS_MAX], accepted_count;
static uint64_t requests_in, answers_out;

struct rnode_leadership rnode_leadership(const struct rnode *n)
{
    return n->leadership;
}

bool rnode_leads(const struct rnode *n, uint64_t term)
{
    return n->leadership.role == RNODE_LEADER && n->leadership.term == term;
}

enum status rnode_propose(struct rnode *n, const uint8_t *bytes, size_t length, rnode_propose_cb done, void *ctx)
{
    ASSERT(length > 0 && length <= RNODE_PAYLOAD_MAX_BYTES);
    if (n->leadership.role != RNODE_LEADER || bytes[0] == 0xff)
        return STATUS_NO_LEADER;
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        if (n->proposals[i].done != NULL)
            continue;
        n->proposals[i].done = done;
        n->proposals[i].ctx = ctx;
        return STATUS_OK;
    }
    return STATUS_FULL;
}

static enum status send_out(void *ctx, node_id to, uint8_t type, const uint8_t *bytes, size_t length)
{
    bool taken = to != 9 || now_us / 100000 % 2 == 1; /* node 9 comes and goes */
    struct reader r;

    (void)ctx;
    ASSERT(length <= MESSAGE_MAX_BYTES && to != 0);
    reader_init(&r, bytes, length);
    (void)reader_u64(&r);
    if (type == MESSAGE_FORWARD_ANSWER) {
        answers_out += taken;
        ASSERT(reader_u8(&r) < STATUS_COUNT);
        (void)reader_u64(&r);
    } else {
        ASSERT(type == MESSAGE_FORWARD_REQUEST);
    }
    ASSERT(reader_u32(&r) == length - r.used);
    return taken ? STATUS_OK : STATUS_UNREACHABLE;
}

static int64_t clock_of_test(void *ctx)
{
    (void)ctx;
    return now_us;
}

static void on_done(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    unsigned *count = ctx;

    (void)index;
    ASSERT((unsigned)status < STATUS_COUNT && length <= OUTCOME_MAX_BYTES && (length == 0 || outcome != NULL));
    ASSERT(++*count == 1);
}

static void proposal_end(size_t at, enum status status)
{
    rnode_propose_cb done = node.proposals[at].done;

    node.proposals[at].done = NULL;
    if (done != NULL)
        done(node.proposals[at].ctx, status, 5, (const uint8_t *)"outcome", status == STATUS_OK ? 7 : 0);
}

static void event(struct forward *f, struct fuzz_input *in)
{
    uint8_t what = fuzz_u8(in), argument = fuzz_u8(in);
    size_t length = fuzz_u8(in);
    const uint8_t *bytes = fuzz_bytes(in, &length);

    switch (what % 6) {
    case 0:
        requests_in++;
        forward_receive(f, argument % 9 + 1, MESSAGE_FORWARD_REQUEST, bytes, length);
        break;
    case 1:
        forward_receive(f, argument % 9 + 1, MESSAGE_FORWARD_ANSWER, bytes, length);
        break;
    case 2:
        if (accepted_count < SUBMISSIONS_MAX &&
            forward_submit(f, bytes, length, argument, on_done, &ended[accepted_count]) == STATUS_OK)
            accepted_count++;
        break;
    case 3:
        now_us += argument * 1000;
        forward_tick(f);
        break;
    case 4:
        node.leadership.term += argument >> 4;
        node.leadership.leader = argument % 4;
        node.leadership.role = argument % 4 == 1 ? RNODE_LEADER : RNODE_FOLLOWER;
        forward_leadership(f, &node.leadership);
        break;
    default:
        proposal_end(argument % PROPOSALS_MAX, argument < 128 ? STATUS_OK : STATUS_UNKNOWN);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct message_link link = { .send = send_out };
    struct forward_config config = { .node = &node, .id = 1, .link = &link, .now_us = clock_of_test };
    struct fuzz_input in = { data, size };
    struct forward *f;

    memset(&node, 0, sizeof node);
    memset(ended, 0, sizeof ended);
    now_us = 0;
    accepted_count = 0;
    requests_in = answers_out = 0;
    f = forward_create(&config);
    ASSERT(f != NULL);
    for (unsigned i = 0; i < EVENTS_MAX && in.left > 0; i++)
        event(f, &in);
    forward_destroy(f);
    for (unsigned i = 0; i < accepted_count; i++)
        ASSERT(ended[i] == 1);
    for (size_t i = 0; i < PROPOSALS_MAX; i++)
        proposal_end(i, STATUS_UNKNOWN);
    for (unsigned i = 0; i < accepted_count; i++)
        ASSERT(ended[i] == 1);
    ASSERT(answers_out <= requests_in);
    return 0;
}
