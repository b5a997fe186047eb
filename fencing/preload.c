#include "fencing/preload.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "io/clock.h"

struct preload {
    struct child *child;
    preload_cb done;
    void *ctx;
};

bool preload_list_has_guard(const char *list)
{
    static const char separators[] = ", \t\r\n\"'";

    while (*list != '\0') {
        size_t length = strcspn(list, separators);
        const char *name = list;

        for (size_t i = 0; i < length; i++)
            if (list[i] == '/')
                name = list + i + 1;
        list += length;
        length = (size_t)(list - name);
        if ((length == 11 && strncmp(name, "lease_guard", 11) == 0) ||
            (length == 14 && strncmp(name, "lease_guard.so", 14) == 0))
            return true;
        list += strspn(list, separators);
    }
    return false;
}

static void on_child(void *ctx, const struct child_result *result, const struct error *err)
{
    struct preload *p = ctx;
    struct error failure = ERROR_NONE;
    bool preloaded = false;

    if (err != NULL)
        failure = *err;
    else if (result->exit_code != 0)
        (void)error_set(&failure, STATUS_FAILED, "postgres -C shared_preload_libraries failed: %.200s", result->errors);
    else
        preloaded = preload_list_has_guard(result->output);
    for (char *c = failure.text; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    p->done(p->ctx, preloaded, error_or_null(&failure));
    free(p);
}

struct preload *preload_begin(uv_loop_t *loop, const struct child_config *child, const char *bin_dir,
                              const char *data_dir, uint32_t timeout_ms, preload_cb done, void *ctx)
{
    struct preload *p = calloc(1, sizeof *p);
    char program[PATH_MAX];
    const char *argv[] = { program, "-C", "shared_preload_libraries", "-D", data_dir, NULL };
    struct child_request request = { .argv = argv, .t0_us = clock_now_us(), .deadline_ms = timeout_ms };

    ASSERT(p != NULL); /* a node without memory for one operation is of no use: its peers go on without it */
    p->done = done;
    p->ctx = ctx;
    (void)snprintf(program, sizeof program, "%s/postgres", bin_dir);
    p->child = child_begin(loop, child, &request, on_child, p);
    return p;
}

void preload_cancel(struct preload *p)
{
    child_cancel(p->child);
}
