/* Who belongs to the cluster, and its changes. What the node answers is printed: the new id, the commands to type at the new host, and what is
 * unwise about who votes where. */
#include "ctl/ctl.h"

#include "base/text.h"
#include "io/http_call.h"

#include <inttypes.h>
#include <string.h>

void ctl_say_warnings(const struct ctl *ctl, const struct json_t *answer)
{
    const struct json_t *warnings = json_look(answer, "warnings");

    for (size_t i = 0; i < json_item_count(warnings); i++) {
        (void)fprintf(ctl->out, "%swarning%s: ", ctl_color_on(ctl, CTL_YELLOW), ctl_color_off(ctl));
        ctl_print_clean(ctl->out, json_item_text(warnings, i));
        (void)fprintf(ctl->out, "\n");
    }
}

/* Sends, and prints message, next steps and warnings, or the JSON of all that. */
static int act(const struct ctl *ctl, const char *target, struct json_t *body)
{
    int exit_code;
    struct json_t *answer = ctl_call(ctl, "POST", target, body, &exit_code);
    const struct json_t *next;
    const char *message;

    if (answer == NULL)
        return exit_code;
    if (ctl->json) {
        ctl_print_json(ctl, answer);
        json_free(answer);
        return CTL_OK;
    }
    message = json_look_text(answer, "message");
    ctl_print_clean(ctl->out, message != NULL ? message : "done");
    if (json_look_int(answer, "id", 0) != 0)
        (void)fprintf(ctl->out, ", with id %" PRId64, json_look_int(answer, "id", 0));
    (void)fprintf(ctl->out, "\n");
    next = json_look(answer, "next");
    for (size_t i = 0; i < json_item_count(next); i++) {
        (void)fprintf(ctl->out, "  %zu. ", i + 1);
        ctl_print_clean(ctl->out, json_item_text(next, i));
        (void)fprintf(ctl->out, "\n");
    }
    ctl_say_warnings(ctl, answer);
    json_free(answer);
    return CTL_OK;
}

static void print_members(const struct ctl *ctl, const struct json_t *answer)
{
    static const char *const headings[] = { "id", "name", "site", "role", "heard", "lag", "version", "address" };
    const struct json_t *members = json_look(answer, "members");
    struct ctl_table *table = ctl_table_create(headings, sizeof headings / sizeof headings[0]);

    (void)fprintf(ctl->out, "cluster %s, generation %" PRId64 "\n", json_look_text(answer, "cluster"),
                  json_look_int(answer, "generation", 0));
    for (size_t i = 0; i < json_item_count(members); i++) {
        const struct json_t *m = json_item(members, i);
        char id[24], lag[24], version[24], role[48];

        text_set(id, sizeof id, "%" PRId64, json_look_int(m, "id", 0));
        text_set(lag, sizeof lag, "%" PRId64, json_look_int(m, "lag", 0));
        text_set(version, sizeof version, "%" PRId64, json_look_int(m, "version", 0));
        text_set(role, sizeof role, "%s%s", json_look_text(m, "role"), json_look_bool(m, "witness") ? ", witness" : "");
        ctl_table_row(table, (const char *const[]){ id, json_look_text(m, "name"), json_look_text(m, "site"), role,
                                                    json_look_null(m, "heard")   ? NULL
                                                    : json_look_bool(m, "heard") ? "yes"
                                                                                 : "silent",
                                                    json_look_null(m, "lag") ? NULL : lag, version,
                                                    json_look_text(m, "address") });
    }
    ctl_table_print(table, ctl, 0);
    ctl_say_warnings(ctl, answer);
}

static int list(const struct ctl *ctl)
{
    int exit_code;
    struct json_t *answer = ctl_call(ctl, "GET", "/v1/members", NULL, &exit_code);

    if (answer == NULL)
        return exit_code;
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else
        print_members(ctl, answer);
    json_free(answer);
    return CTL_OK;
}

static int add(const struct ctl *ctl)
{
    struct json_t *body;

    if (ctl->operand_count != 2 || ctl->site == NULL || ctl->address == NULL)
        return ctl_usage(ctl, "members add: say coordctl members add NAME --site SITE --address HOST:PORT [--witness] "
                              "[--no-vote]");
    body = json_make_object();
    json_put_text(body, "name", ctl->operands[1]);
    json_put_text(body, "site", ctl->site);
    json_put_text(body, "address", ctl->address);
    json_put_bool(body, "witness", ctl->witness);
    json_put_bool(body, "no_vote", ctl->no_vote);
    return act(ctl, "/v1/members", body);
}

static int change(const struct ctl *ctl, const char *action)
{
    char encoded[128], target[200], words[128], *rest = words, *word;
    struct json_t *body, *force;

    if (ctl->operand_count != 2 || !http_encode(ctl->operands[1], encoded, sizeof encoded))
        return ctl_usage(ctl, "members %s: name one member, by its name or its id", action);
    if (ctl->force != NULL && (ctl->reason == NULL || ctl->confirm == NULL))
        return ctl_usage(ctl, "members %s: --force needs --reason \"WHY\" --confirm NAME", action);
    body = json_make_object();
    if (ctl->force != NULL) {
        force = json_make_array();
        text_set(words, sizeof words, "%s", ctl->force);
        while ((word = strsep(&rest, ",")) != NULL)
            if (word[0] != '\0')
                json_append_text(force, word);
        json_put(body, "force", force);
        json_put_text(body, "confirm", ctl->confirm);
    }
    if (ctl->reason != NULL)
        json_put_text(body, "reason", ctl->reason);
    text_set(target, sizeof target, "/v1/members/%s/%s", encoded, action);
    return act(ctl, target, body);
}

static int transfer(const struct ctl *ctl)
{
    struct json_t *body;

    if (ctl->operand_count > 2)
        return ctl_usage(ctl, "members transfer: name one member, or none");
    body = json_make_object();
    if (ctl->operand_count == 2)
        json_put_text(body, "to", ctl->operands[1]);
    return act(ctl, "/v1/members/transfer", body);
}

/* Nobody who runs can do it: it changes the log of a node that is stopped. Whoever asks for it to be done is told how, and that it was not. */
static int recover(const struct ctl *ctl)
{
    bool asked = ctl->force != NULL || ctl->reason != NULL || ctl->confirm != NULL;

    (void)fprintf(
        asked ? ctl->err : ctl->out,
        "%sMore than half of the voters are lost for good? Then, and only then:\n"
        "  1. stop coordd at every node that is left\n"
        "  2. at each of them: coordd recover -c FILE        says how far its log goes, and changes nothing\n"
        "  3. at the one whose log goes furthest: coordd recover -c FILE --force --reason \"WHY\" --confirm CLUSTER\n"
        "  4. start it; it is the whole cluster now. Bring the others back under new ids:\n"
        "     coordd quarantine there, then coordctl members add here\n"
        "What the lost nodes had decided and this log does not hold is forgotten; docs/members.md.\n",
        asked ? "coordctl: refused: nothing was done: it changes the log of a coordd that is stopped, and is done at "
                "its host\n"
              : "");
    return asked ? CTL_FAILED : CTL_OK;
}

int ctl_members(const struct ctl *ctl)
{
    const char *what = ctl->operand_count > 0 ? ctl->operands[0] : "list";

    if (strcmp(what, "list") == 0 && ctl->operand_count <= 1)
        return list(ctl);
    if (strcmp(what, "add") == 0)
        return add(ctl);
    if (strcmp(what, "remove") == 0 || strcmp(what, "promote") == 0 || strcmp(what, "demote") == 0)
        return change(ctl, what);
    if (strcmp(what, "transfer") == 0)
        return transfer(ctl);
    if (strcmp(what, "recover") == 0)
        return recover(ctl);
    return ctl_usage(ctl, "members: say list, add, remove, promote, demote, transfer or recover");
}
