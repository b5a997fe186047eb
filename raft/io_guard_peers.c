/* A node that was wiped, or whose directory came back from a backup, acknowledges less than it did before, and its files cannot show it: they are
 * consistent. Two others can. The leader knows what each acknowledged to it in this term; 0.22.1 takes no notice of a member that has less and
 * leaves it behind for ever. And a log with nothing in it but the cluster's first entry is one that was wiped and bootstrapped again, or one that
 * never held anything: it must not help somebody to lead who may lack what this node has forgotten. */
#include "raft/io_guard_peers.h"

#define FORGOT_ANSWERS 3 /* in a row, and over */
#define FORGOT_BEATS 2   /* heartbeats: what was under way on an old connection is read at once */

static struct io_guard_peer *peer_find(struct io_guard *g, node_id id)
{
    for (size_t i = 0; i < sizeof g->peers / sizeof g->peers[0]; i++)
        if (g->peers[i].id == id && id != 0)
            return &g->peers[i];
    return NULL;
}

void io_guard_peer_heard(struct io_guard *g, node_id id)
{
    struct io_guard_peer *slot = peer_find(g, id);
    if (slot == NULL) {
        slot = &g->peers[0];
        for (size_t i = 1; i < sizeof g->peers / sizeof g->peers[0] && slot->id != 0; i++)
            if (g->peers[i].id == 0 || g->peers[i].heard_us < slot->heard_us)
                slot = &g->peers[i]; /* a free one, else that of the longest silence: a member that was replaced */
        *slot = (struct io_guard_peer){ .id = id };
    }
    slot->heard_us = g->config.now_us(g->config.ctx);
}

int64_t io_guard_last_heard_us(const struct io_guard *g, node_id id)
{
    const struct io_guard_peer *peer = peer_find((struct io_guard *)g, id);
    return peer != NULL ? peer->heard_us : INT64_MIN;
}

static void note_answer(struct io_guard *g, struct io_guard_peer *peer, const struct raft_append_entries_result *answer)
{
    if ((int)raft_state(g->config.raft) != RAFT_LEADER || answer->term != g->config.raft->current_term)
        return;
    if (peer->acked_term != answer->term) {
        peer->acked_term = answer->term;
        peer->acked_index = 0;
        peer->answers_short = 0;
    }
    /* Whether it rejects or not: what the leader sends it begins where it acknowledged, or later. */
    if (answer->last_log_index >= peer->acked_index) {
        if (answer->rejected == 0)
            peer->acked_index = answer->last_log_index;
        peer->answers_short = 0;
        return;
    }
    if (peer->answers_short++ == 0)
        peer->short_since_us = peer->heard_us;
    peer->forgot = peer->answers_short >= FORGOT_ANSWERS &&
                   peer->heard_us - peer->short_since_us >= FORGOT_BEATS * 1000LL * g->config.heartbeat_ms;
    peer->has_index = answer->last_log_index;
}

bool io_guard_peer_trusted(struct io_guard *g, const struct raft_message *m)
{
    struct io_guard_peer *peer = peer_find(g, m->server_id);
    if (peer == NULL)
        return true;
    if (m->type == MESSAGE_APPEND_ENTRIES_RESULT && !peer->forgot && g->config.forgot != NULL)
        note_answer(g, peer, &m->append_entries_result);
    if (peer->forgot) {
        g->config.forgot(g->config.ctx, peer->id, peer->acked_index, peer->has_index);
        return false;
    }
    if (m->type == MESSAGE_REQUEST_VOTE && m->request_vote.last_log_index > 1 && g->next_index <= 2) {
        g->votes_withheld++;
        if (g->config.withheld != NULL)
            g->config.withheld(g->config.ctx, peer->id);
        return false;
    }
    return true;
}

/* With a snapshot it begins anew. */
void io_guard_peer_sent(struct io_guard *g, const struct raft_message *m)
{
    struct io_guard_peer *peer = m->type == MESSAGE_INSTALL_SNAPSHOT ? peer_find(g, m->server_id) : NULL;
    if (peer == NULL)
        return;
    peer->acked_index = 0;
    peer->answers_short = 0;
}
