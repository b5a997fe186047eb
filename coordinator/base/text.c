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
