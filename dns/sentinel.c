#include "dns/sentinel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static enum status name_set(char *out, const char *name, size_t length_bytes)
{
    if (length_bytes == 0 || length_bytes >= NAME_MAX_BYTES)
        return STATUS_INVALID;
    for (size_t i = 0; i < length_bytes; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return STATUS_INVALID;
    memset(out, 0, NAME_MAX_BYTES);
    memcpy(out, name, length_bytes);
    return STATUS_OK;
}

enum status sentinel_set(struct sentinel *out, epoch_t epoch, const char *service, const char *site, struct error *err)
{
    out->epoch = epoch;
    if (name_set(out->service, service, strlen(service)) != STATUS_OK)
        return error_set(err, STATUS_INVALID, "'%.60s' cannot be a service's name in DNS", service);
    if (name_set(out->site, site, strlen(site)) != STATUS_OK)
        return error_set(err, STATUS_INVALID, "'%.60s' cannot be a site's name in DNS", site);
    return STATUS_OK;
}

void sentinel_format(const struct sentinel *s, char *out, size_t capacity_bytes)
{
    (void)snprintf(out, capacity_bytes, "epoch=%" PRIu64 " service=%s site=%s", s->epoch, s->service, s->site);
}

/* Takes "key=" at *text and the value up to the next space into out. */
static enum status field(const char **text, const char *key, char *out)
{
    size_t key_bytes = strlen(key), value_bytes;

    if (strncmp(*text, key, key_bytes) != 0)
        return STATUS_INVALID;
    value_bytes = strcspn(*text + key_bytes, " ");
    if (name_set(out, *text + key_bytes, value_bytes) != STATUS_OK)
        return STATUS_INVALID;
    *text += key_bytes + value_bytes;
    *text += strspn(*text, " ");
    return STATUS_OK;
}

enum status sentinel_parse(struct sentinel *out, const char *text)
{
    char epoch[NAME_MAX_BYTES], *end;

    memset(out, 0, sizeof *out);
    if (field(&text, "epoch=", epoch) != STATUS_OK || epoch[0] < '0' || epoch[0] > '9')
        return STATUS_INVALID;
    errno = 0;
    out->epoch = strtoull(epoch, &end, 10);
    if (errno != 0 || *end != '\0')
        return STATUS_INVALID;
    if (field(&text, "service=", out->service) != STATUS_OK)
        return STATUS_INVALID;
    return field(&text, "site=", out->site); /* a later version may write more behind it */
}
