/* Who belongs to the cluster, at this node: the leader's hand on Raft's list, what a stranger is told, the end of a node that was removed, and
 * the first entry after a forced recovery. */
#include "daemon.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/text.h"
#include "io/log.h"
#include "raft/rnode_members.h"

#define RECOVER_DEADLINE_MS 10000u

void daemon_follow_members(struct daemon *d)
{
    static const char *const acts[] = { [MEMBERSHIP_ADD] = "add",
                                        [MEMBERSHIP_STANDBY] = "standby",
                                        [MEMBERSHIP_VOTER] = "voter",
                                        [MEMBERSHIP_REMOVE] = "remove" };
    struct membership_step step;
    struct error err;

    if (daemon_recovery_due(d)) /* the state's list is that of before */
        return;
    if (!rnode_members_follow(node_uv_rnode(d->node), d->state, d->self, &step, &err))
        return;
    if (err.status == STATUS_OK)
        log_event(LOG_LEVEL_INFO, "member_change", "change=%s id=%" PRIu64 " node=%s", acts[step.act], step.node,
                  state_node_name(d->state, step.node));
    else
        log_event(LOG_LEVEL_WARNING, "member_change_failed", "change=%s id=%" PRIu64 " error=%s", acts[step.act],
                  step.node, err.text);
}

size_t daemon_seats(void *ctx, struct api_seat *out, size_t capacity)
{
    struct daemon *d = ctx;
    struct rnode_member members[2 * NODES_MAX];
    size_t count = 0;

    if (d->node == NULL)
        return 0;
    count = rnode_members(node_uv_rnode(d->node), members, sizeof members / sizeof members[0]);
    for (size_t i = 0; i < count && i < capacity; i++) {
        out[i] = (struct api_seat){ .id = members[i].id, .voter = members[i].voter };
        out[i].lag_known = rnode_lag(node_uv_rnode(d->node), members[i].id, &out[i].lag);
    }
    return count < capacity ? count : capacity;
}

enum node_standing daemon_standing(void *ctx, node_id id)
{
    const struct daemon *d = ctx;

    if (state_member_slot(d->state, id) >= 0)
        return NODE_MEMBER;
    return member_removed(d->state, id) ? NODE_REMOVED : NODE_NOT_KNOWN;
}

/* Its data is worth nothing any more, and its id is never given again. A supervisor must not start it again. It ends in order: whoever asked it for its
 * own removal waits for the answer. */
void daemon_on_removed(void *ctx, node_id told_by)
{
    struct daemon *d = ctx;
    char fix[200];

    if (d->removed || d->closing)
        return;
    d->removed = true;
    daemon_notify("STOPPING=1");
    text_set(
        fix, sizeof fix,
        "this node was removed from the cluster: stop its service; to bring the host back: coordd quarantine, then "
        "coordctl members add %s at a node that runs",
        daemon_name(d));
    log_event(LOG_LEVEL_ERROR, "removed", "node=%s id=%" PRIu64 " told_by=%" PRIu64 " data_dir=%s fix=%s",
              daemon_name(d), d->self, told_by, d->config.data_dir, fix);
}

static void on_recovered(void *ctx, enum status status, const struct outcome *outcome)
{
    struct daemon *d = ctx;

    d->recovering = false;
    if (status == STATUS_OK && outcome->status != STATUS_OK)
        log_event(LOG_LEVEL_ERROR, "recovery_refused", "reason=%s", outcome->reason);
}

bool daemon_recovery_due(const struct daemon *d)
{
    return d->state->cluster_id != 0 && node_uv_generation(d->node)->number > d->state->generation;
}

void daemon_recover(struct daemon *d)
{
    const struct storage_generation *generation = node_uv_generation(d->node);
    struct command *c = d->proposing;

    if (d->recovering)
        return;
    d->recovering = true;
    command_clear(c, COMMAND_RECOVER);
    text_set(c->who, sizeof c->who, "%s", generation->who);
    c->recover.generation = generation->number;
    c->recover.node = d->self;
    text_set(c->recover.reason, sizeof c->recover.reason, "%s", generation->reason);
    daemon_submit(d, c, RECOVER_DEADLINE_MS, on_recovered, d);
}
