#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE 4096u
#define FILES_MAX 4096u
#define ENTRIES_MAX 1024u
#define CHANGES_MAX 65536u

struct entry {
    uint64_t directory, number;
    char name[STORE_NAME_MAX + 1];
};

struct table {
    struct entry entries[ENTRIES_MAX];
    size_t count;
};

struct change {
    struct entry entry;
    bool add;
    unsigned group; /* all of a group stay, or none: a rename */
};

struct store {
    struct store_file files[FILES_MAX];
    struct table now, kept;
    struct change *changes; /* from kept to now, in order */
    size_t change_count;
    unsigned group;
};

struct store *store_create(void)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->changes = calloc(CHANGES_MAX, sizeof *s->changes);
    if (s->changes == NULL) {
        free(s);
        return NULL;
    }
    s->files[STORE_ROOT].mode = S_IFDIR | 0700;
    return s;
}

struct store_file *store_file(struct store *s, uint64_t number)
{
    return number < FILES_MAX && s->files[number].mode != 0 ? &s->files[number] : NULL;
}

static struct entry *table_find(struct table *t, uint64_t directory, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->entries[i].directory == directory && strcmp(t->entries[i].name, name) == 0)
            return &t->entries[i];
    return NULL;
}

static void table_apply(struct table *t, const struct change *c)
{
    struct entry *old = table_find(t, c->entry.directory, c->entry.name);
    if (old != NULL)
        *old = t->entries[--t->count];
    if (c->add)
        t->entries[t->count++] = c->entry;
}

static int change(struct store *s, uint64_t directory, const char *name, uint64_t number, bool add)
{
    if (s->change_count == CHANGES_MAX || s->now.count + 1 >= ENTRIES_MAX || strlen(name) > STORE_NAME_MAX)
        return ENOSPC;
    struct change *c = &s->changes[s->change_count++];
    *c = (struct change){ .entry = { .directory = directory, .number = number }, .add = add, .group = s->group };
    strcpy(c->entry.name, name);
    table_apply(&s->now, c);
    return 0;
}

uint64_t store_lookup(struct store *s, uint64_t directory, const char *name)
{
    struct entry *e = table_find(&s->now, directory, name);
    return e != NULL ? e->number : 0;
}

uint64_t store_make(struct store *s, mode_t mode)
{
    for (uint64_t i = STORE_ROOT + 1; i < FILES_MAX; i++)
        if (s->files[i].mode == 0) {
            s->files[i] = (struct store_file){ .mode = mode };
            return i;
        }
    return 0;
}

int store_link(struct store *s, uint64_t directory, const char *name, uint64_t number)
{
    if (table_find(&s->now, directory, name) != NULL)
        return EEXIST;
    s->group++;
    return change(s, directory, name, number, true);
}

static bool directory_empty(const struct table *t, uint64_t directory)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->entries[i].directory == directory)
            return false;
    return true;
}

int store_unlink(struct store *s, uint64_t directory, const char *name, bool is_directory)
{
    uint64_t number = store_lookup(s, directory, name);
    if (number == 0)
        return ENOENT;
    if (is_directory && !directory_empty(&s->now, number))
        return ENOTEMPTY;
    s->group++;
    int wrong = change(s, directory, name, number, false);
    store_forget(s, number);
    return wrong;
}

int store_rename(struct store *s, uint64_t from, const char *name, uint64_t to, const char *new_name)
{
    uint64_t number = store_lookup(s, from, name);
    uint64_t replaced = store_lookup(s, to, new_name);
    if (number == 0)
        return ENOENT;
    s->group++;
    int wrong = change(s, from, name, number, false);
    if (wrong == 0)
        wrong = change(s, to, new_name, number, true);
    store_forget(s, replaced);
    return wrong;
}

uint64_t store_entry(struct store *s, uint64_t directory, size_t i, const char **name)
{
    for (size_t k = 0; k < s->now.count; k++)
        if (s->now.entries[k].directory == directory && i-- == 0) {
            *name = s->now.entries[k].name;
            return s->now.entries[k].number;
        }
    return 0;
}

static int room_make(struct store_file *f, size_t size)
{
    if (size <= f->capacity)
        return 0;
    size_t capacity = (size + (1u << 16)) / (1u << 16) * (1u << 16);
    uint8_t *now = calloc(1, capacity), *kept = calloc(1, capacity), *dirty = calloc(1, capacity / PAGE);
    if (now == NULL || kept == NULL || dirty == NULL) {
        free(now);
        free(kept);
        free(dirty);
        return ENOSPC;
    }
    if (f->capacity > 0) {
        memcpy(now, f->now, f->capacity);
        memcpy(kept, f->kept, f->capacity);
        memcpy(dirty, f->dirty, f->capacity / PAGE);
    }
    free(f->now);
    free(f->kept);
    free(f->dirty);
    f->now = now;
    f->kept = kept;
    f->dirty = dirty;
    f->capacity = capacity;
    return 0;
}

static void dirty_mark(struct store_file *f, size_t begin, size_t end)
{
    for (size_t page = begin / PAGE; page * PAGE < end; page++)
        f->dirty[page] = 1;
}

int store_write(struct store *s, uint64_t number, size_t offset, const void *bytes, size_t length)
{
    struct store_file *f = &s->files[number];
    int wrong = room_make(f, offset + length);
    if (wrong != 0)
        return wrong;
    memcpy(f->now + offset, bytes, length);
    if (f->now_size < offset + length)
        f->now_size = offset + length;
    dirty_mark(f, offset, offset + length);
    return 0;
}

int store_resize(struct store *s, uint64_t number, size_t size)
{
    struct store_file *f = &s->files[number];
    int wrong = room_make(f, size);
    if (wrong != 0)
        return wrong;
    if (size < f->now_size) {
        memset(f->now + size, 0, f->now_size - size);
        dirty_mark(f, size, f->now_size);
    }
    f->now_size = size;
    return 0;
}

static void names_keep(struct store *s, uint64_t directory)
{
    size_t left = 0;
    for (size_t i = 0; i < s->change_count; i++) {
        bool ours = false;
        for (size_t k = 0; k < s->change_count && !ours; k++)
            ours = s->changes[k].group == s->changes[i].group && s->changes[k].entry.directory == directory;
        if (ours)
            table_apply(&s->kept, &s->changes[i]);
        else
            s->changes[left++] = s->changes[i];
    }
    s->change_count = left;
}

void store_sync(struct store *s, uint64_t number)
{
    struct store_file *f = &s->files[number];
    if (S_ISDIR(f->mode)) {
        names_keep(s, number);
        return;
    }
    for (size_t page = 0; page * PAGE < f->capacity; page++)
        if (f->dirty[page] != 0) {
            memcpy(f->kept + page * PAGE, f->now + page * PAGE, PAGE);
            f->dirty[page] = 0;
        }
    f->kept_size = f->now_size;
}

static bool named(const struct store *s, uint64_t number)
{
    for (size_t i = 0; i < s->now.count; i++)
        if (s->now.entries[i].number == number)
            return true;
    for (size_t i = 0; i < s->kept.count; i++)
        if (s->kept.entries[i].number == number)
            return true;
    for (size_t i = 0; i < s->change_count; i++)
        if (s->changes[i].entry.number == number)
            return true;
    return false;
}

void store_forget(struct store *s, uint64_t number)
{
    struct store_file *f = store_file(s, number);
    if (f == NULL || number == STORE_ROOT || f->opened > 0 || named(s, number))
        return;
    free(f->now);
    free(f->kept);
    free(f->dirty);
    *f = (struct store_file){ 0 };
}

/* xorshift: the same seed gives the same loss. */
static unsigned draw(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state >> 8;
}

static void file_lose(struct store_file *f, unsigned *state, unsigned *pages_lost)
{
    for (size_t page = 0; page * PAGE < f->capacity; page++) {
        if (f->dirty[page] == 0)
            continue;
        f->dirty[page] = 0;
        if (draw(state) % 2 == 0)
            memcpy(f->kept + page * PAGE, f->now + page * PAGE, PAGE);
        else
            (*pages_lost)++;
    }
    if (draw(state) % 2 == 0)
        f->kept_size = f->now_size;
    if (f->capacity > 0) {
        memset(f->kept + f->kept_size, 0, f->capacity - f->kept_size);
        memcpy(f->now, f->kept, f->capacity);
    }
    f->now_size = f->kept_size;
    f->opened = 0;
}

void store_power_loss(struct store *s, unsigned seed, unsigned *pages_lost, unsigned *names_lost)
{
    unsigned state = seed * 2654435761u + 1;
    size_t keep = s->change_count > 0 ? draw(&state) % (s->change_count + 1) : 0;
    while (keep > 0 && keep < s->change_count && s->changes[keep].group == s->changes[keep - 1].group)
        keep--;
    for (size_t i = 0; i < keep; i++)
        table_apply(&s->kept, &s->changes[i]);
    *names_lost = (unsigned)(s->change_count - keep);
    *pages_lost = 0;
    s->change_count = 0;
    s->now = s->kept;
    for (uint64_t i = 1; i < FILES_MAX; i++)
        if (s->files[i].mode != 0 && !S_ISDIR(s->files[i].mode))
            file_lose(&s->files[i], &state, pages_lost);
    for (uint64_t i = 1; i < FILES_MAX; i++)
        store_forget(s, i);
}
