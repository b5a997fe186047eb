/* The log: one line per event, key=value, to stderr (journald and containers both take it from there).
 * What is worth a line is the caller's decision; quoting and the sink are this module's. Never pass a secret. */
#ifndef COORD_IO_LOG_H
#define COORD_IO_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

#define LOG_LINE_MAX 2048 /* with its NUL; a longer line is cut and ends in "..." */

/* log_event(LOG_LEVEL_INFO, "lease_granted", "service=%s epoch=%" PRIu64, name, epoch) writes
 *   time=2026-03-01T12:00:00.123Z level=info event=lease_granted service=app epoch=7
 * `format` is printf's, split at its own spaces into key=value; a value that comes out with spaces, quotes, '=' or control characters
 * is quoted and escaped, so that no text from outside can forge a key or a line. Conversions: d i u x X c s p and f e g with the usual
 * flags, widths and lengths; no %n, no %*d but `%.*s`. An empty format ("") writes no further keys. The format is a literal and holds no
 * quote: a text with spaces is passed through %s. */
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Such a line is of the rare ones that no test runs: the compiler looks at all of them. clang folds no strchr. */
#ifndef __clang__
#define LOG_FORMAT(format, ...) (format)
#define log_event(level, event, ...)                                                                                   \
    do {                                                                                                               \
        _Static_assert(__builtin_strchr(LOG_FORMAT(__VA_ARGS__, ), '"') == 0,                                          \
                       "the format holds a quote: pass the text through %s, which is quoted");                         \
        (log_event)(level, event, __VA_ARGS__);                                                                        \
    } while (0)
#endif

/* Lines below `level` are dropped. The start value is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* For tests: each line, without its newline, goes to `sink` instead of stderr; NULL restores stderr. */
typedef void (*log_sink)(void *ctx, enum log_level level, const char *line);
void log_set_sink(log_sink sink, void *ctx);

#endif
