#include "io/tls_expiry.h"

#include "base/text.h"

#include <inttypes.h>
#include <time.h>

#define DAY_S (24 * 60 * 60)

static enum tls_expiry expiry_of(int64_t end_s, int64_t now_s)
{
    int64_t left_s = end_s - now_s;

    if (left_s <= 0)
        return TLS_EXPIRY_NOW;
    if (left_s <= DAY_S)
        return TLS_EXPIRY_DAY;
    if (left_s <= 7 * DAY_S)
        return TLS_EXPIRY_WEEK;
    return left_s <= 30 * DAY_S ? TLS_EXPIRY_MONTH : TLS_EXPIRY_FAR;
}

static void utc(int64_t at_s, char out[32])
{
    time_t seconds = (time_t)at_s;
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &parts) == 0)
        text_set(out, 32, "?");
}

enum tls_expiry tls_expiry_say(const struct tls_validity *v, int64_t now_s, char summary[TLS_EXPIRY_TEXT_MAX_BYTES],
                               char way_out[TLS_EXPIRY_TEXT_MAX_BYTES])
{
    bool authority = v->authority_end_s < v->certificate_end_s;
    int64_t end_s = authority ? v->authority_end_s : v->certificate_end_s;
    const char *what = authority ? "the authority of this node's certificate" : "this node's certificate";
    enum tls_expiry expiry = expiry_of(end_s, now_s);
    char when[32];

    summary[0] = way_out[0] = '\0';
    if (now_s < v->certificate_begin_s) {
        utc(v->certificate_begin_s, when);
        text_set(summary, TLS_EXPIRY_TEXT_MAX_BYTES,
                 "this node's certificate is not valid before %s: no other node takes it", when);
        text_set(way_out, TLS_EXPIRY_TEXT_MAX_BYTES, "set this host's clock (timedatectl), or wait");
        return TLS_EXPIRY_NOW;
    }
    if (expiry == TLS_EXPIRY_FAR)
        return expiry;
    utc(end_s, when);
    if (expiry == TLS_EXPIRY_NOW)
        text_set(summary, TLS_EXPIRY_TEXT_MAX_BYTES,
                 "%s has expired (%s): no new connection to another node is possible", what, when);
    else
        text_set(summary, TLS_EXPIRY_TEXT_MAX_BYTES, "%s ends in %" PRId64 " %s (%s)", what,
                 expiry == TLS_EXPIRY_DAY ? (end_s - now_s) / 3600 : (end_s - now_s) / DAY_S,
                 expiry == TLS_EXPIRY_DAY ? "hours" : "days", when);
    text_set(way_out, TLS_EXPIRY_TEXT_MAX_BYTES, "%s",
             authority
                 ? "coordctl pki init makes another authority; every node believes both while the certificates are "
                   "replaced (docs/certificates.md)"
                 : "coordctl pki node makes another one; put it in place of the old files: it is read within a minute");
    return expiry;
}
