/* Bounded text for people: always NUL-terminated, cut rather than overrun. Core uses these instead of stdio and <string.h>. */
#ifndef COORD_BASE_TEXT_H
#define COORD_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Replaces what is in `out`. */
void text_set(char *out, size_t capacity_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
void text_set_list(char *out, size_t capacity_bytes, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
/* Appends to what is in `out`. */
void text_add(char *out, size_t capacity_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool text_equal(const char *a, const char *b);
/* What may steer a terminal becomes blanks: control characters, of one byte and in UTF-8, and those that turn the writing direction round; what is no
 * UTF-8 becomes '?'. With `keep_lines` line ends and tabs stay. `length_bytes` does not change. */
void text_clean(char *text, size_t length_bytes, bool keep_lines);

#endif
