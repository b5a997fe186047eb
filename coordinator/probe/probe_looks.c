#include "probe/probe_looks.h"

#include <stdlib.h>

#include "base/check.h"

void probe_looks_init(struct probe_looks *looks, uv_loop_t *loop)
{
    ASSERT(uv_timer_init(loop, &looks->closer) == 0);
    looks->closer.data = looks;
}

void probe_looks_add(struct probe_looks *looks, struct probe_look *look, probe_cb done, void *ctx)
{
    ASSERT(looks->closed == NULL);
    look->looks = looks;
    look->done = done;
    look->ctx = ctx;
    look->next = looks->first;
    if (looks->first != NULL)
        looks->first->previous = look;
    looks->first = look;
}

static void on_closer_closed(uv_handle_t *handle)
{
    struct probe_looks *looks = handle->data;

    looks->closed(looks->closed_ctx);
    free(looks);
}

static void close_if_idle(struct probe_looks *looks)
{
    if (looks->closed != NULL && looks->first == NULL && !uv_is_closing((uv_handle_t *)&looks->closer))
        uv_close((uv_handle_t *)&looks->closer, on_closer_closed);
}

void probe_looks_finish(struct probe_look *look, const struct probe_result *result)
{
    static const struct error canceled = { .status = STATUS_CANCELED, .text = "the look was canceled" };
    struct probe_looks *looks = look->looks;

    if (look->previous != NULL)
        look->previous->next = look->next;
    else
        looks->first = look->next;
    if (look->next != NULL)
        look->next->previous = look->previous;
    look->done(look->ctx, result, result != NULL ? NULL : &canceled);
    free(look);
    close_if_idle(looks);
}

void probe_looks_close(struct probe_looks *looks, void (*cancel)(struct probe_look *look), void (*closed)(void *ctx),
                       void *ctx)
{
    ASSERT(looks->closed == NULL);
    looks->closed = closed;
    looks->closed_ctx = ctx;
    for (struct probe_look *look = looks->first; look != NULL; look = look->next)
        cancel(look);
    close_if_idle(looks);
}
