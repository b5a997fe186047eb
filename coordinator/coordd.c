/* The coordinator of one node: options, configuration, then the daemon. */
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "config.h"
#include "config_text.h"
#include "daemon.h"
#include "io/log.h"
#include "recover.h"

#define EXIT_USAGE 2 /* docs/man/coordd.8 lists all of them; 42 is daemon.h's */
#define DEFAULT_CONFIG "/etc/coord/node.yaml"

static const char usage[] =
    "usage: coordd run [-c FILE]         run this node in the foreground; logs go to stderr\n"
    "       coordd bootstrap [-c FILE]   once, at each first member: create data_dir of a new cluster\n"
    "       coordd join [-c FILE] --cluster ID [--generation N]   once, at a node that `coordctl members add` has "
    "named\n"
    "       coordd recover [-c FILE] [--force --reason TEXT --confirm CLUSTER]   when most voters are lost for good\n"
    "       coordd quarantine [-c FILE]  put the log of a damaged data_dir aside and say how the node comes back\n"
    "       coordd config sample         print a commented node file\n"
    "       coordd --help | --version\n"
    "FILE defaults to " DEFAULT_CONFIG "; `coordctl config check FILE` explains its mistakes.\n"
    "SIGTERM and SIGINT end it, SIGHUP reads its certificates again.\n"
    "Exit codes: 0 ended by a signal, 1 could not start (the last line says why), 2 usage,\n"
    "3 data_dir is damaged or was emptied (coordd quarantine gets out), 4 this node was removed from the cluster, 42 a "
    "write to data_dir failed or a log entry "
    "cannot be applied: look at the last line, then start it again.\n";

struct command_line {
    const char *path;
    const char *cluster;
    uint64_t generation;
    struct recover_line recover;
};

static const struct option options[] = {
    { "cluster", required_argument, NULL, 'C' }, { "generation", required_argument, NULL, 'G' },
    { "force", no_argument, NULL, 'F' },         { "reason", required_argument, NULL, 'R' },
    { "confirm", required_argument, NULL, 'Y' }, { NULL, 0, NULL, 0 }
};

static int load(struct node_config *config, const char *path)
{
    char *mistakes = NULL;
    struct error err = ERROR_NONE;
    enum status status = config_load(config, path, &mistakes, &err);

    if (status != STATUS_OK && mistakes != NULL && mistakes[0] != '\0')
        (void)fputs(mistakes, stderr);
    else if (status != STATUS_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    free(mistakes);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int bootstrap(const struct node_config *config)
{
    struct rnode_member members[NODES_MAX];
    struct error err = ERROR_NONE;

    for (unsigned i = 0; i < config->cluster_count; i++) {
        members[i] = (struct rnode_member){ .id = config->cluster[i].id, .voter = true };
        (void)text_copy(members[i].address, sizeof members[i].address, config->cluster[i].address);
    }
    if (storage_uv_bootstrap(config->data_dir, members, config->cluster_count, config->id, &err) != STATUS_OK) {
        (void)fprintf(stderr, "coordd bootstrap: %s\n", err.text);
        return EXIT_FAILURE;
    }
    (void)printf("%s: node %s (id %" PRIu64 ") of a cluster of %" PRIu32 " is ready; now: coordd run\n",
                 config->data_dir, config->node, config->id, config->cluster_count);
    return EXIT_SUCCESS;
}

static int join(const struct node_config *config, const struct command_line *line)
{
    struct storage_identity identity = { .id = config->id };
    struct error err = ERROR_NONE;
    char *end;

    identity.cluster = strtoull(line->cluster, &end, 16);
    if (strlen(line->cluster) != 16 || *end != '\0' || line->generation == 0) {
        (void)fprintf(stderr, "coordd join: --cluster: the 16 digits that `coordctl members add` has printed; "
                              "--generation: a number above 0\n");
        return EXIT_USAGE;
    }
    (void)text_copy(identity.address, sizeof identity.address, config_own(config)->address);
    if (storage_uv_join(config->data_dir, &identity, line->generation, &err) != STATUS_OK) {
        (void)fprintf(stderr, "coordd join: %s\n", err.text);
        return EXIT_FAILURE;
    }
    (void)printf("%s: node %s (id %" PRIu64 ") waits for the leader of cluster %s, generation %" PRIu64
                 "; now: coordd run\n",
                 config->data_dir, config->node, config->id, line->cluster, line->generation);
    return EXIT_SUCCESS;
}

/* The way out of exit code 3. Removes nothing: what is put aside may be looked at, and never comes back. */
static int quarantine(const struct node_config *config)
{
    struct storage_identity identity;
    struct error err = ERROR_NONE;
    char moved_to[PATH_MAX];

    if (storage_uv_quarantine(config->data_dir, &identity, moved_to, sizeof moved_to, &err) != STATUS_OK) {
        (void)fprintf(stderr, "coordd quarantine: %s\n", err.text);
        return EXIT_FAILURE;
    }
    if (identity.id == 0)
        identity.id = config->id; /* its identity is what is damaged */
    (void)printf("the log of node %s (id %" PRIu64 ") is now %s\n"
                 "The node never comes back under that id: it may have forgotten what it acknowledged. Against a node "
                 "that runs:\n"
                 "  coordctl members remove %" PRIu64 "\n"
                 "  coordctl members add %s --site %s --address %s%s   (prints the new id and what to do here)\n",
                 config->node, identity.id, moved_to, identity.id, config->node, config->site,
                 config_own(config)->address, config->witness ? " --witness" : "");
    return EXIT_SUCCESS;
}

/* coord-supervise lies beside this program. */
static bool supervise_beside(char *out, size_t capacity_bytes)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (length <= 0)
        return false;
    self[length] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return snprintf(out, capacity_bytes, "%s/coord-supervise", self) < (int)capacity_bytes && access(out, X_OK) == 0;
}

static int run(const struct node_config *config)
{
    char supervise[PATH_MAX + 32];

    if (!supervise_beside(supervise, sizeof supervise)) {
        (void)fprintf(stderr, "coordd: coord-supervise is not beside coordd: install both into one directory\n");
        return EXIT_FAILURE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(config->log_level);
    return daemon_run(config, supervise);
}

static bool take_options(int argc, char **argv, struct command_line *line)
{
    int code;

    optind = 2;
    while ((code = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (code == 'c')
            line->path = optarg;
        else if (code == 'C')
            line->cluster = optarg;
        else if (code == 'G')
            line->generation = strtoull(optarg, NULL, 10);
        else if (code == 'F')
            line->recover.force = true;
        else if (code == 'R')
            line->recover.reason = optarg;
        else if (code == 'Y')
            line->recover.confirm = optarg;
        else
            return false;
    }
    return optind == argc;
}

static bool known_verb(const char *verb)
{
    static const char *const verbs[] = { "run", "bootstrap", "join", "quarantine", "recover" };

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i], verb) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct node_config config;
    struct command_line line = {
        .path = DEFAULT_CONFIG, .cluster = "", .generation = 1, .recover = { .reason = "", .confirm = "" }
    };
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(verb, "--version") == 0) {
        (void)puts("coordd " COORD_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(verb, "config") == 0 && argc == 3 && strcmp(argv[2], "sample") == 0) {
        char *sample = config_text_sample(&config_schema);

        (void)fputs(sample, stdout);
        free(sample);
        return EXIT_SUCCESS;
    }
    if (!take_options(argc, argv, &line) || !known_verb(verb)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    node_uv_prepare_process();
    if (load(&config, line.path) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    if (strcmp(verb, "quarantine") == 0)
        return quarantine(&config);
    if (strcmp(verb, "recover") == 0)
        return recover_run(&config, &line.recover);
    if (strcmp(verb, "join") == 0)
        return join(&config, &line);
    return strcmp(verb, "bootstrap") == 0 ? bootstrap(&config) : run(&config);
}
