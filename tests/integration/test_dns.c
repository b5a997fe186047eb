/* rfc2136 and dns_exchange against real Knot and real BIND; dig and nsupdate are the oracles. Each test runs
 * once for each server. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns/rfc2136.h"
#include "dns_servers.h"
#include "io/clock.h"
#include "script_server.h"

#define WAIT_MS 20000
#define NAME "app.example.test"
#define SENTINEL "_coord.app.example.test"

static uv_loop_t loop;
static struct resolver *resolver;
static struct dns_server knot, bind_server;
static struct {
    int calls;
    struct error err;
    struct dns_published published;
} o;

static void on_published(void *ctx, const struct dns_published *result, const struct error *err)
{
    (void)ctx;
    o.calls++;
    assert_true((result == NULL) == (err != NULL));
    o.err = err != NULL ? *err : ERROR_NONE;
    if (result != NULL)
        o.published = *result;
}

static void run(void)
{
    assert_int_equal(o.calls, 0); /* nothing answers before begin returns */
    while (o.calls == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(o.calls, 1);
}

static struct tsig_key key_of(const char *name, const char *secret)
{
    struct tsig_key key = { .algorithm = "hmac-sha256" };

    strcpy(key.name, name);
    strcpy(key.secret, secret);
    return key;
}

/* Knot 3.2 now and then processes an update up to a second late. */
static uint32_t attempt_ms = 1500;

static struct rfc2136 *method(const char *first, const char *second, const struct tsig_key *key)
{
    const char *servers[] = { first, second };
    struct rfc2136_config config = { .servers = servers,
                                     .server_count = second != NULL ? 2 : 1,
                                     .attempt_ms = attempt_ms };
    struct rfc2136 *r = NULL;

    config.key = key != NULL ? *key : key_of(DNS_KEY_NAME, DNS_KEY_SECRET);
    assert_int_equal(rfc2136_create(&loop, resolver, &config, &r, NULL), STATUS_OK);
    return r;
}

static struct dns_publish request_for(const char *site, const char *address, epoch_t epoch)
{
    return (struct dns_publish){ .zone = "example.test",
                                 .name = NAME,
                                 .address = address,
                                 .ttl_s = 1,
                                 .epoch = epoch,
                                 .service = "app",
                                 .site = site,
                                 .t0_us = clock_now_us(),
                                 .deadline_ms = WAIT_MS };
}

static void publish_request(struct rfc2136 *r, const struct dns_publish *request)
{
    memset(&o, 0, sizeof o);
    dns_rfc2136.begin(r, request, on_published, NULL);
    run();
}

static void publish(struct rfc2136 *r, const char *site, const char *address, epoch_t epoch)
{
    struct dns_publish request = request_for(site, address, epoch);

    publish_request(r, &request);
}

static void assert_dig(const struct dns_server *s, const char *name, const char *type, const char *expected)
{
    char text[512];

    dig(s, name, type, text, sizeof text);
    assert_string_equal(text, expected);
}

static void assert_text(const char *part)
{
    if (strstr(o.err.text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, o.err.text);
    assert_null(strstr(o.err.text, DNS_KEY_SECRET));
}

static void clear(const struct dns_server *s)
{
    assert_true(nsupdate(s, "update delete " NAME " A\nupdate delete " NAME " AAAA\nupdate delete " SENTINEL " TXT"));
}

/* ---- publishing ---- */

static void a_first_publish_sets_address_and_sentinel(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);

    clear(s);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_string_equal(o.err.text, "");
    assert_true(o.published.changed);
    assert_string_equal(o.published.server, s->text);
    assert_string_equal(o.published.previous, "");
    assert_dig(s, NAME, "A", "198.51.100.7");
    assert_dig(s, SENTINEL, "TXT", "\"epoch=7 service=app site=site-a\"");
    rfc2136_destroy(r);
}

static void the_same_epoch_again_changes_nothing(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);
    char before[256], after[256];

    clear(s);
    publish(r, "site-a", "198.51.100.7", 7);
    dig(s, "example.test", "SOA", before, sizeof before);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_false(o.published.changed);
    dig(s, "example.test", "SOA", after, sizeof after);
    assert_string_equal(after, before); /* the serial did not move */
    rfc2136_destroy(r);
}

static void a_newer_epoch_moves_the_name(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);

    clear(s);
    publish(r, "site-a", "198.51.100.7", 7);
    publish(r, "site-b", "203.0.113.9", 8);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_string_equal(o.published.previous, "epoch=7 service=app site=site-a");
    assert_dig(s, NAME, "A", "203.0.113.9");
    assert_dig(s, SENTINEL, "TXT", "\"epoch=8 service=app site=site-b\"");
    rfc2136_destroy(r);
}

static void an_older_epoch_is_refused_and_changes_nothing(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);

    clear(s);
    publish(r, "site-b", "203.0.113.9", 8);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_REFUSED);
    assert_text("epoch 8 of site-b is published; epoch 7 is over");
    assert_dig(s, NAME, "A", "203.0.113.9");
    publish(r, "site-c", "192.0.2.9", 8); /* the same epoch for two sites cannot be */
    assert_int_equal(o.err.status, STATUS_REFUSED);
    assert_dig(s, NAME, "A", "203.0.113.9");
    rfc2136_destroy(r);
}

static void an_address_changed_by_hand_is_set_right_again(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);

    clear(s);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_true(nsupdate(s, "update add " NAME " 60 A 192.0.2.66"));
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_true(o.published.changed);
    assert_dig(s, NAME, "A", "198.51.100.7");
    rfc2136_destroy(r);
}

static void a_v6_address_becomes_aaaa(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);

    clear(s);
    publish(r, "site-a", "2001:DB8:0::7", 7);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_dig(s, NAME, "AAAA", "2001:db8::7");
    clear(s);
    rfc2136_destroy(r);
}

static void foreign_sentinels_are_refused(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);
    const struct {
        const char *lines, *text;
    } cases[] = {
        { "update add " SENTINEL " 1 TXT \"epoch=1 service=billing site=site-a\"",
          "belongs to service billing (epoch 1)" },
        { "update add " SENTINEL " 1 TXT \"v=spf1 -all\"", "holds 'v=spf1 -all', which is not ours" },
        { "update add " SENTINEL " 1 TXT \"epoch=1 service=app site=site-a\"\nupdate add " SENTINEL " 1 TXT \"x\"",
          "more than our one record" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clear(s);
        assert_true(nsupdate(s, cases[i].lines));
        publish(r, "site-a", "198.51.100.7", 7);
        assert_int_equal(o.err.status, STATUS_REFUSED);
        assert_text(cases[i].text);
        assert_dig(s, NAME, "A", "");
    }
    clear(s);
    rfc2136_destroy(r);
}

static void of_two_writers_at_once_the_newer_epoch_stays(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *old = method(s->text, NULL, NULL), *new = method(s->text, NULL, NULL);
    struct dns_publish first = request_for("site-a", "198.51.100.7", 7),
                       second = request_for("site-b", "203.0.113.9", 8);

    for (int i = 0; i < 5; i++) {
        clear(s);
        memset(&o, 0, sizeof o);
        dns_rfc2136.begin(old, &first, on_published, NULL); /* both read "no sentinel", and both update on that */
        dns_rfc2136.begin(new, &second, on_published, NULL);
        while (o.calls < 2)
            (void)uv_run(&loop, UV_RUN_ONCE);
        assert_dig(s, NAME, "A", "203.0.113.9");
        assert_dig(s, SENTINEL, "TXT", "\"epoch=8 service=app site=site-b\"");
    }
    rfc2136_destroy(old);
    rfc2136_destroy(new);
}

static void a_cname_at_the_name_is_no_success(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);
    struct dns_publish request = request_for("site-a", "198.51.100.7", 7);

    request.name = "alias.example.test"; /* RFC 2136 3.4.2.2: the server ignores the A beside a CNAME, with NOERROR */
    publish_request(r, &request);
    assert_text("is there a CNAME at the name");
    assert_true(nsupdate(s, "update delete _coord.alias.example.test TXT"));
    rfc2136_destroy(r);
}

/* ---- keys and rights ---- */

static void a_wrong_secret_an_unknown_key_and_a_key_without_right_are_told_apart(void **state)
{
    const struct dns_server *s = *state;
    const struct tsig_key wrong = key_of(DNS_KEY_NAME, DNS_OTHER_KEY_SECRET),
                          unknown = key_of("no-key", DNS_KEY_SECRET),
                          powerless = key_of(DNS_OTHER_KEY_NAME, DNS_OTHER_KEY_SECRET);
    struct rfc2136 *r;

    clear(s);
    r = method(s->text, NULL, &wrong);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_FAILED);
    assert_text("another secret for key 'coord-key' (BADSIG)");
    rfc2136_destroy(r);
    r = method(s->text, NULL, &unknown);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_FAILED);
    assert_text("does not accept key 'no-key' (BADKEY)");
    rfc2136_destroy(r);
    r = method(s->text, NULL, &powerless);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_true(o.err.status == STATUS_FAILED || o.err.status == STATUS_UNKNOWN);
    assert_text("key 'other-key'");
    assert_text("_coord.app.example.test");
    rfc2136_destroy(r);
    assert_dig(s, NAME, "A", "");
    assert_dig(s, SENTINEL, "TXT", "");
}

static void a_name_that_the_key_may_not_change_fails(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);
    struct dns_publish request = request_for("site-a", "198.51.100.7", 7);

    request.name = "forbidden.example.test.";
    publish_request(r, &request);
    assert_true(o.err.status == STATUS_FAILED || o.err.status == STATUS_UNKNOWN);
    assert_text("forbidden.example.test");
    assert_dig(s, "forbidden.example.test", "A", "");
    request = request_for("site-a", "198.51.100.7", 7);
    request.zone = "other.test";
    request.name = "app.other.test";
    publish_request(r, &request);
    assert_int_equal(o.err.status, STATUS_FAILED);
    assert_text("other.test");
    rfc2136_destroy(r);
}

/* ---- servers that do not answer ---- */

static void a_dead_server_is_passed_over(void **state)
{
    const struct dns_server *s = *state;
    char dead[32];
    struct rfc2136 *r;

    (void)snprintf(dead, sizeof dead, "127.0.0.1:%u", free_port());
    r = method(dead, s->text, NULL);
    clear(s);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_string_equal(o.published.server, s->text);
    assert_dig(s, NAME, "A", "198.51.100.7");
    rfc2136_destroy(r);
    r = method(dead, NULL, NULL);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_UNREACHABLE);
    assert_text(dead);
    rfc2136_destroy(r);
}

static void a_frozen_server_is_passed_over_and_alone_times_out(void **state)
{
    const struct dns_server *s = *state;
    const struct dns_server *frozen = s == &knot ? &bind_server : &knot;
    struct dns_publish request;
    struct rfc2136 *r;

    attempt_ms = 400;
    r = method(frozen->text, s->text, NULL);
    attempt_ms = 1500;
    clear(s);
    dns_server_freeze(frozen);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_string_equal(o.published.server, s->text);
    rfc2136_destroy(r);
    r = method(frozen->text, NULL, NULL);
    publish(r, "site-a", "198.51.100.7", 7);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    assert_text(frozen->text);
    request = request_for("site-a", "198.51.100.7", 7);
    request.deadline_ms = 100; /* shorter than an attempt */
    publish_request(r, &request);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    assert_text("not confirmed within 100 ms");
    rfc2136_destroy(r);
    dns_server_thaw(frozen);
}

static struct rfc2136 *freezing;
static struct dns_server *freezing_server;

static void on_freeze(uv_timer_t *timer)
{
    (void)timer;
    dns_server_freeze(freezing_server);
}

static void on_thaw(uv_timer_t *timer)
{
    (void)timer;
    dns_server_thaw(freezing_server);
}

/* Stops the server at many points of a publish and lets it go on later: at the end name and sentinel agree, whatever was lost. */
static void a_server_that_freezes_in_between_leaves_a_consistent_name(void **state)
{
    static uv_timer_t freeze, thaw;
    struct dns_publish request;
    epoch_t epoch = 10;

    freezing_server = *state;
    freezing = method(freezing_server->text, NULL, NULL);
    clear(freezing_server);
    assert_int_equal(uv_timer_init(&loop, &freeze), 0);
    assert_int_equal(uv_timer_init(&loop, &thaw), 0);
    for (unsigned delay_ms = 0; delay_ms < 3; delay_ms++, epoch++) {
        memset(&o, 0, sizeof o);
        request =
            request_for(epoch % 2 == 0 ? "site-a" : "site-b", epoch % 2 == 0 ? "198.51.100.7" : "203.0.113.9", epoch);
        assert_int_equal(uv_timer_start(&freeze, on_freeze, delay_ms, 0), 0);
        assert_int_equal(uv_timer_start(&thaw, on_thaw, 2000, 0), 0);
        dns_rfc2136.begin(freezing, &request, on_published, NULL);
        run();
        while (uv_is_active((uv_handle_t *)&thaw))
            (void)uv_run(&loop, UV_RUN_ONCE);
        assert_string_equal(o.err.text, "");
        assert_dig(freezing_server, NAME, "A", request.address);
    }
    uv_close((uv_handle_t *)&freeze, NULL);
    uv_close((uv_handle_t *)&thaw, NULL);
    rfc2136_destroy(freezing);
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* the handles are static: let go of them before the next run */
}

static void wrong_requests_and_cancels_answer_later(void **state)
{
    const struct dns_server *s = *state;
    struct rfc2136 *r = method(s->text, NULL, NULL);
    struct dns_publish request;

    clear(s);
    request = request_for("site-a", "198.51.100.7", 7);
    request.name = "app.example.org";
    publish_request(r, &request);
    assert_int_equal(o.err.status, STATUS_INVALID);
    request = request_for("site-a", "site-a.example.test", 7);
    publish_request(r, &request);
    assert_int_equal(o.err.status, STATUS_INVALID);
    request = request_for("site a", "198.51.100.7", 7);
    publish_request(r, &request);
    assert_int_equal(o.err.status, STATUS_INVALID);
    request = request_for("site-a", "198.51.100.7", 7);
    for (int turns = 0; turns < 8; turns++) {
        memset(&o, 0, sizeof o);
        dns_rfc2136.begin(r, &request, on_published, NULL);
        for (int i = 0; i < turns && o.calls == 0; i++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        if (o.calls != 0)
            break;
        dns_rfc2136.cancel(r);
        dns_rfc2136.cancel(r);
        run();
        assert_int_equal(o.err.status, STATUS_CANCELED);
    }
    dns_rfc2136.cancel(r); /* nothing under way: nothing happens */
    rfc2136_destroy(r);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_resolver(struct resolver *r)
{
    bool closed = false;

    resolver_close(r, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

/* ---- */

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) != 0 || (resolver = resolver_create(&loop, NULL, NULL)) == NULL)
        return 1;
    dns_server_start(&knot, DNS_SERVER_KNOT);
    dns_server_start(&bind_server, DNS_SERVER_BIND);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_server_stop(&knot);
    dns_server_stop(&bind_server);
    close_resolver(resolver);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static int thaw(void **state)
{
    (void)state; /* after a failed test */
    dns_server_thaw(&knot);
    dns_server_thaw(&bind_server);
    return 0;
}

#define FOR_BOTH(test)                                                                                                 \
    { #test " (Knot)", test, NULL, thaw, &knot },                                                                      \
    {                                                                                                                  \
#test " (BIND)", test, NULL, thaw, &bind_server                                                                \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH(a_first_publish_sets_address_and_sentinel),
        FOR_BOTH(the_same_epoch_again_changes_nothing),
        FOR_BOTH(a_newer_epoch_moves_the_name),
        FOR_BOTH(an_older_epoch_is_refused_and_changes_nothing),
        FOR_BOTH(an_address_changed_by_hand_is_set_right_again),
        FOR_BOTH(a_v6_address_becomes_aaaa),
        FOR_BOTH(foreign_sentinels_are_refused),
        FOR_BOTH(of_two_writers_at_once_the_newer_epoch_stays),
        FOR_BOTH(a_cname_at_the_name_is_no_success),
        FOR_BOTH(a_wrong_secret_an_unknown_key_and_a_key_without_right_are_told_apart),
        FOR_BOTH(a_name_that_the_key_may_not_change_fails),
        FOR_BOTH(a_dead_server_is_passed_over),
        FOR_BOTH(a_frozen_server_is_passed_over_and_alone_times_out),
        FOR_BOTH(a_server_that_freezes_in_between_leaves_a_consistent_name),
        FOR_BOTH(wrong_requests_and_cancels_answer_later),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by its name, with * */
    return cmocka_run_group_tests(tests, setup, teardown);
}
