/* raft: the identity file of a data directory, its checksum made right, and the names of files beside libraft's. The file itself is included. */
#include "raft/storage_files.c" /* NOLINT: for its format */
#include "raft/storage_uv.c"    /* NOLINT: its static functions are what is tested */

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t in[STORAGE_IDENTITY_BYTES] = { 0 }, out[STORAGE_IDENTITY_BYTES];
    struct storage_identity identity, again;
    struct writer w;
    uint32_t format;
    char *name = fuzz_text(data, size);
    const char *digits_end = name;

    if (digits(&digits_end))
        ASSERT(digits_end > name);
    if (written_by_libraft(name))
        ASSERT(strchr(name, '/') == NULL || strncmp(name, "tmp-", 4) == 0);
    free(name);
    if (storage_identity_decode(data, size, &identity, &format) == STATUS_OK)
        ASSERT(size == STORAGE_IDENTITY_BYTES);
    memcpy(in, data, size < sizeof in ? size : sizeof in);
    writer_init(&w, in, sizeof in);
    writer_u32(&w, IDENTITY_MAGIC);
    writer_init(&w, in + STORAGE_IDENTITY_BYTES - 4, 4);
    writer_u32(&w, crc32c(0, in, STORAGE_IDENTITY_BYTES - 4));
    if (storage_identity_decode(in, sizeof in, &identity, &format) != STATUS_OK)
        return 0;
    ASSERT(identity.id != 0);
    storage_identity_encode(&identity, out);
    ASSERT(storage_identity_decode(out, sizeof out, &again, &format) == STATUS_OK);
    ASSERT(again.cluster == identity.cluster && again.id == identity.id &&
           strcmp(again.address, identity.address) == 0);
    return 0;
}
