/* What this node shows to the others and whom it believes: read at start, and again on SIGHUP and within a minute after a file has changed. What
 * cannot be read is logged, and what was read before stays in force. Connections live on through all of it, also past the end of the
 * certificate that they began with: a cluster must not fall apart by the clock, and nobody can connect anew. */
#include "daemon.h"

#include "base/check.h"
#include "io/clock.h"
#include "io/log.h"

#include <inttypes.h>

#define LOOK_MS (60 * 1000)

static void say_expiry(struct daemon *d)
{
    char summary[TLS_EXPIRY_TEXT_MAX_BYTES], way_out[TLS_EXPIRY_TEXT_MAX_BYTES];
    struct tls_validity validity = tls_context_validity(d->tls);
    enum tls_expiry expiry = tls_expiry_say(&validity, clock_wall_ms() / 1000, summary, way_out);

    if (expiry != d->tls_expiry_said && expiry != TLS_EXPIRY_FAR)
        log_event(expiry == TLS_EXPIRY_NOW ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "certificate_expires",
                  "node=%s certificate=%s reason=%s way_out=%s", daemon_name(d), d->config.tls.certificate, summary,
                  way_out);
    d->tls_expiry_said = expiry;
}

static void reload(struct daemon *d, const char *why)
{
    struct error err = ERROR_NONE;

    if (tls_context_reload(d->tls, &err) == STATUS_OK)
        log_event(LOG_LEVEL_INFO, "certificates_read", "node=%s because=%s certificate=%s ends_s=%" PRId64,
                  daemon_name(d), why, d->config.tls.certificate, tls_context_validity(d->tls).certificate_end_s);
    else
        log_event(LOG_LEVEL_ERROR, "certificates_not_read", "node=%s because=%s error=%s action=%s", daemon_name(d),
                  why, err.text, "those read before stay in force");
    say_expiry(d);
}

static void on_look(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    if (tls_context_stale(d->tls))
        reload(d, "changed");
    else
        say_expiry(d);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;

    (void)number;
    if (d->closing)
        return;
    if (d->tls != NULL)
        reload(d, "SIGHUP");
    else
        log_event(LOG_LEVEL_INFO, "certificates_read", "node=%s because=SIGHUP certificate=none", daemon_name(d));
}

enum status daemon_tls_open(struct daemon *d, struct error *err)
{
    struct tls_files files = { .certificate = d->config.tls.certificate,
                               .key = d->config.tls.key,
                               .authority = d->config.tls.authority };

    d->tls_look.data = d->hangup.data = d;
    ASSERT(uv_timer_init(&d->loop, &d->tls_look) == 0);
    ASSERT(uv_signal_init(&d->loop, &d->hangup) == 0);
    ASSERT(uv_signal_start(&d->hangup, on_hangup, SIGHUP) == 0);
    if (!d->config.tls_given)
        return STATUS_OK;
    d->tls = tls_context_create(&files, err);
    if (d->tls == NULL)
        return err->status;
    say_expiry(d);
    ASSERT(uv_timer_start(&d->tls_look, on_look, LOOK_MS, LOOK_MS) == 0);
    return STATUS_OK;
}
