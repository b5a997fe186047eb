#include "dns_servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script_server.h"

#define START_WAIT_MS 20000

static const char zone_text[] = "$ORIGIN example.test.\n"
                                "$TTL 5\n"
                                "@ SOA ns1 admin 1 3600 600 86400 5\n"
                                "@ NS ns1\n"
                                "ns1 A 127.0.0.1\n"
                                "alias CNAME app\n"
                                "many A 192.0.2.1\n"
                                "many A 192.0.2.2\n";

static const char knot_text[] =
    "server:\n"
    "    listen: 127.0.0.1@%u\n"
    "    rundir: \"%s\"\n"
    "%s"
    "log:\n"
    "  - target: stderr\n"
    "    any: info\n"
    "database:\n"
    "    storage: \"%s\"\n"
    "key:\n"
    "  - id: " DNS_KEY_NAME "\n    algorithm: hmac-sha256\n    secret: " DNS_KEY_SECRET "\n"
    "  - id: " DNS_OTHER_KEY_NAME "\n    algorithm: hmac-sha256\n    secret: " DNS_OTHER_KEY_SECRET "\n"
    "acl:\n"
    "  - id: coord\n"
    "    key: " DNS_KEY_NAME "\n"
    "    action: update\n"
    "    update-owner: name\n"
    "    update-owner-match: equal\n"
    "    update-owner-name: [app, _coord.app, alias, _coord.alias]\n"
    "    update-type: [A, AAAA, TXT]\n"
    "zone:\n"
    "  - domain: example.test\n"
    "    storage: \"%s\"\n"
    "    file: example.test.zone\n"
    "    acl: coord\n"
    "    zonefile-sync: -1\n"
    "    zonefile-load: difference-no-serial\n"
    "    journal-content: all\n";

static const char bind_text[] =
    "options { directory \"%s\"; listen-on port %u { 127.0.0.1; }; listen-on-v6 { none; }; recursion no;\n"
    "  pid-file \"named.pid\"; session-keyfile \"session.key\"; lock-file none; dnssec-validation no; notify no; };\n"
    "controls { };\n"
    "key " DNS_KEY_NAME " { algorithm hmac-sha256; secret \"" DNS_KEY_SECRET "\"; };\n"
    "key " DNS_OTHER_KEY_NAME " { algorithm hmac-sha256; secret \"" DNS_OTHER_KEY_SECRET "\"; };\n"
    "zone \"example.test\" { type master; file \"example.test.zone\"; update-policy {\n"
    "  grant " DNS_KEY_NAME " name app.example.test. A AAAA;   grant " DNS_KEY_NAME
    " name _coord.app.example.test. TXT;\n"
    "  grant " DNS_KEY_NAME " name alias.example.test. A AAAA; grant " DNS_KEY_NAME
    " name _coord.alias.example.test. TXT; }; };\n";

#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static _Noreturn void fail(const char *what, int line)
{
    (void)fprintf(stderr, "dns_servers.c:%d: %s: %s\n", line, what, strerror(errno));
    abort();
}

static FILE *file_create(const struct dns_server *s, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", s->directory, name);
    FILE *f = fopen(path, "w");
    MUST(f != NULL);
    return f;
}

static void files_write(const struct dns_server *s, enum dns_server_kind kind)
{
    const char *user = geteuid() == 0 ? "    user: root:root\n" : "";
    FILE *f = file_create(s, "example.test.zone");

    MUST(fputs(zone_text, f) >= 0 && fclose(f) == 0);
    f = file_create(s, "nsupdate.key");
    MUST(fprintf(f, "key " DNS_KEY_NAME " { algorithm hmac-sha256; secret \"" DNS_KEY_SECRET "\"; };\n") > 0 &&
         fclose(f) == 0);
    f = file_create(s, "conf");
    if (kind == DNS_SERVER_KNOT)
        MUST(fprintf(f, knot_text, s->port, s->directory, user, s->directory, s->directory) > 0);
    else
        MUST(fprintf(f, bind_text, s->directory, s->port) > 0);
    MUST(fclose(f) == 0);
}

static _Noreturn void server_exec(const struct dns_server *s, enum dns_server_kind kind)
{
    char path[128], log[128];

    (void)snprintf(path, sizeof path, "%s/conf", s->directory);
    (void)snprintf(log, sizeof log, "%s/log", s->directory);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a test aborts */
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    if (kind == DNS_SERVER_KNOT)
        (void)execl("/usr/sbin/knotd", "knotd", "-c", path, (char *)NULL);
    else
        (void)execl("/usr/sbin/named", "named", "-g", "-n", "1", "-c", path, (char *)NULL);
    _exit(127);
}

static void run(const char *command)
{
    MUST(system(command) == 0);
}

static void wait_ready(struct dns_server *s)
{
    char text[256], command[128];
    int status;

    for (int i = 0; i < START_WAIT_MS / 50; i++) {
        dig(s, "ns1.example.test", "A", text, sizeof text);
        if (strcmp(text, "127.0.0.1") == 0)
            return;
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            break;
        (void)usleep(50000);
    }
    (void)snprintf(command, sizeof command, "cat %s/log >&2", s->directory);
    run(command);
    fail("the DNS server did not start", __LINE__);
}

void dns_server_start(struct dns_server *s, enum dns_server_kind kind)
{
    strcpy(s->directory, "/tmp/test-dns-XXXXXX");
    MUST(mkdtemp(s->directory) != NULL);
    s->port = free_port();
    (void)snprintf(s->text, sizeof s->text, "127.0.0.1:%u", s->port);
    files_write(s, kind);
    s->pid = fork();
    MUST(s->pid >= 0);
    if (s->pid == 0)
        server_exec(s, kind);
    wait_ready(s);
}

void dns_server_stop(struct dns_server *s)
{
    char command[128];
    int status;

    (void)kill(s->pid, SIGCONT);
    MUST(kill(s->pid, SIGKILL) == 0);
    MUST(waitpid(s->pid, &status, 0) == s->pid);
    (void)snprintf(command, sizeof command, "rm -rf %s", s->directory);
    run(command);
}

void dns_server_freeze(const struct dns_server *s)
{
    int status;

    MUST(kill(s->pid, SIGSTOP) == 0);
    MUST(waitpid(s->pid, &status, WUNTRACED) == s->pid && WIFSTOPPED(status)); /* only now all its threads stand */
}

void dns_server_thaw(const struct dns_server *s)
{
    MUST(kill(s->pid, SIGCONT) == 0);
}

bool nsupdate(const struct dns_server *s, const char *lines)
{
    char command[256];
    FILE *f = file_create(s, "nsupdate.in");

    MUST(fprintf(f, "server 127.0.0.1 %u\nzone example.test\n%s\nsend\n", s->port, lines) > 0 && fclose(f) == 0);
    (void)snprintf(command, sizeof command, "nsupdate -t 5 -k %s/nsupdate.key %s/nsupdate.in >/dev/null 2>&1",
                   s->directory, s->directory);
    return system(command) == 0;
}

void dig(const struct dns_server *s, const char *name, const char *type, char *out, size_t capacity_bytes)
{
    char command[256];

    (void)snprintf(command, sizeof command,
                   "dig +short +time=2 +tries=3 -p %u @127.0.0.1 %s %s 2>/dev/null | grep -v '^;'", s->port, name,
                   type);
    FILE *f = popen(command, "r");
    MUST(f != NULL);
    size_t n = fread(out, 1, capacity_bytes - 1, f);
    (void)pclose(f); /* an empty output says it all */
    while (n > 0 && out[n - 1] == '\n')
        n--;
    out[n] = '\0';
}
