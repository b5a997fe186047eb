/* The text of HTTP that http_server.c needs: request targets taken apart, status lines, the body of its own refusals. Pure. */
#ifndef COORD_IO_HTTP_SERVER_TEXT_H
#define COORD_IO_HTTP_SERVER_TEXT_H

#include "io/http_server.h"

struct http_target {
    char text[HTTP_TARGET_MAX_BYTES + 1]; /* as sent; taken apart in place */
    const char *path;
    struct http_parameter parameters[HTTP_PARAMETERS_MAX];
    size_t parameter_count;
};

/* False when it is no absolute path, an escape is broken or stands for NUL, or there are too many parameters. */
bool http_target_parse(struct http_target *target);

/* "Not Found"; "Status" for a code without a name of its own. */
const char *http_reason(int code);

/* {"status":"invalid","message":"...","fix":null} as docs/openapi.yaml describes; `message` is our own text without quotes. */
void http_refusal_body(int code, const char *message, char *out, size_t capacity_bytes);

#endif
