#include "core/codec.h"

#include "base/check.h"
#include "core/version.h"

#include <string.h>

void codec_write_init(struct codec *c, void *out, size_t capacity_bytes)
{
    memset(c, 0, sizeof(*c));
    writer_init(&c->w, out, capacity_bytes);
}

void codec_read_init(struct codec *c, const void *bytes, size_t length_bytes)
{
    memset(c, 0, sizeof(*c));
    c->reading = true;
    reader_init(&c->r, bytes, length_bytes);
}

void codec_refuse(struct codec *c)
{
    if (c->reading)
        c->r.bad = true;
    else
        c->invalid = true;
}

bool codec_ok(const struct codec *c)
{
    return c->reading ? reader_ok(&c->r) : writer_ok(&c->w) && !c->invalid;
}

void codec_version(struct codec *c, uint8_t version)
{
    c->version = version;
    codec_u8(c, &c->version);
    if (c->version < CLUSTER_VERSION_FIRST || c->version > program_version)
        codec_refuse(c);
}

enum status codec_written(const struct codec *c, size_t *length_bytes)
{
    ASSERT(!c->reading);
    *length_bytes = c->w.used;
    if (c->invalid)
        return STATUS_INVALID;
    return writer_ok(&c->w) ? STATUS_OK : STATUS_FULL;
}

enum status codec_read_done(const struct codec *c, const char *what, struct error *err)
{
    ASSERT(c->reading);
    if (!reader_ok(&c->r))
        return error_set(err, STATUS_CORRUPT, "%s: byte %zu of %zu is cut off or out of bounds", what, c->r.used,
                         c->r.length);
    if (!reader_done(&c->r))
        return error_set(err, STATUS_CORRUPT, "%s: %zu bytes are left over", what, c->r.length - c->r.used);
    return STATUS_OK;
}

void codec_u8(struct codec *c, uint8_t *field)
{
    if (c->reading)
        *field = reader_u8(&c->r);
    else
        writer_u8(&c->w, *field);
}

void codec_u16(struct codec *c, uint16_t *field)
{
    if (c->reading)
        *field = reader_u16(&c->r);
    else
        writer_u16(&c->w, *field);
}

void codec_u32(struct codec *c, uint32_t *field)
{
    if (c->reading)
        *field = reader_u32(&c->r);
    else
        writer_u32(&c->w, *field);
}

void codec_u64(struct codec *c, uint64_t *field)
{
    if (c->reading)
        *field = reader_u64(&c->r);
    else
        writer_u64(&c->w, *field);
}

void codec_i64(struct codec *c, int64_t *field)
{
    if (c->reading)
        *field = reader_i64(&c->r);
    else
        writer_i64(&c->w, *field);
}

void codec_bool(struct codec *c, bool *field)
{
    if (c->reading)
        *field = reader_bool(&c->r);
    else
        writer_bool(&c->w, *field);
}

void codec_constant(struct codec *c, uint32_t value)
{
    uint32_t found = value;

    codec_u32(c, &found);
    if (found != value)
        codec_refuse(c);
}

/* Refuses by leaving zero, so that no loop runs over a bad count. */
static void bound_u8(struct codec *c, uint8_t *field, bool in_bounds)
{
    if (in_bounds)
        return;
    codec_refuse(c);
    if (c->reading)
        *field = 0;
}

void codec_count(struct codec *c, uint8_t *field, unsigned max)
{
    codec_u8(c, field);
    bound_u8(c, field, *field <= max);
}

void codec_mask8(struct codec *c, uint8_t *field, unsigned bits)
{
    codec_u8(c, field);
    bound_u8(c, field, (unsigned)*field >> bits == 0);
}

void codec_mask32(struct codec *c, uint32_t *field, unsigned bits)
{
    codec_u32(c, field);
    if ((uint64_t)*field >> bits == 0)
        return;
    codec_refuse(c);
    if (c->reading)
        *field = 0;
}

uint64_t codec_slots(struct codec *c, uint64_t used, unsigned slots)
{
    ASSERT(slots < 64);
    codec_u64(c, &used);
    if (used >> slots != 0)
        codec_refuse(c);
    return codec_ok(c) ? used : 0;
}

bool codec_present(struct codec *c, bool present)
{
    codec_bool(c, &present);
    return present && codec_ok(c);
}

void codec_text(struct codec *c, char *field, size_t capacity_bytes)
{
    if (c->reading)
        reader_string(&c->r, field, capacity_bytes);
    else if (memchr(field, '\0', capacity_bytes) == NULL)
        codec_refuse(c);
    else
        writer_string(&c->w, field);
}

void codec_site(struct codec *c, site_id *field)
{
    codec_u8(c, field);
    bound_u8(c, field, *field < SITES_MAX);
}

void codec_site_or_none(struct codec *c, site_id *field)
{
    codec_u8(c, field);
    bound_u8(c, field, *field < SITES_MAX || *field == SITE_NONE);
}

void codec_service(struct codec *c, service_id *field)
{
    codec_u8(c, field);
    bound_u8(c, field, *field < SERVICES_MAX);
}

void codec_service_or_none(struct codec *c, service_id *field)
{
    codec_u8(c, field);
    bound_u8(c, field, *field < SERVICES_MAX || *field == SERVICE_NONE);
}

uint32_t codec_enum_value(struct codec *c, uint32_t value, uint32_t count)
{
    ASSERT(count <= 256);
    if (c->reading)
        return reader_enum8(&c->r, count);
    if (value >= count)
        codec_refuse(c);
    writer_u8(&c->w, (uint8_t)value);
    return value;
}

static void codec_member_facts(struct codec *c, struct member *m)
{
    codec_u64(c, &m->id);
    if (m->id == 0)
        codec_refuse(c); /* a free slot is not written */
    codec_text(c, m->name, sizeof(m->name));
    codec_text(c, m->address, sizeof(m->address));
    codec_site(c, &m->site);
    codec_bool(c, &m->witness);
    codec_bool(c, &m->voter);
}

void codec_members(struct codec *c, struct member members[NODES_MAX], bool heard)
{
    uint64_t used = 0;

    for (unsigned i = 0; !c->reading && i < NODES_MAX; i++)
        used |= members[i].id != 0 ? UINT64_C(1) << i : 0;
    used = codec_slots(c, used, NODES_MAX);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if ((used >> i & 1) == 0)
            continue;
        codec_member_facts(c, &members[i]);
        if (!heard)
            continue;
        codec_bool(c, &members[i].heard);
        codec_u64(c, &members[i].heard_index);
        codec_u8(c, &members[i].version);
    }
}

void codec_sites(struct codec *c, struct site sites[SITES_MAX])
{
    for (unsigned i = 0; i < SITES_MAX; i++)
        codec_text(c, sites[i].name, sizeof(sites[i].name));
}

void codec_opinion(struct codec *c, struct opinion *o)
{
    CODEC_ENUM(c, &o->word, OPINION_WORD_COUNT);
    CODEC_ENUM(c, &o->role, ROLE_COUNT);
    codec_mask8(c, &o->kinds_failed, EVIDENCE_KIND_COUNT);
    codec_mask8(c, &o->kinds_up, EVIDENCE_KIND_COUNT);
    codec_bool(c, &o->ready);
    codec_bool(c, &o->streaming);
}

void codec_enforcement(struct codec *c, struct enforcement *e)
{
    codec_bool(c, &e->enforcing);
    codec_u64(c, &e->instance);
    codec_u64(c, &e->known_index);
}

void codec_instances(struct codec *c, uint8_t *count, instance_id instances[INSTANCES_MAX])
{
    codec_count(c, count, INSTANCES_MAX);
    for (unsigned i = 0; codec_ok(c) && i < *count; i++)
        codec_u64(c, &instances[i]);
}

void codec_position(struct codec *c, struct position *p)
{
    codec_bool(c, &p->known);
    codec_u32(c, &p->timeline);
    codec_u64(c, &p->lsn);
    codec_bool(c, &p->gap_known);
    codec_u64(c, &p->gap_bytes);
}

/* Strings one after the other, each with its NUL, and nothing behind the last. */
static void codec_argv(struct codec *c, struct argv_text *argv)
{
    size_t used = 0;

    codec_count(c, &argv->count, ARGC_MAX);
    for (unsigned i = 0; codec_ok(c) && i < argv->count; i++) {
        const char *end;

        if (used == sizeof(argv->bytes)) {
            codec_refuse(c);
            return;
        }
        codec_text(c, argv->bytes + used, sizeof(argv->bytes) - used);
        end = memchr(argv->bytes + used, '\0', sizeof(argv->bytes) - used);
        if (end == NULL)
            return; /* refused by codec_text */
        used = (size_t)(end - argv->bytes) + 1;
    }
}

static void codec_timing(struct codec *c, struct timing *t)
{
    codec_u32(c, &t->renew_ms);
    codec_u32(c, &t->margin_ms);
    codec_u32(c, &t->ttl_ms);
    codec_u32(c, &t->probe_interval_ms);
    codec_u32(c, &t->probe_timeout_ms);
    codec_u32(c, &t->probe_rise);
    codec_u32(c, &t->probe_fall);
    codec_u32(c, &t->hold_down_ms);
    codec_u32(c, &t->local_grace_ms);
    codec_u32(c, &t->lockout_ms);
}

static void codec_site_config(struct codec *c, struct site_config *s)
{
    codec_site(c, &s->site);
    codec_text(c, s->host, sizeof(s->host));
    codec_u16(c, &s->port);
    codec_text(c, s->user, sizeof(s->user));
    codec_text(c, s->dbname, sizeof(s->dbname));
    codec_text(c, s->password, sizeof(s->password));
    codec_text(c, s->health_url, sizeof(s->health_url));
    codec_text(c, s->publish_address, sizeof(s->publish_address));
    codec_argv(c, &s->deploy);
}

static void codec_dns_config(struct codec *c, struct dns_config *d)
{
    CODEC_ENUM(c, &d->method, DNS_METHOD_COUNT);
    codec_text(c, d->zone, sizeof(d->zone));
    codec_text(c, d->name, sizeof(d->name));
    codec_u32(c, &d->ttl_s);
    codec_count(c, &d->server_count, DNS_SERVERS_MAX);
    for (unsigned i = 0; codec_ok(c) && i < d->server_count; i++)
        codec_text(c, d->servers[i], sizeof(d->servers[i]));
    codec_text(c, d->key, sizeof(d->key));
}

void codec_service_config(struct codec *c, struct service_config *config)
{
    codec_text(c, config->name, sizeof(config->name));
    CODEC_ENUM(c, &config->profile, PROFILE_COUNT);
    CODEC_ENUM(c, &config->mode, MODE_COUNT);
    codec_u32(c, &config->tier);
    codec_site_or_none(c, &config->primary);
    codec_bool(c, &config->accept_vm_pause);
    codec_u64(c, &config->max_lag_bytes);
    codec_u32(c, &config->max_lag_ms);
    codec_timing(c, &config->timing);
    codec_dns_config(c, &config->dns);
    codec_count(c, &config->site_count, SITES_MAX);
    for (unsigned i = 0; codec_ok(c) && i < config->site_count; i++)
        codec_site_config(c, &config->sites[i]);
}
