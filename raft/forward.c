/* Happy path at a follower: forward_submit sends REQUEST to the leader, which admits and proposes it and sends ANSWER when it is applied.
 * Failures: not sent (a status from forward_submit); refused there (a status in `done`); term changed, answer lost or late: UNKNOWN.
 * The leader keeps an answer that the link does not take: a submitter that has just started is connected to it before it is to the submitter. */
#include "raft/forward.h"

#include "base/bytes.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_HEADER_BYTES 12 /* u64 request, u32 length */
#define ANSWER_HEADER_BYTES 21  /* u64 request, u8 status, u64 index, u32 length */

_Static_assert(REQUEST_HEADER_BYTES + RNODE_PAYLOAD_MAX_BYTES <= MESSAGE_MAX_BYTES, "a request fits a message");
_Static_assert(ANSWER_HEADER_BYTES + OUTCOME_MAX_BYTES <= MESSAGE_MAX_BYTES, "an answer fits a message");

struct submission {
    struct forward *forward;
    bool open;     /* `done` is due */
    bool proposed; /* rnode still holds this slot, even if the deadline has already answered */
    uint64_t request;
    node_id leader; /* whom we asked */
    uint64_t term;
    int64_t deadline_us;
    forward_cb done;
    void *ctx;
};

enum served_state { SERVED_NONE, SERVED_PROPOSED, SERVED_ANSWER_KEPT };

struct served {
    struct forward *forward;
    enum served_state state;
    node_id from;
    uint64_t request;
    int64_t until_us; /* the submitter waits no longer */
    size_t answer_bytes;
    uint8_t answer[ANSWER_HEADER_BYTES + OUTCOME_MAX_BYTES];
};

struct forward {
    struct forward_config config;
    uint64_t request_next;
    struct submission submissions[FORWARD_OUTSTANDING_MAX];
    struct served served[FORWARD_SERVED_MAX];
    struct served refusal; /* of the last request for which none of these was free */
    bool destroyed;        /* rnode still owes us callbacks */
    unsigned owed;
    uint8_t scratch[MESSAGE_MAX_BYTES];
};

struct forward *forward_create(const struct forward_config *config)
{
    ASSERT(config->node != NULL && config->link != NULL && config->now_us != NULL && config->id != 0);
    struct forward *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->config = *config;
    /* Distinct from those of an earlier life of this node, whose answers may still be on their way. */
    f->request_next = (uint64_t)config->now_us(config->ctx) + 1;
    return f;
}

static void finish(struct submission *s, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    s->open = false;
    s->done(s->ctx, status, index, outcome, length);
}

static void release(struct forward *f)
{
    f->owed--;
    if (f->destroyed && f->owed == 0)
        free(f);
}

void forward_destroy(struct forward *f)
{
    if (f == NULL)
        return;
    f->owed++;
    f->destroyed = true;
    for (size_t i = 0; i < FORWARD_OUTSTANDING_MAX; i++)
        if (f->submissions[i].open)
            finish(&f->submissions[i], STATUS_UNKNOWN, 0, NULL, 0);
    release(f);
}

static void on_local_done(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct submission *s = ctx;
    s->proposed = false;
    if (s->open)
        finish(s, status, index, outcome, length);
    release(s->forward);
}

static enum status admit(struct forward *f, node_id from, uint8_t *bytes, size_t *length)
{
    if (f->config.admit == NULL)
        return STATUS_OK;
    return f->config.admit(f->config.ctx, from, bytes, length, RNODE_PAYLOAD_MAX_BYTES);
}

static enum status submit_here(struct forward *f, struct submission *s, const uint8_t *bytes, size_t length)
{
    memcpy(f->scratch, bytes, length);
    enum status status = admit(f, f->config.id, f->scratch, &length);
    if (status == STATUS_OK)
        status = rnode_propose(f->config.node, f->scratch, length, on_local_done, s);
    if (status == STATUS_OK) {
        s->proposed = true;
        f->owed++;
    }
    return status;
}

static enum status submit_there(struct forward *f, const struct submission *s, const uint8_t *bytes, size_t length)
{
    struct writer w;
    writer_init(&w, f->scratch, sizeof f->scratch);
    writer_u64(&w, s->request);
    writer_u32(&w, (uint32_t)length);
    writer_bytes(&w, bytes, length);
    ASSERT(writer_ok(&w));
    return f->config.link->send(f->config.link->ctx, s->leader, MESSAGE_FORWARD_REQUEST, f->scratch, w.used);
}

enum status forward_submit(struct forward *f, const uint8_t *bytes, size_t length, unsigned deadline_ms,
                           forward_cb done, void *ctx)
{
    ASSERT(done != NULL && !f->destroyed);
    if (length == 0 || length > RNODE_PAYLOAD_MAX_BYTES)
        return STATUS_INVALID;
    struct rnode_leadership now = rnode_leadership(f->config.node);
    if (now.leader == 0)
        return STATUS_NO_LEADER;
    struct submission *s = NULL;
    for (size_t i = 0; i < FORWARD_OUTSTANDING_MAX && s == NULL; i++)
        if (!f->submissions[i].open && !f->submissions[i].proposed)
            s = &f->submissions[i];
    if (s == NULL)
        return STATUS_FULL;
    *s = (struct submission){ .forward = f,
                              .request = f->request_next++,
                              .leader = now.leader,
                              .term = now.term,
                              .deadline_us = f->config.now_us(f->config.ctx) + 1000LL * deadline_ms,
                              .done = done,
                              .ctx = ctx };
    enum status status =
        now.leader == f->config.id ? submit_here(f, s, bytes, length) : submit_there(f, s, bytes, length);
    s->open = status == STATUS_OK;
    return status;
}

static void answer_send(struct served *s)
{
    const struct message_link *link = s->forward->config.link;
    enum status status = link->send(link->ctx, s->from, MESSAGE_FORWARD_ANSWER, s->answer, s->answer_bytes);
    s->state = status == STATUS_OK ? SERVED_NONE : SERVED_ANSWER_KEPT;
}

static void answer(struct served *s, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct writer w;
    writer_init(&w, s->answer, sizeof s->answer);
    writer_u64(&w, s->request);
    writer_u8(&w, (uint8_t)status);
    writer_u64(&w, index);
    writer_u32(&w, (uint32_t)length);
    writer_bytes(&w, outcome, length);
    ASSERT(writer_ok(&w));
    s->answer_bytes = w.used;
    answer_send(s);
}

static void on_served_done(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct served *s = ctx;
    struct forward *f = s->forward;
    if (!f->destroyed)
        answer(s, status, index, outcome, length);
    release(f);
}

/* A free slot, else the one whose kept answer has waited longest, else, when all wait for rnode, the one for the refusal. */
static struct served *served_slot(struct forward *f)
{
    struct served *kept = &f->refusal;
    for (size_t i = 0; i < FORWARD_SERVED_MAX; i++) {
        struct served *s = &f->served[i];
        if (s->state == SERVED_NONE)
            return s;
        if (s->state == SERVED_ANSWER_KEPT && (kept == &f->refusal || s->until_us < kept->until_us))
            kept = s;
    }
    return kept;
}

static enum status serve(struct served *s, const uint8_t *bytes, size_t length)
{
    struct forward *f = s->forward;
    struct rnode_leadership now = rnode_leadership(f->config.node);
    if (!rnode_leads(f->config.node, now.term))
        return STATUS_NO_LEADER;
    if (s == &f->refusal)
        return STATUS_FULL;
    memcpy(f->scratch, bytes, length);
    enum status status = admit(f, s->from, f->scratch, &length);
    if (status == STATUS_OK)
        status = rnode_propose(f->config.node, f->scratch, length, on_served_done, s);
    if (status == STATUS_OK) {
        s->state = SERVED_PROPOSED;
        f->owed++;
    }
    return status;
}

static void on_request(struct forward *f, node_id from, const uint8_t *bytes, size_t length)
{
    struct reader r;
    reader_init(&r, bytes, length);
    uint64_t request = reader_u64(&r);
    uint32_t payload_bytes = reader_u32(&r);
    if (!reader_ok(&r))
        return; /* nobody to answer to */
    struct served *s = served_slot(f);
    s->forward = f;
    s->from = from;
    s->request = request;
    s->until_us = f->config.now_us(f->config.ctx) + 1000LL * FORWARD_ANSWER_KEPT_MS;
    enum status status = STATUS_INVALID;
    if (payload_bytes > 0 && payload_bytes <= RNODE_PAYLOAD_MAX_BYTES && payload_bytes == length - REQUEST_HEADER_BYTES)
        status = serve(s, bytes + REQUEST_HEADER_BYTES, payload_bytes);
    if (status != STATUS_OK)
        answer(s, status, 0, NULL, 0);
}

static void on_answer(struct forward *f, node_id from, const uint8_t *bytes, size_t length)
{
    struct reader r;
    reader_init(&r, bytes, length);
    uint64_t request = reader_u64(&r);
    enum status status = (enum status)reader_enum8(&r, STATUS_COUNT);
    uint64_t index = reader_u64(&r);
    uint32_t outcome_bytes = reader_u32(&r);
    if (!reader_ok(&r) || outcome_bytes > OUTCOME_MAX_BYTES || outcome_bytes != length - ANSWER_HEADER_BYTES)
        return; /* cannot be trusted to name a request; the deadline answers */
    for (size_t i = 0; i < FORWARD_OUTSTANDING_MAX; i++) {
        struct submission *s = &f->submissions[i];
        if (s->open && !s->proposed && s->request == request && s->leader == from) {
            finish(s, status, index, bytes + ANSWER_HEADER_BYTES, outcome_bytes);
            return;
        }
    }
}

void forward_receive(struct forward *f, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    if (type == MESSAGE_FORWARD_REQUEST)
        on_request(f, from, bytes, length);
    else if (type == MESSAGE_FORWARD_ANSWER)
        on_answer(f, from, bytes, length);
}

void forward_leadership(struct forward *f, const struct rnode_leadership *now)
{
    int64_t until_us = f->config.now_us(f->config.ctx) + 1000LL * FORWARD_GRACE_MS;
    for (size_t i = 0; i < FORWARD_OUTSTANDING_MAX; i++) {
        struct submission *s = &f->submissions[i];
        if (s->open && !s->proposed && s->term != now->term && s->deadline_us > until_us) /* our own: rnode answers */
            s->deadline_us = until_us;
    }
}

void forward_tick(struct forward *f)
{
    int64_t now_us = f->config.now_us(f->config.ctx);
    for (size_t i = 0; i < FORWARD_OUTSTANDING_MAX; i++) {
        struct submission *s = &f->submissions[i];
        if (s->open && now_us >= s->deadline_us)
            finish(s, STATUS_UNKNOWN, 0, NULL, 0);
    }
    for (size_t i = 0; i < FORWARD_SERVED_MAX; i++) {
        struct served *s = &f->served[i];
        if (s->state == SERVED_ANSWER_KEPT && now_us >= s->until_us)
            s->state = SERVED_NONE;
        else if (s->state == SERVED_ANSWER_KEPT)
            answer_send(s);
    }
}
