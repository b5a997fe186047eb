#include "test_raft_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "raft/storage_files.h"
#include "test_raft_harness.h"

char row_dir[256];

void file_find(const char *begin, bool last, char *path, size_t capacity)
{
    char command[600];
    snprintf(command, sizeof command, "ls -d %s/node/raft/%s* | grep -v '[.]meta$' | sort -V | %s -n 1", row_dir, begin,
             last ? "tail" : "head");
    FILE *f = popen(command, "r");
    assert_non_null(f);
    if (fgets(path, (int)capacity, f) == NULL)
        fail_msg("no file %s*", begin);
    pclose(f);
    path[strcspn(path, "\n")] = '\0';
}

size_t file_read(const char *path, uint8_t *bytes, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = pread(fd, bytes, capacity, 0);
    assert_true(n >= 0);
    close(fd);
    return (size_t)n;
}

void file_patch(const char *path, off_t offset, const void *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, offset), length);
    close(fd);
}

void file_flip(const char *path, off_t offset)
{
    uint8_t bytes[1];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, 1, offset), 1);
    bytes[0] ^= 0x10;
    assert_int_equal(pwrite(fd, bytes, 1, offset), 1);
    close(fd);
}

off_t end_of(const char *path)
{
    static uint8_t bytes[8u << 20];
    size_t used = file_read(path, bytes, sizeof bytes);
    while (used > 0 && bytes[used - 1] == 0)
        used--;
    return (off_t)((used + 7) / 8 * 8);
}

void metadata_newer(char *path, size_t capacity, uint64_t *version)
{
    *version = 0;
    for (int i = 1; i <= 2; i++) {
        char one[400];
        uint8_t bytes[32];
        struct reader r;
        snprintf(one, sizeof one, "%s/node/raft/metadata%d", row_dir, i);
        assert_int_equal(file_read(one, bytes, sizeof bytes), sizeof bytes);
        reader_init(&r, bytes, sizeof bytes);
        (void)reader_u64(&r);
        uint64_t v = reader_u64(&r);
        if (v > *version) {
            *version = v;
            snprintf(path, capacity, "%s", one);
        }
    }
    assert_true(*version > 0);
}

void identity_patch(uint32_t format)
{
    char path[400];
    uint8_t bytes[STORAGE_IDENTITY_BYTES];
    struct writer w;
    snprintf(path, sizeof path, "%s/node/identity", row_dir);
    assert_int_equal(file_read(path, bytes, sizeof bytes), sizeof bytes);
    writer_init(&w, bytes + 4, 4);
    writer_u32(&w, format);
    writer_init(&w, bytes + sizeof bytes - 4, 4);
    writer_u32(&w, crc32c(0, bytes, sizeof bytes - 4));
    file_patch(path, 0, bytes, sizeof bytes);
}

void metadata_step(uint64_t term_more, uint64_t version_more)
{
    char path[400], other[400];
    uint8_t bytes[32];
    struct reader r;
    struct writer w;
    uint64_t version;
    metadata_newer(path, sizeof path, &version);
    file_read(path, bytes, sizeof bytes);
    reader_init(&r, bytes, sizeof bytes);
    (void)reader_u64(&r);
    (void)reader_u64(&r);
    uint64_t term = reader_u64(&r);
    snprintf(other, sizeof other, "%s/node/raft/metadata%d", row_dir, (version + version_more) % 2 == 1 ? 1 : 2);
    writer_init(&w, bytes, sizeof bytes);
    writer_u64(&w, 1);
    writer_u64(&w, version + version_more);
    writer_u64(&w, term + term_more);
    writer_u64(&w, 0);
    file_patch(other, 0, bytes, sizeof bytes);
}

void receipt_lowered(uint64_t last_index)
{
    char path[400], receipt[400];
    uint8_t bytes[32];
    struct reader r;
    struct receipt_content told = { .last_index = last_index };
    snprintf(receipt, sizeof receipt, "%s/node/receipt", row_dir);
    metadata_newer(path, sizeof path, &told.metadata_version);
    file_read(path, bytes, sizeof bytes);
    reader_init(&r, bytes + 16, 16);
    told.term = reader_u64(&r);
    told.vote = reader_u64(&r);
    assert_int_equal(receipt_create(receipt, &told, NULL), STATUS_OK);
}
