#include "raft/append_cut.h"

/* Entries of one message share batches; what is still referred to stays. */
static void entries_free(const struct raft_append_entries *args, unsigned from)
{
    const void *kept = args->entries[from - 1].batch;
    const void *freed = NULL;
    for (unsigned i = from; i < args->n_entries; i++) {
        const struct raft_entry *e = &args->entries[i];
        if (e->batch == NULL)
            raft_free(e->buf.base);
        else if (e->batch != kept && e->batch != freed)
            raft_free(e->batch);
        freed = e->batch;
    }
}

bool append_cut(struct raft_append_entries *args)
{
    unsigned i = 1;
    while (i < args->n_entries && args->entries[i].type != RAFT_CHANGE)
        i++;
    if (i >= args->n_entries)
        return false;
    entries_free(args, i);
    args->n_entries = i;
    return true;
}
