/* The HTTP server's bytes under TLS: however they are cut, whatever waits for what, and however the peer leaves. The peer is our own TLS in this thread. */
#include "http_fixture.h"
#include "io/clock.h"
#include "io/http_server_connection.h"
#include "tls_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US (20 * 1000000ll) /* a bound for a hanging test, never a measurement */

static struct tls_context *node, *alice;
static unsigned refused;
static char refused_why[400];
static char server_address[32];
static uint16_t port;

struct peer {
    int fd;
    struct tls *tls;
    size_t cut; /* bytes of one send at most; 0: all */
    char got[300000];
    size_t got_bytes;
    bool closed;
    struct error err;
};
static struct peer peer;

static void on_refused(void *ctx, const char *address, const char *why)
{
    assert_ptr_equal(ctx, &server);
    assert_memory_equal(address, "127.0.0.1:", 10);
    refused++;
    (void)snprintf(refused_why, sizeof refused_why, "%s", why);
}

static void begin_port(struct http_server_options options, struct tls_context *tls)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    struct error err = ERROR_NONE;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)close(fd);
    port = ntohs(address.sin_port);
    (void)snprintf(server_address, sizeof server_address, "127.0.0.1:%u", port);
    options.on_refused = on_refused;
    refused = 0;
    begin(options);
    assert_int_equal(http_server_listen_tcp(server, server_address, tls, &err), STATUS_OK);
}

static int dial_port(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* What our TLS wants to say goes out in pieces; what comes is decrypted. */
static void carry(void)
{
    uint8_t bytes[20000];
    size_t length;
    ssize_t got;

    while ((length = tls_output(peer.tls, bytes, peer.cut > 0 ? peer.cut : sizeof bytes)) > 0)
        if (!put(peer.fd, (char *)bytes, length))
            peer.closed = true;
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    got = recv(peer.fd, bytes, sizeof bytes, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        peer.closed = true;
    if (got > 0)
        (void)tls_receive(peer.tls, bytes, (size_t)got, &peer.err);
    do {
        if (peer.err.status != STATUS_OK ||
            tls_read(peer.tls, (uint8_t *)peer.got + peer.got_bytes, sizeof peer.got - 1 - peer.got_bytes, &length,
                     &peer.err) != STATUS_OK)
            return;
        peer.got_bytes += length;
        peer.got[peer.got_bytes] = '\0';
    } while (length > 0);
}

static void meet(size_t cut)
{
    struct error err = ERROR_NONE;

    memset(&peer, 0, sizeof peer);
    peer.cut = cut;
    peer.fd = dial_port();
    peer.tls = tls_create(alice, &(struct tls_options){ .side = TLS_CLIENT, .peer_kind = TLS_NODE }, &err);
    assert_non_null(peer.tls);
    for (int64_t until_us = clock_now_us() + PATIENCE_US; !tls_established(peer.tls); carry()) {
        assert_true(clock_now_us() < until_us);
        assert_string_equal(peer.err.text, "");
    }
}

static void leave(void)
{
    tls_destroy(peer.tls);
    (void)close(peer.fd);
}

static void say(const char *bytes)
{
    assert_int_equal(tls_write(peer.tls, (const uint8_t *)bytes, strlen(bytes), &peer.err), STATUS_OK);
}

/* `needle` NULL: until the server has closed. */
static void wait_for(const char *needle)
{
    int64_t until_us = clock_now_us() + PATIENCE_US;

    while (needle != NULL ? strstr(peer.got, needle) == NULL : !peer.closed) {
        if (clock_now_us() > until_us || (needle != NULL && peer.closed))
            fail_msg("'%s' did not come, but: %s (%s)", needle, peer.got, peer.err.text);
        carry();
    }
}

static unsigned count_of(const char *needle)
{
    unsigned count = 0;

    for (const char *at = peer.got; (at = strstr(at, needle)) != NULL; at++)
        count++;
    return count;
}

static void a_request_is_the_same_however_its_bytes_are_cut(void **state)
{
    static const size_t cuts[] = { 1, 7, 100, 0 };
    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        begin_port((struct http_server_options){ 0 }, node);
        meet(cuts[i]);
        say("GET /x?key=1 HTTP/1.1\r\nHost: h\r\n\r\n");
        wait_for("GET /x key=1");
        say("POST /y HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
        wait_for(NULL);
        assert_true(tls_ended(peer.tls)); /* TLS says that this was all */
        assert_non_null(strstr(peer.got, "POST /y key=none body=body"));
        leave();
        end();
    }
}

static void a_long_body_arrives_whole(void **state)
{
    char *request = malloc(HTTP_BODY_MAX_BYTES + 200);
    int length =
        snprintf(request, 200, "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", HTTP_BODY_MAX_BYTES);
    (void)state;
    assert_non_null(request);
    memset(request + length, 'z', HTTP_BODY_MAX_BYTES);
    request[length + HTTP_BODY_MAX_BYTES] = '\0';
    begin_port((struct http_server_options){ 0 }, node);
    meet(0);
    say(request);
    wait_for("POST /big");
    assert_int_equal(body_seen, HTTP_BODY_MAX_BYTES);
    leave();
    end();
    free(request);
}

/* More requests in one record than are answered at once: each waits for the answer to the one before, none is lost. */
static void requests_in_one_record_are_answered_one_by_one(void **state)
{
    static char many[16000];
    size_t used = 0;
    (void)state;
    used += (size_t)snprintf(many, sizeof many, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 200; i++)
        used += (size_t)snprintf(many + used, sizeof many - used, "GET /n HTTP/1.1\r\nHost: h\r\nA: %032d\r\n\r\n", i);
    begin_port((struct http_server_options){ 0 }, node);
    meet(0);
    say(many);
    while (handled == 0)
        carry();
    for (int i = 0; i < 20; i++)
        carry();
    assert_int_equal(handled, 1); /* the others wait, inside TLS */
    say("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    http_answer(kept, 200, "text/plain", "late", 4);
    wait_for(NULL);
    assert_int_equal(handled, 202);
    assert_int_equal(count_of("GET /n "), 200);
    assert_int_equal(count_of("GET /last "), 1);
    leave();
    end();
}

/* What a peer sends while it waits for its answer stays in the kernel: it costs the server one read and no more. */
static void a_peer_that_waits_is_not_read_on(void **state)
{
    (void)state;
    begin_port((struct http_server_options){ 0 }, node);
    meet(0);
    say("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    while (handled == 0)
        carry();
    say("GET /n HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int64_t until_us = clock_now_us() + PATIENCE_US; uv_is_active(&server->connections->peer.handle); carry())
        assert_true(clock_now_us() < until_us);
    http_answer(kept, 200, "text/plain", "late", 4);
    wait_for("GET /n ");
    leave();
    end();
}

static void a_stream_goes_out_and_ends_with_its_peer(void **state)
{
    static char line[60001];
    (void)state;
    memset(line, 'l', sizeof line - 1);
    begin_port((struct http_server_options){ 0 }, node);
    meet(0);
    say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for("one\n");
    http_stream_write(kept, line, sizeof line - 1);
    http_stream_write(kept, "two\n", 4);
    wait_for("two\n");
    tls_end(peer.tls); /* it says so inside TLS, and keeps its socket */
    carry();
    pump_until(NULL, &gone, 1);
    leave();
    meet(0);
    say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for("one\n");
    (void)shutdown(peer.fd, SHUT_RDWR); /* it is gone without a word */
    pump_until(NULL, &gone, 2);
    leave();
    meet(0);
    say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for("one\n");
    http_stream_end(kept);
    wait_for(NULL);
    assert_true(tls_ended(peer.tls));
    leave();
    end();
}

static void what_is_no_tls_or_no_request_is_refused_and_told(void **state)
{
    int fd;
    (void)state;
    begin_port((struct http_server_options){ 0 }, node);
    fd = dial_port();
    assert_true(put(fd, "GET / HTTP/1.1\r\n\r\n", 18));
    assert_int_equal(get_until(fd, NULL)[0], 0x15); /* an alert of TLS, and nothing of HTTP */
    (void)close(fd);
    assert_int_equal(refused, 1);
    assert_string_equal(refused_why, "it does not speak TLS");
    fd = dial_port();
    assert_true(put(fd, "\x16\x03\x01\xff\xff garbage inside a record", 30));
    (void)get_until(fd, NULL);
    (void)close(fd);
    assert_int_equal(refused, 2);
    fd = dial_port(); /* a look whether the port is open, as load balancers do, is no refusal */
    (void)close(fd);
    meet(0);
    say("nonsense\r\n\r\n"); /* TLS is right, HTTP is not */
    wait_for("HTTP/1.1 400 ");
    wait_for(NULL);
    leave();
    assert_int_equal(handled, 0);
    assert_int_equal(refused, 2);
    end();
}

static void a_handshake_has_its_time(void **state)
{
    int fd;
    (void)state;
    begin_port((struct http_server_options){ .handshake_timeout_ms = 100 }, node);
    fd = dial_port();
    assert_true(put(fd, "\x16\x03\x01", 3));
    pump_until(NULL, &refused, 1);
    assert_string_equal(refused_why, "it did not end its handshake in time");
    (void)close(fd);
    end();
}

/* Strangers take no place from those who have a certificate, and those none from the socket. */
static void when_all_places_are_taken_the_oldest_stranger_gives_way(void **state)
{
    struct peer *peers = calloc(HTTP_CONNECTIONS_MAX, sizeof *peers);
    int fds[HTTP_CONNECTIONS_MAX];
    unsigned before;
    (void)state;
    assert_non_null(peers);
    begin_port((struct http_server_options){ .handshake_timeout_ms = 60000 }, node);
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = dial_port();
        pump_until(NULL, &server->port.connection_count, (unsigned)i + 1);
    }
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        meet(0);
        say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n"); /* the server knows now who it is, too */
        wait_for("200 OK");
        peers[i] = peer;
        assert_string_equal(get_until(fds[i], NULL), ""); /* in the order in which they came */
        (void)close(fds[i]);
        assert_int_equal(refused, i + 1);
        assert_string_equal(refused_why, "it made room for a newer connection");
    }
    before = refused;
    fds[0] = dial_port();
    pump_until(NULL, &refused, before + 1);
    assert_string_equal(refused_why, "too many connections are open");
    (void)close(fds[0]);
    assert_non_null(strstr(whole("GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"), "200 OK"));
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        peer = peers[i];
        leave();
    }
    end();
    free(peers);
}

/* It may ask once: its place is free again. */
static void a_stranger_is_answered_and_left(void **state)
{
    int fd;
    (void)state;
    begin_port((struct http_server_options){ .request_timeout_ms = 100 }, NULL);
    fd = dial_port();
    assert_true(put(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28));
    assert_non_null(strstr(get_until(fd, NULL), "Connection: close\r\n"));
    (void)close(fd);
    fd = dial_port(); /* one that says nothing has no minute either */
    assert_string_equal(get_until(fd, NULL), "");
    (void)close(fd);
    end();
}

static void the_server_ends_with_peers_in_every_phase(void **state)
{
    int idle;
    (void)state;
    begin_port((struct http_server_options){ 0 }, node);
    idle = dial_port(); /* in the handshake */
    assert_true(put(idle, "\x16\x03\x01", 3));
    meet(0);
    say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for("one\n");
    end();
    assert_int_equal(gone, 1);
    leave();
    (void)close(idle);
}

static void an_address_that_cannot_be_listened_on_is_told(void **state)
{
    struct error err = ERROR_NONE;
    struct http_server *second;
    bool closed = false;
    (void)state;
    begin_port((struct http_server_options){ 0 }, NULL);
    second = http_server_create(&loop, NULL, NULL, NULL);
    assert_int_equal(http_server_listen_tcp(second, "localhost:80", NULL, &err), STATUS_INVALID);
    assert_int_equal(http_server_listen_tcp(second, server_address, NULL, &err), STATUS_FAILED);
    assert_non_null(strstr(err.text, "address already in use"));
    http_server_destroy(second, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    end();
}

static int open_all(void **state)
{
    (void)state;
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    tls_fixture_certificate("node", &(struct tls_fixture_certificate){ .authority = "ca", .uris = { "coord:node:1" } });
    tls_fixture_certificate("alice",
                            &(struct tls_fixture_certificate){ .authority = "ca", .uris = { "coord:operator:alice" } });
    node = tls_fixture_context("node", "ca");
    alice = tls_fixture_context("alice", "ca");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tls_context_destroy(node);
    tls_context_destroy(alice);
    tls_fixture_close();
    return 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_request_is_the_same_however_its_bytes_are_cut),
        T(a_long_body_arrives_whole),
        T(requests_in_one_record_are_answered_one_by_one),
        T(a_peer_that_waits_is_not_read_on),
        T(a_stream_goes_out_and_ends_with_its_peer),
        T(what_is_no_tls_or_no_request_is_refused_and_told),
        T(a_handshake_has_its_time),
        T(when_all_places_are_taken_the_oldest_stranger_gives_way),
        T(a_stranger_is_answered_and_left),
        T(the_server_ends_with_peers_in_every_phase),
        T(an_address_that_cannot_be_listened_on_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
