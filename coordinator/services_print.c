/* One walk over a configuration visits every value in a fixed order; the flat list, the difference and the printed file are three
 * visitors. A value that the walk forgets would be lost by print and invisible to diff: the unit test reads back what was printed and
 * compares the bytes. */
#include "services_yaml.h"

#include "base/check.h"
#include "io/yaml_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct visitor {
    void (*begin)(void *ctx, const char *key,
                  const char *item); /* a mapping or list `key`; or an item, named by key: item */
    void (*value)(void *ctx, const char *key, const char *text);
    void (*end)(void *ctx);
    void *ctx;
    const struct services_context *context;
};

static void value_number(const struct visitor *v, const char *key, enum yaml_type type, int64_t value)
{
    const struct yaml_field field = { .key = key, .type = type };
    char text[YAML_VALUE_MAX_BYTES];

    yaml_value_print(&field, value, text);
    v->value(v->ctx, key, text);
}

/* Appends `text` in double quotes, as YAML and JSON both read it. */
static size_t quote(char *out, size_t used, size_t capacity, const char *text)
{
    ASSERT(used + strlen(text) * 6 + 3 <= capacity);
    out[used++] = '"';
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            used += (size_t)snprintf(out + used, capacity - used, "\\u%04x", (unsigned)*text);
            continue;
        }
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
        out[used++] = *text;
    }
    out[used++] = '"';
    out[used] = '\0';
    return used;
}

/* Empty text is not written: it is what reading gives for an absent key. */
static void value_text(const struct visitor *v, const char *key, const char *text)
{
    char quoted[SERVICES_VALUE_MAX_BYTES];

    if (text[0] == '\0')
        return;
    (void)quote(quoted, 0, sizeof quoted, text);
    v->value(v->ctx, key, quoted);
}

/* [ "one", "two" ]; `stride` 0: the texts follow each other, each with its NUL. */
static void value_list(const struct visitor *v, const char *key, const char *item, size_t stride, unsigned count)
{
    char list[SERVICES_VALUE_MAX_BYTES];
    size_t used = 0;

    if (count == 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        list[used++] = i == 0 ? '[' : ',';
        list[used++] = ' ';
        used = quote(list, used, sizeof list - 2, item);
        item += stride != 0 ? stride : strlen(item) + 1;
    }
    memcpy(list + used, " ]", 3);
    v->value(v->ctx, key, list);
}

static void visit_timing(const struct visitor *v, const struct timing *t)
{
    v->begin(v->ctx, "timing", NULL);
    value_number(v, "renew", YAML_DURATION, t->renew_ms);
    value_number(v, "margin", YAML_DURATION, t->margin_ms);
    value_number(v, "ttl", YAML_DURATION, t->ttl_ms);
    value_number(v, "probe_interval", YAML_DURATION, t->probe_interval_ms);
    value_number(v, "probe_timeout", YAML_DURATION, t->probe_timeout_ms);
    value_number(v, "rise", YAML_INT, t->probe_rise);
    value_number(v, "fall", YAML_INT, t->probe_fall);
    value_number(v, "hold_down", YAML_DURATION, t->hold_down_ms);
    value_number(v, "local_grace", YAML_DURATION, t->local_grace_ms);
    value_number(v, "lockout", YAML_DURATION, t->lockout_ms);
    v->end(v->ctx);
}

static void visit_site(const struct visitor *v, const struct site_config *site)
{
    v->begin(v->ctx, "site", v->context->site_name(v->context->ctx, site->site));
    v->begin(v->ctx, "postgres", NULL);
    value_text(v, "host", site->host);
    value_number(v, "port", YAML_INT, site->port);
    value_text(v, "user", site->user);
    value_text(v, "dbname", site->dbname);
    value_text(v, "password", site->password);
    v->end(v->ctx);
    value_text(v, "health", site->health_url);
    value_text(v, "address", site->publish_address);
    value_list(v, "deploy", site->deploy.bytes, 0, site->deploy.count);
    v->end(v->ctx);
}

static void visit_dns(const struct visitor *v, const struct dns_config *dns)
{
    if (dns->method == DNS_NONE)
        return;
    v->begin(v->ctx, "dns", NULL);
    v->value(v->ctx, "method", "rfc2136");
    value_text(v, "zone", dns->zone);
    value_text(v, "name", dns->name);
    value_number(v, "ttl", YAML_INT, dns->ttl_s);
    value_list(v, "servers", dns->servers[0], sizeof dns->servers[0], dns->server_count);
    value_text(v, "key", dns->key);
    v->end(v->ctx);
}

static void visit_service(const struct visitor *v, const struct service_config *service)
{
    v->begin(v->ctx, "name", service->name);
    v->value(v->ctx, "profile", timing_profile_word(service->profile));
    v->value(v->ctx, "mode", mode_word(service->mode));
    value_number(v, "tier", YAML_INT, service->tier);
    v->value(v->ctx, "primary", v->context->site_name(v->context->ctx, service->primary));
    v->value(v->ctx, "accept_vm_pause", service->accept_vm_pause ? "true" : "false");
    value_number(v, "max_lag", YAML_SIZE, (int64_t)service->max_lag_bytes);
    value_number(v, "max_lag_seconds", YAML_INT, service->max_lag_ms / 1000);
    visit_timing(v, &service->timing);
    v->begin(v->ctx, "sites", NULL);
    for (uint8_t i = 0; i < service->site_count; i++)
        visit_site(v, &service->sites[i]);
    v->end(v->ctx);
    visit_dns(v, &service->dns);
    v->end(v->ctx);
}

static void visit(const struct visitor *v, const struct services_config *config)
{
    v->begin(v->ctx, "services", NULL);
    for (uint32_t i = 0; i < config->count; i++)
        visit_service(v, &config->services[i]);
    v->end(v->ctx);
}

/* ---- the flat list ---- */

struct flat {
    char path[SERVICES_PATH_MAX_BYTES]; /* "services/app/" */
    services_value emit;
    void *ctx;
};

static void flat_begin(void *ctx, const char *key, const char *item)
{
    struct flat *f = ctx;
    size_t used = strlen(f->path);
    (void)snprintf(f->path + used, sizeof f->path - used, "%s/", item != NULL ? item : key);
}

static void flat_value(void *ctx, const char *key, const char *text)
{
    struct flat *f = ctx;
    size_t used = strlen(f->path);

    (void)snprintf(f->path + used, sizeof f->path - used, "%s", key);
    f->emit(f->ctx, f->path, text);
    f->path[used] = '\0';
}

static void flat_end(void *ctx)
{
    struct flat *f = ctx;
    size_t used = strlen(f->path);

    ASSERT(used > 0);
    f->path[used - 1] = '\0';
    used = (size_t)(strrchr(f->path, '/') != NULL ? strrchr(f->path, '/') - f->path + 1 : 0);
    f->path[used] = '\0';
}

void services_flatten(const struct services_config *config, const struct services_context *context, services_value emit,
                      void *ctx)
{
    struct flat f = { .path = "", .emit = emit, .ctx = ctx };
    struct visitor v = { flat_begin, flat_value, flat_end, &f, context };
    visit(&v, config);
}

/* ---- the file ---- */

struct printing {
    FILE *out;
    int indent;
};

static void print_begin(void *ctx, const char *key, const char *item)
{
    struct printing *p = ctx;

    if (item != NULL)
        (void)fprintf(p->out, "%*s- %s: %s\n", p->indent, "", key, item);
    else
        (void)fprintf(p->out, "%*s%s:\n", p->indent, "", key);
    p->indent += 2;
}

static void print_value(void *ctx, const char *key, const char *text)
{
    struct printing *p = ctx;
    (void)fprintf(p->out, "%*s%s: %s\n", p->indent, "", key, text);
}

static void print_end(void *ctx)
{
    struct printing *p = ctx;
    p->indent -= 2;
}

char *services_print(const struct services_config *config, const struct services_context *context)
{
    char *text = NULL;
    size_t length = 0;
    struct printing p = { .out = open_memstream(&text, &length), .indent = 0 };
    struct visitor v = { print_begin, print_value, print_end, &p, context };

    ASSERT(p.out != NULL);
    if (config->count > 0)
        visit(&v, config);
    else
        (void)fprintf(p.out, "services: []\n");
    ASSERT(fclose(p.out) == 0);
    return text;
}

/* ---- the difference ---- */

struct line {
    char *path, *value;
};

struct lines {
    struct line *items;
    size_t count, capacity;
};

static void collect(void *ctx, const char *path, const char *value)
{
    struct lines *l = ctx;

    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 256 : l->capacity * 2;
        l->items = realloc(l->items, l->capacity * sizeof *l->items);
        ASSERT(l->items != NULL);
    }
    l->items[l->count].path = strdup(path);
    l->items[l->count].value = strdup(value);
    ASSERT(l->items[l->count].path != NULL);
    ASSERT(l->items[l->count].value != NULL);
    l->count++;
}

static const char *value_at(const struct lines *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i].path, path) == 0)
            return l->items[i].value;
    return NULL;
}

static void lines_free(struct lines *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].path);
        free(l->items[i].value);
    }
    free(l->items);
}

size_t services_diff(const struct services_config *before, const struct services_config *after,
                     const struct services_context *context, services_change emit, void *ctx)
{
    struct lines old = { NULL, 0, 0 }, new = { NULL, 0, 0 };
    size_t differences = 0;

    services_flatten(before, context, collect, &old);
    services_flatten(after, context, collect, &new);
    for (size_t i = 0; i < old.count; i++) {
        const char *value = value_at(&new, old.items[i].path);
        if (value != NULL && strcmp(value, old.items[i].value) == 0)
            continue;
        emit(ctx, old.items[i].path, old.items[i].value, value);
        differences++;
    }
    for (size_t i = 0; i < new.count; i++) {
        if (value_at(&old, new.items[i].path) != NULL)
            continue;
        emit(ctx, new.items[i].path, NULL, new.items[i].value);
        differences++;
    }
    lines_free(&old);
    lines_free(&new);
    return differences;
}
