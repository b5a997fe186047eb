#include "fencing/guard_answer.h"

#include <string.h>

#include "base/text.h"

/* Reads from left to right; the first mismatch sticks. */
struct cursor {
    const char *at;
    bool bad;
};

static void expect(struct cursor *c, const char *text)
{
    size_t length = strlen(text);

    if (c->bad || strncmp(c->at, text, length) != 0) {
        c->bad = true;
        return;
    }
    c->at += length;
}

static uint64_t read_u64(struct cursor *c)
{
    uint64_t value = 0;
    const char *begun = c->at;

    for (; !c->bad && *c->at >= '0' && *c->at <= '9'; c->at++) {
        uint64_t digit = (uint64_t)(*c->at - '0');

        if (value > (UINT64_MAX - digit) / 10)
            c->bad = true;
        else
            value = value * 10 + digit;
    }
    if (c->at == begun)
        c->bad = true;
    return c->bad ? 0 : value;
}

static int64_t read_i64(struct cursor *c)
{
    bool negative = !c->bad && *c->at == '-';
    uint64_t size;

    if (negative)
        c->at++;
    size = read_u64(c);
    if (size > (uint64_t)INT64_MAX)
        c->bad = true;
    if (c->bad)
        return 0;
    return negative ? -(int64_t)size : (int64_t)size;
}

/* Exactly sixteen digits; never 0, which is no instance. */
static instance_id read_instance(struct cursor *c)
{
    instance_id value = 0;

    for (int i = 0; i < 16 && !c->bad; i++, c->at++) {
        if (*c->at >= '0' && *c->at <= '9')
            value = (value << 4) | (uint64_t)(*c->at - '0');
        else if (*c->at >= 'a' && *c->at <= 'f')
            value = (value << 4) | ((uint64_t)(*c->at - 'a') + 10);
        else
            c->bad = true;
    }
    if (value == 0)
        c->bad = true;
    return value;
}

static bool read_bool(struct cursor *c)
{
    bool value = !c->bad && *c->at == '1';

    if (c->bad || (*c->at != '0' && *c->at != '1'))
        c->bad = true;
    else
        c->at++;
    return value;
}

static enum guard_state read_state(struct cursor *c)
{
    static const char *const words[] = {
        [GUARD_OPEN] = "open ", [GUARD_CLOSED] = "closed ", [GUARD_BYPASS] = "bypass "
    };

    for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++) {
        if (!c->bad && strncmp(c->at, words[i], strlen(words[i])) == 0) {
            c->at += strlen(words[i]) - 1; /* the space belongs to the next field */
            return (enum guard_state)i;
        }
    }
    c->bad = true;
    return GUARD_CLOSED;
}

static void read_status(struct cursor *c, struct guard_status *s)
{
    expect(c, " instance=");
    s->instance = read_instance(c);
    expect(c, " state=");
    s->state = read_state(c);
    expect(c, " epoch=");
    s->epoch = read_u64(c);
    expect(c, " deadline_us=");
    s->deadline_us = read_i64(c);
    expect(c, " now_us=");
    s->now_us = read_i64(c);
    expect(c, " closed_epoch=");
    s->closed_epoch = read_u64(c);
    expect(c, " refused=");
    s->refused_count = read_u64(c);
    expect(c, " in_recovery=");
    s->in_recovery = read_bool(c);
    expect(c, " enforcing=");
    s->enforcing = read_bool(c);
}

static enum status parse_refusal(const char *line, struct guard_answer *answer, struct error *err)
{
    struct cursor c = { .at = line };
    size_t length;

    expect(&c, "refused reason=");
    length = strspn(c.at, "abcdefghijklmnopqrstuvwxyz_");
    if (c.bad || length == 0 || length >= sizeof answer->reason || c.at[length] != '\0')
        return error_set(err, STATUS_CORRUPT, "lease_guard: a refusal without a reason");
    text_set(answer->reason, sizeof answer->reason, "%s", c.at);
    return error_set(err, STATUS_REFUSED, "lease_guard refused: %s", answer->reason);
}

enum status guard_answer_parse(enum guard_request_kind kind, const char *line, struct guard_answer *answer,
                               struct error *err)
{
    struct cursor c = { .at = line };

    if (strncmp(line, "refused ", 8) == 0)
        return parse_refusal(line, answer, err);
    if (strncmp(line, "invalid ", 8) == 0)
        return error_set(err, STATUS_INVALID, "lease_guard did not understand the request: %.80s", line + 8);
    expect(&c, "ok");
    switch (kind) {
    case GUARD_REQUEST_NOW:
        expect(&c, " instance=");
        answer->status.instance = read_instance(&c);
        expect(&c, " now_us=");
        answer->status.now_us = read_i64(&c);
        break;
    case GUARD_REQUEST_OPEN:
        expect(&c, " deadline_us=");
        answer->status.deadline_us = read_i64(&c);
        break;
    case GUARD_REQUEST_STATUS:
        read_status(&c, &answer->status);
        break;
    case GUARD_REQUEST_CLOSE:
    case GUARD_REQUEST_BYPASS:
        break;
    }
    if (c.bad || *c.at != '\0')
        return error_set(err, STATUS_CORRUPT, "lease_guard: an answer that is not of its protocol");
    return STATUS_OK;
}
