/* What the fuzz programs share. Each feeds bytes to one decoder or parser and asserts, beside "it does not crash", what must hold of
 * whatever it accepts: mostly that writing it again reads as the same. */
#ifndef COORD_TESTS_FUZZ_H
#define COORD_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* An input, taken apart from its front. What is used up gives zeros and empty texts. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | fuzz_u8(in);
    return value;
}

/* At most `size` bytes of what is left. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *size)
{
    const uint8_t *at = in->at;

    if (*size > in->left)
        *size = in->left;
    in->at += *size;
    in->left -= *size;
    return at;
}

/* A text in memory of exactly its length, so that a read beyond its NUL is seen. Gives: free() it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    ASSERT(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* The text up to the next newline, or the rest. Gives. */
static inline char *fuzz_line(struct fuzz_input *in)
{
    const uint8_t *end = in->left > 0 ? memchr(in->at, '\n', in->left) : NULL;
    size_t size = end != NULL ? (size_t)(end - in->at) : in->left;
    const uint8_t *begin = fuzz_bytes(in, &size);

    if (end != NULL)
        (void)fuzz_u8(in);
    return fuzz_text(begin, size);
}

/* For a parser that opens its file: one in memory, and its path. Gives a descriptor: close() it. */
static inline int fuzz_file(const uint8_t *data, size_t size, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    ASSERT(fd >= 0);
    ASSERT(fchmod(fd, 0600) == 0);
    ASSERT(write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
