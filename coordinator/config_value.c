#include "config_value.h"

#include "base/limits.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool config_value_is_name(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= NAME_MAX_BYTES || text[0] == '-' || text[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-')
            return false;
    return true;
}

bool config_value_is_path(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20)
            return false;
    for (const char *p = strstr(text, "/.."); p != NULL; p = strstr(p + 1, "/.."))
        if (p[3] == '/' || p[3] == '\0')
            return false;
    return text[0] == '/';
}

/* Canonical: what inet_ntop would print. Two spellings of one address would be two addresses to Raft. */
static bool ip_is_canonical(const char *text, bool *loopback, bool *six)
{
    unsigned char binary[16];
    char printed[INET6_ADDRSTRLEN];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

    if (inet_pton(family, text, binary) != 1 || inet_ntop(family, binary, printed, sizeof printed) == NULL)
        return false;
    *six = family == AF_INET6;
    *loopback = *six ? strcmp(printed, "::1") == 0 : binary[0] == 127;
    return strcmp(text, printed) == 0;
}

static bool port_is_canonical(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits >= 1 && digits <= 5 && text[digits] == '\0' && text[0] != '0' && strtol(text, NULL, 10) <= 65535;
}

static bool address_is_canonical(const char *text, bool *loopback)
{
    char ip[ADDRESS_MAX_BYTES];
    const char *colon = strrchr(text, ':');
    bool six = false;
    size_t length;

    if (colon == NULL || strlen(text) >= ADDRESS_MAX_BYTES)
        return false;
    length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (length < 3 || text[length - 1] != ']')
            return false;
        (void)snprintf(ip, sizeof ip, "%.*s", (int)length - 2, text + 1);
    } else {
        (void)snprintf(ip, sizeof ip, "%.*s", (int)length, text);
    }
    if (!ip_is_canonical(ip, loopback, &six) || six != (text[0] == '['))
        return false;
    return port_is_canonical(colon + 1);
}

bool config_value_is_address(const char *text)
{
    bool loopback = false;
    return address_is_canonical(text, &loopback);
}

bool config_value_is_node_address(const char *text)
{
    char host[ADDRESS_MAX_BYTES];
    const char *colon = strrchr(text, ':');

    if (config_value_is_address(text))
        return true;
    if (colon == NULL || strlen(text) >= ADDRESS_MAX_BYTES || !port_is_canonical(colon + 1))
        return false;
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    return config_value_is_host(host) && !config_value_is_ip(host);
}

bool config_value_is_loopback(const char *text)
{
    bool loopback = false;
    return address_is_canonical(text, &loopback) && loopback;
}

bool config_value_is_ip(const char *text)
{
    bool loopback = false, six = false;
    return ip_is_canonical(text, &loopback, &six);
}

bool config_value_is_domain(const char *text)
{
    size_t label = 0, length = strlen(text);

    if (length == 0 || length > 253 || text[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else {
            if (!is_lower(c) && !is_upper(c) && !is_digit(c) && c != '-' && c != '_')
                return false;
            if (++label > 63)
                return false;
        }
    }
    return true;
}

bool config_value_is_host(const char *text)
{
    size_t digits_and_dots = strspn(text, "0123456789.");

    if (config_value_is_ip(text))
        return true;
    return text[digits_and_dots] != '\0' && config_value_is_domain(text); /* 127.0.0.256 is no name */
}

bool config_value_is_url(const char *text)
{
    const char *host;

    if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    else if (strncmp(text, "https://", 8) == 0)
        host = text + 8;
    else
        return false;
    for (const char *p = host; *p != '\0'; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p == 0x7f)
            return false;
    return *host != '\0' && *host != '/' && *host != ':';
}

bool config_value_is_secret(const char *text)
{
    if (strncmp(text, "file:", 5) == 0)
        return config_value_is_path(text + 5);
    return strncmp(text, "env:", 4) == 0 && text[4] != '\0' && strpbrk(text + 4, " =") == NULL;
}
