#include "guard_protocol.h"

#include "guard_state.h"

/* Reads `key=value` fields from left to right, each exactly once and in the order of the protocol. */
struct fields {
    char *next; /* NULL: nothing left */
    bool bad;
};

static char *next_word(struct fields *f)
{
    char *word = f->next;
    char *space;

    if (word == NULL)
        return NULL;
    space = strchr(word, ' ');
    if (space != NULL)
        *space++ = '\0';
    f->next = space;
    return word;
}

/* Digits only: strtoull alone would take signs, spaces and 0x. */
static uint64 read_number(struct fields *f, const char *key, int base, uint64 max)
{
    char *word = next_word(f);
    size_t key_length = strlen(key);
    char *end = NULL;
    unsigned long long value;

    if (word == NULL || strncmp(word, key, key_length) != 0 || word[key_length] != '=') {
        f->bad = true;
        return 0;
    }
    word += key_length + 1;
    if (word[0] == '\0' || strspn(word, base == 16 ? "0123456789abcdefABCDEF" : "0123456789") != strlen(word)) {
        f->bad = true;
        return 0;
    }
    errno = 0;
    value = strtoull(word, &end, base);
    if (errno != 0 || *end != '\0' || value > max)
        f->bad = true;
    return f->bad ? 0 : (uint64)value;
}

static bool fields_end(const struct fields *f)
{
    return !f->bad && f->next == NULL;
}

static void print_invalid(char *answer, const char *reason)
{
    snprintf(answer, GUARD_ANSWER_BYTES_MAX, "invalid reason=%s\n", reason);
}

static void print_verdict(char *answer, enum guard_verdict verdict)
{
    if (verdict == GUARD_OK)
        snprintf(answer, GUARD_ANSWER_BYTES_MAX, "ok\n");
    else
        snprintf(answer, GUARD_ANSWER_BYTES_MAX, "refused reason=%s\n", guard_verdict_word(verdict));
}

static void answer_now(struct fields *f, char *answer)
{
    if (!fields_end(f)) {
        print_invalid(answer, "now_takes_nothing");
        return;
    }
    snprintf(answer, GUARD_ANSWER_BYTES_MAX, "ok instance=%016" INT64_MODIFIER "x now_us=" INT64_FORMAT "\n",
             guard->instance, guard_now());
}

static void answer_open(struct fields *f, char *answer)
{
    uint64 instance = read_number(f, "instance", 16, PG_UINT64_MAX);
    uint64 epoch = read_number(f, "epoch", 10, PG_UINT64_MAX);
    uint64 t0_us = read_number(f, "t0_us", 10, PG_INT64_MAX);
    uint64 hold_ms = read_number(f, "hold_ms", 10, PG_UINT32_MAX);
    int64 deadline_us = 0;
    enum guard_verdict verdict;

    if (!fields_end(f)) {
        print_invalid(answer, "open_takes_instance_epoch_t0_us_hold_ms");
        return;
    }
    verdict = guard_open(instance, epoch, (int64)t0_us, (uint32)hold_ms, &deadline_us);
    if (verdict == GUARD_OK)
        snprintf(answer, GUARD_ANSWER_BYTES_MAX, "ok deadline_us=" INT64_FORMAT "\n", deadline_us);
    else
        print_verdict(answer, verdict);
}

static void answer_close(struct fields *f, char *answer)
{
    uint64 epoch = read_number(f, "epoch", 10, PG_UINT64_MAX);

    if (!fields_end(f))
        print_invalid(answer, "close_takes_epoch");
    else
        print_verdict(answer, guard_close(epoch));
}

static void answer_bypass(struct fields *f, char *answer)
{
    char *state = next_word(f);

    if (state != NULL && strcmp(state, "off") == 0 && fields_end(f)) {
        print_verdict(answer, guard_bypass_off());
        return;
    }
    if (state != NULL && strcmp(state, "on") == 0) {
        uint64 instance = read_number(f, "instance", 16, PG_UINT64_MAX);
        uint64 epoch = read_number(f, "epoch", 10, PG_UINT64_MAX);

        if (fields_end(f)) {
            print_verdict(answer, guard_bypass_on(instance, epoch));
            return;
        }
    }
    print_invalid(answer, "bypass_takes_off_or_on_instance_epoch");
}

static void answer_status(struct fields *f, char *answer)
{
    struct guard_status s;
    int64 now_us;

    if (!fields_end(f)) {
        print_invalid(answer, "status_takes_nothing");
        return;
    }
    now_us =
        guard_now(); /* the early clock, and before all else: a lease is counted from it. The state is judged by the late one. */
    s = guard_status_read();
    snprintf(answer, GUARD_ANSWER_BYTES_MAX,
             "ok instance=%016" INT64_MODIFIER "x state=%s epoch=" UINT64_FORMAT " deadline_us=" INT64_FORMAT
             " now_us=" INT64_FORMAT " closed_epoch=" UINT64_FORMAT " refused=" UINT64_FORMAT
             " in_recovery=%d enforcing=%d\n",
             s.instance,
             s.bypass ? "bypass"
             : s.open ? "open"
                      : "closed",
             s.epoch, s.deadline_us, now_us, s.closed_epoch, s.refused_before + s.refused_after, s.in_recovery,
             !s.bypass);
}

void guard_protocol_answer(char *line, size_t size, char answer[GUARD_ANSWER_BYTES_MAX])
{
    static const struct {
        const char *word;
        void (*answer)(struct fields *f, char *answer);
    } commands[] = {
        { "now", answer_now },       { "open", answer_open },     { "close", answer_close },
        { "bypass", answer_bypass }, { "status", answer_status },
    };
    struct fields f = { .next = line };
    const char *word;

    if (strlen(line) != size) {
        print_invalid(answer, "zero_byte");
        return;
    }
    word = next_word(&f);
    for (size_t i = 0; i < lengthof(commands); i++) {
        if (strcmp(word, commands[i].word) == 0) {
            commands[i].answer(&f, answer);
            return;
        }
    }
    print_invalid(answer, "unknown_command");
}
