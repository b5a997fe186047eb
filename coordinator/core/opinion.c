#include "core/opinion.h"

#include "base/check.h"
#include "base/text.h"

static const char *const kind_words[EVIDENCE_KIND_COUNT] = {
#define WORD(name, word) [name] = (word),
    EVIDENCE_KIND_LIST(WORD)
};
static const char *const opinion_words[OPINION_WORD_COUNT] = { OPINION_LIST(WORD) };
static const char *const look_words[LOOK_COUNT] = { LOOK_LIST(WORD) };
static const char *const role_words[ROLE_COUNT] = { ROLE_LIST(WORD) };
#undef WORD

const char *evidence_kind_word(enum evidence_kind kind)
{
    return (unsigned)kind < EVIDENCE_KIND_COUNT ? kind_words[kind] : "no_kind";
}

const char *opinion_word(enum opinion_word word)
{
    return (unsigned)word < OPINION_WORD_COUNT ? opinion_words[word] : "no_opinion";
}

const char *look_word(enum look look)
{
    return (unsigned)look < LOOK_COUNT ? look_words[look] : "no_look";
}

const char *role_word(enum role role)
{
    return (unsigned)role < ROLE_COUNT ? role_words[role] : "no_role";
}

void evidence_text(uint8_t kinds, char *out, size_t capacity_bytes)
{
    out[0] = '\0';
    for (unsigned k = 0; k < EVIDENCE_KIND_COUNT; k++)
        if (evidence_has(kinds, k))
            text_add(out, capacity_bytes, "%s%s", out[0] != '\0' ? ", " : "", kind_words[k]);
}

bool opinion_equal(const struct opinion *a, const struct opinion *b)
{
    return a->word == b->word && a->role == b->role && a->kinds_failed == b->kinds_failed &&
           a->kinds_up == b->kinds_up && a->ready == b->ready && a->streaming == b->streaming;
}

void observer_init(struct observer *o)
{
    *o = (struct observer){ .canary_written_ms = -1, .canary_seen_ms = -1 };
}

static void damper_feed(struct damper *d, enum look_outcome outcome, const struct timing *t)
{
    if (outcome == LOOK_NEUTRAL)
        return;
    if (outcome == LOOK_OK) {
        d->fails = 0;
        d->oks = d->oks < UINT8_MAX ? (uint8_t)(d->oks + 1) : d->oks;
        if (d->oks >= t->probe_rise)
            d->is = LOOK_OK;
    } else {
        d->oks = 0;
        d->fails = d->fails < UINT8_MAX ? (uint8_t)(d->fails + 1) : d->fails;
        if (d->fails >= t->probe_fall)
            d->is = LOOK_FAILED;
    }
}

void observer_look(struct observer *o, enum look look, enum look_outcome outcome, const struct timing *t)
{
    ASSERT((unsigned)look < LOOK_COUNT);
    damper_feed(&o->looks[look], outcome, t);
}

void observer_forget(struct observer *o, enum look look)
{
    ASSERT((unsigned)look < LOOK_COUNT);
    o->looks[look] = (struct damper){ 0 };
}

void observer_read(struct observer *o, enum role role, bool streaming, int64_t canary_seen_ms,
                   int64_t primary_written_ms, uint32_t max_lag_ms, const struct timing *t)
{
    int64_t lag_ms;
    bool ready;

    o->role = role;
    o->streaming = streaming;
    if (canary_seen_ms >= 0)
        o->canary_seen_ms = canary_seen_ms;
    if (primary_written_ms >= 0)
        o->canary_written_ms = primary_written_ms;
    if (role == ROLE_STANDBY && (o->canary_seen_ms < 0 || o->canary_written_ms < 0))
        return; /* not measured yet: the primary may be dead already, and readiness before the event is what counts */
    lag_ms = o->canary_written_ms - o->canary_seen_ms;
    /* A row far in the future is one from before this node's wall clock was set back: it says nothing of the lag. */
    ready = role == ROLE_STANDBY && lag_ms <= (int64_t)max_lag_ms && lag_ms >= -(int64_t)max_lag_ms;
    damper_feed(&o->readiness, ready ? LOOK_OK : LOOK_FAILED, t);
}

struct opinion observer_opinion(const struct observer *o)
{
    const struct damper *looks = o->looks;
    enum look_outcome fresh = looks[LOOK_READ_FRESH].is;
    enum look_outcome kept = looks[LOOK_READ_PERSISTENT].is;
    enum look_outcome canary = looks[LOOK_CANARY].is;
    struct opinion opinion = { .role = o->role,
                               .streaming = o->streaming && fresh != LOOK_FAILED,
                               .ready = o->readiness.is == LOOK_OK && fresh == LOOK_OK };
    bool database_failed = fresh == LOOK_FAILED || canary == LOOK_FAILED;

    if (database_failed)
        opinion.kinds_failed |= 1u << KIND_DATABASE;
    else if (fresh == LOOK_OK)
        opinion.kinds_up |= 1u << KIND_DATABASE;
    if (looks[LOOK_HTTP].is == LOOK_FAILED)
        opinion.kinds_failed |= 1u << KIND_APPLICATION;
    else if (looks[LOOK_HTTP].is == LOOK_OK)
        opinion.kinds_up |= 1u << KIND_APPLICATION;
    if (looks[LOOK_TCP].is == LOOK_FAILED)
        opinion.kinds_failed |= 1u << KIND_PATH;
    else if (looks[LOOK_TCP].is == LOOK_OK)
        opinion.kinds_up |= 1u << KIND_PATH;

    if (canary == LOOK_OK)
        opinion.word = OPINION_UP; /* it writes: whatever else is wrong, it is not dead */
    else if (fresh == LOOK_FAILED)
        opinion.word = OPINION_FAILED;
    else if (canary == LOOK_FAILED && (fresh == LOOK_OK || kept == LOOK_OK))
        opinion.word = OPINION_GRAY;
    else if (fresh == LOOK_OK)
        opinion.word = OPINION_UP;
    else
        opinion.word = OPINION_UNKNOWN;
    return opinion;
}
