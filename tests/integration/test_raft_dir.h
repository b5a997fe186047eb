/* What may happen to the files of a node's directory. Everything works below row_dir and aborts the test when it cannot be done. */
#ifndef TEST_RAFT_DIR_H
#define TEST_RAFT_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

extern char row_dir[256]; /* the data_dir */

/* The first or last file in node/raft whose name begins so. */
void file_find(const char *begin, bool last, char *path, size_t capacity);
size_t file_read(const char *path, uint8_t *bytes, size_t capacity);
void file_patch(const char *path, off_t offset, const void *bytes, size_t length);
void file_flip(const char *path, off_t offset);
off_t end_of(const char *path); /* where the last batch of an open file ends */
void metadata_newer(char *path, size_t capacity, uint64_t *version);
void metadata_step(uint64_t term_more, uint64_t version_more); /* as if libraft had written it */
void identity_patch(uint32_t format);
void receipt_lowered(uint64_t last_index); /* what a truncation and the storing of a leader's snapshot do first */

#endif
