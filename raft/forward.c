/* Happy path at a follower: forward_submit sends REQUEST to the leader, which admits and proposes it and sends ANSWER when it is applied.
 * Failures: not sent (a status from forward_submit); refused there (a status in `done`); term changed, answer lost or late: UNKNOWN. */
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

struct served {
    struct forward *forward;
    bool open;
    node_id from;
    uint64_t request;
};

struct forward {
    struct forward_config config;
    uint64_t request_next;
    struct submission submissions[FORWARD_OUTSTANDING_MAX];
    struct served served[FORWARD_SERVED_MAX];
    bool destroyed; /* rnode still owes us callbacks */
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

static void answer(struct forward *f, node_id to, uint64_t request, enum status status, uint64_t index,
                   const uint8_t *outcome, size_t length)
{
    uint8_t out[ANSWER_HEADER_BYTES + OUTCOME_MAX_BYTES];
    struct writer w;
    writer_init(&w, out, sizeof out);
    writer_u64(&w, request);
    writer_u8(&w, (uint8_t)status);
    writer_u64(&w, index);
    writer_u32(&w, (uint32_t)length);
    writer_bytes(&w, outcome, length);
    ASSERT(writer_ok(&w));
    /* When it does not get through, the submitter's deadline answers with UNKNOWN. */
    (void)f->config.link->send(f->config.link->ctx, to, MESSAGE_FORWARD_ANSWER, out, w.used);
}

static void on_served_done(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct served *s = ctx;
    struct forward *f = s->forward;
    s->open = false;
    if (!f->destroyed)
        answer(f, s->from, s->request, status, index, outcome, length);
    release(f);
}

static enum status serve(struct forward *f, node_id from, uint64_t request, const uint8_t *bytes, size_t length)
{
    struct rnode_leadership now = rnode_leadership(f->config.node);
    if (!rnode_leads(f->config.node, now.term))
        return STATUS_NO_LEADER;
    struct served *s = NULL;
    for (size_t i = 0; i < FORWARD_SERVED_MAX && s == NULL; i++)
        if (!f->served[i].open)
            s = &f->served[i];
    if (s == NULL)
        return STATUS_FULL;
    memcpy(f->scratch, bytes, length);
    enum status status = admit(f, from, f->scratch, &length);
    if (status != STATUS_OK)
        return status;
    *s = (struct served){ .forward = f, .from = from, .request = request };
    status = rnode_propose(f->config.node, f->scratch, length, on_served_done, s);
    if (status == STATUS_OK) {
        s->open = true;
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
    enum status status = STATUS_INVALID;
    if (payload_bytes > 0 && payload_bytes <= RNODE_PAYLOAD_MAX_BYTES && payload_bytes == length - REQUEST_HEADER_BYTES)
        status = serve(f, from, request, bytes + REQUEST_HEADER_BYTES, payload_bytes);
    if (status != STATUS_OK)
        answer(f, from, request, status, 0, NULL, 0);
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
}
