#include "script_server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MUST(condition) ((condition) ? (void)0 : abort())

static void on_connection_closed(uv_handle_t *handle)
{
    struct script_connection *c = handle->data;

    c->open = false;
}

static void connection_close(struct script_connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
}

static void on_written(uv_write_t *write, int status)
{
    struct script_connection *c = write->data;

    if (status != 0 || !c->server->keep_open)
        connection_close(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buf)
{
    struct script_connection *c = handle->data;

    (void)suggested_bytes;
    *buf = uv_buf_init(c->server->buffer, sizeof c->server->buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct script_connection *c = stream->data;
    struct script_server *s = c->server;

    if (n < 0) {
        connection_close(c);
        return;
    }
    for (ssize_t i = 0; i < n && s->received_bytes + 1 < sizeof s->received; i++)
        s->received[s->received_bytes++] = buf->base[i];
    if (s->answer == NULL || (c->answered && !s->keep_open))
        return;
    c->answered = true;
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)s->answer, (unsigned)s->answer_bytes);
    c->write.data = c;
    MUST(uv_write(&c->write, stream, &out, 1, on_written) == 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct script_server *s = listener->data;
    struct script_connection *c = NULL;

    MUST(status == 0);
    for (int i = 0; i < SCRIPT_CONNECTIONS_MAX && c == NULL; i++)
        if (!s->connections[i].open)
            c = &s->connections[i];
    MUST(c != NULL);
    s->connection_count++;
    *c = (struct script_connection){ .server = s, .open = true };
    MUST(uv_tcp_init(listener->loop, &c->tcp) == 0);
    c->tcp.data = c;
    MUST(uv_accept(listener, (uv_stream_t *)&c->tcp) == 0);
    MUST(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0);
}

void script_server_start(struct script_server *s, uv_loop_t *loop, const char *answer)
{
    struct sockaddr_in address;
    int length = sizeof address;

    memset(s, 0, sizeof *s);
    s->answer = answer;
    s->answer_bytes = answer != NULL ? strlen(answer) : 0;
    MUST(uv_ip4_addr("127.0.0.1", 0, &address) == 0);
    MUST(uv_tcp_init(loop, &s->listener) == 0);
    s->listener.data = s;
    MUST(uv_tcp_bind(&s->listener, (const struct sockaddr *)&address, 0) == 0);
    MUST(uv_listen((uv_stream_t *)&s->listener, 16, on_connection) == 0);
    MUST(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&address, &length) == 0);
    s->port = ntohs(address.sin_port);
    uv_unref((uv_handle_t *)&s->listener); /* the loop runs until the tested operation is over */
}

void script_server_stop(struct script_server *s)
{
    uv_close((uv_handle_t *)&s->listener, NULL);
    for (int i = 0; i < SCRIPT_CONNECTIONS_MAX; i++)
        if (s->connections[i].open)
            connection_close(&s->connections[i]);
    MUST(uv_run(s->listener.loop, UV_RUN_DEFAULT) == 0);
}

uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    MUST(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    MUST(close(fd) == 0);
    return ntohs(address.sin_port);
}
