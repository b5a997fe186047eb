/* Order: the generation first, then the list. A crash between them leaves a node that nobody of the old generation talks to and that has no
 * majority by itself: it does nothing until the recovery is done again. */
#include "raft/storage_recover.h"

#include "base/check.h"
#include "raft/member_list.h"
#include "raft/storage_files.h"

#include <stdarg.h>

#include <raft/uv.h>

#include <stdio.h>
#include <string.h>

struct closed_io { /* libraft's io of a directory that no node runs */
    uv_loop_t loop;
    struct raft_io io;
    struct raft_uv_transport transport;
};

static int no_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
    (void)t, (void)id, (void)address;
    return 0;
}

static void no_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
    cb(t);
}

static void on_io_closed(struct raft_io *io)
{
    raft_uv_close(io);
}

static void io_end(struct closed_io *c)
{
    c->io.close(&c->io, on_io_closed);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&c->loop);
}

static enum status io_begin(struct closed_io *c, const struct storage_uv *storage, struct error *err)
{
    memset(c, 0, sizeof *c);
#ifdef RAFT_VERSION_NUMBER
    c->transport.version = 1;
#endif
    c->transport.init = no_init; /* nothing else is called before start */
    c->transport.close = no_close;
    if (uv_loop_init(&c->loop) != 0)
        return error_set(err, STATUS_FAILED, "no event loop");
    int rv = raft_uv_init(&c->io, &c->loop, storage->raft_dir, &c->transport);
    if (rv != 0) {
        error_set(err, STATUS_FAILED, "%s: %s: %s", storage->raft_dir, raft_strerror(rv), c->io.errmsg);
        uv_loop_close(&c->loop);
        return err->status;
    }
    raft_uv_set_auto_recovery(&c->io, false);
    rv = c->io.init(&c->io, storage->identity.id, storage->identity.address);
    if (rv == 0)
        return STATUS_OK;
    error_set(err, STATUS_FAILED, "%s: %s: %s", storage->raft_dir, raft_strerror(rv), c->io.errmsg);
    io_end(c);
    return err->status;
}

static void loaded_free(struct raft_snapshot *snapshot, struct raft_entry *entries, size_t count)
{
    const void *freed = NULL;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].batch != NULL && entries[i].batch != freed)
            raft_free(entries[i].batch);
        freed = entries[i].batch;
    }
    raft_free(entries);
    if (snapshot == NULL)
        return;
    raft_configuration_close(&snapshot->configuration);
    if (snapshot->n_bufs > 0)
        raft_free(snapshot->bufs[0].base);
    raft_free(snapshot->bufs);
    raft_free(snapshot);
}

static enum status log_end(const struct storage_uv *storage, struct storage_end *out, struct error *err)
{
    struct closed_io c;
    raft_term term;
    raft_id vote;
    raft_index start;
    struct raft_snapshot *snapshot = NULL;
    struct raft_entry *entries = NULL;
    size_t count = 0;
    if (io_begin(&c, storage, err) != STATUS_OK)
        return err->status;
    int rv = c.io.load(&c.io, &term, &vote, &snapshot, &start, &entries, &count);
    if (rv != 0) {
        error_set(err, STATUS_FAILED, "%s: %s: %s", storage->raft_dir, raft_strerror(rv), c.io.errmsg);
        io_end(&c);
        return err->status;
    }
    out->last_index = start + count - 1;
    if (count > 0)
        out->last_term = entries[count - 1].term;
    else if (snapshot != NULL)
        out->last_term = snapshot->term;
    if (snapshot != NULL)
        out->member_count = member_list_from(&snapshot->configuration, out->members, MEMBER_LIST_MAX);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (entries[i].type == RAFT_CHANGE &&
            member_list_decode(entries[i].buf.base, entries[i].buf.len, out->members, &out->member_count) != STATUS_OK)
            status = error_set(err, STATUS_CORRUPT, "%s: entry %llu is no member list", storage->raft_dir, start + i);
    loaded_free(snapshot, entries, count);
    io_end(&c);
    return status;
}

enum status storage_uv_end(const char *data_dir, struct storage_end *out, struct error *err)
{
    struct storage_uv storage;
    *out = (struct storage_end){ .generation = 0 };
    if (storage_uv_open(&storage, data_dir, err) != STATUS_OK)
        return err->status;
    out->identity = storage.identity;
    out->generation = storage.generation.number;
    enum status status = log_end(&storage, out, err);
    storage_uv_close(&storage);
    return status;
}

/* An entry with this node as the only member, behind all others. */
static enum status list_write(const struct storage_uv *storage, struct error *err)
{
    struct raft_configuration alone;
    struct closed_io c;
    raft_configuration_init(&alone);
    int rv = raft_configuration_add(&alone, storage->identity.id, storage->identity.address, RAFT_VOTER);
    if (rv != 0)
        return error_set(err, STATUS_FAILED, "%s", raft_strerror(rv));
    enum status status = io_begin(&c, storage, err);
    if (status == STATUS_OK) {
        rv = c.io.recover(&c.io, &alone);
        if (rv != 0)
            status = error_set(err, STATUS_FAILED, "%s: %s: %s", storage->raft_dir, raft_strerror(rv), c.io.errmsg);
        io_end(&c);
    }
    raft_configuration_close(&alone);
    return status == STATUS_OK ? storage_directory_sync(storage->raft_dir, err) : status;
}

enum status storage_uv_recover(const char *data_dir, const char *who, const char *reason, struct error *err)
{
    struct storage_uv storage;
    struct storage_generation next = { .number = 0 };
    if (storage_uv_open(&storage, data_dir, err) != STATUS_OK)
        return err->status;
    next.number = storage.generation.number + 1;
    snprintf(next.who, sizeof next.who, "%s", who);
    snprintf(next.reason, sizeof next.reason, "%s", reason);
    for (char *p = next.reason; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    enum status status = storage_generation_write(storage.node_dir, &next, err);
    if (status == STATUS_OK)
        status = list_write(&storage, err);
    storage_uv_close(&storage);
    return status;
}
