#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "io/pg_internal.h"

static bool is_address(const char *text)
{
    unsigned char binary[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1;
}

static void keyword_add(struct pg_keywords *k, const char *keyword, const char *value)
{
    ASSERT(k->count < PG_KEYWORDS_MAX);
    k->keywords[k->count] = keyword;
    k->values[k->count] = value;
    k->count++;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL && o->val[0] != '\0')
            return o->val;
    return NULL;
}

/* libpq looks names up with getaddrinfo, also in its asynchronous calls: only addresses and directories may reach it. */
static enum status hosts_check(const PQconninfoOption *options, struct error *err)
{
    const char *host = value_of(options, "host");
    const char *hostaddr = value_of(options, "hostaddr");

    if (value_of(options, "service") != NULL)
        return error_set(err, STATUS_INVALID, "conninfo: `service` is not supported: write its settings out");
    if (value_of(options, "user") == NULL)
        return error_set(err, STATUS_INVALID, "conninfo: `user` is missing");
    if (hostaddr != NULL && !is_address(hostaddr))
        return error_set(err, STATUS_INVALID, "conninfo: hostaddr \"%s\" is not a numeric address", hostaddr);
    if (hostaddr != NULL)
        return STATUS_OK;
    if (host == NULL)
        return error_set(err, STATUS_INVALID, "conninfo: `host` is missing: a socket's directory or an address");
    if (host[0] != '/' && !is_address(host))
        return error_set(err, STATUS_INVALID, "conninfo: host \"%s\" is neither a directory nor a numeric address",
                         host);
    return STATUS_OK;
}

enum status pg_keywords_parse(struct pg_keywords *k, const char *conninfo, const char *options, struct error *err)
{
    char *message = NULL;
    const char *host;

    memset(k, 0, sizeof *k);
    k->parsed = PQconninfoParse(conninfo, &message);
    if (k->parsed == NULL) {
        PQfreemem(message); /* libpq's message may repeat a piece of the string, and with it a password */
        return error_set(err, STATUS_INVALID, "conninfo is not of the form \"host=... user=...\"");
    }
    if (hosts_check(k->parsed, err) != STATUS_OK) {
        pg_keywords_free(k);
        return err->status;
    }
    for (const PQconninfoOption *o = k->parsed; o->keyword != NULL && k->count < PG_KEYWORDS_MAX - 8; o++)
        if (o->val != NULL && o->val[0] != '\0')
            keyword_add(k, o->keyword, o->val);
    host = value_of(k->parsed, "host");
    if (host != NULL && host[0] != '/' && value_of(k->parsed, "hostaddr") == NULL)
        keyword_add(k, "hostaddr", host);
    if (value_of(k->parsed, "gssencmode") == NULL)
        keyword_add(k, "gssencmode", "disable"); /* "prefer" would ask Kerberos, which blocks */
    if (value_of(k->parsed, "application_name") == NULL)
        keyword_add(k, "application_name", "coordd");
    keyword_add(k, "client_encoding", "UTF8");
    if (options != NULL)
        keyword_add(k, "options", options);
    return STATUS_OK;
}

void pg_keywords_free(struct pg_keywords *k)
{
    PQconninfoFree(k->parsed);
    k->parsed = NULL;
    k->count = 0;
}

/* Appends keyword='value' with libpq's quoting; false when it does not fit. */
static bool part_add(char *out, size_t capacity_bytes, const char *keyword, const char *value)
{
    size_t used = strlen(out);
    int written;

    if (value == NULL || value[0] == '\0')
        return true;
    written = snprintf(out + used, capacity_bytes - used, "%s%s='", used == 0 ? "" : " ", keyword);
    if (written < 0 || (size_t)written >= capacity_bytes - used)
        return false;
    used += (size_t)written;
    for (; *value != '\0'; value++) {
        if (used + 4 > capacity_bytes)
            return false;
        if (*value == '\'' || *value == '\\')
            out[used++] = '\\';
        out[used++] = *value;
    }
    if (used + 2 > capacity_bytes)
        return false;
    out[used++] = '\'';
    out[used] = '\0';
    return true;
}

enum status pg_conninfo_format(char *out, size_t capacity_bytes, const char *host, uint16_t port, const char *user,
                               const char *dbname, const char *password, struct error *err)
{
    char number[8] = "";

    ASSERT(capacity_bytes > 0);
    out[0] = '\0';
    if (port != 0)
        text_set(number, sizeof number, "%u", (unsigned)port);
    if (!part_add(out, capacity_bytes, "host", host) || !part_add(out, capacity_bytes, "port", number) ||
        !part_add(out, capacity_bytes, "user", user) || !part_add(out, capacity_bytes, "dbname", dbname) ||
        !part_add(out, capacity_bytes, "password", password)) {
        out[0] = '\0';
        return error_set(err, STATUS_FULL, "conninfo is longer than %zu bytes", capacity_bytes - 1);
    }
    return STATUS_OK;
}
