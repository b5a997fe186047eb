/* resolve, tcp_connect and http_client on a real loop. Faults come from script_server. */
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

#include "io/http_client.h"
#include "io/tcp_connect.h"
#include "script_server.h"

#define WAIT_MS 20000
#define SHORT_MS 300
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct outcome {
    int calls;
    struct error err;
    struct resolve_result resolved;
    struct tcp_connect_result connected;
    int status_code;
    char body[HTTP_BODY_MAX + 1];
    bool body_cut;
};

static uv_loop_t loop;
static struct resolver *resolver;
static struct http_client *client;
static struct outcome o;
static struct script_server server;

static void take(const struct error *err)
{
    o.calls++;
    o.err = err != NULL ? *err : ERROR_NONE;
}

static void on_resolved(void *ctx, const struct resolve_result *result, const struct error *err)
{
    (void)ctx;
    take(err);
    assert_true((result == NULL) == (err != NULL));
    if (result != NULL)
        o.resolved = *result;
}

static void on_connected(void *ctx, const struct tcp_connect_result *result, const struct error *err)
{
    (void)ctx;
    take(err);
    assert_true((result == NULL) == (err != NULL));
    if (result != NULL) {
        o.connected = *result;
        assert_int_equal(close(result->fd), 0);
    }
}

static void on_response(void *ctx, const struct http_response *response, const struct error *err)
{
    (void)ctx;
    take(err);
    assert_true((response == NULL) == (err != NULL));
    if (response == NULL)
        return;
    o.status_code = response->status_code;
    assert_int_equal(strlen(response->body), response->body_bytes);
    strcpy(o.body, response->body);
    o.body_cut = response->body_cut;
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

static void http(const char *method, uint16_t port, const char *path, uint32_t timeout_ms, size_t bytes_max,
                 const char *body)
{
    char url[128];
    const char *headers[] = { "X-Coord-Epoch: 7", NULL };
    struct http_request request = { .method = method,
                                    .url = url,
                                    .headers = headers,
                                    .body = body,
                                    .body_bytes = body != NULL ? strlen(body) : 0,
                                    .timeout_ms = timeout_ms,
                                    .response_bytes_max = bytes_max };

    reset();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    http_begin(client, &request, on_response, NULL);
    memset(url, 0, sizeof url); /* it must have been copied */
    run(1);
}

/* ---- addresses ---- */

static void addresses_are_read_and_printed(void **state)
{
    struct sockaddr_storage a;
    char text[ADDRESS_TEXT_MAX], host[HOST_TEXT_MAX];
    uint16_t port;

    (void)state;
    assert_true(address_parse("192.0.2.1", 53, &a));
    assert_string_equal(address_text(&a, true, text, sizeof text), "192.0.2.1:53");
    assert_true(address_parse("[2001:db8::1]", 53, &a));
    assert_string_equal(address_text(&a, true, text, sizeof text), "[2001:db8::1]:53");
    assert_string_equal(address_text(&a, false, text, sizeof text), "2001:db8::1");
    assert_false(address_parse("192.0.2.256", 53, &a));
    assert_false(address_parse("[192.0.2.1]", 53, &a));
    assert_false(address_parse("example.test", 53, &a));
    assert_false(address_parse("", 53, &a));
    assert_int_equal(address_split("ns1.example.test", 53, host, &port, NULL), STATUS_OK);
    assert_string_equal(host, "ns1.example.test");
    assert_int_equal(port, 53);
    assert_int_equal(address_split("127.0.0.1:5353", 53, host, &port, NULL), STATUS_OK);
    assert_int_equal(port, 5353);
    assert_int_equal(address_split("2001:db8::1", 53, host, &port, NULL), STATUS_OK);
    assert_string_equal(host, "2001:db8::1");
    assert_int_equal(address_split("[2001:db8::1]:5353", 53, host, &port, NULL), STATUS_OK);
    assert_string_equal(host, "2001:db8::1");
    assert_int_equal(port, 5353);
}

static void wrong_host_and_port_texts_are_refused(void **state)
{
    const char *wrong[] = { "",        ":53",  "host:",  "host:0", "host:65536", "host:5x",
                            "host:-1", "[::1", "[::1]x", "[]:53",  "host:+5" };
    char host[HOST_TEXT_MAX];
    struct error err;
    uint16_t port;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(address_split(wrong[i], 53, host, &port, &err), STATUS_INVALID);
}

/* ---- resolve ---- */

static void a_numeric_address_needs_no_server(void **state)
{
    char text[ADDRESS_TEXT_MAX];

    (void)state;
    reset();
    resolve_begin(resolver, "[::1]", WAIT_MS, on_resolved, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.resolved.address_count, 1);
    assert_string_equal(address_text(&o.resolved.addresses[0], false, text, sizeof text), "::1");
}

static void a_name_of_this_machine_resolves(void **state)
{
    (void)state;
    reset();
    resolve_begin(resolver, "localhost", WAIT_MS, on_resolved, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_true(o.resolved.address_count >= 1);
}

static void a_wrong_name_is_refused_and_a_cancel_answers(void **state)
{
    char long_name[400];

    (void)state;
    reset();
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    resolve_begin(resolver, long_name, WAIT_MS, on_resolved, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_INVALID);
    reset();
    struct resolve *q = resolve_begin(resolver, "127.0.0.1", WAIT_MS, on_resolved, NULL);
    resolve_cancel(q);
    resolve_cancel(q);
    run(1);
    assert_int_equal(o.err.status, STATUS_CANCELED);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_resolver(struct resolver *r)
{
    bool closed = false;

    resolver_close(r, on_closed, &closed);
    assert_false(closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

/* A UDP socket that is bound and never read. */
static int silent_udp(char *server_text, size_t capacity_bytes)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(address_parse("127.0.0.1", 0, &address));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, address_bytes(&address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)address_text(&address, true, server_text, capacity_bytes);
    return fd;
}

static void a_silent_dns_server_costs_our_deadline_and_no_more(void **state)
{
    char text[ADDRESS_TEXT_MAX];
    int fd = silent_udp(text, sizeof text);
    struct resolver *r = resolver_create(&loop, text, NULL);

    (void)state;
    reset();
    resolve_begin(r, "app.example.test", SHORT_MS, on_resolved, NULL);
    struct resolve *q = resolve_begin(r, "app2.example.test", WAIT_MS, on_resolved, NULL);
    resolve_cancel(q);
    run(2);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT); /* the later of the two */
    assert_non_null(strstr(o.err.text, "app.example.test"));
    close_resolver(r); /* with both questions still known to c-ares */
    assert_int_equal(close(fd), 0);
}

static void a_dead_dns_server_is_an_error(void **state)
{
    char text[ADDRESS_TEXT_MAX];
    struct resolver *r;

    (void)state;
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", free_port());
    r = resolver_create(&loop, text, NULL);
    reset();
    resolve_begin(r, "app.example.test", WAIT_MS, on_resolved, NULL);
    run(1);
    assert_true(o.err.status == STATUS_UNREACHABLE || o.err.status == STATUS_TIMED_OUT);
    close_resolver(r);
}

static void wrong_dns_servers_are_refused(void **state)
{
    struct error err;

    (void)state;
    assert_null(resolver_create(&loop, "not an address", &err));
    assert_int_equal(err.status, STATUS_INVALID);
}

/* ---- tcp_connect ---- */

static void a_listening_port_connects(void **state)
{
    (void)state;
    script_server_start(&server, &loop, NULL);
    reset();
    tcp_connect_begin(&loop, resolver, "127.0.0.1", server.port, WAIT_MS, on_connected, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_OK);
    script_server_stop(&server);
}

static void a_second_address_is_tried_when_the_first_refuses(void **state)
{
    (void)state;
    script_server_start(&server, &loop, NULL); /* on 127.0.0.1 only; localhost may be ::1 first */
    reset();
    tcp_connect_begin(&loop, resolver, "localhost", server.port, WAIT_MS, on_connected, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_OK);
    script_server_stop(&server);
}

static void a_closed_port_is_unreachable_and_named(void **state)
{
    char text[ADDRESS_TEXT_MAX];
    uint16_t port = free_port();

    (void)state;
    reset();
    tcp_connect_begin(&loop, resolver, "127.0.0.1", port, WAIT_MS, on_connected, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_UNREACHABLE);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_non_null(strstr(o.err.text, text));
    assert_non_null(strstr(o.err.text, "Connection refused"));
}

/* A listener whose queue is full does not complete further handshakes: a peer that hangs. */
static void a_port_that_hangs_times_out(void **state)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[8];
    char text[ADDRESS_TEXT_MAX];

    (void)state;
    assert_true(address_parse("127.0.0.1", 0, &address));
    assert_int_equal(bind(listener, (struct sockaddr *)&address, address_bytes(&address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < 8; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fill[i], (struct sockaddr *)&address, address_bytes(&address));
    }
    reset();
    uint16_t port = (uint16_t)strtoul(strrchr(address_text(&address, true, text, sizeof text), ':') + 1, NULL, 10);
    tcp_connect_begin(&loop, resolver, "127.0.0.1", port, SHORT_MS, on_connected, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    reset();
    struct tcp_connect *c = tcp_connect_begin(&loop, resolver, "127.0.0.1", port, WAIT_MS, on_connected, NULL);
    (void)uv_run(&loop, UV_RUN_ONCE); /* past the name */
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    tcp_connect_cancel(c);
    run(1);
    assert_int_equal(o.err.status, STATUS_CANCELED);
    for (int i = 0; i < 8; i++)
        assert_int_equal(close(fill[i]), 0);
    assert_int_equal(close(listener), 0);
}

static void a_cancel_wins_while_the_name_is_open(void **state)
{
    (void)state;
    reset();
    tcp_connect_cancel(tcp_connect_begin(&loop, resolver, "127.0.0.1", 1, WAIT_MS, on_connected, NULL));
    run(1);
    assert_int_equal(o.err.status, STATUS_CANCELED);
}

/* ---- http_client ---- */

static void get_returns_status_and_body(void **state)
{
    (void)state;
    script_server_start(&server, &loop, OK_ANSWER);
    http("GET", server.port, "/health?secret=x", WAIT_MS, 100, NULL);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.status_code, 200);
    assert_string_equal(o.body, "hello");
    assert_false(o.body_cut);
    assert_non_null(strstr(server.received, "GET /health?secret=x HTTP/1.1\r\n"));
    assert_non_null(strstr(server.received, "X-Coord-Epoch: 7\r\n"));
    script_server_stop(&server);
}

static void post_sends_its_body(void **state)
{
    (void)state;
    script_server_start(&server, &loop, "HTTP/1.1 204 No Content\r\n\r\n");
    http("POST", server.port, "/hook", WAIT_MS, 100, "{\"epoch\":7}");
    assert_int_equal(o.status_code, 204);
    assert_non_null(strstr(server.received, "POST /hook HTTP/1.1\r\n"));
    assert_non_null(strstr(server.received, "{\"epoch\":7}"));
    assert_null(strstr(server.received, "Expect:"));
    script_server_stop(&server);
}

static void a_name_is_connected_to_its_resolved_address(void **state)
{
    char url[64];
    struct http_request request = { .method = "GET", .url = url, .timeout_ms = WAIT_MS, .response_bytes_max = 100 };

    (void)state;
    script_server_start(&server, &loop,
                        OK_ANSWER); /* on 127.0.0.1; "localhost" may be ::1 first: the second address is taken */
    (void)snprintf(url, sizeof url, "http://localhost:%u/", server.port);
    reset();
    http_begin(client, &request, on_response, NULL);
    run(1);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.status_code, 200);
    assert_non_null(strstr(server.received, "Host: localhost:"));
    script_server_stop(&server);
}

static void a_connection_is_reused_unless_a_fresh_one_is_asked_for(void **state)
{
    char url[64];
    struct http_request request = {
        .method = "GET", .url = url, .timeout_ms = WAIT_MS, .response_bytes_max = 100, .fresh_connection = true
    };

    (void)state;
    script_server_start(&server, &loop, OK_ANSWER);
    server.keep_open = true;
    http("GET", server.port, "/", WAIT_MS, 100, NULL);
    http("GET", server.port, "/", WAIT_MS, 100, NULL);
    assert_int_equal(server.connection_count, 1);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", server.port);
    reset();
    http_begin(client, &request, on_response, NULL);
    run(1);
    assert_int_equal(o.status_code, 200);
    assert_int_equal(server.connection_count, 2);
    script_server_stop(&server);
}

static void a_body_above_the_cap_is_cut(void **state)
{
    (void)state;
    script_server_start(&server, &loop, "HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n0123456789");
    http("GET", server.port, "/", WAIT_MS, 4, NULL);
    assert_int_equal(o.err.status, STATUS_OK);
    assert_int_equal(o.status_code, 503);
    assert_string_equal(o.body, "0123");
    assert_true(o.body_cut);
    script_server_stop(&server);
}

static void a_server_that_never_answers_times_out(void **state)
{
    (void)state;
    script_server_start(&server, &loop, NULL);
    http("GET", server.port, "/health?token=hidden", SHORT_MS, 100, NULL);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    assert_non_null(strstr(o.err.text, "/health"));
    assert_null(strstr(o.err.text, "hidden"));
    script_server_stop(&server);
    script_server_start(&server, &loop, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    server.keep_open = true;
    http("GET", server.port, "/", SHORT_MS, 100, NULL);
    assert_int_equal(o.err.status, STATUS_TIMED_OUT);
    script_server_stop(&server);
}

static void what_is_not_http_fails(void **state)
{
    const char *answers[] = { "SSH-2.0-OpenSSH_9.2\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel" };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        script_server_start(&server, &loop, answers[i]);
        http("GET", server.port, "/", WAIT_MS, 100, NULL);
        assert_int_equal(o.err.status, STATUS_FAILED);
        script_server_stop(&server);
    }
}

static void closed_ports_and_wrong_urls_are_told_apart(void **state)
{
    const char *wrong[] = { "", "ftp://127.0.0.1/", "http://", "http://[::1", "nonsense url" };
    struct http_request request = { .method = "GET", .timeout_ms = WAIT_MS, .response_bytes_max = 10 };

    (void)state;
    http("GET", free_port(), "/", WAIT_MS, 100, NULL);
    assert_int_equal(o.err.status, STATUS_UNREACHABLE);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        reset();
        request.url = wrong[i];
        http_begin(client, &request, on_response, NULL);
        run(1);
        assert_int_equal(o.err.status, STATUS_INVALID);
    }
}

static void requests_are_canceled_at_each_stage(void **state)
{
    char url[64];
    struct http_request request = { .method = "GET", .url = url, .timeout_ms = WAIT_MS, .response_bytes_max = 10 };

    (void)state;
    script_server_start(&server, &loop, NULL);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", server.port);
    for (int turns = 0; turns < 6; turns++) {
        reset();
        struct http *h = http_begin(client, &request, on_response, NULL);
        for (int i = 0; i < turns; i++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        http_cancel(h);
        http_cancel(h);
        run(1);
        assert_int_equal(o.err.status, STATUS_CANCELED);
    }
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
    close_resolver(resolver);
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_printed),
        cmocka_unit_test(wrong_host_and_port_texts_are_refused),
        cmocka_unit_test(a_numeric_address_needs_no_server),
        cmocka_unit_test(a_name_of_this_machine_resolves),
        cmocka_unit_test(a_wrong_name_is_refused_and_a_cancel_answers),
        cmocka_unit_test(a_silent_dns_server_costs_our_deadline_and_no_more),
        cmocka_unit_test(a_dead_dns_server_is_an_error),
        cmocka_unit_test(wrong_dns_servers_are_refused),
        cmocka_unit_test(a_listening_port_connects),
        cmocka_unit_test(a_second_address_is_tried_when_the_first_refuses),
        cmocka_unit_test(a_closed_port_is_unreachable_and_named),
        cmocka_unit_test(a_port_that_hangs_times_out),
        cmocka_unit_test(a_cancel_wins_while_the_name_is_open),
        cmocka_unit_test(get_returns_status_and_body),
        cmocka_unit_test(post_sends_its_body),
        cmocka_unit_test(a_name_is_connected_to_its_resolved_address),
        cmocka_unit_test(a_connection_is_reused_unless_a_fresh_one_is_asked_for),
        cmocka_unit_test(a_body_above_the_cap_is_cut),
        cmocka_unit_test(a_server_that_never_answers_times_out),
        cmocka_unit_test(what_is_not_http_fails),
        cmocka_unit_test(closed_ports_and_wrong_urls_are_told_apart),
        cmocka_unit_test(requests_are_canceled_at_each_stage),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
