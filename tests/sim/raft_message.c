/* The structure, then what its pointers point to: for AppendEntries (term, type, length, data) of each entry, for InstallSnapshot the
 * encoded configuration and the data. */
#include "tests/sim/raft_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

static size_t size_of(const struct raft_message *message, const struct raft_buffer *configuration)
{
    size_t size = sizeof(*message);

    if (message->type == RAFT_APPEND_ENTRIES)
        for (unsigned i = 0; i < message->append_entries.n_entries; i++)
            size += 24 + message->append_entries.entries[i].buf.len;
    if (message->type == RAFT_INSTALL_SNAPSHOT)
        size += 16 + configuration->len + message->install_snapshot.data.len;
    return size;
}

void *raft_message_encode(const struct raft_message *message, raft_id sender, size_t *size_bytes)
{
    struct raft_message head = *message;
    struct raft_buffer configuration = { 0 };
    struct writer w;
    void *bytes;

    head.server_id = sender;
    head.server_address = NULL;
    if (message->type == RAFT_INSTALL_SNAPSHOT)
        ASSERT(raft_configuration_encode(&message->install_snapshot.conf, &configuration) == 0);
    *size_bytes = size_of(message, &configuration);
    bytes = malloc(*size_bytes);
    ASSERT(bytes != NULL);
    writer_init(&w, bytes, *size_bytes);
    writer_bytes(&w, &head, sizeof(head));
    if (message->type == RAFT_APPEND_ENTRIES) {
        for (unsigned i = 0; i < message->append_entries.n_entries; i++) {
            const struct raft_entry *e = &message->append_entries.entries[i];
            writer_u64(&w, e->term);
            writer_u64(&w, (uint64_t)e->type);
            writer_u64(&w, e->buf.len);
            writer_bytes(&w, e->buf.base, e->buf.len);
        }
    } else if (message->type == RAFT_INSTALL_SNAPSHOT) {
        writer_u64(&w, configuration.len);
        writer_bytes(&w, configuration.base, configuration.len);
        writer_u64(&w, message->install_snapshot.data.len);
        writer_bytes(&w, message->install_snapshot.data.base, message->install_snapshot.data.len);
        raft_free(configuration.base);
    }
    ASSERT(writer_ok(&w) && w.used == *size_bytes);
    return bytes;
}

static void decode_entries(struct raft_append_entries *args, struct reader *r, size_t size_bytes)
{
    char *batch;
    size_t used = 0;

    args->entries = NULL;
    if (args->n_entries == 0)
        return;
    args->entries = raft_calloc(args->n_entries, sizeof(struct raft_entry));
    batch = raft_malloc(size_bytes + 8 * (size_t)args->n_entries);
    for (unsigned i = 0; i < args->n_entries; i++) {
        struct raft_entry *e = &args->entries[i];
        e->term = reader_u64(r);
        e->type = (enum raft_entry_type)reader_u64(r);
        e->buf.len = reader_u64(r);
        e->buf.base = batch + used;
        e->batch = batch;
        reader_bytes(r, e->buf.base, e->buf.len);
        used += (e->buf.len + 7) & ~(size_t)7;
    }
}

static void decode_snapshot(struct raft_install_snapshot *args, struct reader *r)
{
    struct raft_buffer configuration;

    configuration.len = reader_u64(r);
    configuration.base = raft_malloc(configuration.len);
    reader_bytes(r, configuration.base, configuration.len);
    ASSERT(raft_configuration_decode(&configuration, &args->conf) == 0);
    raft_free(configuration.base);
    args->data.len = reader_u64(r);
    args->data.base = raft_malloc(args->data.len);
    reader_bytes(r, args->data.base, args->data.len);
}

void raft_message_decode(struct raft_message *message, const void *data, size_t size_bytes)
{
    struct reader r;

    reader_init(&r, data, size_bytes);
    reader_bytes(&r, message, sizeof(*message));
    if (message->type == RAFT_APPEND_ENTRIES)
        decode_entries(&message->append_entries, &r, size_bytes);
    else if (message->type == RAFT_INSTALL_SNAPSHOT)
        decode_snapshot(&message->install_snapshot, &r);
    ASSERT(reader_done(&r));
}
