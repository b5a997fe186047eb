#include "base/crc32c.h"

/* Reflected polynomial 0x82F63B78, four bits at a time: a table of 16 is enough for entries of some hundred bytes. */
static const uint32_t nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c(uint32_t previous, const void *data, size_t length_bytes)
{
    const uint8_t *bytes = data;
    uint32_t crc = ~previous;

    for (size_t i = 0; i < length_bytes; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibble[crc & 15u];
        crc = (crc >> 4) ^ nibble[crc & 15u];
    }
    return ~crc;
}
