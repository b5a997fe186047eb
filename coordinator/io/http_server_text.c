#include "io/http_server_text.h"

#include <stdio.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* In place: the result is never longer. */
static bool decode(char *text, bool plus_is_space)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        if (*in == '%') {
            int high = hex(in[1]), low = high >= 0 ? hex(in[2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return false;
            *out++ = (char)(high * 16 + low);
            in += 2;
        } else {
            *out++ = *in == '+' && plus_is_space ? ' ' : *in;
        }
    }
    *out = '\0';
    return true;
}

bool http_target_parse(struct http_target *target)
{
    char *rest = strchr(target->text, '?'), *part;

    target->path = target->text;
    target->parameter_count = 0;
    if (target->text[0] != '/')
        return false;
    if (rest != NULL)
        *rest++ = '\0';
    if (!decode(target->text, false))
        return false;
    while (rest != NULL && (part = strsep(&rest, "&")) != NULL) {
        struct http_parameter *p = &target->parameters[target->parameter_count];
        char *value = strchr(part, '=');

        if (*part == '\0')
            continue;
        if (target->parameter_count == HTTP_PARAMETERS_MAX)
            return false;
        if (value != NULL)
            *value++ = '\0';
        if (!decode(part, true) || (value != NULL && !decode(value, true)))
            return false;
        p->key = part;
        p->value = value != NULL ? value : "";
        target->parameter_count++;
    }
    return true;
}

const char *http_parameter(const struct http_request *request, const char *key)
{
    for (size_t i = 0; i < request->parameter_count; i++)
        if (strcmp(request->parameters[i].key, key) == 0)
            return request->parameters[i].value;
    return NULL;
}

const char *http_reason(int code)
{
    static const struct {
        int code;
        const char *reason;
    } reasons[] = { { 200, "OK" },
                    { 202, "Accepted" },
                    { 400, "Bad Request" },
                    { 403, "Forbidden" },
                    { 404, "Not Found" },
                    { 405, "Method Not Allowed" },
                    { 408, "Request Timeout" },
                    { 409, "Conflict" },
                    { 413, "Payload Too Large" },
                    { 414, "URI Too Long" },
                    { 429, "Too Many Requests" },
                    { 431, "Request Header Fields Too Large" },
                    { 500, "Internal Server Error" },
                    { 503, "Service Unavailable" },
                    { 504, "Gateway Timeout" } };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].code == code)
            return reasons[i].reason;
    return "Status";
}

void http_refusal_body(int code, const char *message, char *out, size_t capacity_bytes)
{
    (void)snprintf(out, capacity_bytes, "{\"status\":\"%s\",\"message\":\"%s\",\"fix\":null}\n",
                   code == 408 ? "timed_out" : "invalid", message);
}
