/* libpq's keyword string, read as far as needed to refuse at load what io/pg would refuse at every connection: libpq itself must not look names
 * up, because that blocks, and is not linked into the programs that only check a file. */
#include "config_value.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

#define WORD_MAX 256

/* What libpq 15 knows; a keyword that it does not know is refused at every connection. */
static const char *const keywords[] = {
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
};

struct parts {
    char host[WORD_MAX], hostaddr[WORD_MAX], user[WORD_MAX], service[WORD_MAX];
    char unknown[WORD_MAX]; /* the first keyword that is none */
};

static bool is_keyword(const char *word)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (text_equal(keywords[i], word))
            return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *skip_spaces(const char *p)
{
    while (is_space(*p))
        p++;
    return p;
}

/* A value, quoted or not, with backslashes, of which libpq drops one that nothing follows; NULL when a quote is not closed or it is too long. */
static const char *read_value(const char *p, char out[WORD_MAX])
{
    bool quoted = *p == '\'';
    size_t used = 0;

    p += quoted;
    while (*p != '\0' && (quoted ? *p != '\'' : !is_space(*p))) {
        if (*p == '\\' && *++p == '\0')
            break;
        if (used + 1 == WORD_MAX)
            return NULL;
        out[used++] = *p++;
    }
    out[used] = '\0';
    if (quoted && *p != '\'')
        return NULL;
    return p + quoted;
}

static bool read_parts(const char *p, struct parts *parts)
{
    char keyword[WORD_MAX];
    char value[WORD_MAX];

    for (p = skip_spaces(p); *p != '\0'; p = skip_spaces(p)) {
        size_t length = strcspn(p, "= \t\r\n");

        if (length == 0 || length >= sizeof keyword)
            return false;
        memcpy(keyword, p, length);
        keyword[length] = '\0';
        p = skip_spaces(p + length);
        if (*p != '=')
            return false;
        p = read_value(skip_spaces(p + 1), value);
        if (p == NULL)
            return false;
        if (!is_keyword(keyword) && parts->unknown[0] == '\0')
            (void)text_copy(parts->unknown, WORD_MAX, keyword);
        if (text_equal(keyword, "host"))
            (void)text_copy(parts->host, WORD_MAX, value);
        else if (text_equal(keyword, "hostaddr"))
            (void)text_copy(parts->hostaddr, WORD_MAX, value);
        else if (text_equal(keyword, "user"))
            (void)text_copy(parts->user, WORD_MAX, value);
        else if (text_equal(keyword, "service"))
            (void)text_copy(parts->service, WORD_MAX, value);
    }
    return true;
}

bool config_value_check_conninfo(const char *text, char *why, size_t capacity_bytes)
{
    struct parts parts = { .host = "" };

    why[0] = '\0';
    if (!read_parts(text, &parts))
        text_set(why, capacity_bytes, "expected libpq's keywords: \"host=/run/postgresql port=5432 user=coord\"");
    else if (parts.unknown[0] != '\0')
        text_set(why, capacity_bytes, "libpq knows no keyword '%.40s'", parts.unknown);
    else if (parts.service[0] != '\0')
        text_set(why, capacity_bytes, "`service` is not supported: write its settings out");
    else if (parts.user[0] == '\0')
        text_set(why, capacity_bytes, "`user` is missing");
    else if (parts.hostaddr[0] != '\0' && !config_value_is_ip(parts.hostaddr))
        text_set(why, capacity_bytes, "hostaddr '%s' is no numeric address", parts.hostaddr);
    else if (parts.hostaddr[0] == '\0' && parts.host[0] == '\0')
        text_set(why, capacity_bytes, "`host` is missing: the directory of the server's socket, or a numeric address");
    else if (parts.hostaddr[0] == '\0' && parts.host[0] != '/' && !config_value_is_ip(parts.host))
        text_set(why, capacity_bytes,
                 "host '%s' is a name: write the directory of the server's socket, or a numeric address", parts.host);
    return why[0] == '\0';
}
