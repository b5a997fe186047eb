/* The life of a node. Happy path: create everything, run the loop, and on SIGTERM close in reverse order. Every failure at start ends the
 * process with a message; a failure that could lose what was acknowledged ends it with code 42, and its supervisor starts it again. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"

#define CHILD_GRACE_MS 1000u

static void on_fatal(void *ctx, const char *reason)
{
    struct daemon *d = ctx;

    log_event(LOG_LEVEL_ERROR, "fatal", "node=%s data_dir=%s reason=%s", daemon_name(d), d->config.data_dir, reason);
    _exit(DAEMON_EXIT_FATAL); /* never go on after a failed write: what was acknowledged must be on this disk */
}

/* --- what the loop calls --- */

static void end_when_due(struct daemon *d);

static void on_wake(uv_async_t *wake)
{
    struct daemon *d = wake->data;

    daemon_flush_unsent(d);
    daemon_retry_patient(d);
    if (d->closing)
        return;
    daemon_lease_follow(d);
    daemon_lease_tick(d); /* a new epoch is renewed at once */
    prober_on_state(d->prober);
    if (daemon_acts(d))
        exec_on_state(d->exec);
    daemon_drive(d);
    api_applied(d->api);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active is its purpose: the poll does not sleep */
}

/* A tick is acted on after the poll, so that a renewal that waits in a socket is proposed before an expiry is. */
static void on_tick(uv_timer_t *tick)
{
    struct daemon *d = tick->data;

    d->tick_due = true;
    (void)uv_idle_start(&d->tick_idle, on_idle); /* fails only without a callback */
}

static void on_check(uv_check_t *check)
{
    struct daemon *d = check->data;

    if (!d->tick_due)
        return;
    d->tick_due = false;
    (void)uv_idle_stop(&d->tick_idle);
    if (d->closing)
        return;
    daemon_retry_patient(d);
    daemon_leader_tick(d);
    daemon_lease_tick(d);
    end_when_due(d);
}

static void on_beat(uv_timer_t *beat)
{
    struct daemon *d = beat->data;

    if (d->closing)
        return;
    daemon_beat(d);
    daemon_setup_beat(beat->data);
}

static const struct state *applied_state(void *ctx)
{
    return ((struct daemon *)ctx)->state;
}

static void submit_step(void *ctx, const struct command *command, exec_submitted_cb done, void *done_ctx)
{
    struct daemon *d = ctx;

    daemon_submit(d, command, 5000, done, done_ctx);
}

static void submit_request(void *ctx, const struct command *command, unsigned deadline_ms, api_submitted done,
                           void *done_ctx)
{
    daemon_submit_patiently(ctx, command, deadline_ms, done, done_ctx);
}

static void describe_node(void *ctx, struct api_node *out)
{
    struct daemon *d = ctx;
    struct rnode_leadership now = { .role = RNODE_FOLLOWER };

    if (d->node != NULL)
        now = rnode_leadership(node_uv_rnode(d->node));
    *out =
        (struct api_node){ .id = d->self, .role = rnode_role_word(now.role), .term = now.term, .leader = now.leader };
    text_set(out->name, sizeof out->name, "%s", d->config.node);
    text_set(out->site, sizeof out->site, "%s", d->config.site);
    out->tls = d->tls != NULL;
    if (d->tls != NULL)
        out->validity = tls_context_validity(d->tls);
    if (now.leader == 0)
        out->leaderless_ms = d->leader_known_us < 0 ? INT64_MAX : (clock_now_us() - d->leader_known_us) / 1000;
    out->data_dir = d->config.data_dir;
    if (d->node != NULL) {
        out->connections = node_uv_counters(d->node);
        out->space = node_uv_space(d->node);
        out->cluster = node_uv_cluster(d->node);
        out->generation = node_uv_generation(d->node)->number;
    }
}

/* --- closing, in reverse order --- */

static void step_close(struct daemon *d);

static void on_closed(void *ctx)
{
    struct daemon *d = ctx;

    d->handles_open--;
    step_close(d);
}

static void on_handle_closed(uv_handle_t *handle)
{
    on_closed(handle->data);
}

static void close_handle(struct daemon *d, uv_handle_t *handle)
{
    d->handles_open++;
    uv_close(handle, on_handle_closed);
}

/* Each stage ends when what it closed is closed; the next begins then. The node comes first: it ends every submission that waits. */
static void step_close(struct daemon *d)
{
    daemon_flush_unsent(d);
    daemon_retry_patient(d); /* and ends them */
    if (d->handles_open > 0)
        return;
    if (d->node != NULL) {
        d->closing_node = d->node;
        d->node = NULL;
        d->handles_open = 1;
        node_uv_close(d->closing_node, on_closed, d);
    } else if (d->exec != NULL) {
        struct exec *exec = d->exec;

        d->exec = NULL;
        d->handles_open = 2;
        daemon_lease_close(d, on_closed);
        daemon_setup_close(d, on_closed);
        exec_close(exec, on_closed, d);
        prober_close(d->prober, on_closed, d); /* may call back before it returns, and is the last for that */
    } else if (d->api != NULL) {
        struct api *api = d->api;

        d->api = NULL;
        d->handles_open = 1;
        api_destroy(api, on_closed, d);
    } else if (d->http != NULL) {
        struct http_client *http = d->http;

        d->http = NULL;
        d->handles_open = 1;
        http_client_close(http, on_closed, d);
    } else if (d->resolver != NULL) {
        struct resolver *resolver = d->resolver;

        d->resolver = NULL;
        d->handles_open = 1;
        resolver_close(resolver, on_closed, d);
    } else if (!uv_is_closing((uv_handle_t *)&d->wake)) {
        close_handle(d, (uv_handle_t *)&d->wake);
        close_handle(d, (uv_handle_t *)&d->tick);
        close_handle(d, (uv_handle_t *)&d->beat);
        close_handle(d, (uv_handle_t *)&d->tick_idle);
        close_handle(d, (uv_handle_t *)&d->tick_check);
        close_handle(d, (uv_handle_t *)&d->signals[0]);
        close_handle(d, (uv_handle_t *)&d->signals[1]);
        close_handle(d, (uv_handle_t *)&d->hangup);
        close_handle(d, (uv_handle_t *)&d->tls_look);
    }
}

static void close_now(struct daemon *d)
{
    d->closing = true;
    d->closing_us = clock_now_us();
    step_close(d);
}

/* A leader hands over first: its followers would take an election timeout to notice that it is gone. A second signal does not wait. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;

    if (d->closing)
        return;
    log_event(LOG_LEVEL_INFO, "stopping", "node=%s signal=%d", daemon_name(d), number);
    daemon_notify("STOPPING=1");
    if (d->ending_us == 0 && daemon_resign(d))
        d->ending_us = clock_now_us();
    else
        close_now(d);
}

/* A node that was removed closes from here, too: it is told while a dial of its own ends, and that must return first. */
static void end_when_due(struct daemon *d)
{
    int64_t election_us = raft_timing_of(d->config.timing).election_ms * INT64_C(1000);
    bool resigned = d->ending_us != 0 && (!d->leader.leading || clock_now_us() - d->ending_us > election_us);

    if (resigned || d->removed)
        close_now(d);
}

/* --- start, in order --- */

/* First of all, so that a signal that comes while the log is loaded is acted on when the loop runs. */
static void init_handles(struct daemon *d)
{
    d->wake.data = d->tick.data = d->beat.data = d->tick_idle.data = d->tick_check.data = d;
    ASSERT(uv_async_init(&d->loop, &d->wake, on_wake) == 0);
    ASSERT(uv_timer_init(&d->loop, &d->tick) == 0);
    ASSERT(uv_timer_init(&d->loop, &d->beat) == 0);
    ASSERT(uv_idle_init(&d->loop, &d->tick_idle) == 0);
    ASSERT(uv_check_init(&d->loop, &d->tick_check) == 0);
    for (unsigned i = 0; i < 2; i++) {
        d->signals[i].data = d;
        ASSERT(uv_signal_init(&d->loop, &d->signals[i]) == 0);
        ASSERT(uv_signal_start(&d->signals[i], on_signal, i == 0 ? SIGTERM : SIGINT) == 0);
    }
}

static void start_timers(struct daemon *d)
{
    uint64_t tick_ms = d->leader.tick_ms;

    ASSERT(uv_check_start(&d->tick_check, on_check) == 0);
    ASSERT(uv_timer_start(&d->tick, on_tick, tick_ms, tick_ms) == 0);
    ASSERT(uv_timer_start(&d->beat, on_beat, d->beat_ms, d->beat_ms) == 0);
}

static enum status create_rooms(struct daemon *d, const char *supervise_path, struct error *err)
{
    struct exec_local locals[SERVICES_MAX];
    struct exec_config exec = { .loop = &d->loop,
                                .child = { .supervise_path = supervise_path, .grace_ms = CHILD_GRACE_MS },
                                .self = d->self,
                                .state_dir = d->config.data_dir,
                                .locals = locals,
                                .local_count = d->config.local_count,
                                .ctx = d,
                                .state = applied_state,
                                .submit = submit_step,
                                .last_primary_lsn = daemon_primary_lsn,
                                .promises_hold = daemon_promises_hold };
    struct api_hooks hooks = { .ctx = d,
                               .state = applied_state,
                               .node = describe_node,
                               .seats = daemon_seats,
                               .promises = daemon_promise_describe,
                               .submit = submit_request };

    for (unsigned i = 0; i < d->config.local_count; i++)
        locals[i] = (struct exec_local){ .service = d->config.local[i].service,
                                         .data_dir = d->config.local[i].data_dir,
                                         .bin_dir = d->config.local[i].bin_dir,
                                         .conninfo = d->config.local[i].conninfo,
                                         .guard_socket = d->config.local[i].guard_socket };
    d->http = http_client_create(&d->loop, d->resolver, err);
    if (d->http == NULL)
        return err->status;
    exec.resolver = d->resolver;
    exec.http = d->http;
    daemon_lease_init(d);
    d->prober = daemon_prober_create(d);
    d->exec = exec_create(&exec, err);
    d->api = api_create(&d->loop, &hooks);
    if (d->exec == NULL)
        return err->status;
    if (d->prober == NULL || d->api == NULL)
        return error_set(err, STATUS_FAILED, "out of memory");
    return STATUS_OK;
}

static enum status create_node(struct daemon *d, struct error *err)
{
    struct raft_timing raft = raft_timing_of(d->config.timing);
    struct node_uv_config config = { .loop = &d->loop,
                                     .resolver = d->resolver,
                                     .tls = d->tls,
                                     .data_dir = d->config.data_dir,
                                     .listen = d->config.listen,
                                     .timing = { .heartbeat_ms = raft.heartbeat_ms, .election_ms = raft.election_ms },
                                     .fsm = daemon_fsm(d),
                                     .ctx = d,
                                     .on_leadership = daemon_on_leadership,
                                     .on_message = daemon_on_message,
                                     .fatal = on_fatal,
                                     .standing = daemon_standing,
                                     .on_removed = daemon_on_removed,
                                     .admit = daemon_admit };

    d->node = node_uv_create(&config, err);
    if (d->node == NULL) {
        d->directory_lost = err->status == STATUS_CORRUPT || err->status == STATUS_NOT_FOUND;
        return err->status;
    }
    d->self = node_uv_id(d->node);
    if (d->self != d->config.id)
        return error_set(err, STATUS_INVALID,
                         "%s was bootstrapped as node %" PRIu64 ", and the configuration says id %" PRIu64
                         ": an id never changes and is never given to another node",
                         d->config.data_dir, d->self, d->config.id);
    leader_init(&d->leader, d->self, d->beat_ms, raft.heartbeat_ms / 2);
    return STATUS_OK;
}

/* Loads the log and begins. The members stand in it, with their addresses: an edit of the node's file does not change them. */
static enum status start_node(struct daemon *d, struct error *err)
{
    const struct config_member *own = config_own(&d->config);
    const char *known;

    if (node_uv_start(d->node, err) != STATUS_OK)
        return err->status;
    known = rnode_address(node_uv_rnode(d->node), d->self);
    if (known != NULL && !text_equal(known, own->address))
        return error_set(err, STATUS_INVALID,
                         "the cluster knows this node at %s, and the configuration says %s: nobody would find it",
                         known, own->address);
    return STATUS_OK;
}

/* Last: who finds the socket finds a node that runs. libuv calls a missing directory "permission denied". */
static enum status start_api(struct daemon *d, struct error *err)
{
    char directory[CONFIG_SOCKET_MAX_BYTES];
    char *slash;

    text_set(directory, sizeof directory, "%s", d->config.socket);
    slash = strrchr(directory, '/');
    ASSERT(slash != NULL); /* config.c: an absolute path */
    slash[slash == directory ? 1 : 0] = '\0';
    if (access(directory, W_OK | X_OK) != 0)
        return error_set(err, STATUS_FAILED, "socket %s: its directory: %s (systemd makes it: RuntimeDirectory=coord)",
                         d->config.socket, strerror(errno));
    if (d->config.api[0] != '\0' && api_listen_tcp(d->api, d->config.api, d->tls, err) != STATUS_OK)
        return error_wrap(err, "key `api`");
    return api_listen(d->api, d->config.socket, err);
}

static struct daemon *daemon_create(const struct node_config *config)
{
    struct daemon *d = calloc(1, sizeof *d);

    ASSERT(d != NULL);
    d->config = *config;
    d->leader_known_us = -1;
    d->beat_ms = timing_of(config->timing).probe_interval_ms;
    d->state = calloc(1, sizeof *d->state);
    d->spare = calloc(1, sizeof *d->spare);
    d->applying = calloc(1, sizeof *d->applying);
    d->proposing = calloc(1, sizeof *d->proposing);
    ASSERT(d->state != NULL);
    ASSERT(d->spare != NULL);
    ASSERT(d->applying != NULL);
    ASSERT(d->proposing != NULL);
    state_init(d->state);
    state_init(d->spare);
    ASSERT(uv_loop_init(&d->loop) == 0);
    return d;
}

static void daemon_free(struct daemon *d)
{
    node_uv_destroy(d->closing_node);
    tls_context_destroy(d->tls);
    if (uv_loop_close(&d->loop) != 0)
        log_event(LOG_LEVEL_ERROR, "handles_left", "node=%s", daemon_name(d));
    log_event(LOG_LEVEL_INFO, "stopped", "node=%s ms=%" PRId64, daemon_name(d),
              (clock_now_us() - d->closing_us) / 1000);
    free(d->state);
    free(d->spare);
    free(d->applying);
    free(d->proposing);
    free(d);
}

/* libraft and libuv cannot be unwound half-way: the process ends where it stands, and a supervisor starts it again. */
static void start_failed(const struct daemon *d, const struct error *err)
{
    log_event(LOG_LEVEL_ERROR, "start_failed", "node=%s data_dir=%s error=%s", daemon_name(d), d->config.data_dir,
              err->text);
    _exit(d->directory_lost ? DAEMON_EXIT_DIRECTORY : EXIT_FAILURE);
}

int daemon_run(const struct node_config *config, const char *supervise_path)
{
    struct daemon *d = daemon_create(config);
    struct error err = ERROR_NONE;
    int code;

    init_handles(d);
    d->resolver = resolver_create(&d->loop, NULL, &err); /* the nodes look each other up with it, too */
    if (d->resolver == NULL || daemon_tls_open(d, &err) != STATUS_OK || create_node(d, &err) != STATUS_OK ||
        create_rooms(d, supervise_path, &err) != STATUS_OK || start_node(d, &err) != STATUS_OK ||
        start_api(d, &err) != STATUS_OK)
        start_failed(d, &err);
    start_timers(d);
    log_event(LOG_LEVEL_INFO, "started", "node=%s id=%" PRIu64 " site=%s listen=%s socket=%s api=%s timing=%s",
              daemon_name(d), d->self, d->config.site, d->config.listen, d->config.socket,
              d->config.api[0] != '\0' ? d->config.api : "none", timing_profile_word(d->config.timing));
    daemon_notify("READY=1");
    (void)uv_run(&d->loop, UV_RUN_DEFAULT); /* returns when the last handle is closed */
    code = d->removed ? DAEMON_EXIT_REMOVED : EXIT_SUCCESS;
    daemon_free(d);
    return code;
}
