#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "raft/storage_recover.h"

#define ANSWER_MS 1500

static bool connects(const struct addrinfo *to)
{
    struct pollfd p = { .events = POLLOUT };
    int wrong = 0;
    socklen_t length = sizeof wrong;
    bool answers;

    p.fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p.fd < 0)
        return false;
    answers = connect(p.fd, to->ai_addr, to->ai_addrlen) == 0 ||
              (errno == EINPROGRESS && poll(&p, 1, ANSWER_MS) == 1 &&
               getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &wrong, &length) == 0 && wrong == 0);
    (void)close(p.fd);
    return answers;
}

/* Somebody takes connections at this address of the member list. */
static bool member_answers(const char *address)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char host[ADDRESS_MAX_BYTES], *port, *name = host;
    bool answers = false;

    text_set(host, sizeof host, "%s", address);
    port = strrchr(host, ':');
    if (port == NULL)
        return false;
    *port++ = '\0';
    if (host[0] == '[' && port > host + 2) {
        name = host + 1;
        port[-2] = '\0';
    }
    if (getaddrinfo(name, port, &hints, &found) != 0)
        return false;
    for (const struct addrinfo *a = found; a != NULL && !answers; a = a->ai_next)
        answers = connects(a);
    freeaddrinfo(found);
    return answers;
}

static void say_what_it_means(const struct node_config *config, const struct storage_end *end)
{
    (void)printf("node %s (id %" PRIu64 ") of cluster %016" PRIx64 ", generation %" PRIu64
                 ": its log ends at entry %" PRIu64 " of term %" PRIu64 "\n",
                 config->node, end->identity.id, end->identity.cluster, end->generation, end->last_index,
                 end->last_term);
    for (size_t i = 0; i < end->member_count; i++)
        (void)printf("  member %" PRIu64 " at %s%s\n", end->members[i].id, end->members[i].address,
                     end->members[i].voter ? ", votes" : "");
    (void)printf(
        "A forced recovery makes this node the whole cluster. It is right only when more than half of the voters are "
        "lost for good.\n"
        "What they had decided and this log does not hold is forgotten: a failover too. Make sure first that no server "
        "of a service\n"
        "accepts writes but the one that shall be its primary. No proof of before counts; every primary gets its right "
        "anew, once its\n"
        "old one has run out. No other node ever comes back under its id.\n"
        "Of several survivors take the one with the highest term, then the highest entry; run this at each.\n");
}

static int refuse(const char *text)
{
    (void)fprintf(stderr, "coordd recover: %s; nothing was changed\n", text);
    return EXIT_FAILURE;
}

int recover_run(const struct node_config *config, const struct recover_line *line)
{
    struct error err = ERROR_NONE;
    struct storage_end end;
    char cluster[20], text[200], who[STORAGE_WHO_MAX_BYTES];
    const struct passwd *user = getpwuid(getuid());

    if (storage_uv_end(config->data_dir, &end, &err) != STATUS_OK)
        return refuse(err.text);
    say_what_it_means(config, &end);
    text_set(cluster, sizeof cluster, "%016" PRIx64, end.identity.cluster);
    if (!line->force) {
        (void)printf("Nothing was changed. To do it: coordd recover -c FILE --force --reason \"WHY\" --confirm %s\n",
                     cluster);
        return EXIT_SUCCESS;
    }
    if (line->reason[0] == '\0' || strcmp(line->confirm, cluster) != 0) {
        text_set(text, sizeof text, "it is typed: --force needs --reason \"WHY\" --confirm %s", cluster);
        return refuse(text);
    }
    for (size_t i = 0; i < end.member_count; i++)
        if (end.members[i].id != end.identity.id && member_answers(end.members[i].address)) {
            text_set(text, sizeof text,
                     "member %" PRIu64 " answers at %s: it is not lost; stop its coordd if you mean it",
                     end.members[i].id, end.members[i].address);
            return refuse(text);
        }
    text_set(who, sizeof who, "%s@%s", user != NULL ? user->pw_name : "unknown", config->node);
    if (storage_uv_recover(config->data_dir, who, line->reason, &err) != STATUS_OK) {
        (void)fprintf(stderr, "coordd recover: %s; do it again\n", err.text);
        return EXIT_FAILURE;
    }
    (void)printf("Generation %" PRIu64
                 " begins with this node. Now: coordd run; then bring each other node back: coordd "
                 "quarantine there, coordctl members add here.\n",
                 end.generation + 1);
    return EXIT_SUCCESS;
}
