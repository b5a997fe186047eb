/* Commands and snapshots: every field survives the way through bytes, and no bytes lead out of bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "core/codec.h"
#include "core/fsm.h"
#include "core/gates.h"

/* A struct whose every byte is 1, made valid, shows a field that the codec forgot: it comes back as 0. So does padding; how much of it each
 * struct has is counted here by hand, so that a field which is added to a struct alone makes these tests fail. */
#define PADDING_MEMBER 5
#define PADDING_ENFORCEMENT 7
#define PADDING_POSITION 10
#define PADDING_LEASE (3 + 4 + PADDING_ENFORCEMENT + 7)
#define PADDING_RUN (3 + PADDING_POSITION)
#define PADDING_OPERATION (5 + 4 + 3 + RUNS_MAX * PADDING_RUN)
#define PADDING_SITE_CONFIG 2
#define PADDING_DNS_CONFIG 3
#define PADDING_CONFIG (2 + 1 + 2 + PADDING_DNS_CONFIG + SITES_MAX * PADDING_SITE_CONFIG)
#define PADDING_VIEW 7
#define PADDING_SERVICE (7 + 6 + 7 + 4 + PADDING_CONFIG + PADDING_LEASE + SITES_MAX * PADDING_VIEW + PADDING_OPERATION)
#define PADDING_EVENT 2
#define PADDING_STATE                                                                                                  \
    (4 + NODES_MAX * PADDING_MEMBER + SERVICES_MAX * PADDING_SERVICE + INCIDENTS_MAX * PADDING_OPERATION +             \
     EVENTS_MAX * PADDING_EVENT)

#define HEAD_BYTES 16 /* of a snapshot */

struct fixture {
    struct command one, two;
    struct state a, b;
    uint8_t bytes[SNAPSHOT_MAX_BYTES];
    uint8_t again[SNAPSHOT_MAX_BYTES];
};
static struct fixture *f;

static int setup(void **state)
{
    (void)state;
    f = calloc(1, sizeof(*f));
    return f == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    free(f);
    return 0;
}

#define END(text) ((text)[sizeof(text) - 1] = '\0')
#define GATES_ALL ((UINT32_C(1) << GATE_COUNT) - 1)
#define KINDS_ALL ((uint8_t)((1u << EVIDENCE_KIND_COUNT) - 1))

static void full_member(struct member *m, node_id id)
{
    m->id = id;
    END(m->name);
    END(m->address);
}

static void full_config(struct service_config *c)
{
    END(c->name);
    c->profile = PROFILE_CAUTIOUS;
    c->mode = MODE_SHADOW;
    c->primary = SITE_NONE;
    c->dns.method = DNS_RFC2136;
    c->dns.server_count = DNS_SERVERS_MAX;
    END(c->dns.zone);
    END(c->dns.name);
    END(c->dns.key);
    for (unsigned i = 0; i < DNS_SERVERS_MAX; i++)
        END(c->dns.servers[i]);
    c->site_count = SITES_MAX;
    for (unsigned i = 0; i < SITES_MAX; i++) {
        struct site_config *s = &c->sites[i];

        s->site = (site_id)i;
        END(s->host);
        END(s->user);
        END(s->dbname);
        END(s->password);
        END(s->health_url);
        END(s->publish_address);
        s->deploy.count = ARGC_MAX;
        for (unsigned k = 1; k < ARGC_MAX; k++)
            s->deploy.bytes[k * 20] = '\0';
        END(s->deploy.bytes);
    }
}

static void full_opinion(struct opinion *o)
{
    o->word = OPINION_FAILED;
    o->role = ROLE_STANDBY;
    o->kinds_failed = KINDS_ALL;
}

static void full_operation(struct operation *op)
{
    op->kind = OPERATION_PROMOTE;
    op->state = OPERATION_ABORTED;
    op->service = SERVICES_MAX - 1;
    op->from = SITE_NONE;
    op->certificate = CERT_OPERATOR;
    END(op->who);
    END(op->reason);
    op->overrides = GATES_ALL;
    op->run_count = RUNS_MAX;
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        op->runs[i].step = STEP_RECONNECT;
        op->runs[i].state = RUN_SKIPPED;
        END(op->runs[i].detail);
    }
}

static void full_service(struct service *svc)
{
    full_config(&svc->config);
    svc->lease.state = LEASE_EXPIRED;
    svc->lease.instance_count = INSTANCES_MAX;
    for (unsigned i = 0; i < SITES_MAX; i++) {
        svc->views[i].verdict = VERDICT_DOWN;
        svc->views[i].evidence = KINDS_ALL;
        for (unsigned k = 0; k < NODES_MAX; k++)
            full_opinion(&svc->views[i].opinions[k]);
    }
    full_operation(&svc->operation);
    svc->gates_noted = GATES_ALL;
}

static void full_state(struct state *s)
{
    memset(s, 1, sizeof(*s));
    for (unsigned i = 0; i < NODES_MAX; i++)
        full_member(&s->members[i], i + 1);
    for (unsigned i = 0; i < SITES_MAX; i++)
        END(s->sites[i].name);
    for (unsigned i = 0; i < SERVICES_MAX; i++)
        full_service(&s->services[i]);
    for (unsigned i = 0; i < INCIDENTS_MAX; i++)
        full_operation(&s->incidents[i]);
    s->events.last_number = 3 * EVENTS_MAX + 5;
    for (uint64_t n = s->events.last_number - EVENTS_MAX + 1; n <= s->events.last_number; n++) {
        struct event *e = &s->events.slots[n % EVENTS_MAX];

        e->number = n;
        e->kind = EVENT_ALARM;
        e->service = SERVICE_NONE;
        END(e->text);
    }
}

/* A small cluster in the middle of a failover: most slots are empty. */
static void small_state(struct state *s)
{
    struct service *svc = &s->services[3];
    struct step_run *run;

    state_init(s);
    s->applied_index = 77;
    s->members[1] = (struct member){ .id = 2, .site = 1, .witness = true, .heard = true, .heard_index = 9 };
    (void)text_copy(s->members[1].name, NAME_MAX_BYTES, "b1");
    (void)text_copy(s->sites[1].name, NAME_MAX_BYTES, "site-b");
    svc->present = true;
    (void)text_copy(svc->config.name, NAME_MAX_BYTES, "app");
    svc->config.site_count = 1;
    svc->config.sites[0].site = 1;
    svc->primary = 1;
    svc->views[1].opinions[1].word = OPINION_GRAY;
    svc->operation.id = 70;
    svc->operation.state = OPERATION_RUNNING;
    svc->operation.service = 3;
    svc->operation.run_count = 1;
    run = &svc->operation.runs[0];
    run->state = RUN_ASSIGNED;
    (void)text_copy(run->detail, DETAIL_MAX_BYTES, "severed at 0/5A001F8");
    s->incidents[5].id = 12;
    s->events.last_number = 2;
    s->events.slots[1].number = 1;
    s->events.slots[2].number = 2;
}

static void full_command(struct command *c, enum command_kind kind)
{
    memset(c, 1, sizeof(*c));
    c->kind = kind;
    END(c->who);
    switch (kind) {
    case COMMAND_CLUSTER_INIT:
        for (unsigned i = 0; i < NODES_MAX; i++) {
            full_member(&c->cluster_init.members[i], i + 1);
            c->cluster_init.members[i].heard = false;
            c->cluster_init.members[i].heard_index = 0;
        }
        for (unsigned i = 0; i < SITES_MAX; i++)
            END(c->cluster_init.sites[i].name);
        break;
    case COMMAND_CONFIG_APPLY:
        c->config_apply.service_count = SERVICES_MAX;
        for (unsigned i = 0; i < SERVICES_MAX; i++)
            full_config(&c->config_apply.services[i]);
        break;
    case COMMAND_SERVICE_SET:
        c->service_set.change = SERVICE_RESUME;
        break;
    case COMMAND_OPINION:
        full_opinion(&c->opinion.opinion);
        break;
    case COMMAND_GATES_NOTED:
        c->gates_noted.gates = GATES_ALL;
        break;
    case COMMAND_OPERATION_START:
        c->operation_start.kind = OPERATION_PROMOTE;
        c->operation_start.from = SITE_NONE;
        c->operation_start.overrides = GATES_ALL;
        END(c->operation_start.reason);
        break;
    case COMMAND_OPERATION_APPROVE:
    case COMMAND_OPERATION_ABORT:
    case COMMAND_OPERATOR_CERTIFICATE:
        END(c->operation_abort.reason);
        break;
    case COMMAND_STEP_RESULT:
        END(c->step_result.result.detail);
        c->step_result.result.instance_count = INSTANCES_MAX;
        break;
    case COMMAND_STEP_SKIP:
        c->step_skip.step = STEP_RECONNECT;
        END(c->step_skip.reason);
        break;
    case COMMAND_NODE_HEARD:
    case COMMAND_EXECUTOR_SET:
    case COMMAND_GRANT:
    case COMMAND_RENEW:
    case COMMAND_LEASE_EXPIRED:
    case COMMAND_SIGHTING:
    case COMMAND_STEP_ASSIGN:
    case COMMAND_PROMOTE:
    case COMMAND_KIND_COUNT:
        break;
    }
}

/* How many bytes did not come back. */
static size_t lost(const void *sent, const void *received, size_t length_bytes)
{
    const uint8_t *a = sent, *b = received;
    size_t count = 0;

    for (size_t i = 0; i < length_bytes; i++) {
        if (a[i] == b[i])
            continue;
        assert_int_equal(b[i], 0); /* and none came back as another */
        count++;
    }
    return count;
}

#define PART(kind, member, padding)                                                                                    \
    [kind] = { offsetof(struct command, member), sizeof(((struct command *)0)->member), (padding) }
static const struct {
    size_t offset, size_bytes, padding_bytes;
} parts[COMMAND_KIND_COUNT] = {
    PART(COMMAND_CLUSTER_INIT, cluster_init, 4 + NODES_MAX * PADDING_MEMBER),
    PART(COMMAND_CONFIG_APPLY, config_apply, 7 + SERVICES_MAX * PADDING_CONFIG),
    PART(COMMAND_SERVICE_SET, service_set, 3),
    PART(COMMAND_NODE_HEARD, node_heard, 7),
    PART(COMMAND_OPINION, opinion, 2),
    PART(COMMAND_EXECUTOR_SET, executor_set, 6),
    PART(COMMAND_GRANT, grant, 6 + PADDING_ENFORCEMENT),
    PART(COMMAND_RENEW, renew, 7 + 4 + PADDING_ENFORCEMENT),
    PART(COMMAND_LEASE_EXPIRED, lease_expired, 7),
    PART(COMMAND_SIGHTING, sighting, 6),
    PART(COMMAND_GATES_NOTED, gates_noted, 2),
    PART(COMMAND_OPERATION_START, operation_start, 3 + 6 + 4),
    PART(COMMAND_OPERATION_APPROVE, operation_approve, 0),
    PART(COMMAND_OPERATION_ABORT, operation_abort, 0),
    PART(COMMAND_OPERATOR_CERTIFICATE, operator_certificate, 0),
    PART(COMMAND_STEP_ASSIGN, step_assign, 3),
    PART(COMMAND_STEP_RESULT, step_result, 3 + 7 + PADDING_POSITION + 7),
    PART(COMMAND_STEP_SKIP, step_skip, 4),
    PART(COMMAND_PROMOTE, promote, 7),
};
#undef PART

static void every_command_kind_survives_with_every_field(void **state)
{
    struct error err = ERROR_NONE;
    size_t length, again;

    (void)state;
    for (unsigned kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        full_command(&f->one, (enum command_kind)kind);
        assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        memset(&f->two, 0xee, sizeof(f->two));
        assert_int_equal(command_decode(&f->two, f->bytes, length, &err), STATUS_OK);
        assert_int_equal(command_encode(&f->two, f->again, sizeof(f->again), &again), STATUS_OK);
        assert_int_equal(length, again);
        assert_memory_equal(f->bytes, f->again, length);
        assert_int_equal(f->two.kind, kind);
        assert_int_equal(f->two.at_ms, INT64_C(0x0101010101010101));
        assert_string_equal(f->one.who, f->two.who);
        assert_int_equal(parts[kind].padding_bytes,
                         lost((const uint8_t *)&f->one + parts[kind].offset,
                              (const uint8_t *)&f->two + parts[kind].offset, parts[kind].size_bytes));
    }
}

static void commands_are_small(void **state)
{
    size_t length;

    (void)state;
    command_clear(&f->one, COMMAND_RENEW);
    (void)text_copy(f->one.who, sizeof(f->one.who), "node frankfurt-2");
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
    assert_true(length < 100);

    /* A configuration of fifty services as people write them fits one entry. */
    command_clear(&f->one, COMMAND_CONFIG_APPLY);
    f->one.config_apply.service_count = SERVICES_MAX;
    for (unsigned i = 0; i < SERVICES_MAX; i++) {
        struct service_config *c = &f->one.config_apply.services[i];

        (void)text_copy(c->name, sizeof(c->name), "a-service-with-a-long-name");
        c->site_count = 3;
        for (unsigned k = 0; k < 3; k++) {
            (void)text_copy(c->sites[k].host, sizeof(c->sites[k].host), "postgres.site-a.example.com");
            (void)text_copy(c->sites[k].health_url, URL_MAX_BYTES, "https://app.site-a.example.com/health");
            c->sites[k].deploy.count = 2;
            (void)text_copy(c->sites[k].deploy.bytes, 40, "/opt/app/appctl");
            (void)text_copy(c->sites[k].deploy.bytes + 16, 40, "start");
        }
    }
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
    assert_true(length < ENTRY_MAX_BYTES - 64);
}

static void a_command_that_is_cut_anywhere_is_refused(void **state)
{
    struct error err;
    size_t length;

    (void)state;
    for (unsigned kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        full_command(&f->one, (enum command_kind)kind);
        if (kind == COMMAND_CONFIG_APPLY)
            f->one.config_apply.service_count = 1;
        assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        for (size_t cut = 0; cut < length; cut++) {
            uint8_t *exact = malloc(cut + 1); /* the sanitizer watches its end */

            memcpy(exact + 1, f->bytes, cut);
            err = ERROR_NONE;
            assert_int_equal(command_decode(&f->two, exact + 1, cut, &err), STATUS_CORRUPT);
            assert_int_equal(err.status, STATUS_CORRUPT);
            free(exact);
        }
        f->bytes[length] = 0;
        assert_int_equal(command_decode(&f->two, f->bytes, length + 1, &err), STATUS_CORRUPT);
        for (size_t room = 0; room < length; room++) {
            size_t written;

            assert_int_equal(command_encode(&f->one, f->again, room, &written), STATUS_FULL);
        }
    }
}

/* Whatever is accepted encodes again to the same bytes: it is in bounds, and there is one encoding of each command. */
static void a_command_with_a_wrong_byte_is_refused_or_in_bounds(void **state)
{
    static const uint8_t flips[] = { 0x01, 0x02, 0x80, 0xff, 0x55 };
    struct error err;
    unsigned refused = 0;
    size_t length, again;

    (void)state;
    for (unsigned kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        full_command(&f->one, (enum command_kind)kind);
        if (kind == COMMAND_CONFIG_APPLY)
            f->one.config_apply.service_count = 1;
        assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        for (size_t at = 0; at < length; at++) {
            for (unsigned i = 0; i < sizeof(flips); i++) {
                f->bytes[at] ^= flips[i];
                if (command_decode(&f->two, f->bytes, length, &err) == STATUS_OK) {
                    assert_int_equal(command_encode(&f->two, f->again, sizeof(f->again), &again), STATUS_OK);
                    assert_int_equal(length, again);
                    assert_memory_equal(f->bytes, f->again, length);
                } else {
                    refused++;
                }
                f->bytes[at] ^= flips[i];
            }
        }
    }
    assert_true(refused > COMMAND_KIND_COUNT * 5);
}

static void an_unknown_version_or_kind_is_named(void **state)
{
    struct error err = ERROR_NONE;
    size_t length;

    (void)state;
    full_command(&f->one, COMMAND_RENEW);
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
    f->bytes[0] = 2;
    assert_int_equal(command_decode(&f->two, f->bytes, length, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "version 2"));
    f->bytes[0] = 1;
    f->bytes[1] = COMMAND_KIND_COUNT;
    assert_int_equal(command_decode(&f->two, f->bytes, length, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "kind"));
    assert_string_equal(command_word(COMMAND_RENEW), "renew");
    assert_string_equal(command_word(COMMAND_KIND_COUNT), "unknown");
}

static void what_no_reader_accepts_is_not_written(void **state)
{
    size_t length;

    (void)state;
    full_command(&f->one, COMMAND_OPINION);
    f->one.opinion.site = SITES_MAX;
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_OPINION);
    f->one.opinion.opinion.word = OPINION_WORD_COUNT;
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_RENEW);
    memset(f->one.who, 'x', sizeof(f->one.who));
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_STEP_RESULT);
    f->one.step_result.result.instance_count = INSTANCES_MAX + 1;
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_CONFIG_APPLY);
    f->one.config_apply.services[0].sites[0].deploy.bytes[ARGV_MAX_BYTES - 1] = 'x';
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    memset(f->one.config_apply.services[0].sites[0].deploy.bytes, 'x', ARGV_MAX_BYTES);
    f->one.config_apply.services[0].sites[0].deploy.bytes[ARGV_MAX_BYTES - 1] = '\0';
    assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
}

static void a_stamp_changes_the_time_alone(void **state)
{
    size_t length;

    (void)state;
    for (unsigned kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        full_command(&f->one, (enum command_kind)kind);
        assert_int_equal(command_encode(&f->one, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        assert_int_equal(command_stamp(f->bytes, length, -5), STATUS_OK);
        f->one.at_ms = -5;
        assert_int_equal(command_encode(&f->one, f->again, sizeof(f->again), &length), STATUS_OK);
        assert_memory_equal(f->bytes, f->again, length);
    }
    assert_int_equal(command_stamp(f->bytes, 9, 1), STATUS_CORRUPT);
}

static void an_outcome_survives_and_a_broken_one_is_refused(void **state)
{
    struct outcome out, in;
    size_t length;

    (void)state;
    memset(&out, 1, sizeof(out));
    out.status = STATUS_REFUSED;
    END(out.reason);
    assert_int_equal(outcome_encode(&out, f->bytes, COMMAND_OUTCOME_MAX_BYTES, &length), STATUS_OK);
    assert_int_equal(outcome_decode(&in, f->bytes, length), STATUS_OK);
    assert_int_equal(in.status, STATUS_REFUSED);
    assert_int_equal(in.value, out.value);
    assert_string_equal(in.reason, out.reason);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(outcome_decode(&in, f->bytes, cut), STATUS_CORRUPT);
    assert_int_equal(outcome_decode(&in, f->bytes, length + 1), STATUS_CORRUPT);
    f->bytes[0]++;
    assert_int_equal(outcome_decode(&in, f->bytes, length), STATUS_CORRUPT);
    f->bytes[0]--;
    f->bytes[1] = STATUS_COUNT;
    assert_int_equal(outcome_decode(&in, f->bytes, length), STATUS_CORRUPT);
    out.status = STATUS_COUNT;
    assert_int_equal(outcome_encode(&out, f->bytes, COMMAND_OUTCOME_MAX_BYTES, &length), STATUS_INVALID);
}

static size_t assert_state_survives(void)
{
    struct error err = ERROR_NONE;
    size_t length, again;

    assert_int_equal(snapshot_encode(&f->a, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
    memset(&f->b, 0xee, sizeof(f->b));
    assert_int_equal(snapshot_decode(&f->b, f->bytes, length, &err), STATUS_OK);
    assert_int_equal(snapshot_encode(&f->b, f->again, sizeof(f->again), &again), STATUS_OK);
    assert_int_equal(length, again);
    assert_memory_equal(f->bytes, f->again, length);
    return length;
}

static void a_full_state_survives_with_every_field(void **state)
{
    (void)state;
    full_state(&f->a);
    (void)assert_state_survives();
    assert_int_equal(lost(&f->a, &f->b, sizeof(f->a)), PADDING_STATE);
}

static void a_small_state_survives_with_its_empty_slots(void **state)
{
    (void)state;
    small_state(&f->a);
    assert_true(assert_state_survives() < 1500);
    assert_memory_equal(&f->a, &f->b, sizeof(f->a));
    state_init(&f->a);
    assert_true(assert_state_survives() < 200);
    assert_memory_equal(&f->a, &f->b, sizeof(f->a));
}

static void put_u32(uint8_t *at, uint32_t value)
{
    struct writer w;

    writer_init(&w, at, 4);
    writer_u32(&w, value);
}

static void a_snapshot_that_is_cut_or_changed_is_refused(void **state)
{
    struct error err;
    size_t length;

    (void)state;
    small_state(&f->a);
    length = assert_state_survives();
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *exact = malloc(cut + 1);

        memcpy(exact + 1, f->bytes, cut);
        err = ERROR_NONE;
        assert_int_equal(snapshot_decode(&f->b, exact + 1, cut, &err), STATUS_CORRUPT);
        assert_int_equal(err.status, STATUS_CORRUPT);
        if (cut >= HEAD_BYTES) { /* also when the head agrees with the cut */
            put_u32(exact + 1 + 8, (uint32_t)(cut - HEAD_BYTES));
            put_u32(exact + 1 + 12, crc32c(0, exact + 1 + HEAD_BYTES, cut - HEAD_BYTES));
            assert_int_equal(snapshot_decode(&f->b, exact + 1, cut, &err), STATUS_CORRUPT);
        }
        free(exact);
    }
    for (size_t at = 0; at < length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            f->bytes[at] ^= (uint8_t)(1u << bit);
            assert_int_equal(snapshot_decode(&f->b, f->bytes, length, &err), STATUS_CORRUPT);
            f->bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
}

/* The checksum aside: what a node with other code might write. */
static void a_state_with_a_wrong_byte_is_refused_or_in_bounds(void **state)
{
    struct error err;
    size_t length, again;
    unsigned refused = 0, accepted = 0;

    (void)state;
    small_state(&f->a);
    length = assert_state_survives();
    for (size_t at = HEAD_BYTES; at < length; at++) {
        for (unsigned value = 0; value < 256; value += 17) {
            uint8_t was = f->bytes[at];

            f->bytes[at] = (uint8_t)value;
            put_u32(f->bytes + 12, crc32c(0, f->bytes + HEAD_BYTES, length - HEAD_BYTES));
            if (snapshot_decode(&f->b, f->bytes, length, &err) == STATUS_OK) {
                assert_int_equal(snapshot_encode(&f->b, f->again, sizeof(f->again), &again), STATUS_OK);
                accepted++;
            } else {
                refused++;
            }
            f->bytes[at] = was;
        }
    }
    assert_true(refused > 1000);
    assert_true(accepted > 1000);
}

static void a_broken_state_is_not_written(void **state)
{
    size_t length;

    (void)state;
    small_state(&f->a);
    f->a.events.slots[2].number = 3;
    assert_int_equal(snapshot_encode(&f->a, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    small_state(&f->a);
    f->a.services[3].operation.run_count = RUNS_MAX + 1;
    assert_int_equal(snapshot_encode(&f->a, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    small_state(&f->a);
    assert_int_equal(snapshot_encode(&f->a, f->bytes, 100, &length), STATUS_FULL);
    assert_int_equal(snapshot_encode(&f->a, f->bytes, 10, &length), STATUS_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_kind_survives_with_every_field),
        cmocka_unit_test(commands_are_small),
        cmocka_unit_test(a_command_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(a_command_with_a_wrong_byte_is_refused_or_in_bounds),
        cmocka_unit_test(an_unknown_version_or_kind_is_named),
        cmocka_unit_test(what_no_reader_accepts_is_not_written),
        cmocka_unit_test(a_stamp_changes_the_time_alone),
        cmocka_unit_test(an_outcome_survives_and_a_broken_one_is_refused),
        cmocka_unit_test(a_full_state_survives_with_every_field),
        cmocka_unit_test(a_small_state_survives_with_its_empty_slots),
        cmocka_unit_test(a_snapshot_that_is_cut_or_changed_is_refused),
        cmocka_unit_test(a_state_with_a_wrong_byte_is_refused_or_in_bounds),
        cmocka_unit_test(a_broken_state_is_not_written),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
