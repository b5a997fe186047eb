/* Two nodes' transports on one loop, over real sockets: who is let in, and what each side is told and logs when it is not. Node 1 listens, node 2
 * dials; what each shows and believes is chosen by the case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/log.h"
#include "raft/messages.h"
#include "raft/transport.h"
#include "tls_fixture.h"

#define BULK_BYTES (3u << 20)
#define BULK_CHUNK 50000u

struct node {
    struct tls_context *tls;
    struct transport *transport;
    struct channel *channel;  /* a connection for messages, from two to one */
    struct channel *backward; /* from one to two */
    bool closed;
};

static uv_loop_t loop;
static struct node one, two;
static char address[2][ADDRESS_MAX_BYTES];
static char logged[8192];
static bool two_is_member;
static struct error dialed; /* the dialer's result */
static unsigned dials_done, channels_closed;
static uint64_t received, sent;
static bool in_order;
static uv_stream_t *raft_in, *raft_out;
static bool raft_in_ended;

/* ---- the two nodes ---- */

static void on_log(void *ctx, enum log_level level, const char *line)
{
    (void)ctx, (void)level;
    strncat(logged, line, sizeof logged - strlen(logged) - 2);
    strcat(logged, "\n");
}

static const char *member_address(void *ctx, node_id id)
{
    (void)ctx;
    return id == 1 ? address[0] : id == 2 && two_is_member ? address[1] : NULL;
}

static void on_messages(void *ctx, node_id from, struct channel *channel)
{
    struct node *n = ctx;
    assert_int_equal(from, n == &one ? 2 : 1);
    *(n == &one ? &n->channel : &n->backward) = channel;
}

static struct tls_context *context(const char *name, const char *authority)
{
    return name != NULL ? tls_fixture_context(name, authority) : NULL;
}

static void node_open(struct node *n, node_id id, struct tls_context *tls)
{
    struct error err;
    struct transport_config config = { .loop = &loop,
                                       .cluster = 11,
                                       .id = id,
                                       .address = address[id - 1],
                                       .tls = tls,
                                       .snapshot_bytes_max = 1 << 20,
                                       .ctx = n,
                                       .member_address = member_address,
                                       .on_messages = on_messages };
    *n = (struct node){ .tls = tls };
    n->transport = transport_create(&config, &err);
    assert_non_null(n->transport);
    if (transport_listen(n->transport, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void on_channel_closed(void *ctx)
{
    (void)ctx;
    channels_closed++;
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_channel(struct channel *channel)
{
    unsigned before = channels_closed;
    if (channel == NULL)
        return;
    channel_close(channel, on_channel_closed, NULL);
    while (channels_closed == before)
        uv_run(&loop, UV_RUN_ONCE);
}

static void node_close(struct node *n)
{
    close_channel(n->channel);
    close_channel(n->backward);
    transport_close(n->transport, on_closed, &n->closed);
    while (!n->closed)
        uv_run(&loop, UV_RUN_ONCE);
    transport_destroy(n->transport);
    tls_context_destroy(n->tls);
}

static void on_dialed(void *ctx, struct channel *channel, const struct error *err)
{
    struct node *n = ctx;
    n->channel = channel;
    dialed = err != NULL ? *err : ERROR_NONE;
    dials_done++;
}

/* Node 2 dials node 1, as `kind`. Afterwards both are still open. */
static void dial(void)
{
    dials_done = 0;
    assert_non_null(transport_dial(two.transport, HELLO_MESSAGES, 1, address[0], on_dialed, &two));
    while (dials_done == 0)
        uv_run(&loop, UV_RUN_ONCE);
    for (unsigned turn = 0; turn < 20; turn++) /* what the other side still has to read */
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void expect_said(const char *where, const char *text, const char *said)
{
    if (strstr(text, said) == NULL)
        fail_msg("%s does not say '%s': %s", where, said, text);
}

static void expect_refusal(struct tls_context *listens, struct tls_context *dials, const char *dialer_says,
                           const char *listener_logs)
{
    node_open(&one, 1, listens);
    node_open(&two, 2, dials);
    logged[0] = '\0';
    dial();
    assert_int_equal(dialed.status, STATUS_REFUSED);
    expect_said("the dialer", dialed.text, dialer_says);
    expect_said("the dialer", dialed.text, "node 1 at 127.");
    expect_said("the log", logged, "connection_refused");
    expect_said("the log", logged, "peer=127.");
    expect_said("the log", logged, listener_logs);
    struct transport_counters counters = transport_counters(one.transport);
    assert_int_equal(counters.accepted, 0);
    assert_int_equal(counters.refused_certificate + counters.refused_hello, 1);
    assert_null(one.channel);
    assert_null(two.channel);
    node_close(&two);
    node_close(&one);
}

/* ---- who is refused ---- */

static void a_certificate_of_another_node_is_refused(void **state)
{
    (void)state;
    expect_refusal(context("node1", "ca"), context("node3", "ca"),
                   "refuses us: its certificate belongs to another node", "certificate=\"node 3\" node=2");
    expect_refusal(context("node3", "ca"), context("node2", "ca"), "its certificate is that of node 3, not of node 1",
                   "it refuses this side: ");
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    (void)state;
    expect_refusal(context("node1", "ca"), context("stranger2", "other-ca"),
                   "is not accepted: ", "it refuses this side: unknown CA");
}

/* It believes our authority, and we do not believe its own. */
static void a_dialer_whom_only_its_own_authority_knows_is_refused(void **state)
{
    (void)state;
    tls_fixture_join("both", "other-ca", "ca");
    expect_refusal(context("node1", "ca"), context("stranger2", "both"), "answer: it refuses this side: unknown CA",
                   "(node 2) is not accepted: ");
}

static void an_expired_certificate_is_refused(void **state)
{
    (void)state;
    expect_refusal(context("node1", "ca"), context("expired2", "ca"), "it refuses this side: certificate expired",
                   "(node 2) is not accepted: certificate has expired");
}

static void an_operator_is_no_node(void **state)
{
    (void)state;
    expect_refusal(context("node1", "ca"), context("alice", "ca"),
                   "answer: it refuses this side: ", "its certificate is that of operator alice, not of a node");
}

static void plain_tcp_and_tls_refuse_each_other(void **state)
{
    (void)state;
    expect_refusal(context("node1", "ca"), NULL, "it takes TLS only: this node is set to plain TCP",
                   "it does not speak TLS");
    expect_refusal(NULL, context("node2", "ca"), "TLS: it does not speak TLS",
                   "it speaks TLS, and this node takes plain TCP");
}

static void a_stranger_to_the_member_list_is_refused(void **state)
{
    (void)state;
    two_is_member = false;
    expect_refusal(context("node1", "ca"), context("node2", "ca"), "no member of this cluster has that id",
                   "certificate=\"node 2\" node=2");
    expect_refusal(NULL, NULL, "no member of this cluster has that id", "certificate=\"no certificate\" node=2");
}

/* The tenth refusal of the same peer says no more than the first; each is counted. */
static void repeated_refusals_are_counted_and_logged_once(void **state)
{
    (void)state;
    two_is_member = false;
    node_open(&one, 1, context("node1", "ca"));
    node_open(&two, 2, context("node2", "ca"));
    logged[0] = '\0';
    for (unsigned i = 0; i < 10; i++)
        dial();
    assert_int_equal(transport_counters(one.transport).refused_hello, 10);
    const char *first = strstr(logged, "connection_refused");
    assert_non_null(first);
    assert_null(strstr(first + 1, "connection_refused"));
    node_close(&two);
    node_close(&one);
}

/* ---- who says nothing ---- */

static void on_plain_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

static void on_plain_connected(uv_connect_t *connect, int uv_status)
{
    assert_int_equal(uv_status, 0);
    *(bool *)connect->data = true;
}

/* A socket without our protocol, connected to node 1. */
static void plain_open(uv_tcp_t *tcp)
{
    uv_connect_t connect;
    struct sockaddr_in to;
    char host[ADDRESS_MAX_BYTES];
    bool connected = false;
    snprintf(host, sizeof host, "%.*s", (int)strcspn(address[0], ":"), address[0]);
    assert_int_equal(uv_ip4_addr(host, 7400, &to), 0);
    connect.data = &connected;
    assert_int_equal(uv_tcp_init(&loop, tcp), 0);
    assert_int_equal(uv_tcp_connect(&connect, tcp, (struct sockaddr *)&to, on_plain_connected), 0);
    while (!connected)
        uv_run(&loop, UV_RUN_ONCE);
}

static void plain_close(uv_tcp_t *tcp)
{
    bool closed = false;
    tcp->data = &closed;
    uv_close((uv_handle_t *)tcp, on_plain_closed);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    for (unsigned turn = 0; turn < 20; turn++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void who_is_silent_is_dropped_and_who_only_knocks_is_not_logged(void **state)
{
    (void)state;
    uv_tcp_t tcp;
    node_open(&one, 1, context("node1", "ca"));
    logged[0] = '\0';
    plain_open(&tcp);
    plain_close(&tcp);
    assert_string_equal(logged, "");
    plain_open(&tcp);
    while (transport_counters(one.transport).refused_slow == 0)
        uv_run(&loop, UV_RUN_ONCE);
    plain_close(&tcp);
    expect_said("the log", logged, "no hello in time");
    node_close(&one);
}

/* Bytes behind a hello would be lost when the connection changes hands: who sends them before it is answered is no node. */
static void who_goes_on_before_the_answer_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[HELLO_BYTES + 1] = { 0 };
    struct hello h = { .kind = HELLO_MESSAGES, .cluster = 11, .from = 2, .to = 1 };
    struct transport_counters c = { 0 };
    uv_tcp_t tcp;
    strcpy(h.from_address, address[1]);
    strcpy(h.to_address, address[0]);
    hello_encode(&h, bytes);
    node_open(&one, 1, NULL);
    for (size_t more = 0; more < 2; more++) {
        uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)(HELLO_BYTES + more));
        plain_open(&tcp);
        assert_int_equal(uv_try_write((uv_stream_t *)&tcp, &buf, 1), HELLO_BYTES + more);
        while (c.accepted + c.refused_hello <= more) {
            uv_run(&loop, UV_RUN_ONCE);
            c = transport_counters(one.transport);
        }
        assert_int_equal(c.accepted, 1);
        assert_int_equal(c.refused_hello, more);
        close_channel(one.channel);
        one.channel = NULL;
        plain_close(&tcp);
    }
    node_close(&one);
}

/* ---- who is let in ---- */

static void on_bulk_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    for (size_t i = 0; i < length; i++)
        in_order = in_order && bytes[i] == (uint8_t)((received + i) * 2654435761u >> 24);
    received += length;
}

static void no_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    (void)ctx, (void)bytes, (void)length;
    fail();
}

static void on_drained(void *ctx)
{
    struct node *n = ctx;
    static uint8_t chunk[BULK_CHUNK];
    if (sent == BULK_BYTES)
        return;
    size_t now = BULK_BYTES - sent < BULK_CHUNK ? BULK_BYTES - sent : BULK_CHUNK;
    for (size_t i = 0; i < now; i++)
        chunk[i] = (uint8_t)((sent + i) * 2654435761u >> 24);
    sent += now;
    assert_int_equal(channel_write(n->channel, chunk, now), STATUS_OK);
}

static void on_end(void *ctx, const struct error *err)
{
    (void)ctx;
    if (received < BULK_BYTES)
        fail_msg("%s", err != NULL ? err->text : "ended");
}

static void expect_let_in(struct tls_context *listens, struct tls_context *dials)
{
    node_open(&one, 1, listens);
    node_open(&two, 2, dials);
    dial();
    assert_string_equal(dialed.text, "");
    assert_non_null(one.channel);
    assert_int_equal(transport_counters(one.transport).accepted, 1);
    struct channel_events in = { .ctx = &one, .bytes = on_bulk_bytes, .ended = on_end };
    struct channel_events out = { .ctx = &two, .bytes = no_bytes, .drained = on_drained, .ended = on_end };
    channel_set_events(one.channel, &in);
    channel_set_events(two.channel, &out);
    sent = received = 0;
    in_order = true;
    on_drained(&two);
    for (unsigned turn = 0; turn < 20; turn++) /* it is paused: nothing comes before it is resumed */
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(received, 0);
    assert_int_equal(channel_resume(one.channel), STATUS_OK);
    while (received < BULK_BYTES)
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(in_order);
    assert_int_equal(received, BULK_BYTES);
    node_close(&two);
    node_close(&one);
}

static void members_of_one_authority_talk(void **state)
{
    (void)state;
    expect_let_in(context("node1", "ca"), context("node2", "ca"));
}

static void without_tls_they_talk_as_well(void **state)
{
    (void)state;
    expect_let_in(NULL, NULL);
}

/* ---- Raft's streams ---- */

static void on_raft_accepted(struct raft_uv_transport *transport, raft_id id, const char *from,
                             struct uv_stream_s *stream)
{
    (void)transport;
    assert_int_equal(id, 2);
    assert_string_equal(from, address[1]);
    raft_in = (uv_stream_t *)stream;
}

static void on_raft_connected(struct raft_uv_connect *request, struct uv_stream_s *stream, int status)
{
    (void)request;
    assert_int_equal(status, 0);
    raft_out = (uv_stream_t *)stream;
}

static void on_raft_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char bytes[100];
    (void)handle, (void)suggested;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_raft_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)stream, (void)buf;
    raft_in_ended = n < 0;
}

static void on_raft_closed(uv_handle_t *handle)
{
    raft_free(handle);
}

static void a_removed_members_raft_stream_is_ended(void **state)
{
    (void)state;
    struct raft_uv_connect request = { 0 };
    node_open(&one, 1, context("node1", "ca"));
    node_open(&two, 2, context("node2", "ca"));
    raft_in = raft_out = NULL;
    raft_in_ended = false;
    struct raft_uv_transport *listening = transport_raft(one.transport), *dialing = transport_raft(two.transport);
    assert_int_equal(listening->listen(listening, on_raft_accepted), 0);
    assert_int_equal(dialing->connect(dialing, &request, 1, address[0], on_raft_connected), 0);
    while (raft_in == NULL || raft_out == NULL)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(uv_read_start(raft_in, on_raft_alloc, on_raft_read), 0);
    transport_follow_members(one.transport);
    for (unsigned turn = 0; turn < 20; turn++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(raft_in_ended);
    two_is_member = false;
    transport_follow_members(one.transport);
    while (!raft_in_ended)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)raft_in, on_raft_closed);
    uv_close((uv_handle_t *)raft_out, on_raft_closed);
    node_close(&two);
    node_close(&one);
}

/* ---- messages ---- */

static size_t members(void *ctx, struct rnode_member *out, size_t capacity)
{
    (void)ctx;
    assert_true(capacity > 0);
    out[0] = (struct rnode_member){ .id = 2, .voter = true };
    strcpy(out[0].address, address[1]);
    return two_is_member ? 1 : 0;
}

static void on_message(void *ctx, node_id from, uint8_t type, const uint8_t *bytes, size_t length)
{
    (void)ctx, (void)from, (void)type, (void)bytes, (void)length;
    fail();
}

static void on_cut_off(void *ctx, const struct error *err)
{
    (void)err;
    *(bool *)ctx = true;
}

static void a_removed_members_messages_are_taken_no_more(void **state)
{
    (void)state;
    bool cut_off = false, closed = false;
    node_open(&one, 1, context("node1", "ca"));
    node_open(&two, 2, context("node2", "ca"));
    dial();
    struct messages_config config = {
        .loop = &loop, .transport = one.transport, .members = members, .receive = on_message
    };
    struct messages *messages = messages_create(&config);
    messages_start(messages);
    messages_accept(messages, 2, one.channel);
    one.channel = NULL;
    channel_set_events(two.channel,
                       &(struct channel_events){ .ctx = &cut_off, .bytes = no_bytes, .ended = on_cut_off });
    assert_int_equal(channel_resume(two.channel), STATUS_OK);
    while (!messages_connected(messages, 2)) /* a sweep has been */
        uv_run(&loop, UV_RUN_ONCE);
    assert_false(cut_off);
    two_is_member = false;
    while (!cut_off)
        uv_run(&loop, UV_RUN_ONCE);
    messages_close(messages, on_closed, &closed);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    node_close(&two);
    node_close(&one);
}

/* ---- fixture ---- */

static void certificate(const char *name, const char *authority, const char *uri, int64_t begin_s, int64_t end_s)
{
    tls_fixture_certificate(name, &(struct tls_fixture_certificate){
                                      .authority = authority, .uris = { uri }, .begin_s = begin_s, .end_s = end_s });
}

static int open_all(void **state)
{
    (void)state;
    unsigned place = (unsigned)getpid();
    for (unsigned i = 0; i < 2; i++)
        snprintf(address[i], sizeof address[i], "127.%u.%u.%u:7400", 30 + (place >> 8) % 60, place % 250, i + 1);
    (void)tls_fixture_open();
    tls_fixture_authority("ca");
    tls_fixture_authority("other-ca");
    certificate("node1", "ca", "coord:node:1", 0, 0);
    certificate("node2", "ca", "coord:node:2", 0, 0);
    certificate("node3", "ca", "coord:node:3", 0, 0);
    certificate("alice", "ca", "coord:operator:alice", 0, 0);
    certificate("stranger2", "other-ca", "coord:node:2", 0, 0);
    certificate("expired2", "ca", "coord:node:2", -2 * DAY_S, -DAY_S);
    log_set_sink(on_log, NULL);
    return uv_loop_init(&loop);
}

static int close_all(void **state)
{
    (void)state;
    tls_fixture_close();
    return uv_loop_close(&loop);
}

static int begin(void **state)
{
    (void)state;
    two_is_member = true;
    return 0;
}

int main(void)
{
#define TRANSPORT_TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TRANSPORT_TEST(members_of_one_authority_talk),
        TRANSPORT_TEST(without_tls_they_talk_as_well),
        TRANSPORT_TEST(a_certificate_of_another_node_is_refused),
        TRANSPORT_TEST(a_certificate_of_another_authority_is_refused),
        TRANSPORT_TEST(a_dialer_whom_only_its_own_authority_knows_is_refused),
        TRANSPORT_TEST(an_expired_certificate_is_refused),
        TRANSPORT_TEST(an_operator_is_no_node),
        TRANSPORT_TEST(plain_tcp_and_tls_refuse_each_other),
        TRANSPORT_TEST(a_stranger_to_the_member_list_is_refused),
        TRANSPORT_TEST(repeated_refusals_are_counted_and_logged_once),
        TRANSPORT_TEST(who_is_silent_is_dropped_and_who_only_knocks_is_not_logged),
        TRANSPORT_TEST(who_goes_on_before_the_answer_is_refused),
        TRANSPORT_TEST(a_removed_members_raft_stream_is_ended),
        TRANSPORT_TEST(a_removed_members_messages_are_taken_no_more),
    };
    return cmocka_run_group_tests_name("transport", tests, open_all, close_all);
}
