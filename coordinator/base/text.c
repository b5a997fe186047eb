#include "base/text.h"

#include <stdio.h>
#include <string.h>

void text_set(char *out, size_t capacity_bytes, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_set_list(out, capacity_bytes, format, args);
    va_end(args);
}

void text_set_list(char *out, size_t capacity_bytes, const char *format, va_list args)
{
    memset(out, 0, capacity_bytes);                     /* equal texts are equal bytes */
    (void)vsnprintf(out, capacity_bytes, format, args); /* a cut text is still the beginning of the message */
}

void text_add(char *out, size_t capacity_bytes, const char *format, ...)
{
    size_t used = strnlen(out, capacity_bytes);
    va_list args;

    if (used >= capacity_bytes)
        return;
    va_start(args, format);
    (void)vsnprintf(out + used, capacity_bytes - used, format, args);
    va_end(args);
}

bool text_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The length of the UTF-8 character that begins here; 0 when none does. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static bool steers_a_terminal(const unsigned char *at, size_t length)
{
    if (length == 1)
        return at[0] < 0x20 || at[0] == 0x7f;
    if (length == 2) /* U+0080 to U+009F: the control characters of eight bits */
        return at[0] == 0xc2 && at[1] < 0xa0;
    if (length == 3 &&
        at[0] == 0xe2) /* U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069: direction; U+2028, U+2029: line ends */
        return (at[1] == 0x80 && (at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xa8 && at[2] <= 0xae))) ||
               (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9);
    return false;
}

void text_clean(char *text, size_t length_bytes, bool keep_lines)
{
    unsigned char *at = (unsigned char *)text;

    while (length_bytes > 0) {
        size_t length = character_bytes(at, length_bytes);
        bool kept = keep_lines && (at[0] == '\n' || at[0] == '\t');

        if (length == 0)
            at[0] = '?';
        else if (!kept && steers_a_terminal(at, length))
            memset(at, ' ', length);
        length = length == 0 ? 1 : length;
        at += length;
        length_bytes -= length;
    }
}
