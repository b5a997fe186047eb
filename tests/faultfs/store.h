/* What a disk holds, twice: as programs see it now, and as it would be after a power loss. In memory. Decides what a power loss leaves:
 *
 *  - a synced file's bytes and size stay; of what was written since, each page of 4096 bytes stays or not by itself, and so does the size;
 *  - a name (made, removed, moved) stays when its directory was synced; of those since, the first so many stay, in the order they were done.
 *
 * That is what POSIX promises, and less than journals give. */
#ifndef FAULTFS_STORE_H
#define FAULTFS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STORE_ROOT 1
#define STORE_NAME_MAX 255

struct store_file { /* or a directory */
    mode_t mode;    /* 0: this number is free */
    uint8_t *now, *kept;
    size_t now_size, kept_size, capacity; /* of each of the two */
    uint8_t *dirty;                       /* one per page */
    unsigned opened;                      /* handles; a file without a name lives as long */
};

struct store;

struct store *store_create(void);
struct store_file *store_file(struct store *s, uint64_t number);              /* NULL: none */
uint64_t store_lookup(struct store *s, uint64_t directory, const char *name); /* 0: none */
/* A file without a name; 0: no memory. */
uint64_t store_make(struct store *s, mode_t mode);
int store_link(struct store *s, uint64_t directory, const char *name, uint64_t number);
int store_unlink(struct store *s, uint64_t directory, const char *name, bool is_directory);
int store_rename(struct store *s, uint64_t from, const char *name, uint64_t to, const char *new_name);
/* The i-th name of a directory; 0 at its end. */
uint64_t store_entry(struct store *s, uint64_t directory, size_t i, const char **name);

int store_write(struct store *s, uint64_t number, size_t offset, const void *bytes, size_t length);
int store_resize(struct store *s, uint64_t number, size_t size);
void store_sync(struct store *s, uint64_t number); /* of a directory: its names */
/* Gives a file's number back when it has neither name nor handle. */
void store_forget(struct store *s, uint64_t number);

/* Returns how many pages and names were lost. */
void store_power_loss(struct store *s, unsigned seed, unsigned *pages_lost, unsigned *names_lost);

#endif
