/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of every frame, entry and snapshot of ours. */
#ifndef COORD_BASE_CRC32C_H
#define COORD_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `previous` is 0 for the first piece and the last result for the next one. */
uint32_t crc32c(uint32_t previous, const void *data, size_t length_bytes);

#endif
