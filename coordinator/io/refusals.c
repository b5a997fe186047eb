#include "io/refusals.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <string.h>

static bool due(const struct refusal *one, int64_t now_us)
{
    return one->logged_us == 0 || now_us - one->logged_us >= REFUSALS_PERIOD_US;
}

static struct refusal *find(struct refusals *r, int64_t now_us, const char *peer, uint32_t reason)
{
    struct refusal *free_one = NULL;

    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        struct refusal *one = &r->seen[i];
        if (one->logged_us != 0 && one->reason == reason && strcmp(one->peer, peer) == 0)
            return one;
        if (due(one, now_us) && (free_one == NULL || one->logged_us < free_one->logged_us))
            free_one = one;
    }
    if (free_one == NULL)
        return &r->others;
    *free_one = (struct refusal){ .reason = reason };
    (void)text_copy(free_one->peer, sizeof free_one->peer, peer);
    return free_one;
}

bool refusals_note(struct refusals *r, int64_t now_us, const char *peer, const char *reason, uint64_t *count)
{
    struct refusal *one = find(r, now_us, peer, crc32c(0, reason, strlen(reason)));

    one->count++;
    if (!due(one, now_us))
        return false;
    *count = one->count;
    one->count = 0;
    one->logged_us = now_us;
    return true;
}
