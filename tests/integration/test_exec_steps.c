/* The steps of a failover in their order, on a real streaming pair with lease_guard, a real Knot and a real command. The replicated state is
 * the test's: it assigns, and takes what is submitted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/bytes.h"
#include "exec/exec.h"
#include "fencing/guard_client.h"
#include "io/log.h"
#include "postgres/wal_position.h"
#include "tests/integration/dns_servers.h"
#include "tests/integration/pg_fixture.h"
#include "tests/integration/script_server.h"

enum { SITE_A, SITE_B };
#define NODE_A 1u
#define NODE_B 2u
#define OLD_EPOCH 4u
#define NEW_EPOCH 5u
#define HOLD_MS 60000

static uv_loop_t loop;
static struct resolver *resolver;
static struct http_client *http;
static struct pg_server primary, standby;
static struct dns_server knot;
static struct script_server health;
static struct exec *node_a, *node_b, *node_b_hasty; /* the last has little patience */
static struct step_table hasty;
static struct state state_now;
static struct exec_local local_a, local_b;
static char guard_a[200], guard_b[200], key_path[200], key_reference[220];
static uint64_t primary_lsn;
static struct command_step_result last; /* what was submitted */
static bool submitted;

static const struct state *applied(void *ctx)
{
    (void)ctx;
    return &state_now;
}

static void submit(void *ctx, const struct command *command, exec_submitted_cb done, void *done_ctx)
{
    static const struct outcome accepted = { .status = STATUS_OK };
    struct operation *op = &state_now.services[0].operation;

    (void)ctx;
    last = command->step_result;
    op->runs[last.run].state = last.result.ok ? RUN_DONE : RUN_PENDING;
    submitted = true;
    done(done_ctx, STATUS_OK, &accepted);
}

static uint64_t last_primary_lsn(void *ctx, service_id service)
{
    (void)ctx;
    assert_int_equal(service, 0);
    return primary_lsn;
}

static struct operation *operation(void)
{
    return &state_now.services[0].operation;
}

/* Assigns a new run, lets the nodes see it, and brings the result. */
static const struct step_result *run_on(struct exec *e, enum step step, site_id site)
{
    static uint32_t attempt;
    struct operation *op = operation();

    op->run_count = 1;
    op->runs[0] = (struct step_run){ .step = step,
                                     .site = site,
                                     .state = RUN_ASSIGNED,
                                     .attempt = ++attempt,
                                     .node = site == SITE_A ? NODE_A : NODE_B,
                                     .epoch = state_now.services[0].lease.epoch };
    submitted = false;
    exec_on_state(e);
    assert_false(submitted);
    loop_until(&loop, &submitted);
    exec_on_state(e);
    while (exec_busy(e) > 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(last.attempt, attempt);
    assert_int_equal(last.epoch, op->runs[0].epoch);
    return &last.result;
}

static const struct step_result *must_succeed(struct exec *e, enum step step, site_id site)
{
    const struct step_result *r = run_on(e, step, site);

    if (!r->ok)
        print_error("%s: %s\n", step_word(step), r->detail);
    assert_true(r->ok);
    print_message("%s: %s\n", step_word(step), r->detail);
    return r;
}

static void assert_says(const struct step_result *r, const char *part)
{
    if (strstr(r->detail, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", r->detail, part);
}

static void must_fail(struct exec *e, enum step step, site_id site, const char *part)
{
    const struct step_result *r = run_on(e, step, site);

    assert_false(r->ok);
    assert_says(r, part);
}

struct guard_wait {
    bool ended;
    struct guard_answer answer;
    enum status status;
};

static void on_guard(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct guard_wait *g = ctx;

    g->answer = *answer;
    g->status = err != NULL ? err->status : STATUS_OK;
    g->ended = true;
}

static void on_gone(void *ctx)
{
    *(bool *)ctx = true;
}

/* What the holder's renewal does. */
static instance_id open_guard(const char *path, epoch_t epoch)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct guard_wait now = { .ended = false }, open = { .ended = false };
    bool gone = false;

    guard_now_begin(g, 5000, on_guard, &now);
    loop_until(&loop, &now.ended);
    assert_int_equal(now.status, STATUS_OK);
    guard_open_begin(g, now.answer.status.instance, epoch, now.answer.status.now_us, HOLD_MS, 5000, on_guard, &open);
    loop_until(&loop, &open.ended);
    assert_int_equal(open.status, STATUS_OK);
    guard_client_destroy(g, on_gone, &gone);
    loop_until(&loop, &gone);
    return now.answer.status.instance;
}

static void bypass_guard(const char *path, bool on, epoch_t epoch)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct guard_wait now = { .ended = false }, bypass = { .ended = false };
    bool gone = false;

    guard_now_begin(g, 5000, on_guard, &now);
    loop_until(&loop, &now.ended);
    guard_bypass_begin(g, on, now.answer.status.instance, epoch, 5000, on_guard, &bypass);
    loop_until(&loop, &bypass.ended);
    assert_int_equal(bypass.status, STATUS_OK);
    guard_client_destroy(g, on_gone, &gone);
    loop_until(&loop, &gone);
}

static bool write_is_acknowledged(const struct pg_server *s, const char *sql)
{
    char port[8];
    const char *argv[] = { "psql", "-qXh", s->socket_dir, "-p", port, "-U", "postgres", "-c", sql, NULL };

    (void)snprintf(port, sizeof port, "%u", (unsigned)s->port);
    return pg_fixture_run(argv) == 0;
}

/* --- the world ------------------------------------------------------------------------------------------------------------------- */

static void make_servers(void)
{
    char settings[600];
    FILE *file;

    pg_server_create(&primary, "a", "");
    pg_server_signal_wait(&primary, SIGINT);
    (void)snprintf(settings, sizeof settings, "%s/postgresql.conf", primary.data_dir);
    file = fopen(settings, "a");
    assert_non_null(file);
    (void)fprintf(file, "shared_preload_libraries = '%s'\n", LEASE_GUARD_PATH);
    assert_int_equal(fclose(file), 0);
    pg_server_start(&primary, true);
    pg_server_create_standby(&standby, "b", &primary);
    (void)snprintf(guard_a, sizeof guard_a, "%s/pg_stat_tmp/lease_guard.sock", primary.data_dir);
    (void)snprintf(guard_b, sizeof guard_b, "%s/pg_stat_tmp/lease_guard.sock", standby.data_dir);
    local_a = (struct exec_local){ .service = "app",
                                   .data_dir = primary.data_dir,
                                   .bin_dir = PG_BIN_DIR,
                                   .conninfo = primary.socket_conninfo,
                                   .guard_socket = guard_a };
    local_b = (struct exec_local){ .service = "app",
                                   .data_dir = standby.data_dir,
                                   .bin_dir = PG_BIN_DIR,
                                   .conninfo = standby.socket_conninfo,
                                   .guard_socket = guard_b };
}

static void make_key(void)
{
    FILE *file;

    (void)snprintf(key_path, sizeof key_path, "%s/tsig.key", pg_fixture_dir());
    (void)snprintf(key_reference, sizeof key_reference, "file:%s", key_path);
    file = fopen(key_path, "w");
    assert_non_null(file);
    (void)fprintf(file, "hmac-sha256:%s:%s\n", DNS_KEY_NAME, DNS_KEY_SECRET);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(key_path, 0600), 0);
}

static void text(char *out, size_t capacity_bytes, const char *value)
{
    assert_true(text_copy(out, capacity_bytes, value));
}

static void make_state(instance_id instance)
{
    static const char *const names[] = { "site-a", "site-b" };
    struct service *svc = &state_now.services[0];

    state_init(&state_now);
    for (unsigned i = 0; i < 2; i++) {
        text(state_now.sites[i].name, NAME_MAX_BYTES, names[i]);
        state_now.members[i] = (struct member){ .id = i + 1, .site = (site_id)i, .heard = true };
        text(state_now.members[i].name, NAME_MAX_BYTES, i == 0 ? "a1" : "b1");
        svc->config.sites[i].site = (site_id)i;
    }
    svc->present = true;
    svc->armed = true;
    text(svc->config.name, NAME_MAX_BYTES, "app");
    svc->config.site_count = 2;
    text(svc->config.sites[SITE_B].publish_address, ADDRESS_MAX_BYTES, "127.10.2.1");
    svc->primary = SITE_A;
    svc->lease = (struct lease){ .state = LEASE_REVOKED,
                                 .site = SITE_A,
                                 .holder = NODE_A,
                                 .epoch = OLD_EPOCH,
                                 .instance_count = 1,
                                 .instances = { instance } };
    svc->operation = (struct operation){
        .id = 70, .state = OPERATION_RUNNING, .from = SITE_A, .to = SITE_B, .old_epoch = OLD_EPOCH
    };
}

/* The point of no return. */
static void promote_in_state(void)
{
    struct service *svc = &state_now.services[0];

    svc->primary = SITE_B;
    svc->lease = (struct lease){ .state = LEASE_LIVE, .site = SITE_B, .holder = NODE_B, .epoch = NEW_EPOCH };
    svc->operation.state = OPERATION_PROMOTED;
    svc->operation.new_epoch = NEW_EPOCH;
}

static struct exec *make_node(node_id self, const struct exec_local *local, const struct step_table *steps)
{
    struct error err;
    struct exec_config config = { .loop = &loop,
                                  .resolver = resolver,
                                  .http = http,
                                  .child = { .supervise_path = SUPERVISE_PATH, .grace_ms = 100 },
                                  .self = self,
                                  .state_dir = pg_fixture_dir(),
                                  .locals = local,
                                  .local_count = 1,
                                  .steps = steps,
                                  .state = applied,
                                  .submit = submit,
                                  .last_primary_lsn = last_primary_lsn };
    struct exec *e = exec_create(&config, &err);

    assert_non_null(e);
    return e;
}

static int setup(void **state)
{
    struct error err;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(uv_loop_init(&loop), 0);
    resolver = resolver_create(&loop, NULL, &err);
    assert_non_null(resolver);
    http = http_client_create(&loop, resolver, &err);
    assert_non_null(http);
    make_servers();
    make_key();
    dns_server_start(&knot, DNS_SERVER_KNOT);
    make_state(open_guard(guard_a, OLD_EPOCH));
    hasty = step_table_real;
    hasty.deadline_ms = 300;
    node_a = make_node(NODE_A, &local_a, NULL);
    node_b = make_node(NODE_B, &local_b, NULL);
    node_b_hasty = make_node(NODE_B, &local_b, &hasty);
    return 0;
}

static void close_node(struct exec *e)
{
    bool gone = false;

    exec_close(e, on_gone, &gone);
    loop_until(&loop, &gone);
}

static int teardown(void **state)
{
    bool gone = false;

    (void)state;
    close_node(node_a);
    close_node(node_b);
    close_node(node_b_hasty);
    http_client_close(http, on_gone, &gone);
    loop_until(&loop, &gone);
    gone = false;
    resolver_close(resolver, on_gone, &gone);
    loop_until(&loop, &gone);
    dns_server_stop(&knot);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

/* --- the failover, in order: each test goes on where the one before it ended -------------------------------------------------------- */

static void sever_reports_the_frozen_position_and_its_gap(void **state)
{
    const struct step_result *r;
    char expected[80];

    (void)state;
    assert_true(write_is_acknowledged(&primary, "CREATE TABLE t AS SELECT generate_series(1, 100) AS i"));
    r = must_succeed(node_b, STEP_SEVER, SITE_B);
    assert_says(r, "timeline 1, gap not known");
    assert_true(r->position.known);
    assert_false(r->position.gap_known);
    assert_int_equal(r->position.timeline, 1);
    assert_string_equal(pg_server_sql(&standby, "SELECT count(*) FROM pg_stat_wal_receiver"), "0");

    primary_lsn = r->position.lsn + 4096;
    r = must_succeed(node_b, STEP_SEVER, SITE_B); /* once more: nothing changes */
    assert_true(r->position.gap_known);
    assert_int_equal(r->position.gap_bytes, 4096);
    (void)snprintf(expected, sizeof expected, "severed at %" PRIX32 "/%" PRIX32 " timeline 1, gap 4096 bytes",
                   (uint32_t)(r->position.lsn >> 32), (uint32_t)r->position.lsn);
    assert_string_equal(r->detail, expected);
    primary_lsn = 1; /* ahead of what was last seen: lacks nothing */
    assert_int_equal(must_succeed(node_b, STEP_SEVER, SITE_B)->position.gap_bytes, 0);
}

static void reconnect_lets_it_stream_again(void **state)
{
    (void)state;
    assert_says(must_succeed(node_b, STEP_RECONNECT, SITE_B), "the WAL receiver may run again");
    for (int i = 0; strcmp(pg_server_sql(&standby, "SELECT status FROM pg_stat_wal_receiver"), "streaming") != 0; i++) {
        assert_true(i < 400);
        (void)usleep(50 * 1000);
    }
    (void)must_succeed(node_b, STEP_SEVER, SITE_B);
}

static void fence_lists_what_is_proven(void **state)
{
    struct lease *lease = &state_now.services[0].lease;
    const struct step_result *r;
    char expected[100];

    (void)state;
    assert_true(write_is_acknowledged(&primary, "INSERT INTO t VALUES (1)"));
    lease->instances[lease->instance_count++] = 0x1234; /* an earlier life of the server */
    r = must_succeed(node_a, STEP_FENCE, SITE_A);
    (void)snprintf(expected, sizeof expected,
                   "epoch 4: guard of instance %016" PRIx64 " closed, instance 0000000000001234 stopped",
                   lease->instances[0]);
    assert_string_equal(r->detail, expected);
    assert_int_equal(r->instance_count, 2);
    assert_int_equal(r->instances[0], lease->instances[0]);
    assert_int_equal(r->instances[1], 0x1234);
    assert_false(write_is_acknowledged(&primary, "INSERT INTO t VALUES (2)"));
    assert_string_equal(pg_server_sql(&primary, "SELECT count(*) FROM t"), "101"); /* it still serves reads */
}

static void a_promotion_that_does_not_stand_is_not_begun(void **state)
{
    (void)state;
    promote_in_state();
    state_now.services[0].primary = SITE_A;
    must_fail(node_b, STEP_PROMOTE, SITE_B, "site-b is not primary in epoch 5 any more: not promoted");
    state_now.services[0].primary = SITE_B;
    bypass_guard(guard_b, true, NEW_EPOCH);
    must_fail(node_b, STEP_PROMOTE, SITE_B,
              "lease_guard is bypassed at site site-b: promotion would accept writes without a lease");
    bypass_guard(guard_b, false, NEW_EPOCH);
    assert_string_equal(pg_server_sql(&standby, "SELECT pg_is_in_recovery()"), "t");
}

static void a_site_without_guard_is_not_promoted(void **state)
{
    struct exec_local bare = local_b;
    struct exec *e;

    (void)state;
    bare.guard_socket = "";
    e = make_node(NODE_B, &bare, NULL);
    must_fail(e, STEP_PROMOTE, SITE_B, "site site-b has no lease_guard");
    close_node(e);
    bare.guard_socket = "/nowhere/lease_guard.sock";
    e = make_node(NODE_B, &bare, NULL);
    must_fail(e, STEP_PROMOTE, SITE_B, "lease_guard of site-b does not say that it is enforcing");
    close_node(e);
    assert_string_equal(pg_server_sql(&standby, "SELECT pg_is_in_recovery()"), "t");
}

static void promote_makes_a_primary_that_still_refuses_writes(void **state)
{
    (void)state;
    assert_says(must_succeed(node_b, STEP_PROMOTE, SITE_B), "ms: timeline 2 at 0/");
    assert_string_equal(pg_server_sql(&standby, "SELECT pg_is_in_recovery()"), "f");
    assert_false(write_is_acknowledged(&standby, "INSERT INTO t VALUES (3)"));
    assert_says(must_succeed(node_b, STEP_PROMOTE, SITE_B), "already primary on timeline 2");
}

static void checkpoint_makes_the_new_timeline_durable(void **state)
{
    (void)state;
    assert_says(must_succeed(node_b, STEP_CHECKPOINT, SITE_B), "checkpoint at site-b in ");
    assert_string_equal(pg_server_sql(&standby, "SELECT timeline_id FROM pg_control_checkpoint()"), "2");
}

static void open_later(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_close((uv_handle_t *)timer, NULL);
}

static void canary_waits_for_the_guard_and_then_writes(void **state)
{
    uv_timer_t timer;
    bool due = false;

    (void)state;
    must_fail(node_b_hasty, STEP_CANARY, SITE_B, "not within 300 ms; it waited for lease_guard of site-b to be opened");
    operation()->runs[0].state = RUN_ASSIGNED;
    operation()->runs[0].attempt = 900;
    submitted = false;
    exec_on_state(node_b);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &due;
    assert_int_equal(uv_timer_start(&timer, open_later, 200, 0), 0);
    loop_until(&loop, &due);
    assert_false(submitted);
    assert_int_equal(open_guard(guard_b, NEW_EPOCH) != 0, 1);
    loop_until(&loop, &submitted);
    assert_true(last.result.ok);
    print_message("canary: %s\n", last.result.detail);
    assert_says(&last.result, "under epoch 5");
    exec_on_state(node_b);
    assert_string_equal(pg_server_sql(&standby, "SELECT node || ' ' || epoch FROM coord.canary"), "2 5");
    assert_true(write_is_acknowledged(&standby, "INSERT INTO t VALUES (4)"));
}

static void without_dns_deploy_or_health_there_is_nothing_to_do(void **state)
{
    (void)state;
    assert_string_equal(must_succeed(node_b, STEP_DNS, SITE_B)->detail, "no DNS configured");
    assert_string_equal(must_succeed(node_b, STEP_DEPLOY, SITE_B)->detail, "no deploy command configured at site-b");
    assert_string_equal(must_succeed(node_b, STEP_VERIFY, SITE_B)->detail,
                        "no health URL configured; no DNS configured");
}

static void dns_points_at_the_target(void **state)
{
    struct dns_config *dns = &state_now.services[0].config.dns;
    char expected[160], found[200];

    (void)state;
    dns->method = DNS_RFC2136;
    text(dns->zone, sizeof dns->zone, "example.test");
    text(dns->name, sizeof dns->name, "app.example.test");
    dns->ttl_s = 1;
    dns->server_count = 1;
    text(dns->servers[0], sizeof dns->servers[0], knot.text);
    text(dns->key, sizeof dns->key, "file:/nowhere/tsig.key");
    must_fail(node_b, STEP_DNS, SITE_B, "/nowhere/tsig.key");
    text(dns->key, sizeof dns->key, key_reference);
    (void)snprintf(expected, sizeof expected, "A app.example.test -> 127.10.2.1 at %s, epoch 5", knot.text);
    assert_string_equal(must_succeed(node_b, STEP_DNS, SITE_B)->detail, expected);
    dig(&knot, "app.example.test", "A", found, sizeof found);
    assert_string_equal(found, "127.10.2.1");
    text(dns->key, sizeof dns->key, "env:COORD_TEST_TSIG_KEY");
    must_fail(node_b, STEP_DNS, SITE_B, "env:COORD_TEST_TSIG_KEY: not in coordd's environment");
    assert_int_equal(setenv("COORD_TEST_TSIG_KEY", "hmac-sha256:" DNS_KEY_NAME ":" DNS_KEY_SECRET, 1), 0);
    assert_says(must_succeed(node_b, STEP_DNS, SITE_B), "(it was so already)");
}

static void deploy_runs_the_sites_command_with_the_epoch(void **state)
{
    static const char good[] = "/bin/sh\0-c\0test \"$COORD_EPOCH $COORD_SITE $COORD_OPERATION\" = '5 site-b 70'";
    static const char bad[] = "/bin/sh\0-c\0echo no room >&2; exit 3";
    static const char hanging[] = "/bin/sleep\0"
                                  "60";
    struct argv_text *argv = &state_now.services[0].config.sites[SITE_B].deploy;

    (void)state;
    argv->count = 3;
    memcpy(argv->bytes, good, sizeof good);
    assert_says(must_succeed(node_b, STEP_DEPLOY, SITE_B), "/bin/sh ended well after ");
    memcpy(argv->bytes, bad, sizeof bad);
    must_fail(node_b, STEP_DEPLOY, SITE_B, "/bin/sh: exit code 3: no room");
    argv->count = 2;
    memcpy(argv->bytes, hanging, sizeof hanging);
    must_fail(node_b_hasty, STEP_DEPLOY, SITE_B, "sleep");
    argv->count = 0;
}

static void verify_waits_for_health_and_every_authority(void **state)
{
    struct site_config *site = &state_now.services[0].config.sites[SITE_B];
    char url[URL_MAX_BYTES];

    (void)state;
    script_server_start(&health, &loop, "HTTP/1.1 503 Starting\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/health", (unsigned)health.port);
    text(site->health_url, sizeof site->health_url, url);
    must_fail(node_b_hasty, STEP_VERIFY, SITE_B, "which answers 503");
    script_server_stop(&health);
    must_fail(node_b_hasty, STEP_VERIFY, SITE_B, "it waited for 2xx from http://127.0.0.1:");
    script_server_start(&health, &loop, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/health", (unsigned)health.port);
    text(site->health_url, sizeof site->health_url, url);
    text(site->publish_address, sizeof site->publish_address, "127.10.9.9");
    must_fail(node_b_hasty, STEP_VERIFY, SITE_B, "app.example.test to be 127.10.9.9 at 127.0.0.1:");
    text(site->publish_address, sizeof site->publish_address, "127.10.2.1");
    assert_says(must_succeed(node_b, STEP_VERIFY, SITE_B), "; app.example.test is 127.10.2.1 at 1 of 1 authorities");
    script_server_stop(&health);
}

/* The old server is started again by hand: its guard begins closed. */
static void fence_of_a_stopped_server_proves_it_stopped(void **state)
{
    struct lease *lease = &state_now.services[0].lease;
    struct lease was = *lease;

    (void)state;
    pg_server_signal_wait(&primary, SIGQUIT);
    lease->epoch = OLD_EPOCH;
    lease->instance_count = 1;
    lease->instances[0] = 0x77;
    assert_string_equal(must_succeed(node_a, STEP_FENCE, SITE_A)->detail, "epoch 4: instance 0000000000000077 stopped");
    pg_server_start(&primary, true);
    assert_false(write_is_acknowledged(&primary, "INSERT INTO t VALUES (5)"));
    *lease = was;
}

/* Superseded at any turn of the loop: the step lets go of everything, soon, and nothing is submitted. */
static void every_step_can_be_cancelled_at_any_time(void **state)
{
    static const char hanging[] = "/bin/sleep\0"
                                  "60";
    static const unsigned turns[] = { 0, 1, 2, 3, 5, 8, 13, 21 };
    struct site_config *site = &state_now.services[0].config.sites[SITE_B];

    (void)state;
    site->deploy.count = 2;
    memcpy(site->deploy.bytes, hanging, sizeof hanging);
    submitted = false;
    for (unsigned step = 0; step < STEP_COUNT; step++) {
        struct exec *e = step == STEP_FENCE ? node_a : node_b;

        for (unsigned i = 0; i < sizeof turns / sizeof turns[0]; i++) {
            struct operation *op = operation();

            op->run_count = 1;
            op->runs[0] = (struct step_run){ .step = (enum step)step,
                                             .site = step == STEP_FENCE ? SITE_A : SITE_B,
                                             .state = RUN_ASSIGNED,
                                             .attempt = 1000 + i,
                                             .node = step == STEP_FENCE ? NODE_A : NODE_B,
                                             .epoch = NEW_EPOCH };
            exec_on_state(e);
            assert_int_equal(exec_busy(e), 1);
            for (unsigned turn = 0; turn < turns[i] && !submitted; turn++) {
                (void)uv_run(&loop, UV_RUN_NOWAIT);
                (void)usleep(1000);
            }
            op->runs[0].state = RUN_SKIPPED;
            exec_on_state(e);
            while (exec_busy(e) > 0)
                (void)uv_run(&loop, UV_RUN_ONCE);
            submitted = false;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sever_reports_the_frozen_position_and_its_gap),
        cmocka_unit_test(reconnect_lets_it_stream_again),
        cmocka_unit_test(fence_lists_what_is_proven),
        cmocka_unit_test(a_promotion_that_does_not_stand_is_not_begun),
        cmocka_unit_test(a_site_without_guard_is_not_promoted),
        cmocka_unit_test(promote_makes_a_primary_that_still_refuses_writes),
        cmocka_unit_test(checkpoint_makes_the_new_timeline_durable),
        cmocka_unit_test(canary_waits_for_the_guard_and_then_writes),
        cmocka_unit_test(without_dns_deploy_or_health_there_is_nothing_to_do),
        cmocka_unit_test(dns_points_at_the_target),
        cmocka_unit_test(deploy_runs_the_sites_command_with_the_epoch),
        cmocka_unit_test(verify_waits_for_health_and_every_authority),
        cmocka_unit_test(fence_of_a_stopped_server_proves_it_stopped),
        cmocka_unit_test(every_step_can_be_cancelled_at_any_time),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
