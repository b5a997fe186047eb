#include "ctl/ctl.h"

#include "base/text.h"
#include "io/clock.h"
#include "io/http_call.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define WATCH_MS 1000

/* NULL is "-" in a table already; elsewhere this. */
static const char *word(const struct json_t *object, const char *key)
{
    const char *text = json_look_text(object, key);
    return text != NULL ? text : "-";
}

/* Only when there is something to do. */
static void print_judgement(const struct ctl *ctl, const struct json_t *judgement)
{
    const char *way_out = json_look_text(judgement, "way_out");

    if (way_out == NULL)
        return;
    (void)fprintf(ctl->out, "%s%s%s: %s\n  way out: %s\n",
                  ctl_color_on(ctl, strcmp(word(judgement, "health"), "critical") == 0 ? CTL_RED : CTL_YELLOW),
                  word(judgement, "health"), ctl_color_off(ctl), word(judgement, "summary"), way_out);
}

static void print_heard(const struct ctl *ctl, const struct json_t *nodes)
{
    size_t heard = 0;

    for (size_t i = 0; i < json_item_count(nodes); i++)
        heard += json_look_bool(json_item(nodes, i), "heard") ? 1 : 0;
    (void)fprintf(ctl->out, "%zu of %zu nodes heard", heard, json_item_count(nodes));
    for (size_t i = 0; i < json_item_count(nodes); i++)
        if (!json_look_bool(json_item(nodes, i), "heard"))
            (void)fprintf(ctl->out, ", %s silent", word(json_item(nodes, i), "name"));
}

static void print_ways_to_a_leader(const struct ctl *ctl, const char *self, const struct json_t *nodes)
{
    const char *separator = "";

    (void)fprintf(ctl->out, "  way out: start coordd until a majority runs");
    for (size_t i = 0; i < json_item_count(nodes); i++)
        if (strcmp(word(json_item(nodes, i), "name"), self) != 0) {
            (void)fprintf(ctl->out, "%s%s", separator[0] != '\0' ? separator : ": ", word(json_item(nodes, i), "name"));
            separator = ", ";
        }
    (void)fprintf(ctl->out, "; if they are lost for good: coordctl members recover\n");
}

static void print_head(const struct ctl *ctl, const struct json_t *status)
{
    const struct json_t *node = json_look(status, "node"), *cluster = json_look(status, "cluster");
    const struct json_t *nodes = json_look(cluster, "nodes");
    const char *leader = json_look_text(cluster, "leader");

    (void)fprintf(ctl->out, "node %s at %s (%s)  ", word(node, "name"), word(node, "site"), word(node, "role"));
    if (leader != NULL) {
        (void)fprintf(ctl->out, "leader %s, term %" PRId64 "  ", leader, json_look_int(cluster, "term", 0));
        print_heard(ctl, nodes);
    } else {
        (void)fprintf(ctl->out, "%sno leader: nothing can be decided%s", ctl_color_on(ctl, CTL_RED),
                      ctl_color_off(ctl));
    }
    (void)fprintf(ctl->out, "  configuration %" PRId64 "\n", json_look_int(cluster, "config_version", 0));
    if (leader == NULL)
        print_ways_to_a_leader(ctl, word(node, "name"), nodes);
    ctl_say_warnings(ctl, cluster);
    print_judgement(ctl, json_look(node, "certificates"));
    print_judgement(ctl, json_look(node, "disk"));
}

static void print_sites(const struct ctl *ctl, const struct json_t *service)
{
    static const char *const headings[] = { "SITE", "ROLE", "VERDICT", "READY", "EXECUTOR", "POSTGRES", "OPINIONS" };
    const struct json_t *sites = json_look(service, "sites");
    struct ctl_table *table = ctl_table_create(headings, 7);

    for (size_t i = 0; i < json_item_count(sites); i++) {
        const struct json_t *site = json_item(sites, i);
        const char *role = word(site, "role");
        bool standby = strcmp(role, "standby") == 0;
        const char *ready = !standby                            ? "-"
                            : json_look_bool(site, "ready")     ? "yes"
                            : json_look_bool(site, "streaming") ? "no, lags"
                                                                : "no, not streaming";
        const char *cells[] = { json_look_text(site, "site"),     role,
                                json_look_text(site, "verdict"),  ready,
                                json_look_text(site, "executor"), json_look_text(site, "postgres"),
                                json_look_text(site, "evidence") };
        ctl_table_row(table, cells);
    }
    ctl_table_print(table, ctl, 2);
}

/* The steps alone: what it waits for stands in the service's summary. */
static void print_operation(const struct ctl *ctl, const struct json_t *operation)
{
    static const char *const headings[] = { "STEP", "SITE", "STATE", "NODE", "ATTEMPT", "TIME", "DETAIL" };
    const struct json_t *steps = json_look(operation, "steps");
    struct ctl_table *table = ctl_table_create(headings, 7);

    for (size_t i = 0; i < json_item_count(steps); i++) {
        const struct json_t *step = json_item(steps, i);
        int64_t started = json_look_int(step, "started_ms", 0), ended = json_look_int(step, "ended_ms", 0);
        char time[CTL_TIME_MAX_BYTES] = "-", attempt[16];
        const char *cells[] = { json_look_text(step, "step"),
                                json_look_text(step, "site"),
                                json_look_text(step, "state"),
                                json_look_text(step, "node"),
                                attempt,
                                time,
                                json_look_text(step, "detail") };

        text_set(attempt, sizeof attempt, "%" PRId64, json_look_int(step, "attempt", 0));
        if (started > 0 && ended >= started)
            ctl_span(ended - started, time);
        ctl_table_row(table, cells);
    }
    ctl_table_print(table, ctl, 2);
}

static void print_service(const struct ctl *ctl, const struct json_t *service)
{
    const char *health = word(service, "health"), *way_out = json_look_text(service, "way_out");
    const struct json_t *lease = json_look(service, "lease");

    (void)fprintf(ctl->out, "\n%s%s%s  %s%s%s  mode %s, %s%s  epoch %" PRId64 "  lease %s", ctl_color_on(ctl, CTL_BOLD),
                  word(service, "name"), ctl_color_off(ctl), ctl_color_on(ctl, ctl_color_of(health)), health,
                  ctl_color_off(ctl), word(service, "mode"), json_look_bool(service, "armed") ? "armed" : "not armed",
                  json_look_bool(service, "paused") ? ", paused" : "", json_look_int(service, "epoch", 0),
                  word(lease, "state"));
    if (strcmp(word(lease, "enforcement"), "none") != 0)
        (void)fprintf(ctl->out, ", enforced by %s", word(lease, "enforcement"));
    (void)fprintf(ctl->out, "\n  %s\n", word(service, "summary"));
    if (way_out != NULL)
        (void)fprintf(ctl->out, "  way out: %s\n", way_out);
    print_sites(ctl, service);
    if (!json_look_null(service, "operation"))
        print_operation(ctl, json_look(service, "operation"));
}

/* Prints one look; `only` NULL: every service. */
static int print_status(const struct ctl *ctl, const struct json_t *status, const char *only)
{
    const struct json_t *services = json_look(status, "services");
    bool found = false;

    for (size_t i = 0; i < json_item_count(services) && only != NULL; i++)
        found = found || strcmp(word(json_item(services, i), "name"), only) == 0;
    if (only != NULL && !found)
        return ctl_fail(ctl, STATUS_NOT_FOUND, "coordctl status", "there is no service '%s'", only);
    if (ctl->json) {
        for (size_t i = 0; i < json_item_count(services) && only != NULL; i++)
            if (strcmp(word(json_item(services, i), "name"), only) == 0)
                ctl_print_json(ctl, json_item(services, i));
        if (only == NULL)
            ctl_print_json(ctl, status);
        return CTL_OK;
    }
    print_head(ctl, status);
    if (json_item_count(services) == 0 && json_look_text(json_look(status, "cluster"), "leader") != NULL)
        (void)fprintf(ctl->out, "\nno service is configured\n  way out: coordctl apply -f services.yaml\n");
    for (size_t i = 0; i < json_item_count(services); i++)
        if (only == NULL || strcmp(word(json_item(services, i), "name"), only) == 0)
            print_service(ctl, json_item(services, i));
    return CTL_OK;
}

int ctl_status(const struct ctl *ctl)
{
    const char *only = ctl->operand_count > 0 ? ctl->operands[0] : ctl->service;

    for (;;) {
        int exit_code;
        struct json_t *status = ctl_call(ctl, "GET", "/v1/status", NULL, &exit_code);

        if (status != NULL) {
            if (ctl->watch && ctl->color)
                (void)fprintf(ctl->out, "\033[H\033[2J");
            exit_code = print_status(ctl, status, only);
            json_free(status);
        }
        if (!ctl->watch)
            return exit_code;
        (void)fflush(ctl->out); /* a node that is restarted answers again: keep watching */
        (void)usleep(WATCH_MS * 1000);
    }
}

int ctl_why(const struct ctl *ctl)
{
    const char *service = ctl->operand_count > 0 ? ctl->operands[0] : ctl->service;
    char encoded[128], target[160], at[CTL_TIME_MAX_BYTES];
    const struct json_t *gates, *lines;
    struct json_t *why;
    int exit_code;

    if (service == NULL)
        return ctl_usage(ctl, "why: name the service");
    if (!http_encode(service, encoded, sizeof encoded))
        return ctl_usage(ctl, "why: the name is too long");
    text_set(target, sizeof target, "/v1/services/%s/why", encoded);
    why = ctl_call(ctl, "GET", target, NULL, &exit_code);
    if (why == NULL)
        return exit_code;
    if (ctl->json) {
        ctl_print_json(ctl, why);
        json_free(why);
        return CTL_OK;
    }
    (void)fprintf(ctl->out, "%s: %s\n", word(why, "service"), word(why, "summary"));
    if (json_look_text(why, "way_out") != NULL)
        (void)fprintf(ctl->out, "  way out: %s\n", json_look_text(why, "way_out"));
    gates = json_look(why, "gates");
    if (json_item_count(gates) > 0)
        (void)fprintf(ctl->out, "\nWould an automatic failover to %s start now?\n", word(why, "target"));
    for (size_t i = 0; i < json_item_count(gates); i++) {
        const struct json_t *gate = json_item(gates, i);
        bool passed = json_look_bool(gate, "passed");
        (void)fprintf(ctl->out, "  %s%-3s%s  %-10s  %s\n", ctl_color_on(ctl, passed ? CTL_GREEN : CTL_RED),
                      passed ? "yes" : "no", ctl_color_off(ctl), word(gate, "gate"),
                      passed ? "" : word(gate, "reason"));
    }
    lines = json_look(why, "lines");
    (void)fprintf(ctl->out, "\nWhat happened\n");
    for (size_t i = 0; i < json_item_count(lines); i++) {
        const struct json_t *line = json_item(lines, i);
        ctl_time(json_look_int(line, "at_ms", 0), true, at);
        (void)fprintf(ctl->out, "  %s  %-11s %s\n", at, word(line, "event"), word(line, "text"));
    }
    json_free(why);
    return CTL_OK;
}
