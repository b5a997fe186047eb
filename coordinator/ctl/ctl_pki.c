/* `coordctl pki`: an authority and certificates for a cluster without a PKI of its own. Works on files alone, without a node. Every certificate lies
 * with its key and the authority's certificate in a directory of its own: what goes to one host or one person is one directory, and the
 * authority's key is never in it. */
#include "ctl/ctl.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/pki.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY_S 86400
#define DAYS_MAX 36500
#define DAYS_AUTHORITY 3650
#define DAYS_NODE 730
#define DAYS_CLIENT 365
#define SLACK_S 300 /* the other host's clock may be a little behind */
#define HOSTS_MAX 16
#define PATH_MAX_BYTES 512
#define AUTHORITY_MAX_BYTES 65536
#define TIME_MAX_BYTES 32

/* What `pki node` and `pki client` differ in. */
struct issue {
    const char *file; /* node or client: of the two files' names */
    char uri[PKI_TEXT_MAX_BYTES];
    const char *hosts[HOSTS_MAX];
    size_t host_count;
    bool serves;
    int64_t days;
};

static bool whole_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    *out = value;
    return value >= 1 && value <= max;
}

static int take_days(const struct ctl *ctl, int64_t days_default, int64_t *out)
{
    uint64_t days = (uint64_t)days_default;

    if (ctl->days != NULL && !whole_number(ctl->days, DAYS_MAX, &days))
        return ctl_usage(ctl, "--days: expected a whole number of days, 1 to %d, got '%s'", DAYS_MAX, ctl->days);
    *out = (int64_t)days;
    return CTL_OK;
}

/* It becomes a directory's name and stands in the log of who did what. */
static bool is_holder_name(const char *text)
{
    size_t length = strlen(text);

    for (const char *p = text; *p != '\0'; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              strchr("-._@", *p) != NULL))
            return false;
    return length > 0 && length < NAME_MAX_BYTES && text[0] != '.' && text[0] != '-';
}

static void utc_time(int64_t at_s, char out[TIME_MAX_BYTES])
{
    time_t seconds = (time_t)at_s;
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL || strftime(out, TIME_MAX_BYTES, "%Y-%m-%d %H:%M UTC", &utc) == 0)
        text_set(out, TIME_MAX_BYTES, "?");
}

static enum status path_of(char out[PATH_MAX_BYTES], const char *directory, const char *file, struct error *err)
{
    if (strlen(directory) + strlen(file) + 2 > PATH_MAX_BYTES)
        return error_set(err, STATUS_INVALID, "the path is longer than %d bytes: %.100s...", PATH_MAX_BYTES, directory);
    text_set(out, PATH_MAX_BYTES, "%s/%s", directory, file);
    return STATUS_OK;
}

/* ---- what was made ---- */

static struct json_t *facts_json(const char *path, const struct pki_facts *facts)
{
    struct json_t *o = json_make_object();

    json_put_text(o, "file", path);
    json_put_text(o, "name", facts->name);
    json_put_text(o, "issuer", facts->issuer);
    json_put_bool(o, "authority", facts->authority);
    json_put_text(o, "identity", facts->uri[0] != '\0' ? facts->uri : NULL);
    json_put_text(o, "addresses", facts->hosts);
    json_put_int(o, "not_before_s", facts->not_before_s);
    json_put_int(o, "not_after_s", facts->not_after_s);
    json_put_text(o, "serial", facts->serial);
    json_put_text(o, "sha256", facts->fingerprint);
    return o;
}

/* Reads the new certificate back, so that what is printed is what stands in the file. */
static int say_made(const struct ctl *ctl, const char *certificate, const char *key, const char *next)
{
    struct error err = ERROR_NONE;
    struct pki_facts facts;
    char until[TIME_MAX_BYTES];
    struct json_t *body;

    if (pki_read(certificate, &facts, &err) != STATUS_OK)
        return ctl_fail(ctl, err.status, NULL, "%s", err.text);
    if (ctl->json) {
        body = facts_json(certificate, &facts);
        json_put_text(body, "status", "ok");
        json_put_text(body, "key", key);
        ctl_print_json(ctl, body);
        json_free(body);
        return CTL_OK;
    }
    utc_time(facts.not_after_s, until);
    (void)fprintf(ctl->out, "%s\n%s\n  %s, valid until %s\n%s", certificate, key,
                  facts.authority ? "the authority" : facts.uri, until, next);
    return CTL_OK;
}

/* ---- init ---- */

static int init(const struct ctl *ctl)
{
    const char *directory = ctl->operands[1];
    int64_t days, now_s = (int64_t)time(NULL);
    struct pki_request request = { .name = ctl->name != NULL ? ctl->name : "coord" };
    char certificate[PATH_MAX_BYTES], key[PATH_MAX_BYTES];
    struct error err = ERROR_NONE;

    if (take_days(ctl, DAYS_AUTHORITY, &days) != CTL_OK)
        return CTL_USAGE;
    request.not_before_s = now_s - SLACK_S;
    request.not_after_s = now_s + days * DAY_S;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return ctl_fail(ctl, STATUS_FAILED, NULL, "%s: %s", directory, strerror(errno));
    if (path_of(certificate, directory, "authority.crt", &err) != STATUS_OK ||
        path_of(key, directory, "authority.key", &err) != STATUS_OK ||
        pki_make_authority(&request, certificate, key, &err) != STATUS_OK)
        return ctl_fail(ctl, err.status, NULL, "%s", err.text);
    return say_made(
        ctl, certificate, key,
        "next: one certificate for each node (coordctl pki node) and each person (coordctl pki client).\n"
        "authority.key signs whoever may join or command the cluster: keep it off the nodes, and a copy of it safe.\n");
}

/* ---- node and client ---- */

/* The authority's certificate lies beside each certificate, for whoever gets the directory. */
static enum status copy_authority(const char *from, const char *to, struct error *err)
{
    static char bytes[AUTHORITY_MAX_BYTES];
    FILE *in = fopen(from, "re"), *out = NULL;
    size_t length = in != NULL ? fread(bytes, 1, sizeof bytes, in) : 0;
    enum status status = STATUS_OK;

    if (in == NULL || ferror(in) != 0)
        status = error_set(err, STATUS_FAILED, "%s: %s", from, strerror(errno));
    else if (length == sizeof bytes)
        status = error_set(err, STATUS_INVALID, "%s: longer than %d bytes", from, AUTHORITY_MAX_BYTES - 1);
    else if ((out = fopen(to, "wxe")) == NULL || fwrite(bytes, 1, length, out) != length)
        status = error_set(err, STATUS_FAILED, "%s: %s", to, strerror(errno));
    if (in != NULL)
        (void)fclose(in);
    if (out != NULL && fclose(out) != 0 && status == STATUS_OK)
        status = error_set(err, STATUS_FAILED, "%s: %s", to, strerror(errno));
    return status;
}

struct places {
    char authority[PATH_MAX_BYTES], authority_key[PATH_MAX_BYTES];
    char directory[PATH_MAX_BYTES], certificate[PATH_MAX_BYTES], key[PATH_MAX_BYTES], authority_copy[PATH_MAX_BYTES];
};

static enum status find_places(struct places *p, const char *directory, const char *name, const char *file,
                               struct error *err)
{
    char certificate[16], key[16];

    text_set(certificate, sizeof certificate, "%s.crt", file);
    text_set(key, sizeof key, "%s.key", file);
    if (path_of(p->authority, directory, "authority.crt", err) != STATUS_OK ||
        path_of(p->authority_key, directory, "authority.key", err) != STATUS_OK ||
        path_of(p->directory, directory, name, err) != STATUS_OK ||
        path_of(p->certificate, p->directory, certificate, err) != STATUS_OK ||
        path_of(p->key, p->directory, key, err) != STATUS_OK ||
        path_of(p->authority_copy, p->directory, "authority.crt", err) != STATUS_OK)
        return err->status;
    return STATUS_OK;
}

static enum status issue_into(const struct places *p, const struct pki_request *request, struct error *err)
{
    if (mkdir(p->directory, 0700) != 0) {
        if (errno == EEXIST)
            return error_set(err, STATUS_REFUSED, "%s is there already and is not touched: move it away first",
                             p->directory);
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "%s: %s", p->directory,
                         strerror(errno));
    }
    if (pki_issue(p->authority, p->authority_key, request, p->certificate, p->key, err) == STATUS_OK) {
        if (copy_authority(p->authority, p->authority_copy, err) == STATUS_OK)
            return STATUS_OK;
        (void)unlink(p->authority_copy);
        (void)unlink(p->certificate);
        (void)unlink(p->key);
    }
    (void)rmdir(p->directory);
    return err->status;
}

static int issue(const struct ctl *ctl, const struct issue *issue, const char *next)
{
    int64_t now_s = (int64_t)time(NULL);
    struct pki_request request = { .name = ctl->operands[2],
                                   .uri = issue->uri,
                                   .hosts = issue->hosts,
                                   .host_count = issue->host_count,
                                   .serves = issue->serves,
                                   .not_before_s = now_s - SLACK_S,
                                   .not_after_s = now_s + issue->days * DAY_S };
    struct places places;
    struct error err = ERROR_NONE;

    if (find_places(&places, ctl->operands[1], ctl->operands[2], issue->file, &err) != STATUS_OK ||
        issue_into(&places, &request, &err) != STATUS_OK)
        return ctl_fail(ctl, err.status,
                        err.status == STATUS_NOT_FOUND ? "coordctl pki init DIR makes the authority" : NULL, "%s",
                        err.text);
    return say_made(ctl, places.certificate, places.key, next);
}

static int node(const struct ctl *ctl)
{
    static const char next[] = "next: copy this directory to the node's host as /etc/coord/tls, owned by coordd's "
                               "account, and put into its node file:\n"
                               "  tls:\n"
                               "    certificate: /etc/coord/tls/node.crt\n"
                               "    key: /etc/coord/tls/node.key\n"
                               "    authority: /etc/coord/tls/authority.crt\n";
    struct issue in = { .file = "node", .serves = true };
    char hosts[PATH_MAX_BYTES], *rest = hosts, *host;
    uint64_t id;

    if (ctl->id == NULL || !whole_number(ctl->id, UINT64_MAX, &id))
        return ctl_usage(ctl, "pki node: --id ID, the node's `id` in the list `cluster` of the node files");
    if (take_days(ctl, DAYS_NODE, &in.days) != CTL_OK)
        return CTL_USAGE;
    text_set(hosts, sizeof hosts, "%s", ctl->address != NULL ? ctl->address : "");
    if (ctl->address != NULL && strlen(ctl->address) >= sizeof hosts)
        return ctl_usage(ctl, "--address: longer than %zu bytes", sizeof hosts - 1);
    while (hosts[0] != '\0' && (host = strsep(&rest, ",")) != NULL) {
        if (in.host_count == HOSTS_MAX)
            return ctl_usage(ctl, "--address: at most %d", HOSTS_MAX);
        in.hosts[in.host_count++] = host;
    }
    text_set(in.uri, sizeof in.uri, "coord:node:%" PRIu64, id);
    return issue(ctl, &in, next);
}

static int client(const struct ctl *ctl)
{
    struct issue in = { .file = "client" };

    if (ctl->role == NULL || (strcmp(ctl->role, "operator") != 0 && strcmp(ctl->role, "viewer") != 0))
        return ctl_usage(ctl, "pki client: --role operator (may change things) or --role viewer (may look)");
    if (take_days(ctl, DAYS_CLIENT, &in.days) != CTL_OK)
        return CTL_USAGE;
    text_set(in.uri, sizeof in.uri, "coord:%s:%s", ctl->role, ctl->operands[2]);
    return issue(ctl, &in, "next: give this directory to its holder, over a safe way.\n");
}

/* ---- show ---- */

/* What a node would say to it; NULL: nothing. */
static const char *objection(const struct pki_facts *facts, int64_t now_s)
{
    if (facts->not_after_s <= now_s)
        return "it has expired";
    if (facts->not_before_s > now_s)
        return "it is not valid yet";
    if (!facts->authority && facts->uri_count == 0)
        return "it names no identity (a URI coord:node:ID, coord:operator:NAME or coord:viewer:NAME)";
    if (facts->uri_count > 1)
        return "it names more than one identity";
    return NULL;
}

static void print_facts(const struct ctl *ctl, const char *path, const struct pki_facts *facts, int64_t now_s)
{
    const char *wrong = objection(facts, now_s);
    char from[TIME_MAX_BYTES], until[TIME_MAX_BYTES];

    utc_time(facts->not_before_s, from);
    utc_time(facts->not_after_s, until);
    ctl_print_clean(ctl->out, path);
    (void)fprintf(ctl->out, "\n  identity    %s\n  name        %s, issued by %s\n  valid       %s to %s",
                  facts->authority        ? "an authority"
                  : facts->uri[0] != '\0' ? facts->uri
                                          : "none",
                  facts->name, facts->issuer, from, until);
    if (facts->not_after_s > now_s)
        (void)fprintf(ctl->out, ", %" PRId64 " days left", (facts->not_after_s - now_s) / DAY_S);
    if (facts->hosts[0] != '\0')
        (void)fprintf(ctl->out, "\n  addresses   %s", facts->hosts);
    (void)fprintf(ctl->out, "\n  serial      %s\n  sha256      %s\n", facts->serial, facts->fingerprint);
    if (wrong != NULL)
        (void)fprintf(ctl->out, "  %srefused:%s    %s\n", ctl_color_on(ctl, CTL_RED), ctl_color_off(ctl), wrong);
}

static int show(const struct ctl *ctl)
{
    struct json_t *body = json_make_object(), *list = json_make_array();
    int64_t now_s = (int64_t)time(NULL);
    int exit_code = CTL_OK;

    for (size_t i = 1; i < ctl->operand_count; i++) {
        const char *path = ctl->operands[i];
        struct error err = ERROR_NONE;
        struct pki_facts facts;
        struct json_t *o;

        if (pki_read(path, &facts, &err) != STATUS_OK) {
            exit_code = CTL_FAILED;
            o = json_make_object();
            json_put_text(o, "file", path);
            json_put_text(o, "refused", err.text);
            if (!ctl->json)
                (void)ctl_fail(ctl, err.status, NULL, "%s", err.text);
        } else {
            o = facts_json(path, &facts);
            json_put_text(o, "refused", objection(&facts, now_s));
            if (objection(&facts, now_s) != NULL)
                exit_code = CTL_FAILED;
            if (!ctl->json)
                print_facts(ctl, path, &facts, now_s);
        }
        json_append(list, o);
    }
    json_put(body, "certificates", list);
    if (ctl->json)
        ctl_print_json(ctl, body);
    json_free(body);
    return exit_code;
}

int ctl_pki(const struct ctl *ctl)
{
    const char *what = ctl->operand_count > 0 ? ctl->operands[0] : "";
    bool named = ctl->operand_count == 3 && is_holder_name(ctl->operands[2]);

    if (strcmp(what, "init") == 0 && ctl->operand_count == 2)
        return init(ctl);
    if (strcmp(what, "show") == 0 && ctl->operand_count > 1)
        return show(ctl);
    if (ctl->operand_count == 3 && !named && (strcmp(what, "node") == 0 || strcmp(what, "client") == 0))
        return ctl_usage(ctl, "pki %s: '%s' is no name: letters, digits, '-', '.', '_', '@', at most %d of them", what,
                         ctl->operands[2], NAME_MAX_BYTES - 1);
    if (strcmp(what, "node") == 0 && named)
        return node(ctl);
    if (strcmp(what, "client") == 0 && named)
        return client(ctl);
    return ctl_usage(ctl, "pki: say init DIR, node DIR NAME --id ID, client DIR NAME --role ROLE, or show FILE...");
}
