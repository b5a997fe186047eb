/* Application evidence: a GET that must be answered with 2xx. The beginning of another answer's body goes into the detail. */
#ifndef COORD_PROBE_PROBE_HTTP_H
#define COORD_PROBE_PROBE_HTTP_H

#include <stdbool.h>

#include "io/http_client.h"
#include "probe/probe.h"

struct probe_http_config {
    const char *url;
    const char *host_header; /* NULL: as the URL has it */
    bool fresh_connection;   /* each look opens its own connection: a look over a kept one can hide a dead listener */
};

/* Copies `config`; borrows `client` until closed. */
struct probe probe_http_create(struct http_client *client, const struct probe_http_config *config);

#endif
