/* Order of life: storage (lock), transport, uv raft_io, rnode, messages, forward; closed in reverse: forward answers what is open, messages and
 * rnode close side by side (rnode's io closes the transport), then everything is freed. */
#include "raft/node_uv.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"
#include "raft/entry.h"
#include "raft/io_guard.h"
#include "raft/loop_watch.h"
#include "raft/messages.h"
#include "raft/space_watch.h"

#include <stdarg.h>

#include <raft/uv.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_RETRY_MS 150
#define TOLD_INTERVAL_US 5000000

struct node_uv {
    struct node_uv_config config;
    struct storage_uv storage;
    struct receipt receipt;
    struct loop_watch *watch;
    struct space_watch *space;
    int64_t forgot_told_us, withheld_told_us; /* so that the log is not full of it */
    struct transport *transport;
    struct raft_io io;
    struct rnode *rnode;
    struct messages *messages;
    struct forward *forward;
    unsigned closing_parts;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

void node_uv_prepare_process(void)
{
    setenv("UV_THREADPOOL_SIZE", "8", 0);
}

static int64_t now_us(void *ctx)
{
    (void)ctx;
    return clock_now_us();
}

static const char *member_address(void *ctx, node_id id)
{
    struct node_uv *n = ctx;
    return n->rnode != NULL ? rnode_address(n->rnode, id) : NULL;
}

/* This node's list may be old: it has been away, or has only just joined. Ids rise, so one that is above all it knows is newer. */
static bool perhaps_newer(void *ctx, node_id id)
{
    struct node_uv *n = ctx;
    struct rnode_member members[2 * NODES_MAX];
    enum node_standing standing = n->config.standing(n->config.ctx, id);
    size_t count = n->rnode != NULL ? rnode_members(n->rnode, members, sizeof members / sizeof members[0]) : 0;
    for (size_t i = 0; i < count && standing == NODE_NOT_KNOWN; i++)
        if (members[i].id >= id)
            return false;
    return n->rnode != NULL && standing != NODE_REMOVED;
}

static void on_removed(void *ctx, node_id told_by)
{
    struct node_uv *n = ctx;
    n->config.on_removed(n->config.ctx, told_by);
}

/* The members but for this node. */
static size_t peers(void *ctx, struct rnode_member *out, size_t capacity)
{
    struct node_uv *n = ctx;
    size_t count = rnode_members(n->rnode, out, capacity);
    for (size_t i = 0; i < count; i++)
        if (out[i].id == n->storage.identity.id) {
            memmove(&out[i], &out[i + 1], (count - i - 1) * sizeof out[0]);
            return count - 1;
        }
    return count;
}

static void on_channel_dropped(void *ctx)
{
    (void)ctx;
}

static void on_messages_channel(void *ctx, node_id from, struct channel *channel)
{
    struct node_uv *n = ctx;
    if (n->messages != NULL)
        messages_accept(n->messages, from, channel);
    else
        channel_close(channel, on_channel_dropped, NULL); /* this node is closing */
}

static void on_fatal(void *ctx, const char *reason);

/* The leader says that this node has forgotten what it acknowledged: the directory was wiped or is an old copy, and must not be started from. */
static void condemned(struct node_uv *n, node_id from, const uint8_t *bytes, size_t length)
{
    struct reader r;
    char reason[ERROR_TEXT_MAX];
    struct error err = ERROR_NONE;
    reader_init(&r, bytes, length);
    uint64_t acknowledged = reader_u64(&r);
    uint64_t has = reader_u64(&r);
    if (!reader_done(&r) || rnode_leadership(n->rnode).leader != from)
        return;
    snprintf(reason, sizeof reason,
             "this node has acknowledged entry %" PRIu64 " to node %" PRIu64 " and now has only %" PRIu64
             ": its directory was wiped, or is an old copy",
             acknowledged, from, has);
    if (storage_uv_condemn(&n->storage, reason, &err) != STATUS_OK)
        log_event(LOG_LEVEL_ERROR, "condemn_failed", "error=%s",
                  err.text); /* the leader tells it again after the next start */
    on_fatal(n, reason);
}

static bool due(int64_t *told_us)
{
    int64_t now = clock_now_us();
    if (*told_us != 0 && now - *told_us < TOLD_INTERVAL_US)
        return false;
    *told_us = now;
    return true;
}

static void on_forgot(void *ctx, node_id id, uint64_t acknowledged, uint64_t has)
{
    struct node_uv *n = ctx;
    uint8_t bytes[16];
    struct writer w;
    if (!due(&n->forgot_told_us) || n->messages == NULL)
        return;
    log_event(LOG_LEVEL_ERROR, "member_forgot", "member=%" PRIu64 " acknowledged=%" PRIu64 " has=%" PRIu64 " fix=%s",
              id, acknowledged, has, "it is heard no more: coordd quarantine there, then remove it and add it again");
    writer_init(&w, bytes, sizeof bytes);
    writer_u64(&w, acknowledged);
    writer_u64(&w, has);
    (void)messages_link(n->messages)
        ->send(messages_link(n->messages)->ctx, id, MESSAGE_FORGOT, bytes, w.used); /* repeated */
}

static void on_withheld(void *ctx, node_id candidate)
{
    struct node_uv *n = ctx;
    if (due(&n->withheld_told_us))
        log_event(LOG_LEVEL_WARNING, "vote_withheld", "candidate=%" PRIu64 " reason=%s waits_for=%s way_out=%s",
                  candidate, "this node's log is new and the candidate's is not: was it wiped and bootstrapped again?",
                  "a leader that another member elects", "start the other members; else coordd recover");
}

static void on_message(void *ctx, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    struct node_uv *n = ctx;
    if (type == MESSAGE_FORWARD_REQUEST || type == MESSAGE_FORWARD_ANSWER)
        forward_receive(n->forward, from, type, bytes, length);
    else if (type == MESSAGE_FORGOT)
        condemned(n, from, bytes, length);
    else if (type >= MESSAGE_APPLICATION && n->config.on_message != NULL)
        n->config.on_message(n->config.ctx, from, type, bytes, length);
}

static void on_leadership(void *ctx, const struct rnode_leadership *now)
{
    struct node_uv *n = ctx;
    log_event(LOG_LEVEL_INFO, "leadership", "role=%s term=%" PRIu64 " leader=%" PRIu64, rnode_role_word(now->role),
              now->term, now->leader);
    if (n->forward != NULL)
        forward_leadership(n->forward, now);
    n->config.on_leadership(n->config.ctx, now);
}

static void on_tick(void *ctx)
{
    struct node_uv *n = ctx;
    if (n->watch != NULL)
        loop_watch_turn(n->watch);
    if (n->closing_parts == 0)
        receipt_tick(&n->receipt, n->config.loop);
    if (n->forward != NULL)
        forward_tick(n->forward);
    transport_follow_members(n->transport);
    if (n->config.on_tick != NULL)
        n->config.on_tick(n->config.ctx);
}

static void on_fatal(void *ctx, const char *reason)
{
    struct node_uv *n = ctx;
    char text[ERROR_TEXT_MAX + PATH_MAX];
    text_set(text, sizeof text, "%s (directory %s)", reason, n->storage.raft_dir);
    n->config.fatal(n->config.ctx, text);
}

/* Each write of libraft's term or vote is a new version of its metadata. */
static int receipt_on_term(void *ctx, uint64_t term, node_id vote)
{
    struct node_uv *n = ctx;
    return receipt_term(&n->receipt, ++n->storage.metadata.metadata_version, term, vote);
}

static int receipt_on_lower(void *ctx, uint64_t last_index)
{
    struct node_uv *n = ctx;
    return receipt_lower(&n->receipt, last_index);
}

static void receipt_on_stored(void *ctx, uint64_t last_index)
{
    struct node_uv *n = ctx;
    receipt_stored(&n->receipt, last_index);
}

static const struct io_guard_receipt receipt_hooks = { .term = receipt_on_term,
                                                       .lower = receipt_on_lower,
                                                       .stored = receipt_on_stored };

static void on_receipt_failed(void *ctx, const char *reason)
{
    char text[ERROR_TEXT_MAX];
    snprintf(text, sizeof text, "writing the receipt of what this node holds failed: %s", reason);
    on_fatal(ctx, text);
}

/* What libraft wrote just before a crash is told to the receipt before anybody is told. */
static enum status receipt_make(struct node_uv *n, struct error *err)
{
    const struct receipt_content *found = &n->storage.metadata;
    if (receipt_open(&n->receipt, n->storage.receipt_path, on_receipt_failed, n, err) != STATUS_OK)
        return err->status;
    int wrong = 0;
    if (found->metadata_version > n->receipt.content.metadata_version)
        wrong = receipt_term(&n->receipt, found->metadata_version, found->term, found->vote);
    receipt_stored(&n->receipt, found->last_index);
    return wrong == 0 ? STATUS_OK : error_set(err, STATUS_FAILED, "%s: %s", n->storage.receipt_path, strerror(wrong));
}

static enum status watches_make(struct node_uv *n, struct error *err)
{
    n->watch = loop_watch_create(LOOP_WATCH_PATIENCE_MS, on_fatal, n);
    n->space = space_watch_create(n->config.loop, n->storage.raft_dir);
    return n->watch != NULL && n->space != NULL
               ? STATUS_OK
               : error_set(err, STATUS_FAILED, "no memory, or no thread, to watch the loop and the disk");
}

static enum status transport_make(struct node_uv *n, struct error *err)
{
    const struct tls_identity *shown = n->config.tls != NULL ? tls_context_identity(n->config.tls) : NULL;
    char text[TLS_IDENTITY_TEXT_MAX_BYTES];
    if (shown != NULL && (shown->kind != TLS_NODE || shown->id != n->storage.identity.id))
        return error_set(err, STATUS_INVALID,
                         "the certificate is that of %s, and this is node %" PRIu64 ": every peer would refuse it",
                         tls_identity_text(shown, text), n->storage.identity.id);
    struct transport_config config = { .loop = n->config.loop,
                                       .resolver = n->config.resolver,
                                       .tls = n->config.tls,
                                       .listen = n->config.listen,
                                       .cluster = n->storage.identity.cluster,
                                       .id = n->storage.identity.id,
                                       .address = n->storage.identity.address,
                                       .snapshot_bytes_max = entry_frame_bytes(n->config.fsm.snapshot_bytes_max),
                                       .ctx = n,
                                       .generation = n->storage.generation.number,
                                       .member_address = member_address,
                                       .perhaps_newer = perhaps_newer,
                                       .on_removed = on_removed,
                                       .on_messages = on_messages_channel };
    n->transport = transport_create(&config, err);
    return n->transport != NULL ? STATUS_OK : err->status;
}

static enum status io_make(struct node_uv *n, struct error *err)
{
    int rv = raft_uv_init(&n->io, n->config.loop, n->storage.raft_dir, transport_raft(n->transport));
    if (rv != 0)
        return error_set(err, STATUS_FAILED, "%s: %s: %s", n->storage.raft_dir, raft_strerror(rv), n->io.errmsg);
    raft_uv_set_auto_recovery(&n->io, false); /* it renames a damaged segment and forgets what was acknowledged */
    raft_uv_set_connect_retry_delay(&n->io, CONNECT_RETRY_MS);
#ifndef RAFT_VERSION_NUMBER
    raft_uv_set_snapshot_compression(&n->io, false); /* a truncated compressed file spins for ever at start */
#endif
    return STATUS_OK;
}

static enum status rnode_make(struct node_uv *n, struct error *err)
{
    struct rnode_config config = { .io = &n->io,
                                   .id = n->storage.identity.id,
                                   .address = n->storage.identity.address,
                                   .timing = n->config.timing,
                                   .fsm = n->config.fsm,
                                   .ctx = n,
                                   .on_leadership = on_leadership,
                                   .on_tick = on_tick,
                                   .now_us = now_us,
                                   .fatal = on_fatal,
                                   .on_forgot = on_forgot,
                                   .on_withheld = on_withheld,
                                   .receipt = &receipt_hooks };
    n->rnode = rnode_create(&config, err);
    return n->rnode != NULL ? STATUS_OK : err->status;
}

static enum status admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity)
{
    struct node_uv *n = ctx;
    return n->config.admit(n->config.ctx, from, bytes, length, capacity);
}

static enum status layers_make(struct node_uv *n, struct error *err)
{
    struct messages_config messages = {
        .loop = n->config.loop, .transport = n->transport, .ctx = n, .members = peers, .receive = on_message
    };
    n->messages = messages_create(&messages);
    if (n->messages == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    struct forward_config forward = { .node = n->rnode,
                                      .id = n->storage.identity.id,
                                      .link = messages_link(n->messages),
                                      .ctx = n,
                                      .now_us = now_us,
                                      .admit = n->config.admit != NULL ? admit : NULL };
    n->forward = forward_create(&forward);
    return n->forward != NULL ? STATUS_OK : error_set(err, STATUS_FAILED, "out of memory");
}

struct node_uv *node_uv_create(const struct node_uv_config *config, struct error *err)
{
    ASSERT(config->on_leadership != NULL && config->fatal != NULL && config->standing != NULL);
    ASSERT(config->on_removed != NULL);
    struct node_uv *n = calloc(1, sizeof *n);
    if (n == NULL) {
        error_set(err, STATUS_FAILED, "out of memory");
        return NULL;
    }
    n->config = *config;
#ifndef RAFT_VERSION_NUMBER
    log_event(LOG_LEVEL_ERROR, "libraft_too_old", "wanted=0.22 reason=%s",
              "this version loses acknowledged entries: for tests, not for production");
#endif
    if (storage_uv_open(&n->storage, config->data_dir, err) != STATUS_OK) {
        free(n);
        return NULL;
    }
    if (receipt_make(n, err) != STATUS_OK || transport_make(n, err) != STATUS_OK || watches_make(n, err) != STATUS_OK) {
        storage_uv_close(&n->storage);
        free(n);
        return NULL;
    }
    if (io_make(n, err) == STATUS_OK && rnode_make(n, err) == STATUS_OK && layers_make(n, err) == STATUS_OK)
        return n;
    /* Handles of libraft may be open on the loop; the process is about to end with `err`, so only the lock matters. */
    storage_uv_close(&n->storage);
    return NULL;
}

enum status node_uv_start(struct node_uv *n, struct error *err)
{
    if (transport_listen(n->transport, err) != STATUS_OK)
        return error_wrap(err, "node %" PRIu64, n->storage.identity.id);
    if (rnode_start(n->rnode, err) != STATUS_OK)
        return error_wrap(err,
                          "node %" PRIu64
                          ", directory %.200s (if it is damaged: move it away, remove this node from the "
                          "cluster and add it under a new id)",
                          n->storage.identity.id, n->storage.raft_dir);
    messages_start(n->messages);
    return STATUS_OK;
}

static void on_part_closed(void *ctx)
{
    struct node_uv *n = ctx;
    if (--n->closing_parts > 0)
        return;
    storage_uv_close(&n->storage);
    n->closed(n->closed_ctx);
}

static void on_rnode_closed(void *ctx)
{
    struct node_uv *n = ctx;
    raft_uv_close(&n->io);
    receipt_close(&n->receipt, n->config.loop, on_part_closed, n);
}

void node_uv_close(struct node_uv *n, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(n->closing_parts == 0);
    loop_watch_destroy(n->watch); /* from here on the time is the supervisor's to watch */
    n->watch = NULL;
    n->closed = closed;
    n->closed_ctx = ctx;
    n->closing_parts = 3;
    space_watch_close(n->space, on_part_closed, n);
    n->space = NULL;
    forward_destroy(n->forward);
    n->forward = NULL;
    messages_close(n->messages, on_part_closed, n);
    n->messages = NULL;
    rnode_close(n->rnode, on_rnode_closed, n);
}

void node_uv_destroy(struct node_uv *n)
{
    if (n == NULL)
        return;
    rnode_destroy(n->rnode);
    transport_destroy(n->transport);
    free(n);
}

struct rnode *node_uv_rnode(struct node_uv *n)
{
    return n->rnode;
}

struct forward *node_uv_forward(struct node_uv *n)
{
    return n->forward;
}

const struct message_link *node_uv_link(struct node_uv *n)
{
    return messages_link(n->messages);
}

uint64_t node_uv_cluster(const struct node_uv *n)
{
    return n->storage.identity.cluster;
}

const struct storage_generation *node_uv_generation(const struct node_uv *n)
{
    return &n->storage.generation;
}

node_id node_uv_id(const struct node_uv *n)
{
    return n->storage.identity.id;
}

struct transport_counters node_uv_counters(const struct node_uv *n)
{
    return transport_counters(n->transport);
}

struct space node_uv_space(const struct node_uv *n)
{
    return space_watch_last(n->space);
}

bool node_uv_connected(const struct node_uv *n, node_id to)
{
    return n->messages != NULL && messages_connected(n->messages, to);
}
