/* A command on its way: submitted, answered by the log, and then held until this node has applied it too, so that whoever asked for a change
 * through a follower sees it in the next look at the same node. The hold is bounded: after it the answer goes out all the same. */
#include "api/api_internal.h"

#include "base/check.h"
#include "io/clock.h"

#include <stdlib.h>

#define NO_LEADER_FIX "coordctl status at each node: more than half of them must run and reach each other"
#define HOLD_MS 2000 /* longer than a follower in contact ever lags behind */
#define HOLD_LOOK_MS 100

struct held {
    struct held *next;
    struct api_submission submission;
    struct outcome outcome;
    int64_t until_us;
};

static void refuse_submission(struct http_exchange *x, enum status status)
{
    if (status == STATUS_UNKNOWN || status == STATUS_TIMED_OUT || status == STATUS_CANCELED)
        api_refuse(x, STATUS_UNKNOWN, "look with coordctl status and coordctl events before you try again",
                   "contact to the leader was lost: it may have been done, or may still be");
    else if (status == STATUS_NO_LEADER || status == STATUS_UNREACHABLE)
        api_refuse(x, status, NO_LEADER_FIX, "no leader can be reached from this node; nothing was done");
    else if (status == STATUS_FULL)
        api_refuse(x, status, "try again in a moment", "too much is under way; nothing was done");
    else
        api_refuse(x, status, NULL, "the leader did not take the command (%s); nothing was done", status_word(status));
}

static void finish(struct held *held)
{
    held->submission.answer(&held->submission, &held->outcome);
    json_free(held->submission.extra);
    free(held);
}

static void on_hold_timer(uv_timer_t *timer)
{
    api_submissions_look(timer->data);
}

void api_submissions_look(struct api *api)
{
    struct held **link = &api->held, *ready = NULL;

    while (*link != NULL) {
        struct held *held = *link;
        if (!api->closing && clock_now_us() < held->until_us &&
            !held->submission.visible(api_state(api), &held->submission, &held->outcome)) {
            link = &held->next;
            continue;
        }
        *link = held->next;
        held->next = ready;
        ready = held;
    }
    if (api->held == NULL && !api->closing)
        (void)uv_timer_stop(&api->hold);
    while (ready != NULL) {
        struct held *held = ready;
        ready = held->next;
        finish(held);
    }
}

static void on_submitted(void *ctx, enum status status, const struct outcome *outcome)
{
    struct held *held = ctx;
    struct api *api = held->submission.api;

    if (status != STATUS_OK) {
        refuse_submission(held->submission.x, status);
        json_free(held->submission.extra);
        free(held);
        return;
    }
    ASSERT(outcome != NULL);
    held->outcome = *outcome;
    if (outcome->status != STATUS_OK || held->submission.visible == NULL || api->closing) {
        finish(held);
        return;
    }
    held->until_us = clock_now_us() + HOLD_MS * 1000;
    held->next = api->held;
    api->held = held;
    if (!uv_is_active((uv_handle_t *)&api->hold))
        ASSERT(uv_timer_start(&api->hold, on_hold_timer, HOLD_LOOK_MS, HOLD_LOOK_MS) == 0);
    api_submissions_look(api);
}

void api_submit(const struct api_submission *submission, const struct command *command)
{
    struct held *held = calloc(1, sizeof *held);

    ASSERT(held != NULL);
    held->submission = *submission;
    submission->api->hooks.submit(submission->api->hooks.ctx, command, API_SUBMIT_DEADLINE_MS, on_submitted, held);
}
