/* lease_guard: the lines of its socket, over its real state, on a clock and an instance of the test's own. Our client understands every answer,
 * and whatever was asked: a closed epoch stays closed, and no write passes beyond what was opened. */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"

#include "guard_clock.h"
#include "guard_protocol.h"
#include "guard_state.h"
#include "tests/fuzz/fuzz_guard_protocol.h"

#undef snprintf
#undef vsnprintf

#define INSTANCE UINT64CONST(0x1111111111111111)
#define LINES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64 now_us;
static LWLock lock;

int64 guard_clock_early_us(void)
{
    return now_us;
}

int64 guard_clock_late_us(void)
{
    return now_us + 3;
}

/* What the two files use of PostgreSQL. */
bool LWLockAcquire(LWLock *l, LWLockMode mode)
{
    (void)l;
    (void)mode;
    return true;
}

void LWLockRelease(LWLock *l)
{
    (void)l;
}

LWLockPadded *GetNamedLWLockTranche(const char *name)
{
    (void)name;
    return NULL;
}

bool RecoveryInProgress(void)
{
    return false;
}

bool pg_strong_random(void *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return false;
}

int pg_snprintf(char *out, size_t capacity, const char *format, ...) __attribute__((format(printf, 3, 4)));
int pg_snprintf(char *out, size_t capacity, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(out, capacity, format, args);
    va_end(args);
    return length;
}

bool errstart(int level, const char *domain)
{
    (void)level;
    (void)domain;
    abort();
}

bool errstart_cold(int level, const char *domain)
{
    return errstart(level, domain);
}

void errfinish(const char *file, int line, const char *function)
{
    (void)file;
    (void)line;
    (void)function;
}

int errcode(int code)
{
    return code;
}

int errmsg(const char *format, ...)
{
    (void)format;
    return 0;
}

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fputs(what, stderr);
    fputc('\n', stderr);
    abort();
}

static void invariants(uint64 closed_before)
{
    uint64 gate = pg_atomic_read_u64(&guard->gate_us);

    must(guard->closed_epoch >= closed_before, "a closed epoch was forgotten");
    if (guard->bypass) {
        must(guard->closed_epoch == 0 || guard->bypass_epoch > guard->closed_epoch, "a bypass of a closed epoch");
        must(gate == GUARD_OPEN_UNBOUNDED, "a bypass without an open gate");
        return;
    }
    must(gate == (uint64)guard->deadline_us, "the gate is not the deadline");
    must(gate == 0 || guard->epoch > guard->closed_epoch, "open under a closed epoch");
    must(gate == 0 || guard->deadline_us <= now_us + 3 + (int64)PG_UINT32_MAX * 1000,
         "open for longer than can be asked for");
}

/* A line as the worker hands it over: its newline is a zero, and at most GUARD_LINE_BYTES_MAX come. */
static void ask(const uint8_t *bytes, size_t size)
{
    char line[GUARD_LINE_BYTES_MAX + 1], asked[GUARD_LINE_BYTES_MAX + 1], answer[GUARD_ANSWER_BYTES_MAX];
    uint64 closed_before = guard->closed_epoch;
    size_t length;

    size = size < GUARD_LINE_BYTES_MAX ? size : GUARD_LINE_BYTES_MAX;
    memcpy(line, bytes, size);
    line[size] = '\0';
    memcpy(asked, line, size + 1);
    memset(answer, 'x', sizeof answer);
    guard_protocol_answer(line, size, answer);
    must(memchr(answer, '\0', sizeof answer) != NULL, "an answer without its end");
    length = strlen(answer);
    must(length > 1 && strchr(answer, '\n') == answer + length - 1, "an answer is one line");
    answer[length - 1] = '\0';
    must(strlen(asked) != size || fuzz_client_understands(asked, answer),
         "an answer that our client does not understand");
    invariants(closed_before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guard_shared shared;
    unsigned lines = 0;

    memset(&shared, 0, sizeof shared);
    shared.instance = INSTANCE;
    shared.lock = &lock;
    guard = &shared;
    now_us = 1000000;
    while (size > 0 && lines++ < LINES_MAX) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end != NULL ? (size_t)(end - data) : size;

        ask(data, length);
        now_us += 1000;
        length += end != NULL ? 1 : 0;
        data += length;
        size -= length;
    }
    return 0;
}
