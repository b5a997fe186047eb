#include "api_fixture.h"

#include "api/api.h"
#include "base/check.h"
#include "base/text.h"
#include "core/fsm.h"
#include "core/leader.h"
#include "io/clock.h"
#include "tls_fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TICK_MS 10
#define LAG_MS 200

struct waiting { /* a submission on its way */
    struct waiting *next;
    struct command *command;
    api_submitted done;
    void *ctx;
    int64_t apply_at_us; /* when this node applies it; it was answered before */
    bool answered;
    struct outcome outcome;
};

struct child {
    enum fixture_mode mode;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t term;
    struct api *api;
    struct state *state, *ahead; /* ahead: the leader's, when this node lags */
    struct leader leader;
    struct command *scratch;
    struct waiting *waiting;
    struct outcome outcome;
};

static struct child child;

static struct outcome apply_to(struct state *s, struct command *command)
{
    command->at_ms = clock_wall_ms();
    fsm_apply(s, s->applied_index + 1, command, &child.outcome);
    return child.outcome;
}

static void apply(struct command *command)
{
    (void)apply_to(child.state, command);
    leader_applied(&child.leader, child.state);
    if (child.api != NULL)
        api_applied(child.api);
}

static void apply_ok(struct command *command)
{
    apply(command);
    if (child.outcome.status != STATUS_OK)
        (void)fprintf(stderr, "fixture: %s\n", child.outcome.reason);
    ASSERT(child.outcome.status == STATUS_OK);
}

static struct command *fresh(enum command_kind kind)
{
    command_clear(child.scratch, kind);
    text_set(child.scratch->who, sizeof child.scratch->who, "node c1");
    return child.scratch;
}

static void make_cluster(void)
{
    static const char *const nodes[] = { "a1", "b1", "c1" }, *const sites[] = { "site-a", "site-b", "site-c" };
    struct command *c = fresh(COMMAND_CLUSTER_INIT);

    c->cluster_init.cluster_id = 42;
    c->cluster_init.election_ms = 300;
    for (unsigned i = 0; i < 3; i++) {
        struct member *m = &c->cluster_init.members[i];
        m->id = i + 1;
        m->site = (site_id)i;
        m->witness = i == 2;
        text_set(m->name, sizeof m->name, "%s", nodes[i]);
        text_set(m->address, sizeof m->address, "127.10.%u.1:7400", i + 1);
        text_set(c->cluster_init.sites[i].name, NAME_MAX_BYTES, "%s", sites[i]);
    }
    apply_ok(c);
    for (unsigned i = 0; i < 3; i++) {
        c = fresh(COMMAND_NODE_HEARD);
        c->node_heard.node = i + 1;
        c->node_heard.heard = true;
        apply_ok(c);
    }
}

static void opine(node_id node, site_id site, enum opinion_word word)
{
    struct command *c = fresh(COMMAND_OPINION);

    c->opinion.node = node;
    c->opinion.site = site;
    c->opinion.opinion = (struct opinion){ .word = word,
                                           .role = site == 0 ? ROLE_PRIMARY : ROLE_STANDBY,
                                           .kinds_failed = (uint8_t)(word == OPINION_UP ? 0 : 1u << KIND_DATABASE),
                                           .kinds_up = (uint8_t)(word == OPINION_UP ? 1u << KIND_DATABASE : 0),
                                           .ready = site == 1,
                                           .streaming = site == 1 };
    apply_ok(c);
}

static struct enforcement enforcing(void)
{
    return (struct enforcement){ .enforcing = true,
                                 .instance = 0xabc,
                                 .known_index = child.state->services[0].enforced_index };
}

static void make_service(enum mode mode)
{
    struct command *c = fresh(COMMAND_CONFIG_APPLY);
    struct service_config *config = &c->config_apply.services[0];

    c->config_apply.service_count = 1;
    text_set(config->name, sizeof config->name, "app");
    config->profile = PROFILE_METRO;
    config->mode = mode;
    config->tier = 1;
    config->accept_vm_pause = true;
    config->max_lag_bytes = 1048576;
    config->max_lag_ms = 10000;
    config->timing = timing_of(PROFILE_METRO);
    config->site_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct site_config *site = &config->sites[i];
        site->site = (site_id)i;
        site->port = 5432;
        text_set(site->host, sizeof site->host, "127.10.%u.1", i + 1);
        text_set(site->user, sizeof site->user, "coord");
        text_set(site->dbname, sizeof site->dbname, "postgres");
        text_set(site->publish_address, sizeof site->publish_address, "127.10.%u.1", i + 1);
    }
    apply_ok(c);
    c = fresh(COMMAND_SERVICE_SET);
    c->service_set.change = SERVICE_ARM;
    apply_ok(c);
    for (node_id node = 1; node <= 3; node++)
        for (site_id site = 0; site < 2; site++)
            opine(node, site, OPINION_UP);
    c = fresh(COMMAND_GRANT);
    c->grant.site = 0;
    c->grant.node = 1;
    c->grant.enforcement = enforcing();
    apply_ok(c);
}

/* ---- hooks ---- */

static const struct state *hook_state(void *ctx)
{
    (void)ctx;
    return child.state;
}

static void hook_node(void *ctx, struct api_node *out)
{
    (void)ctx;
    *out = (struct api_node){ .id = 3, .name = "c1", .site = "site-c", .role = "leader", .term = 7, .leader = 3 };
    out->tls = true;
    out->validity = (struct tls_validity){ .certificate_end_s = 4102444800, .authority_end_s = 4102444801 };
    out->connections = (struct transport_counters){ .accepted = 4, .refused_certificate = 5, .refused_hello = 6 };
    out->space = (struct space){ .level = SPACE_LOW, .free_bytes = 200u << 20 };
    out->data_dir = "/var/lib/coord";
    if (child.mode == FIXTURE_NO_LEADER) {
        out->leader = 0;
        out->leaderless_ms = 3600000;
    }
    if (child.mode == FIXTURE_NO_LEADER || child.mode == FIXTURE_LAGGING)
        out->role = "follower";
}

static void hook_submit(void *ctx, const struct command *command, unsigned deadline_ms, api_submitted done,
                        void *done_ctx)
{
    struct waiting *w = calloc(1, sizeof *w);

    (void)ctx;
    ASSERT(w != NULL);
    ASSERT(deadline_ms > 0);
    w->command = malloc(sizeof *w->command);
    ASSERT(w->command != NULL);
    *w->command = *command;
    w->done = done;
    w->ctx = done_ctx;
    w->next = child.waiting;
    child.waiting = w;
}

/* One submission, some turns of the loop later. True when it has ended. */
static bool serve(struct waiting *w)
{
    if (child.mode == FIXTURE_NO_LEADER || child.mode == FIXTURE_UNKNOWN) {
        w->done(w->ctx, child.mode == FIXTURE_UNKNOWN ? STATUS_UNKNOWN : STATUS_NO_LEADER, NULL);
        return true;
    }
    if (child.mode == FIXTURE_LAGGING && !w->answered) {
        *child.ahead = *child.state;
        w->outcome = apply_to(child.ahead, w->command);
        w->answered = true;
        w->apply_at_us = clock_now_us() + LAG_MS * 1000;
        w->done(w->ctx, STATUS_OK, &w->outcome);
        return false;
    }
    if (w->answered) {
        if (clock_now_us() < w->apply_at_us)
            return false;
        apply(w->command);
        return true;
    }
    apply(w->command);
    w->outcome = child.outcome;
    w->done(w->ctx, STATUS_OK, &w->outcome);
    return true;
}

static void serve_waiting(void)
{
    struct waiting *list = child.waiting, *next;

    child.waiting = NULL;
    for (; list != NULL; list = next) {
        next = list->next;
        if (serve(list)) {
            free(list->command);
            free(list);
        } else {
            list->next = child.waiting;
            child.waiting = list;
        }
    }
}

/* ---- the cluster's life ---- */

static void renew(void)
{
    const struct lease *lease = &child.state->services[0].lease;
    struct command *c;

    if (!child.state->services[0].present || !lease_live(lease))
        return;
    c = fresh(COMMAND_RENEW);
    c->renew.epoch = lease->epoch;
    c->renew.node = lease->holder;
    c->renew.ttl_ms = 2000;
    c->renew.enforcement = enforcing();
    apply(c);
}

static void finish_steps(void)
{
    struct operation *op = &child.state->services[0].operation;

    for (uint8_t i = 0; i < op->run_count && operation_active(op) && child.mode != FIXTURE_STUCK; i++) {
        const struct lease *lease = &child.state->services[0].lease;
        struct step_run *run = &op->runs[i];
        struct command *c;

        if (run->state != RUN_ASSIGNED)
            continue;
        c = fresh(COMMAND_STEP_RESULT);
        c->step_result.operation = op->id;
        c->step_result.run = i;
        c->step_result.attempt = run->attempt;
        c->step_result.epoch = run->epoch;
        c->step_result.node = run->node;
        c->step_result.result.ok = true;
        text_set(c->step_result.result.detail, DETAIL_MAX_BYTES, "%s by the fixture", step_word(run->step));
        c->step_result.result.position = (struct position){ .known = true, .timeline = 1, .lsn = 0x3000060 };
        c->step_result.result.instance_count = lease->instance_count;
        memcpy(c->step_result.result.instances, lease->instances, sizeof lease->instances);
        apply(c);
    }
}

static void on_tick(uv_timer_t *timer)
{
    unsigned slot;

    (void)timer;
    for (node_id node = 1; node <= 3; node++)
        leader_heard(&child.leader, child.state, node, false);
    renew();
    leader_tick(&child.leader, child.state, clock_now_us());
    while (leader_next(&child.leader, child.state, clock_wall_ms(), child.scratch, &slot)) {
        apply(child.scratch);
        leader_proposed_done(&child.leader, slot);
    }
    finish_steps();
    serve_waiting();
}

static void on_api_closed(void *ctx)
{
    (void)ctx;
    uv_close((uv_handle_t *)&child.tick, NULL);
    uv_close((uv_handle_t *)&child.term, NULL);
}

static void on_term(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    api_destroy(child.api, on_api_closed, NULL);
    child.api = NULL;
}

static void fail_site_a(void)
{
    for (node_id node = 1; node <= 3; node++)
        opine(node, 0, OPINION_FAILED);
}

static int child_main(enum fixture_mode mode, const struct api_fixture *f, const char *certificate)
{
    struct tls_context *tls = NULL;
    struct api_hooks hooks = { .ctx = NULL, .state = hook_state, .node = hook_node, .submit = hook_submit };
    struct error err = ERROR_NONE;

    (void)signal(SIGPIPE, SIG_IGN);
    memset(&child, 0, sizeof child);
    child.mode = mode;
    child.state = calloc(1, sizeof *child.state);
    child.ahead = calloc(1, sizeof *child.ahead);
    child.scratch = calloc(1, sizeof *child.scratch);
    ASSERT(child.state != NULL && child.ahead != NULL && child.scratch != NULL);
    state_init(child.state);
    leader_init(&child.leader, 3, 250, TICK_MS);
    leader_begin(&child.leader, 7, false, clock_now_us());
    make_cluster();
    if (mode != FIXTURE_EMPTY)
        make_service(mode == FIXTURE_PROPOSE ? MODE_PROPOSE : MODE_AUTO);
    if (mode == FIXTURE_PROPOSE)
        fail_site_a();
    ASSERT(uv_loop_init(&child.loop) == 0);
    ASSERT(uv_timer_init(&child.loop, &child.tick) == 0);
    ASSERT(uv_timer_start(&child.tick, on_tick, TICK_MS, TICK_MS) == 0);
    ASSERT(uv_signal_init(&child.loop, &child.term) == 0);
    ASSERT(uv_signal_start(&child.term, on_term, SIGTERM) == 0);
    child.api = api_create(&child.loop, &hooks);
    if (certificate != NULL)
        tls = tls_fixture_context(certificate, "ca");
    if ((f->server[0] != '\0' && api_listen_tcp(child.api, f->server, tls, &err) != STATUS_OK) ||
        api_listen(child.api, f->socket_path, &err) != STATUS_OK) { /* whoever finds the socket finds the port too */
        (void)fprintf(stderr, "fixture: %s\n", err.text);
        return 2;
    }
    (void)uv_run(&child.loop, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&child.loop) == 0);
    tls_context_destroy(tls);
    free(child.state);
    free(child.ahead);
    free(child.scratch);
    return 0;
}

/* A port that is free now. Whoever takes it in the meantime makes the child fail, loudly. */
static void choose_port(struct api_fixture *f)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)close(fd);
    (void)snprintf(f->server, sizeof f->server, "127.0.0.1:%u", ntohs(address.sin_port));
}

static void begin(struct api_fixture *f, enum fixture_mode mode, const char *certificate)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bool up = false;

    (void)snprintf(f->directory, sizeof f->directory, "/tmp/test-api-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    (void)snprintf(f->socket_path, sizeof f->socket_path, "%s/s", f->directory);
    (void)fflush(stdout);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed assertion leaves it behind, and the test's output open */
        exit(child_main(mode, f, certificate));
    }
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", f->socket_path);
    for (int i = 0; i < 2000 && !up; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        up = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
        (void)close(fd);
        if (!up)
            (void)usleep(10000);
    }
    assert_true(up);
}

void api_fixture_begin(struct api_fixture *f, enum fixture_mode mode)
{
    f->server[0] = '\0';
    begin(f, mode, NULL);
}

void api_fixture_begin_port(struct api_fixture *f, enum fixture_mode mode, const char *certificate)
{
    choose_port(f);
    begin(f, mode, certificate);
}

void api_fixture_end(struct api_fixture *f)
{
    int status = -1;

    assert_int_equal(kill(f->pid, SIGTERM), 0);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(rmdir(f->directory), 0); /* the socket file was removed */
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
