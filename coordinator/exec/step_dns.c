/* The service's name is pointed at the target's address, under the run's epoch: a late duplicate is refused by the authority. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dns/rfc2136.h"
#include "exec/steps.h"
#include "io/clock.h"

_Static_assert(RFC2136_SERVERS_MAX >= DNS_SERVERS_MAX, "every configured server can be used");

struct dns_step {
    struct step_attempt *a;
    struct rfc2136 *method; /* NULL once it ends */
    char address[ADDRESS_MAX_BYTES];
    struct step_pause pause; /* to end from the loop: the method is not destroyed under its own callback */
};

static void on_closed(struct step_attempt *a)
{
    struct dns_step *d = a->self;

    if (d->method != NULL)
        rfc2136_destroy(d->method);
    free(d);
    step_end(a);
}

static void on_published(void *ctx, const struct dns_published *result, const struct error *err)
{
    struct dns_step *d = ctx;
    struct step_attempt *a = d->a;

    if (err != NULL)
        step_failed(a, "%s", err->text);
    else
        step_ok(a, "%s %.64s -> %s at %s, epoch %" PRIu64 "%s", strchr(d->address, ':') != NULL ? "AAAA" : "A",
                a->config.dns.name, d->address, result->server, a->epoch,
                result->changed ? "" : " (it was so already)");
    step_pause_close(&d->pause, on_closed);
}

static enum status method_create(struct dns_step *d, struct error *err)
{
    const struct step_attempt *a = d->a;
    const char *servers[DNS_SERVERS_MAX];
    struct rfc2136_config config = { .servers = servers, .server_count = a->config.dns.server_count };
    enum status status = tsig_key_read(a->config.dns.key, &config.key, err);

    for (unsigned i = 0; i < a->config.dns.server_count; i++)
        servers[i] = a->config.dns.servers[i];
    if (status == STATUS_OK)
        status = rfc2136_create(a->env->loop, a->env->resolver, &config, &d->method, err);
    tsig_key_wipe(&config.key);
    return status;
}

static void begin(struct step_attempt *a)
{
    const struct dns_config *dns = &a->config.dns;
    struct error err = ERROR_NONE;
    const struct site_config *site;
    struct dns_publish request;
    struct dns_step *d;

    if (dns->method == DNS_NONE) {
        step_end_ok(a, "no DNS configured");
        return;
    }
    site = step_site(a);
    if (site == NULL)
        return;
    d = step_memory(sizeof *d);
    d->a = a;
    memcpy(d->address, site->publish_address, sizeof d->address);
    if (method_create(d, &err) != STATUS_OK) {
        free(d);
        step_end_failed(a, "%s", err.text);
        return;
    }
    a->self = d;
    step_pause_init(&d->pause, a);
    request = (struct dns_publish){ .zone = dns->zone,
                                    .name = dns->name,
                                    .address = d->address,
                                    .ttl_s = dns->ttl_s,
                                    .epoch = a->epoch,
                                    .service = a->config.name,
                                    .site = a->site_name,
                                    .t0_us = clock_now_us(),
                                    .deadline_ms = step_left_ms(a) };
    step_waits(a, "an authority of %.64s to take the update to %s", dns->name, d->address);
    dns_rfc2136.begin(d->method, &request, on_published, d);
}

static void cancel(struct step_attempt *a)
{
    struct dns_step *d = a->self;

    if (!uv_is_closing((const uv_handle_t *)&d->pause.timer))
        dns_rfc2136.cancel(d->method);
}

const struct step_method step_dns = { .begin = begin, .cancel = cancel };
