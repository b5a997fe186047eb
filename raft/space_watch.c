#include "raft/space_watch.h"

#include "base/check.h"
#include "base/text.h"
#include "io/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

struct space_watch {
    uv_timer_t timer;
    uv_work_t look;
    bool looking, closing;
    int failed_errno; /* the last look's, 0: it succeeded */
    char directory[PATH_MAX];
    struct space last, found;
    int found_errno;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Not uv_fs_statfs: it does not tell f_frsize, the unit of f_bavail. */
static void look(uv_work_t *request)
{
    struct space_watch *w = request->data;
    struct statvfs fs;
    w->found_errno = statvfs(w->directory, &fs) == 0 ? 0 : errno;
    if (w->found_errno != 0)
        return;
    w->found.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    w->found.level = w->found.free_bytes < SPACE_MIN_BYTES     ? SPACE_SHORT
                     : w->found.free_bytes < SPACE_ALARM_BYTES ? SPACE_LOW
                                                               : SPACE_ENOUGH;
}

static void say(const struct space_watch *w)
{
    uint64_t free_mib = w->last.free_bytes >> 20;
    if (w->last.level == SPACE_ENOUGH)
        log_event(LOG_LEVEL_INFO, "disk_space_back", "directory=%s free_mib=%" PRIu64, w->directory, free_mib);
    else
        log_event(w->last.level == SPACE_SHORT ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "disk_space_low",
                  "directory=%s free_mib=%" PRIu64 " wanted_mib=%llu reason=%s way_out=%s", w->directory, free_mib,
                  SPACE_ALARM_BYTES >> 20,
                  w->last.level == SPACE_SHORT ? "this node would not start again" : "a full disk ends this node",
                  "make room on its file system");
}

static void take(struct space_watch *w)
{
    enum space_level before = w->last.level;
    bool news = w->found_errno != w->failed_errno;
    w->failed_errno = w->found_errno;
    if (w->found_errno != 0 && news)
        log_event(LOG_LEVEL_WARNING, "disk_space_unknown", "directory=%s reason=%s", w->directory,
                  strerror(w->found_errno));
    if (w->found_errno != 0)
        return;
    w->last = w->found;
    if (w->last.level != before)
        say(w);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct space_watch *w = handle->data;
    void (*closed)(void *) = w->closed;
    void *ctx = w->closed_ctx;
    free(w);
    closed(ctx);
}

static void on_looked(uv_work_t *request, int status)
{
    struct space_watch *w = request->data;
    w->looking = false;
    if (status == 0)
        take(w);
    if (w->closing)
        uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

/* A look that has not ended, because the disk hangs, is not joined by another. */
static void on_timer(uv_timer_t *timer)
{
    struct space_watch *w = timer->data;
    if (!w->looking)
        w->looking = uv_queue_work(timer->loop, &w->look, look, on_looked) == 0;
}

struct space_watch *space_watch_create(uv_loop_t *loop, const char *directory)
{
    struct space_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    text_set(w->directory, sizeof w->directory, "%s", directory);
    w->timer.data = w->look.data = w;
    look(&w->look);
    take(w);
    int rv = uv_timer_init(loop, &w->timer);
    ASSERT(rv == 0);
    rv = uv_timer_start(&w->timer, on_timer, SPACE_LOOK_MS, SPACE_LOOK_MS);
    ASSERT(rv == 0);
    return w;
}

struct space space_watch_last(const struct space_watch *w)
{
    return w->last;
}

void space_watch_close(struct space_watch *w, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!w->closing);
    w->closing = true;
    w->closed = closed;
    w->closed_ctx = ctx;
    (void)uv_timer_stop(&w->timer);
    if (!w->looking)
        uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}
