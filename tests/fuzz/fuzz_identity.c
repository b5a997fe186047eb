/* raft: the identity file of a data directory, its checksum made right, and the names of files beside libraft's. The file itself is included. */
#include "raft/storage_uv.c" /* NOLINT: its static functions are what is tested */

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t in[IDENTITY_BYTES] = { 0 }, out[IDENTITY_BYTES];
    struct storage_identity identity, again;
    struct writer w;
    char *name = fuzz_text(data, size);
    const char *digits_end = name;

    if (digits(&digits_end))
        ASSERT(digits_end > name);
    if (written_by_libraft(name))
        ASSERT(strchr(name, '/') == NULL || strncmp(name, "tmp-", 4) == 0);
    free(name);
    if (identity_decode(data, size, &identity) == STATUS_OK)
        ASSERT(size == IDENTITY_BYTES);
    memcpy(in, data, size < sizeof in ? size : sizeof in);
    writer_init(&w, in, sizeof in);
    writer_u32(&w, IDENTITY_MAGIC);
    writer_init(&w, in + IDENTITY_BYTES - 4, 4);
    writer_u32(&w, crc32c(0, in, IDENTITY_BYTES - 4));
    if (identity_decode(in, sizeof in, &identity) != STATUS_OK)
        return 0;
    ASSERT(identity.id != 0);
    identity_encode(&identity, out);
    ASSERT(identity_decode(out, sizeof out, &again) == STATUS_OK);
    ASSERT(again.cluster == identity.cluster && again.id == identity.id &&
           strcmp(again.address, identity.address) == 0);
    return 0;
}
