/* The format is walked once: literal text and conversions are gathered into one value at a time, and each value is quoted, if it must
 * be, when the format's next space ends it. Every piece is bounded by the line; what does not fit is cut, visibly. */
#include "io/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/clock.h"

/* The only mutable global of the program (docs/style.md §1). */
static struct {
    log_sink sink;
    void *ctx;
    enum log_level level;
} output = { .level = LOG_LEVEL_INFO };

static const char *const level_words[] = { "debug", "info", "warning", "error" };

struct line {
    char text[LOG_LINE_MAX];
    size_t used;
    bool cut;
};

struct value {
    char text[LOG_LINE_MAX];
    size_t used;
};

static void line_char(struct line *l, char c)
{
    if (l->used + 1 < sizeof l->text)
        l->text[l->used++] = c;
    else
        l->cut = true;
}

static void line_text(struct line *l, const char *text, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++)
        line_char(l, text[i]);
}

static void value_add(struct value *v, const char *text, size_t length_bytes)
{
    size_t room = sizeof v->text - v->used;

    if (length_bytes > room)
        length_bytes = room;
    memcpy(v->text + v->used, text, length_bytes);
    v->used += length_bytes;
}

static bool plain(const char *text, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c == 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return length_bytes > 0;
}

static void line_value(struct line *l, const struct value *v)
{
    static const char hex[] = "0123456789abcdef";

    if (plain(v->text, v->used)) {
        line_text(l, v->text, v->used);
        return;
    }
    line_char(l, '"');
    for (size_t i = 0; i < v->used; i++) {
        unsigned char c = (unsigned char)v->text[i];
        if (c == '"' || c == '\\') {
            line_char(l, '\\');
            line_char(l, (char)c);
        } else if (c == '\n') {
            line_text(l, "\\n", 2);
        } else if (c < ' ' || c == 0x7f) {
            line_text(l, "\\x", 2);
            line_char(l, hex[c >> 4]);
            line_char(l, hex[c & 15]);
        } else {
            line_char(l, (char)c);
        }
    }
    line_char(l, '"');
}

/* One conversion as the format has it, for example "%08" PRIx64. */
struct conversion {
    char spec[32];
    size_t length;    /* of it in the format */
    char letter;      /* d u x s ... ; 0: not understood */
    char modifier[3]; /* "", "l", "ll", "h", "hh", "z", "j", "t" */
    bool star;        /* the precision is an argument */
};

static struct conversion conversion_read(const char *format)
{
    struct conversion c = { .length = 1 };
    const char *p = format + 1;

    p += strspn(p, "-+ #0");
    p += strspn(p, "0123456789");
    if (*p == '.') {
        p++;
        c.star = *p == '*';
        p += c.star ? 1 : strspn(p, "0123456789");
    }
    size_t modifier_bytes = strspn(p, "hlzjt");
    if (modifier_bytes < sizeof c.modifier)
        memcpy(c.modifier, p, modifier_bytes);
    p += modifier_bytes;
    size_t length = (size_t)(p - format) + 1;
    if (*p == '\0' || length >= sizeof c.spec || modifier_bytes >= sizeof c.modifier)
        return c;
    c.letter = *p;
    c.length = length;
    memcpy(c.spec, format, length);
    return c;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* pieces of a format that the compiler has checked at the call */

static int convert_integer(char *out, size_t capacity_bytes, const struct conversion *c, va_list *args)
{
    if (strcmp(c->modifier, "ll") == 0)
        return snprintf(out, capacity_bytes, c->spec, va_arg(*args, long long));
    if (strcmp(c->modifier, "l") == 0)
        return snprintf(out, capacity_bytes, c->spec, va_arg(*args, long));
    if (strcmp(c->modifier, "z") == 0)
        return snprintf(out, capacity_bytes, c->spec, va_arg(*args, size_t));
    if (strcmp(c->modifier, "j") == 0)
        return snprintf(out, capacity_bytes, c->spec, va_arg(*args, intmax_t));
    if (strcmp(c->modifier, "t") == 0)
        return snprintf(out, capacity_bytes, c->spec, va_arg(*args, ptrdiff_t));
    return snprintf(out, capacity_bytes, c->spec, va_arg(*args, int));
}

/* False: the conversion is not one of ours, and nothing after it can be read safely. */
static bool convert(struct value *v, const struct conversion *c, va_list *args)
{
    char piece[LOG_LINE_MAX];
    int length;

    switch (c->letter) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'c':
        length = convert_integer(piece, sizeof piece, c, args);
        break;
    case 'f':
    case 'e':
    case 'g':
        length = snprintf(piece, sizeof piece, c->spec, va_arg(*args, double));
        break;
    case 'p':
        length = snprintf(piece, sizeof piece, c->spec, va_arg(*args, void *));
        break;
    case 's': {
        int precision = c->star ? va_arg(*args, int) : 0;
        const char *text = va_arg(*args, const char *);
        if (text == NULL)
            text = "(null)";
        length = c->star ? snprintf(piece, sizeof piece, c->spec, precision, text)
                         : snprintf(piece, sizeof piece, c->spec, text);
        break;
    }
    default:
        return false;
    }
    if (length > 0)
        value_add(v, piece, (size_t)length < sizeof piece ? (size_t)length : sizeof piece - 1);
    return true;
}

#pragma GCC diagnostic pop

static void line_pairs(struct line *l, const char *format, va_list *args)
{
    struct value v;

    while (*format != '\0') {
        size_t key_bytes = strcspn(format, "= ");
        line_char(l, ' ');
        line_text(l, format, key_bytes);
        format += key_bytes;
        if (*format != '=')
            goto next;
        line_char(l, *format++);
        v.used = 0;
        while (*format != '\0' && *format != ' ') {
            if (format[0] == '%' && format[1] == '%') {
                value_add(&v, "%", 1);
                format += 2;
            } else if (*format == '%') {
                struct conversion c = conversion_read(format);
                if (!convert(&v, &c, args)) {
                    line_text(l, "(bad format)", 12);
                    return;
                }
                format += c.length;
            } else {
                value_add(&v, format++, 1);
            }
        }
        line_value(l, &v);
    next:
        format += strspn(format, " ");
    }
}

static void line_time(struct line *l)
{
    char text[64];
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    size_t used;

    (void)gmtime_r(&seconds, &utc);
    used = strftime(text, sizeof text, "time=%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + used, sizeof text - used, ".%03dZ", (int)(now_ms % 1000));
    line_text(l, text, strlen(text));
}

/* A log that cannot be written has nowhere to complain. */
static void write_stderr(char *text, size_t length_bytes)
{
    text[length_bytes++] = '\n'; /* in the place of the NUL: one write, so that lines of several processes do not mix */
    while (length_bytes > 0) {
        ssize_t n = write(STDERR_FILENO, text, length_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        length_bytes -= (size_t)n;
    }
}

/* In parentheses: the header has a macro of this name. */
void(log_event)(enum log_level level, const char *event, const char *format, ...)
{
    struct line l = { .used = 0 };
    va_list args;

    if (level < output.level)
        return;
    line_time(&l);
    line_text(&l, " level=", 7);
    line_text(&l, level_words[level], strlen(level_words[level]));
    line_text(&l, " event=", 7);
    line_text(&l, event, strlen(event));
    va_start(args, format);
    line_pairs(&l, format, &args);
    va_end(args);
    if (l.cut)
        memcpy(l.text + l.used - 3, "...", 3);
    l.text[l.used] = '\0';
    if (output.sink != NULL)
        output.sink(output.ctx, level, l.text);
    else
        write_stderr(l.text, l.used);
}

void log_set_level(enum log_level level)
{
    output.level = level;
}

void log_set_sink(log_sink sink, void *ctx)
{
    output.sink = sink;
    output.ctx = ctx;
}
