/* What a function that can fail returns, and the detail for people that goes with it.
 * The code says what a caller can do about it; the text says what happened, to whom, and how to mend it. */
#ifndef COORD_BASE_STATUS_H
#define COORD_BASE_STATUS_H

/* X(enumerator, word): the word is what logs, JSON and exit codes are made from. */
#define STATUS_LIST(X)                                                                                                 \
    X(STATUS_OK, "ok")                                                                                                 \
    X(STATUS_REFUSED, "refused")         /* understood and not allowed now: a gate, a rule, an epoch */                \
    X(STATUS_INVALID, "invalid")         /* the input is wrong and stays wrong until it is changed */                  \
    X(STATUS_NOT_FOUND, "not_found")     /* named something that does not exist */                                     \
    X(STATUS_UNREACHABLE, "unreachable") /* no contact; nothing was done */                                            \
    X(STATUS_TIMED_OUT, "timed_out")     /* its deadline passed */                                                     \
    X(STATUS_UNKNOWN, "unknown")         /* it may or may not have happened: look again before a retry */              \
    X(STATUS_NO_LEADER, "no_leader")     /* no quorum, or an election is under way */                                  \
    X(STATUS_CANCELED, "canceled")       /* by its owner */                                                            \
    X(STATUS_CORRUPT, "corrupt")         /* bytes that fail their checksum, version or bounds */                       \
    X(STATUS_FULL, "full")               /* a named limit was reached */                                               \
    X(STATUS_FAILED, "failed")           /* it was tried and did not work; the text says why */

#define STATUS_ENUM(name, word) name,
enum status { STATUS_LIST(STATUS_ENUM) STATUS_COUNT };
#undef STATUS_ENUM

/* "refused" for STATUS_REFUSED; never NULL, also for a number that is no status. */
const char *status_word(enum status status);

#define ERROR_TEXT_MAX 400

/* Owned by the caller; no allocation. `text` is one line for a person, without a secret. */
struct error {
    enum status status;
    char text[ERROR_TEXT_MAX];
};

#define ERROR_NONE ((struct error){ .status = STATUS_OK, .text = "" })

/* Fills `err` (which may be NULL) and returns `status`, so that a failure is one line: return error_set(err, STATUS_..., "..."). */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text and returns err's own status. */
enum status error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* NULL for success: what callbacks are given. */
static inline const struct error *error_or_null(const struct error *err)
{
    return err->status == STATUS_OK ? (const struct error *)0 : err;
}

#endif
