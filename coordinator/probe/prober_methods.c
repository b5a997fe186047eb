/* The real probes of a target: three on PostgreSQL, one on its port, one on the application. */
#include "probe/prober.h"

#include "probe/probe_http.h"
#include "probe/probe_postgres.h"
#include "probe/probe_tcp.h"

static struct probe postgres(const struct prober_config *config, enum postgres_look look,
                             const struct prober_place *place)
{
    return probe_postgres_create(config->loop, &(struct probe_postgres_config){
                                                   .conninfo = place->conninfo, .look = look, .node = config->self });
}

/* The port is reached by the address that PostgreSQL is: a DNS server that does not answer says nothing about the path. */
static struct probe create(const struct prober_config *config, enum look look, const struct prober_place *place)
{
    const struct site_config *site = place->site;

    switch (look) {
    case LOOK_READ_FRESH:
        return postgres(config, POSTGRES_FRESH, place);
    case LOOK_READ_PERSISTENT:
        return postgres(config, POSTGRES_READ, place);
    case LOOK_CANARY:
        return postgres(config, POSTGRES_CANARY, place);
    case LOOK_TCP:
        return probe_tcp_create(config->loop, config->resolver,
                                &(struct probe_tcp_config){ .host = place->address, .port = site->port });
    case LOOK_HTTP:
        if (site->health_url[0] == '\0')
            break;
        return probe_http_create(config->http,
                                 &(struct probe_http_config){ .url = site->health_url, .fresh_connection = true });
    case LOOK_COUNT:
        break;
    }
    return (struct probe){ .method = NULL };
}

const struct prober_methods prober_methods_real = { .create = create,
                                                    .set_epoch = probe_postgres_set_epoch,
                                                    .view = probe_postgres_view };
