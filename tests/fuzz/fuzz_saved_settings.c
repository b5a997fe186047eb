/* postgres: the file with what sever replaced. The checksum is made right; what is read holds bounded texts, and a wrong checksum is told. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "postgres/saved_settings.h"
#include "tests/fuzz/fuzz.h"

static enum status read_bytes(const uint8_t *data, size_t size, struct saved_settings *out)
{
    struct error err = ERROR_NONE;
    char path[64];
    int fd = fuzz_file(data, size, path);
    enum status status = saved_settings_read(path, out, &err);

    ASSERT(close(fd) == 0);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[8192];
    struct saved_settings saved;
    struct writer w;

    if (size + 8 > sizeof bytes)
        return 0;
    (void)read_bytes(data, size, &saved);
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, 0x53455601u);
    writer_bytes(&w, data, size);
    writer_u32(&w, crc32c(0, bytes, w.used));
    if (read_bytes(bytes, w.used, &saved) != STATUS_OK)
        return 0;
    ASSERT(strlen(saved.primary_conninfo) + strlen(saved.retry_interval) + 4 == size);
    bytes[w.used - 1] ^= 1;
    ASSERT(read_bytes(bytes, w.used, &saved) == STATUS_CORRUPT);
    return 0;
}
