#include "io/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

bool address_parse(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    char bare[INET6_ADDRSTRLEN];
    size_t length = strlen(text);

    memset(out, 0, sizeof *out);
    if (length > 2 && text[0] == '[' && text[length - 1] == ']' && length - 2 < sizeof bare) {
        memcpy(bare, text + 1, length - 2);
        bare[length - 2] = '\0';
        text = bare;
    }
    if (text != bare && inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof v6);
        return true;
    }
    return false;
}

const char *address_text(const struct sockaddr_storage *address, bool with_port, char *out, size_t capacity_bytes)
{
    char text[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    if (address->ss_family == AF_INET) {
        (void)inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        if (with_port)
            (void)snprintf(out, capacity_bytes, "%s:%u", text, ntohs(v4->sin_port));
    } else {
        ASSERT(address->ss_family == AF_INET6);
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        if (with_port)
            (void)snprintf(out, capacity_bytes, "[%s]:%u", text, ntohs(v6->sin6_port));
    }
    if (!with_port)
        (void)snprintf(out, capacity_bytes, "%s", text);
    return out;
}

void address_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
}

socklen_t address_bytes(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static enum status port_parse(const char *text, uint16_t *port)
{
    char *end;
    unsigned long value;

    if (text[0] < '0' || text[0] > '9')
        return STATUS_INVALID;
    value = strtoul(text, &end, 10);
    if (*end != '\0' || value == 0 || value > UINT16_MAX)
        return STATUS_INVALID;
    *port = (uint16_t)value;
    return STATUS_OK;
}

enum status address_split(const char *text, uint16_t default_port, char *host, uint16_t *port, struct error *err)
{
    const char *begin = text, *end = text + strlen(text), *port_text = NULL;
    const char *first_colon = strchr(text, ':');

    if (text[0] == '[') {
        begin = text + 1;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return error_set(err, STATUS_INVALID, "'%.100s': expected [address]:port", text);
        if (end[1] == ':')
            port_text = end + 2;
    } else if (first_colon != NULL && strchr(first_colon + 1, ':') == NULL) { /* two colons: a bare v6 address */
        end = first_colon;
        port_text = first_colon + 1;
    }
    if (end == begin || (size_t)(end - begin) >= HOST_TEXT_MAX)
        return error_set(err, STATUS_INVALID, "'%.100s': expected host or host:port", text);
    *port = default_port;
    if (port_text != NULL && port_parse(port_text, port) != STATUS_OK)
        return error_set(err, STATUS_INVALID, "'%.100s': '%.20s' is no port (1 to 65535)", text, port_text);
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return STATUS_OK;
}
