#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const words[STATUS_COUNT] = {
#define STATUS_WORD(name, word) [name] = (word),
    STATUS_LIST(STATUS_WORD)
#undef STATUS_WORD
};

const char *status_word(enum status status)
{
    if ((unsigned)status >= STATUS_COUNT)
        return "no_status";
    return words[status];
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return status;
    err->status = status;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* a cut text is still the beginning of the message */
    va_end(args);
    return status;
}

enum status error_wrap(struct error *err, const char *format, ...)
{
    char context[ERROR_TEXT_MAX];
    char inner[ERROR_TEXT_MAX];
    va_list args;

    if (err == NULL)
        return STATUS_FAILED;
    va_start(args, format);
    (void)vsnprintf(context, sizeof context, format, args);
    va_end(args);
    memcpy(inner, err->text, sizeof inner);
    inner[sizeof inner - 1] = '\0';
    (void)snprintf(err->text, sizeof err->text, "%.190s: %.200s", context, inner);
    return err->status;
}
