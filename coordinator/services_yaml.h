/* The replicated services file: YAML -> the core's configuration, and back. Decides what may be written and whether it is complete; whether
 * its numbers fit each other is core/policy's rule, reported here at the place where they stand. Site names become the numbers of the
 * replicated state, so reading needs to know them. */
#ifndef COORD_SERVICES_YAML_H
#define COORD_SERVICES_YAML_H

#include "base/limits.h"
#include "core/policy.h"
#include "io/yaml.h"

#define SERVICES_PATH_MAX_BYTES 160
#define SERVICES_VALUE_MAX_BYTES 4096 /* a deploy command, every byte escaped */

struct services_config {
    uint32_t count;
    struct service_config services[SERVICES_MAX];
};

/* What reading and printing need to know of the cluster. */
struct services_context {
    site_id (*site_of)(void *ctx, const char *name); /* SITE_NONE: the cluster has no such site */
    const char *(*site_name)(void *ctx, site_id site);
    void *ctx;
    const struct raft_timing
        *raft; /* of the cluster; NULL: take the one of each service's own profile (offline check) */
};

extern const struct yaml_schema services_schema;

/* Mistakes stay in `y`; with one, `out` is only partly filled. `out` is about 350 KiB: on the heap, please. */
void services_read(struct services_config *out, struct yaml *y, const struct services_context *context);

/* For an offline check: gives each new site name the next number. Use as ctx of services_offline_site / _name. */
struct services_offline {
    uint32_t count;
    char names[SITES_MAX][NAME_MAX_BYTES];
};
site_id services_offline_site(void *ctx, const char *name);
const char *services_offline_name(void *ctx, site_id site);

/* The file that would be read as exactly this configuration, every number written out. Gives: free() it. */
char *services_print(const struct services_config *config, const struct services_context *context);

/* Every value of a configuration with its path, "services/app/sites/site-b/postgres/host", in a fixed order. */
typedef void (*services_value)(void *ctx, const char *path, const char *value);
void services_flatten(const struct services_config *config, const struct services_context *context, services_value emit,
                      void *ctx);

/* What differs, path by path; `before` or `after` is NULL when it has no such value. Returns the number of differences. */
typedef void (*services_change)(void *ctx, const char *path, const char *before, const char *after);
size_t services_diff(const struct services_config *before, const struct services_config *after,
                     const struct services_context *context, services_change emit, void *ctx);

#endif
