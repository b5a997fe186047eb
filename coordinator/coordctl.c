/* coordctl: the operator's hand. Takes the command line apart and calls one command of ctl/; `config check` and `config sample` need no
 * node and use the same readers as coordd. */
#include "base/check.h"
#include "base/text.h"
#include "config.h"
#include "config_text.h"
#include "ctl/ctl.h"
#include "io/yaml_value.h"
#include "services_yaml.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int config_command(const struct ctl *ctl);

/* One command, or with `sub` the words behind a command that belong together. */
struct command_entry {
    const char *name, *sub; /* the first of a name also stands for the name alone */
    int (*run)(const struct ctl *ctl);
    size_t operands_max; /* the word of `sub` and the text of -s among them */
    const char *options; /* besides EVERYWHERE; all others are refused: who writes --dry-run must not get the deed */
    const char *usage, *help; /* NULL: not in the help */
};

#define EVERYWHERE "-S --server --pki --json --timeout" /* a script may put them before any command */
#define AT_NODE "--certificate --key --authority "

static int run_arm(const struct ctl *ctl)
{
    return ctl_service_action(ctl, "arm");
}
static int run_disarm(const struct ctl *ctl)
{
    return ctl_service_action(ctl, "disarm");
}
static int run_pause(const struct ctl *ctl)
{
    return ctl_service_action(ctl, "pause");
}
static int run_resume(const struct ctl *ctl)
{
    return ctl_service_action(ctl, "resume");
}
static int run_abort(const struct ctl *ctl)
{
    return ctl_operation_action(ctl, "abort");
}
static int run_approve(const struct ctl *ctl)
{
    return ctl_operation_action(ctl, "approve");
}
static int run_skip(const struct ctl *ctl)
{
    return ctl_operation_action(ctl, "skip");
}
static int run_help(const struct ctl *ctl);

static int run_version(const struct ctl *ctl)
{
    (void)fprintf(ctl->out, ctl->json ? "{\"version\":\"%s\"}\n" : "coordctl %s\n", COORD_VERSION);
    return CTL_OK;
}

static const struct command_entry commands[] = {
    { "status", NULL, ctl_status, 1, AT_NODE "-s --watch", "[SERVICE] [--watch]",
      "what is where, how it is doing, what it waits for" },
    { "why", NULL, ctl_why, 1, AT_NODE "-s", "SERVICE", "each decision and each non-decision, with its reason" },
    { "promote", NULL, ctl_promote, 2, AT_NODE "-s --force --reason --confirm --dry-run --no-wait",
      "SITE -s SERVICE [--reason TEXT] [--force=GATE,... --reason TEXT --confirm SERVICE] [--dry-run] [--no-wait]",
      "make a site the primary; the old one is fenced first" },
    { "apply", NULL, ctl_apply, 1, AT_NODE "-f --file --base --dry-run", "-f FILE [--base VERSION] [--dry-run]",
      "replace the services file" },
    { "diff", NULL, ctl_diff, 1, AT_NODE "-f --file --base", "-f FILE [--base VERSION]", "what apply would change" },
    { "config", "show", config_command, 1, AT_NODE, "", "the applied services file" },
    { "config", "check", config_command, CTL_OPERANDS_MAX, "", "FILE...", "check files; needs no node" },
    { "config", "sample", config_command, 2, "", "node|services", "a file to start from" },
    { "config", "reference", config_command, 3, "", NULL, NULL },
    { "events", NULL, ctl_events, 1, AT_NODE "-s -f --follow --since", "[SERVICE] [-f] [--since NUMBER]",
      "what happened; -f follows" },
    { "incidents", NULL, ctl_incidents, 1, AT_NODE "-s", "[SERVICE]", "failovers and promotions" },
    { "report", NULL, ctl_report, 1, AT_NODE "--mermaid", "ID [--mermaid]", "one of them, whole" },
    { "arm", NULL, run_arm, 1, AT_NODE "-s", "SERVICE", "automatic failover may start; the lease is enforced" },
    { "disarm", NULL, run_disarm, 1, AT_NODE "-s", "SERVICE", "nothing starts by itself; the lease is not enforced" },
    { "pause", NULL, run_pause, 1, AT_NODE "-s", "SERVICE", "maintenance: nothing starts" },
    { "resume", NULL, run_resume, 1, AT_NODE "-s", "SERVICE", "end of maintenance" },
    { "approve", NULL, run_approve, 1, AT_NODE "--fenced --reason --confirm",
      "ID [--reason TEXT] [--fenced --reason TEXT --confirm SERVICE]",
      "let a proposed operation start; --fenced: the old primary is off, I vouch" },
    { "abort", NULL, run_abort, 1, AT_NODE "--reason", "ID [--reason TEXT]",
      "undo and end an operation, before its point of no return" },
    { "skip", NULL, run_skip, 2, AT_NODE "--reason", "ID STEP --reason TEXT",
      "go on without a step (never a safety step)" },
    { "members", "list", ctl_members, 1, AT_NODE, "",
      "the coordinators themselves: who they are, who votes, who leads" },
    { "members", "add", ctl_members, 2, AT_NODE "--site --address --witness --no-vote",
      "NAME --site SITE --address HOST:PORT [--witness] [--no-vote]",
      "a node joins; prints its id and what to do there" },
    { "members", "remove|promote|demote", ctl_members, 2, AT_NODE "--force --reason --confirm",
      "NAME [--reason TEXT] [--force=GATE,... --reason TEXT --confirm NAME]", "a node leaves, gets a vote, loses it" },
    { "members", "transfer", ctl_members, 2, AT_NODE, "[NAME]", "let that node lead, or the best other one" },
    { "members", "recover", ctl_members, 1, "--force --reason --confirm", "",
      "what to do when more than half of the voters are lost for good" },
    { "pki", "init", ctl_pki, 2, "--name --days", "DIR [--name CLUSTER] [--days N]",
      "an authority of your own; needs no node" },
    { "pki", "node", ctl_pki, 3, "--id --address --days", "DIR NAME --id ID [--address HOST,...] [--days N]",
      "a node's certificate" },
    { "pki", "client", ctl_pki, 3, "--role --days", "DIR NAME --role operator|viewer [--days N]",
      "a person's or a program's certificate" },
    { "pki", "show", ctl_pki, CTL_OPERANDS_MAX, "", "FILE...", "what certificates say" },
    { "version", NULL, run_version, 0, "", "", "of this program" },
    { "help", NULL, run_help, 0, "", "", "this text" },
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static int run_help(const struct ctl *ctl)
{
    (void)fprintf(ctl->out, "coordctl [-S SOCKET] [--json] [--timeout DURATION] COMMAND\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].help != NULL)
            (void)fprintf(ctl->out, "  %s%s%s %s\n        %s\n", commands[i].name, commands[i].sub != NULL ? " " : "",
                          commands[i].sub != NULL ? commands[i].sub : "", commands[i].usage, commands[i].help);
    (void)fprintf(
        ctl->out,
        "\n-S, --socket PATH  of the node's `socket:`; else $COORD_SOCKET, else " CTL_SOCKET_DEFAULT "\n"
        "--server HOST:PORT,...  of a node's `api:` instead, under TLS; the first that can be reached; else "
        "$COORD_SERVER\n"
        "--pki DIR          client.crt, client.key and authority.crt for it; else $COORD_PKI; each file also by\n"
        "                   --certificate, --key, --authority FILE\n"
        "--json             the answer as one JSON object\n"
        "--timeout 30s      how long to wait for an answer (promote: for its end)\n\n"
        "exit codes: 0 ok, 1 refused or failed, 2 usage, 3 no quorum or unreachable, 4 timed out\n");
    return CTL_OK;
}

/* ---- config check and sample ---- */

/* Sites of the node files among the arguments: with them a services file is checked against the cluster it is meant for. */
struct known_cluster {
    bool known;
    struct services_offline sites;
    struct raft_timing raft;
};

static site_id known_site(void *ctx, const char *name)
{
    struct known_cluster *cluster = ctx;

    for (uint32_t i = 0; i < cluster->sites.count; i++)
        if (strcmp(cluster->sites.names[i], name) == 0)
            return (site_id)i;
    return cluster->known ? SITE_NONE : services_offline_site(&cluster->sites, name);
}

static const char *known_name(void *ctx, site_id site)
{
    struct known_cluster *cluster = ctx;
    return services_offline_name(&cluster->sites, site);
}

/* Reads one file as what it is; its mistakes stay in the result. */
static struct yaml *check_file(const char *path, struct known_cluster *cluster, const char **kind)
{
    struct yaml *y = yaml_from_file(path);

    *kind = "unknown";
    if (yaml_has_key(y, "services")) {
        struct services_config *services = calloc(1, sizeof *services);
        struct services_context context = { known_site, known_name, cluster, cluster->known ? &cluster->raft : NULL };
        ASSERT(services != NULL);
        *kind = "services";
        services_read(services, y, &context);
        free(services);
    } else if (yaml_has_key(y, "node") || yaml_has_key(y, "cluster")) {
        struct node_config *config = calloc(1, sizeof *config);
        ASSERT(config != NULL);
        *kind = "node";
        config_read(config, y);
        for (uint32_t i = 0; i < config->cluster_count && yaml_error_count(y) == 0; i++)
            (void)services_offline_site(&cluster->sites, config->cluster[i].site);
        if (yaml_error_count(y) == 0) {
            cluster->known = true;
            cluster->raft = raft_timing_of(config->timing);
        }
        free(config);
    } else if (yaml_error_count(y) == 0) {
        yaml_error(y, "",
                   "neither a node's file (it has the key 'node') nor a services file (it has the key 'services')");
    }
    return y;
}

static void print_check(const struct ctl *ctl, const struct yaml *y, const char *kind, struct json_t *files)
{
    struct json_t *file = json_make_object(), *errors = json_make_array();
    char *report = yaml_report(y);

    json_put_text(file, "file", yaml_name(y));
    json_put_text(file, "kind", kind);
    for (size_t i = 0; i < yaml_error_count(y); i++) {
        const struct yaml_error *e = yaml_error_at(y, i);
        struct json_t *o = json_make_object();
        json_put_int(o, "line", e->line);
        json_put_int(o, "column", e->column);
        json_put_text(o, "message", e->text);
        json_append(errors, o);
    }
    json_put(file, "errors", errors);
    json_append(files, file);
    if (!ctl->json && report[0] != '\0')
        (void)fprintf(ctl->err, "%s", report);
    else if (!ctl->json)
        (void)fprintf(ctl->out, "%s: ok (%s file)\n", yaml_name(y), kind);
    free(report);
}

static int config_check(const struct ctl *ctl)
{
    struct known_cluster cluster;
    struct json_t *answer = json_make_object(), *files = json_make_array();
    bool good = true;

    memset(&cluster, 0, sizeof cluster);
    for (size_t i = 1; i < ctl->operand_count; i++) { /* node files first: they say which sites there are */
        const char *kind;
        yaml_destroy(check_file(ctl->operands[i], &cluster, &kind));
        if (!cluster.known)
            memset(&cluster, 0, sizeof cluster); /* a services file must not name the sites for the next one */
    }
    for (size_t i = 1; i < ctl->operand_count; i++) {
        const char *kind;
        struct yaml *y = check_file(ctl->operands[i], &cluster, &kind);
        good = good && yaml_error_count(y) == 0;
        print_check(ctl, y, kind, files);
        yaml_destroy(y);
    }
    json_put_text(answer, "status", good ? "ok" : "invalid");
    json_put(answer, "files", files);
    if (ctl->json)
        ctl_print_json(ctl, answer);
    json_free(answer);
    return good ? CTL_OK : CTL_FAILED;
}

/* `config reference` is for the makers of docs/ and man pages. */
static int config_text(const struct ctl *ctl)
{
    const char *what = ctl->operand_count > 1 ? ctl->operands[1] : "";
    const char *how = ctl->operand_count > 2 ? ctl->operands[2] : "";
    const struct yaml_schema *schema = strcmp(what, "services") == 0 ? &services_schema
                                       : strcmp(what, "node") == 0   ? &config_schema
                                                                     : NULL;
    bool sample = strcmp(ctl->operands[0], "sample") == 0;
    char *text;

    if (schema == NULL || (!sample && strcmp(how, "markdown") != 0 && strcmp(how, "man") != 0))
        return ctl_usage(ctl, "config %s: say node or services%s", ctl->operands[0],
                         sample ? "" : ", then markdown or man");
    text = sample                         ? config_text_sample(schema)
           : strcmp(how, "markdown") == 0 ? config_text_markdown(schema)
                                          : config_text_man(schema);
    (void)fprintf(ctl->out, "%s", text);
    free(text);
    return CTL_OK;
}

static int config_command(const struct ctl *ctl)
{
    const char *what = ctl->operand_count > 0 ? ctl->operands[0] : "show";

    if (strcmp(what, "show") == 0 && ctl->operand_count <= 1)
        return ctl_config(ctl);
    if (strcmp(what, "check") == 0 && ctl->operand_count > 1)
        return config_check(ctl);
    if (strcmp(what, "sample") == 0 || strcmp(what, "reference") == 0)
        return config_text(ctl);
    return ctl_usage(ctl, "config: say show, check FILE..., or sample node|services");
}

/* ---- the command line ---- */

enum option_code {
    OPTION_JSON = 256,
    OPTION_TIMEOUT,
    OPTION_FORCE,
    OPTION_REASON,
    OPTION_CONFIRM,
    OPTION_SINCE,
    OPTION_BASE,
    OPTION_WATCH,
    OPTION_FENCED,
    OPTION_NO_WAIT,
    OPTION_MERMAID,
    OPTION_DRY_RUN,
    OPTION_SERVER,
    OPTION_PKI,
    OPTION_CERTIFICATE,
    OPTION_KEY,
    OPTION_AUTHORITY,
    OPTION_NAME,
    OPTION_ID,
    OPTION_ADDRESS,
    OPTION_ROLE,
    OPTION_DAYS,
    OPTION_SITE,
    OPTION_WITNESS,
    OPTION_NO_VOTE,
    OPTION_FOLLOW,
    OPTION_FILE,
    OPTION_VERSION,
    OPTION_CODE_COUNT
};

static const struct option options[] = { { "socket", required_argument, NULL, 'S' },
                                         { "service", required_argument, NULL, 's' },
                                         { "follow", no_argument, NULL, OPTION_FOLLOW },
                                         { "file", required_argument, NULL, OPTION_FILE },
                                         { "help", no_argument, NULL, 'h' },
                                         { "json", no_argument, NULL, OPTION_JSON },
                                         { "timeout", required_argument, NULL, OPTION_TIMEOUT },
                                         { "force", required_argument, NULL, OPTION_FORCE },
                                         { "reason", required_argument, NULL, OPTION_REASON },
                                         { "confirm", required_argument, NULL, OPTION_CONFIRM },
                                         { "since", required_argument, NULL, OPTION_SINCE },
                                         { "base", required_argument, NULL, OPTION_BASE },
                                         { "watch", no_argument, NULL, OPTION_WATCH },
                                         { "fenced", no_argument, NULL, OPTION_FENCED },
                                         { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
                                         { "mermaid", no_argument, NULL, OPTION_MERMAID },
                                         { "dry-run", no_argument, NULL, OPTION_DRY_RUN },
                                         { "server", required_argument, NULL, OPTION_SERVER },
                                         { "pki", required_argument, NULL, OPTION_PKI },
                                         { "certificate", required_argument, NULL, OPTION_CERTIFICATE },
                                         { "key", required_argument, NULL, OPTION_KEY },
                                         { "authority", required_argument, NULL, OPTION_AUTHORITY },
                                         { "name", required_argument, NULL, OPTION_NAME },
                                         { "id", required_argument, NULL, OPTION_ID },
                                         { "address", required_argument, NULL, OPTION_ADDRESS },
                                         { "role", required_argument, NULL, OPTION_ROLE },
                                         { "days", required_argument, NULL, OPTION_DAYS },
                                         { "site", required_argument, NULL, OPTION_SITE },
                                         { "witness", no_argument, NULL, OPTION_WITNESS },
                                         { "no-vote", no_argument, NULL, OPTION_NO_VOTE },
                                         { "version", no_argument, NULL, OPTION_VERSION },
                                         { NULL, 0, NULL, 0 } };

/* Where the text of an option goes; NULL: it takes none. */
static const char **option_text(struct ctl *ctl, int code)
{
    struct {
        int code;
        const char **text;
    } const texts[] = { { 'S', &ctl->socket_path },        { 's', &ctl->service },
                        { OPTION_FILE, &ctl->file },       { OPTION_SERVER, &ctl->server },
                        { OPTION_PKI, &ctl->pki },         { OPTION_CERTIFICATE, &ctl->certificate },
                        { OPTION_KEY, &ctl->key },         { OPTION_AUTHORITY, &ctl->authority },
                        { OPTION_FORCE, &ctl->force },     { OPTION_REASON, &ctl->reason },
                        { OPTION_CONFIRM, &ctl->confirm }, { OPTION_SINCE, &ctl->since },
                        { OPTION_BASE, &ctl->base },       { OPTION_NAME, &ctl->name },
                        { OPTION_ID, &ctl->id },           { OPTION_ADDRESS, &ctl->address },
                        { OPTION_ROLE, &ctl->role },       { OPTION_DAYS, &ctl->days },
                        { OPTION_SITE, &ctl->site } };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return NULL;
}

/* What an option without a text switches on; NULL: none of those. */
static bool *option_flag(struct ctl *ctl, int code)
{
    struct {
        int code;
        bool *flag;
    } const flags[] = { { 'f', &ctl->follow },
                        { OPTION_FOLLOW, &ctl->follow },
                        { OPTION_JSON, &ctl->json },
                        { OPTION_WATCH, &ctl->watch },
                        { OPTION_FENCED, &ctl->fenced },
                        { OPTION_NO_WAIT, &ctl->no_wait },
                        { OPTION_MERMAID, &ctl->mermaid },
                        { OPTION_DRY_RUN, &ctl->dry_run },
                        { OPTION_WITNESS, &ctl->witness },
                        { OPTION_NO_VOTE, &ctl->no_vote } };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].code == code)
            return flags[i].flag;
    return NULL;
}

/* The answer to one option; CTL_USAGE when it is wrong. `command` gets "help" or "version" when the option asks for that. */
static int take_option(struct ctl *ctl, int code, const char *argument, const char **command)
{
    const char **text = option_text(ctl, code);
    bool *flag = option_flag(ctl, code);

    if (text != NULL)
        *text = argument;
    else if (flag != NULL)
        *flag = true;
    else if (code == 'h')
        *command = "help";
    else if (code == OPTION_VERSION)
        *command = "version";
    else if (code != OPTION_TIMEOUT)
        return CTL_USAGE; /* getopt has said which */
    else if (!yaml_value_number(YAML_DURATION, argument, &ctl->timeout_ms) || ctl->timeout_ms <= 0 ||
             ctl->timeout_ms > 86400000)
        return ctl_usage(ctl, "--timeout: expected a duration (500ms, 30s, 5m), got '%s'", argument);
    return CTL_OK;
}

/* `list`: words with ' ' or '|' between. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (*list != '\0') {
        if (strcspn(list, " |") == length && strncmp(list, word, length) == 0)
            return true;
        list += strcspn(list, " |");
        list += strspn(list, " |");
    }
    return false;
}

/* The entry of this name and of the first operand, else the first of this name. */
static const struct command_entry *find_command(const struct ctl *ctl, const char *name)
{
    const char *names[COMMAND_COUNT + 1] = { NULL };
    const struct command_entry *first = NULL;
    const char *nearest;

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command_entry *entry = &commands[i];
        names[i] = entry->name;
        if (strcmp(entry->name, name) != 0)
            continue;
        if (entry->sub != NULL && ctl->operand_count > 0 && has_word(entry->sub, ctl->operands[0]))
            return entry;
        if (first == NULL)
            first = entry;
    }
    if (first != NULL)
        return first;
    nearest = yaml_value_nearest(name, names);
    if (nearest != NULL)
        (void)ctl_usage(ctl, "there is no command '%s'; did you mean '%s'?", name, nearest);
    else
        (void)ctl_usage(ctl, "there is no command '%s'", name);
    return NULL;
}

/* As the table of commands writes it: "-s", "--json". */
static void option_word(int code, char out[32])
{
    text_set(out, 32, "-%c", code);
    for (size_t i = 0; code >= OPTION_JSON && options[i].name != NULL; i++)
        if (options[i].val == code)
            text_set(out, 32, "--%s", options[i].name);
}

/* Refuses what the command does not take. */
static int check_command(const struct ctl *ctl, const struct command_entry *entry, const bool given[OPTION_CODE_COUNT])
{
    bool with_sub = entry->sub != NULL && ctl->operand_count > 0;
    const char *space = with_sub ? " " : "", *sub = with_sub ? ctl->operands[0] : "";
    char option[32];

    if (with_sub && !has_word(entry->sub, sub))
        return CTL_OK; /* the command itself says which words there are */
    for (int code = 0; code < OPTION_CODE_COUNT; code++) {
        if (!given[code])
            continue;
        option_word(code, option);
        if (!has_word(EVERYWHERE, option) && !has_word(entry->options, option))
            return ctl_usage(ctl, "%s%s%s: %s is no option of it", entry->name, space, sub, option);
    }
    if (ctl->operand_count + (ctl->service != NULL ? 1 : 0) > entry->operands_max && ctl->operand_count > 0)
        return ctl_usage(ctl, "%s%s%s: '%s' is one too many", entry->name, space, sub,
                         ctl->operands[ctl->operand_count - 1]);
    return CTL_OK;
}

static const char *from_environment(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* The socket or servers: what stands on the command line goes before the environment. */
static int choose_way(struct ctl *ctl)
{
    if (ctl->server != NULL && ctl->socket_path != NULL)
        return ctl_usage(ctl, "say --socket or --server, not both");
    if (ctl->server == NULL && ctl->socket_path == NULL)
        ctl->server = from_environment("COORD_SERVER");
    if (ctl->pki == NULL)
        ctl->pki = from_environment("COORD_PKI");
    if (ctl->server != NULL)
        ctl->remote = ctl_remote_create(ctl);
    else if (ctl->socket_path == NULL)
        ctl->socket_path = from_environment("COORD_SOCKET");
    if (ctl->socket_path == NULL)
        ctl->socket_path = CTL_SOCKET_DEFAULT;
    return CTL_OK;
}

int main(int argc, char **argv)
{
    struct ctl ctl = { .out = stdout, .err = stderr };
    const struct command_entry *entry;
    const char *command = NULL;
    bool given[OPTION_CODE_COUNT] = { false }, by_option;
    int code;

    (void)signal(SIGPIPE, SIG_IGN);
    ctl.color = isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL;
    ctl.interactive = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
    while ((code = getopt_long(argc, argv, "S:s:fh", options, NULL)) != -1) {
        if (take_option(&ctl, code, optarg, &command) != CTL_OK)
            return CTL_USAGE;
        given[code] = true;
    }
    by_option = command != NULL; /* --help and --version may stand in any command line */
    if (!by_option && optind == argc)
        return ctl_usage(&ctl, "say what to do");
    if (!by_option)
        command = argv[optind++];
    for (; optind < argc; optind++) {
        if (ctl.operand_count == CTL_OPERANDS_MAX)
            return ctl_usage(&ctl, "too many operands; at most %d", CTL_OPERANDS_MAX);
        ctl.operands[ctl.operand_count++] = argv[optind];
    }
    entry = find_command(&ctl, command);
    if (entry == NULL || (!by_option && check_command(&ctl, entry, given) != CTL_OK))
        return CTL_USAGE;
    if (choose_way(&ctl) != CTL_OK)
        return CTL_USAGE;
    code = entry->run(&ctl);
    ctl_remote_destroy(ctl.remote);
    return fflush(stdout) == 0 ? code : CTL_FAILED;
}
