/* The members of the cluster: who they are, and the requests that change them. What the log answers is what the caller gets; what must be done at
 * the new node itself is said with the answer, as commands that can be typed. */
#include "api/api_internal.h"

#include "base/check.h"
#include "base/text.h"
#include "config_value.h"
#include "core/membership.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FORCE_MAX 8
#define WARNING_MAX_BYTES 300

/* ---- what is ---- */

static const char *role_of(const struct member *m, const struct api_node *node, const struct api_seat *seat)
{
    if (m->id == node->leader)
        return "leader";
    if (seat == NULL || (m->voter && !seat->voter))
        return "joining";
    return seat->voter ? "voter" : "member";
}

static const struct api_seat *seat_of(const struct api_seat *seats, size_t count, node_id id)
{
    for (size_t i = 0; i < count; i++)
        if (seats[i].id == id)
            return &seats[i];
    return NULL;
}

static struct json_t *view_member(const struct state *s, const struct member *m, const struct api_node *node,
                                  const struct api_seat *seat)
{
    struct json_t *o = json_make_object();

    json_put_int(o, "id", (int64_t)m->id);
    json_put_text(o, "name", m->name);
    json_put_text(o, "site", state_site_name(s, m->site));
    json_put_text(o, "address", m->address);
    json_put_text(o, "role", role_of(m, node, seat));
    json_put_bool(o, "witness", m->witness);
    api_put_heard(o, m, node);
    if (seat != NULL && seat->lag_known)
        json_put_int(o, "lag", (int64_t)seat->lag);
    else
        json_put(o, "lag", NULL); /* only the leader knows */
    json_put_int(o, "version", m->version);
    return o;
}

struct json_t *api_view_warnings(const struct state *s)
{
    struct json_t *list = json_make_array();
    char text[WARNING_MAX_BYTES];

    for (unsigned i = 0; member_warning(s, i, text, sizeof text); i++)
        json_append_text(list, text);
    return list;
}

void api_members_get(struct api *api, struct http_exchange *x)
{
    const struct state *s = api_state(api);
    struct json_t *body = json_make_object(), *list = json_make_array();
    struct api_seat seats[2 * NODES_MAX];
    struct api_node node;
    size_t count = 0;

    api->hooks.node(api->hooks.ctx, &node);
    if (api->hooks.seats != NULL)
        count = api->hooks.seats(api->hooks.ctx, seats, sizeof seats / sizeof seats[0]);
    json_put_format(body, "cluster", "%016" PRIx64, node.cluster);
    json_put_int(body, "generation", (int64_t)node.generation);
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->members[i].id != 0)
            json_append(list, view_member(s, &s->members[i], &node, seat_of(seats, count, s->members[i].id)));
    json_put(body, "members", list);
    json_put(body, "warnings", api_view_warnings(s));
    api_answer(x, 200, body);
}

/* ---- add ---- */

struct add_request {
    char name[NAME_MAX_BYTES];
    char site[NAME_MAX_BYTES];
    char address[ADDRESS_MAX_BYTES];
    bool witness;
    bool no_vote;
};

static const struct json_want add_wanted[] = {
    { .key = "name",
      .kind = JSON_IS_TEXT,
      .required = true,
      .offset = offsetof(struct add_request, name),
      .size = NAME_MAX_BYTES },
    { .key = "site",
      .kind = JSON_IS_TEXT,
      .required = true,
      .offset = offsetof(struct add_request, site),
      .size = NAME_MAX_BYTES },
    { .key = "address",
      .kind = JSON_IS_TEXT,
      .required = true,
      .offset = offsetof(struct add_request, address),
      .size = ADDRESS_MAX_BYTES },
    { .key = "witness", .kind = JSON_IS_BOOL, .offset = offsetof(struct add_request, witness) },
    { .key = "no_vote", .kind = JSON_IS_BOOL, .offset = offsetof(struct add_request, no_vote) },
};

static bool id_is_visible(const struct state *s, const struct api_submission *submission, const struct outcome *outcome)
{
    (void)submission;
    return s->next_member_id > outcome->value;
}

/* What is typed at the new host, in order. */
static struct json_t *next_steps(const struct api_node *node, const struct member *m, const char *site)
{
    struct json_t *steps = json_make_array();
    char text[400];

    if (node->tls) {
        text_set(text, sizeof text, "coordctl pki node DIR %s --id %" PRIu64 " --address %.*s", m->name, m->id,
                 (int)(strrchr(m->address, ':') - m->address), m->address);
        json_append_text(steps, text);
    }
    text_set(text, sizeof text,
             "write its node file; under cluster: stands its own entry alone: { id: %" PRIu64
             ", node: %s, site: %s, address: \"%s\"%s }",
             m->id, m->name, site, m->address, m->witness ? ", witness: true" : "");
    json_append_text(steps, text);
    text_set(text, sizeof text, "coordd join -c FILE --cluster %016" PRIx64, node->cluster);
    if (node->generation > 1)
        text_add(text, sizeof text, " --generation %" PRIu64, node->generation);
    json_append_text(steps, text);
    json_append_text(steps, "coordd run -c FILE");
    text_set(text, sizeof text, "coordctl members list   (%s is %s when it has caught up)", m->name,
             m->voter ? "a voter" : "a member");
    json_append_text(steps, text);
    return steps;
}

static void answer_add(struct api_submission *submission, const struct outcome *outcome)
{
    const struct state *s = api_state(submission->api);
    int slot = state_member_slot(s, outcome->value);
    struct api_node node;
    struct json_t *body;

    if (outcome->status != STATUS_OK) {
        api_refuse(submission->x, outcome->status, "coordctl members list", "%s", outcome->reason);
        return;
    }
    submission->api->hooks.node(submission->api->hooks.ctx, &node);
    body = json_make_object();
    json_put_text(body, "status", "ok");
    json_put_int(body, "id", (int64_t)outcome->value);
    json_put_text(body, "message", submission->message);
    if (slot >= 0)
        json_put(body, "next", next_steps(&node, &s->members[slot], state_site_name(s, s->members[slot].site)));
    json_put(body, "warnings", api_view_warnings(s));
    api_answer(submission->x, 200, body);
}

void api_member_add(struct api *api, struct http_exchange *x, const struct http_request *request)
{
    struct api_submission submission = { .api = api, .x = x, .visible = id_is_visible, .answer = answer_add };
    struct add_request in;
    struct command *command;

    memset(&in, 0, sizeof in);
    if (!api_read_body(x, request, add_wanted, sizeof add_wanted / sizeof add_wanted[0], &in))
        return;
    if (!config_value_is_name(in.name) || !config_value_is_name(in.site)) {
        api_refuse(x, STATUS_INVALID, NULL, "name and site: expected " CONFIG_NAME_EXPECTED);
        return;
    }
    if (!config_value_is_node_address(in.address)) {
        api_refuse(x, STATUS_INVALID, NULL, "address: expected " CONFIG_NODE_ADDRESS_EXPECTED ", got '%s'", in.address);
        return;
    }
    command = api_new_command(api, request, COMMAND_MEMBER_ADD);
    text_set(command->member_add.name, NAME_MAX_BYTES, "%s", in.name);
    text_set(command->member_add.site, NAME_MAX_BYTES, "%s", in.site);
    text_set(command->member_add.address, ADDRESS_MAX_BYTES, "%s", in.address);
    command->member_add.witness = in.witness;
    command->member_add.voter = !in.no_vote;
    text_set(submission.message, sizeof submission.message, "%s is added to the member list", in.name);
    api_submit(&submission, command);
    free(command);
}

/* ---- remove, promote, demote ---- */

struct change_request {
    char force[FORCE_MAX][NAME_MAX_BYTES];
    uint32_t force_count;
    char reason[DETAIL_MAX_BYTES];
    char confirm[NAME_MAX_BYTES];
};

static const struct json_want change_wanted[] = {
    { .key = "force",
      .kind = JSON_IS_TEXTS,
      .offset = offsetof(struct change_request, force),
      .size = NAME_MAX_BYTES,
      .count_max = FORCE_MAX,
      .count = offsetof(struct change_request, force_count) },
    { .key = "reason",
      .kind = JSON_IS_TEXT,
      .offset = offsetof(struct change_request, reason),
      .size = DETAIL_MAX_BYTES },
    { .key = "confirm",
      .kind = JSON_IS_TEXT,
      .offset = offsetof(struct change_request, confirm),
      .size = NAME_MAX_BYTES },
};

/* By name, or by id. */
static const struct member *member_named(const struct state *s, const char *text)
{
    char id[24];

    for (unsigned i = 0; i < NODES_MAX; i++) {
        text_set(id, sizeof id, "%" PRIu64, s->members[i].id);
        if (s->members[i].id != 0 && (text_equal(s->members[i].name, text) || text_equal(id, text)))
            return &s->members[i];
    }
    return NULL;
}

static void answer_change(struct api_submission *submission, const struct outcome *outcome)
{
    const struct state *s = api_state(submission->api);
    struct json_t *body;

    if (outcome->status == STATUS_REFUSED && submission->fix[0] != '\0') {
        api_refuse(submission->x, outcome->status, submission->fix, "%s", outcome->reason);
        return;
    }
    if (outcome->status != STATUS_OK) {
        api_refuse(submission->x, outcome->status, NULL, "%s", outcome->reason);
        return;
    }
    body = json_make_object();
    json_put_text(body, "status", "ok");
    json_put_text(body, "message", submission->message);
    json_put(body, "warnings", api_view_warnings(s));
    api_answer(submission->x, 200, body);
}

/* The exact command that overrides what says no now, or what else gets out; "": nothing says no. */
static void way_out(const struct state *s, const struct member *m, bool leaves, const char *action, char *out,
                    size_t capacity)
{
    uint32_t no = member_gates_check(s, m->id, leaves, 0);
    char force[80] = "";

    out[0] = '\0';
    if ((no >> MEMBER_GATE_QUORUM & 1u) != 0) {
        text_set(out, capacity, "coordctl members list; start the nodes that are not heard, or remove those first");
        return;
    }
    for (int g = 0; g < MEMBER_GATE_COUNT; g++)
        if ((no >> g & 1u) != 0)
            text_add(force, sizeof force, "%s%s", force[0] != '\0' ? "," : "", member_gate_word((enum member_gate)g));
    if (no != 0)
        text_set(out, capacity, "coordctl members %s %s --force=%s --reason \"WHY\" --confirm %s", action, m->name,
                 force, m->name);
}

/* False: one is no gate, or the override is not complete (answered then). */
static bool overrides_of(struct http_exchange *x, const struct change_request *in, const char *name, uint32_t *out)
{
    *out = 0;
    for (uint32_t i = 0; i < in->force_count; i++) {
        enum member_gate gate = member_gate_from_word(in->force[i]);
        if (gate == MEMBER_GATE_COUNT || !member_gate_overridable(gate)) {
            api_refuse(x, STATUS_INVALID, NULL, "'%s' is no gate that can be overridden; those are voters, lease",
                       in->force[i]);
            return false;
        }
        *out |= 1u << gate;
    }
    if (in->force_count > 0 && (in->reason[0] == '\0' || strcmp(in->confirm, name) != 0)) {
        api_refuse(x, STATUS_INVALID, "add --reason \"WHY\" --confirm NAME; both stand in the events",
                   "an override is typed: it needs a reason, and the member's name '%s' as confirmation", name);
        return false;
    }
    return true;
}

static bool change_is_visible(const struct state *s, const struct api_submission *submission,
                              const struct outcome *outcome)
{
    int slot = state_member_slot(s, submission->node);

    (void)outcome;
    if (submission->kind == COMMAND_MEMBER_REMOVE)
        return slot < 0;
    return slot < 0 || s->members[slot].voter == submission->voter;
}

static void change(struct api *api, struct http_exchange *x, const struct http_request *request, const struct member *m,
                   const char *action)
{
    bool leaves = strcmp(action, "remove") == 0;
    struct api_submission submission = { .api = api,
                                         .x = x,
                                         .node = m->id,
                                         .voter = strcmp(action, "promote") == 0,
                                         .kind = leaves ? COMMAND_MEMBER_REMOVE : COMMAND_MEMBER_SET,
                                         .visible = change_is_visible,
                                         .answer = answer_change };
    struct change_request in;
    struct command *command;

    memset(&in, 0, sizeof in);
    if (!api_read_body(x, request, change_wanted, sizeof change_wanted / sizeof change_wanted[0], &in) ||
        !overrides_of(x, &in, m->name, &submission.overrides))
        return;
    way_out(api_state(api), m, leaves, action, submission.fix, sizeof submission.fix);
    command = api_new_command(api, request, submission.kind);
    command->member_set = (struct command_member_change){
        .node = m->id, .voter = submission.voter, .overrides = submission.overrides
    }; /* both kinds share their fields */
    text_set(command->member_set.reason, DETAIL_MAX_BYTES, "%s", in.reason);
    text_set(submission.message, sizeof submission.message, "%s %s", m->name,
             leaves             ? "is removed; what its host held of the cluster is worth nothing any more"
             : submission.voter ? "votes as soon as it is heard and has caught up"
                                : "does not vote any more");
    api_submit(&submission, command);
    free(command);
}

/* ---- transfer ---- */

struct transfer_request {
    char to[NAME_MAX_BYTES];
};

static void answer_transfer(struct api_submission *submission, const struct outcome *outcome)
{
    if (outcome->status == STATUS_OK)
        text_add(submission->message, sizeof submission->message, ", for %" PRIu64 " minutes", outcome->value / 60000);
    answer_change(submission, outcome);
}

void api_member_transfer(struct api *api, struct http_exchange *x, const struct http_request *request)
{
    static const struct json_want wanted[] = {
        { .key = "to", .kind = JSON_IS_TEXT, .offset = offsetof(struct transfer_request, to), .size = NAME_MAX_BYTES }
    };
    const struct state *s = api_state(api);
    struct api_submission submission = { .api = api, .x = x, .answer = answer_transfer };
    struct transfer_request in = { .to = "" };
    const struct member *to;
    struct command *command;
    struct api_node node;
    int slot;

    if (!api_read_body(x, request, wanted, 1, &in))
        return;
    api->hooks.node(api->hooks.ctx, &node);
    slot = in.to[0] == '\0' ? state_member_slot(s, member_successor(s, node.leader)) : -1;
    to = slot >= 0 ? &s->members[slot] : member_named(s, in.to);
    if (to == NULL) {
        api_refuse(x, STATUS_NOT_FOUND, "coordctl members list",
                   in.to[0] != '\0' ? "there is no member '%s'" : "no other voter is heard%s", in.to);
        return;
    }
    command = api_new_command(api, request, COMMAND_LEAD);
    command->lead.node = to->id;
    text_set(submission.message, sizeof submission.message, "%s shall lead", to->name);
    api_submit(&submission, command);
    free(command);
}

void api_member_change(struct api *api, struct http_exchange *x, const struct http_request *request, const char *name,
                       const char *action)
{
    const struct member *m = member_named(api_state(api), name);

    if (m == NULL)
        api_refuse(x, STATUS_NOT_FOUND, "coordctl members list", "there is no member '%.40s'", name);
    else if (strcmp(action, "remove") == 0 || strcmp(action, "promote") == 0 || strcmp(action, "demote") == 0)
        change(api, x, request, m, action);
    else
        api_refuse(x, STATUS_NOT_FOUND, NULL, "a member has no action '%.40s'; those are remove, promote, demote",
                   action);
}
