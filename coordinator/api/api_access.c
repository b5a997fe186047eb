/* Who asks, and may they? A role comes from the way of the request: on the local socket from the kernel's word about the process, on the port from the
 * client's certificate. Reading needs a viewer, everything else an operator; what load balancers and scrapers ask needs nobody. Every no is
 * counted, logged (once a minute for each peer and reason) and answered with the way out. */
#include "api/api_internal.h"

#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum api_role { API_NOBODY, API_VIEWER, API_OPERATOR };

/* From /etc/passwd alone: a name service over the network could block the loop. */
static bool user_name(uint32_t uid, char *out, size_t capacity)
{
    FILE *file = fopen("/etc/passwd", "re");
    char text[1024];
    struct passwd entry, *found = NULL;
    bool known = false;

    if (file == NULL)
        return false;
    while (!known && fgetpwent_r(file, &entry, text, sizeof text, &found) == 0)
        if (found->pw_uid == uid) {
            text_set(out, capacity, "%s", found->pw_name);
            known = true;
        }
    (void)fclose(file);
    return known;
}

/* "alice", "node 3", "root"; for the audit and the log. */
static void name_of(const struct http_request *request, char out[TLS_IDENTITY_TEXT_MAX_BYTES])
{
    text_set(out, TLS_IDENTITY_TEXT_MAX_BYTES, "nobody");
    if (request->identity.name[0] != '\0')
        text_set(out, TLS_IDENTITY_TEXT_MAX_BYTES, "%s", request->identity.name);
    else if (request->identity.kind != TLS_NOBODY)
        (void)tls_identity_text(&request->identity, out);
    else if (request->peer_known && !user_name(request->peer_uid, out, TLS_IDENTITY_TEXT_MAX_BYTES))
        text_set(out, TLS_IDENTITY_TEXT_MAX_BYTES, "uid %" PRIu32, request->peer_uid);
}

void api_who(const struct api *api, const struct http_request *request, char out[WHO_MAX_BYTES])
{
    char name[TLS_IDENTITY_TEXT_MAX_BYTES];
    struct api_node node;

    api->hooks.node(api->hooks.ctx, &node);
    name_of(request, name);
    text_set(out, WHO_MAX_BYTES, request->way == HTTP_LOCAL ? "%s@%s" : "%s via %s", name, node.name);
}

static enum api_role role_of(const struct api *api, const struct http_request *request)
{
    if (request->way ==
        HTTP_LOCAL) /* the mode of the socket's file says the same; this holds also when somebody has widened it */
        return request->peer_known &&
                       (request->peer_uid == 0 || request->peer_uid == geteuid() || request->peer_in_group)
                   ? API_OPERATOR
                   : API_NOBODY;
    switch (request->identity.kind) {
    case TLS_OPERATOR:
        return API_OPERATOR;
    case TLS_VIEWER:
        return API_VIEWER;
    case TLS_NODE: /* a node's key may be stolen with its host: it commands nothing, and after the node's removal it is nobody's */
        return state_member_slot(api_state(api), request->identity.id) >= 0 ? API_VIEWER : API_NOBODY;
    case TLS_NOBODY:
    case TLS_KIND_COUNT:
        break;
    }
    return API_NOBODY;
}

static enum api_role role_needed(const struct http_request *request, const struct api_path *path)
{
    bool read = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;

    if (!read)
        return API_OPERATOR;
    if (strcmp(request->path, "/healthz") == 0 || strcmp(request->path, "/metrics") == 0)
        return API_NOBODY;
    if (path->count == 6 && strcmp(path->segments[0], "v1") == 0 && strcmp(path->segments[1], "services") == 0 &&
        strcmp(path->segments[3], "sites") == 0 && strcmp(path->segments[5], "primary") == 0)
        return API_NOBODY;
    return API_VIEWER;
}

/* Counts and logs. The port of a peer changes with each connection and is left out. */
static void note(struct api *api, const char *event, const char *address, const char *reason)
{
    char peer[REFUSALS_PEER_MAX_BYTES];
    uint64_t count = 0;
    char *port;

    text_set(peer, sizeof peer, "%s", address);
    port = strrchr(peer, ':');
    if (port != NULL)
        *port = '\0';
    if (refusals_note(&api->refusals, clock_now_us(), peer, reason, &count))
        log_event(LOG_LEVEL_WARNING, event, "peer=%s reason=%s count=%" PRIu64, peer, reason, count);
}

void api_connection_refused(void *ctx, const char *address, const char *why)
{
    struct api *api = ctx;

    api->refused_connections++;
    note(api, "api_connection_refused", address, why);
}

bool api_allowed(struct api *api, struct http_exchange *x, const struct http_request *request,
                 const struct api_path *path)
{
    static const char *const ways_out[] = {
        [HTTP_LOCAL] = "run coordctl as root, as coordd's account, or as a member of the group of the node's socket",
        [HTTP_SECURE] = ("a client certificate of the cluster's authority: coordctl pki client DIR NAME --role viewer, "
                         "then --pki DIR/NAME"),
        [HTTP_OPEN] = "use the node's socket, or give the node certificates (key `tls` of its file)",
    };
    enum api_role role = role_of(api, request);
    char name[TLS_IDENTITY_TEXT_MAX_BYTES], reason[200];

    if (role >= role_needed(request, path))
        return true;
    name_of(request, name);
    if (role == API_VIEWER)
        text_set(reason, sizeof reason, "%s%s may look, and change nothing",
                 request->identity.kind == TLS_VIEWER ? "viewer " : "", name);
    else if (request->identity.kind == TLS_NODE)
        text_set(reason, sizeof reason, "%s is no member of this cluster", name);
    else if (request->way == HTTP_SECURE)
        text_set(reason, sizeof reason,
                 "without a client certificate only /healthz, /metrics and .../primary are answered");
    else if (request->way == HTTP_OPEN)
        text_set(reason, sizeof reason, "in the open only /healthz, /metrics and .../primary are answered");
    else
        text_set(reason, sizeof reason, "%s may not command this node", name);
    api->refused_requests++;
    note(api, "api_request_refused", request->address, reason);
    api_answer(
        x, 403,
        api_error(STATUS_REFUSED,
                  role == API_VIEWER
                      ? "a certificate with the role operator (coordctl pki client DIR NAME --role operator), or "
                        "coordctl on the node itself"
                      : ways_out[request->way],
                  reason));
    return false;
}
