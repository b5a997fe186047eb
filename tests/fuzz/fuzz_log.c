/* The log: no text from outside forges a key or a line. The line is taken apart again by its own rules, and the text stands in it unchanged,
 * or cut at the line's end. */
#include "io/log.h"

#include <stdbool.h>

#include "tests/fuzz/fuzz.h"

static char line[LOG_LINE_MAX * 2];

static void keep(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    (void)snprintf(line, sizeof line, "%s", text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_set_sink(keep, NULL);
    return 0;
}

/* Behind one value: quoted to its closing quote, plain to the next space. NULL: the line ends within it. */
static const char *value_end(const char *at)
{
    if (*at != '"')
        return at + strcspn(at, " ");
    for (at++; *at != '"'; at++) {
        if (*at == '\0')
            return NULL;
        if (*at == '\\' && *++at == '\0')
            return NULL;
    }
    return at + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = { "time=", "level=", "event=", "text=", "number=", NULL };
    char *text = fuzz_text(data, size);
    const char *at = line;
    size_t length;

    log_event(LOG_LEVEL_ERROR, "fuzz", "text=%s number=%d", text, 7);
    length = strlen(line);
    ASSERT(length > 0 && length < LOG_LINE_MAX);
    for (size_t i = 0; i < length; i++)
        ASSERT((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
    for (size_t i = 0; keys[i] != NULL && at != NULL && strcmp(at, "...") != 0; i++) {
        bool cut = strlen(line) == LOG_LINE_MAX - 1;

        if (strncmp(at, keys[i], strlen(keys[i])) != 0) {
            ASSERT(cut);
            break;
        }
        at = value_end(at + strlen(keys[i]));
        ASSERT(at != NULL || cut);
        if (at == NULL || *at == '\0')
            break;
        ASSERT(*at == ' ' || cut);
        at += *at == ' ' ? 1 : 0;
    }
    if (strlen(line) < LOG_LINE_MAX - 1)
        ASSERT(strlen(line) > 9 && strcmp(line + strlen(line) - 9, " number=7") == 0);
    free(text);
    return 0;
}
