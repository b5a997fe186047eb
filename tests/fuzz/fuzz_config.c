/* The node's file. A file that is read without a mistake obeys the rules that coordd relies on; one with mistakes says each at a place
 * that it has. */
#include "config.h"
#include "config_value.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct node_config *c)
{
    const struct config_member *own = NULL;

    ASSERT(config_value_is_name(c->node) && config_value_is_name(c->site) && config_value_is_path(c->data_dir));
    ASSERT(c->cluster_count > 0 && c->cluster_count <= NODES_MAX && c->local_count <= SERVICES_MAX);
    ASSERT(c->tls_given != c->insecure_loopback);
    if (c->tls_given)
        ASSERT(config_value_is_path(c->tls.certificate) && config_value_is_path(c->tls.key) &&
               config_value_is_path(c->tls.authority));
    for (uint32_t i = 0; i < c->cluster_count; i++) {
        const struct config_member *m = &c->cluster[i];

        ASSERT(m->id > 0 && config_value_is_name(m->node) && config_value_is_node_address(m->address));
        ASSERT(c->tls_given || config_value_is_loopback(m->address));
        if (strcmp(m->node, c->node) == 0)
            own = m;
    }
    ASSERT(own != NULL && own->id == c->id && own->witness == c->witness);
    ASSERT(config_value_is_address(c->listen) && strcmp(own->site, c->site) == 0);
    ASSERT(!config_value_is_address(own->address) || strcmp(own->address, c->listen) == 0);
    ASSERT((unsigned)c->timing < PROFILE_COUNT && raft_timing_of(c->timing).election_ms > 0);
    for (uint32_t i = 0; i < c->local_count; i++)
        ASSERT(config_value_is_name(c->local[i].service) && c->local[i].conninfo[0] != '\0' && !c->witness);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct node_config config;
    struct error err = ERROR_NONE;
    char *bytes = fuzz_text(data, size), *report;
    struct yaml *y = yaml_from_bytes("node.yaml", bytes, size);
    int lines = 2; /* the end of the file counts as one more */

    free(bytes); /* it was copied */
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' ? 1 : 0;
    config_read(&config, y);
    report = yaml_report(y);
    ASSERT((yaml_result(y, &err) == STATUS_OK) == (report[0] == '\0'));
    for (size_t i = 0; i < yaml_error_count(y); i++)
        ASSERT(yaml_error_at(y, i)->line <= lines && yaml_error_at(y, i)->text[0] != '\0');
    if (yaml_error_count(y) == 0)
        check(&config);
    free(report);
    yaml_destroy(y);
    return 0;
}
