/* The tcp and http probes on a real loop: what a look takes for healthy, and that looks do not hinder each other. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/probe_http.h"
#include "probe/probe_tcp.h"
#include "script_server.h"

#define WAIT_MS 20000
#define SHORT_MS 300
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct outcome {
    int calls;
    struct error err;
    struct probe_result probed;
};

static uv_loop_t loop;
static struct resolver *resolver;
static struct http_client *client;
static struct outcome o;
static struct script_server server;

static void on_probed(void *ctx, const struct probe_result *result, const struct error *err)
{
    (void)ctx;
    o.calls++;
    o.err = err != NULL ? *err : ERROR_NONE;
    if (result != NULL)
        o.probed = *result;
}

static void run(int calls)
{
    assert_int_equal(o.calls, 0); /* nothing answers before begin returns */
    while (o.calls < calls)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(o.calls, calls);
}

static void reset(void)
{
    memset(&o, 0, sizeof o);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_probe(struct probe p)
{
    bool closed = false;

    p.method->close(p.self, on_closed, &closed);
    assert_false(closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

static void tcp_probe_tells_open_from_closed(void **state)
{
    struct probe_tcp_config config = { .host = "127.0.0.1" };
    struct probe p;

    (void)state;
    script_server_start(&server, &loop, NULL);
    config.port = server.port;
    p = probe_tcp_create(&loop, resolver, &config);
    reset();
    p.method->begin(p.self, WAIT_MS, on_probed, NULL);
    run(1);
    assert_int_equal(o.probed.outcome, PROBE_OK);
    script_server_stop(&server);
    reset();
    p.method->begin(p.self, WAIT_MS, on_probed, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_OK); /* the look succeeded in seeing a failure */
    assert_int_equal(o.probed.outcome, PROBE_FAILED);
    assert_non_null(strstr(o.probed.detail, "refused"));
    close_probe(p);
}

static void http_probe_wants_2xx(void **state)
{
    const struct {
        const char *answer;
        enum probe_outcome outcome;
        const char *detail;
    } cases[] = {
        { OK_ANSWER, PROBE_OK, "HTTP 200" },
        { "HTTP/1.1 503 Busy\r\nContent-Length: 15\r\n\r\n  no \n database", PROBE_FAILED, "HTTP 503: no database" },
        { "HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", PROBE_FAILED, "HTTP 301" },
    };
    char url[64];
    struct probe_http_config config = { .url = url, .host_header = "app.example.test", .fresh_connection = true };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        script_server_start(&server, &loop, cases[i].answer);
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/health", server.port);
        struct probe p = probe_http_create(client, &config);
        reset();
        p.method->begin(p.self, WAIT_MS, on_probed, NULL);
        run(1);
        assert_int_equal(o.probed.outcome, cases[i].outcome);
        assert_string_equal(o.probed.detail, cases[i].detail);
        assert_non_null(strstr(server.received, "Host: app.example.test\r\n"));
        close_probe(p);
        script_server_stop(&server);
    }
}

static void a_hanging_look_delays_no_other_and_a_close_cancels_it(void **state)
{
    char url[64];
    struct probe_http_config config = { .url = url };
    struct probe p;

    (void)state;
    script_server_start(&server, &loop, NULL);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/health", server.port);
    p = probe_http_create(client, &config);
    reset();
    p.method->begin(p.self, WAIT_MS, on_probed, NULL);
    p.method->begin(p.self, SHORT_MS, on_probed, NULL);
    struct probe_look *third = p.method->begin(p.self, WAIT_MS, on_probed, NULL);
    run(1);
    assert_int_equal(o.probed.outcome, PROBE_FAILED); /* the second, at its own deadline */
    p.method->cancel(third);
    while (o.calls < 2)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(o.err.status, STATUS_CANCELED);
    close_probe(p);
    assert_int_equal(o.calls, 3);
    script_server_stop(&server);
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) != 0 || (resolver = resolver_create(&loop, NULL, NULL)) == NULL)
        return 1;
    client = http_client_create(&loop, resolver, NULL);
    return client == NULL;
}

static int teardown(void **state)
{
    bool closed = false;

    (void)state;
    http_client_close(client, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    closed = false;
    resolver_close(resolver, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_probe_tells_open_from_closed),
        cmocka_unit_test(http_probe_wants_2xx),
        cmocka_unit_test(a_hanging_look_delays_no_other_and_a_close_cancels_it),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
