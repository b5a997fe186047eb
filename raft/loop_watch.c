#include "raft/loop_watch.h"

#include <uv.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 100

struct loop_watch {
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t ending;
    bool end;
    uint64_t turns;
    unsigned patience_ms;
    void (*stuck)(void *ctx, const char *reason);
    void *ctx;
};

static void watch(void *arg)
{
    struct loop_watch *w = arg;
    uint64_t seen = 0;
    unsigned stood_ms = 0;
    uv_mutex_lock(&w->lock);
    while (!w->end) {
        (void)uv_cond_timedwait(&w->ending, &w->lock, LOOK_MS * 1000000ull);
        stood_ms = w->turns == seen && seen > 0 ? stood_ms + LOOK_MS : 0;
        seen = w->turns;
        if (stood_ms < w->patience_ms || w->end)
            continue;
        char reason[100];
        snprintf(reason, sizeof reason, "the event loop has stood still for %u ms: it waits for a disk that hangs",
                 stood_ms);
        w->stuck(w->ctx, reason);
        break;
    }
    uv_mutex_unlock(&w->lock);
}

struct loop_watch *loop_watch_create(unsigned patience_ms, void (*stuck)(void *ctx, const char *reason), void *ctx)
{
    struct loop_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->patience_ms = patience_ms;
    w->stuck = stuck;
    w->ctx = ctx;
    if (uv_mutex_init(&w->lock) != 0)
        goto no_lock;
    if (uv_cond_init(&w->ending) != 0)
        goto no_cond;
    if (uv_thread_create(&w->thread, watch, w) == 0)
        return w;
    uv_cond_destroy(&w->ending);
no_cond:
    uv_mutex_destroy(&w->lock);
no_lock:
    free(w);
    return NULL;
}

void loop_watch_turn(struct loop_watch *w)
{
    uv_mutex_lock(&w->lock);
    w->turns++;
    uv_mutex_unlock(&w->lock);
}

void loop_watch_destroy(struct loop_watch *w)
{
    if (w == NULL)
        return;
    uv_mutex_lock(&w->lock);
    w->end = true;
    uv_cond_signal(&w->ending);
    uv_mutex_unlock(&w->lock);
    uv_thread_join(&w->thread);
    uv_cond_destroy(&w->ending);
    uv_mutex_destroy(&w->lock);
    free(w);
}
