#include "core/event.h"

#include <stdarg.h>
#include <stddef.h>

#include "base/check.h"
#include "base/text.h"
#include "core/state.h"

static const char *const kind_words[EVENT_KIND_COUNT] = {
#define WORD(name, word) [name] = (word),
    EVENT_KIND_LIST(WORD)
#undef WORD
};

const char *event_kind_word(enum event_kind kind)
{
    return (unsigned)kind < EVENT_KIND_COUNT ? kind_words[kind] : "no_kind";
}

void event_add(struct state *s, enum event_kind kind, service_id service, site_id site, operation_id operation,
               const char *format, ...)
{
    uint64_t number = ++s->events.last_number;
    struct event *e = &s->events.slots[number % EVENTS_MAX];
    va_list args;

    ASSERT((unsigned)kind < EVENT_KIND_COUNT);
    *e = (struct event){ .number = number,
                         .index = s->applied_index,
                         .at_ms = s->now_ms,
                         .kind = kind,
                         .service = service,
                         .site = site,
                         .operation = operation };
    va_start(args, format);
    text_set_list(e->text, sizeof e->text, format, args);
    va_end(args);
}

const struct event *event_get(const struct state *s, uint64_t number)
{
    const struct event *e = &s->events.slots[number % EVENTS_MAX];

    return number != 0 && e->number == number ? e : (const struct event *)0;
}
