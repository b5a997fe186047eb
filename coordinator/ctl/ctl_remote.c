/* The way to the node: its socket here, or one of several servers under TLS. A server that cannot be reached is said and the next one is asked; whatever one
 * answers is the answer. Only what was surely not received is given to another. */
#include "ctl/ctl.h"

#include "base/check.h"
#include "base/text.h"
#include "io/http_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVERS_MAX 9
#define PATH_MAX_BYTES 512
#define PORT_FIX "is this the port of the key `api` in its node file (mostly 7401; 7400 is the nodes' own)? then: "
#define CERTIFICATE_FIX                                                                                                \
    "coordctl pki show FILE says what a certificate is good for; a new one: coordctl pki client DIR NAME --role "      \
    "operator"

struct ctl_remote {
    char list[1024];
    const char *servers[SERVERS_MAX + 1];
    size_t server_count;
    size_t current; /* that answered last */
    char certificate[PATH_MAX_BYTES], key[PATH_MAX_BYTES], authority[PATH_MAX_BYTES];
    bool complete;           /* all three are named */
    struct tls_context *tls; /* made at the first request */
    bool asked;              /* a server: what was refused is not refused here */
};

static void name_file(char out[PATH_MAX_BYTES], const char *given, const char *directory, const char *file)
{
    if (given != NULL)
        text_set(out, PATH_MAX_BYTES, "%s", given);
    else if (directory != NULL)
        text_set(out, PATH_MAX_BYTES, "%s/%s", directory, file);
}

struct ctl_remote *ctl_remote_create(const struct ctl *ctl)
{
    struct ctl_remote *r = calloc(1, sizeof *r);
    char *rest, *one;

    ASSERT(r != NULL);
    text_set(r->list, sizeof r->list, "%s", ctl->server);
    rest = r->list;
    while ((one = strsep(&rest, ",")) != NULL && r->server_count <= SERVERS_MAX)
        if (one[0] != '\0')
            r->servers[r->server_count++] = one;
    name_file(r->certificate, ctl->certificate, ctl->pki, "client.crt");
    name_file(r->key, ctl->key, ctl->pki, "client.key");
    name_file(r->authority, ctl->authority, ctl->pki, "authority.crt");
    r->complete = r->certificate[0] != '\0' && r->key[0] != '\0' && r->authority[0] != '\0';
    return r;
}

void ctl_remote_destroy(struct ctl_remote *remote)
{
    if (remote == NULL)
        return;
    tls_context_destroy(remote->tls);
    free(remote);
}

/* What the servers would only refuse with one word is said here with the day. */
static enum status check_validity(const struct ctl_remote *r, struct error *err)
{
    struct tls_validity validity = tls_context_validity(r->tls);
    int64_t now_s = (int64_t)time(NULL);
    char at[CTL_TIME_MAX_BYTES];

    if (now_s >= validity.authority_end_s) {
        ctl_time(validity.authority_end_s * 1000, true, at);
        return error_set(err, STATUS_REFUSED, "the authority %s expired on %.19s", r->authority, at);
    }
    if (now_s >= validity.certificate_end_s) {
        ctl_time(validity.certificate_end_s * 1000, true, at);
        return error_set(err, STATUS_REFUSED, "your certificate %s expired on %.19s", r->certificate, at);
    }
    if (now_s < validity.certificate_begin_s) {
        ctl_time(validity.certificate_begin_s * 1000, true, at);
        return error_set(err, STATUS_REFUSED, "your certificate %s is valid from %.19s: does this clock go right?",
                         r->certificate, at);
    }
    return STATUS_OK;
}

static enum status make_ready(struct ctl_remote *r, struct error *err)
{
    struct tls_files files = { .certificate = r->certificate, .key = r->key, .authority = r->authority };

    if (r->server_count == 0 || r->server_count > SERVERS_MAX)
        return error_set(err, STATUS_INVALID, "--server: expected HOST:PORT, or up to %d of them with commas between",
                         SERVERS_MAX);
    if (!r->complete)
        return error_set(err, STATUS_INVALID,
                         "a server asks for a certificate: --pki DIR (or $COORD_PKI), or --certificate, --key and "
                         "--authority");
    if (r->tls == NULL)
        r->tls = tls_context_create(&files, err);
    if (r->tls == NULL)
        return err->status;
    return check_validity(r, err);
}

static enum status call_servers(const struct ctl *ctl, struct http_call_request *request,
                                struct http_call_answer *answer, struct error *err)
{
    struct ctl_remote *r = ctl->remote;
    size_t first = r->current;
    enum status status = STATUS_UNREACHABLE;

    request->tls = r->tls;
    r->asked = true;
    for (size_t i = 0; i < r->server_count; i++) {
        r->current = (first + i) % r->server_count;
        request->server = r->servers[r->current];
        if (i > 0) {
            if (!ctl->json) {
                (void)fprintf(ctl->err, "coordctl: ");
                ctl_print_clean(ctl->err, err->text);
                (void)fprintf(ctl->err, "; asking %s\n", request->server);
            }
            http_call_answer_free(answer);
            *err = ERROR_NONE;
        }
        status = http_call(request, answer, err);
        if (status != STATUS_UNREACHABLE)
            return status;
    }
    r->current = first;
    return status;
}

enum status ctl_request(const struct ctl *ctl, struct http_call_request *request, struct http_call_answer *answer,
                        struct error *err)
{
    if (request->timeout_ms == 0)
        request->timeout_ms = ctl->timeout_ms > 0 ? ctl->timeout_ms : CTL_TIMEOUT_MS_DEFAULT;
    if (ctl->remote == NULL) {
        request->socket_path = ctl->socket_path;
        return http_call(request, answer, err);
    }
    *answer = (struct http_call_answer){ .code = 0 };
    if (make_ready(ctl->remote, err) != STATUS_OK)
        return err->status;
    return call_servers(ctl, request, answer, err);
}

const char *ctl_contact_fix(const struct ctl *ctl, enum status status)
{
    if (status == STATUS_TIMED_OUT || status == STATUS_UNKNOWN)
        return "it may have been done: look with coordctl status and coordctl events before you try again";
    if (ctl->remote == NULL && status == STATUS_UNREACHABLE && access(ctl->socket_path, W_OK) != 0 && errno == EACCES)
        return "run coordctl as root, as coordd's account, or as a member of the group of the node's socket";
    if (ctl->remote == NULL)
        return status == STATUS_UNREACHABLE
                   ? "is coordd running here? name its socket with -S PATH or COORD_SOCKET (key "
                     "`socket` of the node's file)"
                   : NULL;
    if (status == STATUS_UNREACHABLE)
        return "is coordd running there, with the key `api` in its node file? the socket on the node itself needs no "
               "certificate";
    if (status != STATUS_REFUSED && status != STATUS_CORRUPT)
        return NULL;
    return ctl->remote->asked ? PORT_FIX CERTIFICATE_FIX : CERTIFICATE_FIX;
}

const char *ctl_contact(const struct ctl *ctl)
{
    return ctl->remote != NULL && ctl->remote->server_count > 0 ? ctl->remote->servers[ctl->remote->current]
                                                                : ctl->socket_path;
}
