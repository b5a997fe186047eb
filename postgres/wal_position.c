#include "postgres/wal_position.h"

#include <stddef.h>

/* Up to eight hexadecimal digits; NULL when there are none, or more. */
static const char *parse_half(const char *text, uint32_t *value)
{
    uint32_t digits = 0;

    *value = 0;
    for (;; text++, digits++) {
        uint32_t digit;

        if (*text >= '0' && *text <= '9')
            digit = (uint32_t)(*text - '0');
        else if (*text >= 'A' && *text <= 'F')
            digit = (uint32_t)(*text - 'A') + 10;
        else if (*text >= 'a' && *text <= 'f')
            digit = (uint32_t)(*text - 'a') + 10;
        else
            break;
        *value = (*value << 4) | digit;
        if (digits == 8)
            return NULL;
    }
    return digits > 0 && digits <= 8 ? text : NULL;
}

enum status wal_lsn_parse(const char *text, uint64_t *lsn)
{
    uint32_t high;
    uint32_t low;

    *lsn = 0;
    text = parse_half(text, &high);
    if (text == NULL || *text != '/')
        return STATUS_CORRUPT;
    text = parse_half(text + 1, &low);
    if (text == NULL || *text != '\0')
        return STATUS_CORRUPT;
    *lsn = ((uint64_t)high << 32) | low;
    return STATUS_OK;
}
