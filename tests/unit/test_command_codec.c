/* Commands and outcomes: every field survives the way through bytes, and no bytes lead out of bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "codec_full.h"
#include "core/command.h"
#include "core/version.h"

#define BYTES_MAX (1024 * 1024)

struct fixture {
    struct command one, two;
    uint8_t bytes[BYTES_MAX];
    uint8_t again[BYTES_MAX];
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
static void full_member_command(struct command *c)
{
    if (c->kind == COMMAND_MEMBER_ADD) {
        END(c->member_add.name);
        END(c->member_add.address);
        END(c->member_add.site);
    } else if (c->kind == COMMAND_RECOVER) {
        END(c->recover.reason);
    } else {
        c->member_set.overrides = MEMBER_GATES_ALL;
        END(c->member_set.reason);
    }
}

static void full_cluster_init(struct command_cluster_init *m)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        full_member(&m->members[i], i + 1);
        m->members[i].heard = false;
        m->members[i].heard_index = 0;
        m->members[i].version = 0;
    }
    for (unsigned i = 0; i < SITES_MAX; i++)
        END(m->sites[i].name);
}

static void full_command(struct command *c, enum command_kind kind)
{
    memset(c, 1, sizeof(*c));
    c->kind = kind;
    END(c->who);
    switch (kind) {
    case COMMAND_CLUSTER_INIT:
        full_cluster_init(&c->cluster_init);
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
    case COMMAND_MEMBER_ADD:
    case COMMAND_MEMBER_REMOVE:
    case COMMAND_MEMBER_SET:
    case COMMAND_RECOVER:
        full_member_command(c);
        break;
    case COMMAND_LEAD:
    case COMMAND_NODE_HEARD:
    case COMMAND_QUORUM_BACK:
    case COMMAND_NODE_STARTED:
    case COMMAND_CLUSTER_VERSION:
    case COMMAND_EXECUTOR_SET:
    case COMMAND_GRANT:
    case COMMAND_RENEW:
    case COMMAND_LEASE_EXPIRED:
    case COMMAND_SIGHTING:
    case COMMAND_STEP_ASSIGN:
    case COMMAND_PROMOTE:
    case COMMAND_PROMISES_ENDED:
    case COMMAND_KIND_COUNT:
        break;
    }
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
    PART(COMMAND_QUORUM_BACK, quorum_back, 0),
    PART(COMMAND_NODE_STARTED, node_started, 7),
    PART(COMMAND_CLUSTER_VERSION, cluster_version, 0),
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
    PART(COMMAND_MEMBER_ADD, member_add, 0),
    PART(COMMAND_MEMBER_REMOVE, member_remove, 3),
    PART(COMMAND_MEMBER_SET, member_set, 3),
    PART(COMMAND_LEAD, lead, 0),
    PART(COMMAND_RECOVER, recover, 0),
    PART(COMMAND_PROMISES_ENDED, promises_ended, 7),
};
#undef PART

static void every_command_kind_survives_with_every_field(void **state)
{
    struct error err = ERROR_NONE;
    size_t length, again;

    (void)state;
    for (unsigned kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        full_command(&f->one, (enum command_kind)kind);
        assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        memset(&f->two, 0xee, sizeof(f->two));
        assert_int_equal(command_decode(&f->two, f->bytes, length, &err), STATUS_OK);
        assert_int_equal(command_encode(&f->two, program_version, f->again, sizeof(f->again), &again), STATUS_OK);
        assert_int_equal(length, again);
        assert_memory_equal(f->bytes, f->again, length);
        assert_int_equal(f->two.kind, kind);
        assert_int_equal(f->two.at_ms, INT64_C(0x0101010101010101));
        assert_string_equal(f->one.who, f->two.who);
        assert_int_equal(parts[kind].padding_bytes,
                         bytes_lost((const uint8_t *)&f->one + parts[kind].offset,
                                    (const uint8_t *)&f->two + parts[kind].offset, parts[kind].size_bytes));
    }
}

static void commands_are_small(void **state)
{
    size_t length;

    (void)state;
    command_clear(&f->one, COMMAND_RENEW);
    (void)text_copy(f->one.who, sizeof(f->one.who), "node frankfurt-2");
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
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
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
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
        assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
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

            assert_int_equal(command_encode(&f->one, program_version, f->again, room, &written), STATUS_FULL);
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
        assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        for (size_t at = 0; at < length; at++) {
            for (unsigned i = 0; i < sizeof(flips); i++) {
                f->bytes[at] ^= flips[i];
                if (command_decode(&f->two, f->bytes, length, &err) == STATUS_OK) {
                    assert_int_equal(command_encode(&f->two, program_version, f->again, sizeof(f->again), &again),
                                     STATUS_OK);
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
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
    f->bytes[0] = program_version + 1;
    assert_int_equal(command_decode(&f->two, f->bytes, length, &err), STATUS_CORRUPT);
    assert_string_equal(err.text, "a command of cluster version 2, and this coordd reads up to 1");
    f->bytes[0] = 0;
    assert_int_equal(command_decode(&f->two, f->bytes, length, &err), STATUS_CORRUPT);
    assert_int_equal(command_encode(&f->one, program_version + 1, f->again, sizeof(f->again), &length), STATUS_INVALID);
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
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_OPINION);
    f->one.opinion.opinion.word = OPINION_WORD_COUNT;
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_RENEW);
    memset(f->one.who, 'x', sizeof(f->one.who));
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_STEP_RESULT);
    f->one.step_result.result.instance_count = INSTANCES_MAX + 1;
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    full_command(&f->one, COMMAND_CONFIG_APPLY);
    f->one.config_apply.services[0].sites[0].deploy.bytes[ARGV_MAX_BYTES - 1] = 'x';
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
    memset(f->one.config_apply.services[0].sites[0].deploy.bytes, 'x', ARGV_MAX_BYTES);
    f->one.config_apply.services[0].sites[0].deploy.bytes[ARGV_MAX_BYTES - 1] = '\0';
    assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_INVALID);
}

static void a_stamp_changes_the_time_alone(void **state)
{
    size_t length;

    (void)state;
    for (unsigned kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        full_command(&f->one, (enum command_kind)kind);
        assert_int_equal(command_encode(&f->one, program_version, f->bytes, sizeof(f->bytes), &length), STATUS_OK);
        assert_int_equal(command_stamp(f->bytes, length, -5), STATUS_OK);
        f->one.at_ms = -5;
        assert_int_equal(command_encode(&f->one, program_version, f->again, sizeof(f->again), &length), STATUS_OK);
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
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
