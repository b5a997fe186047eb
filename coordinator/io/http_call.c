/* Connect, send, read until the parser has the whole answer. */
#include "io/http_call_link.h"

#include "base/check.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct call {
    const struct http_call_request *request;
    struct http_call_answer *answer;
    struct http_link link;
    bool complete, stopped, too_long;
    size_t capacity;
};

static int on_headers_complete(llhttp_t *parser)
{
    struct call *call = parser->data;
    call->answer->code = parser->status_code;
    call->link.endless = call->request->on_data != NULL; /* a stream comes when it comes */
    return HPE_OK;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct call *call = parser->data;
    struct http_call_answer *answer = call->answer;

    if (call->request->on_data != NULL && answer->code / 100 == 2) {
        if (call->stopped)
            return HPE_OK;
        call->stopped = !call->request->on_data(call->request->ctx, at, length);
        return HPE_OK;
    }
    if (answer->body_bytes + length > HTTP_CALL_BODY_MAX_BYTES) {
        call->too_long = true;
        return HPE_USER;
    }
    if (answer->body_bytes + length + 1 > call->capacity) {
        call->capacity = (answer->body_bytes + length + 1) * 2;
        answer->body = realloc(answer->body, call->capacity);
        ASSERT(answer->body != NULL);
    }
    memcpy(answer->body + answer->body_bytes, at, length);
    answer->body_bytes += length;
    answer->body[answer->body_bytes] = '\0';
    return HPE_OK;
}

static int on_message_complete(llhttp_t *parser)
{
    struct call *call = parser->data;
    call->complete = true;
    return HPE_PAUSED;
}

static enum status receive(struct call *call, struct error *err)
{
    static const llhttp_settings_t settings = { .on_headers_complete = on_headers_complete,
                                                .on_body = on_body,
                                                .on_message_complete = on_message_complete };
    llhttp_t parser;
    char bytes[16384];

    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = call;
    while (!call->complete && !call->stopped) {
        size_t length = 0;
        enum status status = http_link_receive(&call->link, bytes, sizeof bytes, &length, err);
        enum llhttp_errno result;

        if (status != STATUS_OK)
            return status;
        result = length > 0 ? llhttp_execute(&parser, bytes, length) : llhttp_finish(&parser);
        if (call->too_long)
            return error_set(err, STATUS_CORRUPT, "%s: the answer has more than %d bytes", call->link.name,
                             HTTP_CALL_BODY_MAX_BYTES);
        if (result != HPE_OK && result != HPE_PAUSED && length > 0)
            return error_set(err, STATUS_CORRUPT, "%s: the answer is no HTTP: %s", call->link.name,
                             llhttp_errno_name(result));
        if (length == 0 && !call->complete)
            return error_set(err, STATUS_UNKNOWN, "%s: the node closed the connection before its answer was complete",
                             call->link.name);
    }
    return STATUS_OK;
}

enum status http_call(const struct http_call_request *request, struct http_call_answer *answer, struct error *err)
{
    struct call call = { .request = request, .answer = answer, .link = { .fd = -1 } };
    size_t body_bytes = request->body != NULL ? strlen(request->body) : 0;
    char header[4096];
    int length;
    enum status status;

    *answer = (struct http_call_answer){ .code = 0, .body = calloc(1, 1), .body_bytes = 0 };
    ASSERT(answer->body != NULL);
    call.capacity = 1;
    length = snprintf(header, sizeof header,
                      "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json\r\n"
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                      request->method, request->target, body_bytes);
    if (length < 0 || (size_t)length >= sizeof header)
        return error_set(err, STATUS_INVALID, "the request's path is too long");
    status = http_link_open(&call.link, request, err);
    if (status == STATUS_OK)
        status = http_link_send(&call.link, header, (size_t)length, err);
    if (status == STATUS_OK && body_bytes > 0)
        status = http_link_send(&call.link, request->body, body_bytes, err);
    if (status == STATUS_OK)
        status = receive(&call, err);
    http_link_close(&call.link);
    return status;
}

void http_call_answer_free(struct http_call_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

bool http_encode(const char *text, char *out, size_t capacity_bytes)
{
    size_t used = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (used + (plain ? 1u : 3u) >= capacity_bytes)
            return false;
        if (plain)
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, capacity_bytes - used, "%%%02X", c);
    }
    if (capacity_bytes == 0)
        return false;
    out[used] = '\0';
    return true;
}
