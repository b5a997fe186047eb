#include "exec/step.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"

#define RESERVE_MS_MAX 100

static void result_set(struct step_attempt *a, bool ok, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void result_set(struct step_attempt *a, bool ok, const char *format, va_list args)
{
    a->result.ok = ok;
    text_set_list(a->result.detail, sizeof a->result.detail, format, args);
}

void step_ok(struct step_attempt *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    result_set(a, true, format, args);
    va_end(args);
}

void step_failed(struct step_attempt *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    result_set(a, false, format, args);
    va_end(args);
}

void step_end_ok(struct step_attempt *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    result_set(a, true, format, args);
    va_end(args);
    step_end(a);
}

void step_end_failed(struct step_attempt *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    result_set(a, false, format, args);
    va_end(args);
    step_end(a);
}

void step_waits(struct step_attempt *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_set_list(a->waits_for, sizeof a->waits_for, format, args);
    va_end(args);
}

uint32_t step_left_ms(const struct step_attempt *a)
{
    uint32_t reserve_ms = a->deadline_ms / 4 < RESERVE_MS_MAX ? a->deadline_ms / 4 : RESERVE_MS_MAX;
    uint64_t left_ms = clock_left_ms(a->t0_us, a->deadline_ms - reserve_ms);

    return left_ms > 0 ? (uint32_t)left_ms : 1;
}

bool step_has_local(struct step_attempt *a)
{
    if (a->local != NULL)
        return true;
    step_end_failed(a, "the file of node %s names no PostgreSQL server of service %s under local:", a->node_name,
                    a->config.name);
    return false;
}

const struct site_config *step_site(struct step_attempt *a)
{
    const struct site_config *site = service_config_site(&a->config, a->site);

    if (site == NULL)
        step_end_failed(a, "site %s is no eligible site of service %s any more", a->site_name, a->config.name);
    return site;
}

void *step_memory(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes);

    ASSERT(memory != NULL);
    return memory;
}

static void on_pause(uv_timer_t *timer)
{
    struct step_pause *p = timer->data;

    p->then(p->a);
}

static void on_pause_closed(uv_handle_t *handle)
{
    struct step_pause *p = handle->data;

    p->then(p->a); /* the owner may free p */
}

void step_pause_init(struct step_pause *p, struct step_attempt *a)
{
    (void)uv_timer_init(a->env->loop, &p->timer); /* never fails */
    p->timer.data = p;
    p->a = a;
}

void step_pause_begin(struct step_pause *p, uint32_t pause_ms, void (*then)(struct step_attempt *a))
{
    int rc;

    p->then = then;
    rc = uv_timer_start(&p->timer, on_pause, pause_ms, 0);
    ASSERT(rc == 0);
}

bool step_pause_stop(struct step_pause *p)
{
    bool active = uv_is_active((const uv_handle_t *)&p->timer) != 0;

    (void)uv_timer_stop(&p->timer);
    return active;
}

void step_pause_close(struct step_pause *p, void (*then)(struct step_attempt *a))
{
    p->then = then;
    uv_close((uv_handle_t *)&p->timer, on_pause_closed);
}
