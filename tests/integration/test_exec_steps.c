/* The steps of a failover in their order, on a real streaming pair with lease_guard, a real Knot and a real command. */
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
#include <unistd.h>
#include <uv.h>

#include "postgres/wal_position.h"
#include "tests/integration/exec_rig.h"
#include "tests/integration/script_server.h"

static struct script_server health;

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
    must_fail(node_b, STEP_PROMOTE, SITE_B,
              "not promoted at site-b in epoch 5: the site is not primary in this epoch any more");
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

    return cmocka_run_group_tests(tests, exec_rig_open, exec_rig_close);
}
