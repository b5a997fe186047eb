/* authority_check, dns_exchange and resolve against real Knot and real BIND. Each test runs once for each server. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/authority_check.h"
#include "dns/dns_exchange.h"
#include "dns_servers.h"
#include "script_server.h"

#define WAIT_MS 20000
#define NAME "app.example.test"

static uv_loop_t loop;
static struct resolver *resolver;
static struct dns_server knot, bind_server;
static struct {
    int calls;
    struct error err;
    struct authority_check_result checked;
    char servers[AUTHORITIES_MAX][64];
} o;

static void run(void)
{
    assert_int_equal(o.calls, 0); /* nothing answers before begin returns */
    while (o.calls == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(o.calls, 1);
}

static void on_checked(void *ctx, const struct authority_check_result *result, const struct error *err)
{
    (void)ctx;
    o.calls++;
    o.err = err != NULL ? *err : ERROR_NONE;
    if (result == NULL)
        return;
    o.checked = *result;
    for (size_t i = 0; i < result->answer_count; i++)
        (void)snprintf(o.servers[i], sizeof o.servers[i], "%.60s", result->answers[i].server);
}

static void check(const char *const *servers, size_t count, const char *name, const char *address)
{
    struct authority_check_request request = {
        .servers = servers, .server_count = count, .name = name, .address = address, .timeout_ms = 1000
    };

    memset(&o, 0, sizeof o);
    authority_check_begin(&loop, resolver, &request, on_checked, NULL);
    run();
}

static void each_authority_is_asked_and_judged(void **state)
{
    const struct dns_server *s = *state;
    char dead[32];
    const char *both[] = { s->text, dead };

    (void)snprintf(dead, sizeof dead, "127.0.0.1:%u", free_port());
    assert_true(nsupdate(s, "update delete " NAME " A\nupdate add " NAME " 1 A 198.51.100.7"));
    check(both, 1, NAME, "198.51.100.7");
    assert_int_equal(o.err.status, STATUS_OK);
    assert_true(o.checked.all_match);
    assert_int_equal(o.checked.ttl_max_s, 1);
    assert_string_equal(o.checked.answers[0].detail, "198.51.100.7 ttl 1");
    check(both, 2, NAME, "198.51.100.7");
    assert_false(o.checked.all_match);
    assert_true(o.checked.answers[0].matches);
    assert_false(o.checked.answers[1].answered);
    assert_non_null(strstr(o.checked.answers[1].detail, "refused"));
    assert_string_equal(o.servers[1], dead);
    check(both, 1, NAME, "203.0.113.9");
    assert_false(o.checked.all_match);
    assert_true(o.checked.answers[0].authoritative);
    check(both, 1, "nope.example.test", "203.0.113.9");
    assert_string_equal(o.checked.answers[0].detail, "NXDOMAIN");
    check(both, 1, "many.example.test", "192.0.2.1");
    assert_false(o.checked.all_match); /* a second address would still send clients elsewhere */
    check(both, 1, NAME, "2001:db8::1");
    assert_string_equal(o.checked.answers[0].detail, "NOERROR, no address");
    check(both, 1, NAME, "not an address");
    assert_int_equal(o.err.status, STATUS_INVALID);
    check(both, 0, NAME, "203.0.113.9");
    assert_int_equal(o.err.status, STATUS_INVALID);
}

static void a_frozen_authority_costs_the_timeout_and_a_cancel_answers(void **state)
{
    const struct dns_server *s = *state;
    const char *servers[] = { s->text };
    struct authority_check_request request = {
        .servers = servers, .server_count = 1, .name = NAME, .address = "198.51.100.7", .timeout_ms = WAIT_MS
    };

    dns_server_freeze(s);
    check(servers, 1, NAME, "198.51.100.7");
    assert_int_equal(o.err.status, STATUS_OK);
    assert_false(o.checked.answers[0].answered);
    memset(&o, 0, sizeof o);
    struct authority_check *c = authority_check_begin(&loop, resolver, &request, on_checked, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    authority_check_cancel(c);
    run();
    assert_int_equal(o.err.status, STATUS_CANCELED);
    dns_server_thaw(s);
}

static struct dns_reply replied;

static void on_replied(void *ctx, const struct dns_reply *reply, const struct error *err)
{
    (void)ctx;
    o.calls++;
    o.err = err != NULL ? *err : ERROR_NONE;
    if (reply != NULL)
        replied = *reply;
}

/* Ten texts of a hundred bytes do not fit a datagram without EDNS. */
static void an_answer_that_is_cut_is_fetched_by_tcp(void **state)
{
    const struct dns_server *s = *state;
    struct sockaddr_storage server;
    struct dns_message question;
    char lines[4096] = "";

    for (int i = 0; i < 10; i++)
        (void)snprintf(lines + strlen(lines), sizeof lines - strlen(lines),
                       "update add _coord." NAME " 1 TXT \"%0100d\"\n", i);
    assert_true(nsupdate(s, lines));
    assert_true(address_parse("127.0.0.1", s->port, &server));
    assert_int_equal(dns_wire_query(&question, "_coord." NAME, DNS_TYPE_TXT, NULL, NULL), STATUS_OK);
    memset(&o, 0, sizeof o);
    dns_exchange_begin(&loop, &server, &question, NULL, WAIT_MS, on_replied, NULL);
    run();
    assert_int_equal(o.err.status, STATUS_OK);
    assert_false(replied.truncated);
    assert_int_equal(replied.record_count, 10);
    assert_int_equal(strlen(replied.records[0].value), 100);
    assert_true(nsupdate(s, "update delete _coord." NAME " TXT"));
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    char text[ADDRESS_TEXT_MAX];

    (void)ctx;
    o.calls++;
    o.err = err != NULL ? *err : ERROR_NONE;
    if (result != NULL)
        (void)snprintf(o.servers[0], sizeof o.servers[0], "%zu %s", result->address_count,
                       address_text(&result->addresses[0], false, text, sizeof text));
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

static void names_resolve_through_a_real_server(void **state)
{
    const struct dns_server *s = *state;
    struct resolver *r = resolver_create(&loop, s->text, NULL);

    memset(&o, 0, sizeof o);
    resolve_begin(r, "ns1.example.test", WAIT_MS, on_resolved, NULL);
    run();
    assert_string_equal(o.servers[0], "1 127.0.0.1");
    memset(&o, 0, sizeof o);
    resolve_begin(r, "nope.example.test", WAIT_MS, on_resolved, NULL);
    run();
    assert_int_equal(o.err.status, STATUS_NOT_FOUND);
    close_resolver(r);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH(each_authority_is_asked_and_judged),
        FOR_BOTH(a_frozen_authority_costs_the_timeout_and_a_cancel_answers),
        FOR_BOTH(an_answer_that_is_cut_is_fetched_by_tcp),
        FOR_BOTH(names_resolve_through_a_real_server),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
